//! The fields of a request's body, and their rules.
//!
//! Unknown fields are ignored, because the `cf` plugin sends its whole structure. `null` means missing,
//! except for the fields of `controls` and for `auth_header`.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::ApiError;
use super::violation::{Place, Violation};
use crate::model::{GUID_MAX, Guid, HIDDEN};
use crate::outbound::is_header_value;

const NAME_MAX: usize = 255;
const COMMAND_MAX: usize = 4096;
/// The most bytes of a URL or an `Authorization` value: servers accept no longer ones.
const LONG_TEXT_BYTES_MAX: usize = 16 * 1024;
const MEGABYTES_MAX: u64 = i32::MAX as u64;
/// The default limits of a task (0 counts as missing, because the `cf` plugin sends it).
pub(in crate::web) const MEGABYTES: u32 = 1024;
/// The only kind of expression.
const EXPRESSION_TYPE: &str = "cron_expression";

/// The fields of all requests, unparsed. Their contents are not copied.
#[derive(Deserialize)]
pub(super) struct Raw<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    command: Option<&'a RawValue>,
    #[serde(borrow)]
    disk_in_mb: Option<&'a RawValue>,
    #[serde(borrow)]
    memory_in_mb: Option<&'a RawValue>,
    #[serde(borrow)]
    log_rate_in_bps: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) url: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    auth_header: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) enabled: Option<&'a RawValue>,
    #[serde(borrow)]
    expression: Option<&'a RawValue>,
    #[serde(borrow)]
    expression_type: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) paused_until: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) paused_note: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) timezone: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) starts_at: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) ends_at: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) jitter_seconds: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) misfire_policy: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) description: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) key: Option<&'a RawValue>,
    #[serde(borrow)]
    app_guid: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) timeout_seconds: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) concurrency_policy: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) retry: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) paused: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) metadata: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) expect_success_within_seconds: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) headers: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) body: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) success_statuses: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) format: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) secret: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) events: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) job_guids: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) call_guids: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) label_selector: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) after_failures: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) remind_after_seconds: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) signing_secret: Option<&'a RawValue>,
}

/// A field that is present, even as `null`.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads fields one by one and collects violations.
pub(in crate::web) struct Fields<'a> {
    pub(super) raw: Raw<'a>,
    violations: Vec<Violation>,
}

impl<'a> Fields<'a> {
    pub(in crate::web) fn of(body: &'a [u8]) -> Result<Self, ApiError> {
        let body = without_byte_order_mark(body);
        let text = std::str::from_utf8(body).map_err(|err| {
            let (line, column) = place_of(&body[..err.valid_up_to()]);
            in_body("encoding", "is not UTF-8".to_owned(), line, column)
        })?;
        if !text.trim_start().starts_with('{') {
            // Serde would read a list as the fields in order.
            return Err(no_object(text).into());
        }
        let raw = serde_json::from_str(text).map_err(|err| {
            // The only JSON that is not accepted here has a duplicate field.
            let rule = if err.is_data() { "duplicate" } else { "json" };
            in_body(rule, format!("is not a JSON object as expected: {err}"), err.line(), err.column())
        })?;
        Ok(Self { raw, violations: Vec::new() })
    }

    /// The values, or the violations.
    pub(in crate::web) fn finish<T>(self, values: Option<T>) -> Result<T, ApiError> {
        match values {
            Some(values) if self.violations.is_empty() => Ok(values),
            _ => Err(ApiError::Unprocessable(self.violations)),
        }
    }

    pub(super) fn violation_count(&self) -> usize {
        self.violations.len()
    }

    pub(in crate::web) fn violate(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    pub(in crate::web) fn name(&mut self) -> Option<String> {
        self.text("name", self.raw.name, NAME_MAX)
    }

    /// The name of an object that is replaced, which the body may repeat.
    pub(super) fn check_name(&mut self, name: &str) {
        if self.name().is_some_and(|given| given != name) {
            let detail = "is not the name in the query; PATCH renames";
            self.violate(Violation::new("name", "differs", detail, "the name in the query, or none"));
        }
    }

    pub(in crate::web) fn command(&mut self) -> Option<String> {
        let command = self.text("command", self.raw.command, COMMAND_MAX);
        self.not_hidden("command", command)
    }

    pub(in crate::web) fn url(&mut self) -> Option<String> {
        let url = self.long_text("url", self.raw.url);
        self.not_hidden("url", url)
    }

    /// Refuses the placeholder that readers see instead of a value, so that nobody stores it.
    pub(in crate::web) fn not_hidden(
        &mut self,
        field: &'static str,
        value: Option<String>,
    ) -> Option<String> {
        let value = value?;
        if value == HIDDEN || (field == "url" && value.ends_with(HIDDEN)) {
            let detail = format!("is {HIDDEN}, which stands for a value that you may not see");
            self.violate(Violation::new(field, "value", detail, "the value itself"));
            return None;
        }
        Some(value)
    }

    /// Empty: send none.
    pub(in crate::web) fn auth_header(&mut self) -> Option<String> {
        let raw = self.raw.auth_header?;
        if matches!(raw.get(), "null" | "\"\"") {
            return Some(String::new());
        }
        let text = self.long_text("auth_header", Some(raw));
        let text = self.not_hidden("auth_header", text)?;
        if is_header_value(&text) {
            return Some(text);
        }
        let detail = "has a character that no header can carry, such as a line break";
        let expected = "a string without control characters (a tab is allowed), or \"\" for no Authorization";
        self.violate(Violation::new("auth_header", "characters", detail, expected));
        None
    }

    pub(in crate::web) fn expression(&mut self) -> Option<String> {
        self.text("expression", self.raw.expression, usize::MAX)
    }

    pub(in crate::web) fn app_guid(&mut self) -> Option<Guid> {
        let text = self.text("app_guid", self.raw.app_guid, GUID_MAX)?;
        let guid = Guid::from_outside(&text);
        if guid.is_none() {
            let expected = format!("a string of at most {GUID_MAX} characters of visible ASCII");
            self.violate(Violation::new(
                "app_guid",
                "form",
                "has a character that guids cannot \
             have",
                expected,
            ));
        }
        guid
    }

    pub(in crate::web) fn disk_in_mb(&mut self) -> Option<u32> {
        self.megabytes("disk_in_mb", self.raw.disk_in_mb)
    }

    pub(in crate::web) fn memory_in_mb(&mut self) -> Option<u32> {
        self.megabytes("memory_in_mb", self.raw.memory_in_mb)
    }

    pub(in crate::web) fn enabled(&mut self) -> Option<bool> {
        self.value("enabled", self.raw.enabled, "true or false")
    }

    /// Checks the type of expression, if given.
    pub(in crate::web) fn check_expression_type(&mut self) {
        let expected = format!("the string {EXPRESSION_TYPE}");
        let given: Option<String> = self.value("expression_type", self.raw.expression_type, &expected);
        if given.is_some_and(|given| given != EXPRESSION_TYPE) {
            self.violate(Violation::new(
                "expression_type",
                "value",
                format!("is not {EXPRESSION_TYPE}"),
                expected,
            ));
        }
    }

    /// Requires a field that was read as `value`. If it broke another rule, that violation is recorded
    /// already.
    pub(in crate::web) fn required<T>(&mut self, field: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.violations.iter().any(|violation| violation.field == field) {
            self.violate(Violation::new(field, "missing", "is missing", "a string that is not blank"));
        }
        value
    }

    pub(super) fn text(&mut self, field: &'static str, raw: Option<&RawValue>, max: usize) -> Option<String> {
        let expected = match max {
            usize::MAX => "a string that is not blank".to_owned(),
            max => format!("a string of at most {max} characters that is not blank"),
        };
        let text: String = self.value(field, raw, &expected)?;
        if text.trim().is_empty() {
            self.violate(Violation::new(field, "blank", "is blank", expected));
            return None;
        }
        if max < text.len() && max < text.chars().count() {
            let detail = format!("is longer than {max} characters");
            self.violate(Violation::new(field, "too_long", detail, expected));
            return None;
        }
        Some(text)
    }

    /// A text with a limit in bytes, because it is sent as bytes.
    fn long_text(&mut self, field: &'static str, raw: Option<&RawValue>) -> Option<String> {
        let text = self.text(field, raw, usize::MAX)?;
        if LONG_TEXT_BYTES_MAX < text.len() {
            let detail = format!("is longer than {LONG_TEXT_BYTES_MAX} bytes");
            let expected = format!("a string of at most {LONG_TEXT_BYTES_MAX} bytes that is not blank");
            self.violate(Violation::new(field, "too_long", detail, expected));
            return None;
        }
        Some(text)
    }

    /// In bytes a second; -1: unlimited; 0: not given.
    pub(in crate::web) fn log_rate_in_bps(&mut self) -> Option<i64> {
        let expected = format!(
            "a whole number of bytes a second up to {MEGABYTES_MAX}, without point or exponent; -1 stands \
             for \
             unlimited, 0 for none given"
        );
        let rate: i64 = self.value("log_rate_in_bps", self.raw.log_rate_in_bps, &expected)?;
        if (-1..=MEGABYTES_MAX.cast_signed()).contains(&rate) {
            return Some(rate);
        }
        let side = if rate < -1 { "below -1".to_owned() } else { format!("beyond {MEGABYTES_MAX}") };
        self.violate(Violation::new("log_rate_in_bps", "range", format!("is {side}"), expected));
        None
    }

    fn megabytes(&mut self, field: &'static str, raw: Option<&RawValue>) -> Option<u32> {
        let expected = format!(
            "a whole number from 1 to {MEGABYTES_MAX}, without point or exponent; 0 stands for {MEGABYTES}"
        );
        let number: u64 = self.value(field, raw, &expected)?;
        match u32::try_from(number) {
            Ok(0) => Some(MEGABYTES),
            Ok(number) if u64::from(number) <= MEGABYTES_MAX => Some(number),
            _ => {
                self.violate(Violation::new(field, "range", format!("is beyond {MEGABYTES_MAX}"), expected));
                None
            }
        }
    }

    pub(super) fn value<T: DeserializeOwned>(
        &mut self,
        field: &'static str,
        raw: Option<&RawValue>,
        expected: &str,
    ) -> Option<T> {
        let raw = raw?.get();
        match serde_json::from_str(raw) {
            Ok(value) => Some(value),
            Err(err) => {
                // Of an object or a list, what is wrong may be something in it.
                let is_inside = raw.starts_with(['{', '[']) && (1, 1) < (err.line(), err.column());
                let detail = if err.is_syntax() {
                    // For example half of a surrogate pair.
                    format!("is {} that is not well-formed: {err}", kind_of(raw))
                } else if is_inside {
                    format!("is {} with something else in it: {err}", kind_of(raw))
                } else {
                    format!("is {}", kind_of(raw))
                };
                self.violate(Violation::new(field, "type", detail, expected));
                None
            }
        }
    }
}

/// The name of a job or call in a query.
pub(super) fn name_in_query(name: Option<&str>) -> Result<String, Violation> {
    let expected = format!("?name= and a name of at most {NAME_MAX} characters that is not blank");
    match name {
        None => Err(Violation::new("name", "missing", "is missing", expected)),
        Some(name) if name.trim().is_empty() => Err(Violation::new("name", "blank", "is blank", expected)),
        Some(name) if NAME_MAX < name.chars().count() => {
            Err(Violation::new("name", "too_long", format!("is longer than {NAME_MAX} characters"), expected))
        }
        Some(name) => Ok(name.to_owned()),
    }
}

/// Skips a byte order mark, which some editors write, and which RFC 8259 allows readers to ignore.
pub(in crate::web) fn without_byte_order_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

const OBJECT: &str = "a JSON object like {\"name\":\"nightly\"}, in UTF-8";

fn in_body(rule: &'static str, detail: String, line: usize, column: usize) -> Violation {
    Violation { place: Some(Place::Json { line, column }), ..Violation::new("body", rule, detail, OBJECT) }
}

/// The violation of a body that is not an object.
fn no_object(text: &str) -> Violation {
    if text.trim().is_empty() {
        return Violation::new("body", "missing", "is empty", OBJECT);
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => {
            let detail = format!("is {}, not a JSON object", kind_of(text.trim_start()));
            Violation::new("body", "type", detail, OBJECT)
        }
        Err(err) => in_body("json", format!("is not JSON: {err}"), err.line(), err.column()),
    }
}

/// The digits of the largest number that fields can have.
const LONGEST_NUMBER: usize = 19;

/// The type of a JSON value, for messages.
pub(super) fn kind_of(raw: &str) -> &'static str {
    match raw.bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(b'-') => "a negative number",
        _ if raw.contains(['.', 'e', 'E']) => "a number with a point or an exponent",
        _ if LONGEST_NUMBER < raw.len() => "a number that is too large",
        _ => "a number",
    }
}

/// The line and column after `bytes`, counted like JSON's errors.
fn place_of(bytes: &[u8]) -> (usize, usize) {
    let line = bytes.split(|byte| *byte == b'\n').count();
    let column = bytes.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    (line, column + 1)
}
