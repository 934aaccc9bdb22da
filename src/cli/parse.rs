//! Reads what was typed after a command, by the command's row in the table.

use std::ffi::OsString;

use lexopt::Arg;

use super::arguments::Arguments;
use super::command::{Command, Flag};

/// Parses the arguments of `command`. The error is a message for the user.
pub(super) fn arguments(command: &Command, typed: Vec<OsString>) -> Result<Arguments, String> {
    let mut parser = lexopt::Parser::from_args(typed);
    let mut arguments = Arguments {
        variables: command
            .own_flags()
            .filter(|flag| !flag.variable.is_empty())
            .map(|flag| (flag.name, flag.variable))
            .collect(),
        ..Arguments::default()
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
            Arg::Long(_) | Arg::Short('o') => {
                let name = match argument {
                    Arg::Long(name) => name,
                    _ => "output",
                };
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
                    return Err(format!("{} does not take {value:?}: too many arguments", command.name));
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
    use crate::cli::table;

    fn parse(command: &str, typed: &[&str]) -> Result<Arguments, String> {
        arguments(table::find(command).unwrap(), typed.iter().map(OsString::from).collect())
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
