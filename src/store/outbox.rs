//! The outbox of notifications. The transaction of a change also writes the deliveries that report it; the
//! processes that send deliveries claim them here.
//!
//! Invariant: each notification reports an event (a job or call begins to fail, is overdue, has recovered)
//! once. For one job or call, no older event is sent after a newer one. At most one process sends for a
//! notification at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::notifications::{Delivery, delivery_of, drop_waiting, json_of, notification_of};
use super::session::{Row, Session};
use super::statement::{Statement, json_array, sql, sqlite_sql, values};
use super::{Engine, Store, StoreError};
use crate::model::{
    EndState, Event, Fence, Format, Guid, Id, Kind, Notification, Outcome, Reason, Timestamp,
};

/// How long a failure waits for others, so that simultaneous failures become one message.
const GROUP_WAIT: Duration = Duration::from_secs(5);
/// The least time between two deliveries of a notification.
const SPACING: Duration = Duration::from_secs(1);
/// The most waiting deliveries that are sent one by one. More are folded into a summary.
const SINGLE_MAX: u64 = 5;
/// How many of its deliveries a summary contains; the others are only counted.
const SUMMARY_MEMBERS_MAX: u32 = 20;
/// The most active alerts, and the most ended ones, in one request to an Alertmanager.
const ALERTS_MAX: u32 = 5000;
/// How often the active alerts are repeated to an Alertmanager.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);
/// The delays before the retries of a delivery.
const RETRY_WAITS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];
/// The most ended deliveries that are kept for a notification.
const KEPT_MAX: u32 = 1000;

/// The notifications for which to claim deliveries.
#[derive(Debug, Clone, Copy)]
pub enum DeliveryLane<'a> {
    /// Only these.
    Of(&'a BTreeSet<Id>),
    /// All notifications but these.
    AllBut(&'a BTreeSet<Id>),
}

/// The field of a recovery's data that lists the events that have ended.
pub const ENDED_EVENTS: &str = "ended_events";

/// What to send for one notification. While a process holds it, no other process sends for that notification.
#[derive(Debug, Clone)]
pub struct Sending {
    /// The lease under which this process claimed it.
    pub fence: Fence,
    /// The notification to send for.
    pub notification: Notification,
    /// One delivery; for an Alertmanager all waiting ones, perhaps none.
    pub deliveries: Vec<Delivery>,
    /// The active alerts, for an Alertmanager.
    pub alerts: Vec<ActiveAlert>,
    /// The contents of a summary.
    pub summary: Option<Digest>,
}

/// An active alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveAlert {
    /// `failed` or `overdue`.
    pub event: String,
    /// When it began.
    pub since: Timestamp,
    /// Its contents.
    pub data: Json,
}

/// The contents of a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The number of deliveries by event.
    pub counts: BTreeMap<String, u64>,
    /// The oldest deliveries: event, contents, and creation time.
    pub first: Vec<(String, Json, Timestamp)>,
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// The receiver accepted it.
    Delivered(u16),
    /// The receiver did not accept it: the status, if there was a response, and the error.
    Failed(Option<u16>, String),
    /// The receiver is gone for good (410).
    Gone,
}

impl Store {
    /// On SQLite, when the service starts: makes deliveries due again that the previous process was sending.
    pub fn release_notifications(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => {
                self.write_one(|tx| tx.execute(sqlite_sql!("notifications/release_all"), values! {}))?;
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Queues a test delivery, which supersedes one that is still waiting. `None`: the notification was
    /// deleted.
    pub fn test_notification(
        &self,
        notification: &Notification,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let data = json!({
            "message": format!("a test of the notification {:?}", notification.definition.name),
            "space_guid": notification.space.as_str(),
        });
        self.write(|tx| {
            let values = values! { "guid": &notification.guid };
            if tx.first(sql!("notifications/get"), values, |row| row.get::<Id>("id"))?.is_none() {
                return Ok(None);
            }
            let values = values! { "notification_id": notification.id, "now": now };
            tx.execute(sql!("deliveries/supersede_tests"), values)?;
            let id = insert_delivery(tx, notification.id, "test", &data, now)?;
            tx.first(sql!("deliveries/get"), values! { "id": id }, delivery_of)
        })
    }

    /// Whether [`Store::tell_overdue`], [`Store::remind`] or [`Store::claim_deliveries`] has work.
    pub fn has_notifier_work(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.read_at_once(|session| {
            session.one(sql!("notifications/is_work_due"), values! { "now": now }, |row| row.get("is_due"))
        })
    }

    /// Reports a batch of overdue jobs and calls. Returns their number.
    pub fn tell_overdue(&self, limit: u32, now: Timestamp) -> Result<usize, StoreError> {
        self.write(|tx| {
            let rows = tx.rows(sql!("streaks/overdue"), values! { "now": now, "limit": limit }, |row| {
                let since = row.get::<Option<Timestamp>>("expected_since")?.unwrap_or(now);
                let streak = Streak::of(row)?;
                Ok((row.get::<Id>("executable_id")?, since, streak, Subject::of(row)?))
            })?;
            let spaces = rows.iter().map(|(.., subject)| &subject.space);
            let notifications = notifications_of(tx, spaces)?;
            for (executable, since, streak, subject) in &rows {
                tx.execute(sql!("streaks/overdue_told"), values! { "executable_id": *executable })?;
                let message = format!(
                    "no success since {since}, expected within {} s",
                    subject.expected_within.unwrap_or_default()
                );
                let data = subject.data(Json::Null, &message, streak);
                let told: Vec<&Notification> = about(&notifications, subject, Event::Overdue).collect();
                let begun = begin_alerts(tx, &told, *executable, (Event::Overdue, since), &data, now)?;
                tell(tx, &begun, *executable, "overdue", &data, (now, now))?;
            }
            Ok(rows.len())
        })
    }

    /// Sends reminders of a batch of active alerts. Returns their number. A notification that no longer
    /// covers the job or call, or no longer reports the event, sends none.
    pub fn remind(&self, limit: u32, now: Timestamp) -> Result<usize, StoreError> {
        self.write(|tx| {
            let rows =
                tx.rows(sql!("alerts/to_remind_of"), values! { "now": now, "limit": limit }, Reminder::of)?;
            let notifications = notifications_of(tx, rows.iter().map(|it| &it.subject.space))?;
            let sets: Vec<_> = rows
                .iter()
                .map(|it| {
                    values! {
                        "notification_id": it.notification, "executable_id": it.executable,
                        "event": &it.event,
                        "remind_at": it.after.map(|seconds| after_seconds(now, seconds)),
                    }
                    .to_vec()
                })
                .collect();
            tx.execute_each(sql!("alerts/set_reminder"), &sets)?;
            for it in &rows {
                let is_told = notifications.iter().any(|notification| {
                    notification.id == it.notification
                        && notification.definition.format != Format::Alertmanager
                        && is_about_alert(notification, &it.subject, &it.event)
                });
                if is_told {
                    let data = it.data();
                    tell(tx, &[it.notification], it.executable, "reminder", &data, (now, now))?;
                }
            }
            Ok(rows.len())
        })
    }

    /// Claims what is due for one notification for which no process is sending. `None`: there is none, or its
    /// deliveries have been superseded.
    ///
    /// One at a time, because a claim may fold thousands of deliveries, and other writes wait for it.
    pub fn claim_deliveries(
        &self,
        lane: DeliveryLane<'_>,
        now: Timestamp,
    ) -> Result<Option<Sending>, StoreError> {
        let (listed, is_listed) = match lane {
            DeliveryLane::Of(ids) => (ids, true),
            DeliveryLane::AllBut(ids) => (ids, false),
        };
        let listed = json_array(listed.iter())?;
        let fence = self.fence()?;
        self.write(|tx| {
            let free_latest = now.saturating_add(SPACING * 2);
            let values = values! {
                "now": now, "free_latest": free_latest, "fence": fence, "listed": &listed,
                "is_listed": is_listed,
            };
            match tx.first(sql!("notifications/claimable"), values, notification_of)? {
                Some(notification) => claim(tx, notification, fence, now),
                None => Ok(None),
            }
        })
    }

    /// Records the result of an attempt, and when the next one is due. `false`: another process has taken
    /// over, or the notification was deleted.
    pub fn record_try(&self, sending: &Sending, tried: &Tried, now: Timestamp) -> Result<bool, StoreError> {
        let id = sending.notification.id;
        self.write(|tx| {
            let repeat_at = now.saturating_add(REPEAT_INTERVAL);
            let values = values! { "id": id, "fence": sending.fence, "repeat_at": repeat_at };
            if tx.execute(sql!("notifications/release"), values)? == 0 {
                return Ok(false);
            }
            for delivery in &sending.deliveries {
                record(tx, delivery, tried, now)?;
            }
            if *tried == Tried::Gone {
                let updated_at = now.next_version(sending.notification.updated_at);
                let reason = "the receiver answered 410 Gone";
                let values = values! { "id": id, "reason": reason, "updated_at": updated_at };
                tx.execute(sql!("notifications/disable"), values)?;
                drop_waiting(tx, id, now)?;
            }
            let values = values! { "notification_id": id, "keep": KEPT_MAX };
            tx.execute(sql!("deliveries/purge_beyond"), values)?;
            Ok(true)
        })
    }
}

/// After the clock was set back: shortens waits that are longer than possible at `now`.
pub(super) fn cut_waits(tx: &Session<'_>, now: Timestamp) -> Result<(), StoreError> {
    for (attempts, wait) in std::iter::once(GROUP_WAIT).chain(RETRY_WAITS).enumerate() {
        let values = values! {
            "attempts": u64::try_from(attempts).unwrap_or(u64::MAX), "latest": now.saturating_add(wait),
        };
        tx.execute(sql!("deliveries/cut_wait"), values)?;
    }
    let values = values! { "latest": now.saturating_add(REPEAT_INTERVAL) };
    tx.execute(sql!("notifications/cut_waits"), values)?;
    tx.execute(sql!("alerts/cut_waits"), values! { "now": now })?;
    tx.execute(sql!("streaks/cut_waits"), values! { "now": now })?;
    Ok(())
}

/// An active alert whose reminder is due.
struct Reminder {
    notification: Id,
    executable: Id,
    event: String,
    /// What was said when it began.
    begun_with: Json,
    /// Until the next one, in seconds; `None`: there is none.
    after: Option<u32>,
    subject: Subject,
    streak: Streak,
}

impl Reminder {
    fn of(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            notification: row.get("notification_id")?,
            executable: row.get("executable_id")?,
            event: row.get("event")?,
            begun_with: json_of(row)?,
            after: row.get("remind_after_seconds")?,
            subject: Subject::of(row)?,
            streak: Streak::of_subject(row)?,
        })
    }

    /// What was said when it began, with the number of failures up to now.
    fn data(&self) -> Json {
        let mut data = self.begun_with.clone();
        data["event"] = json!(self.event);
        if 0 < self.streak.failures {
            data["failures"] = json!(self.streak.failures);
            data["failing_since"] = json!(self.streak.failing_since.map(|since| since.to_string()));
        }
        data
    }
}

/// The job or call that a delivery is about.
struct Subject {
    kind: Kind,
    guid: Guid,
    name: String,
    app: Guid,
    space: Guid,
    labels: BTreeMap<String, String>,
    expected_within: Option<u32>,
}

impl Subject {
    fn of(row: &Row<'_>) -> Result<Self, StoreError> {
        let labels: Option<String> = row.get("labels")?;
        let labels = labels.map_or_else(|| Ok(BTreeMap::new()), |json| serde_json::from_str(&json));
        Ok(Self {
            kind: row.get("kind")?,
            guid: row.get("executable_guid")?,
            name: row.get("name")?,
            app: row.get("app_guid")?,
            space: row.get("space_guid")?,
            labels: labels.map_err(|err| StoreError::Bug(format!("labels: {err}")))?,
            expected_within: row.get("expect_success_within_seconds")?,
        })
    }

    /// The contents of a delivery about it. They include no command and no secret.
    fn data(&self, execution: Json, message: &str, streak: &Streak) -> Json {
        json!({
            "execution": execution,
            self.kind.as_str(): { "guid": self.guid.as_str(), "name": self.name },
            "app_guid": self.app.as_str(),
            "space_guid": self.space.as_str(),
            "message": message,
            "failures": streak.failures,
            "failing_since": streak.failing_since.map(|since| since.to_string()),
        })
    }
}

/// How often a job or call has failed in a row, and by when it should succeed.
#[derive(Debug, Clone, Default)]
struct Streak {
    failures: u64,
    failing_since: Option<Timestamp>,
    last_execution: Id,
    expected_since: Option<Timestamp>,
    success_due_at: Option<Timestamp>,
}

impl Streak {
    fn of(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            failures: row.get("failures")?,
            failing_since: row.get("failing_since")?,
            last_execution: 0,
            expected_since: row.get("expected_since")?,
            success_due_at: row.get("success_due_at")?,
        })
    }

    /// Its failures, of a job or call that perhaps has no streak.
    fn of_subject(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            failures: row.get::<Option<u64>>("failures")?.unwrap_or_default(),
            failing_since: row.get("failing_since")?,
            ..Self::default()
        })
    }
}

/// An ended execution that counts for alerts: its space has a notification, or its job or call is expected to
/// succeed.
struct Ended {
    execution: Id,
    executable: Id,
    end_time: Timestamp,
    /// The recorded message. It differs from that of the outcome if the execution was cancelled.
    message: String,
    json: Json,
    subject: Subject,
}

impl Ended {
    fn of(row: &Row<'_>, outcomes: &HashMap<Id, &Outcome>) -> Result<Option<Self>, StoreError> {
        let execution = row.get("id")?;
        let Some(outcome) = outcomes.get(&execution) else { return Ok(None) };
        let time = |column| -> Result<Option<String>, StoreError> {
            Ok(row.get::<Option<Timestamp>>(column)?.map(|time| time.to_string()))
        };
        let end_time = row.get::<Option<Timestamp>>("end_time")?.unwrap_or(outcome.end_time);
        let json = json!({
            "guid": row.get::<String>("guid")?,
            "state": outcome.state.as_str(),
            "schedule_guid": row.get::<Option<String>>("schedule_guid")?,
            "scheduled_time": time("scheduled_time")?,
            "execution_start_time": time("start_time")?,
            "execution_end_time": end_time.to_string(),
        });
        if !counts(row.get::<Option<String>>("reason")?.as_deref()) {
            return Ok(None);
        }
        Ok(Some(Self {
            execution,
            executable: row.get("executable_id")?,
            end_time,
            message: row.get("message")?,
            json,
            subject: Subject::of(row)?,
        }))
    }
}

/// Reports executions that have just ended, in the transaction that ends them. If none of them counts for
/// alerts, this costs one query.
pub(super) fn tell_outcomes(tx: &Session<'_>, ended: &[(Id, &Outcome)]) -> Result<(), StoreError> {
    let outcomes: HashMap<Id, &Outcome> = ended.iter().copied().collect();
    if outcomes.is_empty() {
        return Ok(());
    }
    let ids = json_array(outcomes.keys())?;
    let watched: Vec<Ended> = tx
        .rows(sql!("streaks/watched"), values! { "ids": &ids }, |row| Ended::of(row, &outcomes))?
        .into_iter()
        .flatten()
        .collect();
    if watched.is_empty() {
        return Ok(());
    }
    let notifications = notifications_of(tx, watched.iter().map(|it| &it.subject.space))?;
    let executables: BTreeSet<Id> = watched.iter().map(|it| it.executable).collect();
    let executables = json_array(executables.iter())?;
    let mut streaks = locked_streaks(tx, &executables)?;
    let mut alerts = alerts_of(tx, &executables)?;
    for it in &watched {
        let Some(outcome) = outcomes.get(&it.execution) else { continue };
        let streak = streaks.entry(it.executable).or_default();
        let alerts = alerts.entry(it.executable).or_default();
        match outcome.state {
            EndState::Failed => failed(tx, it, outcome, streak, alerts, &notifications)?,
            EndState::Succeeded => succeeded(tx, it, outcome, streak, alerts, &notifications)?,
        }
    }
    let sets: Vec<_> = streaks
        .iter()
        .map(|(executable, streak)| {
            values! {
                "executable_id": *executable, "failures": streak.failures,
                "failing_since": streak.failing_since, "last_execution_id": streak.last_execution,
                "expected_since": streak.expected_since, "success_due_at": streak.success_due_at,
            }
            .to_vec()
        })
        .collect();
    tx.execute_each(sql!("streaks/set"), &sets)?;
    Ok(())
}

/// Whether an outcome counts for or against its job or call. Cancellations do not, and neither do calls that
/// a stop of the service interrupted: deploying the scheduler must not raise alerts.
fn counts(reason: Option<&str>) -> bool {
    let silent = [Reason::Cancelled, Reason::Replaced, Reason::Interrupted];
    reason.is_none_or(|reason| silent.iter().all(|silent| silent.as_str() != reason))
}

/// An alert: its notification, its event, and whether it was reported.
type Alert = (Id, String, bool);

fn failed(
    tx: &Session<'_>,
    it: &Ended,
    outcome: &Outcome,
    streak: &mut Streak,
    alerts: &mut Vec<Alert>,
    notifications: &[Notification],
) -> Result<(), StoreError> {
    if it.execution < streak.last_execution {
        return Ok(());
    }
    streak.last_execution = it.execution;
    streak.failures += 1;
    let since = *streak.failing_since.get_or_insert(it.end_time);
    let data = it.subject.data(it.json.clone(), &it.message, streak);
    let known: BTreeSet<Id> =
        alerts.iter().filter(|(_, event, _)| event == "failed").map(|(id, ..)| *id).collect();
    let told: Vec<&Notification> = about(notifications, &it.subject, Event::Failed)
        .filter(|notification| !known.contains(&notification.id))
        .filter(|notification| u64::from(notification.definition.after_failures) <= streak.failures)
        .collect();
    let now = outcome.end_time;
    let begun = begin_alerts(tx, &told, it.executable, (Event::Failed, &since), &data, now)?;
    let times = (now, now.saturating_add(GROUP_WAIT));
    let unrecovered = tell(tx, &begun, it.executable, "failed", &data, times)?;
    alerts.extend(begun.into_iter().map(|id| (id, "failed".to_owned(), unrecovered.contains(&id))));
    Ok(())
}

fn succeeded(
    tx: &Session<'_>,
    it: &Ended,
    outcome: &Outcome,
    streak: &mut Streak,
    alerts: &mut Vec<Alert>,
    notifications: &[Notification],
) -> Result<(), StoreError> {
    if let Some(within) = it.subject.expected_within
        && streak.expected_since.is_some_and(|since| since < it.end_time)
    {
        streak.expected_since = Some(it.end_time);
        streak.success_due_at = Some(after_seconds(it.end_time, within));
    }
    if it.execution < streak.last_execution {
        // A newer execution has already ended, so this success does not end a failure. But the job or call is
        // no longer overdue.
        let data = it.subject.data(it.json.clone(), &it.message, streak);
        return end_overdue(tx, it.executable, alerts, &data, notifications, outcome.end_time);
    }
    streak.last_execution = it.execution;
    let data = it.subject.data(it.json.clone(), &it.message, streak);
    streak.failures = 0;
    streak.failing_since = None;
    let now = outcome.end_time;
    let over = end_alerts(tx, it.executable, alerts)?;
    let mut ends = Ends::default();
    let mut succeeded = Vec::new();
    for notification in notifications {
        let ended = over.get(&notification.id);
        match ended {
            Some(ended) if ended.recovers_for(notification) => ends.recovered(notification, ended),
            _ if is_about(notification, &it.subject, Event::Succeeded)
                && notification.definition.format != Format::Alertmanager =>
            {
                succeeded.push(notification.id);
            }
            Some(_) => ends.silent.push(notification.id),
            None => {}
        }
    }
    ends.tell(tx, it.executable, &data, now)?;
    tell(tx, &succeeded, it.executable, "succeeded", &data, (now, now))?;
    Ok(())
}

/// Ends the `overdue` alert, but not the `failed` one. Reports a recovery only if no other alert is active;
/// an Alertmanager is sent the end of each alert.
fn end_overdue(
    tx: &Session<'_>,
    executable: Id,
    alerts: &mut Vec<Alert>,
    data: &Json,
    notifications: &[Notification],
    now: Timestamp,
) -> Result<(), StoreError> {
    let (overdue, lasting): (Vec<Alert>, Vec<Alert>) =
        alerts.drain(..).partition(|(_, event, _)| event == Event::Overdue.as_str());
    *alerts = lasting;
    if overdue.is_empty() {
        return Ok(());
    }
    tx.execute(sql!("alerts/delete_overdue"), values! { "executable_id": executable })?;
    let over = EndedAlerts::of(overdue);
    let mut ends = Ends::default();
    for notification in notifications {
        let fails_on = alerts.iter().any(|(id, ..)| *id == notification.id)
            && notification.definition.format != Format::Alertmanager;
        match over.get(&notification.id) {
            Some(ended) if !fails_on => ends.add(notification, ended),
            _ => {}
        }
    }
    ends.tell(tx, executable, data, now)
}

/// Ends the `overdue` alert of a job or call whose `expect_success_within_seconds` was changed, in the
/// transaction of that change. The time starts again, if there still is one.
pub(super) fn tell_expectation(tx: &Session<'_>, executable: Id, now: Timestamp) -> Result<(), StoreError> {
    let ids = json_array(std::iter::once(executable))?;
    let mut alerts = alerts_of(tx, &ids)?.remove(&executable).unwrap_or_default();
    if !alerts.iter().any(|(_, event, _)| event == Event::Overdue.as_str()) {
        return Ok(());
    }
    let (subject, streak) = subject_of(tx, executable)?;
    let message = match subject.expected_within {
        None => "no success is expected any more".to_owned(),
        Some(seconds) => format!("a success is expected within {seconds} s from now"),
    };
    let data = subject.data(Json::Null, &message, &streak);
    let notifications = notifications_of(tx, std::iter::once(&subject.space))?;
    end_overdue(tx, executable, &mut alerts, &data, &notifications, now)
}

/// Ends the alerts of a deleted job or call, in the transaction of the deletion, and reports it as recovered.
pub(super) fn tell_deleted(tx: &Session<'_>, executable: Id, now: Timestamp) -> Result<(), StoreError> {
    let ids = json_array(std::iter::once(executable))?;
    let mut alerts = alerts_of(tx, &ids)?.remove(&executable).unwrap_or_default();
    if !alerts.is_empty() {
        let (subject, streak) = subject_of(tx, executable)?;
        let mut data = subject.data(Json::Null, "it was deleted", &streak);
        data["deleted"] = json!(true);
        let over = end_alerts(tx, executable, &mut alerts)?;
        let mut ends = Ends::default();
        for notification in notifications_of(tx, std::iter::once(&subject.space))? {
            if let Some(ended) = over.get(&notification.id) {
                ends.add(&notification, ended);
            }
        }
        ends.tell(tx, executable, &data, now)?;
    }
    tx.execute(sql!("streaks/delete"), values! { "executable_id": executable })?;
    Ok(())
}

/// A job or call with its streak.
fn subject_of(tx: &Session<'_>, executable: Id) -> Result<(Subject, Streak), StoreError> {
    tx.one(sql!("streaks/subject"), values! { "executable_id": executable }, |row| {
        Ok((Subject::of(row)?, Streak::of_subject(row)?))
    })
}

/// The alerts of a job or call that have ended, for one notification.
#[derive(Default)]
struct EndedAlerts {
    /// Whether any of them was reported.
    is_told: bool,
    /// `failed`, `overdue`, or both.
    events: BTreeSet<String>,
}

impl EndedAlerts {
    /// Groups alerts by notification.
    fn of(alerts: Vec<Alert>) -> HashMap<Id, Self> {
        let mut over: HashMap<Id, Self> = HashMap::new();
        for (notification, event, is_told) in alerts {
            let of_this = over.entry(notification).or_default();
            of_this.is_told |= is_told;
            of_this.events.insert(event);
        }
        over
    }

    /// Whether the recovery is reported: only to receivers to which an alert was.
    fn recovers_for(&self, notification: &Notification) -> bool {
        self.is_told && notification.definition.tells(Event::Recovered)
    }
}

/// The notifications of alerts that have ended, of one job or call.
#[derive(Default)]
struct Ends {
    /// Those that report a recovery, by the events that have ended.
    recovered: BTreeMap<BTreeSet<String>, Vec<Id>>,
    /// Those that report nothing, and drop what waits.
    silent: Vec<Id>,
}

impl Ends {
    fn add(&mut self, notification: &Notification, ended: &EndedAlerts) {
        match ended.recovers_for(notification) {
            true => self.recovered(notification, ended),
            false => self.silent.push(notification.id),
        }
    }

    fn recovered(&mut self, notification: &Notification, ended: &EndedAlerts) {
        self.recovered.entry(ended.events.clone()).or_default().push(notification.id);
    }

    fn tell(self, tx: &Session<'_>, executable: Id, data: &Json, now: Timestamp) -> Result<(), StoreError> {
        for (events, notifications) in self.recovered {
            // Only the format for Alertmanager uses them.
            let mut data = data.clone();
            data[ENDED_EVENTS] = json!(events);
            tell(tx, &notifications, executable, "recovered", &data, (now, now))?;
        }
        supersede(tx, &self.silent, executable, now)?;
        Ok(())
    }
}

/// Ends all alerts of a job or call.
fn end_alerts(
    tx: &Session<'_>,
    executable: Id,
    alerts: &mut Vec<Alert>,
) -> Result<HashMap<Id, EndedAlerts>, StoreError> {
    if alerts.is_empty() {
        return Ok(HashMap::new());
    }
    tx.execute(sql!("alerts/delete_of_executable"), values! { "executable_id": executable })?;
    let untold: Vec<Id> = alerts.iter().filter(|(_, _, is_told)| !is_told).map(|(id, ..)| *id).collect();
    if !untold.is_empty() {
        // A recovery from an earlier failure is still waiting. This one replaces it, so it must be sent.
        let waiting = ids_of(tx, sql!("deliveries/waiting_recoveries"), &untold, executable)?;
        for (notification, _, is_told) in alerts.iter_mut() {
            *is_told |= waiting.contains(notification);
        }
    }
    Ok(EndedAlerts::of(std::mem::take(alerts)))
}

fn notifications_of<'a>(
    tx: &Session<'_>,
    spaces: impl Iterator<Item = &'a Guid>,
) -> Result<Vec<Notification>, StoreError> {
    let spaces: BTreeSet<&str> = spaces.map(Guid::as_str).collect();
    if spaces.is_empty() {
        return Ok(Vec::new());
    }
    let spaces = json_array(spaces.iter())?;
    tx.rows(sql!("notifications/of_spaces"), values! { "space_guids": &spaces }, notification_of)
}

fn locked_streaks(tx: &Session<'_>, executables: &str) -> Result<BTreeMap<Id, Streak>, StoreError> {
    let values = values! { "ids": executables };
    tx.execute(sql!("streaks/ensure"), values)?;
    let rows = tx.rows(sql!("streaks/get_many"), values, |row| {
        let streak = Streak { last_execution: row.get("last_execution_id")?, ..Streak::of(row)? };
        Ok((row.get::<Id>("executable_id")?, streak))
    })?;
    Ok(rows.into_iter().collect())
}

fn alerts_of(tx: &Session<'_>, executables: &str) -> Result<HashMap<Id, Vec<Alert>>, StoreError> {
    let rows = tx.rows(sql!("alerts/of_executables"), values! { "ids": executables }, |row| {
        let alert = (row.get("notification_id")?, row.get("event")?, row.get("is_told")?);
        Ok((row.get::<Id>("executable_id")?, alert))
    })?;
    let mut alerts: HashMap<Id, Vec<Alert>> = HashMap::new();
    for (executable, alert) in rows {
        alerts.entry(executable).or_default().push(alert);
    }
    Ok(alerts)
}

fn about<'a>(
    notifications: &'a [Notification],
    subject: &'a Subject,
    event: Event,
) -> impl Iterator<Item = &'a Notification> {
    notifications.iter().filter(move |notification| is_about(notification, subject, event))
}

fn is_about(notification: &Notification, subject: &Subject, event: Event) -> bool {
    notification.space == subject.space
        && notification.definition.tells(event)
        && notification.definition.is_about(subject.kind, &subject.guid, &subject.labels)
}

/// Whether a notification still tells of an active alert. It may have been changed since the alert began.
fn is_about_alert(notification: &Notification, subject: &Subject, event: &str) -> bool {
    Event::named(event).is_some_and(|event| is_about(notification, subject, event))
}

/// Returns the notifications in which the alert was not active yet.
fn begin_alerts(
    tx: &Session<'_>,
    notifications: &[&Notification],
    executable: Id,
    (event, since): (Event, &Timestamp),
    data: &Json,
    now: Timestamp,
) -> Result<Vec<Id>, StoreError> {
    if notifications.is_empty() {
        return Ok(Vec::new());
    }
    let data = data.to_string();
    let notifications = json_array(notifications.iter().map(|notification| {
        let remind_after = notification.definition.remind_after_seconds;
        let remind_at = remind_after.map(|seconds| after_seconds(now, seconds).nanos());
        json!({ "id": notification.id, "remind_at": remind_at })
    }))?;
    let values = values! {
        "notifications": &notifications, "executable_id": executable, "event": event.as_str(),
        "since": *since, "data": &data,
    };
    tx.rows(sql!("alerts/insert"), values, |row| row.get("notification_id"))
}

/// Adds deliveries about a job or call, which supersede those that wait. `times`: now, and when they are due.
/// Returns the result of [`supersede`].
///
/// A space may have 50 notifications and thousands of failures at once, so the number of statements does not
/// depend on that of notifications.
fn tell(
    tx: &Session<'_>,
    notifications: &[Id],
    executable: Id,
    event: &str,
    data: &Json,
    times: (Timestamp, Timestamp),
) -> Result<BTreeSet<Id>, StoreError> {
    if notifications.is_empty() {
        return Ok(BTreeSet::new());
    }
    let unrecovered = supersede(tx, notifications, executable, times.0)?;
    let (now, due_at) = times;
    let data = data.to_string();
    let notifications = notifications.iter().map(|id| json!({ "id": id, "guid": Guid::random().as_str() }));
    let notifications = json_array(notifications)?;
    let values = values! {
        "notifications": &notifications, "executable_id": executable, "event": event, "data": &data,
        "now": now, "due_at": due_at,
    };
    tx.execute(sql!("deliveries/insert_about"), values)?;
    Ok(unrecovered)
}

/// Supersedes the waiting deliveries about a job or call. Returns the notifications in which one of them was
/// a recovery: their receivers still believe that an earlier alert is active, so the current ones now count
/// as reported.
fn supersede(
    tx: &Session<'_>,
    notifications: &[Id],
    executable: Id,
    now: Timestamp,
) -> Result<BTreeSet<Id>, StoreError> {
    if notifications.is_empty() {
        return Ok(BTreeSet::new());
    }
    let open = ids_of(tx, sql!("deliveries/open_of_executable"), notifications, executable)?;
    if open.is_empty() {
        return Ok(open);
    }
    let open: Vec<Id> = open.into_iter().collect();
    let unrecovered = ids_of(tx, sql!("alerts/mark_unrecovered"), &open, executable)?;
    let open = json_array(open.iter())?;
    let values = values! { "notification_ids": &open, "executable_id": executable };
    tx.execute(sql!("deliveries/supersede_untried"), values)?;
    let values = values! { "notification_ids": &open, "executable_id": executable, "now": now };
    tx.execute(sql!("deliveries/supersede"), values)?;
    Ok(unrecovered)
}

/// The notifications that a statement about a job or call returns.
fn ids_of(
    tx: &Session<'_>,
    statement: &'static Statement,
    notifications: &[Id],
    executable: Id,
) -> Result<BTreeSet<Id>, StoreError> {
    let notifications = json_array(notifications.iter())?;
    let values = values! { "notification_ids": &notifications, "executable_id": executable };
    Ok(tx.rows(statement, values, |row| row.get("notification_id"))?.into_iter().collect())
}

/// Writes a test or a summary.
fn insert_delivery(
    tx: &Session<'_>,
    notification: Id,
    event: &str,
    data: &Json,
    now: Timestamp,
) -> Result<Id, StoreError> {
    let (guid, data) = (Guid::random(), data.to_string());
    let values = values! {
        "guid": &guid, "notification_id": notification, "event": event, "data": &data, "now": now,
        "due_at": now,
    };
    tx.one(sql!("deliveries/insert"), values, |row| row.get("id"))
}

/// Claims what is due for a notification, whose row is locked.
fn claim(
    tx: &Session<'_>,
    notification: Notification,
    fence: Fence,
    now: Timestamp,
) -> Result<Option<Sending>, StoreError> {
    let id = notification.id;
    let of_this = values! { "notification_id": id };
    // No process is sending for it, so deliveries that are still marked as being sent were cut off.
    tx.execute(sql!("deliveries/recover_cut_off"), of_this)?;
    let is_alertmanager = notification.definition.format == Format::Alertmanager;
    let deliveries = match is_alertmanager {
        true => {
            let values = values! { "notification_id": id, "limit": ALERTS_MAX };
            tx.rows(sql!("deliveries/waiting"), values, delivery_of)?
        }
        false => next_delivery(tx, id, now)?,
    };
    let active = match is_alertmanager && notification.definition.enabled {
        true => {
            let values = values! { "notification_id": id, "limit": ALERTS_MAX };
            tx.rows(sql!("alerts/active"), values, |row| {
                let (event, since) = (row.get("event")?, row.get("since")?);
                Ok((ActiveAlert { event, since, data: json_of(row)? }, Subject::of(row)?))
            })?
        }
        false => Vec::new(),
    };
    let repeat_at = (!active.is_empty()).then(|| now.saturating_add(REPEAT_INTERVAL));
    // Alertmanager ends what is not repeated.
    let is_repeated =
        |(alert, subject): &(ActiveAlert, Subject)| is_about_alert(&notification, subject, &alert.event);
    let alerts: Vec<ActiveAlert> = active.into_iter().filter(is_repeated).map(|(alert, _)| alert).collect();
    let has_work = !deliveries.is_empty() || !alerts.is_empty();
    let (owner, free_at) = match has_work {
        true => (Some(fence), now.saturating_add(SPACING)),
        false => (None, now),
    };
    let values = values! { "id": id, "fence": owner, "free_at": free_at, "repeat_at": repeat_at };
    tx.execute(sql!("notifications/own"), values)?;
    if !has_work {
        return Ok(None);
    }
    for delivery in &deliveries {
        tx.execute(sql!("deliveries/begin"), values! { "id": delivery.id })?;
    }
    let summary = match deliveries.as_slice() {
        [delivery] if delivery.event == "summary" => Some(summary_of(tx, delivery.id)?),
        _ => None,
    };
    let first = deliveries.first().map_or(0, |delivery| delivery.id);
    let values = values! { "notification_id": id, "delivery_id": first };
    tx.execute(sql!("alerts/mark_told"), values)?;
    Ok(Some(Sending { fence, notification, deliveries, alerts, summary }))
}

/// The next due delivery: the oldest one, or a new summary of all waiting ones.
fn next_delivery(tx: &Session<'_>, notification: Id, now: Timestamp) -> Result<Vec<Delivery>, StoreError> {
    loop {
        let values = values! { "notification_id": notification, "now": now };
        let Some(first) = tx.first(sql!("deliveries/first_due"), values, delivery_of)? else {
            return Ok(Vec::new());
        };
        let waiting: u64 = tx.one(sql!("deliveries/count_waiting"), values, |row| row.get("total"))?;
        if SINGLE_MAX < waiting && first.event != "test" && !is_cut_off(tx, first.id)? {
            return fold(tx, notification, now);
        }
        if first.event != "summary" || !summary_of(tx, first.id)?.counts.is_empty() {
            return Ok(vec![first]);
        }
        // All deliveries in the summary were superseded.
        tx.execute(sql!("deliveries/begin"), values! { "id": first.id })?;
        end(tx, &first, "SUPERSEDED", None, None, now)?;
    }
}

fn is_cut_off(tx: &Session<'_>, delivery: Id) -> Result<bool, StoreError> {
    tx.one(sql!("deliveries/get"), values! { "id": delivery }, |row| row.get("is_cut_off"))
}

/// Folds waiting deliveries into a new summary. It absorbs summaries that wait for a retry only if there are
/// more than [`SINGLE_MAX`] of them. Absorbing them every time would move the members of all earlier
/// summaries with each attempt, which are thousands if a receiver hangs while many jobs fail.
fn fold(tx: &Session<'_>, notification: Id, now: Timestamp) -> Result<Vec<Delivery>, StoreError> {
    let values = values! { "notification_id": notification };
    let summaries: u64 =
        tx.one(sql!("deliveries/count_waiting_summaries"), values, |row| row.get("total"))?;
    let summary = insert_delivery(tx, notification, "summary", &json!({}), now)?;
    let values = values! { "notification_id": notification, "summary_id": summary, "now": now };
    if SINGLE_MAX < summaries {
        tx.execute(sql!("deliveries/move_members"), values)?;
        tx.execute(sql!("deliveries/supersede_summaries"), values)?;
    }
    tx.execute(sql!("deliveries/fold"), values)?;
    tx.rows(sql!("deliveries/get"), values! { "id": summary }, delivery_of)
}

fn summary_of(tx: &Session<'_>, summary: Id) -> Result<Digest, StoreError> {
    let values = values! { "summary_id": summary, "limit": SUMMARY_MEMBERS_MAX };
    let counts = tx.rows(sql!("deliveries/counts_of_summary"), values, |row| {
        Ok((row.get::<String>("event")?, row.get::<u64>("total")?))
    })?;
    let first = tx.rows(sql!("deliveries/first_of_summary"), values, |row| {
        Ok((row.get("event")?, json_of(row)?, row.get("created_at")?))
    })?;
    Ok(Digest { counts: counts.into_iter().collect(), first })
}

/// Records the result of an attempt.
fn record(tx: &Session<'_>, delivery: &Delivery, tried: &Tried, now: Timestamp) -> Result<(), StoreError> {
    let (status, error) = match tried {
        Tried::Delivered(status) => return end(tx, delivery, "DELIVERED", Some(*status), None, now),
        Tried::Gone => return end(tx, delivery, "FAILED", Some(410), Some("answered 410"), now),
        Tried::Failed(status, error) => (*status, error),
    };
    let Some(wait) = usize::try_from(delivery.attempts).ok().and_then(|tries| RETRY_WAITS.get(tries)) else {
        return end(tx, delivery, "FAILED", status, Some(error), now);
    };
    let values = values! {
        "id": delivery.id, "due_at": now.saturating_add(*wait), "last_status": status.map(u32::from),
        "last_error": error,
    };
    tx.execute(sql!("deliveries/try_later"), values)?;
    tx.execute(sql!("alerts/mark_overtaken"), values! { "id": delivery.id })?;
    let values = values! { "id": delivery.id, "now": now };
    tx.execute(sql!("deliveries/supersede_overtaken"), values)?;
    Ok(())
}

fn end(
    tx: &Session<'_>,
    delivery: &Delivery,
    state: &str,
    status: Option<u16>,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let values = values! {
        "id": delivery.id, "state": state, "last_status": status.map(u32::from), "last_error": error,
        "now": now,
    };
    tx.execute(sql!("deliveries/end"), values)?;
    if delivery.event == "summary" {
        let values = values! { "id": delivery.id, "state": state, "now": now };
        tx.execute(sql!("deliveries/end_members"), values)?;
    }
    Ok(())
}

/// `time` plus this many seconds.
pub(super) fn after_seconds(time: Timestamp, seconds: u32) -> Timestamp {
    time.saturating_add(Duration::from_secs(seconds.into()))
}
