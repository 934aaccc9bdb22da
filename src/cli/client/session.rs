//! The service that a command uses, its credentials, and how names become guids.
//!
//! Invariant: if a name is ambiguous, nothing is changed.

use serde_json::Value;

use super::cf_login::CfLogin;
use super::failure::Failure;
use super::remote::{Remote, encode};
use crate::cli::arguments::Arguments;
use crate::cli::output::{self, Table, field, json};
use crate::config;
use crate::model::Kind;
use crate::outbound;

/// Jobs or calls per page; fewer with their schedules, of which each may have thousands.
const PAGE: usize = 100;
const PAGE_WITH_SCHEDULES: usize = 20;
/// The most pages of one list.
const PAGES_MAX: usize = 5000;

/// A service, and how its responses are printed.
pub(in crate::cli) struct Session {
    pub(super) remote: Remote,
    /// The base URL of the Cloud Foundry API that cf is logged in to.
    cloud_foundry: Option<String>,
    space: Option<String>,
    is_json: bool,
    colour: bool,
}

/// The job or call that a name or guid stands for.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) resource: Value,
}

impl Found {
    /// Its path in the API.
    pub(super) fn path(&self) -> String {
        format!("/{}/{}", plural(self.kind), encode(field(&self.resource, "guid")))
    }

    pub(super) fn name(&self) -> &str {
        field(&self.resource, "name")
    }

    /// For messages, for example `job nightly`.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.kind.as_str(), field(&self.resource, "name"))
    }
}

impl Session {
    /// Finds the service and the token: from flags, else variables, else the login of cf.
    pub(super) fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let (url, token) = (arguments.value("url"), arguments.value("token"));
        let login =
            if url.is_some() && token.is_some() { None } else { CfLogin::read().map_err(Failure::Usage)? };
        let mut outbound =
            config::outbound(&arguments.settings()).map_err(|err| Failure::Usage(err.to_string()))?;
        outbound.skip_ssl_validation |= login.as_ref().is_some_and(|login| login.ssl_disabled);
        let base = match (url, &login) {
            (Some(url), _) => base_of(&url)?,
            (None, None) => return Err(Failure::Usage(NO_SERVICE.to_owned())),
            (None, Some(login)) => login.scheduler_url().ok_or_else(|| {
                Failure::Usage(format!(
                    "cannot derive the URL of the scheduler from {}, which cf targets: set --url or SCHEDULER_URL",
                    login.target
                ))
            })?,
        };
        let remote = match (token, &login) {
            (Some(token), _) => Remote::new(&outbound, base, &token, None)?,
            (None, Some(login)) => match login.token_for(&base) {
                Some("") => {
                    return Err(Failure::Unauthorized("cf is not logged in; run: cf login".to_owned()));
                }
                Some(token) => Remote::new(&outbound, base, token, login.renewal())?,
                None => {
                    return Err(Failure::Unauthorized(format!(
                        "the token of cf is for {} and is not sent to {base}: \
                         set --token or SCHEDULER_TOKEN, for example to \"$(cf oauth-token)\"",
                        login.target
                    )));
                }
            },
            (None, None) => return Err(Failure::Unauthorized(NO_TOKEN.to_owned())),
        };
        Ok(Self {
            remote,
            space: arguments.value("space").or_else(|| login.as_ref().and_then(CfLogin::space)),
            cloud_foundry: login.map(|login| login.target.trim().trim_end_matches('/').to_owned()),
            is_json: arguments.flag("output") == Some("json"),
            colour: output::wants_colour(),
        })
    }

    /// Prints what people should know, beside the result.
    pub(super) fn report(&self, lines: &[String]) {
        for line in lines {
            output::print_error(&format!("{}\n", output::escaped(line)));
        }
    }

    /// The space that is named or logged in to.
    pub(super) fn space(&self) -> Option<&str> {
        self.space.as_deref()
    }

    /// All jobs or calls of the space, or of all spaces of the caller.
    pub(super) fn list(&self, kind: Kind, with_schedules: bool) -> Result<Vec<Value>, Failure> {
        self.list_where(kind, with_schedules, |_| true)
    }

    /// Those that `is_wanted` accepts. Reads in pages, and keeps only these.
    fn list_where(
        &self,
        kind: Kind,
        with_schedules: bool,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>, Failure> {
        let per_page = if with_schedules { PAGE_WITH_SCHEDULES } else { PAGE };
        let space = self.space.as_deref().map(|space| format!("space_guid={}&", encode(space)));
        let detailed = if with_schedules { "detailed=true&" } else { "" };
        let list = format!("/{}?{}{detailed}", plural(kind), space.unwrap_or_default());
        let mut wanted = Vec::new();
        for page in 1..=PAGES_MAX {
            let mut answer = self.remote.get(&format!("{list}page={page}&per_page={per_page}"))?;
            // A service without paging returns everything, and no next page.
            let is_last = answer["pagination"]["next"].is_null();
            wanted.extend(resources_of(&mut answer)?.into_iter().filter(&is_wanted));
            if is_last {
                return Ok(wanted);
            }
        }
        Err(Failure::Unavailable(format!(
            "there are more than {} {}; name a space with --space",
            PAGES_MAX * per_page,
            plural(kind)
        )))
    }

    pub(super) fn resources(&self, path: &str) -> Result<Vec<Value>, Failure> {
        resources_of(&mut self.remote.get(path)?)
    }

    /// The one job or call (of these kinds) with this name or guid, in `app` if that is given.
    pub(super) fn find(&self, kinds: &[Kind], wanted: &str, app: Option<&str>) -> Result<Found, Failure> {
        if is_guid(wanted) {
            for &kind in kinds {
                match self.remote.get(&format!("/{}/{wanted}", plural(kind))) {
                    Ok(resource) => return Ok(Found { kind, resource }),
                    Err(Failure::NotFound(_)) => (),
                    Err(other) => return Err(other),
                }
            }
        }
        let app = app.map(|app| self.app(app)).transpose()?;
        let mut found = Vec::new();
        for &kind in kinds {
            let fits = |resource: &Value| {
                field(resource, "name") == wanted
                    && app.as_deref().is_none_or(|app| field(resource, "app_guid") == app)
            };
            let fitting = self.list_where(kind, false, fits)?;
            found.extend(fitting.into_iter().map(|resource| Found { kind, resource }));
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                let lists: Vec<String> =
                    kinds.iter().map(|kind| format!("ocf-scheduler {}", plural(*kind))).collect();
                Err(Failure::NotFound(format!(
                    "there is no {} {wanted:?}; to list them, run: {}",
                    names.join(" or "),
                    lists.join(", ")
                )))
            }
            _ => {
                let lines: Vec<String> = found.iter().map(Self::line).collect();
                Err(Failure::NotFound(format!("{wanted:?} is ambiguous; use a guid:\n{}", lines.join("\n"))))
            }
        }
    }

    fn line(found: &Found) -> String {
        let resource = &found.resource;
        let (guid, app) = (field(resource, "guid"), field(resource, "app_guid"));
        format!("  {guid}  {} of app {app}", found.kind.as_str())
    }

    /// The guid of an app. A name is looked up in Cloud Foundry if cf is logged in, else returned as it is.
    pub(super) fn app(&self, wanted: &str) -> Result<String, Failure> {
        let Some(cloud_foundry) = self.cloud_foundry.as_deref().filter(|_| !is_guid(wanted)) else {
            return Ok(wanted.to_owned());
        };
        let space = self.space.as_deref().map(|space| format!("&space_guids={}", encode(space)));
        let url = format!("{cloud_foundry}/v3/apps?names={}{}", encode(wanted), space.unwrap_or_default());
        let mut answer = self.remote.get_at(&url)?;
        let apps = answer["resources"].as_array_mut().map(std::mem::take).unwrap_or_default();
        match apps.as_slice() {
            [app] => Ok(field(app, "guid").to_owned()),
            [] => Err(Failure::NotFound(format!(
                "there is no app {wanted:?} in the space; to list them, run: cf apps"
            ))),
            several => {
                let lines: Vec<String> =
                    several.iter().map(|app| format!("  {}", field(app, "guid"))).collect();
                Err(Failure::NotFound(format!(
                    "several apps are named {wanted:?}; use a guid:\n{}",
                    lines.join("\n")
                )))
            }
        }
    }

    /// Prints objects as a JSON array or a table. Without objects, the message `none` replaces the table.
    pub(super) fn show_all(&self, resources: Vec<Value>, table: impl FnOnce(&[Value]) -> Table, none: &str) {
        if self.is_json {
            self.print(&json(&Value::Array(resources)));
        } else if resources.is_empty() {
            output::print_error(&format!("{}\n", output::escaped(none)));
        } else {
            self.print(&table(&resources).text(self.colour));
        }
    }

    /// Whether results are for people rather than for programs.
    pub(super) fn is_for_people(&self) -> bool {
        !self.is_json
    }

    /// Prints an object as JSON.
    pub(super) fn show_object(&self, resource: &Value) {
        self.print(&json(resource));
    }

    /// Prints text for people.
    pub(super) fn print_lines(&self, lines: &[String]) {
        let lines: String = lines.iter().map(|line| format!("{}\n", output::escaped(line))).collect();
        self.print(&lines);
    }

    /// What an app is called, for people.
    pub(super) fn app_title(&self, guid: &str) -> String {
        guid.to_owned()
    }

    /// What a space is called, for people.
    pub(super) fn space_title(&self, guid: &str) -> String {
        guid.to_owned()
    }

    /// The page for people.
    pub(super) fn dashboard_link(&self) -> String {
        match self.cloud_foundry {
            Some(_) => format!("{}/dashboard", self.remote.base()),
            None => self.remote.link_that_signs_in(),
        }
    }

    /// Prints an object as JSON or a table.
    pub(super) fn show(&self, resource: Value, table: impl FnOnce(&[Value]) -> Table) {
        if self.is_json {
            self.print(&json(&resource));
        } else {
            self.print(&table(&[resource]).text(self.colour));
        }
    }

    /// Prints an object as JSON, or `sentence`.
    pub(super) fn show_or_say(&self, resource: &Value, sentence: &str) {
        if self.is_json {
            self.print(&json(resource));
        } else {
            self.print(&format!("{}\n", output::escaped(sentence)));
        }
    }

    /// Prints an object as JSON, or `lines`.
    pub(super) fn show_or_say_lines(&self, resource: &Value, lines: &[String]) {
        if self.is_json {
            return self.print(&json(resource));
        }
        let lines: String = lines.iter().map(|line| format!("{}\n", output::escaped(line))).collect();
        self.print(&lines);
    }

    /// Prints how an execution ended, as JSON or as a line with state, duration and message.
    pub(super) fn show_end(&self, execution: &Value, title: &str) {
        if self.is_json {
            return self.print(&json(execution));
        }
        let state = output::coloured(&output::escaped(field(execution, "state")), self.colour);
        let took = match output::duration(execution) {
            took if took.is_empty() => took,
            took => format!(" in {took}"),
        };
        let message = match output::escaped(field(execution, "message")) {
            message if message.is_empty() => message,
            message => format!(": {message}"),
        };
        self.print(&format!("{} {state}{took}{message}\n", output::escaped(title)));
    }

    fn print(&self, text: &str) {
        if let Err(err) = output::print(text.as_bytes()) {
            output::print_error(&format!("ocf-scheduler: cannot write the output: {err}\n"));
        }
    }
}

fn resources_of(answer: &mut Value) -> Result<Vec<Value>, Failure> {
    match answer["resources"].take() {
        Value::Array(resources) => Ok(resources),
        _ => Err(Failure::Unavailable(
            "the response is not a list; is --url the base URL of a scheduler?".to_owned(),
        )),
    }
}

const NO_SERVICE: &str = "no service is given. Either\n  \
     set --url and --token (SCHEDULER_URL, SCHEDULER_TOKEN), or\n  \
     log in to a Cloud Foundry that has a scheduler: cf login, or\n  \
     start one on this machine: ocf-scheduler standalone";
const NO_TOKEN: &str =
    "no token is given: set --token or SCHEDULER_TOKEN (standalone prints one when it starts)";

/// As in a path.
pub(super) const fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Job => "jobs",
        Kind::Call => "calls",
    }
}

/// Whether a text has the form of a guid.
pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Checks a base URL and removes the slash at its end. The error does not repeat a URL with a password.
fn base_of(url: &str) -> Result<String, Failure> {
    let is_good = outbound::read_uri(url).is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    });
    if is_good {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let shown = if url.contains('@') { String::new() } else { format!(" is {url:?}; it") };
    Err(Failure::Usage(format!(
        "SCHEDULER_URL (--url){shown} must be a URL like http://127.0.0.1:8000 or https://scheduler.example.com, \
         without user and query"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_checked_before_it_is_used() {
        assert_eq!(base_of("http://127.0.0.1:8000/").unwrap(), "http://127.0.0.1:8000");
        assert_eq!(base_of("https://s.example.com/x/").unwrap(), "https://s.example.com/x");
        for wrong in ["127.0.0.1:8000", "localhost", "ftp://x", "http://", "http://x/?y", "http://u:s3cret@x"]
        {
            let failure = base_of(wrong).unwrap_err();
            assert!(matches!(failure, Failure::Usage(_)), "{wrong}");
            assert!(!failure.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn guids_are_distinguished_from_names() {
        assert!(is_guid("8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b11"));
        assert!(!is_guid("8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b1/"));
        assert!(!is_guid("nightly"));
    }
}
