//! What was typed after a command.

use crate::config;

/// The operands and flags that were typed after a command.
#[derive(Debug, Default)]
pub struct Arguments {
    /// The name of the command.
    pub(super) command: &'static str,
    pub(super) operands: Vec<String>,
    /// Name and value; the last one of a name wins.
    pub(super) flags: Vec<(&'static str, String)>,
    /// Flag and variable; the variable is used when the flag is missing.
    pub(super) variables: Vec<(&'static str, &'static str)>,
    /// Set by `--help`, which wins over everything else.
    pub wants_help: bool,
    /// Set by `--version`, which wins over everything else.
    pub wants_version: bool,
}

impl Arguments {
    /// The operand at `place`, counted from 0.
    pub fn operand(&self, place: usize) -> Option<&str> {
        self.operands.get(place).map(String::as_str)
    }

    /// The operand at `place`, which the parser has made sure is there.
    pub fn required(&self, place: usize) -> &str {
        self.operand(place).unwrap_or_default()
    }

    /// The value of a flag, without regard to its variable.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// What `--enabled` and `--disabled` say; `None` without either. The error is a message for the user.
    pub fn enabled(&self) -> Result<Option<bool>, String> {
        match (self.flag("enabled"), self.has("disabled")) {
            (Some(_), true) => Err("--enabled and --disabled exclude each other".to_owned()),
            (Some(value), false) => Ok(Some(value != "false")),
            (None, true) => Ok(Some(false)),
            (None, false) => Ok(None),
        }
    }

    /// All values of a flag that can be given more than once, in the order in which they were typed.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Whether a flag that takes no value was given.
    pub fn has(&self, name: &str) -> bool {
        self.flag(name).is_some()
    }

    /// The value of a flag, else of its variable; `None` if that is blank.
    pub fn value(&self, name: &str) -> Option<String> {
        let variable = || {
            self.variables.iter().find(|(flag, _)| *flag == name).and_then(|(_, name)| config::variable(name))
        };
        let value = self.flag(name).map(str::to_owned).or_else(variable)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The same without a flag.
    pub(super) fn without(&self, name: &str) -> Self {
        let flags = self.flags.iter().filter(|(given, _)| *given != name).cloned().collect();
        let (operands, variables) = (self.operands.clone(), self.variables.clone());
        Self { command: self.command, operands, flags, variables, ..Self::default() }
    }

    /// All flags, as [`config`] reads them.
    pub fn settings(&self) -> config::Flags {
        self.flags.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }
}
