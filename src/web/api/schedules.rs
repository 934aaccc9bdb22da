//! Schedules: handlers and JSON.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::audit::{By, differences, new_target};
use super::error::ApiError;
use super::fields::Fields;
use super::page::{self, Order, Paging, to_json, whole_number};
use super::put::{Change, DRY_RUN};
use super::query::Query;
use super::quotas::over_quota;
use super::schedule_fields::key_in_query;
use super::validate::{Finding, warnings_of};
use super::violation::Violation;
use super::{Api, until_written, versions};
use crate::cron::{self, Dialect, Expression, HASH_KEY, Reading, Zone};
use crate::engine::journal;
use crate::fire_times::{Calendar, local};
use crate::http::{Request, Response, respond, respond_with};
use crate::model::{Definition, Executable, Guid, Kind, MisfirePolicy, Schedule, Timestamp};
use crate::store::{NewEvent, SpacePause, Target, Terms, Written};
use crate::web::auth::Caller;

/// The default and the maximum of fire times in `GET /cron/next`.
const NEXT_COUNT: u64 = 5;
const NEXT_COUNT_MAX: u64 = 100;

/// The JSON of a schedule.
#[derive(Serialize, Clone)]
pub(in crate::web) struct ScheduleJson {
    guid: String,
    enabled: bool,
    expression: String,
    expression_type: &'static str,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_guid: Option<String>,
    dialect: &'static str,
    timezone: Option<String>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    jitter_seconds: u32,
    misfire_policy: Option<&'static str>,
    description: Option<String>,
    key: Option<String>,
    next_fire_time: Option<String>,
    completed_at: Option<String>,
}

/// The JSON of a new schedule, with its warnings.
#[derive(Serialize)]
struct CreatedJson<'a> {
    #[serde(flatten)]
    schedule: &'a ScheduleJson,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Finding>,
}

/// The job or call of a schedule, and whether the schedule may fire.
#[derive(Debug, Clone)]
pub(in crate::web) struct Owner {
    kind: Kind,
    guid: Guid,
    silence: Silence,
}

/// A `PUT` of a schedule.
#[derive(Debug, Clone, Copy)]
struct Put<'a> {
    key: &'a str,
    is_dry_run: bool,
}

/// Whether a pause of the job, call or space keeps schedules from firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    None,
    /// Until a user ends the pause.
    Endless,
    /// Until the pause's own end.
    Until(Timestamp),
}

impl Owner {
    /// `pause` is that of its space.
    pub(super) fn of(executable: &Executable, pause: Option<&SpacePause>) -> Self {
        let silence = match pause {
            _ if executable.controls.paused => Silence::Endless,
            Some(SpacePause { until: None, .. }) => Silence::Endless,
            Some(SpacePause { until: Some(until), .. }) => Silence::Until(*until),
            None => Silence::None,
        };
        Self { kind: executable.kind(), guid: executable.guid.clone(), silence }
    }

    /// The next fire time of schedules that would fire at `next` without a pause, as far as it is known.
    pub(super) fn next_fire_time(&self, next: Option<Timestamp>) -> Option<Timestamp> {
        next.filter(|next| match self.silence {
            Silence::None => true,
            Silence::Endless => false,
            Silence::Until(until) => until <= *next,
        })
    }

    /// The next fire time of a schedule: not before a pause ends, and `None` while the end is unknown.
    pub(super) fn next_fire_time_of(&self, schedule: &Schedule) -> Option<Timestamp> {
        let next = schedule.next_fire_time?;
        match self.silence {
            Silence::None => Some(next),
            Silence::Endless => None,
            Silence::Until(until) if until <= next => Some(next),
            Silence::Until(until) => {
                let calendar = Calendar::of(&schedule.definition.timing, &self.guid).ok()?;
                calendar.continued_after(next, until.shifted(-1))
            }
        }
    }
}

fn key_taken() -> Violation {
    let expected = "a key that no other schedule of this job or call has";
    Violation::new("key", "taken", "is taken by another schedule of this job or call", expected)
}

impl ScheduleJson {
    /// The part that determines its version: without the times that change as it fires.
    fn version(&self) -> Self {
        Self { next_fire_time: None, completed_at: None, ..self.clone() }
    }

    /// For a schedule of `owner`.
    pub(in crate::web) fn of(schedule: Schedule, owner: &Owner) -> Self {
        let guid = owner.guid.to_string();
        let (job_guid, call_guid) = match owner.kind {
            Kind::Job => (Some(guid), None),
            Kind::Call => (None, Some(guid)),
        };
        let shown = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let next_fire_time = owner.next_fire_time_of(&schedule);
        let Definition { enabled, timing, jitter_seconds, misfire_policy, description, key } =
            schedule.definition;
        Self {
            guid: schedule.guid.to_string(),
            enabled,
            expression: timing.expression,
            expression_type: "cron_expression",
            created_at: schedule.created_at.to_string(),
            updated_at: schedule.updated_at.to_string(),
            job_guid,
            call_guid,
            dialect: timing.dialect.name(),
            timezone: timing.timezone,
            starts_at: shown(timing.starts_at),
            ends_at: shown(timing.ends_at),
            jitter_seconds,
            misfire_policy: misfire_policy.map(MisfirePolicy::as_str),
            description,
            key,
            next_fire_time: shown(next_fire_time),
            completed_at: shown(schedule.completed_at),
        }
    }
}

impl Api {
    pub(in crate::web) fn create_schedule(
        &self,
        by: By<'_>,
        executable: &Executable,
        body: &[u8],
    ) -> Result<Response, ApiError> {
        self.make_schedule(by, executable, body, None)?.ok_or_else(|| key_taken().into())
    }

    /// Creates a schedule, or replaces the one with the key in the query by what the request would create.
    pub(in crate::web) fn put_schedule(
        &self,
        caller: &Caller,
        executable: &Executable,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let key = key_in_query(query.get("key"))?;
        let put = Put { key: &key, is_dry_run: query.is_on(DRY_RUN)? };
        until_written(|| match self.store.schedule_of_key(executable.id, &key)? {
            Some(seen) => self.rewrite_schedule(caller, executable, request, seen, Some(put)),
            None => {
                versions::check_absent(request)?;
                self.check_service_instance(&executable.space)?;
                let by = By::of(caller, request);
                let made = self.make_schedule(by, executable, &request.body, Some(put))?;
                Ok(made.map(|made| Change::Created.add_header_to(made)))
            }
        })
    }

    /// `None`: another schedule of the job or call has the key.
    fn make_schedule(
        &self,
        by: By<'_>,
        executable: &Executable,
        body: &[u8],
        put: Option<Put<'_>>,
    ) -> Result<Option<Response>, ApiError> {
        let mut fields = Fields::of(body)?;
        let now = self.clock.now();
        let mut definition = self.new_definition();
        let calendar = self.change_definition(&mut fields, &mut definition, executable, None, now);
        fields.check_key(put.map(|put| put.key), &mut definition);
        let calendar = fields.finish(calendar)?;
        let next = calendar.first_from(now);
        if put.is_some_and(|put| put.is_dry_run) {
            self.check_quota_of_schedules(&executable.space)?;
            let (id, guid, executable_id) = (0, Guid::random(), executable.id);
            let schedule = Schedule {
                id,
                guid,
                executable: executable_id,
                created_at: now,
                updated_at: now,
                next_fire_time: next.filter(|_| definition.enabled),
                completed_at: None,
                definition,
            };
            let shown = ScheduleJson::of(schedule, &self.owner(executable)?);
            return versions::object_as(200, &shown.version(), &shown).map(Some);
        }
        let data = || json!({ executable.kind().as_str(): { "guid": executable.guid.as_str() } });
        let target = new_target("schedule", &definition.timing.expression);
        let event = self.event(by, "schedule.create", target, &executable.space, data);
        let terms = Terms { quota: self.quotas.schedules, event: event.as_ref() };
        let schedule = match self.store.create_schedule(executable.id, definition, next, now, &terms)? {
            Written::Done(schedule) => schedule,
            Written::OverQuota => return Err(over_quota("schedule", "schedule", terms.quota)),
            Written::Gone => return Err(ApiError::NotFound),
            Written::NameTaken => return Ok(None),
        };
        self.wake_scheduler();
        let warnings = warnings_of(&schedule, executable, now);
        let schedule = ScheduleJson::of(schedule, &self.owner(executable)?);
        let shown = CreatedJson { schedule: &schedule, warnings };
        versions::object_as(201, &schedule.version(), &shown).map(Some)
    }

    pub(in crate::web) fn list_schedules(
        &self,
        executable: Executable,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let paging = Paging::of(query)?;
        let extent = self.store.count_schedules(executable.id)?;
        let store = Arc::clone(&self.store);
        let owner = self.owner(&executable)?;
        page::collection(request, query, paging, extent, Order::OldestFirst, move |window| {
            let part = store.list_schedules(executable.id, window)?;
            Ok(part.map(|it| ScheduleJson::of(it, &owner)))
        })
    }

    pub(in crate::web) fn change_schedule(
        &self,
        caller: &Caller,
        executable: &Executable,
        guid: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        until_written(|| {
            let seen = self.schedule(executable, guid)?;
            self.check_fields(caller, &executable.space, &request.body, &["enabled"])?;
            self.rewrite_schedule(caller, executable, request, seen, None)
        })
    }

    /// Applies the fields in the body; for a `PUT` all fields. `None`: `seen` is outdated.
    fn rewrite_schedule(
        &self,
        caller: &Caller,
        executable: &Executable,
        request: &Request,
        seen: Schedule,
        put: Option<Put<'_>>,
    ) -> Result<Option<Response>, ApiError> {
        let owner = self.owner(executable)?;
        let show = |schedule| ScheduleJson::of(schedule, &owner);
        let answer = |schedule, change: Change| {
            let shown = show(schedule);
            let answer = versions::object_as(200, &shown.version(), &shown)?;
            Ok(Some(if put.is_some() { change.add_header_to(answer) } else { answer }))
        };
        let mut fields = Fields::of(&request.body)?;
        let now = self.clock.now();
        let mut definition = match put {
            None => seen.definition.clone(),
            Some(_) => self.new_definition(),
        };
        let known = put.map(|_| &seen.definition);
        let calendar = self.change_definition(&mut fields, &mut definition, executable, known, now);
        fields.check_key(put.map(|put| put.key), &mut definition);
        let calendar = fields.finish(calendar)?;
        versions::check(request, &show(seen.clone()).version())?;
        if definition == seen.definition {
            return answer(seen, Change::Unchanged);
        }
        // An interval continues unchanged unless its timing changes.
        let is_same =
            definition.timing == seen.definition.timing && definition.enabled == seen.definition.enabled;
        let kept = seen.next_fire_time.filter(|next| is_same && now < *next);
        // A one-time schedule that has fired does not fire again because of another change.
        let is_new = definition.timing != seen.definition.timing;
        let next = kept.or_else(|| if is_new { calendar.first_from(now) } else { calendar.first_after(now) });
        let before = show(seen.clone());
        let changed = Schedule { definition, ..seen };
        if put.is_some_and(|put| put.is_dry_run) {
            let next_fire_time = next.filter(|_| changed.definition.enabled);
            return answer(Schedule { next_fire_time, ..changed }, Change::Replaced);
        }
        let by = By::of(caller, request);
        let event = self.event_of_schedule(by, "update", executable, &changed, || {
            differences(&before, &show(changed.clone()))
        });
        // Planned from now on; earlier fire times are dropped.
        let (changed, waiting) = match self.store.update_schedule(changed, next, now, event.as_ref())? {
            Written::Done(changed) => changed,
            Written::NameTaken => return Err(key_taken().into()),
            Written::Gone | Written::OverQuota => return Ok(None),
        };
        journal::cancelled(executable.kind(), waiting, "cancelled: schedule disabled");
        self.wake_scheduler();
        self.wake_retention();
        self.wake_watcher();
        answer(changed, Change::Replaced)
    }

    pub(in crate::web) fn delete_schedule(
        &self,
        caller: &Caller,
        executable: &Executable,
        guid: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let waiting = until_written(|| {
            let schedule = self.schedule(executable, guid)?;
            let shown = ScheduleJson::of(schedule.clone(), &self.owner(executable)?);
            versions::check(request, &shown.version())?;
            let by = By::of(caller, request);
            let event = self.event_of_schedule(by, "delete", executable, &schedule, || json!({}));
            Ok(self.store.delete_schedule(&schedule, self.clock.now(), event.as_ref())?)
        })?;
        journal::cancelled(executable.kind(), waiting, "cancelled: schedule deleted");
        self.wake_scheduler();
        self.wake_retention();
        self.wake_watcher();
        Ok(respond(204))
    }

    fn event_of_schedule(
        &self,
        by: By<'_>,
        verb: &str,
        executable: &Executable,
        schedule: &Schedule,
        data: impl FnOnce() -> Value,
    ) -> Option<NewEvent> {
        let name = schedule.definition.timing.expression.clone();
        let target = Target { guid: schedule.guid.to_string(), kind: "schedule", name };
        self.event(by, &format!("schedule.{verb}"), target, &executable.space, data)
    }

    fn owner(&self, executable: &Executable) -> Result<Owner, ApiError> {
        let pause = self.store.space_pause(&executable.space, self.clock.now())?;
        Ok(Owner::of(executable, pause.as_ref()))
    }

    /// The schedule of a job or call. A schedule of another job or call counts as not found.
    pub(in crate::web) fn schedule(
        &self,
        executable: &Executable,
        schedule: &str,
    ) -> Result<Schedule, ApiError> {
        let guid = Guid::from_outside(schedule).ok_or(ApiError::NotFound)?;
        self.store.schedule(executable.id, guid.as_str())?.ok_or(ApiError::NotFound)
    }

    /// Explains an expression before it is used.
    pub(in crate::web) fn next_fire_times(&self, query: &Query) -> Result<Response, ApiError> {
        #[derive(Serialize)]
        struct Next<'a> {
            expression: &'a str,
            dialect: &'static str,
            description: String,
            fire_times: Vec<String>,
            local_times: Vec<String>,
            warnings: Vec<WarningJson>,
        }
        #[derive(Serialize)]
        struct WarningJson {
            code: &'static str,
            message: String,
        }
        let text = query.get("expression").ok_or_else(|| {
            let expected =
                "?expression= and a cron expression in which each blank is + or %20, as in 0+9+*+*+1-5";
            Violation::new("expression", "missing", "is missing", expected)
        })?;
        let dialect = query.get("dialect").map_or(Ok(self.dialect), |name| self.dialect_named(name))?;
        let timezone = query.get("timezone").map(zone_named).transpose()?;
        let timezone = timezone.or_else(|| self.default_zone_for(text));
        let reading =
            Reading { dialect, hash_key: HASH_KEY, timezone: timezone.as_ref(), is_of_schedule: false };
        let expression = Expression::parse(text, &reading).map_err(|err| Violation::of_expression(&err))?;
        let after = match query.get("after") {
            None => self.clock.now(),
            // An unencoded `+` in an offset has become a space.
            Some(text) => Timestamp::parse(&text.replace(' ', "+")).ok_or_else(|| {
                let detail = "is no time in the form of RFC 3339, or beyond the years 1678 to 2261";
                Violation::new("after", "time", detail, "a time like 2026-03-01T00:00:00Z")
            })?,
        };
        let count = query.get("count").map(|text| whole_number(text, "count", (1, NEXT_COUNT_MAX)));
        let count = count.transpose()?.unwrap_or(NEXT_COUNT);
        let explanation = cron::explain(text, &reading, after.seconds(), None)
            .map_err(|err| Violation::of_expression(&err))?;
        let warnings = explanation.warnings.into_iter().chain(explanation.later_warnings);
        let calendar = Calendar::new(expression, None, None);
        let times: Vec<Timestamp> = calendar.upcoming(after, count).collect();
        let next = Next {
            expression: text,
            dialect: dialect.name(),
            description: match explanation.zone {
                Some(zone) => format!("{}, {zone}", explanation.description),
                None => explanation.description,
            },
            fire_times: times.iter().map(Timestamp::to_string).collect(),
            local_times: times.iter().map(|time| local(calendar.expression(), *time)).collect(),
            warnings: warnings.map(|it| WarningJson { code: it.code, message: it.message }).collect(),
        };
        Ok(respond_with(200, "application/json", to_json(&next)?))
    }

    /// The zone of the setting `DEFAULT_TIMEZONE`, for an expression that names none.
    pub(super) fn default_zone_for(&self, expression: &str) -> Option<Zone> {
        if cron::names_zone(expression) {
            return None;
        }
        self.default_timezone.as_deref().and_then(Zone::named)
    }

    /// The dialect with this name; weekdays are numbered as in the setting.
    pub(super) fn dialect_named(&self, name: &str) -> Result<Dialect, ApiError> {
        let named = Dialect::named(name, self.weekdays);
        Ok(named.ok_or_else(|| Violation::new("dialect", "unknown", "is not known", "classic or ocf2"))?)
    }
}

pub(super) fn zone_named(name: &str) -> Result<Zone, ApiError> {
    let expected = "a name of the IANA time zone database, in its upper and lower case, like Europe/Berlin";
    Ok(Zone::named(name).ok_or_else(|| Violation::new("timezone", "zone", "is no time zone", expected))?)
}
