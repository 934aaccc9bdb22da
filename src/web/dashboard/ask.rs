//! Calls the API as the signed-in user: the same routes and the same caller.

use std::io::Read;
use std::sync::Arc;

use serde_json::{Value, json};
use tiny_http::{Header, Method};

use super::logs::Part;
use super::{View, may_only_look};
use crate::base::logging::on_behalf_of;
use crate::http::Request;
use crate::model::{Guid, Kind, Timestamp};
use crate::store::Run;
use crate::web::api::Api;
use crate::web::api::error::ApiError;
use crate::web::auth::Caller;
use crate::web::routes::Route;

/// The most bytes of an answer that a page reads.
const ANSWER_MAX: u64 = 8 * 1024 * 1024;

/// Why the API refused a request of a page.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// For people.
    pub(super) text: String,
    /// Fields and their errors.
    pub(super) errors: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), errors: Vec::new() }
    }

    /// The error of a field.
    pub(super) fn of_field(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| *field == name).map(|(_, detail)| detail.as_str())
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let errors = error.violations("").into_iter().map(|it| (it.field, it.detail)).collect();
        Self { status: error.status(), text: error.detail(), errors }
    }
}

impl View<'_> {
    /// Reads from the API, for example `/jobs?page=1`.
    pub(super) fn get(&self, target: &str) -> Result<Value, Refusal> {
        let bytes = self.exchange(Method::Get, target, Vec::new())?.0;
        serde_json::from_slice(&bytes).map_err(|_| Refusal::new(500, "the answer of the API is no JSON"))
    }

    /// The newest executions of a job or call, at most `per_page`.
    pub(super) fn runs_of(&self, kind: Kind, guid: &str, per_page: usize) -> Result<Value, Refusal> {
        self.get(&format!("/executions?{}_guids={}&per_page={per_page}", kind.as_str(), encoded(guid)))
    }

    /// The newest executions of each of these jobs and calls, which the caller may see. Through the API this
    /// would take one request for each.
    pub(super) fn newest_of(&self, guids: &[Guid], limit: u32) -> Result<Vec<Vec<Value>>, Refusal> {
        let newest = self.api.store.newest_of(guids, limit).map_err(ApiError::from)?;
        let shown = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let json = |run: Run| {
            json!({
                "guid": run.guid.as_str(), "state": run.state.as_str(), "message": run.message,
                "execution_start_time": shown(run.start_time), "execution_end_time": shown(run.end_time),
            })
        };
        Ok(newest.into_iter().map(|runs| runs.into_iter().map(json).collect()).collect())
    }

    /// Reads bytes, and their headers.
    pub(super) fn get_bytes(&self, target: &str) -> Result<(Vec<u8>, Vec<Header>), Refusal> {
        self.exchange(Method::Get, target, Vec::new())
    }

    /// A reader of an output, which another thread may use.
    pub(super) fn reader_of(&self, path: &str) -> Part {
        let (api, caller) = (Arc::clone(self.api), self.caller.clone());
        let (id, path, headers) = (self.request.id.clone(), path.to_owned(), self.authorization_for(path));
        let remote = self.request.remote;
        Box::new(move |offset| {
            let _for = on_behalf_of(&id);
            let request = Request {
                id: id.clone(),
                method: Method::Get,
                path: path.clone(),
                query: Some(format!("offset={offset}")),
                headers: headers.clone(),
                body: Vec::new(),
                remote,
            };
            let (bytes, headers) = answered(&api, caller.clone(), &request)?;
            let next = header(&headers, "X-Output-Next-Offset").parse().unwrap_or(offset);
            Ok((bytes, next))
        })
    }

    /// Changes something through the API.
    pub(super) fn send(&self, method: Method, target: &str, body: &Value) -> Result<Value, Refusal> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let bytes = self.exchange(method, target, body)?.0;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// The user's token, for output that the platform shows to its own users only.
    fn authorization_for(&self, path: &str) -> Vec<Header> {
        if !path.ends_with("/output") || self.api.platform.keeps_output() {
            return Vec::new();
        }
        let token = self.dashboard.tokens.get(&self.session.digest(), self.now);
        let header =
            token.map(|token| Header::from_bytes("Authorization", format!("bearer {}", token.reveal())));
        header.and_then(Result::ok).into_iter().collect()
    }

    fn exchange(
        &self,
        method: Method,
        target: &str,
        body: Vec<u8>,
    ) -> Result<(Vec<u8>, Vec<Header>), Refusal> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let is_reading = method == Method::Get;
        if !is_reading && !self.session.may_write && path != "/schedules/validate" {
            return Err(may_only_look());
        }
        let request = Request {
            id: self.request.id.clone(),
            method,
            path: path.to_owned(),
            query: Some(query.to_owned()),
            headers: self.authorization_for(path),
            body,
            remote: self.request.remote,
        };
        answered(self.api, self.caller.clone(), &request)
    }
}

/// The answer of the API, its body and its headers.
fn answered(api: &Api, caller: Caller, request: &Request) -> Result<(Vec<u8>, Vec<Header>), Refusal> {
    let Ok(Route::Caller(route)) = Route::of(&request.method, &request.path) else {
        return Err(Refusal::new(404, "There is no such page."));
    };
    let response = api.answer_to(caller, route, request)?;
    let (status, headers) = (response.status_code().0, response.headers().to_vec());
    let mut bytes = Vec::new();
    let read = response.into_reader().take(ANSWER_MAX).read_to_end(&mut bytes);
    if read.is_err() || 400 <= status {
        return Err(Refusal::new(503, "The answer of the API was cut off."));
    }
    Ok((bytes, headers))
}

/// The value of a header; empty if there is none.
pub(super) fn header<'h>(headers: &'h [Header], name: &'static str) -> &'h str {
    let found = headers.iter().find(|header| header.field.equiv(name));
    found.map(|header| header.value.as_str()).unwrap_or_default()
}

/// A member of an object as text; empty if there is none.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// A member of an object that is a list.
pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Percent-encodes a value for a query or a path.
pub(super) fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|it| if is_plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") })
        .collect()
}
