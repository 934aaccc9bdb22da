//! `edit`: opens a job or call as JSON in an editor, and sends only the changed fields.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use super::failure::Failure;
use super::session::Session;
use crate::cli::arguments::Arguments;
use crate::cli::nearest::suggestion;
use crate::config;
use crate::model::Kind;

/// The fields that can be changed, in the order of the API, without secrets.
const FIELDS: [&str; 16] = [
    "name",
    "command",
    "url",
    "method",
    "body",
    "success_statuses",
    "memory_in_mb",
    "disk_in_mb",
    "log_rate_in_bps",
    "timeout_seconds",
    "concurrency_policy",
    "retry",
    "paused",
    "metadata",
    "expect_success_within_seconds",
    "app_guid",
];

pub(in crate::cli) fn edit(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let found = session.find(&[Kind::Job, Kind::Call], arguments.required(0), arguments.flag("app"))?;
    let before: Map<String, Value> = FIELDS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), found.resource.get(name)?.clone())))
        .collect();
    let file = Draft::new(&before).map_err(|err| Failure::Usage(format!("cannot write a draft: {err}")))?;
    file.open_in_editor()?;
    let after = match file.read() {
        Ok(after) => after,
        Err(reason) => return Err(Failure::Usage(file.keep(&reason))),
    };
    if let Some(unknown) = after.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let meant = suggestion(unknown, FIELDS.into_iter());
        return Err(Failure::Refused(
            file.keep(&format!("{unknown:?} is not a field that can be changed{meant}")),
        ));
    }
    let changes = changes(&before, &after);
    if changes.is_empty() {
        session.show_or_say(&found.resource, "nothing was changed");
        return Ok(true);
    }
    // The user typed fields of the API, so messages name these.
    session.remote.name_fields();
    match session.remote.patch(&found.path(), &changes.clone().into()) {
        Ok(changed) => {
            let names: Vec<&str> = changes.keys().map(String::as_str).collect();
            session.show_or_say(&changed, &format!("changed {} of {}", names.join(", "), found.title()));
            Ok(true)
        }
        Err(Failure::Refused(reason)) => Err(Failure::Refused(file.keep(&reason))),
        Err(other) => Err(other),
    }
}

/// The PATCH that turns `before` into `after`; `null` for a field that was removed.
fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut changes = Map::new();
    for (name, value) in after {
        let old = before.get(name).unwrap_or(&Value::Null);
        if old != value {
            let value = if name == "metadata" { merged(old, value) } else { value.clone() };
            changes.insert(name.clone(), value);
        }
    }
    for (name, old) in before {
        if !after.contains_key(name) && !old.is_null() {
            changes.insert(name.clone(), Value::Null);
        }
    }
    changes
}

/// The API merges the keys of metadata, so a removed key must be sent with `null`.
fn merged(before: &Value, after: &Value) -> Value {
    let mut merged = after.clone();
    let (Some(before), Some(fields)) = (before.as_object(), merged.as_object_mut()) else { return merged };
    for (name, old) in before {
        let strings = fields.entry(name.clone()).or_insert_with(|| Map::new().into());
        let (Some(old), Some(strings)) = (old.as_object(), strings.as_object_mut()) else { continue };
        for key in old.keys() {
            strings.entry(key.clone()).or_insert(Value::Null);
        }
    }
    merged
}

/// A file that only its user can read. It is deleted on drop, unless it is kept.
struct Draft {
    path: PathBuf,
    is_kept: std::cell::Cell<bool>,
}

impl Draft {
    fn new(fields: &Map<String, Value>) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("ocf-scheduler-{}.json", uuid::Uuid::new_v4()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Self { path, is_kept: std::cell::Cell::new(false) };
        file.write_all(format!("{:#}\n", Value::from(fields.clone())).as_bytes())?;
        Ok(draft)
    }

    fn open_in_editor(&self) -> Result<(), Failure> {
        let given = |name: &str| config::variable(name).filter(|editor| !editor.trim().is_empty());
        let editor = given("VISUAL").or_else(|| given("EDITOR")).unwrap_or_else(|| "vi".to_owned());
        // The editor may have arguments, as in `code --wait`.
        let script = format!("{editor} \"$1\"");
        let status = Command::new("sh").args(["-c", &script, "sh"]).arg(&self.path).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(Failure::Usage(format!(
                "the editor {editor:?} failed, so nothing was changed; set EDITOR to another one"
            ))),
            Err(err) => Err(Failure::Usage(format!("the editor {editor:?} cannot be started: {err}"))),
        }
    }

    fn read(&self) -> Result<Map<String, Value>, String> {
        let text = fs::read_to_string(&self.path).map_err(|err| err.to_string())?;
        serde_json::from_str(&text).map_err(|err| format!("this is not a JSON object: {err}"))
    }

    /// Keeps the file, and tells the user where it is.
    fn keep(&self, reason: &str) -> String {
        self.is_kept.set(true);
        format!("{reason}\nNothing was changed. Your text is in {}", shown(&self.path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept.get() {
            // The remaining file contains no secret.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_changed_is_sent() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let before = map(json!({"name": "a", "body": null, "retry": {"max_retries": 1},
            "metadata": {"labels": {"x": "1", "y": "2"}, "annotations": {}}}));
        assert!(changes(&before, &before).is_empty());
        let after = map(json!({"name": "b", "body": null, "metadata": {"labels": {"y": "3"}}}));
        let expected = json!({"name": "b", "retry": null,
            "metadata": {"labels": {"x": null, "y": "3"}, "annotations": {}}});
        assert_eq!(changes(&before, &after), map(expected));
    }
}
