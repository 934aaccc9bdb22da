//! `plan` and `apply`: bring the service in line with what a file defines.
//!
//! Invariant: every request is idempotent, so an interrupted `apply` can be run again. `plan` sends the same
//! requests with `dry_run`, so the service itself says what would change, even of secrets.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::file;
use super::remote::encode;
use super::session::{Session, plural};
use crate::cli::arguments::Arguments;
use crate::cli::definitions::{self, Body, Definitions, Executable, Notification, OWNER_LABEL, Schedule};
use crate::cli::output::{Table, field};
use crate::config;
use crate::model::Kind;

/// The exit status of `plan` if there is something to change.
pub(in crate::cli) const DIFFERS: u8 = 2;
/// The largest file, in MiB.
const FILE_MEBIBYTES_MAX: u64 = 4;
/// The longest value that a difference shows, in characters.
const SHOWN_CHARS_MAX: usize = 60;
/// Fields that a file cannot set, or that a plan shows only by name.
const NOT_COMPARED: [&str; 19] = [
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
    "job_guids",
    "call_guids",
    "disabled_reason",
    "warnings",
];
const SECRETS: [&str; 3] = ["auth_header", "headers", "secret"];
/// What is done, or would be done, to one object.
struct Step {
    /// `created`, `replaced`, `adopted`, `deleted` or `unchanged`.
    change: String,
    /// For example `job nightly of app reports`.
    what: String,
    /// A line for each field that differs.
    differences: Vec<String>,
}

/// A job or call in the file.
struct Defined {
    kind: Kind,
    app: String,
    name: String,
    /// Its guid; empty if it does not exist yet.
    guid: String,
}

/// The jobs or calls that a notification is about.
struct About<'a> {
    /// The field of the API.
    member: &'static str,
    kind: Kind,
    names: &'a [String],
    /// Empty for objects that do not exist yet.
    guids: Vec<String>,
}

/// One run through a file.
struct Run<'a> {
    session: &'a Session,
    definitions: &'a Definitions,
    is_dry_run: bool,
    prunes: bool,
    /// The jobs and calls of the service, with their schedules.
    found: Vec<(Kind, Value)>,
    /// The jobs and calls in the file.
    guids: Vec<Defined>,
    /// The guids of apps, by their names in the file.
    apps: HashMap<String, String>,
    space: Option<String>,
    /// The spaces of the jobs and calls in the file.
    spaces: Vec<String>,
    /// The dialect of new schedules, once it is known; empty if the service does not say.
    dialect: Option<String>,
    /// Schedules to prune: their descriptions and paths.
    gone: Vec<(String, String)>,
    steps: Vec<Step>,
    refused: Vec<String>,
    /// Apps that the service does not know, or that the user may not see, and how many further definitions
    /// name each.
    unknown_apps: HashMap<String, usize>,
}

pub(in crate::cli) fn plan(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    go_through(session, arguments, true).map(|changes| changes == 0)
}

pub(in crate::cli) fn apply(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    go_through(session, arguments, false).map(|_| true)
}

/// Returns the number of changes.
fn go_through(session: &Session, arguments: &Arguments, is_dry_run: bool) -> Result<usize, Failure> {
    let definitions = read(arguments.required(0))?;
    if arguments.has("prune") && arguments.required(0) == "-" && !definitions.is_named {
        let hint = "--prune deletes what has the name of the file; on standard input, set name = \"…\" in it";
        return Err(Failure::Refused(hint.to_owned()));
    }
    // Messages must name the fields of the file, not flags.
    session.remote.name_fields();
    let mut found = Vec::new();
    for kind in [Kind::Job, Kind::Call] {
        let listed = session.list(kind, true)?;
        session.look_up_apps(&listed);
        found.extend(listed.into_iter().map(|resource| (kind, resource)));
    }
    let mut run = Run {
        session,
        definitions: &definitions,
        is_dry_run,
        prunes: arguments.has("prune"),
        found,
        guids: Vec::new(),
        apps: HashMap::new(),
        space: session.space().map(str::to_owned),
        spaces: session.space().map(str::to_owned).into_iter().collect(),
        dialect: None,
        gone: Vec::new(),
        steps: Vec::new(),
        refused: Vec::new(),
        unknown_apps: HashMap::new(),
    };
    let default_app = session.app_of(arguments)?;
    let homeless: Vec<&Executable> =
        definitions.executables.iter().filter(|it| it.app.is_none() && default_app.is_none()).collect();
    if !homeless.is_empty() {
        return Err(without_app(&homeless));
    }
    let done = run.all(default_app.as_deref());
    run.report();
    done?;
    match run.refused.is_empty() {
        true => Ok(run.steps.iter().filter(|step| step.change != "unchanged").count()),
        false => {
            let left = if run.prunes { ", so nothing was pruned" } else { "" };
            let count = run.refused.len() + run.unknown_apps.values().sum::<usize>();
            Err(Failure::Refused(format!(
                "refused{left}:\n  {}\n{count} definition{} cannot be applied",
                run.refused.join("\n  "),
                if count == 1 { "" } else { "s" },
            )))
        }
    }
}

/// A fault of the file. Not a usage error, because for `plan` that exit status means something else.
fn without_app(definitions: &[&Executable]) -> Failure {
    let names: Vec<String> =
        definitions.iter().map(|it| format!("{} {}", it.kind.as_str(), it.name)).collect();
    let hint = "set app = \"…\" in the file, --app or SCHEDULER_APP";
    Failure::Refused(format!("no app for {}: {hint}", names.join(", ")))
}

impl Run<'_> {
    fn all(&mut self, default_app: Option<&str>) -> Result<(), Failure> {
        let mut of_apps: Vec<(&Executable, String)> = Vec::new();
        for definition in &self.definitions.executables {
            let app = match definition.app.as_deref().or(default_app) {
                Some(app) => self.app(app)?,
                None => return Err(without_app(&[definition])),
            };
            let Executable { kind, name, .. } = definition;
            // One app may be called by its name here and by its guid there.
            if of_apps.iter().any(|(it, of)| *of == app && it.kind == *kind && it.name == *name) {
                let kind = kind.as_str();
                return Err(Failure::Refused(format!("there are two {kind}s {name:?} of the same app")));
            }
            of_apps.push((definition, app));
        }
        for (definition, app) in &of_apps {
            self.executable(definition, app)?;
        }
        if !self.definitions.notifications.is_empty() {
            self.notifications()?;
        }
        if self.prunes && self.refused.is_empty() {
            self.prune()?;
        }
        Ok(())
    }

    /// The guid of an app, which is looked up once.
    fn app(&mut self, wanted: &str) -> Result<String, Failure> {
        if let Some(guid) = self.apps.get(wanted) {
            return Ok(guid.clone());
        }
        let guid = self.session.app(wanted)?;
        self.apps.insert(wanted.to_owned(), guid.clone());
        Ok(guid)
    }

    fn executable(&mut self, definition: &Executable, app: &str) -> Result<(), Failure> {
        let Executable { kind, name, body, .. } = definition;
        if let Some(others) = self.unknown_apps.get_mut(app) {
            *others += 1;
            return Ok(());
        }
        let what = format!("{} {name} of app {}", kind.as_str(), self.session.app_title(app));
        let is_it = |(of_kind, resource): &&(Kind, Value)| {
            of_kind == kind && field(resource, "name") == name && field(resource, "app_guid") == app
        };
        let now = self.found.iter().find(is_it).map(|(_, resource)| resource.clone());
        let mut fields = body.fields.clone();
        own(&mut fields, &self.definitions.name);
        keep(&mut fields, now.as_ref(), "paused", &Value::Bool(true));
        let path = format!("/{}?app_guid={}&name={}", plural(*kind), encode(app), encode(name));
        let Some((answer, change)) = self.put(&what, &path, &fields.into())? else {
            self.note_unknown_app(app);
            return Ok(());
        };
        let found = now.as_ref().map(|now| differences(now, &answer, body)).unwrap_or_default();
        self.step(&change, &what, found);
        let space = field(&answer, "space_guid").to_owned();
        if self.space.is_none() {
            self.space = Some(space.clone());
        }
        if !self.spaces.contains(&space) {
            self.spaces.push(space);
        }
        let guid = match &now {
            Some(now) => field(now, "guid").to_owned(),
            None if self.is_dry_run => String::new(),
            None => field(&answer, "guid").to_owned(),
        };
        let schedules = now.as_ref().and_then(|now| now["schedules"].as_array()).cloned().unwrap_or_default();
        self.guids.push(Defined { kind: *kind, app: app.to_owned(), name: name.clone(), guid: guid.clone() });
        let parent = format!("/{}/{}/schedules", plural(*kind), encode(&guid));
        let mut adopted = Vec::new();
        for schedule in &definition.schedules {
            let what = format!("schedule {} of {what}", schedule.key);
            match guid.is_empty() {
                true => self.schedule_of_new(&what, schedule)?,
                false => self.schedule(&what, &parent, schedule, &schedules, &mut adopted)?,
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

    /// Checks only the expressions, because the job or call does not exist yet.
    fn schedule_of_new(&mut self, what: &str, schedule: &Schedule) -> Result<(), Failure> {
        if !self.reads_as_meant(what, schedule, None)? {
            return Ok(());
        }
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
        adopted: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let known = there.iter().find(|it| field(it, "key") == schedule.key);
        let path = format!("{parent}?key={}", encode(&schedule.key));
        let to_adopt = match known {
            Some(_) => None,
            None => self.adoptable(&path, schedule, there, adopted)?,
        };
        let now = known.or(to_adopt);
        if !self.reads_as_meant(what, schedule, now)? {
            return Ok(());
        }
        if let Some(plain) = to_adopt {
            adopted.push(field(plain, "guid").to_owned());
            if !self.is_dry_run {
                let path = format!("{parent}/{}", encode(field(plain, "guid")));
                self.session.remote.patch(&path, &json!({"key": schedule.key}))?;
            }
        }
        let mut fields = schedule.body.fields.clone();
        keep(&mut fields, now, "enabled", &Value::Bool(false));
        let Some((answer, change)) = self.put(what, &path, &fields.into())? else { return Ok(()) };
        let found = now.map(|now| differences(now, &answer, &schedule.body)).unwrap_or_default();
        self.step(if to_adopt.is_some() { "adopted" } else { &change }, what, found);
        Ok(())
    }

    /// A schedule without a key that fires at the same times as the new one, and is not adopted yet. A file
    /// that was exported names it by the beginning of its guid.
    fn adoptable<'v>(
        &mut self,
        path: &str,
        schedule: &Schedule,
        there: &'v [Value],
        adopted: &[String],
    ) -> Result<Option<&'v Value>, Failure> {
        let expression = schedule.body.fields.get("expression");
        let candidates: Vec<&Value> = there
            .iter()
            .filter(|it| field(it, "key").is_empty() && Some(&it["expression"]) == expression)
            .filter(|it| !adopted.iter().any(|guid| guid == field(it, "guid")))
            .collect();
        if candidates.is_empty() {
            return Ok(None);
        }
        // The service's default zone applies if the file names none.
        let path = format!("{path}&dry_run=true");
        let new = match self.session.remote.put(&path, &schedule.body.fields.clone().into()) {
            Ok((new, _)) => new,
            // The request that is not a dry run says so again.
            Err(Failure::Refused(_)) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let mut same = candidates.into_iter().filter(|it| it["timezone"] == new["timezone"]);
        let first = same.clone().next();
        Ok(same.find(|it| field(it, "guid").starts_with(&schedule.key)).or(first))
    }

    /// Whether the service reads the expression in the dialect that the file means. If not, the definition is
    /// refused.
    fn reads_as_meant(
        &mut self,
        what: &str,
        schedule: &Schedule,
        now: Option<&Value>,
    ) -> Result<bool, Failure> {
        let Some(meant) = &schedule.dialect else { return Ok(true) };
        let expression = schedule.body.fields.get("expression");
        // An expression that stays keeps its dialect.
        let kept = now.filter(|now| Some(&now["expression"]) == expression).map(|now| field(now, "dialect"));
        let read = match kept {
            Some(dialect) => dialect,
            None => self.dialect_of_new()?,
        };
        if read.is_empty() || read == meant {
            return Ok(true);
        }
        let reason = format!(
            "{what}: its expression is in the dialect {meant:?}, and the service reads it as {read:?} (its \
             setting CRON_DIALECT)"
        );
        self.refused.push(reason);
        Ok(false)
    }

    /// The dialect in which the service reads new expressions; empty if it does not say.
    fn dialect_of_new(&mut self) -> Result<&str, Failure> {
        if self.dialect.is_none() {
            let next = self.session.remote.get("/cron/next?expression=%40daily&count=1");
            self.dialect = Some(match next {
                Ok(next) => field(&next, "dialect").to_owned(),
                Err(Failure::NotFound(_)) => String::new(),
                Err(failure) => return Err(failure),
            });
        }
        Ok(self.dialect.as_deref().unwrap_or_default())
    }

    fn notifications(&mut self) -> Result<(), Failure> {
        let space = match self.space.take() {
            Some(space) => space,
            None => {
                let spaces = self.session.resources("/spaces")?;
                let [space] = spaces.as_slice() else {
                    let hint = "notifications need a space: set --space or SCHEDULER_SPACE";
                    return Err(Failure::Refused(hint.to_owned()));
                };
                field(space, "guid").to_owned()
            }
        };
        let list = format!("/notifications?space_guid={}", encode(&space));
        let there = self.session.resources(&list)?;
        for notification in &self.definitions.notifications {
            self.notification(notification, &list, &there)?;
        }
        Ok(())
    }

    fn notification(
        &mut self,
        notification: &Notification,
        list: &str,
        there: &[Value],
    ) -> Result<(), Failure> {
        let Notification { name, body, .. } = notification;
        let what = format!("notification {name}");
        let mut fields = body.fields.clone();
        // The guids and names of the jobs and calls that it selects.
        let mut about = Vec::new();
        for (member, kind, names) in
            [("job_guids", Kind::Job, &notification.jobs), ("call_guids", Kind::Call, &notification.calls)]
        {
            let mut guids = Vec::new();
            for name in names {
                match self.guid_of(kind, name)? {
                    Some(guid) if !guid.is_empty() && guids.contains(&guid) => (),
                    Some(guid) => guids.push(guid),
                    None => {
                        self.refused.push(format!("{what}: there is no {} {name:?}", kind.as_str()));
                        return Ok(());
                    }
                }
            }
            about.push(About { member, kind, names, guids: guids.clone() });
            guids.retain(|guid| !guid.is_empty());
            if !guids.is_empty() {
                fields.insert(member.to_owned(), guids.into());
            }
        }
        let now = there.iter().find(|it| field(it, "name") == name);
        keep(&mut fields, now, "enabled", &Value::Bool(false));
        let path = format!("{list}&name={}", encode(name));
        let Some((answer, change)) = self.put(&what, &path, &fields.into())? else { return Ok(()) };
        let mut found = now.map(|now| self.about_differences(now, &about)).unwrap_or_default();
        // In a dry run, the service does not know the jobs and calls that would be created.
        let change = if found.is_empty() { change } else { "replaced".to_owned() };
        found.extend(now.map(|now| differences(now, &answer, body)).unwrap_or_default());
        self.step(&change, &what, found);
        Ok(())
    }

    /// A line for each list of jobs or calls that differs, with their names.
    fn about_differences(&self, now: &Value, about: &[About<'_>]) -> Vec<String> {
        let mut lines = Vec::new();
        for About { member, kind, names, guids } in about {
            let old: Vec<&str> =
                now[member].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let is_same = old.len() == guids.len() && old.iter().all(|old| guids.iter().any(|it| it == old));
            if is_same {
                continue;
            }
            let name_of = |guid: &&str| {
                let mut of_kind = self.found.iter().filter(|(found, _)| found == kind).map(|(_, it)| it);
                let name = of_kind.find(|it| field(it, "guid") == *guid).map(|it| field(it, "name"));
                Value::from(name.unwrap_or(guid))
            };
            let (old, new) = (old.iter().map(name_of).collect(), json!(names));
            lines.push(format!("{}: {} → {}", plural(*kind), shown(&old), shown(&new)));
        }
        lines
    }

    /// The guid of the job or call NAME or APP/NAME; empty if it does not exist yet.
    fn guid_of(&mut self, kind: Kind, wanted: &str) -> Result<Option<String>, Failure> {
        let own = self.guids.iter().filter(|it| it.kind == kind);
        let own = own.map(|it| [&it.name, &it.app, &it.guid].map(String::clone)).collect();
        let others = self
            .found
            .iter()
            .filter(|(of_kind, it)| *of_kind == kind && !(self.prunes && self.is_to_prune(it)));
        let others =
            others.map(|(_, it)| ["name", "app_guid", "guid"].map(|name| field(it, name).to_owned()));
        let others = others.collect();
        // Objects of the file take precedence over others of the same name.
        for candidates in [own, others] {
            let fitting = self.fitting(wanted, candidates)?;
            match fitting.as_slice() {
                [] => (),
                [one] => return Ok(Some(one.clone())),
                _ => {
                    let kinds = plural(kind);
                    return Err(Failure::NotFound(format!(
                        "several {kinds} are named {wanted:?}; write APP/NAME"
                    )));
                }
            }
        }
        Ok(None)
    }

    /// The guids of the candidates (name, app, guid) that match NAME or APP/NAME.
    fn fitting(&mut self, wanted: &str, candidates: Vec<[String; 3]>) -> Result<Vec<String>, Failure> {
        let mut fitting = Vec::new();
        for [name, app, guid] in candidates {
            let is_it = match wanted.strip_suffix(&name).map(|rest| rest.strip_suffix('/').ok_or(rest)) {
                Some(Err("")) => true,
                Some(Ok(of)) if of == app => true,
                Some(Ok(of)) => match self.app(of) {
                    Ok(of) => of == app,
                    Err(Failure::NotFound(_)) => false,
                    Err(failure) => return Err(failure),
                },
                Some(Err(_)) | None => false,
            };
            if is_it {
                fitting.push(guid);
            }
        }
        Ok(fitting)
    }

    /// Counts further definitions of an app that the service has already refused, instead of repeating the
    /// reason.
    fn note_unknown_app(&mut self, app: &str) {
        if let Some(reason) = self.refused.last_mut()
            && let Some((what, _)) = reason.split_once(": app_guid names no app")
        {
            *reason = format!(
                "{what}: there is no such app, or you have no role in its space\n    expected: \
                 the name or guid of an app in a space in which you are developer or manager"
            );
            self.unknown_apps.insert(app.to_owned(), 0);
        }
    }

    /// Puts a definition. Returns the service's answer and what it did, or would do. `None`: it refused.
    fn put(&mut self, what: &str, path: &str, body: &Value) -> Result<Option<(Value, String)>, Failure> {
        let dry_run = if self.is_dry_run { "&dry_run=true" } else { "" };
        match self.session.remote.put(&format!("{path}{dry_run}"), body) {
            Ok(done) => Ok(Some(done)),
            Err(Failure::Refused(reason)) => {
                let mut reason =
                    reason.strip_prefix("refused:").unwrap_or(&reason).trim_start().replace('\n', "\n  ");
                // The service quotes values, and those of variables are secrets.
                for (name, value) in self.definitions.variables.iter().filter(|(_, value)| !value.is_empty())
                {
                    reason = reason.replace(value, &format!("${{{name}}}"));
                }
                self.refused.push(format!("{what}: {reason}"));
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Deletes schedules with a key that the file lacks, and jobs and calls that have the label of this file
    /// but are not in it.
    fn prune(&mut self) -> Result<(), Failure> {
        let mut spaces: Vec<&str> = self
            .found
            .iter()
            .filter(|(_, it)| self.is_to_prune(it))
            .map(|(_, it)| field(it, "space_guid"))
            .collect();
        spaces.sort_unstable();
        spaces.dedup();
        if self.spaces.is_empty() && 1 < spaces.len() {
            let hint = "the file has no jobs or calls, and those to prune are in several spaces; set --space";
            return Err(Failure::Refused(hint.to_owned()));
        }
        let executables: Vec<(String, String)> = self
            .found
            .iter()
            .filter(|(_, it)| self.is_to_prune(it))
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

    /// Whether a job or call has the label of this file but is not in it. In other spaces, the label is of
    /// another file with this name.
    fn is_to_prune(&self, it: &Value) -> bool {
        it["metadata"]["labels"][OWNER_LABEL].as_str() == Some(&self.definitions.name)
            && (self.spaces.is_empty() || self.spaces.iter().any(|space| space == field(it, "space_guid")))
            && !self.guids.iter().any(|kept| kept.guid == field(it, "guid"))
    }

    fn delete(&mut self, what: String, path: &str) -> Result<(), Failure> {
        if !self.is_dry_run {
            match self.session.remote.delete(path) {
                // Another client has already deleted it.
                Ok(()) | Err(Failure::NotFound(_)) => (),
                Err(failure) => return Err(failure),
            }
        }
        self.step("deleted", &what, Vec::new());
        Ok(())
    }

    /// Notes what was done, or would be done. Differences count only for what existed before.
    fn step(&mut self, change: &str, what: &str, mut differences: Vec<String>) {
        match change {
            // The API does not show them.
            "replaced" if differences.is_empty() => differences.push("a secret: [changed]".to_owned()),
            "replaced" | "adopted" => (),
            _ => differences.clear(),
        }
        self.steps.push(Step { change: change.to_owned(), what: what.to_owned(), differences });
    }

    fn report(&self) {
        let count = |change: &str| self.steps.iter().filter(|step| step.change == change).count();
        if !self.session.is_for_people() {
            let steps = self
                .steps
                .iter()
                .map(|it| json!({"change": it.change, "what": it.what, "differences": it.differences}));
            return self.session.show_all(steps.collect(), table, "the file defines nothing");
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
    // The service refuses anything but an object.
    if metadata.is_object() && (metadata["labels"].is_null() || metadata["labels"].is_object()) {
        metadata["labels"][OWNER_LABEL] = name.into();
    }
}

/// A switch that the file does not name keeps its current value.
fn keep(fields: &mut Map<String, Value>, now: Option<&Value>, switch: &str, set: &Value) {
    if !fields.contains_key(switch) && now.is_some_and(|now| now[switch] == *set) {
        fields.insert(switch.to_owned(), set.clone());
    }
}

/// A line for each field that differs. Values of secrets are not shown.
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
    let text = file::read(file, FILE_MEBIBYTES_MAX).map_err(Failure::Refused)?;
    let path = Path::new(file);
    let is_json =
        path.extension().is_some_and(|ending| ending == "json") || text.trim_start().starts_with('{');
    let stem =
        path.file_stem().and_then(|stem| stem.to_str()).filter(|_| file != "-").unwrap_or("definitions");
    definitions::parse(&text, is_json, stem, &|name| config::variable(name))
        .map_err(|faults| Failure::Refused(format!("{file} is not valid:\n  {}", faults.join("\n  "))))
}
