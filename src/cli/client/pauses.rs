//! Commands that pause jobs, calls and spaces, and resume them.

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::remote::encode;
use super::session::Session;
use crate::cli::arguments::Arguments;
use crate::cli::output::{Table, field, instant};
use crate::model::Kind;

/// How many spaces an error names.
const SPACES_NAMED: usize = 10;

pub(in crate::cli) fn list(session: &Session, _: &Arguments) -> Result<bool, Failure> {
    let spaces = session.resources("/spaces")?;
    session.look_up_spaces(&spaces, "guid");
    session.show_all(spaces, |spaces| table(session, spaces), "you have no role in any space");
    Ok(true)
}

pub(in crate::cli) fn pause(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    set_paused(session, arguments, true)
}

pub(in crate::cli) fn resume(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    set_paused(session, arguments, false)
}

fn set_paused(session: &Session, arguments: &Arguments, paused: bool) -> Result<bool, Failure> {
    let mut body = Map::new();
    body.insert("paused".to_owned(), paused.into());
    let verb = if paused { "paused" } else { "resumed" };
    let (path, title) = match arguments.operand(0) {
        Some(name) => {
            let of_space = ["until", "note"].into_iter().find(|flag| arguments.flag(flag).is_some());
            if let Some(flag) = of_space {
                return Err(Failure::Usage(format!("--{flag} is for a whole space; leave out {name:?}")));
            }
            let found = session.find(&[Kind::Job, Kind::Call], name, arguments.flag("app"))?;
            (found.path(), found.title())
        }
        None => {
            for (flag, name) in [("until", "paused_until"), ("note", "paused_note")] {
                if let Some(text) = arguments.flag(flag) {
                    body.insert(name.to_owned(), text.into());
                }
            }
            let space = space(session)?;
            session.look_up_spaces(&[json!({ "guid": space })], "guid");
            (format!("/spaces/{}", encode(&space)), format!("space {}", session.space_title(&space)))
        }
    };
    let changed = session.remote.patch(&path, &Value::from(body))?;
    session.show_or_say(&changed, &format!("{verb} {title}"));
    Ok(true)
}

/// The space that is named or logged in to, or the only one there is.
pub(super) fn space(session: &Session) -> Result<String, Failure> {
    if let Some(space) = session.space() {
        return Ok(space.to_owned());
    }
    let spaces = session.resources("/spaces")?;
    match spaces.as_slice() {
        [space] => Ok(field(space, "guid").to_owned()),
        [] => Err(Failure::Unauthorized("you have no role in any space".to_owned())),
        _ => {
            session.look_up_spaces(&spaces, "guid");
            let names: Vec<String> =
                spaces.iter().take(SPACES_NAMED).map(|it| session.space_title(field(it, "guid"))).collect();
            let more = if SPACES_NAMED < spaces.len() { ", …" } else { "" };
            Err(Failure::Usage(format!(
                "there are several spaces; name one with --space or SCHEDULER_SPACE: {}{more}",
                names.join(", ")
            )))
        }
    }
}

fn table(session: &Session, spaces: &[Value]) -> Table {
    let mut table = Table::new(&["NAME", "GUID", "JOBS", "CALLS", "SCHEDULES", "PAUSED", "UNTIL", "NOTE"]);
    for space in spaces {
        let number = |name: &str| space.get(name).unwrap_or(&json!(0)).to_string();
        let paused = if space["paused"] == true { "yes" } else { "no" };
        table.row(&[
            &session.space_title(field(space, "guid")),
            field(space, "guid"),
            &number("jobs"),
            &number("calls"),
            &number("schedules"),
            paused,
            &instant(space, "paused_until"),
            field(space, "paused_note"),
        ]);
    }
    table
}
