//! The service that a command uses, the credentials for it, and the lookup of guids by name.
//!
//! Invariant: a command with an ambiguous name changes nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Deref;

use serde_json::Value;

use super::failure::Failure;
use super::names::{Names, What};
use super::place::Place;
pub(super) use super::printer::Printer;
use super::remote::{Remote, encode};
use crate::cli::arguments::Arguments;
use crate::cli::contexts::Context;
use crate::cli::nearest::nearest;
use crate::cli::output::field;
pub(super) use crate::cli::output::{is_guid, is_short_guid};
use crate::config;
use crate::model::Kind;
use crate::outbound;

/// Jobs or calls per page: fewer if their schedules are included, because each may have thousands.
const PAGE: usize = 100;
const PAGE_WITH_SCHEDULES: usize = 20;
/// The most pages of one list.
const PAGES_MAX: usize = 5000;

/// A service, and the printer for its responses.
pub(in crate::cli) struct Session {
    pub(super) remote: Remote,
    space: Option<String>,
    printer: Printer,
    names: Names,
}

impl Deref for Session {
    type Target = Printer;

    fn deref(&self) -> &Printer {
        &self.printer
    }
}

/// A page of a list.
pub(super) struct Page {
    pub(super) resources: Vec<Value>,
    pub(super) is_last: bool,
}

/// The job or call found by a name or guid.
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
    /// Finds the service and the token.
    pub(super) fn open(arguments: &Arguments) -> Result<Self, Failure> {
        Self::at(arguments, Place::find(arguments)?)
    }

    /// For a context that is not stored yet.
    pub(super) fn of_context(arguments: &Arguments, context: &Context) -> Result<Self, Failure> {
        Self::at(arguments, Place::of_context(context, None)?)
    }

    fn at(arguments: &Arguments, place: Place) -> Result<Self, Failure> {
        let mut outbound =
            config::outbound(&arguments.settings()).map_err(|err| Failure::Usage(err.to_string()))?;
        outbound.skip_ssl_validation |= place.skip_ssl_validation;
        let remote = Remote::new(&outbound, place.base, place.token.reveal(), place.renewal)?;
        let names = Names::new(place.world, place.cloud_foundry, place.token.reveal());
        let space = match place.space {
            Some(space) => Some(names.guid(&remote, What::Space, &space, None)?),
            None => place.targeted,
        };
        Ok(Self { remote, space, printer: Printer::of(arguments), names })
    }

    /// The space that was given, or that the context has.
    pub(super) fn space(&self) -> Option<&str> {
        self.space.as_deref()
    }

    /// All jobs or calls of the space, or of all spaces of the caller.
    pub(super) fn list(&self, kind: Kind, with_schedules: bool) -> Result<Vec<Value>, Failure> {
        self.list_where(kind, with_schedules, |_| true)
    }

    /// The jobs or calls that `is_wanted` accepts. Reads page by page, so that it holds only these.
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
        for number in 1..=PAGES_MAX {
            let page = self.page(&list, number, per_page)?;
            wanted.extend(page.resources.into_iter().filter(&is_wanted));
            if page.is_last {
                return Ok(wanted);
            }
        }
        Err(Failure::Unavailable(format!(
            "there are more than {} {}; name a space with --space",
            PAGES_MAX * per_page,
            plural(kind)
        )))
    }

    /// Gets a page of a list. `path` ends with `?` or `&`, so that the number of the page can be appended.
    pub(super) fn page(&self, path: &str, number: usize, per_page: usize) -> Result<Page, Failure> {
        let mut answer = self.remote.get(&format!("{path}page={number}&per_page={per_page}"))?;
        Ok(Page {
            is_last: is_last_page(&answer["pagination"], number),
            resources: resources_of(&mut answer)?,
        })
    }

    pub(super) fn resources(&self, path: &str) -> Result<Vec<Value>, Failure> {
        resources_of(&mut self.remote.get(path)?)
    }

    /// The only job or call (of these kinds) with this name or guid, in `app` if that is given.
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
        let is_short = is_short_guid(wanted);
        let mut found = Vec::new();
        let meant = RefCell::new(None);
        for &kind in kinds {
            let fits = |resource: &Value| {
                let has_guid = is_short && field(resource, "guid").starts_with(wanted);
                let is_of_app = app.as_deref().is_none_or(|app| field(resource, "app_guid") == app);
                let name = field(resource, "name");
                if is_of_app && meant.borrow().is_none() && nearest(wanted, std::iter::once(name)).is_some() {
                    *meant.borrow_mut() = Some(name.to_owned());
                }
                (name == wanted || has_guid) && is_of_app
            };
            let fitting = self.list_where(kind, false, fits)?;
            found.extend(fitting.into_iter().map(|resource| Found { kind, resource }));
        }
        // A name takes precedence over the beginning of a guid.
        if found.iter().any(|found| found.name() == wanted) {
            found.retain(|found| found.name() == wanted);
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                let lists: Vec<String> =
                    kinds.iter().map(|kind| format!("ocf-scheduler {}", plural(*kind))).collect();
                let meant = meant.take().map_or_else(String::new, |name| format!("; did you mean {name:?}?"));
                Err(Failure::NotFound(format!(
                    "there is no {} {wanted:?}{meant}; to list them, run: {}",
                    names.join(" or "),
                    lists.join(", ")
                )))
            }
            _ => Err(self.ambiguous(wanted, &found)),
        }
    }

    /// Recommends only what distinguishes all that was found.
    fn ambiguous(&self, wanted: &str, found: &[Found]) -> Failure {
        let resources: Vec<Value> = found.iter().map(|found| found.resource.clone()).collect();
        self.names.look_up(&self.remote, What::App, &resources, "app_guid");
        self.names.look_up(&self.remote, What::Space, &resources, "space_guid");
        let of = |what: What, name: &'static str| {
            resources.iter().map(move |it| self.names.title(what, field(it, name)))
        };
        let is_told_by =
            |what: What, name: &'static str| of(what, name).collect::<BTreeSet<_>>().len() == found.len();
        let more = if is_told_by(What::App, "app_guid") {
            "add --app APP, or "
        } else if self.space.is_none() && is_told_by(What::Space, "space_guid") {
            "add --space SPACE, or "
        } else {
            ""
        };
        let titles = of(What::App, "app_guid").zip(of(What::Space, "space_guid"));
        let lines: Vec<String> = found
            .iter()
            .zip(titles)
            .map(|(found, (app, space))| {
                let guid = field(&found.resource, "guid");
                format!("  {guid}  {} of app {app} in space {space}", found.kind.as_str())
            })
            .collect();
        Failure::NotFound(format!("{wanted:?} is ambiguous; {more}use a guid:\n{}", lines.join("\n")))
    }

    /// The guid of an app. A name is looked up if possible, else returned unchanged.
    pub(super) fn app(&self, wanted: &str) -> Result<String, Failure> {
        self.names.guid(&self.remote, What::App, wanted, self.space.as_deref())
    }

    /// The guid of the app that `--app` or its variable names, or of the only app that the token may use.
    pub(super) fn app_of(&self, arguments: &Arguments) -> Result<Option<String>, Failure> {
        match arguments.value("app") {
            Some(app) => self.app(&app).map(Some),
            None => Ok(self.names.only_app(self.space())),
        }
    }

    /// The names of all apps in the space, or of all spaces; `None` if they are not known here.
    pub(super) fn names_of(&self, what: What) -> Result<Option<Vec<String>>, Failure> {
        self.names.all(&self.remote, what, self.space())
    }

    /// The name of an app, for people.
    pub(super) fn app_title(&self, guid: &str) -> String {
        self.names.title(What::App, guid)
    }

    /// The name of a space, for people.
    pub(super) fn space_title(&self, guid: &str) -> String {
        self.names.title(What::Space, guid)
    }

    /// Looks up the names of the apps of these objects, if they will be shown.
    pub(super) fn look_up_apps(&self, resources: &[Value]) {
        if self.is_for_people() {
            self.names.look_up(&self.remote, What::App, resources, "app_guid");
        }
    }

    /// Like [`Self::look_up_apps`], for spaces; `name` is the field with the guid.
    pub(super) fn look_up_spaces(&self, resources: &[Value], name: &str) {
        if self.is_for_people() {
            self.names.look_up(&self.remote, What::Space, resources, name);
        }
    }

    /// The page for people.
    pub(super) fn dashboard_link(&self) -> String {
        match self.names.is_of_cloud_foundry() {
            true => format!("{}/dashboard", self.remote.base()),
            false => self.remote.link_that_signs_in(),
        }
    }
}

/// Whether this is the last page. OCF Scheduler has no pages: it returns everything as page 1 of 1, but
/// always with a link to a next page.
fn is_last_page(pagination: &Value, page: usize) -> bool {
    let total = pagination["total_pages"].as_u64().and_then(|total| usize::try_from(total).ok());
    pagination["next"].is_null() || total.is_some_and(|total| total <= page)
}

fn resources_of(answer: &mut Value) -> Result<Vec<Value>, Failure> {
    match answer["resources"].take() {
        Value::Array(resources) => Ok(resources),
        _ => Err(Failure::Unavailable(
            "the response is not a list; is --service the base URL of a scheduler?".to_owned(),
        )),
    }
}

/// As in a path.
pub(super) const fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Job => "jobs",
        Kind::Call => "calls",
    }
}

/// Checks a base URL, and removes the slash at the end. The error does not show a URL that may contain a
/// password.
pub(super) fn base_of(url: &str) -> Result<String, Failure> {
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
        "SCHEDULER_URL (--service){shown} must be a URL like http://127.0.0.1:8000 or \
         https://scheduler.example.com, without user and query"
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
