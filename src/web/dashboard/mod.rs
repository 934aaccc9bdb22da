//! The dashboard: pages rendered on the server, which use the API.
//!
//! Invariant: a page shows and changes only what the API would show to or change for the signed-in caller. It
//! uses the routes of `web::api`, and the store where a route would count or serialize too much. `maud`
//! escapes everything in a page. Every change is a `POST` from a page of ours.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use log::log;
use maud::{Markup, html};
use sha2::{Digest, Sha256};
use tiny_http::Method;

use super::api::{Api, Asker};
use super::auth::{AuthError, Caller};
use super::limit::{Limiter, RateLimitKey};
use super::routes::decode;
use crate::base::impatient::Impatient;
use crate::base::logging::on_behalf_of;
use crate::config::{DashboardConfig, RateLimit};
use crate::cron::Zone;
use crate::http::{Request, Response, respond, respond_with, with_header};
use crate::model::{Access, Guid, Kind, Secret, Timestamp};
use crate::platform::{Delivery, KnownApp, Named, PlatformError};
use crate::store::{Store, StoreError};

mod ask;
mod assets;
mod components;
mod layout;
mod logs;
mod names;
mod pages;
mod session;
mod sign_in;
mod tokens;

use ask::{Refusal, encoded};
use logs::Logs;
use names::Names;
use session::{Keeper, Session};
use tokens::Tokens;

pub use session::{digest_of, link_code};

/// Failed sign-ins allowed for one address at once. Each second allows one more.
const FAILURES: RateLimit = RateLimit { per_second: 1, burst: 10 };
/// The longest name of a zone in a cookie.
const ZONE_MAX: usize = 64;
/// The longest wait of a page for an answer of the platform, and the most threads that wait for one.
const PATIENCE: Duration = Duration::from_secs(2);
const ASKERS_MAX: usize = 64;
/// The most requests that wait for UAA at once to sign somebody in. Anybody may send them.
const SIGNING_IN_MAX: usize = 8;
/// The parameters of pages.
const PARAMETERS: [&str; 13] = [
    "expression",
    "from",
    "kind",
    "name",
    "next",
    "output",
    "page",
    "schedules",
    "show",
    "sort",
    "space_guid",
    "state",
    "timezone",
];
const ZONE_COOKIE: &str = "ocf-scheduler-zone";
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The dashboard.
pub struct Dashboard {
    keeper: Keeper,
    failures: Limiter,
    /// Id and secret of the UAA client for signing in.
    client: Option<SignInClient>,
    names: Names,
    tokens: Tokens,
    logs: Logs,
    askers: Impatient,
    /// Those who wait for UAA to sign them in.
    signing_in: Impatient,
    is_standalone: bool,
}

/// A UAA client for signing in.
pub(super) struct SignInClient {
    id: String,
    secret: Secret,
    /// Cloud Controller created it from the broker's catalog. Its scopes only identify the user.
    is_of_catalog: bool,
}

/// What a page is rendered from.
struct View<'a> {
    api: &'a Arc<Api>,
    dashboard: &'a Dashboard,
    request: &'a Request,
    caller: Caller,
    session: Session,
    /// The segments of the path after `/dashboard`.
    path: &'a [String],
    query: Fields,
    /// The fields of a `POST`.
    form: Fields,
    now: Timestamp,
    zone: Zone,
    zone_name: String,
    apps: Vec<KnownApp>,
}

/// Names and values of a query or a form, decoded.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

/// The answer of a handler.
enum Reply {
    Page(Page),
    /// A redirect to another page of the dashboard, with `GET`.
    Redirect(String),
}

/// A page without its frame.
struct Page {
    status: u16,
    title: String,
    /// The actions beside the title.
    actions: Markup,
    main: Markup,
    /// Whether the script refreshes it.
    is_live: bool,
}

/// Why a request has no session.
enum NoView {
    Auth(AuthError),
    Database(StoreError),
}

impl From<AuthError> for NoView {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl From<StoreError> for NoView {
    fn from(error: StoreError) -> Self {
        Self::Database(error)
    }
}

type PageResult = Result<Reply, Refusal>;

impl Page {
    fn new(title: impl Into<String>, main: Markup) -> Self {
        Self { status: 200, title: title.into(), actions: html! {}, main, is_live: true }
    }

    fn with_actions(self, actions: Markup) -> Self {
        Self { actions, ..self }
    }

    /// Marks a form, which the script must not refresh while somebody fills it in.
    fn still(self) -> Self {
        Self { is_live: false, ..self }
    }

    fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

impl From<Page> for Reply {
    fn from(page: Page) -> Self {
        Self::Page(page)
    }
}

impl Fields {
    fn of(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name, true)?, decode(value, true)?))
        });
        Self(decoded.collect())
    }

    /// Trimmed; empty when it is missing.
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.trim()).unwrap_or_default()
    }

    fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The fields as a query with some values changed. An empty value removes its name.
    fn with(&self, changes: &[(&str, &str)]) -> String {
        let mut query = String::new();
        let kept = self.0.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| name == other));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in kept.chain(changes.iter().copied()).filter(|(_, value)| !value.is_empty()) {
            let separator = if query.is_empty() { '?' } else { '&' };
            let _ = write!(query, "{separator}{}={}", encoded(name), encoded(value));
        }
        query
    }
}

impl View<'_> {
    /// The space that the page is about; empty: all.
    fn space(&self) -> &str {
        self.query.get("space_guid")
    }

    /// The query of the API for the next page of a list, which the query of this page holds, with the length
    /// of a page as it is here; empty: the first page.
    fn next_query(&self, per_page: usize) -> String {
        let next = Fields::of(self.query.get("next"));
        match next.0.is_empty() {
            true => String::new(),
            false => next.with(&[("per_page", &per_page.to_string())]).trim_start_matches('?').to_owned(),
        }
    }

    /// A path below `/dashboard`, in the same space.
    fn link(&self, path: &str) -> String {
        match self.space() {
            "" => format!("/dashboard{path}"),
            space => format!("/dashboard{path}?space_guid={}", encoded(space)),
        }
    }

    /// Looks up the names of apps or spaces with these guids, in one batch.
    fn learn_names<'g>(&self, what: Named, guids: impl Iterator<Item = &'g str>) {
        self.dashboard.names.learn(&self.api.platform, &self.api.clock, what, guids.map(Guid::from));
    }

    /// The name of an app, or the beginning of its guid if the name is unknown.
    fn app_name(&self, guid: &str) -> String {
        let known = self.apps.iter().find(|app| app.guid.as_str() == guid).map(|app| app.name.clone());
        known.or_else(|| self.dashboard.names.get(Named::App, guid)).unwrap_or_else(|| short(guid))
    }

    /// The names of a space and its organization, or the beginning of its guid if they are unknown.
    fn space_name(&self, guid: &str) -> String {
        self.dashboard.names.get(Named::Space, guid).unwrap_or_else(|| short(guid))
    }

    /// What the user may do in a space.
    fn access_to(&self, space: &str) -> Access {
        let access = self.caller.access_to(&Guid::from(space)).unwrap_or(Access::Read);
        if self.session.may_write { access } else { Access::Read }
    }

    /// What the user may do in the chosen space. Without one: the most in any space.
    fn access(&self) -> Access {
        match self.space() {
            "" if self.session.may_write => self.caller.greatest_access(),
            "" => Access::Read,
            space => self.access_to(space),
        }
    }

    /// Whether the user may do everything in the chosen space, or in any.
    fn may_change(&self) -> bool {
        Access::Work <= self.access()
    }

    /// Refuses a page that only changes something in this space.
    fn must_work_in(&self, space: &str) -> Result<(), Refusal> {
        if Access::Work <= self.access_to(space) { Ok(()) } else { Err(may_only_look()) }
    }

    /// Refuses a page that only makes something new.
    fn must_work(&self) -> Result<(), Refusal> {
        if self.may_change() { Ok(()) } else { Err(may_only_look()) }
    }

    /// The token that protects forms against forgery (CSRF).
    fn form_token(&self) -> String {
        self.dashboard.keeper.form_token(&self.session.user)
    }
}

fn may_only_look() -> Refusal {
    Refusal::new(403, "You may look, but not change anything.")
}

/// The beginning of a guid.
fn short(guid: &str) -> String {
    if guid.len() == 36 && guid.is_ascii() { guid[..8].to_owned() } else { guid.to_owned() }
}

impl Dashboard {
    /// `store` keeps the state of sessions that all instances share. `service` is the id of the service in
    /// the broker's catalog; `None`: there is no broker.
    pub fn new(
        settings: &DashboardConfig,
        is_standalone: bool,
        service: Option<&str>,
        store: Arc<Store>,
    ) -> Self {
        let keeper = Keeper::new(settings.session_secret.as_ref(), store);
        let own = settings.client.clone();
        let own = own.map(|(id, secret)| SignInClient { id, secret, is_of_catalog: false });
        let of_catalog = service.map(|service| SignInClient {
            id: format!("{service}-dashboard"),
            secret: keeper.client_secret(),
            is_of_catalog: true,
        });
        Self {
            keeper,
            failures: Limiter::new(Some(FAILURES)),
            client: own.or(of_catalog).filter(|_| !is_standalone),
            names: Names::default(),
            tokens: Tokens::default(),
            logs: Logs::default(),
            askers: Impatient::new(ASKERS_MAX),
            signing_in: Impatient::new(SIGNING_IN_MAX),
            is_standalone,
        }
    }

    /// Whether signing in through UAA returns a token that may read the output of tasks.
    fn has_client_for_output(&self) -> bool {
        self.client.as_ref().is_some_and(|client| !client.is_of_catalog)
    }

    /// Id and secret of the client that Cloud Controller should create at UAA. `None`: none is needed.
    pub fn client_of_catalog(&self) -> Option<(String, Secret)> {
        let client = self.client.as_ref().filter(|client| client.is_of_catalog)?;
        Some((client.id.clone(), client.secret.clone()))
    }

    /// Handles a request for a page. `path` is the part after `/dashboard`.
    pub(super) fn answer(
        &self,
        api: &Arc<Api>,
        request: &Request,
        path: &[String],
        asker: &mut Asker,
    ) -> Response {
        let segments: Vec<&str> = path.iter().map(String::as_str).collect();
        if let ["assets", name] = segments.as_slice() {
            return assets::answer(name);
        }
        let is_post = request.method == Method::Post;
        if is_post && !session::is_of_our_pages(request) {
            let refusal = Refusal::new(403, "The request does not come from a page of this service.");
            return secured(layout::alone(&refusal));
        }
        let response = match segments.as_slice() {
            ["sign-in"] if is_post => self.sign_in(api, request, asker),
            ["sign-in"] if Fields::of_query(request).get("with") == "cf" => self.begin_at_uaa(api, request),
            ["callback"] if !is_post => self.end_at_uaa(api, request, asker),
            ["sign-in"] => respond_html(200, layout::sign_in(self, &Fields::of_query(request), None)),
            _ => match self.view(api, request, path, asker) {
                Ok(view) => self.answer_to(&view, is_post),
                Err(NoView::Database(error)) => database_trouble(&error),
                Err(NoView::Auth(AuthError::Unavailable(_))) => {
                    let text = "Cloud Foundry could not confirm who you are. Try again in a moment.";
                    layout::alone(&Refusal::new(503, text))
                }
                Err(NoView::Auth(AuthError::Unauthorized(_))) => {
                    let here =
                        format!("/dashboard/{}{}", segments.join("/"), Fields::of_query(request).with(&[]));
                    let to = if is_post || segments.is_empty() { String::new() } else { here };
                    redirect(&format!("/dashboard/sign-in{}", Fields::default().with(&[("to", &to)])))
                }
            },
        };
        secured(response)
    }

    fn view<'a>(
        &'a self,
        api: &'a Arc<Api>,
        request: &'a Request,
        path: &'a [String],
        asker: &mut Asker,
    ) -> Result<View<'a>, NoView> {
        let now = api.clock.now();
        let session = self.keeper.session(request, now)?;
        let session = session.ok_or(AuthError::Unauthorized("there is no session"))?;
        let caller = self.caller(api, request, &session)?;
        asker.user = Some(caller.user.clone());
        let chosen = session::cookie_of(request, ZONE_COOKIE).filter(|name| name.len() <= ZONE_MAX);
        let chosen = chosen.and_then(|name| decode(name, false));
        let zone_name = chosen.filter(|name| Zone::named(name).is_some());
        let zone_name =
            zone_name.or_else(|| api.default_timezone.clone()).unwrap_or_else(|| "UTC".to_owned());
        let zone = Zone::named(&zone_name).or_else(|| Zone::of_offset(0));
        let zone = zone.ok_or(AuthError::Unauthorized("there are no time zones"))?;
        let mut apps = api.platform.known_apps();
        apps.retain(|app| caller.spaces().is_none_or(|spaces| spaces.contains(&app.space)));
        let form = match request.method {
            Method::Post => Fields::of(std::str::from_utf8(&request.body).unwrap_or_default()),
            _ => Fields::default(),
        };
        // Pages repeat the query in their links, so a page stays small if it holds much else.
        let mut query = Fields::default();
        for (name, value) in Fields::of_query(request).0 {
            if PARAMETERS.contains(&name.as_str()) && query.get(&name).is_empty() {
                query.0.push((name, value));
            }
        }
        Ok(View {
            api,
            dashboard: self,
            request,
            caller,
            session,
            path,
            query,
            form,
            now,
            zone,
            zone_name,
            apps,
        })
    }

    /// The caller of a session. A page waits for the roles for a moment only; a form has been filled in, so
    /// it waits for as long as the API does.
    fn caller(&self, api: &Arc<Api>, request: &Request, session: &Session) -> Result<Caller, AuthError> {
        let (holder, digest) = (session.holder(), session.digest());
        let is_quick = self.is_standalone || session.admin || api.auth.remembers(&holder.user);
        if is_quick || request.method == Method::Post {
            return api.auth.caller_signed_in(holder, &digest);
        }
        let (api, id) = (Arc::clone(api), request.id.clone());
        let ask = move || {
            let _for = on_behalf_of(&id);
            api.auth.caller_signed_in(holder, &digest)
        };
        self.askers.ask("roles", PATIENCE, ask).unwrap_or_else(|| {
            let (cause, delivery) = ("it has not answered in time".to_owned(), Delivery::Unknown);
            Err(AuthError::Unavailable(PlatformError::Unavailable { cause, retry_after: None, delivery }))
        })
    }

    fn answer_to(&self, view: &View<'_>, is_post: bool) -> Response {
        let user = RateLimitKey::User(&view.session.user);
        if view.api.limiter.take(user, view.api.clock.monotonic()).is_err() {
            return layout::alone(&Refusal::new(429, "You come too often. Wait a moment, then try again."));
        }
        if is_post && !self.keeper.is_form_token(&view.session.user, view.form.get("form_token")) {
            let refusal = Refusal::new(
                403,
                "This form belongs to another session or is too old. Go back and reload the page.",
            );
            return layout::framed(view, pages::refused(view, &refusal));
        }
        let segments: Vec<&str> = view.path.iter().map(String::as_str).collect();
        let reply = match (segments.as_slice(), is_post) {
            (["sign-out"], true) => return self.sign_out(view),
            (["time-zone"], true) => return choose_zone(view),
            ([], false) => pages::overview::show(view),
            ([], true) => pages::overview::change(view),
            (["executions"], false) => pages::executions::list(view),
            (["executions"], true) => pages::executions::change_many(view, pages::executions::LIST),
            (["executions", guid], false) => pages::execution::show(view, guid),
            (["executions", guid], true) => pages::execution::change(view, guid),
            ([kind, rest @ ..], _) if kind_of(kind).is_some() => {
                let kind = kind_of(kind).unwrap_or(Kind::Job);
                match (rest, is_post) {
                    ([], false) => pages::executables::list(view, kind),
                    (["new"], false) => pages::editor::new(view, kind),
                    (["new"], true) => pages::editor::create(view, kind),
                    ([guid], false) => pages::executable::show(view, kind, guid),
                    ([guid], true) => pages::executable::change(view, kind, guid),
                    ([guid, "edit"], false) => pages::editor::edit(view, kind, guid),
                    ([guid, "edit"], true) => pages::editor::save(view, kind, guid),
                    ([guid, "delete"], false) => pages::executable::ask_delete(view, kind, guid),
                    ([guid, "delete"], true) => pages::executable::delete(view, kind, guid),
                    ([guid, "schedules", "new"], false) => pages::schedule::new(view, kind, guid),
                    ([guid, "schedules", "new"], true) => pages::schedule::save(view, kind, guid, None),
                    ([guid, "schedules", schedule], false) => {
                        pages::schedule::edit(view, kind, guid, schedule)
                    }
                    ([guid, "schedules", schedule], true) => {
                        pages::schedule::save(view, kind, guid, Some(schedule))
                    }
                    _ => Err(Refusal::new(404, "There is no such page.")),
                }
            }
            (["calendar"], false) => pages::calendar::show(view),
            (["notifications"], false) => pages::notifications::list(view),
            (["notifications", "new"], false) => pages::notifications::new(view),
            (["notifications", "new"], true) => pages::notifications::create(view),
            (["notifications", guid], false) => pages::notifications::show(view, guid),
            (["notifications", guid], true) => pages::notifications::change(view, guid),
            (["audit"], false) => pages::audit::list(view),
            (["health"], false) => pages::health::show(view),
            _ => Err(Refusal::new(404, "There is no such page.")),
        };
        match reply {
            Ok(Reply::Redirect(to)) => redirect(&to),
            Ok(Reply::Page(page)) => layout::framed(view, page),
            Err(refusal) => layout::framed(view, pages::refused(view, &refusal)),
        }
    }

    fn sign_out(&self, view: &View<'_>) -> Response {
        self.tokens.forget(&view.session.digest());
        self.logs.forget(&view.session.digest());
        if let Err(error) = self.keeper.sign_out(&view.session.user, view.now) {
            return database_trouble(&error);
        }
        with_header(redirect("/dashboard/sign-in"), "Set-Cookie", &session::cleared(view.request))
    }
}

impl Fields {
    fn of_query(request: &Request) -> Self {
        Self::of(request.query.as_deref().unwrap_or_default())
    }
}

/// Nobody can sign in or out while the database is not available.
fn database_trouble(error: &StoreError) -> Response {
    log!(error.noted(), cause:% = error; "the dashboard cannot ask for sessions");
    layout::alone(&Refusal::new(503, "The database is not available. Try again in a moment."))
}

fn kind_of(segment: &str) -> Option<Kind> {
    match segment {
        "jobs" => Some(Kind::Job),
        "calls" => Some(Kind::Call),
        _ => None,
    }
}

/// The first segment of a kind's paths.
fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Job => "jobs",
        Kind::Call => "calls",
    }
}

/// Stores the time zone for shown times in a cookie.
fn choose_zone(view: &View<'_>) -> Response {
    let back = own_path(view.form.get("to"));
    let zone = view.form.get("zone");
    if Zone::named(zone).is_none() {
        let refusal =
            Refusal::new(422, "There is no time zone of that name. Write, for example, Europe/Berlin.");
        return layout::framed(view, pages::refused(view, &refusal));
    }
    let secure = if session::is_secure(view.request) { "; Secure" } else { "" };
    let cookie = format!(
        "{ZONE_COOKIE}={}; Path=/dashboard; HttpOnly; SameSite=Lax; Max-Age=31536000{secure}",
        encoded(zone)
    );
    with_header(redirect(back), "Set-Cookie", &cookie)
}

/// The path to redirect to. It is always a path of the dashboard.
fn own_path(to: &str) -> &str {
    let rest = to.strip_prefix("/dashboard");
    let is_own = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let (path, query) = to.split_once('?').unwrap_or((to, ""));
    // No dots, whether encoded or not: browsers resolve them.
    let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte))
        && query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !to.contains("//");
    if is_own && is_plain { to } else { "/dashboard/" }
}

fn redirect(to: &str) -> Response {
    with_header(respond(303), "Location", to)
}

fn respond_html(status: u16, page: Markup) -> Response {
    respond_with(status, "text/html; charset=utf-8", page.into_string())
}

/// Adds the headers that every page has.
fn secured(response: Response) -> Response {
    let headers = [
        ("Content-Security-Policy", POLICY),
        ("Referrer-Policy", "same-origin"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
    ];
    headers.into_iter().fold(response, |response, (name, value)| with_header(response, name, value))
}

/// A hash of what a page shows. Relative times are left out, because the script ages them.
fn version_of(main: &str) -> String {
    let mut hash = Sha256::new();
    let mut rest = main;
    while let Some((before, time)) = rest.split_once("<time") {
        hash.update(before);
        let (tag, after) = time.split_once('>').unwrap_or((time, ""));
        let datetime = tag.split("title=").next().unwrap_or_default();
        hash.update(datetime);
        rest = after.split_once("</time>").map_or("", |(_, after)| after);
    }
    hash.update(rest);
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_go_afterwards_is_a_path_of_ours() {
        for own in ["/dashboard", "/dashboard/", "/dashboard/jobs?page=2", "/dashboard?space_guid=a"] {
            assert_eq!(own_path(own), own);
        }
        for other in [
            "",
            "//evil",
            "/jobs",
            "/dashboardx",
            "https://evil/dashboard",
            "/dashboard/\\evil",
            "/dashboard/../x",
            "/dashboard/.%2e/x",
            "/dashboard/%0d%0aX: y",
        ] {
            assert_eq!(own_path(other), "/dashboard/", "{other}");
        }
    }

    #[test]
    fn a_version_stays_while_only_time_passes() {
        let page = |age: &str, state: &str| {
            format!("<p>{state} <time datetime=\"2026\" title=\"x\">{age}</time> later</p>")
        };
        assert_eq!(version_of(&page("1 s ago", "up")), version_of(&page("9 s ago", "up")));
        assert_ne!(version_of(&page("1 s ago", "up")), version_of(&page("1 s ago", "down")));
    }
}
