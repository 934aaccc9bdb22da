//! `export`, `plan` and `apply`: jobs, calls, schedules and notifications in files.
//!
//! Invariant: every request can be repeated, so an `apply` that was interrupted can be run again. `plan` sends
//! the same requests with `dry_run`, so the service itself says what would change, of secrets too.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::remote::encode;
use super::session::{Session, plural};
use crate::cli::arguments::Arguments;
use crate::cli::definitions::{
    self, Body, Definitions, Executable, Item, Notification, OWNER_LABEL, Schedule, literal, variable_of,
    written,
};
use crate::cli::output::{Table, field, print};
use crate::config;
use crate::model::Kind;

/// The exit status of `plan` where there is something to change.
pub(in crate::cli) const DIFFERS: u8 = 2;
/// The most that is read of a file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The longest value that a difference shows, in characters.
const SHOWN_CHARS_MAX: usize = 60;
/// Fields that no file sets.
const NOT_COMPARED: [&str; 16] = [
    "guid",
    "name",
    "state",
    "created_at",
    "updated_at",
    "app_guid",
    "space_guid",
    "schedules",
    "next_fire_time",
    "last_execution",
    "completed_at",
    "dialect",
    "expression_type",
    "job_guid",
    "call_guid",
    "disabled_reason",
];
const SECRETS: [&str; 3] = ["auth_header", "headers", "secret"];
/// Headers whose values are no secrets.
const HARMLESS_HEADERS: [&str; 5] =
    ["accept", "accept-language", "content-language", "content-type", "user-agent"];

/// What is done, or would be, to one thing.
struct Step {
    /// `created`, `replaced`, `adopted`, `deleted` or `unchanged`.
    change: String,
    /// For example `job nightly of app reports`.
    what: String,
    /// A line for each field that differs.
    differences: Vec<String>,
}

/// A job or call of the file.
struct Defined {
    kind: Kind,
    app: String,
    name: String,
    /// Empty if it is only going to be made.
    guid: String,
}

/// One run through a file.
struct Run<'a> {
    session: &'a Session,
    definitions: &'a Definitions,
    is_dry_run: bool,
    prunes: bool,
    /// What the service has, with its schedules.
    found: Vec<(Kind, Value)>,
    /// The jobs and calls of the file.
    guids: Vec<Defined>,
    space: Option<String>,
    /// Schedules to prune: what they are, and their paths.
    gone: Vec<(String, String)>,
    steps: Vec<Step>,
    refused: Vec<String>,
}

pub(in crate::cli) fn plan(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    go_through(session, arguments, true).map(|changes| changes == 0)
}

pub(in crate::cli) fn apply(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    go_through(session, arguments, false).map(|_| true)
}

/// Returns how many changes there are.
fn go_through(session: &Session, arguments: &Arguments, is_dry_run: bool) -> Result<usize, Failure> {
    let definitions = read(arguments.required(0))?;
    // Messages name the fields of the file.
    session.remote.name_fields();
    let mut found = Vec::new();
    for kind in [Kind::Job, Kind::Call] {
        found.extend(session.list(kind, true)?.into_iter().map(|resource| (kind, resource)));
    }
    let mut run = Run {
        session,
        definitions: &definitions,
        is_dry_run,
        prunes: arguments.has("prune"),
        found,
        guids: Vec::new(),
        space: session.space().map(str::to_owned),
        gone: Vec::new(),
        steps: Vec::new(),
        refused: Vec::new(),
    };
    let default_app = session.app_of(arguments)?;
    let done = run.all(default_app.as_deref());
    run.report();
    done?;
    match run.refused.is_empty() {
        true => Ok(run.steps.iter().filter(|step| step.change != "unchanged").count()),
        false => {
            let left = if run.prunes { ", so nothing was pruned" } else { "" };
            let count = run.refused.len();
            Err(Failure::Refused(format!(
                "refused{left}:\n  {}\n{count} definition{} cannot be applied",
                run.refused.join("\n  "),
                if count == 1 { "" } else { "s" },
            )))
        }
    }
}

impl Run<'_> {
    fn all(&mut self, default_app: Option<&str>) -> Result<(), Failure> {
        for definition in &self.definitions.executables {
            let app = match definition.app.as_deref().or(default_app) {
                Some(app) => self.session.app(app)?,
                None => {
                    let hint = "set app = \"…\" in the file, --app or SCHEDULER_APP";
                    let (kind, name) = (definition.kind.as_str(), &definition.name);
                    return Err(Failure::Usage(format!("{kind} {name} needs an app: {hint}")));
                }
            };
            self.executable(definition, &app)?;
        }
        for notification in &self.definitions.notifications {
            self.notification(notification)?;
        }
        if self.prunes && self.refused.is_empty() {
            self.prune()?;
        }
        Ok(())
    }

    fn executable(&mut self, definition: &Executable, app: &str) -> Result<(), Failure> {
        let Executable { kind, name, body, .. } = definition;
        let what = format!("{} {name} of app {}", kind.as_str(), self.session.app_title(app));
        let is_it = |(of_kind, resource): &&(Kind, Value)| {
            of_kind == kind && field(resource, "name") == name && field(resource, "app_guid") == app
        };
        let now = self.found.iter().find(is_it).map(|(_, resource)| resource.clone());
        let mut fields = body.fields.clone();
        own(&mut fields, &self.definitions.name);
        keep(&mut fields, now.as_ref(), "paused", &Value::Bool(true));
        let path = format!("/{}?app_guid={}&name={}", plural(*kind), encode(app), encode(name));
        let Some(answer) = self.put(&what, &path, &fields.into(), now.as_ref(), body)? else { return Ok(()) };
        if self.space.is_none() {
            self.space = Some(field(&answer, "space_guid").to_owned());
        }
        let guid = match &now {
            Some(now) => field(now, "guid").to_owned(),
            None if self.is_dry_run => String::new(),
            None => field(&answer, "guid").to_owned(),
        };
        let schedules = now.as_ref().and_then(|now| now["schedules"].as_array()).cloned().unwrap_or_default();
        self.guids.push(Defined { kind: *kind, app: app.to_owned(), name: name.clone(), guid: guid.clone() });
        let parent = format!("/{}/{}/schedules", plural(*kind), encode(&guid));
        for schedule in &definition.schedules {
            let what = format!("schedule {} of {what}", schedule.key);
            match guid.is_empty() {
                true => self.schedule_of_new(&what, schedule)?,
                false => self.schedule(&what, &parent, schedule, &schedules, definition)?,
            }
        }
        if self.prunes {
            let is_defined = |key: &str| definition.schedules.iter().any(|schedule| schedule.key == key);
            for schedule in &schedules {
                let key = field(schedule, "key");
                if !key.is_empty() && !is_defined(key) {
                    let path = format!("{parent}/{}", encode(field(schedule, "guid")));
                    self.gone.push((format!("schedule {key} of {what}"), path));
                }
            }
        }
        Ok(())
    }

    /// Its job or call is not there yet, so that all that can be judged is its expression.
    fn schedule_of_new(&mut self, what: &str, schedule: &Schedule) -> Result<(), Failure> {
        let mut asked = Map::new();
        for name in ["expression", "timezone"] {
            if let Some(value) = schedule.body.fields.get(name) {
                asked.insert(name.to_owned(), value.clone());
            }
        }
        match self.session.remote.post("/schedules/validate", Some(&asked.into())) {
            Ok(answer) => match answer["errors"].as_array().and_then(|errors| errors.first()) {
                Some(error) => self.refused.push(format!("{what}: {}", field(error, "message"))),
                None => self.step("created", what, Vec::new()),
            },
            Err(Failure::Refused(reason)) => self.refused.push(format!("{what}: {reason}")),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn schedule(
        &mut self,
        what: &str,
        parent: &str,
        schedule: &Schedule,
        there: &[Value],
        of: &Executable,
    ) -> Result<(), Failure> {
        let now = there.iter().find(|it| field(it, "key") == schedule.key);
        if now.is_none()
            && let Some(plain) = adoptable(schedule, there, of)
        {
            let differences = vec![format!("key: null → {:?}", schedule.key)];
            let path = format!("{parent}/{}", encode(field(plain, "guid")));
            if self.is_dry_run {
                self.step("adopted", what, differences);
                return Ok(());
            }
            self.session.remote.patch(&path, &json!({"key": schedule.key}))?;
            self.step("adopted", what, differences);
        }
        let mut fields = schedule.body.fields.clone();
        keep(&mut fields, now, "enabled", &Value::Bool(false));
        let path = format!("{parent}?key={}", encode(&schedule.key));
        self.put(what, &path, &fields.into(), now, &schedule.body).map(|_| ())
    }

    fn notification(&mut self, notification: &Notification) -> Result<(), Failure> {
        let Notification { name, body, .. } = notification;
        let what = format!("notification {name}");
        if self.space.is_none() {
            let spaces = self.session.resources("/spaces")?;
            let [space] = spaces.as_slice() else {
                return Err(Failure::Usage(format!("{what} needs a space: set --space or SCHEDULER_SPACE")));
            };
            self.space = Some(field(space, "guid").to_owned());
        }
        let space = self.space.clone().unwrap_or_default();
        let mut fields = body.fields.clone();
        for (member, kind, names) in
            [("job_guids", Kind::Job, &notification.jobs), ("call_guids", Kind::Call, &notification.calls)]
        {
            let mut guids = Vec::new();
            for name in names {
                match self.guid_of(kind, name)? {
                    Some(guid) => guids.push(guid),
                    None => {
                        self.refused.push(format!("{what}: there is no {} {name:?}", kind.as_str()));
                        return Ok(());
                    }
                }
            }
            guids.retain(|guid| !guid.is_empty());
            if !guids.is_empty() {
                fields.insert(member.to_owned(), guids.into());
            }
        }
        let list = format!("/notifications?space_guid={}", encode(&space));
        let there = self.session.resources(&list)?;
        let now = there.iter().find(|it| field(it, "name") == name);
        keep(&mut fields, now, "enabled", &Value::Bool(false));
        let path = format!("{list}&name={}", encode(name));
        self.put(&what, &path, &fields.into(), now, body).map(|_| ())
    }

    /// The guid of a job or call by NAME or APP/NAME. It is empty if it is only going to be made.
    fn guid_of(&self, kind: Kind, wanted: &str) -> Result<Option<String>, Failure> {
        let is_it = |of_kind: Kind, name: &str, app: &str| {
            let of = wanted.strip_suffix(name).and_then(|rest| rest.strip_suffix('/'));
            let is_of = |of: &str| of == app || of == self.session.app_title(app);
            of_kind == kind && (name == wanted || of.is_some_and(is_of))
        };
        let own = self.guids.iter().filter(|it| is_it(it.kind, &it.name, &it.app)).map(|it| it.guid.as_str());
        let own: Vec<&str> = own.collect();
        let others = self
            .found
            .iter()
            .filter(|(of_kind, it)| is_it(*of_kind, field(it, "name"), field(it, "app_guid")));
        // The file's own win over others of the name.
        let fitting = if own.is_empty() { others.map(|(_, it)| field(it, "guid")).collect() } else { own };
        match fitting.as_slice() {
            [one] => Ok(Some((*one).to_owned())),
            [] => Ok(None),
            _ => Err(Failure::NotFound(format!(
                "several {} are named {wanted:?}; write APP/NAME",
                plural(kind)
            ))),
        }
    }

    /// `None`: the service has refused it.
    fn put(
        &mut self,
        what: &str,
        path: &str,
        body: &Value,
        now: Option<&Value>,
        defined: &Body,
    ) -> Result<Option<Value>, Failure> {
        let dry_run = if self.is_dry_run { "&dry_run=true" } else { "" };
        match self.session.remote.put(&format!("{path}{dry_run}"), body) {
            Ok((answer, change)) => {
                let differences = match (now, change.as_str()) {
                    (Some(now), "replaced") => differences(now, &answer, defined),
                    _ => Vec::new(),
                };
                self.step(&change, what, differences);
                Ok(Some(answer))
            }
            Err(Failure::Refused(reason)) => {
                let reason =
                    reason.strip_prefix("refused:").unwrap_or(&reason).trim_start().replace('\n', "\n  ");
                self.refused.push(format!("{what}: {reason}"));
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Deletes schedules with a key that is not in the file, and jobs and calls that carry the label of this
    /// file and are not in it.
    fn prune(&mut self) -> Result<(), Failure> {
        let kept: Vec<&String> = self.guids.iter().map(|it| &it.guid).collect();
        let executables: Vec<(String, String)> = self
            .found
            .iter()
            .filter(|(_, it)| {
                let owner = it["metadata"]["labels"][OWNER_LABEL].as_str();
                owner == Some(&self.definitions.name) && !kept.iter().any(|guid| *guid == field(it, "guid"))
            })
            .map(|(kind, it)| {
                let app = self.session.app_title(field(it, "app_guid"));
                let what = format!("{} {} of app {app}", kind.as_str(), field(it, "name"));
                (what, format!("/{}/{}", plural(*kind), encode(field(it, "guid"))))
            })
            .collect();
        let gone = std::mem::take(&mut self.gone);
        for (what, path) in gone.into_iter().chain(executables) {
            self.delete(what, &path)?;
        }
        Ok(())
    }

    fn delete(&mut self, what: String, path: &str) -> Result<(), Failure> {
        if !self.is_dry_run {
            match self.session.remote.delete(path) {
                // Somebody else was faster.
                Ok(()) | Err(Failure::NotFound(_)) => (),
                Err(failure) => return Err(failure),
            }
        }
        self.step("deleted", &what, Vec::new());
        Ok(())
    }

    fn step(&mut self, change: &str, what: &str, differences: Vec<String>) {
        self.steps.push(Step { change: change.to_owned(), what: what.to_owned(), differences });
    }

    fn report(&self) {
        let count = |change: &str| self.steps.iter().filter(|step| step.change == change).count();
        if !self.session.is_for_people() {
            let steps = self
                .steps
                .iter()
                .map(|it| json!({"change": it.change, "what": it.what, "differences": it.differences}));
            return self.session.show_all(steps.collect(), table, "nothing is defined");
        }
        let mut lines = Vec::new();
        for step in self.steps.iter().filter(|step| step.change != "unchanged") {
            let mark = match step.change.as_str() {
                "created" => '+',
                "deleted" => '-',
                _ => '~',
            };
            lines.push(format!("{mark} {}", step.what));
            lines.extend(step.differences.iter().map(|difference| format!("    {difference}")));
        }
        let words = if self.is_dry_run {
            ["to create", "to change", "to delete"]
        } else {
            ["created", "changed", "deleted"]
        };
        let changed = count("replaced") + count("adopted");
        lines.push(format!(
            "{} {}, {changed} {}, {} {}, {} unchanged",
            count("created"),
            words[0],
            words[1],
            count("deleted"),
            words[2],
            count("unchanged"),
        ));
        self.session.print_lines(&lines);
    }
}

fn table(steps: &[Value]) -> Table {
    let mut table = Table::new(&["CHANGE", "WHAT", "DIFFERENCES"]);
    for step in steps {
        let differences: Vec<&str> =
            step["differences"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        table.row(&[field(step, "change"), field(step, "what"), &differences.join("; ")]);
    }
    table
}

/// The label of the file that owns it.
fn own(fields: &mut Map<String, Value>, name: &str) {
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    // What is no object is refused by the service.
    if metadata.is_object() && (metadata["labels"].is_null() || metadata["labels"].is_object()) {
        metadata["labels"][OWNER_LABEL] = name.into();
    }
}

/// A switch that the file does not name stays as somebody has set it.
fn keep(fields: &mut Map<String, Value>, now: Option<&Value>, switch: &str, set: &Value) {
    if !fields.contains_key(switch) && now.is_some_and(|now| now[switch] == *set) {
        fields.insert(switch.to_owned(), set.clone());
    }
}

/// The schedule without a key that fires at the same times, if there is one only.
fn adoptable<'a>(schedule: &Schedule, there: &'a [Value], of: &Executable) -> Option<&'a Value> {
    let text = |body: &Body, name: &str| body.fields.get(name).cloned().unwrap_or_default();
    let is_same = |body: &Body, it: &Value| {
        text(body, "expression") == it["expression"] && text(body, "timezone") == it["timezone"]
    };
    let plain: Vec<&Value> =
        there.iter().filter(|it| field(it, "key").is_empty() && is_same(&schedule.body, it)).collect();
    let rivals = of.schedules.iter().filter(|other| plain.first().is_some_and(|it| is_same(&other.body, it)));
    match (plain.as_slice(), rivals.count()) {
        ([one], 1) => Some(one),
        _ => None,
    }
}

/// A line for each field that differs. Secrets are named only.
fn differences(now: &Value, then: &Value, defined: &Body) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, new) in then.as_object().into_iter().flatten() {
        let old = &now[name];
        if NOT_COMPARED.contains(&name.as_str()) || old == new {
            continue;
        }
        if SECRETS.contains(&name.as_str()) || defined.secrets.contains(name) {
            lines.push(format!("{name}: [changed]"));
        } else if name == "metadata" {
            for part in ["labels", "annotations"] {
                metadata_differences(part, &old[part], &new[part], &mut lines);
            }
        } else {
            lines.push(format!("{name}: {} → {}", shown(old), shown(new)));
        }
    }
    if lines.is_empty() {
        lines.push("a secret: [changed]".to_owned());
    }
    lines
}

fn metadata_differences(part: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    let keys = |value: &Value| value.as_object().map(|it| it.keys().cloned().collect::<Vec<_>>());
    let mut names = keys(old).unwrap_or_default();
    names.extend(keys(new).unwrap_or_default());
    names.sort_unstable();
    names.dedup();
    for name in names.iter().filter(|name| old[name.as_str()] != new[name.as_str()]) {
        let (old, new) = (&old[name.as_str()], &new[name.as_str()]);
        lines.push(format!("{part}.{name}: {} → {}", shown(old), shown(new)));
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match SHOWN_CHARS_MAX < text.chars().count() {
        true => text.chars().take(SHOWN_CHARS_MAX).chain(['…']).collect(),
        false => text,
    }
}

fn read(file: &str) -> Result<Definitions, Failure> {
    let failed = |err: std::io::Error| Failure::Refused(format!("{file} cannot be read: {err}"));
    let mut text = String::new();
    let bytes = match file {
        "-" => std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text),
        path => File::open(path).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text),
    };
    if FILE_BYTES_MAX < bytes.map_err(failed)? as u64 {
        return Err(Failure::Refused(format!("{file} is longer than 4 MiB")));
    }
    let path = Path::new(file);
    let is_json =
        path.extension().is_some_and(|ending| ending == "json") || text.trim_start().starts_with('{');
    let stem =
        path.file_stem().and_then(|stem| stem.to_str()).filter(|_| file != "-").unwrap_or("definitions");
    definitions::parse(&text, is_json, stem, &|name| config::variable(name))
        .map_err(|faults| Failure::Refused(format!("{file} is not valid:\n  {}", faults.join("\n  "))))
}

/// Prints all jobs, calls and notifications as a file. Secrets become variables.
pub(in crate::cli) fn export(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let app = arguments.flag("app").map(|app| session.app(app)).transpose()?;
    let mut variables = Vec::new();
    let mut root =
        vec![("name".to_owned(), Item::Plain(arguments.flag("name").unwrap_or("definitions").into()))];
    let mut names = Vec::new();
    for kind in [Kind::Job, Kind::Call] {
        let mut found = session.list(kind, true)?;
        found.retain(|it| app.as_deref().is_none_or(|app| field(it, "app_guid") == app));
        session.look_up_apps(&found);
        let tables = found.iter().map(|it| executable_table(session, kind, it, &mut variables)).collect();
        names.extend(found.iter().map(|it| {
            let (name, app) = (field(it, "name").to_owned(), session.app_title(field(it, "app_guid")));
            (kind, field(it, "guid").to_owned(), app, name)
        }));
        root.push((kind.as_str().to_owned(), Item::Tables(tables)));
    }
    if app.is_none() {
        let space = session.space().map(|space| format!("?space_guid={}", encode(space)));
        let found = session.resources(&format!("/notifications{}", space.unwrap_or_default()))?;
        let tables = found.iter().map(|it| notification_table(it, &names, &mut variables)).collect();
        root.push(("notification".to_owned(), Item::Tables(tables)));
    }
    root.retain(|(_, item)| !matches!(item, Item::Tables(tables) if tables.is_empty()));
    let root = Item::Table(root);
    let cannot = |err: &dyn std::fmt::Display| Failure::Refused(format!("this cannot be written: {err}"));
    let text = match session.is_for_people() {
        true => {
            let text = toml::to_string(&root).map_err(|err| cannot(&err))?;
            let comment: String = variables.iter().map(|name| format!("#   {name}\n")).collect();
            match comment.is_empty() {
                true => text,
                false => format!("# Secrets come from these variables:\n{comment}\n{text}"),
            }
        }
        false => {
            let text = serde_json::to_string_pretty(&root).map_err(|err| cannot(&err))?;
            format!("{text}\n")
        }
    };
    print(text.as_bytes()).map_err(|err| cannot(&err))?;
    Ok(true)
}

fn executable_table(session: &Session, kind: Kind, it: &Value, variables: &mut Vec<String>) -> Item {
    let name = field(it, "name");
    let defaults = [
        ("memory_in_mb", json!(1024)),
        ("disk_in_mb", json!(1024)),
        ("log_rate_in_bps", json!(0)),
        ("concurrency_policy", json!("Always")),
        ("paused", json!(false)),
        ("method", json!("POST")),
        ("success_statuses", json!("200-299")),
    ];
    let plain = |text: &str| Item::Plain(literal(text.into()));
    let mut fields = vec![
        ("name".to_owned(), plain(name)),
        ("app".to_owned(), plain(&session.app_title(field(it, "app_guid")))),
    ];
    fields.extend(written(
        it,
        &[
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
            "paused",
            "expect_success_within_seconds",
        ],
        &defaults,
    ));
    let mut secret = |words: &[&str]| {
        let variable = variable_of(words);
        variables.push(variable.clone());
        Item::Plain(format!("${{{variable}}}").into())
    };
    let word = kind.as_str();
    if !field(it, "auth_header").is_empty() {
        fields.push(("auth_header".to_owned(), secret(&[word, name, "auth_header"])));
    }
    if it["signed"] == true {
        fields.push(("signing_secret".to_owned(), secret(&[word, name, "signing_secret"])));
    }
    let headers: Vec<(String, Item)> = it["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(header, value)| {
            let is_harmless = HARMLESS_HEADERS.contains(&header.to_ascii_lowercase().as_str());
            let value = match is_harmless {
                true => Item::Plain(literal(value.clone())),
                false => secret(&[word, name, header]),
            };
            (header.clone(), value)
        })
        .collect();
    fields.extend(written(it, &["retry"], &defaults));
    if !headers.is_empty() {
        fields.push(("headers".to_owned(), Item::Table(headers)));
    }
    let mut metadata = it["metadata"].clone();
    if let Some(labels) = metadata["labels"].as_object_mut() {
        labels.remove(OWNER_LABEL);
    }
    fields.extend(written(&metadata, &["labels", "annotations"], &[]));
    let schedules = it["schedules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !schedules.is_empty() {
        fields.push(("schedule".to_owned(), Item::Tables(schedules.iter().map(schedule_table).collect())));
    }
    Item::Table(fields)
}

fn schedule_table(it: &Value) -> Item {
    let key = match field(it, "key") {
        // What it is called from now on.
        "" => field(it, "guid").chars().take(8).collect(),
        key => key.to_owned(),
    };
    let mut fields = vec![("key".to_owned(), Item::Plain(key.into()))];
    let names = [
        "expression",
        "timezone",
        "description",
        "enabled",
        "starts_at",
        "ends_at",
        "jitter_seconds",
        "misfire_policy",
    ];
    fields.extend(written(it, &names, &[("enabled", json!(true)), ("jitter_seconds", json!(0))]));
    Item::Table(fields)
}

fn notification_table(
    it: &Value,
    names: &[(Kind, String, String, String)],
    variables: &mut Vec<String>,
) -> Item {
    let name = field(it, "name");
    let mut secret = |words: &[&str]| {
        let variable = variable_of(words);
        variables.push(variable.clone());
        Item::Plain(format!("${{{variable}}}").into())
    };
    // The path of its URL may be a secret.
    let mut fields = vec![
        ("name".to_owned(), Item::Plain(literal(name.into()))),
        ("url".to_owned(), secret(&["notification", name, "url"])),
    ];
    if !it["secret"].is_null() {
        fields.push(("secret".to_owned(), secret(&["notification", name, "secret"])));
    }
    for (list, member, kind) in [("jobs", "job_guids", Kind::Job), ("calls", "call_guids", Kind::Call)] {
        let guids = it[member].as_array().into_iter().flatten().filter_map(Value::as_str);
        let listed: Vec<String> = guids
            .filter_map(|guid| names.iter().find(|(_, known, _, _)| known == guid))
            .map(|(_, _, app, name)| {
                let is_unique = names.iter().filter(|it| it.0 == kind && it.3 == *name).count() == 1;
                if is_unique { name.clone() } else { format!("{app}/{name}") }
            })
            .collect();
        if !listed.is_empty() {
            fields.push((list.to_owned(), Item::Plain(literal(listed.into()))));
        }
    }
    let rest = ["format", "events", "label_selector", "after_failures", "remind_after_seconds", "enabled"];
    let defaults = [
        ("format", json!("standard")),
        ("events", json!(["failed", "recovered", "overdue"])),
        ("label_selector", json!("")),
        ("after_failures", json!(1)),
        ("enabled", json!(true)),
    ];
    fields.extend(written(it, &rest, &defaults));
    let headers: Vec<(String, Item)> = it["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(header, _)| (header.clone(), secret(&["notification", name, header])))
        .collect();
    if !headers.is_empty() {
        fields.push(("headers".to_owned(), Item::Table(headers)));
    }
    Item::Table(fields)
}
