//! The fields of a request's body that control how a job or call runs. All are optional and have a default.
//!
//! In an update, a missing field keeps its value, and `null` restores the default.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::fields::{Fields, kind_of};
use super::violation::Violation;
use crate::model::{
    Call, ConcurrencyPolicy, Controls, Format, HIDDEN, Headers, Metadata, Method, MisfirePolicy, RetryPolicy,
    Secret, Statuses, Work,
};
use crate::outbound::{SIGNING_SECRET_BYTES, SIGNING_SECRET_PREFIX, is_header_value, signing_key};

const JOB_TIMEOUT_MAX: u32 = 604_800;
const CALL_TIMEOUT_MAX: u32 = 1800;
const RETRIES_MAX: u32 = 20;
const BACKOFF_MAX: u32 = 3600;
const MAX_BACKOFF_MAX: u32 = 86_400;
const MAX_AGE_MAX: u32 = 604_800;
const EXPECT_SUCCESS_MIN: u32 = 60;
const EXPECT_SUCCESS_MAX: u32 = 31_536_000;
const HEADERS_MAX: usize = 32;
const HEADERS_BYTES_MAX: usize = 8 * 1024;
const BODY_BYTES_MAX: usize = 100 * 1024;
// The limits of Cloud Foundry's own metadata.
const METADATA_MAX: usize = 50;
const METADATA_PREFIX_MAX: usize = 253;
const METADATA_NAME_MAX: usize = 63;
const LABEL_VALUE_MAX: usize = 63;
const ANNOTATION_VALUE_MAX: usize = 5000;
const METADATA_RESERVED: &str = "cloudfoundry.org";

/// Headers that only the service may set (or nobody): they concern framing, the sender, or the identity of a
/// call.
const RESERVED_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "authorization",
    "idempotency-key",
];
const RESERVED_HEADER_PREFIXES: [&str; 3] = ["proxy-", "x-scheduler-", "webhook-"];

impl Fields<'_> {
    /// Applies the fields that control runs.
    pub(super) fn change_controls(&mut self, controls: &mut Controls) {
        if let Some(policy) = self.concurrency_policy() {
            controls.concurrency_policy = policy.unwrap_or_default();
        }
        if let Some(retry) = self.retry() {
            controls.retry = retry;
        }
        if let Some(paused) =
            self.given("paused", self.raw.paused, "true, false or null, which stands for false")
        {
            controls.paused = paused.unwrap_or_default();
        }
        if let Some(metadata) = self.metadata(&controls.metadata) {
            controls.metadata = metadata;
        }
        let range = EXPECT_SUCCESS_MIN..=EXPECT_SUCCESS_MAX;
        let raw = self.raw.expect_success_within_seconds;
        if let Some(seconds) = self.number("expect_success_within_seconds", raw, range) {
            controls.expect_success_within_seconds = seconds;
        }
    }

    /// Applies the optional fields of the work of a job or call.
    pub(super) fn change_options(&mut self, work: &mut Work) {
        match work {
            Work::Job { timeout_seconds, .. } => self.change_timeout(timeout_seconds, JOB_TIMEOUT_MAX),
            Work::Call(call) => {
                self.change_timeout(&mut call.timeout_seconds, CALL_TIMEOUT_MAX);
                self.change_request(call);
            }
        }
    }

    fn change_timeout(&mut self, timeout_seconds: &mut Option<u32>, max: u32) {
        if let Some(seconds) = self.number("timeout_seconds", self.raw.timeout_seconds, 1..=max) {
            *timeout_seconds = seconds;
        }
    }

    fn change_request(&mut self, call: &mut Call) {
        if let Some(method) = self.method() {
            call.method = method.unwrap_or_default();
        }
        if let Some(headers) = self.headers(false) {
            call.headers = headers;
        }
        if let Some(body) = self.body() {
            call.body = body.filter(|body| !body.is_empty());
        }
        if let Some(statuses) = self.success_statuses() {
            call.success_statuses = statuses.unwrap_or_default();
        }
        if let Some(secret) = self.signing_secret() {
            call.signing_secret = secret;
        }
        if call.body.is_some() && !call.method.takes_body() {
            let detail = format!("cannot be sent with {}", call.method.as_str());
            let expected = "null, or another method: POST, PUT, PATCH or DELETE";
            self.violate(Violation::new("body", "method", detail, expected));
        }
    }

    fn concurrency_policy(&mut self) -> Option<Option<ConcurrencyPolicy>> {
        let names = ConcurrencyPolicy::ALL.map(ConcurrencyPolicy::as_str).join(", ");
        let expected = format!("one of {names}, or null, which stands for Always");
        self.choice("concurrency_policy", self.raw.concurrency_policy, &ConcurrencyPolicy::ALL, &expected)
    }

    fn method(&mut self) -> Option<Option<Method>> {
        let names = Method::ALL.map(Method::as_str).join(", ");
        let expected = format!("one of {names}, in capitals, or null, which stands for POST");
        self.choice("method", self.raw.method, &Method::ALL, &expected)
    }

    fn retry(&mut self) -> Option<Option<RetryPolicy>> {
        #[derive(Deserialize)]
        struct Given<'a> {
            #[serde(borrow)]
            max_retries: Option<&'a RawValue>,
            #[serde(borrow)]
            backoff_seconds: Option<&'a RawValue>,
            #[serde(borrow)]
            max_backoff_seconds: Option<&'a RawValue>,
            #[serde(borrow)]
            max_age_seconds: Option<&'a RawValue>,
        }
        const EXPECTED: &str =
            "an object like {\"max_retries\": 3, \"backoff_seconds\": 10}, or null for no retries";
        let raw = self.raw.retry?.get();
        if raw == "null" {
            return Some(None);
        }
        let given: Given<'_> = match serde_json::from_str(raw) {
            Ok(given) if raw.starts_with('{') => given,
            _ => {
                self.violate(Violation::new("retry", "type", format!("is {}", kind_of(raw)), EXPECTED));
                return None;
            }
        };
        let broken_before = self.violation_count();
        let max_retries = self.number("retry.max_retries", given.max_retries, 1..=RETRIES_MAX).flatten();
        if max_retries.is_none() && self.violation_count() == broken_before {
            let expected = format!("a whole number from 1 to {RETRIES_MAX}");
            self.violate(Violation::new("retry.max_retries", "missing", "is missing", expected));
        }
        let backoff_seconds = self.number("retry.backoff_seconds", given.backoff_seconds, 1..=BACKOFF_MAX);
        let max_backoff_seconds =
            self.number("retry.max_backoff_seconds", given.max_backoff_seconds, 1..=MAX_BACKOFF_MAX);
        let max_age_seconds = self.number("retry.max_age_seconds", given.max_age_seconds, 1..=MAX_AGE_MAX);
        Some(Some(RetryPolicy {
            max_retries: max_retries?,
            backoff_seconds: backoff_seconds.flatten().unwrap_or(RetryPolicy::BACKOFF_SECONDS),
            max_backoff_seconds: max_backoff_seconds.flatten().unwrap_or(RetryPolicy::MAX_BACKOFF_SECONDS),
            max_age_seconds: max_age_seconds.flatten(),
        }))
    }

    /// `before` with the given keys changed; `null` removes a key.
    fn metadata(&mut self, before: &Metadata) -> Option<Metadata> {
        #[derive(Deserialize, Default)]
        struct Given {
            labels: Option<BTreeMap<String, Option<String>>>,
            annotations: Option<BTreeMap<String, Option<String>>>,
        }
        const EXPECTED: &str = "an object like {\"labels\": {\"team\": \"billing\"}, \"annotations\": \
         {\"contact\": \"x@example.com\"}}, \
             with strings, or null for none; null as a value removes a key";
        let Some(given) = self.given::<Given>("metadata", self.raw.metadata, EXPECTED)? else {
            return Some(Metadata::default());
        };
        if !self.raw.metadata?.get().starts_with('{') {
            self.violate(Violation::new("metadata", "type", "is a list", EXPECTED));
            return None;
        }
        let mut metadata = before.clone();
        for (field, strings, given) in [
            ("metadata.labels", &mut metadata.labels, given.labels),
            ("metadata.annotations", &mut metadata.annotations, given.annotations),
        ] {
            for (key, value) in given.unwrap_or_default() {
                let Some(value) = value else {
                    strings.remove(&key);
                    continue;
                };
                if let Some(fault) = key_fault(&key) {
                    self.violate(Violation::new(
                        field,
                        "key",
                        format!("has the key {key:?}, which {fault}"),
                        KEY,
                    ));
                } else if let Some((rule, expected)) = value_fault(field, &value) {
                    let detail = format!("has a value of {key:?} that is not allowed");
                    self.violate(Violation::new(field, rule, detail, expected));
                } else {
                    strings.insert(key, value);
                }
            }
            if METADATA_MAX < strings.len() {
                let detail = format!("has {} keys", strings.len());
                self.violate(Violation::new(
                    field,
                    "too_many",
                    detail,
                    format!("at most {METADATA_MAX} keys"),
                ));
            }
        }
        Some(metadata)
    }

    /// `may_authorize`: whether `Authorization` is allowed. A call has a separate field for it.
    pub(super) fn headers(&mut self, may_authorize: bool) -> Option<Headers> {
        let expected = format!(
            "an object of at most {HEADERS_MAX} strings by name, {HEADERS_BYTES_MAX} bytes in all, like \
             {{\"Content-Type\": \"application/json\"}}"
        );
        let Some(Pairs(pairs)) = self.given("headers", self.raw.headers, &expected)? else {
            return Some(Headers::default());
        };
        let mut refuse = |rule: &'static str, detail: String, expected: &str| {
            self.violate(Violation::new("headers", rule, detail, expected));
        };
        let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if HEADERS_MAX < pairs.len() || HEADERS_BYTES_MAX < bytes {
            refuse("too_long", format!("has {} names and {bytes} bytes", pairs.len()), &expected);
            return None;
        }
        let mut names = HashSet::new();
        for (name, value) in &pairs {
            let lower = name.to_ascii_lowercase();
            if !is_token(name) {
                let detail = format!("has {name:?}, which is not a name of a header");
                refuse("name", detail, "names of letters, digits and -");
            } else if value == HIDDEN {
                let detail =
                    format!("has {HIDDEN} as the value of {name}, which stands for one that is not shown");
                refuse("hidden", detail, "the values themselves");
            } else if lower == "authorization" && may_authorize {
                if !is_header_value(value) {
                    refuse(
                        "characters",
                        "has an Authorization that no header can carry".to_owned(),
                        "other characters",
                    );
                }
            } else if lower == "authorization" {
                refuse("reserved", "has Authorization".to_owned(), "the value in auth_header instead");
            } else if RESERVED_HEADERS.contains(&lower.as_str())
                || RESERVED_HEADER_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
            {
                let detail = format!("has {name}, which the service sets itself or does not send");
                refuse("reserved", detail, "other headers");
            } else if !is_header_value(value) {
                let detail = format!("has a value of {name} with a character that no header can carry");
                refuse("characters", detail, "strings without control characters (a tab is allowed)");
            }
            if !names.insert(lower) {
                let detail = format!("has {name} twice; names that differ in case only are the same");
                refuse("duplicate", detail, "each header once");
            }
        }
        Some(Headers(pairs.into_iter().collect()))
    }

    fn body(&mut self) -> Option<Option<String>> {
        let expected = format!("a string of at most {BODY_BYTES_MAX} bytes without U+0000, or null for none");
        let body: Option<String> = self.given("body", self.raw.body, &expected)?;
        let text = body.as_deref().unwrap_or_default();
        if text == HIDDEN {
            self.not_hidden("body", body.clone());
        }
        if BODY_BYTES_MAX < text.len() {
            let detail = format!("is {} bytes long", text.len());
            self.violate(Violation::new("body", "too_long", detail, expected));
        } else if text.contains('\0') {
            self.violate(Violation::new("body", "characters", "holds U+0000", expected));
        }
        Some(body)
    }

    fn success_statuses(&mut self) -> Option<Option<Statuses>> {
        const EXPECTED: &str = "a string of codes from 100 to 999 and ranges, like \"200-299,304\", or null, \
         which stands for \"200-299\"";
        let Some(text): Option<String> =
            self.given("success_statuses", self.raw.success_statuses, EXPECTED)?
        else {
            return Some(None);
        };
        let statuses = Statuses::parse(&text);
        if statuses.is_none() {
            let detail = "is not a list of codes and ranges";
            self.violate(Violation::new("success_statuses", "value", detail, EXPECTED));
        }
        Some(statuses)
    }

    fn signing_secret(&mut self) -> Option<Option<Secret>> {
        let (least, most) = (SIGNING_SECRET_BYTES.start(), SIGNING_SECRET_BYTES.end());
        let expected = format!(
            "\"{SIGNING_SECRET_PREFIX}\" and the base64 of {least} to {most} random bytes, or \
             null for no signature; `echo whsec_$(head -c 32 /dev/urandom | base64)` makes one"
        );
        let Some(text): Option<String> = self.given("signing_secret", self.raw.signing_secret, &expected)?
        else {
            return Some(None);
        };
        if signing_key(&text).is_none() {
            self.violate(Violation::new("signing_secret", "value", "is not such a secret", expected));
        }
        Some(Some(Secret::from(text)))
    }

    pub(super) fn choice<T: Copy + Named>(
        &mut self,
        field: &'static str,
        raw: Option<&RawValue>,
        choices: &[T],
        expected: &str,
    ) -> Option<Option<T>> {
        let Some(name): Option<String> = self.given(field, raw, expected)? else { return Some(None) };
        let found = choices.iter().copied().find(|choice| choice.name() == name);
        if found.is_none() {
            self.violate(Violation::new(field, "value", format!("is {name:?}"), expected));
        }
        found.map(Some)
    }

    pub(super) fn number(
        &mut self,
        field: &'static str,
        raw: Option<&RawValue>,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<Option<u32>> {
        let (least, most) = (range.start(), range.end());
        let expected = format!("a whole number from {least} to {most}, or null for the default");
        let Some(number): Option<u64> = self.given(field, raw, &expected)? else { return Some(None) };
        let number = u32::try_from(number).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.violate(Violation::new(field, "range", "is out of range", expected));
        }
        number.map(Some)
    }

    /// The value of an optional field. `None`: it is missing or has the wrong type; `Some(None)`: it is
    /// `null`.
    pub(super) fn given<T: DeserializeOwned>(
        &mut self,
        field: &'static str,
        raw: Option<&RawValue>,
        expected: &str,
    ) -> Option<Option<T>> {
        match raw?.get() {
            "null" => Some(None),
            _ => self.value(field, raw, expected).map(Some),
        }
    }
}

pub(super) trait Named {
    fn name(self) -> &'static str;
}

impl Named for ConcurrencyPolicy {
    fn name(self) -> &'static str {
        self.as_str()
    }
}

impl Named for MisfirePolicy {
    fn name(self) -> &'static str {
        self.as_str()
    }
}

impl Named for Format {
    fn name(self) -> &'static str {
        self.as_str()
    }
}

impl Named for Method {
    fn name(self) -> &'static str {
        self.as_str()
    }
}

const KEY: &str = "a name of at most 63 letters, digits, '-', '_' and '.' that begins and ends with a letter \
 or digit, and \
                   before it, if anything, a domain with a dot of at most 253 characters and a slash: \
                   example.com/team";

/// What is wrong with the key of a label or annotation, as the end of a sentence that begins with the key.
pub(super) fn key_fault(key: &str) -> Option<&'static str> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if name.contains('/') {
        return Some("has more than one slash");
    }
    if name.is_empty() || METADATA_NAME_MAX < name.len() || !is_word(name) {
        return Some("has a name that is not allowed");
    }
    match prefix {
        Some(prefix) if METADATA_PREFIX_MAX < prefix.len() || !is_domain(prefix) => {
            Some("has a prefix that is not a domain with a dot")
        }
        Some(prefix) if prefix.eq_ignore_ascii_case(METADATA_RESERVED) => {
            Some("has the prefix of Cloud Foundry")
        }
        _ => None,
    }
}

/// The rule that the value of a label or annotation breaks, and what would be right.
pub(super) fn value_fault(field: &str, value: &str) -> Option<(&'static str, &'static str)> {
    match field {
        "metadata.labels" if LABEL_VALUE_MAX < value.len() || !(value.is_empty() || is_word(value)) => {
            Some((
                "value",
                "at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit; \
                 annotations \
             may hold anything",
            ))
        }
        "metadata.annotations" if ANNOTATION_VALUE_MAX < value.chars().count() => {
            Some(("too_long", "at most 5000 characters"))
        }
        _ => None,
    }
}

fn is_word(text: &str) -> bool {
    let is_outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    is_outer(text.bytes().next())
        && is_outer(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

/// Whether the text can be the name of a header (RFC 9110, 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// An object of strings, in which a name may occur twice.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}
