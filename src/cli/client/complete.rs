//! Prints names for the completions of shells.
//!
//! Invariant: nothing is printed that a shell would interpret, whatever the names of jobs are, and a service
//! that does not answer does not block the shell.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crossbeam_channel::after;
use serde_json::Value;

use super::cf_login::CfLogin;
use super::failure::Failure;
use super::names::What;
use super::session::Session;
use super::{notifications, schedules};
use crate::cli::arguments::Arguments;
use crate::cli::command::{CONNECTION, Names};
use crate::cli::contexts::{CF, Contexts, STANDALONE};
use crate::cli::output::{self, SHORT_GUID, field};
use crate::cli::running::Running;
use crate::cron::zone_names;
use crate::model::Kind;

/// The longest that a user should wait after pressing Tab.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints the names that begin with `begun`, one on each line; none if the service does not answer.
pub(in crate::cli) fn names(word: &str, begun: &str) -> ExitCode {
    let Some(names) = Names::ALL.into_iter().find(|names| names.word() == word) else {
        return ExitCode::FAILURE;
    };
    let watch = thread::Builder::new().name("patience".to_owned()).spawn(|| {
        let _ = after(PATIENCE).recv();
        std::process::exit(1);
    });
    let found = if watch.is_ok() { find(names).unwrap_or_default() } else { Vec::new() };
    let mut found: Vec<String> =
        found.into_iter().filter(|name| is_plain(name) && name.starts_with(begun)).collect();
    found.sort();
    found.dedup();
    let lines: String = found.iter().map(|name| format!("{name}\n")).collect();
    output::show(&lines)
}

/// Whether a shell reads it literally.
fn is_plain(name: &str) -> bool {
    !name.starts_with(['-', '=']) && name.chars().all(|it| it.is_alphanumeric() || "._-@+:/=,".contains(it))
}

fn find(names: Names) -> Result<Vec<String>, Failure> {
    match names {
        Names::Contexts => return contexts(),
        Names::TimeZones => return Ok(zone_names().to_vec()),
        _ => (),
    }
    let flags = CONNECTION.iter().filter(|flag| !flag.variable.is_empty());
    let variables = flags.map(|flag| (flag.name, flag.variable)).collect();
    let arguments = Arguments { variables, ..Arguments::default() };
    let session = Session::open(&arguments)?;
    let text = |name: &str, resources: &[Value]| -> Vec<String> {
        resources.iter().map(|it| field(it, name).to_owned()).collect()
    };
    let of = |kind| Ok::<_, Failure>(text("name", &session.list(kind, false)?));
    Ok(match names {
        Names::Jobs => of(Kind::Job)?,
        Names::Calls => of(Kind::Call)?,
        Names::Both => [of(Kind::Job)?, of(Kind::Call)?].concat(),
        Names::Schedules => {
            let mut found = Vec::new();
            for (owner, schedule) in schedules::all(&session)? {
                found.push(owner.name().to_owned());
                found.push(short(field(&schedule, "guid")));
            }
            found
        }
        Names::Executions => {
            let running = session.resources("/executions?states=PENDING,RUNNING&per_page=100")?;
            running.iter().map(|it| short(field(it, "guid"))).collect()
        }
        Names::Notifications => text("name", &notifications::all(&session)?),
        Names::Apps => match session.names_of(What::App)? {
            Some(names) => names,
            None => [Kind::Job, Kind::Call]
                .into_iter()
                .map(|kind| Ok(text("app_guid", &session.list(kind, false)?)))
                .collect::<Result<Vec<_>, Failure>>()?
                .concat(),
        },
        Names::Spaces => match session.names_of(What::Space)? {
            Some(names) => names,
            None => text("guid", &session.resources("/spaces")?),
        },
        Names::Contexts | Names::TimeZones | Names::None => Vec::new(),
    })
}

fn short(guid: &str) -> String {
    guid.chars().take(SHORT_GUID).collect()
}

fn contexts() -> Result<Vec<String>, Failure> {
    let contexts = Contexts::read().map_err(Failure::Usage)?;
    let mut names: Vec<String> = contexts.all.into_iter().map(|context| context.name).collect();
    if CfLogin::read().is_ok_and(|login| login.is_some()) {
        names.push(CF.to_owned());
    }
    if Running::find().is_some() {
        names.push(STANDALONE.to_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_interpret_is_not_offered() {
        for plain in ["nightly", "größer", "a.b_c-d", "team/report"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in ["$(reboot)", "a b", "a;b", "`x`", "-rf", "a'b", "a\nb", "*", "~", "a\\b", "#a", "!x"] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
