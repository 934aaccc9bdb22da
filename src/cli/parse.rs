//! Reads what was typed after a command, by the command's row in the table.

use std::ffi::OsString;

use lexopt::Arg;

use super::arguments::Arguments;
use super::command::{Command, Flag};
use super::nearest::nearest;

/// Parses the arguments of `command`. The error is a message for the user.
pub(super) fn arguments(command: &Command, typed: Vec<OsString>) -> Result<Arguments, String> {
    let mut parser = lexopt::Parser::from_args(typed);
    let mut arguments = Arguments {
        command: command.name,
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
                    Arg::Long(name) => name.to_owned(),
                    _ => "output".to_owned(),
                };
                let flag = command.flag_named(&name).ok_or_else(|| no_flag(command, &name))?;
                let value = if flag.value.is_empty() {
                    old_value(&mut parser, &flag)
                } else {
                    parser.value().map_err(|err| err.to_string())?.to_string_lossy().into_owned()
                };
                let value = checked_flag(&flag, value)?;
                let is_old_url = name == OLD_URL;
                arguments.flags.push((if is_old_url { OLD_URL } else { flag.name }, value));
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
                arguments.operands.push(checked(operand.name, operand.values, value)?);
            }
        }
    }
    settle_urls(command, &mut arguments);
    match command.operands.get(arguments.operands.len()) {
        Some(missing) if !missing.is_optional => {
            Err(format!("{} needs {}, for example: {}", command.name, missing.name, command.example))
        }
        _ => Ok(arguments),
    }
}

/// The name that `--url` had in commands that change a URL, where `--url` named the service.
const OLD_URL: &str = "to-url";

/// Where `--url` is a new URL, it is the service's if there is another new URL: as older versions read it.
fn settle_urls(command: &Command, arguments: &mut Arguments) {
    if !command.flags.iter().any(|flag| flag.name == "url") {
        return;
    }
    let has_old = arguments.flags.iter().any(|(name, _)| *name == OLD_URL);
    if has_old || 1 < arguments.operands.len() {
        for (name, _) in &mut arguments.flags {
            match *name {
                "url" => *name = "service",
                OLD_URL => *name = "url",
                _ => (),
            }
        }
    }
}

/// The value that follows a flag without one, as in `--enabled false`; else empty.
fn old_value(parser: &mut lexopt::Parser, flag: &Flag) -> String {
    let attached = parser.optional_value().map(|value| value.to_string_lossy().into_owned());
    if attached.is_some() && flag.values.is_empty() {
        // Refused: it takes none.
        return format!("={}", attached.unwrap_or_default());
    }
    attached.unwrap_or_else(|| {
        let Some(mut rest) = parser.try_raw_args() else { return String::new() };
        let next = rest.peek().map(|next| next.to_string_lossy().into_owned());
        match next.filter(|next| flag.values.contains(&next.as_str())) {
            Some(value) => {
                rest.next();
                value
            }
            None => String::new(),
        }
    })
}

fn no_flag(command: &Command, name: &str) -> String {
    let names: Vec<&str> = command.all_flags().map(|flag| flag.name).chain(["help", "version"]).collect();
    match nearest(name, names.into_iter()) {
        Some(meant) => format!("{} has no flag --{name}; did you mean --{meant}?", command.name),
        None => format!("{} has no flag --{name}", command.name),
    }
}

fn checked_flag(flag: &Flag, value: String) -> Result<String, String> {
    let name = format!("--{}", flag.name);
    match (flag.value, value.as_str()) {
        ("", "") => Ok(value),
        ("", _) if flag.values.is_empty() => Err(format!("{name} takes no value, but has {value:?}")),
        _ => checked(&name, flag.values, value),
    }
}

/// The value as the table spells it: `get` is GET, `forbid` is Forbid.
fn checked(name: &str, allowed: &[&str], value: String) -> Result<String, String> {
    if allowed.is_empty() {
        return Ok(value);
    }
    match allowed.iter().find(|allowed| allowed.eq_ignore_ascii_case(&value)) {
        Some(allowed) => Ok((*allowed).to_owned()),
        None => Err(format!("{name} is {value:?}; it must be one of {}", allowed.join(", "))),
    }
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
        assert!(told("run", &["a", "--wiat"]).contains("no flag --wiat; did you mean --wait?"));
        assert!(told("run", &["a", "--frobnicate"]).ends_with("no flag --frobnicate"));
        assert!(told("run", &["a", "-w"]).contains("no flag -w"));
        assert!(told("run", &["a", "--wait=yes"]).contains("--wait"));
        assert!(told("jobs", &["--output", "xml"]).contains("it must be one of table, json"));
        let policy = parse("create-job", &["a", "b", "--concurrency-policy", "forbid"]).unwrap();
        assert_eq!(policy.flag("concurrency-policy"), Some("Forbid"));
        assert!(told("completions", &["tcsh"]).contains("bash, zsh, fish"));
        assert!(told("jobs", &["--url"]).contains("--url"));
    }

    #[test]
    fn older_spellings_mean_what_they_meant() {
        let flags = |command, typed: &[&str]| parse(command, typed).unwrap().flags;
        let flag = |name, value: &str| (name, value.to_owned());
        assert_eq!(flags("jobs", &["--url", "u"]), [flag("service", "u")]);
        assert_eq!(flags("update-call", &["a", "--url", "u"]), [flag("url", "u")]);
        let both = [flag("service", "s"), flag("url", "u")];
        assert_eq!(flags("update-call", &["a", "--url", "s", "--to-url", "u"]), both);
        assert_eq!(flags("create-call", &["a", "u", "--url", "s"]), [flag("service", "s")]);
        assert_eq!(flags("create-call", &["a", "--url", "u"]), [flag("url", "u")]);
        assert_eq!(flags("update-job", &["a", "--name", "b"]), [flag("rename", "b")]);
        let enabled = |typed: &[&str]| parse("update-schedule", typed).unwrap().enabled();
        assert_eq!(enabled(&["g", "--enabled", "false"]), Ok(Some(false)));
        assert_eq!(enabled(&["--enabled=true", "g"]), Ok(Some(true)));
        assert_eq!(enabled(&["--enabled", "g"]), Ok(Some(true)));
        assert_eq!(enabled(&["g", "--disabled"]), Ok(Some(false)));
        assert_eq!(enabled(&["g"]), Ok(None));
        assert!(enabled(&["g", "--disabled", "--enabled"]).is_err());
        assert!(parse("update-schedule", &["g", "--enabled=no"]).unwrap_err().contains("true, false"));
        assert!(parse("update-schedule", &["g", "--disabled=x"]).unwrap_err().contains("takes no value"));
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
