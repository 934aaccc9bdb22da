//! The fields of a request's body that define when a schedule fires.
//!
//! In an update, a missing field keeps its value. `null` restores the default, except for `expression` and
//! `enabled`, where it means missing.

use serde_json::value::RawValue;

use super::Api;
use super::fields::Fields;
use super::violation::Violation;
use crate::cron::{Expression, Reading, Zone, names_zone};
use crate::fire_times::Calendar;
use crate::model::{Definition, Executable, MisfirePolicy, Timestamp, Timing};

const JITTER_MAX: u32 = 3600;
const DESCRIPTION_CHARS_MAX: usize = 1000;
const KEY_CHARS_MAX: usize = 63;
const A_KEY: &str = "1 to 63 letters, digits, -, _ and . of ASCII";

impl Api {
    /// The defaults of a new schedule: enabled, in the dialect and zone of the settings. Without an
    /// expression.
    pub(super) fn new_definition(&self) -> Definition {
        let timing = Timing::new("", self.dialect);
        Definition::new(Timing { timezone: self.default_timezone.clone(), ..timing })
    }

    /// Applies the fields to `definition`. Returns its calendar; `None`: a rule is broken. `replaced` is the
    /// current definition; rules for new times do not apply to times that it already has.
    pub(super) fn change_definition(
        &self,
        fields: &mut Fields<'_>,
        definition: &mut Definition,
        executable: &Executable,
        replaced: Option<&Definition>,
        now: Timestamp,
    ) -> Option<Calendar> {
        let is_new = definition.timing.expression.is_empty();
        definition.enabled = fields.enabled().unwrap_or(definition.enabled);
        let given = fields.expression();
        let given = if is_new { fields.required("expression", given) } else { given };
        fields.check_expression_type();
        let is_zone_given = fields.raw.timezone.is_some();
        fields.change_options_of(definition, replaced, now);
        let timing = &mut definition.timing;
        if let Some(text) = &given {
            // A new expression gets the dialect of the settings; an old one keeps its own.
            let known = replaced.map(|replaced| &replaced.timing);
            let known = known.filter(|known| known.dialect.stored(text) == known.expression);
            timing.dialect = known.map_or(self.dialect, |known| known.dialect);
            timing.dialect.stored(text).clone_into(&mut timing.expression);
            // The zone of the settings applies to expressions that name none.
            if is_new && !is_zone_given && names_zone(text) {
                timing.timezone = None;
            }
        }
        if is_new && given.is_none() {
            return None;
        }
        let timezone = timing.timezone.as_deref().and_then(Zone::named);
        let (dialect, hash_key) = (timing.dialect, executable.guid.as_str());
        let reading = Reading { dialect, hash_key, timezone: timezone.as_ref(), is_of_schedule: true };
        let expression = Expression::parse(&timing.expression, &reading)
            .map_err(|err| fields.violate(Violation::of_expression(&err)))
            .ok()?;
        let calendar = Calendar::new(expression, timing.starts_at, timing.ends_at);
        let is_known = replaced.is_some_and(|replaced| {
            let now = (&timing.expression, timing.dialect, &timing.timezone);
            now == (&replaced.timing.expression, replaced.timing.dialect, &replaced.timing.timezone)
        });
        if given.is_some() && !is_known {
            self.check_fire_times(fields, &calendar, now);
        }
        Some(calendar)
    }

    /// Checks the rules for a new expression.
    fn check_fire_times(&self, fields: &mut Fields<'_>, calendar: &Calendar, now: Timestamp) {
        if let Some(once) = calendar.expression().once() {
            if Calendar::new(calendar.expression().clone(), None, None).first_from(now).is_none() {
                let expected = "a time to come; one that is up to a minute ago fires at once";
                let violation = match now.seconds() < once {
                    true => Violation::new("expression", "far", "is after the year 2261", "an earlier time"),
                    false => Violation::new("expression", "past", "is in the past", expected),
                };
                fields.violate(violation);
            }
        } else if self.dialect.refuses_what_never_fires()
            && calendar.expression().first_after(now.seconds()).is_none()
        {
            let expected = "an expression with a fire time to come";
            fields.violate(Violation::new("expression", "never_fires", "never fires", expected));
        } else if let Some((least, found)) = too_short_interval(self.schedule_min_seconds, calendar, now) {
            let detail = format!("fires twice within {found} seconds, and {least} must lie between");
            let expected = format!("an expression that fires every {least} seconds at most");
            fields.violate(Violation::new("expression", "under_min_interval", detail, expected));
        }
    }
}

/// The shortest interval of the next fire times, in seconds, if it is below `least`; `None`: it is not, or
/// there is no limit.
pub(super) fn too_short_interval(
    least: Option<u32>,
    calendar: &Calendar,
    now: Timestamp,
) -> Option<(u32, u64)> {
    let (least, found) = (least?, calendar.shortest_interval(now)?);
    (found < u64::from(least)).then_some((least, found))
}

impl Fields<'_> {
    /// Applies everything except the expression and `enabled`.
    fn change_options_of(
        &mut self,
        definition: &mut Definition,
        replaced: Option<&Definition>,
        now: Timestamp,
    ) {
        if let Some(zone) = self.timezone() {
            definition.timing.timezone = zone;
        }
        if let Some(time) = self.instant("starts_at", self.raw.starts_at) {
            definition.timing.starts_at = time;
        }
        if let Some(time) = self.instant("ends_at", self.raw.ends_at) {
            definition.timing.ends_at = time;
            let is_known = replaced.is_some_and(|replaced| replaced.timing.ends_at == time);
            if time.is_some_and(|time| time < now) && !is_known {
                let expected = "an instant to come, or null for no end";
                self.violate(Violation::new("ends_at", "past", "is in the past", expected));
            }
        }
        let window = definition.timing.starts_at.zip(definition.timing.ends_at);
        let is_window_given = self.raw.starts_at.is_some() || self.raw.ends_at.is_some();
        if is_window_given && window.is_some_and(|(start, end)| end < start) {
            let expected = "an instant that is not before starts_at";
            self.violate(Violation::new("ends_at", "order", "is before starts_at", expected));
        }
        if let Some(seconds) = self.number("jitter_seconds", self.raw.jitter_seconds, 0..=JITTER_MAX) {
            definition.jitter_seconds = seconds.unwrap_or_default();
        }
        let names = MisfirePolicy::ALL.map(MisfirePolicy::as_str).join(", ");
        let expected = format!("one of {names}, or null for the setting MISFIRE_POLICY");
        let raw = self.raw.misfire_policy;
        if let Some(policy) = self.choice("misfire_policy", raw, &MisfirePolicy::ALL, &expected) {
            definition.misfire_policy = policy;
        }
        if let Some(description) = self.description() {
            definition.description = description;
        }
        if let Some(key) = self.key() {
            definition.key = key;
        }
    }

    fn timezone(&mut self) -> Option<Option<String>> {
        const EXPECTED: &str = "a name of the IANA time zone database, in its upper and lower case, like \
         Europe/Berlin, or null for UTC";
        let Some(name): Option<String> = self.given("timezone", self.raw.timezone, EXPECTED)? else {
            return Some(None);
        };
        if Zone::named(&name).is_none() {
            self.violate(Violation::new(
                "timezone",
                "zone",
                format!(
                    "{name:?} is not a time \
             zone"
                ),
                EXPECTED,
            ));
            return None;
        }
        Some(Some(name))
    }

    pub(super) fn instant(
        &mut self,
        field: &'static str,
        raw: Option<&RawValue>,
    ) -> Option<Option<Timestamp>> {
        const EXPECTED: &str =
            "a time in the form of RFC 3339, like 2026-12-31T23:59:00+01:00, or null for none";
        let Some(text): Option<String> = self.given(field, raw, EXPECTED)? else { return Some(None) };
        let time = Timestamp::parse(&text);
        if time.is_none() {
            let detail = "is no time in the form of RFC 3339, or beyond the years 1678 to 2261";
            self.violate(Violation::new(field, "time", detail, EXPECTED));
        }
        time.map(Some)
    }

    /// The key of a schedule that is replaced, which the body may repeat.
    pub(super) fn check_key(&mut self, replaced: Option<&str>, definition: &mut Definition) {
        let Some(key) = replaced else { return };
        if self.raw.key.is_some() && definition.key.as_deref() != Some(key) {
            let detail = "is not the key in the query; PATCH changes it";
            self.violate(Violation::new("key", "differs", detail, "the key in the query, or none"));
        }
        definition.key = Some(key.to_owned());
    }

    fn key(&mut self) -> Option<Option<String>> {
        let expected = format!("{A_KEY}, or null for none");
        let Some(key): Option<String> = self.given("key", self.raw.key, &expected)? else {
            return Some(None);
        };
        if !is_key(&key) {
            self.violate(Violation::new("key", "form", "is no key", expected));
            return None;
        }
        Some(Some(key))
    }

    fn description(&mut self) -> Option<Option<String>> {
        let expected = format!("a string of at most {DESCRIPTION_CHARS_MAX} characters, or null for none");
        let text: Option<String> = self.given("description", self.raw.description, &expected)?;
        if text.as_ref().is_some_and(|text| DESCRIPTION_CHARS_MAX < text.chars().count()) {
            let detail = format!("is longer than {DESCRIPTION_CHARS_MAX} characters");
            self.violate(Violation::new("description", "too_long", detail, expected));
            return None;
        }
        Some(text)
    }
}

/// The key of a schedule in a query.
pub(super) fn key_in_query(key: Option<&str>) -> Result<String, Violation> {
    let expected = format!("?key= and {A_KEY}");
    match key {
        None => Err(Violation::new("key", "missing", "is missing", expected)),
        Some(key) if is_key(key) => Ok(key.to_owned()),
        Some(_) => Err(Violation::new("key", "form", "is no key", expected)),
    }
}

fn is_key(key: &str) -> bool {
    (1..=KEY_CHARS_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
