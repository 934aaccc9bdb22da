//! `POST /schedules/validate`, like OCF Scheduler 2.x: explains an expression, or the schedules of a job or
//! call. Stores nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Api;
use super::error::ApiError;
use super::fields::without_byte_order_mark;
use super::page::{self, Order, Paging, Walk, to_json};
use super::query::Query;
use super::schedule_fields::too_short_interval;
use super::schedules::zone_named;
use super::violation::Violation;
use crate::cron::{self, Expression, HASH_KEY, ParseError, Reading, Warning, Zone};
use crate::fire_times::Calendar;
use crate::http::{Request, Response, respond_with};
use crate::model::{Definition, Executable, Kind, Schedule, Timestamp};
use crate::web::auth::Caller;

/// The default and the maximum of fire times to show.
const NEXT: i64 = 5;
const TIMES_MAX: i64 = 100;
/// The zone of expressions without one.
const UTC: &str = "UTC";
#[derive(Deserialize)]
struct Asked {
    expression: Option<String>,
    ref_type: Option<String>,
    ref_guid: Option<String>,
    next: Option<i64>,
    prev: Option<i64>,
    from: Option<String>,
    timezone: Option<String>,
    dialect: Option<String>,
}

/// Which fire times to show, and how.
#[derive(Clone, Copy)]
struct Extent {
    from: OffsetDateTime,
    next: usize,
    previous: usize,
}

#[derive(Clone, Serialize)]
struct Ref {
    r#type: &'static str,
    guid: String,
    name: String,
}

/// An error or warning about an expression.
#[derive(Serialize)]
pub(super) struct Finding {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
}

#[derive(Serialize)]
struct HashedFieldJson {
    field: &'static str,
    value: String,
    resolved: String,
}

#[derive(Serialize)]
struct Validation {
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    expression: String,
    dialect: &'static str,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<Ref>,
    valid: bool,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description_note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    illustrative: bool,
    hashed_fields: Vec<HashedFieldJson>,
    from: String,
    next_runs: Vec<String>,
    prev_runs: Vec<String>,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Api {
    pub(in crate::web) fn validate(
        &self,
        caller: &Caller,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let asked: Asked = serde_json::from_slice(without_byte_order_mark(&request.body)).map_err(|err| {
            let expected = "a JSON object with expression, or with ref_type and ref_guid";
            Violation::new("body", "bad_request", format!("is not understood: {err}"), expected)
        })?;
        let now = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.clock.now().nanos()));
        let extent = Extent {
            from: match (&asked.from, now) {
                (Some(text), _) => from_of(text)?,
                (None, now) => now.unwrap_or(OffsetDateTime::UNIX_EPOCH),
            },
            next: count("next", asked.next, NEXT)?,
            previous: count("prev", asked.prev, 0)?,
        };
        let dialect = asked.dialect.as_deref().map_or(Ok(self.dialect), |name| self.dialect_named(name))?;
        let timezone = asked.timezone.as_deref().map(zone_named).transpose()?;
        let executable = self.referred(caller, &asked)?;
        match (asked.expression.filter(|text| !text.is_empty()), executable) {
            (Some(text), executable) => {
                let expression = text.trim();
                // Without a zone, the expression is read at the offset of `from`.
                let offset = extent.from.offset().whole_seconds();
                let of_from =
                    (offset != 0 && !cron::names_zone(expression)).then(|| Zone::of_offset(offset)).flatten();
                let hash_key = executable.as_ref().map_or(HASH_KEY, |it| it.guid.as_str());
                let by_default = if asked.from.is_none() { self.default_zone_for(expression) } else { None };
                let timezone = timezone.or(by_default);
                let reading = Reading {
                    dialect,
                    hash_key,
                    timezone: timezone.as_ref().or(of_from.as_ref()),
                    is_of_schedule: false,
                };
                let default = of_from.is_none() || timezone.is_some();
                let validation = Validation {
                    reference: executable.as_ref().map(ref_of),
                    ..validation(
                        expression,
                        &reading,
                        extent,
                        default.then_some(UTC),
                        self.schedule_min_seconds,
                    )
                };
                Ok(respond_with(200, "application/json", to_json(&validation)?))
            }
            (None, Some(executable)) => self.validate_stored(&executable, extent, request, query),
            (None, None) => {
                let expected = "an expression, or ref_type and ref_guid, or all of them";
                let violation =
                    Violation::new("expression", "bad_request", "is missing, and so is a ref", expected);
                Err(violation.into())
            }
        }
    }

    /// The job or call that a request names, if any.
    fn referred(&self, caller: &Caller, asked: &Asked) -> Result<Option<Executable>, ApiError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (kind, guid) = match (given(&asked.ref_type), given(&asked.ref_guid)) {
            (None, None) => return Ok(None),
            (Some(kind), Some(guid)) => (kind, guid),
            (Some(_), None) => {
                return Err(Violation::new("ref_guid", "bad_request", "is missing", "with ref_type").into());
            }
            (None, Some(_)) => {
                return Err(Violation::new("ref_type", "bad_request", "is missing", "job or call").into());
            }
        };
        let kind = match kind.as_str() {
            "job" => Kind::Job,
            "call" => Kind::Call,
            _ => return Err(Violation::new("ref_type", "bad_request", "is not known", "job or call").into()),
        };
        match self.executable(caller, kind, &guid) {
            Err(ApiError::NotFound) => Err(ApiError::RefNotFound),
            found => found.map(Some),
        }
    }

    /// All schedules of a job or call, each read as the scheduler reads it.
    fn validate_stored(
        &self,
        executable: &Executable,
        extent: Extent,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let (id, guid, store) = (executable.id, executable.guid.clone(), Arc::clone(&self.store));
        let total = store.count_schedules(id)?;
        let paging = Paging::whole(total.total);
        let mut walk = Walk::through(paging, total, Order::OldestFirst);
        let reference = ref_of(executable);
        let head = format!("\"ref\":{},", to_json(&reference)?);
        page::streamed_with(&head, request, query, paging, total, move |body| {
            for schedule in walk.next(|window| store.list_schedules(id, window))? {
                let Schedule { guid: schedule_guid, definition: Definition { enabled, timing, .. }, .. } =
                    schedule;
                let timezone = timing.timezone.as_deref().and_then(Zone::named);
                let reading = Reading {
                    dialect: timing.dialect,
                    hash_key: guid.as_str(),
                    timezone: timezone.as_ref(),
                    is_of_schedule: true,
                };
                let resource = Validation {
                    schedule_guid: Some(schedule_guid.to_string()),
                    enabled: Some(enabled),
                    reference: Some(reference.clone()),
                    ..validation(timing.expression.trim(), &reading, extent, Some(UTC), None)
                };
                walk.append(body, &resource)?;
            }
            Ok(!walk.is_over())
        })
    }

    /// `GET /scheduler-time-zones`, like OCF Scheduler 2.x.
    pub(in crate::web) fn time_zones(&self, request: &Request, query: &Query) -> Result<Response, ApiError> {
        // The list has no pages, but an invalid page number is an error all the same.
        Paging::of(query)?;
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct ZoneJson {
            name: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            is_server_time_zone: Option<&'static str>,
            has_dst: bool,
            std: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            dst: Option<String>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            aliases: Vec<&'static str>,
            #[serde(skip_serializing_if = "String::is_empty")]
            rules: String,
        }
        let default = self.default_timezone.as_deref().unwrap_or(UTC);
        let zones = cron::zones_in_year_of(self.clock.now().seconds()).into_iter().map(|zone| ZoneJson {
            is_server_time_zone: (zone.name == default).then_some("yes"),
            has_dst: zone.summer.is_some(),
            name: zone.name,
            std: zone.standard,
            dst: zone.summer,
            aliases: zone.aliases,
            rules: zone.rules,
        });
        page::whole(request, query, &zones.collect::<Vec<_>>())
    }
}

fn from_of(text: &str) -> Result<OffsetDateTime, Violation> {
    let known = Timestamp::parse(text).and_then(|_| OffsetDateTime::parse(text, &Rfc3339).ok());
    known.ok_or_else(|| {
        let detail = "is no time in the form of RFC 3339, or beyond the years 1678 to 2261";
        Violation::new("from", "bad_request", detail, "a time like 2026-03-01T00:00:00Z")
    })
}

fn count(field: &'static str, given: Option<i64>, default: i64) -> Result<usize, Violation> {
    let count = given.unwrap_or(default);
    usize::try_from(count).ok().filter(|_| count <= TIMES_MAX).ok_or_else(|| {
        let expected = format!("a whole number from 0 to {TIMES_MAX}");
        Violation::new(field, "bad_request", "is out of range", expected)
    })
}

fn ref_of(executable: &Executable) -> Ref {
    Ref {
        r#type: executable.kind().as_str(),
        guid: executable.guid.to_string(),
        name: executable.name.clone(),
    }
}

/// `default_zone` is the zone of an expression without one; `None`: it has no name. `min_seconds` is the
/// shortest allowed interval.
fn validation(
    text: &str,
    reading: &Reading<'_>,
    extent: Extent,
    default_zone: Option<&str>,
    min_seconds: Option<u32>,
) -> Validation {
    let from = extent.from.unix_timestamp();
    let nothing = Validation {
        schedule_guid: None,
        enabled: None,
        expression: text.to_owned(),
        dialect: reading.dialect.name(),
        reference: None,
        valid: false,
        description: cron::fields_of(text),
        description_note: None,
        location: None,
        illustrative: false,
        hashed_fields: Vec::new(),
        from: extent.from.format(&Rfc3339).unwrap_or_default(),
        next_runs: Vec::new(),
        prev_runs: Vec::new(),
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    let read =
        cron::explain(text, reading, from, None).and_then(|it| Ok((it, Expression::parse(text, reading)?)));
    let (explanation, expression) = match read {
        Ok(read) => read,
        Err(error) => return Validation { errors: vec![Finding::of_error(&error)], ..nothing },
    };
    let never = reading.dialect.refuses_what_never_fires() && expression.first_after(from).is_none();
    let calendar = Calendar::new(expression, None, None);
    let after = Timestamp::from_seconds(from).unwrap_or(Timestamp::from_nanos(0));
    let too_short = || {
        let (least, found) = too_short_interval(min_seconds, &calendar, after)?;
        Some(Finding::new(
            "under_min_interval",
            format!("The expression fires twice within {found} seconds; {least} must lie between."),
        ))
    };
    let errors: Vec<Finding> = never.then(Finding::of_never).or_else(too_short).into_iter().collect();
    let expression = calendar.expression();
    let later = explanation.later_warnings.iter().filter(|_| errors.is_empty());
    let shown = |time: i64| {
        let time = OffsetDateTime::from_unix_timestamp(time).ok()?;
        time.checked_to_offset(extent.from.offset())?.format(&Rfc3339).ok()
    };
    let next = std::iter::successors(expression.first_after(from), |time| expression.next_after(*time));
    let before = from + i64::from(extent.from.nanosecond() != 0);
    let previous =
        std::iter::successors(expression.last_before(before), |time| expression.last_before(*time));
    Validation {
        valid: errors.is_empty(),
        location: match explanation.zone {
            Some(zone) => Some(zone),
            None => default_zone.filter(|_| expression.reads_a_clock()).map(str::to_owned),
        },
        illustrative: !explanation.hashed_fields.is_empty(),
        hashed_fields: explanation
            .hashed_fields
            .into_iter()
            .map(|it| HashedFieldJson { field: it.field, value: it.value, resolved: it.resolved })
            .collect(),
        next_runs: next.take(extent.next).filter_map(shown).collect(),
        prev_runs: previous.take(extent.previous).filter_map(shown).collect(),
        warnings: explanation.warnings.iter().chain(later).map(Finding::of_warning).collect(),
        description: explanation.description,
        description_note: explanation.note,
        errors,
        ..nothing
    }
}

/// The warnings about a schedule.
pub(super) fn warnings_of(schedule: &Schedule, executable: &Executable, now: Timestamp) -> Vec<Finding> {
    let timing = &schedule.definition.timing;
    let timezone = timing.timezone.as_deref().and_then(Zone::named);
    let reading = Reading {
        dialect: timing.dialect,
        hash_key: executable.guid.as_str(),
        timezone: timezone.as_ref(),
        is_of_schedule: true,
    };
    let from = timing.starts_at.map_or(now, |starts_at| starts_at.max(now));
    let until = timing.ends_at.map(|ends_at| ends_at.seconds());
    let explanation = cron::explain(&timing.expression, &reading, from.seconds(), until);
    let warnings = explanation.into_iter().flat_map(|it| it.warnings.into_iter().chain(it.later_warnings));
    warnings.map(|warning| Finding::of_warning(&warning)).collect()
}

impl Finding {
    fn new(code: &'static str, message: String) -> Self {
        Self { code, message, field: None, value: None, valid_range: None, offset: None }
    }

    fn of_error(error: &ParseError) -> Self {
        Self {
            field: error.field,
            value: Some(error.value.clone()).filter(|value| !value.is_empty()),
            valid_range: error.valid_range.clone(),
            offset: error.offset,
            ..Self::new(ParseError::CODE, error.to_string())
        }
    }

    fn of_never() -> Self {
        Self::new("never_fires", "The expression never fires.".to_owned())
    }

    fn of_warning(warning: &Warning) -> Self {
        let (field, value) = warning.field.clone().unzip();
        Self { field, value, ..Self::new(warning.code, warning.message.clone()) }
    }
}
