//! Turns the flags that control how a job or call runs into fields of the API.
//!
//! An empty value restores the default.

use std::io::Read;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::overview::age;
use crate::cli::arguments::Arguments;

/// The most bytes that are read from standard input.
const INPUT_BYTES_MAX: u64 = 256 * 1024;

/// The flags about retries. The API replaces them all at once.
pub(super) struct Retry {
    max_retries: Option<u64>,
    /// Flag and value; a field of the API is named after its flag.
    others: Vec<(&'static str, Value)>,
}

impl Retry {
    /// `None` if there is no such flag.
    pub(super) fn given(arguments: &Arguments) -> Result<Option<Self>, Failure> {
        let max_retries = match arguments.flag("retries") {
            None => None,
            Some("") => Some(0),
            Some(text) => Some(text.trim().parse().map_err(|_| {
                Failure::Usage(format!("--retries is {text:?}; it must be a whole number from 0 to 20"))
            })?),
        };
        let mut others = Vec::new();
        for flag in ["backoff", "max-backoff", "max-age"] {
            if let Some(value) = seconds(arguments, flag)? {
                others.push((flag, value));
            }
        }
        Ok((max_retries.is_some() || !others.is_empty()).then_some(Self { max_retries, others }))
    }

    /// The field `retry`; `before` is its current value.
    pub(super) fn over(self, before: &Value) -> Result<Value, Failure> {
        let mut retry = before.as_object().cloned().unwrap_or_default();
        match self.max_retries {
            Some(0) => {
                return match self.others.first() {
                    None => Ok(Value::Null),
                    Some((flag, _)) => Err(Failure::Usage(format!("--{flag} needs --retries of 1 to 20"))),
                };
            }
            Some(number) => {
                retry.insert("max_retries".to_owned(), number.into());
            }
            None if retry.is_empty() => {
                let flag = self.others.first().map_or("retries", |(flag, _)| flag);
                return Err(Failure::Usage(format!(
                    "--{flag} needs --retries: how often a failed attempt is repeated, from 1 to 20"
                )));
            }
            None => (),
        }
        for (flag, value) in self.others {
            retry.insert(format!("{}_seconds", flag.replace('-', "_")), value);
        }
        Ok(retry.into())
    }
}

/// Adds the fields of jobs and calls, except the retry fields.
pub(super) fn add(arguments: &Arguments, body: &mut Map<String, Value>) -> Result<(), Failure> {
    for (flag, field) in [("timeout", "timeout_seconds"), ("expect-success", "expect_success_within_seconds")]
    {
        if let Some(value) = seconds(arguments, flag)? {
            body.insert(field.to_owned(), value);
        }
    }
    if let Some(policy) = arguments.flag("concurrency-policy") {
        body.insert("concurrency_policy".to_owned(), policy.into());
    }
    let labels = labels(arguments)?;
    if !labels.is_empty() {
        body.insert("metadata".to_owned(), json!({ "labels": labels }));
    }
    Ok(())
}

/// Adds the fields that only calls have.
pub(super) fn add_of_call(
    arguments: &Arguments,
    input: &mut Input,
    body: &mut Map<String, Value>,
) -> Result<(), Failure> {
    for (flag, field) in [("method", "method"), ("success", "success_statuses")] {
        if let Some(text) = arguments.flag(flag) {
            body.insert(field.to_owned(), or_null(text.to_owned()));
        }
    }
    if let Some(headers) = headers(arguments)? {
        body.insert("headers".to_owned(), headers);
    }
    if let Some(text) = input.text(arguments, "body")? {
        body.insert("body".to_owned(), or_null(text));
    }
    if let Some(text) = input.line(arguments, "auth-header")? {
        body.insert("auth_header".to_owned(), or_null(text));
    }
    if let Some(text) = input.line(arguments, "secret")? {
        body.insert("signing_secret".to_owned(), or_null(text));
    }
    Ok(())
}

/// Standard input, which one flag may have as its value.
#[derive(Default)]
pub(super) struct Input {
    taken_by: Option<&'static str>,
}

impl Input {
    /// The value of a flag, in which `-` stands for the first line of standard input.
    fn line(&mut self, arguments: &Arguments, flag: &'static str) -> Result<Option<String>, Failure> {
        let text = self.text(arguments, flag)?;
        Ok(text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The value of a flag, in which `-` stands for standard input.
    fn text(&mut self, arguments: &Arguments, flag: &'static str) -> Result<Option<String>, Failure> {
        match arguments.flag(flag) {
            Some("-") => {
                if let Some(other) = self.taken_by.replace(flag) {
                    let both = format!("--{other} and --{flag} cannot both be read from standard input");
                    return Err(Failure::Usage(both));
                }
                let mut text = String::new();
                let read = std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text);
                read.map_err(|err| {
                    Failure::Usage(format!("cannot read --{flag} from standard input: {err}"))
                })?;
                Ok(Some(text))
            }
            other => Ok(other.map(str::to_owned)),
        }
    }
}

fn or_null(text: String) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// A flag whose value is a number of seconds or a span such as `30m`.
fn seconds(arguments: &Arguments, flag: &str) -> Result<Option<Value>, Failure> {
    let Some(text) = arguments.flag(flag).map(str::trim) else { return Ok(None) };
    if text.is_empty() {
        return Ok(Some(Value::Null));
    }
    let seconds = text.parse().ok().or_else(|| age(text).map(|span| span.as_secs()));
    let seconds: u64 = seconds.ok_or_else(|| {
        Failure::Usage(format!(
            "--{flag} is {text:?}; it must be a number of seconds, or of s, m, h or d like 90s or 30m"
        ))
    })?;
    Ok(Some(seconds.into()))
}

/// All labels that were given: `KEY=VALUE` sets one, `KEY-` removes one.
fn labels(arguments: &Arguments) -> Result<Map<String, Value>, Failure> {
    let mut labels = Map::new();
    for text in arguments.all("labels") {
        for label in text.split(',').map(str::trim).filter(|label| !label.is_empty()) {
            let (key, value) = match (label.split_once('='), label.strip_suffix('-')) {
                (Some((key, value)), _) => (key, value.into()),
                (None, Some(key)) => (key, Value::Null),
                (None, None) => {
                    return Err(Failure::Usage(format!(
                        "--labels has {label:?}; it must be like team=billing,env=prod; team- removes one"
                    )));
                }
            };
            labels.insert(key.to_owned(), value);
        }
    }
    Ok(labels)
}

/// All headers that were given, as `NAME: VALUE` or as a JSON object.
fn headers(arguments: &Arguments) -> Result<Option<Value>, Failure> {
    let mut headers = Map::new();
    let mut is_given = false;
    for text in arguments.all("headers") {
        is_given = true;
        let text = text.trim();
        // The messages do not repeat a header, which may be a secret.
        if text.starts_with('{') {
            let object: Map<String, Value> = serde_json::from_str(text).map_err(|err| {
                Failure::Usage(format!("--headers is not a JSON object: column {}", err.column()))
            })?;
            headers.extend(object);
        } else if let Some((name, value)) = text.split_once(':') {
            headers.insert(name.trim().to_owned(), value.trim().into());
        } else if !text.is_empty() {
            let form = "--headers must be like 'Content-Type: application/json', or a JSON object of strings";
            return Err(Failure::Usage(form.to_owned()));
        }
    }
    Ok(is_given.then(|| headers.into()))
}
