//! The fields of a request's body, and their rules.
//!
//! Unknown fields are passed over unread: the `cf` plugin sends its whole structure. `null` is the same as missing.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::{ApiError, Violation};

const NAME_MAX: usize = 255;
const COMMAND_MAX: usize = 4096;
const MEGABYTES_MAX: u64 = i32::MAX as u64;
/// The limits of a task when the client names none (or 0, as the `cf` plugin does).
pub(super) const MEGABYTES: u32 = 1024;
/// The only kind of expression that there is.
const EXPRESSION_TYPE: &str = "cron_expression";

/// The fields that some request knows, as they were sent. Nothing is allocated for what is in them.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    command: Option<&'a RawValue>,
    #[serde(borrow)]
    disk_in_mb: Option<&'a RawValue>,
    #[serde(borrow)]
    memory_in_mb: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    auth_header: Option<&'a RawValue>,
    #[serde(borrow)]
    enabled: Option<&'a RawValue>,
    #[serde(borrow)]
    expression: Option<&'a RawValue>,
    #[serde(borrow)]
    expression_type: Option<&'a RawValue>,
    #[serde(borrow)]
    app_guid: Option<&'a RawValue>,
}

/// Reads fields one by one and collects the rules that they break.
pub(super) struct Fields<'a> {
    raw: Raw<'a>,
    violations: Vec<Violation>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(body: &'a [u8]) -> Result<Self, ApiError> {
        let not_json = |_| Violation::new("body", "is not UTF-8");
        let text = std::str::from_utf8(body).map_err(not_json)?;
        if !text.trim_start().starts_with('{') {
            // A list would be read as fields in order.
            return Err(Violation::new("body", "is not a JSON object").into());
        }
        let raw = serde_json::from_str(text)
            .map_err(|err| Violation::new("body", format!("is not a JSON object as expected: {err}")))?;
        Ok(Self { raw, violations: Vec::new() })
    }

    /// The values, unless a rule is broken.
    pub(super) fn finish<T>(self, values: Option<T>) -> Result<T, ApiError> {
        match values {
            Some(values) if self.violations.is_empty() => Ok(values),
            _ => Err(ApiError::Unprocessable(self.violations)),
        }
    }

    pub(super) fn violate(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    pub(super) fn name(&mut self) -> Option<String> {
        self.text("name", self.raw.name, NAME_MAX)
    }

    pub(super) fn command(&mut self) -> Option<String> {
        self.text("command", self.raw.command, COMMAND_MAX)
    }

    pub(super) fn url(&mut self) -> Option<String> {
        self.text("url", self.raw.url, usize::MAX)
    }

    pub(super) fn auth_header(&mut self) -> Option<String> {
        self.text("auth_header", self.raw.auth_header, usize::MAX)
    }

    pub(super) fn expression(&mut self) -> Option<String> {
        self.text("expression", self.raw.expression, usize::MAX)
    }

    pub(super) fn app_guid(&mut self) -> Option<String> {
        self.text("app_guid", self.raw.app_guid, usize::MAX)
    }

    pub(super) fn disk_in_mb(&mut self) -> Option<u32> {
        self.megabytes("disk_in_mb", self.raw.disk_in_mb)
    }

    pub(super) fn memory_in_mb(&mut self) -> Option<u32> {
        self.megabytes("memory_in_mb", self.raw.memory_in_mb)
    }

    pub(super) fn enabled(&mut self) -> Option<bool> {
        self.value("enabled", self.raw.enabled, "is not true or false")
    }

    /// Checks that it is the one there is, when it is there.
    pub(super) fn check_expression_type(&mut self) {
        let given: Option<String> =
            self.value("expression_type", self.raw.expression_type, "is not a string");
        if given.is_some_and(|given| given != EXPRESSION_TYPE) {
            self.violate(Violation::new("expression_type", format!("is not {EXPRESSION_TYPE}")));
        }
    }

    /// Requires a field that was read as `value`; whoever broke its rule has been told already.
    pub(super) fn required<T>(&mut self, field: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.violations.iter().any(|violation| violation.field == field) {
            self.violate(Violation::new(field, "is missing"));
        }
        value
    }

    fn text(&mut self, field: &'static str, raw: Option<&RawValue>, max: usize) -> Option<String> {
        let text: String = self.value(field, raw, "is not a string")?;
        if text.trim().is_empty() {
            self.violate(Violation::new(field, "is blank"));
            return None;
        }
        if max < text.len() && max < text.chars().count() {
            self.violate(Violation::new(field, format!("is longer than {max} characters")));
            return None;
        }
        Some(text)
    }

    fn megabytes(&mut self, field: &'static str, raw: Option<&RawValue>) -> Option<u32> {
        let number: u64 =
            self.value(field, raw, &format!("is not a whole number from 1 to {MEGABYTES_MAX}"))?;
        match u32::try_from(number) {
            Ok(0) => Some(MEGABYTES),
            Ok(number) if u64::from(number) <= MEGABYTES_MAX => Some(number),
            _ => {
                self.violate(Violation::new(
                    field,
                    format!("is not a whole number from 1 to {MEGABYTES_MAX}"),
                ));
                None
            }
        }
    }

    fn value<T: DeserializeOwned>(
        &mut self,
        field: &'static str,
        raw: Option<&RawValue>,
        rule: &str,
    ) -> Option<T> {
        let value = serde_json::from_str(raw?.get()).ok();
        if value.is_none() {
            self.violate(Violation::new(field, rule));
        }
        value
    }
}
