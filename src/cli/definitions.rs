//! Files that define jobs, calls, their schedules, and notifications: how they are read and written.
//!
//! Invariant: an unknown field is refused, because the service would ignore it. The value of a variable is a
//! secret.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::nearest::nearest;
use crate::model::Kind;

/// The label that says to which file a job or call belongs.
pub(super) const OWNER_LABEL: &str = "scheduler.ocf/file";
/// The key of a schedule whose definition has none.
const DEFAULT_KEY: &str = "default";

const ROOT: &[&str] = &["name", "app", "dialect", "job", "call", "notification"];
const OF_BOTH: &[&str] = &[
    "name",
    "app",
    "timeout_seconds",
    "concurrency_policy",
    "retry",
    "paused",
    "labels",
    "annotations",
    "expect_success_within_seconds",
    "schedule",
];
const OF_JOB: &[&str] = &["command", "memory_in_mb", "disk_in_mb", "log_rate_in_bps"];
const OF_CALL: &[&str] =
    &["url", "auth_header", "method", "headers", "body", "success_statuses", "signing_secret"];
/// Without its key and its dialect.
pub(super) const OF_SCHEDULE: &[&str] = &[
    "expression",
    "timezone",
    "description",
    "enabled",
    "starts_at",
    "ends_at",
    "jitter_seconds",
    "misfire_policy",
];
const OF_NOTIFICATION: &[&str] = &[
    "name",
    "url",
    "format",
    "secret",
    "headers",
    "events",
    "jobs",
    "calls",
    "label_selector",
    "after_failures",
    "remind_after_seconds",
    "enabled",
];

/// The contents of a file.
#[derive(Debug, PartialEq)]
pub(super) struct Definitions {
    /// What its jobs and calls are labelled with.
    pub(super) name: String,
    /// Whether the file itself sets its name.
    pub(super) is_named: bool,
    pub(super) executables: Vec<Executable>,
    pub(super) notifications: Vec<Notification>,
    /// The variables that the file uses, with their values.
    pub(super) variables: BTreeMap<String, String>,
}

/// A job or call.
#[derive(Debug, PartialEq)]
pub(super) struct Executable {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Guid or name of its app; `None` if the file does not say.
    pub(super) app: Option<String>,
    pub(super) body: Body,
    pub(super) schedules: Vec<Schedule>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Schedule {
    pub(super) key: String,
    /// The dialect in which its expression is meant; `None` if the file does not say.
    pub(super) dialect: Option<String>,
    pub(super) body: Body,
}

#[derive(Debug, PartialEq)]
pub(super) struct Notification {
    pub(super) name: String,
    /// Names, or APP/NAME.
    pub(super) jobs: Vec<String>,
    pub(super) calls: Vec<String>,
    pub(super) body: Body,
}

/// The fields of the API.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Body {
    pub(super) fields: Map<String, Value>,
    /// Fields whose values came from variables.
    pub(super) secrets: BTreeSet<String>,
}

/// Reads a file. `stem` is the name of a file that does not set one. The error lists every fault.
pub(super) fn parse(
    text: &str,
    is_json: bool,
    stem: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Definitions, Vec<String>> {
    let root = match is_json {
        true => serde_json::from_str(text).map_err(|err| vec![format!("this is not JSON: {err}")])?,
        false => {
            let table: toml::Table =
                text.parse().map_err(|err: toml::de::Error| vec![not_toml(text, &err)])?;
            from_toml(toml::Value::Table(table))
        }
    };
    let Value::Object(mut root) = root else { return Err(vec!["this is not an object".to_owned()]) };
    let mut reader = Reader {
        faults: Vec::new(),
        missing: BTreeMap::new(),
        used: BTreeMap::new(),
        dialect: None,
        variable,
    };
    reader.check_names("the file", &root, &[ROOT]);
    let name = reader.text("the file", &mut root, "name");
    let is_named = name.is_some();
    let name = name.unwrap_or_else(|| stem.to_owned());
    if !is_label_value(&name) {
        reader.faults.push(format!(
            "the file's name is {name:?}; it must be {A_LABEL_VALUE}; set name = \"…\" at its beginning"
        ));
    }
    let app = reader.text("the file", &mut root, "app");
    reader.dialect = reader.text("the file", &mut root, "dialect");
    let mut executables = Vec::new();
    for (kind, field) in [(Kind::Job, "job"), (Kind::Call, "call")] {
        for table in reader.tables("the file", &mut root, field) {
            executables.extend(reader.executable(kind, table, app.as_deref()));
        }
    }
    let tables = reader.tables("the file", &mut root, "notification");
    let notifications: Vec<_> = tables.into_iter().filter_map(|table| reader.notification(table)).collect();
    for (index, one) in executables.iter().enumerate() {
        let of = |it: &Executable| (it.kind, it.app.clone(), it.name.clone());
        if executables[..index].iter().any(|other| of(other) == of(one)) {
            reader.faults.push(format!(
                "there are two {}s {:?} of the same app",
                one.kind.as_str(),
                one.name
            ));
        }
    }
    for (index, one) in notifications.iter().enumerate() {
        if notifications[..index].iter().any(|other| other.name == one.name) {
            reader.faults.push(format!("there are two notifications {:?}", one.name));
        }
    }
    let variables = std::mem::take(&mut reader.used);
    let faults = reader.finish();
    match faults.is_empty() {
        true => Ok(Definitions { name, is_named, executables, notifications, variables }),
        false => Err(faults),
    }
}

fn not_toml(text: &str, error: &toml::de::Error) -> String {
    // The first line with something on it, which in YAML begins a mapping or a document.
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let is_yaml = first
        .is_some_and(|line| line == "---" || line.split_once(':').is_some_and(|(key, _)| is_variable(key)));
    let hint = if is_yaml { "; definitions are TOML or JSON, not YAML" } else { "" };
    format!("this is not TOML{hint}: {error}")
}

fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(from_toml).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name, from_toml(value))).collect())
        }
    }
}

/// What [`is_label_value`] expects, for messages.
pub(super) const A_LABEL_VALUE: &str =
    "1 to 63 letters, digits, -, _ and . that begin and end with a letter or digit";

pub(super) fn is_label_value(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

struct Reader<'a> {
    faults: Vec<String>,
    /// The variables that are not set, each with the fields that need it.
    missing: BTreeMap<String, Vec<String>>,
    /// The variables that are used, with their values.
    used: BTreeMap<String, String>,
    /// The dialect of schedules that do not set one.
    dialect: Option<String>,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    /// Every fault; a variable that is not set is one, however many fields need it.
    fn finish(self) -> Vec<String> {
        let mut faults = self.faults;
        faults.extend(self.missing.into_iter().map(|(name, places)| {
            let others = match places.len() - 1 {
                0 => String::new(),
                1 => " and another field".to_owned(),
                others => format!(" and {others} other fields"),
            };
            format!("the variable {name} is not set; it is needed for {}{others}", places[0])
        }));
        faults
    }

    fn executable(
        &mut self,
        kind: Kind,
        mut table: Map<String, Value>,
        app: Option<&str>,
    ) -> Option<Executable> {
        let place = kind.as_str().to_owned();
        let Some(name) = self.text(&place, &mut table, "name") else {
            self.faults.push(format!("a {place} has no name"));
            return None;
        };
        let place = format!("{place} {name}");
        let own = if kind == Kind::Job { OF_JOB } else { OF_CALL };
        self.check_names(&place, &table, &[OF_BOTH, own]);
        let app = self.text(&place, &mut table, "app").or_else(|| app.map(str::to_owned));
        if let Some(Value::String(expression)) = table.get("schedule") {
            let mut schedule = Map::new();
            schedule.insert("expression".to_owned(), expression.as_str().into());
            table.insert("schedule".to_owned(), Value::Array(vec![schedule.into()]));
        }
        let mut schedules: Vec<Schedule> = Vec::new();
        for mut table in self.schedules(kind, &place, &mut table) {
            let key = self.text(&place, &mut table, "key").unwrap_or_else(|| DEFAULT_KEY.to_owned());
            let of = format!("schedule {key} of {place}");
            self.check_names(&of, &table, &[&["key", "dialect"], OF_SCHEDULE]);
            let dialect = self.text(&of, &mut table, "dialect").or_else(|| self.dialect.clone());
            // TOML has no null, which the API takes for UTC.
            if table.get("timezone").is_some_and(|timezone| timezone == "") {
                table.insert("timezone".to_owned(), Value::Null);
            }
            if schedules.iter().any(|other| other.key == key) {
                self.faults.push(format!("{place} has two schedules with the key {key:?}"));
            }
            schedules.push(Schedule { key, dialect, body: self.body(&of, table) });
        }
        let mut metadata = Map::new();
        for field in ["labels", "annotations"] {
            if let Some(value) = table.remove(field) {
                self.check_texts(&format!("{field} of {place}"), &value);
                metadata.insert(field.to_owned(), value);
            }
        }
        let labels = metadata.get("labels").and_then(Value::as_object);
        if labels.is_some_and(|labels| labels.contains_key(OWNER_LABEL)) {
            self.faults.push(format!("{place} has the label {OWNER_LABEL}, which says what this file owns"));
        }
        if !metadata.is_empty() {
            table.insert("metadata".to_owned(), metadata.into());
        }
        if kind == Kind::Call {
            table.entry("auth_header").or_insert_with(|| "".into());
        }
        let body = self.body(&place, table);
        let url = body.fields.get("url").and_then(Value::as_str);
        if url.is_some_and(|url| !is_web_url(url)) {
            self.faults.push(format!("url of {place} must begin with http:// or https://"));
        }
        Some(Executable { kind, name, app, body, schedules })
    }

    fn notification(&mut self, mut table: Map<String, Value>) -> Option<Notification> {
        let Some(name) = self.text("notification", &mut table, "name") else {
            self.faults.push("a notification has no name".to_owned());
            return None;
        };
        let place = format!("notification {name}");
        self.check_names(&place, &table, &[OF_NOTIFICATION]);
        let mut names = |field: &str| match table.remove(field) {
            None => Vec::new(),
            Some(value) => serde_json::from_value(value).unwrap_or_else(|_| {
                self.faults.push(format!("{field} of {place} is not a list of names"));
                Vec::new()
            }),
        };
        let (jobs, calls) = (names("jobs"), names("calls"));
        Some(Notification { jobs, calls, body: self.body(&place, table), name })
    }

    /// Refuses fields that are in none of the lists.
    fn check_names(&mut self, place: &str, table: &Map<String, Value>, known: &[&[&'static str]]) {
        let known = || known.iter().copied().flatten().copied();
        for name in table.keys().filter(|name| !known().any(|known| known == name.as_str())) {
            self.faults.push(match nearest(name, known()) {
                Some(meant) => format!("{place} has a field {name:?}; did you mean {meant}?"),
                None => format!("{place} has a field {name:?}, which is unknown"),
            });
        }
    }

    fn text(&mut self, place: &str, table: &mut Map<String, Value>, field: &str) -> Option<String> {
        match table.remove(field)? {
            Value::String(text) => self.filled(&format!("{field} of {place}"), &text).map(|(text, _)| text),
            _ => {
                self.faults.push(format!("{field} of {place} is not a string"));
                None
            }
        }
    }

    fn tables(
        &mut self,
        place: &str,
        table: &mut Map<String, Value>,
        field: &str,
    ) -> Vec<Map<String, Value>> {
        let Some(value) = table.remove(field) else { return Vec::new() };
        serde_json::from_value(value).unwrap_or_else(|_| {
            self.faults
                .push(format!("{field} of {place} is not a list of tables; begin each one with [[{field}]]"));
            Vec::new()
        })
    }

    fn schedules(
        &mut self,
        kind: Kind,
        place: &str,
        table: &mut Map<String, Value>,
    ) -> Vec<Map<String, Value>> {
        let Some(value) = table.remove("schedule") else { return Vec::new() };
        serde_json::from_value(value).unwrap_or_else(|_| {
            self.faults.push(format!(
                "schedule of {place} is neither an expression in quotes nor a list of tables; begin each \
                 table with [[{}.schedule]]",
                kind.as_str()
            ));
            Vec::new()
        })
    }

    /// Refuses all but a table of texts.
    fn check_texts(&mut self, place: &str, value: &Value) {
        let Some(fields) = value.as_object() else {
            return self.faults.push(format!("{place} is not a table of strings"));
        };
        for (name, _) in fields.iter().filter(|(_, value)| !value.is_string()) {
            self.faults.push(format!("{name:?} in {place} is not a string; put it in quotes"));
        }
    }

    /// The fields with the values of variables.
    fn body(&mut self, place: &str, table: Map<String, Value>) -> Body {
        let mut body = Body::default();
        for (name, mut value) in table {
            if self.fill(&format!("{name} of {place}"), &mut value) {
                body.secrets.insert(name.clone());
            }
            body.fields.insert(name, value);
        }
        body
    }

    /// Puts the values of variables into all texts. Returns whether there was one.
    fn fill(&mut self, place: &str, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let Some((filled, is_changed)) = self.filled(place, text) else { return false };
                *text = filled;
                is_changed
            }
            Value::Array(values) => {
                values.iter_mut().fold(false, |found, value| self.fill(place, value) | found)
            }
            Value::Object(fields) => {
                fields.values_mut().fold(false, |found, value| self.fill(place, value) | found)
            }
            _ => false,
        }
    }

    /// `${NAME}` is the value of a variable, `$${` stands for `${`.
    fn filled(&mut self, place: &str, text: &str) -> Option<(String, bool)> {
        let (mut filled, mut rest, mut has_variable) = (String::new(), text, false);
        while let Some(start) = rest.find("${") {
            let (before, after) = (&rest[..start], &rest[start + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                filled.push_str(before);
                filled.push_str("${");
                rest = after;
                continue;
            }
            filled.push_str(before);
            let name = after.split_once('}').map(|(name, _)| name).filter(|name| is_variable(name));
            let Some(name) = name else {
                let hint = "write ${NAME} for a variable, and $${ for what a shell is to see as ${";
                self.faults.push(format!("{place} has ${{ without the name of a variable; {hint}"));
                return None;
            };
            let Some(value) = (self.variable)(name) else {
                self.missing.entry(name.to_owned()).or_default().push(place.to_owned());
                return None;
            };
            filled.push_str(&value);
            self.used.insert(name.to_owned(), value);
            has_variable = true;
            rest = &after[name.len() + 1..];
        }
        filled.push_str(rest);
        Some((filled, has_variable))
    }
}

/// Whether a call or notification can be sent to it.
pub(super) fn is_web_url(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            && scheme.len() < url.len()
    })
}

fn is_variable(name: &str) -> bool {
    let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.as_bytes().first().is_some_and(is_start)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The name of a variable that is made of these words.
pub(super) fn variable_of(words: &[&str]) -> String {
    let name = words.join("_").to_uppercase();
    name.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect()
}

/// A value in which no variable is replaced when it is read.
pub(super) fn literal(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace("${", "$${").into(),
        Value::Array(values) => values.into_iter().map(literal).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, literal(value))).collect())
        }
        other => other,
    }
}

/// What is written: fields in a fixed order, then tables.
#[derive(Debug)]
pub(super) enum Item {
    Plain(Value),
    Table(Vec<(String, Item)>),
    Tables(Vec<Item>),
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::Table(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, item) in fields {
                    map.serialize_entry(name, item)?;
                }
                map.end()
            }
            Self::Tables(tables) => {
                let mut list = serializer.serialize_seq(Some(tables.len()))?;
                for table in tables {
                    list.serialize_element(table)?;
                }
                list.end()
            }
        }
    }
}

/// The fields of a job, call, schedule or notification that are written, in this order; what is as a new one
/// would have it is left out.
pub(super) fn written(
    resource: &Value,
    fields: &[&'static str],
    defaults: &[(&str, Value)],
) -> Vec<(String, Item)> {
    let is_default = |name: &str, value: &Value| {
        value.is_null()
            || *value == Value::Object(Map::new())
            || *value == Value::Array(Vec::new())
            || defaults.iter().any(|(field, default)| *field == name && default == value)
    };
    let mut written = Vec::new();
    for name in fields {
        let value = &resource[*name];
        if !is_default(name, value) {
            let mut value = literal(value.clone());
            if let Value::Object(fields) = &mut value {
                fields.retain(|_, value| !value.is_null());
            }
            written.push(((*name).to_owned(), Item::Plain(value)));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Definitions, Vec<String>> {
        let variable = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
        parse(text, false, "stem", &variable)
    }

    #[test]
    fn a_file_defines_jobs_calls_schedules_and_notifications() {
        let text = r#"
            app = "reports"
            [[job]]
            name = "nightly"
            command = "echo $HOME $${HOME}"
            labels = { team = "billing" }
            schedule = "0 9 * * *"
            [[call]]
            name = "ping"
            app = "web"
            url = "https://example.com/"
            auth_header = "Bearer ${TOKEN}"
            [[call.schedule]]
            key = "often"
            expression = "* * * * *"
            starts_at = 2030-01-01T00:00:00Z
            [[notification]]
            name = "ops"
            url = "https://hooks.example.com/"
            jobs = ["nightly"]
        "#;
        let read = read(text).unwrap();
        assert_eq!(read.name, "stem");
        let [job, call] = &read.executables[..] else { panic!("{read:?}") };
        assert_eq!((job.name.as_str(), job.app.as_deref()), ("nightly", Some("reports")));
        let expected = json!({"command": "echo $HOME ${HOME}", "metadata": {"labels": {"team": "billing"}}});
        assert_eq!(Value::from(job.body.fields.clone()), expected);
        assert!(job.body.secrets.is_empty());
        assert_eq!((job.schedules[0].key.as_str(), job.schedules.len()), ("default", 1));
        assert_eq!(
            (call.app.as_deref(), &call.body.fields["auth_header"]),
            (Some("web"), &json!("Bearer s3cret"))
        );
        assert!(call.body.secrets.contains("auth_header"));
        assert_eq!(call.schedules[0].body.fields["starts_at"], "2030-01-01T00:00:00Z");
        assert_eq!(read.notifications[0].jobs, ["nightly"]);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let text = r#"
            name = "-"
            jobs = []
            [[job]]
            name = "a"
            comand = "x"
            command = "${MISSING} ${x:-y}"
            labels = { a = "${MISSING}" }
            [[job.schedule]]
            expression = "* * * * *"
            [[job.schedule]]
            expression = "@daily"
            [[job]]
            name = "a"
            [[job]]
            name = "b"
            labels = { team = 5 }
            schedule = 5
            [[call]]
            url = "x"
            [[call]]
            name = "f"
            url = "ftp://example.com/"
        "#;
        let faults = read(text).unwrap_err().join("\n");
        for fault in [
            "did you mean job?",
            "name is \"-\"",
            "did you mean command?",
            "the variable MISSING is not set; it is needed for command of job a and another field",
            "two schedules with the key \"default\"",
            "two jobs \"a\"",
            "\"team\" in labels of job b is not a string",
            "schedule of job b is neither an expression in quotes nor a list of tables; begin each table with \
             [[job.schedule]]",
            "url of call f must begin with http",
            "a call has no name",
        ] {
            assert!(faults.contains(fault), "{fault}: {faults}");
        }
        assert!(read("[[job]]\nname = \"a\"\ncommand = \"${x:-y}\"").unwrap_err()[0].contains("$${"));
        assert!(read("job = 1").unwrap_err()[0].contains("[[job]]"));
        assert!(read("[[job]").unwrap_err()[0].contains("not TOML: "));
        assert!(read("# jobs\njob:\n  - name: a").unwrap_err()[0].contains("not YAML"));
    }
}
