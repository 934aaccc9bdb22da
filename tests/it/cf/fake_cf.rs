//! A fake Cloud Foundry and UAA: the few routes that the service uses, with the formats and checks of the
//! real ones, and with faults on demand.
//!
//! It needs only this file (and serde_json, base64, time, uuid; rustls and rcgen for TLS), so it serves both
//! as a module of the integration tests and, through its `main`, as a process that is controlled over `POST
//! /_fake/…`.
//! driven over `POST /_fake/…`.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for tests, of which each user takes a part; its clock and its waits are real"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The client that the fake UAA knows.
pub const CLIENT_ID: &str = "scheduler-client";
/// Its secret.
pub const CLIENT_SECRET: &str = "correct-horse-battery";

/// The scopes of tokens that cf gets for its users.
pub const CF_SCOPES: &[&str] = &["openid", "cloud_controller.read", "cloud_controller.write"];

/// A running fake. It stops when it is dropped.
pub struct FakeCf {
    shared: Arc<Shared>,
}

/// A task in the fake.
#[derive(Debug, Clone)]
pub struct FakeTask {
    pub guid: String,
    pub app: String,
    pub name: String,
    pub command: String,
    pub memory_in_mb: u64,
    pub disk_in_mb: u64,
    /// `log_rate_limit_in_bytes_per_second`, if sent.
    pub log_rate: Option<i64>,
    /// Labels and annotations.
    pub metadata: Value,
    pub state: String,
    pub failure_reason: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    /// When it was created, with nanoseconds.
    pub born: Instant,
}

/// A received request.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    /// For example `POST /v3/apps/:guid/tasks`.
    pub route: String,
    /// The path and query as sent.
    pub target: String,
    /// The status of the answer; 0 if there is none, or none yet.
    pub status: u16,
    number: usize,
}

/// A fault.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This answer instead of the usual one; nothing is done.
    Respond { status: u16, headers: Vec<(String, String)>, body: String },
    /// The usual answer, later.
    Delay(Duration),
    /// The usual answer, after which the connection closes unannounced.
    CloseAfter,
    /// The connection closes; nothing is done.
    DropBefore,
    /// The request takes effect, then the connection closes without an answer.
    DropAfter,
    /// The connection closes at once; the request takes effect after this time.
    CommitLate(Duration),
    /// A head with this status, then an endless body, byte by byte.
    Endless { status: u16 },
    /// A head with status 200, then as many bytes as the client accepts.
    Flood,
}

impl Fault {
    /// A status with a Cloud Foundry error in JSON.
    pub fn cf_error(status: u16, code: u32, title: &str, detail: &str) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self::Respond { status, headers, body: cf_errors(code, title, detail).to_string() }
    }

    /// An HTML page in place of JSON.
    pub fn html(status: u16) -> Self {
        let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
        Self::Respond { status, headers, body: "<html><body>Something went wrong</body></html>".to_owned() }
    }

    /// A status with one header and no body.
    pub fn status(status: u16, header: Option<(&str, &str)>) -> Self {
        let headers = header.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        Self::Respond { status, headers, body: String::new() }
    }
}

/// The command of a task that fails where others succeed.
pub const FAILING: &str = "false";

/// A longer path and query gets a 414, which [`SeenRequest`] records.
pub const TARGET_MAX: usize = 8000;
/// So does a request for more names or guids.
pub const FILTER_MAX: usize = 150;

/// How UAA decodes a client's id and secret in `Authorization: Basic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoding {
    /// Not at all: before 4.33.
    Never,
    /// Percent-decoded if `X-CF-ENCODED-CREDENTIALS` says so: since 4.33.
    WithHeader,
    /// Always, as a form.
    Always,
}

/// How often a fault happens: until it is cleared.
pub const ALWAYS: usize = usize::MAX;

struct Shared {
    address: SocketAddr,
    tls: Option<Tls>,
    stopped: AtomicBool,
    state: Mutex<State>,
}

struct Tls {
    config: Arc<rustls::ServerConfig>,
    certificate_pem: String,
}

/// A line in Log Cache: app, time in nanoseconds since 1970, source type and text.
struct LogLine {
    app: String,
    time: i64,
    source: String,
    line: Vec<u8>,
}

struct State {
    logs: Vec<LogLine>,
    /// The number of dropped lines.
    expired_logs: usize,
    has_log_cache: bool,
    apps: BTreeMap<String, String>,
    /// Organization, space.
    organizations: BTreeSet<(String, String)>,
    /// Names of apps and spaces by guid, where they differ from `app-GUID` and `space-GUID`.
    renamed: BTreeMap<String, String>,
    /// User, space (or organization), type.
    roles: BTreeSet<(String, String, String)>,
    tokens: HashMap<String, UserToken>,
    /// The user of each refresh token.
    refresh_tokens: HashMap<String, String>,
    /// Clients that people sign in through, by their ids.
    sign_in_clients: HashMap<String, SignInClient>,
    /// Codes of sign-ins that are not redeemed.
    codes: HashMap<String, CodeGrant>,
    rotates_refresh_tokens: bool,
    service_tokens: HashMap<String, Instant>,
    service_token_life: Duration,
    has_uaa_resource: bool,
    /// Tasks are stored but cannot run.
    is_diego_away: bool,
    /// Tasks with labels or annotations are refused.
    refuses_metadata: bool,
    /// Each list with one of these tasks gets a 500.
    hidden: BTreeSet<String>,
    /// Fields that tasks are shown with instead of their own.
    odd_fields: BTreeMap<String, Value>,
    client: (String, String),
    decoding: Decoding,
    /// The authorities of the service's tokens.
    authorities: String,
    tasks: Vec<FakeTask>,
    completion: Option<(Duration, String, Option<String>)>,
    largest_page: usize,
    faults: Vec<(String, Fault, usize)>,
    requests: Vec<SeenRequest>,
    requests_ever: usize,
    unknown_routes: BTreeSet<String>,
    /// The link to UAA in the root, instead of this server.
    uaa_link: Option<String>,
}

#[derive(Clone)]
struct UserToken {
    user: Option<String>,
    client: String,
    scopes: Vec<String>,
    expires_at: i64,
}

impl FakeCf {
    /// Plain HTTP on a free port.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1:0", None)
    }

    /// HTTPS on a free port, with an untrusted certificate for `localhost` and `127.0.0.1`.
    pub fn start_tls() -> Self {
        let (config, certificate_pem) = tls_config(&["localhost", "127.0.0.1"]);
        Self::start_on("127.0.0.1:0", Some(Tls { config, certificate_pem }))
    }

    fn start_on(address: &str, tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            tls,
            stopped: AtomicBool::new(false),
            state: Mutex::new(State {
                apps: BTreeMap::new(),
                roles: BTreeSet::new(),
                tokens: HashMap::new(),
                refresh_tokens: HashMap::new(),
                sign_in_clients: HashMap::new(),
                codes: HashMap::new(),
                rotates_refresh_tokens: false,
                service_tokens: HashMap::new(),
                service_token_life: Duration::from_secs(599),
                has_uaa_resource: true,
                is_diego_away: false,
                refuses_metadata: false,
                hidden: BTreeSet::new(),
                odd_fields: BTreeMap::new(),
                client: (CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned()),
                decoding: Decoding::WithHeader,
                authorities: "cloud_controller.admin uaa.resource".to_owned(),
                tasks: Vec::new(),
                logs: Vec::new(),
                organizations: BTreeSet::new(),
                renamed: BTreeMap::new(),
                expired_logs: 0,
                has_log_cache: true,
                completion: None,
                largest_page: 5000,
                faults: Vec::new(),
                requests: Vec::new(),
                requests_ever: 0,
                unknown_routes: BTreeSet::new(),
                uaa_link: None,
            }),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = accepting.clone();
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { shared }
    }

    /// The base URL of both Cloud Foundry and UAA.
    pub fn url(&self) -> String {
        self.shared.url()
    }

    /// The certificate to trust, after [`FakeCf::start_tls`].
    pub fn certificate_pem(&self) -> &str {
        self.shared.tls.as_ref().map_or("", |tls| &tls.certificate_pem)
    }

    pub fn add_app(&self, guid: &str, space: &str) {
        self.state().apps.insert(guid.to_owned(), space.to_owned());
    }

    /// Gives an app or space a name, which others may have too.
    pub fn rename(&self, guid: &str, name: &str) {
        self.state().renamed.insert(guid.to_owned(), name.to_owned());
    }

    pub fn remove_app(&self, guid: &str) {
        self.state().apps.remove(guid);
    }

    /// Makes the user a developer in the space.
    pub fn add_role(&self, user: &str, space: &str) {
        self.add_role_of_type(user, space, "space_developer");
    }

    pub fn add_role_of_type(&self, user: &str, space: &str, role: &str) {
        self.state().roles.insert((user.to_owned(), space.to_owned(), role.to_owned()));
    }

    /// Adds a space to an organization.
    pub fn add_space_of(&self, organization: &str, space: &str) {
        self.state().organizations.insert((organization.to_owned(), space.to_owned()));
    }

    pub fn remove_roles(&self, user: &str, space: &str) {
        self.state().roles.retain(|(u, s, _)| (u.as_str(), s.as_str()) != (user, space));
    }

    /// A client of UAA that people sign in through.
    pub fn add_sign_in_client(&self, id: &str, secret: &str, redirect: &str, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let client = SignInClient { secret: secret.to_owned(), redirect: redirect.to_owned(), scopes };
        self.state().sign_in_clients.insert(id.to_owned(), client);
    }

    /// A token of a user as the command line cf gets it.
    pub fn issue_cf_token(&self, user: &str) -> String {
        self.issue_user_token(user, CF_SCOPES)
    }

    /// A user's token that UAA accepts.
    pub fn issue_user_token(&self, user: &str, scopes: &[&str]) -> String {
        self.issue(UserToken::new(Some(user), "cf", scopes))
    }

    /// A token of a client without a user, which UAA accepts.
    pub fn issue_client_token(&self, client: &str, scopes: &[&str]) -> String {
        self.issue(UserToken::new(None, client, scopes))
    }

    /// A token without readable claims, which UAA accepts.
    pub fn issue_opaque_user_token(&self, user: &str, scopes: &[&str]) -> String {
        self.issue_opaque(UserToken::new(Some(user), "cf", scopes))
    }

    /// The same, for a token that expires at `expires_at` (in seconds since 1970).
    pub fn issue_opaque_user_token_until(&self, user: &str, scopes: &[&str], expires_at: i64) -> String {
        self.issue_opaque(UserToken { expires_at, ..UserToken::new(Some(user), "cf", scopes) })
    }

    /// The same, for a client.
    pub fn issue_opaque_client_token(&self, client: &str, scopes: &[&str]) -> String {
        self.issue_opaque(UserToken::new(None, client, scopes))
    }

    fn issue_opaque(&self, token: UserToken) -> String {
        let text = random();
        self.state().tokens.insert(text.clone(), token);
        text
    }

    /// A user's token as long as those with very many scopes.
    pub fn issue_long_user_token(&self, user: &str, scopes: &[&str], bytes: usize) -> String {
        let token = UserToken::new(Some(user), "cf", scopes);
        let text = token.text();
        let text = format!("{text}{}", "x".repeat(bytes.saturating_sub(text.len())));
        self.state().tokens.insert(text.clone(), token);
        text
    }

    /// From now on UAA accepts this token.
    pub fn learn(&self, token: &str, user: &str, scopes: &[&str]) {
        self.state().tokens.insert(token.to_owned(), UserToken::new(Some(user), "cf", scopes));
    }

    /// A refresh token is valid only once, and is replaced by the next one.
    pub fn rotate_refresh_tokens(&self) {
        self.state().rotates_refresh_tokens = true;
    }

    /// A refresh token, which the cf CLI exchanges for a new token of the user.
    pub fn issue_refresh_token(&self, user: &str) -> String {
        let text = random();
        self.state().refresh_tokens.insert(text.clone(), user.to_owned());
        text
    }

    /// A user's token that looks valid, but that UAA has never seen.
    pub fn forge_token(&self, user: &str, scopes: &[&str]) -> String {
        UserToken::new(Some(user), "cf", scopes).text()
    }

    /// The same for a client's token.
    pub fn forge_client_token(&self, client: &str, scopes: &[&str]) -> String {
        UserToken::new(None, client, scopes).text()
    }

    pub fn revoke(&self, token: &str) {
        self.state().tokens.remove(token);
    }

    /// Whether the service's client may use `/introspect` (authority `uaa.resource`); initially it may.
    pub fn allow_introspection(&self, allowed: bool) {
        self.state().has_uaa_resource = allowed;
    }

    /// Sets the client that UAA knows, and how it decodes its id and secret.
    pub fn set_client(&self, id: &str, secret: &str, decoding: Decoding) {
        let mut state = self.state();
        state.client = (id.to_owned(), secret.to_owned());
        state.decoding = decoding;
    }

    /// Sets the authorities of service tokens issued from now on.
    pub fn set_authorities(&self, authorities: &str) {
        self.state().authorities = authorities.to_owned();
    }

    /// Invalidates all service tokens issued so far.
    pub fn expire_service_tokens(&self) {
        self.state().service_tokens.clear();
    }

    /// Sets the life of service tokens issued from now on.
    pub fn set_service_token_life(&self, life: Duration) {
        self.state().service_token_life = life;
    }

    /// All tasks, in order of creation.
    pub fn tasks(&self) -> Vec<FakeTask> {
        let mut state = self.state();
        state.complete_tasks();
        state.tasks.clone()
    }

    pub fn set_task_state(&self, guid: &str, task_state: &str, failure_reason: Option<&str>) {
        self.state().set_task_state(guid, task_state, failure_reason.map(str::to_owned));
    }

    /// Tasks end this long after their creation, in `task_state`. `None`: not any more.
    pub fn complete_tasks_after(&self, completion: Option<(Duration, &str, Option<&str>)>) {
        self.state().completion = completion
            .map(|(after, task_state, reason)| (after, task_state.to_owned(), reason.map(str::to_owned)));
    }

    /// A line of an app in Log Cache: `APP/TASK/NAME` is the source of a task's output.
    pub fn print(&self, app: &str, source: &str, line: &[u8]) {
        let mut state = self.state();
        let latest = state.logs.last().map_or(0, |line| line.time);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let time = i64::try_from(now).unwrap().max(latest + 1);
        let (app, source, line) = (app.to_owned(), source.to_owned(), line.to_vec());
        state.logs.push(LogLine { app, time, source, line });
    }

    /// Removes the link to Log Cache from the root.
    pub fn hide_log_cache(&self) {
        self.state().has_log_cache = false;
    }

    /// Log Cache drops this many of its oldest lines.
    pub fn forget_logs(&self, lines: usize) {
        let mut state = self.state();
        state.logs.drain(..lines);
        state.expired_logs += lines;
    }

    /// From now on tasks with labels or annotations are refused.
    pub fn refuse_metadata(&self) {
        self.state().refuses_metadata = true;
    }

    /// While Diego is away, tasks are stored, answered with 503, and never run.
    pub fn take_diego_away(&self, is_away: bool) {
        self.state().is_diego_away = is_away;
    }

    /// A list with this task (by guid or name) gets a 500, as from Cloud Controllers that miss its droplet.
    pub fn hide_task(&self, guid_or_name: &str, is_hidden: bool) {
        let mut state = self.state();
        if is_hidden {
            state.hidden.insert(guid_or_name.to_owned());
        } else {
            state.hidden.remove(guid_or_name);
        }
    }

    /// Shows all tasks with this field.
    pub fn show_tasks_with(&self, field: &str, value: Value) {
        self.state().odd_fields.insert(field.to_owned(), value);
    }

    /// Adds a task that somebody else created.
    pub fn plant_task(&self, app: &str, name: &str) -> String {
        let guid = random();
        self.state().tasks.push(FakeTask {
            guid: guid.clone(),
            app: app.to_owned(),
            name: name.to_owned(),
            command: "true".to_owned(),
            memory_in_mb: 1,
            disk_in_mb: 1,
            log_rate: None,
            metadata: Value::Null,
            state: "RUNNING".to_owned(),
            failure_reason: None,
            created_at: now(),
            updated_at: now(),
            born: Instant::now(),
        });
        guid
    }

    /// Cloud Foundry no longer knows the task.
    pub fn forget_task(&self, guid: &str) {
        self.state().tasks.retain(|task| task.guid != guid);
    }

    /// Pages have at most this many resources, whatever `per_page` says.
    pub fn limit_pages_to(&self, resources: usize) {
        self.state().largest_page = resources;
    }

    /// Sets the link to UAA in the root.
    pub fn link_uaa_to(&self, url: &str) {
        self.state().uaa_link = Some(url.to_owned());
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.state().requests.clone()
    }

    /// The number of requests to a route, for example `POST /v3/apps/:guid/tasks`.
    pub fn count(&self, route: &str) -> usize {
        self.state().requests.iter().filter(|request| request.route == route).count()
    }

    pub fn clear_requests(&self) {
        self.state().requests.clear();
    }

    /// The next `times` requests to `route` (`*`: any) get the fault. The faults of a route apply in the
    /// order given.
    pub fn fault(&self, route: &str, fault: Fault, times: usize) {
        self.state().faults.push((route.to_owned(), fault, times));
    }

    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    fn issue(&self, token: UserToken) -> String {
        let text = token.text();
        self.state().tokens.insert(text.clone(), token);
        text
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for FakeCf {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.shared.address); // Wakes the accepting thread.
        let unknown = std::mem::take(&mut self.state().unknown_routes);
        assert!(
            thread::panicking() || unknown.is_empty(),
            "asked for what the fake does not know: {unknown:?}"
        );
    }
}

/// A certificate for these names and its key, both in PEM form.
pub fn tls_config_files(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A server configuration for these names, and its certificate in PEM form.
pub fn tls_config(names: &[&str]) -> (Arc<rustls::ServerConfig>, String) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    (Arc::new(config), made.cert.pem())
}

/// Runs as a process: `fake_cf [PORT]`. Prints its URL, then serves until it is killed.
pub fn main() {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".to_owned());
    let fake = FakeCf::start_on(&format!("127.0.0.1:{port}"), None);
    println!("{}", fake.url());
    println!("CLIENT_ID={CLIENT_ID} CLIENT_SECRET={CLIENT_SECRET}");
    println!("drive it with POST /_fake/VERB and a JSON object: {}", VERBS.join(", "));
    loop {
        thread::park();
    }
}

impl UserToken {
    fn new(user: Option<&str>, client: &str, scopes: &[&str]) -> Self {
        Self {
            user: user.map(str::to_owned),
            client: client.to_owned(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            expires_at: OffsetDateTime::now_utc().unix_timestamp() + 600,
        }
    }

    fn claims(&self) -> Value {
        let mut claims = json!({
            "jti": random(),
            "client_id": self.client,
            "cid": self.client,
            "azp": self.client,
            "scope": self.scopes,
            "exp": self.expires_at,
            "iat": self.expires_at - 600,
            "iss": "https://uaa.example.com/oauth/token",
            "zid": "uaa",
            "aud": ["cloud_controller", "openid", "cf"],
        });
        match &self.user {
            Some(user) => {
                claims["user_id"] = json!(user);
                claims["sub"] = json!(user);
                claims["user_name"] = json!(format!("{user}@example.com"));
                claims["grant_type"] = json!("password");
                claims["origin"] = json!("uaa");
            }
            None => {
                claims["sub"] = json!(self.client);
                claims["authorities"] = json!(self.scopes);
                claims["grant_type"] = json!("client_credentials");
            }
        }
        claims
    }

    fn text(&self) -> String {
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"key-1","typ":"JWT"}"#);
        let payload = BASE64_URL_SAFE_NO_PAD.encode(self.claims().to_string());
        format!("{header}.{payload}.{}", BASE64_URL_SAFE_NO_PAD.encode(random()))
    }
}

struct Incoming {
    method: String,
    target: String,
    path: String,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// A client of UAA that people sign in through.
struct SignInClient {
    secret: String,
    /// The only address that it is sent back to.
    redirect: String,
    scopes: Vec<String>,
}

/// What a code of a sign-in stands for.
struct CodeGrant {
    client: String,
    redirect: String,
    challenge: String,
    user: String,
    /// The scopes that were asked for.
    wanted: Vec<String>,
}

struct Outgoing {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Outgoing {
    fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json;charset=utf-8".to_owned())];
        Self { status, headers, body: body.to_string() }
    }

    fn cf_error(status: u16, code: u32, title: &str, detail: &str) -> Self {
        Self::json(status, &cf_errors(code, title, detail))
    }
}

fn cf_errors(code: u32, title: &str, detail: &str) -> Value {
    json!({"errors": [{"code": code, "title": title, "detail": detail}]})
}

impl Shared {
    fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(self: &Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        let _ = stream.set_write_timeout(Some(Duration::from_secs(60)));
        match &self.tls {
            None => self.serve_requests(stream),
            Some(tls) => {
                let connection = rustls::ServerConnection::new(tls.config.clone()).unwrap();
                self.serve_requests(rustls::StreamOwned::new(connection, stream));
            }
        }
    }

    fn serve_requests<S: Read + Write>(self: &Arc<Self>, stream: S) {
        let mut stream = BufReader::new(stream);
        while let Ok(Some(request)) = read_request(&mut stream) {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            if let Some(verb) = request.path.strip_prefix("/_fake/") {
                let answer = self.obey(verb, &request);
                if write_answer(stream.get_mut(), &answer).is_err() {
                    return;
                }
                continue;
            }
            let route = route_of(&request);
            let fault = self.state().next_fault(&route);
            let number = self.state().note(&route, &request.target);
            let answered = |status| self.state().note_status(number, status);
            let mut closes = false;
            match fault {
                None => {}
                Some(Fault::CloseAfter) => closes = true,
                Some(Fault::Delay(delay)) => thread::sleep(delay),
                Some(Fault::Respond { status, headers, body }) => {
                    answered(status);
                    if write_answer(stream.get_mut(), &Outgoing { status, headers, body }).is_err() {
                        return;
                    }
                    continue;
                }
                Some(Fault::DropBefore) => return,
                Some(Fault::DropAfter) => {
                    self.answer(&route, &request);
                    return;
                }
                Some(Fault::CommitLate(delay)) => {
                    let shared = self.clone();
                    thread::spawn(move || {
                        thread::sleep(delay);
                        shared.answer(&route, &request);
                    });
                    return;
                }
                Some(Fault::Endless { status }) => {
                    answered(status);
                    let head = format!("HTTP/1.1 {status} Fault\r\nContent-Type: application/json\r\n\r\n{{");
                    let out = stream.get_mut();
                    let mut going = out.write_all(head.as_bytes());
                    while going.is_ok() && !self.stopped.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(20));
                        going = out.write_all(b" ").and_then(|()| out.flush());
                    }
                    return;
                }
                Some(Fault::Flood) => {
                    answered(200);
                    let out = stream.get_mut();
                    let blanks = [b' '; 65536];
                    let mut going =
                        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
                    while going.is_ok() && !self.stopped.load(Ordering::SeqCst) {
                        going = out.write_all(&blanks);
                    }
                    return;
                }
            }
            let answer = self.answer(&route, &request);
            answered(answer.status);
            if write_answer(stream.get_mut(), &answer).is_err() || closes {
                return;
            }
        }
    }

    fn answer(&self, route: &str, request: &Incoming) -> Outgoing {
        let asked_for = ["names", "guids"].map(|name| filter(request, name).map_or(0, |values| values.len()));
        if TARGET_MAX < request.target.len() || asked_for.iter().any(|&values| FILTER_MAX < values) {
            return Outgoing { status: 414, headers: Vec::new(), body: String::new() };
        }
        let base = self.url();
        let mut state = self.state();
        match route {
            "GET /" => {
                let uaa = state.uaa_link.clone().unwrap_or_else(|| base.clone());
                let links = json!({
                    "self": {"href": base}, "cloud_controller_v2": null,
                    "cloud_controller_v3": {"href": format!("{base}/v3"), "meta": {"version": "3.180.0"}},
                    "login": {"href": uaa}, "uaa": {"href": uaa},
                    "log_cache": if state.has_log_cache { json!({"href": base}) } else { Value::Null },
                });
                Outgoing::json(200, &json!({"links": links}))
            }
            "GET /oauth/authorize" => state.authorize(request),
            "POST /oauth/token" => {
                let form = pairs(&String::from_utf8_lossy(&request.body));
                if form.get("grant_type").map(String::as_str) == Some("authorization_code") {
                    return state.redeem_code(request, &form);
                }
                match form.get("refresh_token") {
                    Some(refresh_token) => state.refresh(request, refresh_token),
                    None => state.issue_service_token(request),
                }
            }
            "GET /userinfo" => state.userinfo(request),
            "POST /introspect" => state.introspect(request),
            "GET /api/v1/read/:app" => state.read_logs(request),
            "GET /api/v1/meta" => state.log_meta(request),
            _ if request.path.starts_with("/v3/") => {
                let is_user = matches!(route, "GET /v3/apps" | "GET /v3/spaces" | "GET /v3/organizations")
                    && bearer(request).is_some_and(|it| state.tokens.contains_key(it));
                if !is_user && !state.is_service(request) {
                    return Outgoing::cf_error(401, 1000, "CF-InvalidAuthToken", "Invalid Auth Token");
                }
                state.complete_tasks();
                state.v3(route, request, &base)
            }
            _ => state.unknown(route),
        }
    }
}

impl State {
    /// Log Cache shows an app only to those who have a role in its space.
    fn may_see_logs(&self, request: &Incoming, app: &str) -> bool {
        let user =
            bearer(request).and_then(|token| self.tokens.get(token)).and_then(|token| token.user.as_ref());
        let space = self.apps.get(app);
        let is_theirs = |(user, space): (&String, &String)| {
            self.roles.iter().any(|(holder, place, _)| holder == user && place == space)
        };
        user.zip(space).is_some_and(is_theirs)
    }

    fn read_logs(&mut self, request: &Incoming) -> Outgoing {
        let app = request.path.split('/').nth(4).unwrap_or_default().to_owned();
        if !self.may_see_logs(request, &app) {
            return Outgoing::json(404, &json!({"error": "not found"}));
        }
        let number = |name: &str| request.query.get(name).and_then(|text| text.parse::<i64>().ok());
        let (start, end) = (number("start_time").unwrap_or(0), number("end_time").unwrap_or(i64::MAX));
        let limit = usize::try_from(number("limit").unwrap_or(100)).unwrap();
        assert!(limit <= 1000 && request.query["envelope_types"] == "LOG");
        let is_wanted = |line: &&LogLine| line.app == app && start <= line.time && line.time < end;
        let batch: Vec<Value> = self
            .logs
            .iter()
            .filter(is_wanted)
            .take(limit)
            .map(|line| {
                json!({
                    "timestamp": line.time.to_string(), "source_id": app, "instance_id": "0",
                    "deprecated_tags": {}, "tags": {"source_type": line.source, "process_type": ""},
                    "log": {"payload": BASE64_STANDARD.encode(&line.line), "type": "OUT"},
                })
            })
            .collect();
        Outgoing::json(200, &json!({"envelopes": {"batch": batch}}))
    }

    fn log_meta(&mut self, request: &Incoming) -> Outgoing {
        let mut meta = serde_json::Map::new();
        for app in self.apps.keys().filter(|app| self.may_see_logs(request, app)) {
            let lines: Vec<&LogLine> = self.logs.iter().filter(|line| line.app == *app).collect();
            let (Some(oldest), Some(newest)) = (lines.first(), lines.last()) else { continue };
            meta.insert(
                app.clone(),
                json!({
                    "count": lines.len().to_string(), "expired": self.expired_logs.to_string(),
                    "oldestTimestamp": oldest.time.to_string(), "newestTimestamp": newest.time.to_string(),
                }),
            );
        }
        Outgoing::json(200, &json!({"meta": meta}))
    }

    /// A request that the real servers may know, but this one does not: fails the test that caused it.
    fn unknown(&mut self, route: &str) -> Outgoing {
        self.unknown_routes.insert(route.to_owned());
        Outgoing { status: 501, headers: Vec::new(), body: format!("the fake does not know {route}\n") }
    }

    fn next_fault(&mut self, route: &str) -> Option<Fault> {
        let index = self.faults.iter().position(|(at, _, _)| at == "*" || at == route)?;
        let (_, fault, times) = &mut self.faults[index];
        let fault = fault.clone();
        if *times != ALWAYS {
            *times -= 1;
            if *times == 0 {
                self.faults.remove(index);
            }
        }
        Some(fault)
    }

    fn note(&mut self, route: &str, target: &str) -> usize {
        self.requests_ever += 1;
        let (route, target) = (route.to_owned(), target.to_owned());
        self.requests.push(SeenRequest { route, target, status: 0, number: self.requests_ever });
        self.requests_ever
    }

    fn note_status(&mut self, number: usize, status: u16) {
        for request in self.requests.iter_mut().filter(|request| request.number == number) {
            request.status = status;
        }
    }

    fn issue_service_token(&mut self, request: &Incoming) -> Outgoing {
        let form = pairs(&String::from_utf8_lossy(&request.body));
        if !self.is_client(request)
            || form.get("grant_type").map(String::as_str) != Some("client_credentials")
        {
            let error = json!({"error": "unauthorized", "error_description": "Bad credentials"});
            return Outgoing::json(401, &error);
        }
        let token = UserToken::new(None, CLIENT_ID, &[]).text();
        self.service_tokens.insert(token.clone(), Instant::now() + self.service_token_life);
        Outgoing::json(
            200,
            &json!({
                "access_token": token, "token_type": "bearer", "scope": self.authorities,
                "expires_in": self.service_token_life.as_secs(), "jti": random(),
            }),
        )
    }

    /// Lets the user `user` of the query sign in, without a page that asks for a password.
    fn authorize(&mut self, request: &Incoming) -> Outgoing {
        let get = |name: &str| request.query.get(name).cloned().unwrap_or_default();
        let client = self.sign_in_clients.get(&get("client_id"));
        let is_right = client.is_some_and(|client| client.redirect == get("redirect_uri"))
            && get("response_type") == "code"
            && get("code_challenge_method") == "S256";
        if !is_right {
            return Outgoing::json(400, &json!({"error": "invalid_request"}));
        }
        let user = request.query.get("user").cloned().unwrap_or_else(|| "dev".to_owned());
        let (client, redirect, challenge) = (get("client_id"), get("redirect_uri"), get("code_challenge"));
        let code = random();
        let back = format!("{redirect}?code={code}&state={}", escaped(&get("state")));
        let wanted = get("scope").split(' ').map(str::to_owned).collect();
        self.codes.insert(code, CodeGrant { client, redirect, challenge, user, wanted });
        Outgoing { status: 302, headers: vec![("Location".to_owned(), back)], body: String::new() }
    }

    /// A code is good once, for the client and the browser that it was issued to.
    fn redeem_code(&mut self, request: &Incoming, form: &HashMap<String, String>) -> Outgoing {
        let get = |name: &str| form.get(name).cloned().unwrap_or_default();
        let invalid = || Outgoing::json(400, &json!({"error": "invalid_grant"}));
        let Some(grant) = self.codes.remove(&get("code")) else { return invalid() };
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(get("code_verifier")));
        if grant.challenge != challenge || grant.redirect != get("redirect_uri") {
            return invalid();
        }
        let Some(client) = self.sign_in_clients.get(&grant.client) else { return invalid() };
        let basic = BASE64_STANDARD.encode(format!("{}:{}", grant.client, client.secret));
        if request.headers.get("authorization") != Some(&format!("Basic {basic}")) {
            return Outgoing::json(401, &json!({"error": "invalid_client"}));
        }
        let scopes = client.scopes.iter().filter(|scope| grant.wanted.contains(scope));
        let scopes: Vec<&str> = scopes.map(String::as_str).collect();
        let token = UserToken::new(Some(&grant.user), &grant.client, &scopes);
        let text = token.text();
        self.tokens.insert(text.clone(), token);
        Outgoing::json(200, &json!({"access_token": text, "token_type": "bearer", "expires_in": 599}))
    }

    /// As UAA does for the client `cf`, which has no secret.
    fn refresh(&mut self, request: &Incoming, refresh_token: &str) -> Outgoing {
        let is_cf = request.headers.get("authorization").map(String::as_str) == Some("Basic Y2Y6");
        let Some(user) = self.refresh_tokens.get(refresh_token).filter(|_| is_cf) else {
            let error = json!({"error": "invalid_token", "error_description": "The token has expired"});
            return Outgoing::json(401, &error);
        };
        let token = UserToken::new(Some(user), "cf", CF_SCOPES);
        let text = token.text();
        self.tokens.insert(text.clone(), token);
        let mut answer = json!({"access_token": text, "token_type": "bearer", "expires_in": 599});
        if self.rotates_refresh_tokens {
            let user = self.refresh_tokens.remove(refresh_token).unwrap_or_default();
            answer["refresh_token"] = json!(random());
            let rotated = answer["refresh_token"].as_str().unwrap_or_default().to_owned();
            self.refresh_tokens.insert(rotated, user);
        }
        Outgoing::json(200, &answer)
    }

    fn userinfo(&self, request: &Incoming) -> Outgoing {
        let known = bearer(request).and_then(|token| self.tokens.get(token));
        match known {
            Some(UserToken { user: Some(user), .. }) => Outgoing::json(
                200,
                &json!({
                    "user_id": user, "sub": user, "user_name": format!("{user}@example.com"),
                    "email": format!("{user}@example.com"), "email_verified": true, "previous_logon_time": 1,
                }),
            ),
            // As UAA 4.30 does.
            Some(token) if token.scopes.iter().any(|scope| scope == "openid") => Outgoing {
                status: 500,
                headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
                body: "<html><body>Something went amiss.</body></html>".to_owned(),
            },
            Some(_) => {
                let why = "Invalid token does not contain resource id (openid)";
                Outgoing::json(403, &json!({"error": "access_denied", "error_description": why}))
            }
            None => {
                let why = "Encoded token is not signed by a known key";
                Outgoing::json(401, &json!({"error": "invalid_token", "error_description": why}))
            }
        }
    }

    fn introspect(&self, request: &Incoming) -> Outgoing {
        if !self.is_client(request) {
            let error = json!({"error": "unauthorized", "error_description": "Bad credentials"});
            return Outgoing::json(401, &error);
        }
        if !self.has_uaa_resource {
            let error = json!({"error": "access_denied", "error_description": "Access is denied"});
            return Outgoing::json(403, &error);
        }
        let form = pairs(&String::from_utf8_lossy(&request.body));
        match form.get("token").and_then(|token| self.tokens.get(token)) {
            None => Outgoing::json(200, &json!({"active": false})),
            Some(token) => {
                let mut claims = token.claims();
                claims["active"] = json!(true);
                Outgoing::json(200, &claims)
            }
        }
    }

    fn is_client(&self, request: &Incoming) -> bool {
        let decoded = || {
            let basic = request.headers.get("authorization")?.strip_prefix("Basic ")?;
            let pair = String::from_utf8(BASE64_STANDARD.decode(basic).ok()?).ok()?;
            let (id, secret) = pair.split_once(':')?;
            let is_marked =
                request.headers.get("x-cf-encoded-credentials").map(String::as_str) == Some("true");
            Some(match self.decoding {
                Decoding::Never => (id.to_owned(), secret.to_owned()),
                Decoding::WithHeader if !is_marked => (id.to_owned(), secret.to_owned()),
                _ => (unescaped(id), unescaped(secret)),
            })
        };
        decoded().as_ref() == Some(&self.client)
    }

    fn is_service(&self, request: &Incoming) -> bool {
        let known = bearer(request).and_then(|token| self.service_tokens.get(token));
        known.is_some_and(|&ends| Instant::now() < ends)
    }

    fn v3(&mut self, route: &str, request: &Incoming, base: &str) -> Outgoing {
        let unknown =
            |what: &str| Outgoing::cf_error(404, 10010, "CF-ResourceNotFound", &format!("{what} not found"));
        let guid = request.path.split('/').nth(3).unwrap_or_default().to_owned();
        match route {
            "GET /v3/apps/:guid" => match self.apps.get(&guid) {
                None => unknown("App"),
                Some(space) => Outgoing::json(
                    200,
                    &json!({
                        "guid": guid, "name": format!("app-{guid}"), "state": "STARTED",
                        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
                        "lifecycle": {"type": "buildpack", "data": {"buildpacks": [], "stack": "cflinuxfs4"}},
                        "relationships": {"space": {"data": {"guid": space}}},
                        "metadata": {"labels": {}, "annotations": {}}, "links": {},
                    }),
                ),
            },
            "GET /v3/apps" => {
                let (names, spaces) = (filter(request, "names"), filter(request, "space_guids"));
                let guids = filter(request, "guids");
                let fits = |allowed: &Option<Vec<String>>, value: &String| {
                    allowed.as_ref().is_none_or(|allowed| allowed.contains(value))
                };
                let apps = self.apps.iter().map(|(guid, space)| (guid, self.name_of("app", guid), space));
                let apps = apps
                    .filter(|(guid, name, space)| {
                        fits(&guids, guid) && fits(&names, name) && fits(&spaces, space)
                    })
                    .map(|(guid, name, space)| {
                        json!({"guid": guid, "name": name,
                               "relationships": {"space": {"data": {"guid": space}}}})
                    })
                    .collect();
                self.page(request, base, apps)
            }
            "GET /v3/roles" => {
                let (users, types) = (filter(request, "user_guids"), filter(request, "types"));
                let fits = |allowed: &Option<Vec<String>>, value: &String| {
                    allowed.as_ref().is_none_or(|allowed| allowed.contains(value))
                };
                let roles = self
                    .roles
                    .iter()
                    .filter(|(user, _, role)| fits(&users, user) && fits(&types, role))
                    .map(|(user, space, role)| {
                        let place = json!({"data": {"guid": space}});
                        let of_organization = role.starts_with("organization");
                        let nowhere = json!({"data": null});
                        let (space_data, organization) =
                            if of_organization { (&nowhere, &place) } else { (&place, &nowhere) };
                        json!({
                            "guid": format!("{role}-{user}-{space}"), "type": role,
                            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
                            "relationships": {
                                "user": {"data": {"guid": user}}, "space": space_data,
                                "organization": organization,
                            },
                            "links": {},
                        })
                    })
                    .collect();
                self.page(request, base, roles)
            }
            "GET /v3/spaces" if request.query.contains_key("organization_guids") => {
                let wanted = filter(request, "organization_guids").unwrap_or_default();
                let spaces =
                    self.organizations.iter().filter(|(organization, _)| wanted.contains(organization));
                let spaces = spaces.map(|(_, space)| json!({"guid": space, "name": space})).collect();
                self.page(request, base, spaces)
            }
            "GET /v3/spaces" => {
                let all: BTreeSet<&String> = self.apps.values().collect();
                let is_named = |space: &&&String| {
                    filter(request, "names")
                        .is_none_or(|names| names.contains(&self.name_of("space", space.as_str())))
                };
                let named: Vec<String> = all.iter().filter(is_named).map(|space| (*space).clone()).collect();
                let wanted = filter(request, "guids").unwrap_or(named);
                let of = |space: &String| {
                    let of = self.organizations.iter().find(|(_, other)| other == space);
                    of.map_or_else(|| "org".to_owned(), |(organization, _)| organization.clone())
                };
                let spaces = wanted.iter().map(|space| {
                    json!({"guid": space, "name": self.name_of("space", space),
                           "relationships": {"organization": {"data": {"guid": of(space)}}}})
                });
                self.page(request, base, spaces.collect())
            }
            "GET /v3/organizations" => {
                let wanted = filter(request, "guids").unwrap_or_default();
                let named =
                    wanted.iter().map(|guid| json!({"guid": guid, "name": format!("name-of-{guid}")}));
                self.page(request, base, named.collect())
            }
            "GET /v3/tasks" => {
                let (guids, names) = (filter(request, "guids"), filter(request, "names"));
                let apps = filter(request, "app_guids");
                let fits = |allowed: &Option<Vec<String>>, value: &String| {
                    allowed.as_ref().is_none_or(|allowed| allowed.contains(value))
                };
                let wanted = |task: &&FakeTask| {
                    fits(&guids, &task.guid) && fits(&names, &task.name) && fits(&apps, &task.app)
                };
                let tasks: Vec<&FakeTask> = self.tasks.iter().filter(wanted).collect();
                let is_hidden =
                    |task: &&FakeTask| self.hidden.contains(&task.guid) || self.hidden.contains(&task.name);
                if tasks.iter().any(is_hidden) {
                    return Outgoing::cf_error(500, 10001, "UnknownError", "An unknown error occurred.");
                }
                let shown = tasks.into_iter().map(|task| {
                    let mut shown = task.json();
                    for (field, value) in &self.odd_fields {
                        shown[field] = value.clone();
                    }
                    shown
                });
                let shown = shown.collect();
                self.page(request, base, shown)
            }
            "POST /v3/apps/:guid/tasks" => {
                if !self.apps.contains_key(&guid) {
                    return unknown("App");
                }
                self.create_task(&guid, request)
            }
            "POST /v3/tasks/:guid/actions/cancel" => {
                let Some(task) = self.tasks.iter().find(|task| task.guid == guid) else {
                    return unknown("Task");
                };
                if matches!(task.state.as_str(), "SUCCEEDED" | "FAILED") {
                    let why = format!("Task state is {} and therefore cannot be canceled", task.state);
                    return Outgoing::cf_error(422, 10008, "CF-UnprocessableEntity", &why);
                }
                let failed = Some("task was cancelled".to_owned());
                self.set_task_state(&guid, "FAILED", failed);
                let task = self.tasks.iter().find(|task| task.guid == guid).unwrap();
                Outgoing::json(202, &task.json())
            }
            _ => self.unknown(route),
        }
    }

    fn create_task(&mut self, app: &str, request: &Incoming) -> Outgoing {
        let unprocessable = |why: &str| Outgoing::cf_error(422, 10008, "CF-UnprocessableEntity", why);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Some(fields) = body.as_object() else {
            let why = "Request invalid due to parse error: invalid request body";
            return Outgoing::cf_error(400, 1001, "CF-MessageParseError", why);
        };
        let known = [
            "name",
            "command",
            "memory_in_mb",
            "disk_in_mb",
            "log_rate_limit_in_bytes_per_second",
            "metadata",
        ];
        if let Some(other) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            return unprocessable(&format!("Unknown field(s): '{other}'"));
        }
        if self.refuses_metadata && !body["metadata"].is_null() {
            return unprocessable("Metadata label key error: prefix 'scheduler.ocf' is not allowed");
        }
        let (Some(command), Some(name)) = (body["command"].as_str(), body["name"].as_str()) else {
            return unprocessable("Command can't be blank");
        };
        let (Some(memory_in_mb), Some(disk_in_mb)) =
            (body["memory_in_mb"].as_u64(), body["disk_in_mb"].as_u64())
        else {
            return unprocessable("Memory in mb must be a number");
        };
        let mut task = FakeTask {
            guid: random(),
            app: app.to_owned(),
            name: name.to_owned(),
            command: command.to_owned(),
            memory_in_mb,
            disk_in_mb,
            log_rate: body["log_rate_limit_in_bytes_per_second"].as_i64(),
            metadata: body["metadata"].clone(),
            state: "RUNNING".to_owned(),
            failure_reason: None,
            created_at: now(),
            updated_at: now(),
            born: Instant::now(),
        };
        if self.is_diego_away {
            let why = "Unable to request task to be run";
            task.state = "FAILED".to_owned();
            task.failure_reason = Some(why.to_owned());
            self.tasks.push(task);
            return Outgoing::cf_error(503, 170_020, "CF-TaskWorkersUnavailable", why);
        }
        let answer = Outgoing::json(202, &task.json());
        self.tasks.push(task);
        answer
    }

    fn name_of(&self, kind: &str, guid: &str) -> String {
        self.renamed.get(guid).cloned().unwrap_or_else(|| format!("{kind}-{guid}"))
    }

    fn page(&self, request: &Incoming, base: &str, resources: Vec<Value>) -> Outgoing {
        let number = |name: &str, default: usize| match request.query.get(name) {
            None => Some(default),
            Some(text) => text.parse().ok().filter(|number| 1 <= *number),
        };
        let (Some(page), Some(per_page)) = (number("page", 1), number("per_page", 50)) else {
            return Outgoing::cf_error(400, 10005, "CF-BadQueryParameter", "Page must be a positive integer");
        };
        if 5000 < per_page {
            let why = "The query parameter is invalid: Per page must be between 1 and 5000";
            return Outgoing::cf_error(400, 10005, "CF-BadQueryParameter", why);
        }
        let per_page = per_page.min(self.largest_page);
        let total = resources.len();
        let pages = total.div_ceil(per_page).max(1);
        let link = |page: usize| {
            let mut query: Vec<_> = request.query.iter().filter(|(name, _)| *name != "page").collect();
            query.sort();
            let kept: String =
                query.iter().map(|(name, value)| format!("&{name}={}", escaped(value))).collect();
            json!({"href": format!("{base}{}?page={page}{kept}", request.path)})
        };
        let shown: Vec<Value> = resources.into_iter().skip((page - 1) * per_page).take(per_page).collect();
        Outgoing::json(
            200,
            &json!({
                "pagination": {
                    "total_results": total, "total_pages": pages, "first": link(1), "last": link(pages),
                    "next": if page < pages { link(page + 1) } else { Value::Null },
                    "previous": if 1 < page { link(page - 1) } else { Value::Null },
                },
                "resources": shown,
            }),
        )
    }

    fn set_task_state(&mut self, guid: &str, task_state: &str, failure_reason: Option<String>) {
        for task in self.tasks.iter_mut().filter(|task| task.guid == guid) {
            task_state.clone_into(&mut task.state);
            task.failure_reason.clone_from(&failure_reason);
            task.updated_at = now();
        }
    }

    fn complete_tasks(&mut self) {
        let Some((after, task_state, reason)) = &self.completion else { return };
        for task in self.tasks.iter_mut() {
            if matches!(task.state.as_str(), "RUNNING" | "PENDING") && *after <= task.born.elapsed() {
                task.state.clone_from(task_state);
                task.failure_reason.clone_from(reason);
                if task.command == FAILING {
                    "FAILED".clone_into(&mut task.state);
                    task.failure_reason = Some("Exited with status 1".to_owned());
                }
                task.updated_at = now();
            }
        }
    }
}

impl FakeTask {
    fn json(&self) -> Value {
        json!({
            "guid": self.guid, "sequence_id": 1, "name": self.name, "command": self.command,
            "state": self.state,
            "memory_in_mb": self.memory_in_mb, "disk_in_mb": self.disk_in_mb, "user": null,
            "result": {"failure_reason": self.failure_reason},
            "created_at": self.created_at, "updated_at": self.updated_at, "droplet_guid": "droplet",
            "relationships": {"app": {"data": {"guid": self.app}}},
            "metadata": {"labels": {}, "annotations": {}}, "links": {},
        })
    }
}

const VERBS: [&str; 7] = [
    "add_app {guid,space}",
    "add_role {user,space}",
    "issue_user_token {user,scopes} -> {token}",
    "complete_tasks_after {ms?,state?,reason?}",
    "fault {route,kind,status?,headers?,body?,ms?,times?}",
    "clear_faults {}",
    "tasks {} -> {tasks}",
];

impl Shared {
    /// The commands of the process: the methods of [`FakeCf`] over HTTP.
    fn obey(self: &Arc<Self>, verb: &str, request: &Incoming) -> Outgoing {
        let order: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
        let millis = |name: &str| Duration::from_millis(order[name].as_u64().unwrap_or_default());
        let scopes = || -> Vec<String> {
            let scopes = order["scopes"].as_array().cloned().unwrap_or_default();
            scopes.iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect()
        };
        let mut state = self.state();
        let mut answer = json!({});
        match verb {
            "add_app" => {
                state.apps.insert(text("guid"), text("space"));
            }
            "add_role" => {
                state.roles.insert((text("user"), text("space"), "space_developer".to_owned()));
            }
            "issue_user_token" => {
                let mut token = UserToken::new(Some(&text("user")), "cf", &[]);
                token.scopes = scopes();
                answer = json!({"token": token.text()});
                state.tokens.insert(answer["token"].as_str().unwrap_or_default().to_owned(), token);
            }
            "complete_tasks_after" => {
                let reason = order["reason"].as_str().map(str::to_owned);
                let task_state = order["state"].as_str().unwrap_or("SUCCEEDED").to_owned();
                state.completion = order["ms"].as_u64().map(|_| (millis("ms"), task_state, reason));
            }
            "fault" => {
                let status =
                    order["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
                let headers = order["headers"].as_object().cloned().unwrap_or_default();
                let headers = headers.iter().map(|(name, value)| {
                    (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                });
                let fault = match text("kind").as_str() {
                    "respond" => Fault::Respond { status, headers: headers.collect(), body: text("body") },
                    "html" => Fault::html(status),
                    "delay" => Fault::Delay(millis("ms")),
                    "close_after" => Fault::CloseAfter,
                    "drop_before" => Fault::DropBefore,
                    "drop_after" => Fault::DropAfter,
                    "commit_late" => Fault::CommitLate(millis("ms")),
                    "endless" => Fault::Endless { status },
                    "flood" => Fault::Flood,
                    other => return Outgoing::json(422, &json!({"unknown fault": other})),
                };
                let times = order["times"].as_u64().and_then(|times| usize::try_from(times).ok());
                state.faults.push((text("route"), fault, times.unwrap_or(ALWAYS)));
            }
            "clear_faults" => state.faults.clear(),
            "tasks" => {
                state.complete_tasks();
                answer = json!({"tasks": state.tasks.iter().map(FakeTask::json).collect::<Vec<_>>()});
            }
            other => return Outgoing::json(404, &json!({"unknown verb": other, "verbs": VERBS})),
        }
        Outgoing::json(200, &answer)
    }
}

fn route_of(request: &Incoming) -> String {
    let parts: Vec<&str> = request.path.split('/').collect();
    let path = match parts.as_slice() {
        ["", "api", "v1", "read", _] => "/api/v1/read/:app",
        ["", "v3", "apps", _] => "/v3/apps/:guid",
        ["", "v3", "apps", _, "tasks"] => "/v3/apps/:guid/tasks",
        ["", "v3", "tasks", _] => "/v3/tasks/:guid",
        ["", "v3", "tasks", _, "actions", "cancel"] => "/v3/tasks/:guid/actions/cancel",
        _ => &request.path,
    };
    format!("{} {path}", request.method)
}

fn bearer(request: &Incoming) -> Option<&str> {
    let (scheme, token) = request.headers.get("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The values of a filter; `None` if it is missing.
fn filter(request: &Incoming, name: &str) -> Option<Vec<String>> {
    let values = request.query.get(name).filter(|values| !values.is_empty())?;
    Some(values.split(',').map(|value| value.trim().to_owned()).collect())
}

fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Incoming>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length: &String| length.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    if stream.take(length).read_to_end(&mut body)? as u64 != length {
        return Ok(None);
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Ok(Some(Incoming {
        path: path.to_owned(),
        query: pairs(query),
        method,
        headers,
        body,
        target: target.clone(),
    }))
}

fn write_answer(stream: &mut impl Write, answer: &Outgoing) -> io::Result<()> {
    let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (status, length) = (answer.status, answer.body.len());
    let whole = format!("HTTP/1.1 {status} Fake\r\n{headers}Content-Length: {length}\r\n\r\n{}", answer.body);
    stream.write_all(whole.as_bytes())?;
    stream.flush()
}

/// Parses a query or a form.
fn pairs(text: &str) -> HashMap<String, String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (unescaped(name), unescaped(value)))
        .collect()
}

fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 2;
            }
            (b'+', _) => plain.push(b' '),
            (byte, _) => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b',' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Cloud Foundry's times have whole seconds.
fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

fn random() -> String {
    uuid::Uuid::new_v4().to_string()
}
