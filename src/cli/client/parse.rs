//! What was typed after a command, checked against its row of the table.

use std::ffi::OsString;

use lexopt::Arg;

use super::commands::{Command, Flag};
use crate::config;

/// What was typed after a command.
#[derive(Debug, Default)]
pub struct Arguments {
    operands: Vec<String>,
    /// Name and value; the last of a name counts.
    flags: Vec<(&'static str, String)>,
    /// The variables that count where a flag is missing.
    variables: Vec<(&'static str, &'static str)>,
    /// Whether help is asked for, whatever else there is.
    pub wants_help: bool,
    /// Whether the version is asked for, whatever else there is.
    pub wants_version: bool,
}

impl Arguments {
    /// Reads what comes after `command`. The error says what is wrong with it, for people.
    pub fn of(command: &Command, typed: Vec<OsString>) -> Result<Self, String> {
        let mut parser = lexopt::Parser::from_args(typed);
        let mut arguments = Self {
            variables: command
                .own_flags()
                .filter(|flag| !flag.variable.is_empty())
                .map(|flag| (flag.name, flag.variable))
                .collect(),
            ..Self::default()
        };
        while let Some(argument) = parser.next().map_err(|err| err.to_string())? {
            match argument {
                Arg::Long("help") | Arg::Short('h') => {
                    arguments.wants_help = true;
                    return Ok(arguments);
                }
                Arg::Long("version") | Arg::Short('V') => {
                    arguments.wants_version = true;
                    return Ok(arguments);
                }
                Arg::Long(name) => {
                    let flag = command
                        .all_flags()
                        .find(|flag| flag.name == name)
                        .ok_or_else(|| format!("{} has no flag --{name}", command.name))?;
                    let value = if flag.value.is_empty() {
                        String::new()
                    } else {
                        parser.value().map_err(|err| err.to_string())?.to_string_lossy().into_owned()
                    };
                    check_flag(&flag, &value)?;
                    arguments.flags.push((flag.name, value));
                }
                Arg::Short(name) => return Err(format!("{} has no flag -{name}", command.name)),
                Arg::Value(value) => {
                    let value = value.to_string_lossy().into_owned();
                    let takes_rest = command.operands.last().is_some_and(|operand| operand.takes_rest);
                    if let Some(last) = arguments.operands.last_mut()
                        && takes_rest
                    {
                        last.push(' ');
                        last.push_str(&value);
                        continue;
                    }
                    let Some(operand) = command.operands.get(arguments.operands.len()) else {
                        return Err(format!("{} takes nothing like {value:?} here", command.name));
                    };
                    check_values(operand.name, operand.values, &value)?;
                    arguments.operands.push(value);
                }
            }
        }
        match command.operands.get(arguments.operands.len()) {
            Some(missing) if !missing.is_optional => {
                Err(format!("{} needs {}, for example: {}", command.name, missing.name, command.example))
            }
            _ => Ok(arguments),
        }
    }

    /// What comes without dashes, by its place from 0 on.
    pub fn operand(&self, place: usize) -> Option<&str> {
        self.operands.get(place).map(String::as_str)
    }

    /// The same for one that the command cannot do without, and that is therefore there.
    pub fn required(&self, place: usize) -> &str {
        self.operand(place).unwrap_or_default()
    }

    /// The value of a flag.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Whether a flag without a value is there.
    pub fn has(&self, name: &str) -> bool {
        self.flag(name).is_some()
    }

    /// The value of a flag, else that of its variable, if not blank.
    pub fn value(&self, name: &str) -> Option<String> {
        let variable = || {
            self.variables.iter().find(|(flag, _)| *flag == name).and_then(|(_, name)| config::variable(name))
        };
        let value = self.flag(name).map(str::to_owned).or_else(variable)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// All flags, in the form that settings are read from.
    pub fn settings(&self) -> config::Flags {
        self.flags.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }
}

fn check_flag(flag: &Flag, value: &str) -> Result<(), String> {
    check_values(&format!("--{}", flag.name), flag.values, value)
}

fn check_values(name: &str, allowed: &[&str], value: &str) -> Result<(), String> {
    if allowed.is_empty() || allowed.contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is {value:?}; it must be one of {}", allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(command: &str, typed: &[&str]) -> Result<Arguments, String> {
        Arguments::of(Command::of(command).unwrap(), typed.iter().map(OsString::from).collect())
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let told = |command, typed: &[&str]| parse(command, typed).unwrap_err();
        assert!(told("run", &[]).contains("run needs NAME, for example: ocf-scheduler run"));
        assert!(told("run", &["a", "b"]).contains("\"b\""));
        assert!(told("run", &["a", "--wiat"]).contains("no flag --wiat"));
        assert!(told("run", &["a", "-w"]).contains("no flag -w"));
        assert!(told("run", &["a", "--wait=yes"]).contains("--wait"));
        assert!(told("jobs", &["--output", "xml"]).contains("it must be one of table, json"));
        assert!(told("completions", &["tcsh"]).contains("bash, zsh, fish"));
        assert!(told("jobs", &["--url"]).contains("--url"));
    }

    #[test]
    fn names_may_look_like_flags_and_the_last_of_a_flag_counts() {
        let arguments = parse("run", &["--app=x", "--app", "y", "--wait", "--", "--name"]).unwrap();
        assert_eq!(arguments.operand(0), Some("--name"));
        assert_eq!((arguments.flag("app"), arguments.has("wait")), (Some("y"), true));
        assert!(parse("run", &["--help"]).unwrap().wants_help);
        assert!(parse("run", &["--app", "x", "--version"]).unwrap().wants_version);
        assert!(!parse("run", &["x", "--app", "--version"]).unwrap().wants_version);
    }
}
