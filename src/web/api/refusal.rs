//! The JSON body of a refusal, for requests whose `Accept` names `application/json`.
//!
//! One body serves two clients. `description`, and `resource` and `messages` of each error, are the form of
//! PCF Scheduler, which users of its Java client find in the payload of an exception. Plugin 2.x reads
//! `message`, `field`, `value` and `offset` of each error, and underlines `value` at `offset`.

use serde::Serialize;

use super::error::REF_NOT_FOUND;
use super::violation::Violation;
use crate::cron::ParseError;

/// The description of a broken rule, as in PCF Scheduler.
const VALIDATION_FAILED: &str = "Validation of resource failed.";

#[derive(Serialize)]
pub(super) struct RefusalJson<'a> {
    description: &'a str,
    errors: Vec<ErrorJson<'a>>,
    /// Always empty. Plugin 2.x expects it.
    warnings: [(); 0],
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    resource: &'a str,
    messages: [&'a str; 1],
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_range: Option<&'a str>,
    /// In bytes of the expression without surrounding blanks.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
}

/// The body as JSON. `resource` is `job`, `call`, `schedule` or `request`. Only a 422, and a 404 for a
/// validation's job or call, have errors.
pub(super) fn body(status: u16, title: &str, resource: &str, violations: &[Violation]) -> Vec<u8> {
    let is_validation = status == 422;
    let messages: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let errors = violations
        .iter()
        .zip(&messages)
        .filter(|(violation, _)| is_validation || violation.rule == REF_NOT_FOUND)
        .map(|(violation, message)| error(violation, message, resource))
        .collect();
    let description = if is_validation { VALIDATION_FAILED } else { title };
    serde_json::to_vec(&RefusalJson { description, errors, warnings: [] }).unwrap_or_default()
}

fn error<'a>(violation: &'a Violation, message: &'a str, resource: &'a str) -> ErrorJson<'a> {
    let parsed = violation.parse_error.as_deref();
    ErrorJson {
        resource,
        messages: [message],
        code: parsed.map_or(violation.rule, |_| ParseError::CODE),
        message,
        field: parsed.map_or(Some(violation.field), |parsed| parsed.field),
        value: parsed.map(|parsed| parsed.value.as_str()).filter(|value| !value.is_empty()),
        valid_range: parsed.and_then(|parsed| parsed.valid_range.as_deref()),
        offset: parsed.and_then(|parsed| parsed.offset),
    }
}
