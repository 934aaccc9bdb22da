//! A Cloud Foundry with its UAA: an HTTP server that can be told to fail, to be late, and to drop answers, and that counts.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tiny_http::{Header, Request, Response, Server};

/// What the service itself logs in with.
pub(crate) const CLIENT_ID: &str = "scheduler";
pub(crate) const CLIENT_SECRET: &str = "scheduler-secret-value";

/// What happens to requests of a route instead of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// An answer with this status and body.
    Status(u16, &'static str),
    /// The request has its effect, and what comes back is noise.
    LostAnswer,
}

#[derive(Default)]
struct State {
    apps: HashMap<String, String>,
    roles: Vec<(String, String)>,
    tokens: HashMap<String, Value>,
    client_tokens: HashMap<String, Value>,
    own_tokens: Vec<String>,
    tasks: Vec<Value>,
    requests: Vec<String>,
    faults: HashMap<&'static str, (usize, Fault)>,
    page_size: usize,
}

pub(crate) struct FakeCf {
    server: Arc<Server>,
    state: Arc<Mutex<State>>,
}

impl FakeCf {
    pub(crate) fn start() -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let state = Arc::new(Mutex::new(State { page_size: 5000, ..State::default() }));
        for _ in 0..4 {
            let (server, state) = (Arc::clone(&server), Arc::clone(&state));
            thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    answer(&state, request);
                }
            });
        }
        Self { server, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.server_addr().to_ip().unwrap())
    }

    pub(crate) fn add_app(&self, guid: &str, space: &str) {
        self.state().apps.insert(guid.to_owned(), space.to_owned());
    }

    pub(crate) fn add_role(&self, user: &str, space: &str) {
        self.state().roles.push((user.to_owned(), space.to_owned()));
    }

    pub(crate) fn remove_roles(&self) {
        self.state().roles.clear();
    }

    /// Roles come in pages of so many.
    pub(crate) fn set_page_size(&self, page_size: usize) {
        self.state().page_size = page_size;
    }

    /// A token that UAA vouches for.
    pub(crate) fn token(&self, user: &str, scopes: &[&str]) -> String {
        let claims = json!({"user_id": user, "scope": scopes, "exp": 4_000_000_000_i64});
        let token = jwt(&claims);
        self.state().tokens.insert(token.clone(), claims);
        token
    }

    /// A token without a user.
    pub(crate) fn client_token(&self, client: &str, scopes: &[&str]) -> String {
        let claims = json!({"client_id": client, "scope": scopes, "exp": 4_000_000_000_i64});
        let token = jwt(&claims);
        self.state().client_tokens.insert(token.clone(), claims);
        token
    }

    /// A token that claims to be an admin's, of which UAA knows nothing.
    pub(crate) fn forged_token(&self) -> String {
        jwt(&json!({"user_id": "mallory", "scope": ["cloud_controller.admin"], "exp": 4_000_000_000_i64}))
    }

    /// The next `times` requests of `route` ("userinfo", "token", "apps", "roles", "create", "tasks") go wrong.
    pub(crate) fn fail(&self, route: &'static str, times: usize, fault: Fault) {
        self.state().faults.insert(route, (times, fault));
    }

    /// The service's own tokens are worth nothing from now on.
    pub(crate) fn expire_own_tokens(&self) {
        self.state().own_tokens.clear();
    }

    pub(crate) fn tasks(&self) -> Vec<Value> {
        self.state().tasks.clone()
    }

    /// Ends every task, at the instant `at`.
    pub(crate) fn end_tasks(&self, task_state: &str, reason: Option<&str>, at: &str) {
        for task in &mut self.state().tasks {
            task["state"] = task_state.into();
            task["result"]["failure_reason"] = reason.into();
            task["updated_at"] = at.into();
        }
    }

    pub(crate) fn forget_tasks(&self) {
        self.state().tasks.clear();
    }

    /// How many requests of a route there were.
    pub(crate) fn count(&self, route: &str) -> usize {
        self.state().requests.iter().filter(|seen| *seen == route).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for FakeCf {
    fn drop(&mut self) {
        for _ in 0..4 {
            self.server.unblock();
        }
    }
}

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(&json!({"alg": "RS256"})), part(claims), uuid::Uuid::new_v4())
}

fn error(status: u16, title: &str, detail: &str) -> (u16, Value) {
    (status, json!({"errors": [{"code": 10000, "title": title, "detail": detail}]}))
}

fn route_of(method: &str, path: &str) -> &'static str {
    match (method, path) {
        ("GET", "/userinfo") => "userinfo",
        ("POST", "/oauth/token") => "token",
        ("POST", "/introspect") => "introspect",
        ("GET", "/v3/roles") => "roles",
        ("GET", "/v3/tasks") => "tasks",
        ("GET", "/") => "root",
        ("POST", path) if path.ends_with("/tasks") => "create",
        ("POST", path) if path.ends_with("/actions/cancel") => "cancel",
        ("GET", path) if path.starts_with("/v3/apps/") => "apps",
        _ => "unknown",
    }
}

fn answer(state: &Mutex<State>, mut request: Request) {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let route = route_of(request.method().as_str(), path);
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|header| header.field.equiv(name));
        found.map(|header| header.value.as_str().to_owned()).unwrap_or_default()
    };
    let (authorization, host) = (header("Authorization"), header("Host"));
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body).unwrap();
    let mut locked = state.lock().unwrap();
    locked.requests.push(route.to_owned());
    let fault = match locked.faults.get_mut(route) {
        Some((times, fault)) if *times > 0 => {
            *times -= 1;
            Some(fault.clone())
        }
        _ => None,
    };
    if let Some(Fault::Status(status, text)) = fault {
        drop(locked);
        let _ = request.respond(Response::from_string(text).with_status_code(status));
        return;
    }
    let (status, value) = respond(&mut locked, route, path, query, &authorization, &host, &body);
    drop(locked);
    match fault {
        Some(Fault::LostAnswer) => {
            let mut writer = request.into_writer();
            let _ = writer.write_all(b"noise\r\n\r\n").and_then(|()| writer.flush());
        }
        _ => {
            let json = Header::from_bytes("Content-Type", "application/json").unwrap();
            let _ = request
                .respond(Response::from_string(value.to_string()).with_status_code(status).with_header(json));
        }
    }
}

fn respond(
    state: &mut State,
    route: &str,
    path: &str,
    query: &str,
    authorization: &str,
    host: &str,
    body: &str,
) -> (u16, Value) {
    let token = authorization.split_once(' ').map_or("", |(_, token)| token).to_owned();
    let own_client = base64::prelude::BASE64_STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    if path.starts_with("/v3/") && !state.own_tokens.contains(&token) {
        return error(401, "CF-InvalidAuthToken", "Invalid Auth Token");
    }
    let parameter = |name: &str| {
        let found =
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(other, _)| *other == name);
        found.map(|(_, value)| value.replace("%2C", ",").replace("%2c", ",")).unwrap_or_default()
    };
    match route {
        "root" => (200, json!({"links": {"uaa": {"href": format!("http://{host}")}}})),
        "token" if token == own_client => {
            let own = format!("own-{}", uuid::Uuid::new_v4());
            state.own_tokens.push(own.clone());
            (200, json!({"access_token": own, "token_type": "bearer", "expires_in": 600}))
        }
        "userinfo" => match state.tokens.get(&token) {
            Some(claims) => (200, json!({"user_id": claims["user_id"], "sub": claims["user_id"]})),
            None => (401, json!({"error": "invalid_token"})),
        },
        "introspect" if token == own_client => {
            let asked = body.strip_prefix("token=").unwrap_or_default();
            match state.client_tokens.get(asked) {
                Some(claims) => {
                    let mut answer = claims.clone();
                    answer["active"] = true.into();
                    (200, answer)
                }
                None => (200, json!({"active": false})),
            }
        }
        "apps" => {
            let guid = path.trim_start_matches("/v3/apps/");
            match state.apps.get(guid) {
                Some(space) => {
                    (200, json!({"guid": guid, "relationships": {"space": {"data": {"guid": space}}}}))
                }
                None => error(404, "CF-ResourceNotFound", "App not found"),
            }
        }
        "roles" => {
            let user = parameter("user_guids");
            let spaces: Vec<&String> =
                state.roles.iter().filter(|(other, _)| *other == user).map(|(_, space)| space).collect();
            let page: usize = parameter("page").parse().unwrap_or(1);
            let skipped = (page - 1) * state.page_size;
            let shown: Vec<Value> = spaces
                .iter()
                .skip(skipped)
                .take(state.page_size)
                .map(|space| {
                    json!({"guid": "r", "type": "space_developer", "relationships": {
                        "space": {"data": {"guid": space}}, "user": {"data": {"guid": user}},
                        "organization": {"data": null}}})
                })
                .collect();
            let next = (skipped + shown.len() < spaces.len()).then(|| {
                json!({"href": format!(
                    "http://{host}/v3/roles?user_guids={user}&types=space_developer,space_manager&page={}", page + 1)})
            });
            (200, json!({"pagination": {"next": next}, "resources": shown}))
        }
        "create" => {
            let app = path.trim_start_matches("/v3/apps/").trim_end_matches("/tasks");
            if !state.apps.contains_key(app) {
                return error(404, "CF-ResourceNotFound", "App not found");
            }
            let asked: Value = serde_json::from_str(body).unwrap();
            let task = json!({"guid": uuid::Uuid::new_v4().to_string(), "name": asked["name"],
                "command": asked["command"], "memory_in_mb": asked["memory_in_mb"], "disk_in_mb": asked["disk_in_mb"],
                "state": "RUNNING", "result": {"failure_reason": null},
                "created_at": "2026-01-01T00:00:01Z", "updated_at": "2026-01-01T00:00:01Z"});
            state.tasks.push(task.clone());
            (202, task)
        }
        "tasks" => {
            let field = if query.contains("names=") { "name" } else { "guid" };
            let wanted = parameter(if field == "name" { "names" } else { "guids" });
            let wanted: Vec<&str> = wanted.split(',').collect();
            assert!(
                wanted.len() <= 150 && path.len() + query.len() < 8000,
                "{} in one request",
                wanted.len()
            );
            let found: Vec<&Value> =
                state.tasks.iter().filter(|task| wanted.contains(&task[field].as_str().unwrap())).collect();
            (200, json!({"pagination": {"next": null}, "resources": found}))
        }
        _ => error(404, "CF-NotFound", "Unknown request"),
    }
}
