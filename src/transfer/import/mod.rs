//! Imports another database into this one: that of a Go service, or one of our own.
//!
//! Invariant: the import is one transaction, all or nothing; the source is only read; existing objects stay
//! as they are. An import starts nothing: every schedule is planned from now on, and waiting executions have
//! ended.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;

use crate::cron::names_zone;
use crate::fire_times::{Calendar, planner};
use crate::model::{
    Call, Dialect, ExecutionState, Guid, JobState, Kind, Notification, Reason, Secret, Timestamp, Timing,
    Work,
};
use crate::store::{
    Actor, FoundExecutable, FoundExecution, FoundSchedule, ImportMode, Importer, MovedAlert, MovedControl,
    MovedExecutable, MovedExecution, MovedInstance, MovedSchedule, MovedStreak, NewEvent, NewExecutable,
    Origin, ServiceBinding, Source, Store, StoreError, Stray, Target,
};

mod report;

pub use report::{Count, Report};

/// The limit of an imported job without one, in MiB.
const LIMIT_MB: u32 = 1024;
/// How many new names are tried if a name is taken.
const RENAMES_MAX: u32 = 1000;
/// How many instants are tried if the schedule has an execution of the same fire time.
const SHIFTS_MAX: i64 = 100;

/// The number of fire times compared to find out whether a schedule fires differently than in the source.
const COMPARED_FIRE_TIMES: u64 = 50;
/// Zones with clock changes at midnight that OCF Scheduler 2.x handles wrongly.
const MISREAD_ZONES: &[&str] = &["Africa/Cairo", "Asia/Beirut", "Egypt"];

/// How to read the schedules of a Go service. Our own schedules record it.
#[derive(Debug, Clone)]
pub struct ReadAs {
    /// The dialect in which they fire here.
    pub dialect: Dialect,
    /// The zone of schedules without one, which was the zone of the server. `None`: UTC.
    pub timezone: Option<String>,
}

/// Whether the import writes an audit event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audited {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// Imports everything in `source` into `store`.
///
/// # Errors
/// Nothing was imported. If the answer to the COMMIT was lost, that is unknown; repeating the import does no
/// harm.
pub fn import(
    source: &Source,
    store: &Store,
    read_as: ReadAs,
    now: Timestamp,
    mode: ImportMode,
    audited: Audited,
) -> Result<Report, StoreError> {
    store.import(mode, |into| {
        let mut moving = Moving {
            into,
            origin: source.origin(),
            dialect_there: source.dialect(),
            read_as,
            now,
            jobs: Vec::new(),
            taken: HashSet::new(),
            last_fires: HashMap::new(),
            report: Report::default(),
        };
        // Before the schedules, which do not fire in a suspended space.
        source.each_instance(&mut |found| moving.take_instance(&found))?;
        source.each_binding(&mut |(found, created_at)| moving.take_binding(&found, created_at))?;
        source.each_suspended_space(&mut |space| into.insert_suspended_space(&space))?;
        source.each_space_pause(&mut |pause| into.insert_space_pause(&pause))?;
        source.each_executable(&mut |found| moving.take_executables(found))?;
        source.each_notification(&mut |found| moving.take_notification(&found))?;
        source.each_schedule(&mut |found| moving.take_schedules(found))?;
        source.each_execution(&mut |found| moving.take_executions(found))?;
        source.each_attempt(&mut |found| moving.into.insert_attempt(&found.execution, &found.attempt))?;
        source.each_stray(&mut |stray| moving.take_stray(&stray))?;
        into.settle_states(moving.jobs.iter().map(|(guid, from_history)| (guid, *from_history)))?;
        source.each_streak(&mut |streak| moving.take_streak(&streak))?;
        source.each_alert(&mut |alert| moving.take_alert(&alert))?;
        if audited == Audited::Yes {
            moving.record()?;
        }
        Ok(moving.report)
    })
}

struct Moving<'a> {
    into: &'a Importer<'a>,
    origin: Origin,
    /// How the Go service read its schedules.
    dialect_there: Dialect,
    read_as: ReadAs,
    now: Timestamp,
    /// Imported jobs, and whether to take their state from their history.
    jobs: Vec<(Guid, bool)>,
    /// The jobs and calls that were taken, which are not those that were here.
    taken: HashSet<Guid>,
    /// The latest fire time of each schedule that has come so far.
    last_fires: HashMap<Guid, Timestamp>,
    report: Report,
}

impl Moving<'_> {
    fn take_instance(&mut self, moved: &MovedInstance) -> Result<(), StoreError> {
        let now = self.now;
        if self.into.insert_instance(moved, now, &planner(now))? {
            self.report.take("instance");
        } else {
            self.report.find("instance");
        }
        Ok(())
    }

    /// A task with this name will be cancelled, so only names that this program gives are accepted, not any
    /// name in the file.
    fn take_stray(&mut self, stray: &Stray) -> Result<(), StoreError> {
        let is_of_it = |task_name: &String| task_name.contains(&stray.name);
        let is_ours = !stray.is_to_end
            && Guid::from(stray.name.as_str()).is_ours()
            && stray.task_name.as_ref().is_none_or(is_of_it);
        if !is_ours {
            self.report.odd_strays += 1;
            return Ok(());
        }
        self.into.insert_stray(stray)
    }

    fn take_notification(&mut self, found: &Notification) -> Result<(), StoreError> {
        match self.into.insert_notification(found)? {
            true => self.report.take("notification"),
            false => self.report.find("notification"),
        }
        Ok(())
    }

    /// What is here already keeps its own streak.
    fn take_streak(&self, moved: &MovedStreak) -> Result<(), StoreError> {
        if self.taken.contains(&moved.executable) {
            self.into.insert_streak(moved)?;
        }
        Ok(())
    }

    fn take_alert(&self, moved: &MovedAlert) -> Result<(), StoreError> {
        if self.taken.contains(&moved.executable) {
            self.into.insert_alert(moved, self.now)?;
        }
        Ok(())
    }

    /// Takes a job or call. `false`: its guid is here already, or its name is taken.
    fn insert(&self, moved: &MovedExecutable) -> Result<bool, StoreError> {
        let is_taken = self.into.insert_executable(moved)?;
        if let (true, Some(within)) = (is_taken, moved.new.controls.expect_success_within_seconds) {
            self.into.expect_success(&moved.guid, within, self.now)?;
        }
        Ok(is_taken)
    }

    /// Writes the audit event, if anything was imported.
    fn record(&self) -> Result<(), StoreError> {
        let counts: BTreeMap<&str, u64> = self.report.taken().collect();
        if counts.is_empty() {
            return Ok(());
        }
        let name = "ocf-scheduler import".to_owned();
        let event = NewEvent {
            kind: "audit.scheduler.import".to_owned(),
            actor: Actor { guid: String::new(), is_client: true, name: name.clone() },
            target: Target { guid: String::new(), kind: "database", name: String::new() },
            data: json!({ "taken": counts }),
            space: Guid::from(""),
            request_id: String::new(),
        };
        self.into.record(&event, self.now)
    }

    fn take_binding(&mut self, found: &ServiceBinding, created_at: Timestamp) -> Result<(), StoreError> {
        if self.into.insert_binding(found, created_at)? {
            self.report.take("binding");
        } else {
            self.report.find("binding");
        }
        Ok(())
    }

    fn take_executables(&mut self, found: Vec<FoundExecutable>) -> Result<(), StoreError> {
        for found in found {
            self.take_executable(found)?;
        }
        Ok(())
    }

    fn take_executable(&mut self, found: FoundExecutable) -> Result<(), StoreError> {
        let kind = found.kind;
        if found.guid.is_empty() {
            self.report.leave(kind.as_str(), format!("a {} without a guid", kind.as_str()));
            return Ok(());
        }
        let label = format!("{} {}", kind.as_str(), found.guid);
        let state = found.state.as_deref().and_then(JobState::parse);
        let from_history = self.origin == Origin::Own || state.is_none();
        let lacks = missing_in(&found);
        let mut moved = moved_executable(found, state, self.now);
        if self.insert(&moved)? {
            self.report.take(kind.as_str());
        } else if let Some((there, _)) = self.into.find_executable(moved.guid.as_str())? {
            if there == kind {
                self.report.find(kind.as_str());
            } else {
                self.report
                    .leave(kind.as_str(), format!("{label}: its guid belongs to a {} here", there.as_str()));
            }
            return Ok(());
        } else if self.take_renamed(&mut moved)? {
            self.report.take(kind.as_str());
            self.report.note(format!("{label} is named {:?} here: its name is taken", moved.new.name));
        } else {
            let name = &moved.new.name;
            self.report.leave(
                kind.as_str(),
                format!("{label}: its name {name:?} is taken, and so are {name:?} (2) and on"),
            );
            return Ok(());
        }
        for lack in lacks {
            self.report.note(format!("{label} {lack}"));
        }
        if kind == Kind::Job {
            self.jobs.push((moved.guid.clone(), from_history));
        }
        self.taken.insert(moved.guid);
        Ok(())
    }

    /// Inserts it under the first free name: "name (2)", "name (3)", …
    fn take_renamed(&self, moved: &mut MovedExecutable) -> Result<bool, StoreError> {
        let name = moved.new.name.clone();
        for number in 2..=RENAMES_MAX {
            moved.new.name = format!("{name} ({number})");
            if self.insert(moved)? {
                return Ok(true);
            }
        }
        moved.new.name = name;
        Ok(false)
    }

    fn take_schedules(&mut self, found: Vec<FoundSchedule>) -> Result<(), StoreError> {
        let mut moved = Vec::new();
        for found in found {
            if let Some(schedule) = self.planned(found)? {
                moved.push(schedule);
            }
        }
        let taken = self.into.insert_schedules(&moved, self.now)?;
        for (schedule, taken) in moved.iter().zip(taken) {
            if taken {
                self.report.take("schedule");
                continue;
            }
            let guid = schedule.guid.as_str();
            match self.into.find_schedule(guid)? {
                Some(owner) if owner == schedule.executable => self.report.find("schedule"),
                Some(_) => self.report.leave(
                    "schedule",
                    format!(
                        "schedule {guid}: its guid belongs to a schedule of another \
                     job or call here"
                    ),
                ),
                None => {
                    let cause = self.absence(schedule.kind, schedule.executable.as_str())?;
                    self.report.leave("schedule", format!("schedule {guid} of {cause}"));
                }
            }
        }
        Ok(())
    }

    /// A schedule with its next fire time after now. `None`: it cannot be imported.
    fn planned(&mut self, mut found: FoundSchedule) -> Result<Option<MovedSchedule>, StoreError> {
        let guid = &found.guid;
        let Some(kind) = found.kind else {
            self.report
                .leave("schedule", format!("schedule {guid}: what it runs is neither a job nor a call"));
            return Ok(None);
        };
        if guid.is_empty() {
            let owner = format!("{} {}", kind.as_str(), found.executable);
            self.report.leave("schedule", format!("a schedule of {owner} without a guid"));
            return Ok(None);
        }
        found.definition.timing.dialect = found.dialect.unwrap_or(self.read_as.dialect);
        if self.origin == Origin::Go {
            found.definition.timing.expression = self.in_zone_of_server(&found);
        }
        let owner = Guid::from(found.executable.as_str());
        let calendar = match Calendar::of(&found.definition.timing, &owner) {
            Ok(calendar) => calendar,
            Err(fault) => {
                let FoundSchedule { guid, executable, .. } = &found;
                let expression = &found.definition.timing.expression;
                if self.into.find_executable(executable)?.is_none() {
                    let cause = self.absence(kind, executable)?;
                    self.report.leave("schedule", format!("schedule {guid} of {cause}"));
                } else {
                    let owner = format!("{} {executable}", kind.as_str());
                    self.report.leave(
                        "schedule",
                        format!("schedule {guid} of {owner}: {expression:?} is not valid: {fault}"),
                    );
                }
                return Ok(None);
            }
        };
        if self.origin == Origin::Go {
            self.note_differences(&found, &calendar);
        }
        // The fire times of an interval are its own; all others follow from the expression.
        let is_interval = calendar.expression().interval().is_some();
        let kept = found.next_fire_time.filter(|next| is_interval && *next > self.now);
        let next = kept.or_else(|| calendar.first_after(self.now));
        let created_at = found.created_at.or(found.updated_at).unwrap_or(self.now);
        Ok(Some(MovedSchedule {
            guid: Guid::from(found.guid),
            executable: owner,
            kind,
            next_fire_time: next.filter(|_| found.definition.enabled),
            completed_at: found.completed_at,
            definition: found.definition,
            created_at,
            updated_at: found.updated_at.unwrap_or(created_at),
        }))
    }

    /// The expression of a schedule of the Go service, with the zone in which the service read it.
    fn in_zone_of_server(&mut self, found: &FoundSchedule) -> String {
        let timing = &found.definition.timing;
        let Some(zone) = &self.read_as.timezone else {
            self.report.in_utc += u64::from(!names_zone(&timing.expression));
            return timing.expression.clone();
        };
        let calendar = Calendar::of(timing, &Guid::from(found.executable.as_str()));
        let reads_a_clock = calendar.is_ok_and(|calendar| calendar.expression().reads_a_clock());
        if names_zone(&timing.expression) || !reads_a_clock {
            return timing.expression.clone();
        }
        self.report.in_zone += 1;
        format!("CRON_TZ={zone} {}", timing.expression.trim())
    }

    /// Reports a schedule that fires at other times than in the Go service.
    fn note_differences(&mut self, found: &FoundSchedule, here: &Calendar) {
        let timing = &found.definition.timing;
        let label = format!("schedule {} of {}: {:?}", found.guid, found.executable, timing.expression);
        let zone = here.expression().zone_name();
        if self.dialect_there == Dialect::Ocf2 && zone.is_some_and(|zone| MISREAD_ZONES.contains(&zone)) {
            self.report.note(format!(
                "{label} may fire differently at clock changes: OCF Scheduler 2.x handles them wrongly in \
                 this zone"
            ));
        }
        if self.dialect_there == timing.dialect {
            return;
        }
        let timing = Timing { dialect: self.dialect_there, ..timing.clone() };
        let Ok(there) = Calendar::of(&timing, &Guid::from(found.executable.as_str())) else {
            self.report.note(format!("{label} was not valid there, and fires here"));
            return;
        };
        let mut here = here.upcoming(self.now, COMPARED_FIRE_TIMES);
        let mut there = there.upcoming(self.now, COMPARED_FIRE_TIMES);
        let shown = |time: Option<Timestamp>| time.map_or("no instant".to_owned(), |time| time.to_string());
        loop {
            let (at_here, at_there) = (here.next(), there.next());
            if at_here != at_there {
                let (at_here, at_there) = (shown(at_here), shown(at_there));
                self.report.note(format!("{label} fires at {at_here}, and there at {at_there}"));
                return;
            }
            if at_here.is_none() {
                return;
            }
        }
    }

    fn take_executions(&mut self, found: Vec<FoundExecution>) -> Result<(), StoreError> {
        let mut coming = Vec::with_capacity(found.len());
        for found in found {
            match (found.guid.is_empty(), found.kind) {
                (true, _) => self.report.leave_many("execution", "without a guid".to_owned()),
                (_, None) => self.report.leave_many("execution", "of neither a job nor a call".to_owned()),
                (false, Some(kind)) => coming.push(self.coming(found, kind)),
            }
        }
        self.insert_some(&mut coming)?;
        if coming.is_empty() {
            return Ok(());
        }
        let known = self.into.known_executions(coming.iter().map(|coming| &coming.execution.guid))?;
        for coming in coming {
            if known.contains(&coming.execution.guid) {
                self.report.find("execution");
            } else {
                self.settle_left(coming)?;
            }
        }
        Ok(())
    }

    /// An execution to import.
    fn coming(&mut self, found: FoundExecution, kind: Kind) -> PendingExecution {
        let (mut execution, is_interrupted) = moved_execution(found, kind, self.origin, self.now);
        let mut is_redated = false;
        if let (Some((schedule, time)), Some(start)) = (&mut execution.fire, execution.start_time) {
            // The other service stored only minutes, and may have started several executions in one (`@every
            // 10s`), in order: identify the later ones by their start.
            if self.last_fires.insert(schedule.clone(), *time) == Some(*time) {
                *time = start;
                is_redated = true;
            }
        }
        PendingExecution { execution, is_interrupted, is_redated }
    }

    /// Inserts what can be inserted of `coming`. The rest stays in it.
    fn insert_some(&mut self, coming: &mut Vec<PendingExecution>) -> Result<(), StoreError> {
        if coming.is_empty() {
            return Ok(());
        }
        let executions = coming.iter().map(|coming| &coming.execution);
        let taken = self.into.insert_executions(executions, self.now)?;
        for coming in coming.iter().filter(|coming| taken.contains(&coming.execution.guid)) {
            self.report.take("execution");
            self.report.interrupted += u64::from(coming.is_interrupted);
            self.report.followed += u64::from(coming.execution.state == ExecutionState::Running);
            self.report.redated += u64::from(coming.is_redated);
        }
        coming.retain(|coming| !taken.contains(&coming.execution.guid));
        Ok(())
    }

    /// Handles an execution that was not inserted and does not exist here: its job, call or schedule is
    /// missing, or its fire time is taken.
    fn settle_left(&mut self, coming: PendingExecution) -> Result<(), StoreError> {
        let MovedExecution { guid, executable, kind, fire, .. } = &coming.execution;
        if self.into.find_executable(executable.as_str())? != Some((*kind, false)) {
            let cause = self.absence(*kind, executable.as_str())?;
            self.report.leave_many("execution", format!("of {cause}"));
            return Ok(());
        }
        let Some((schedule, scheduled_time)) = fire.clone() else {
            self.report.leave("execution", format!("execution {guid}: it was refused"));
            return Ok(());
        };
        if self.into.find_schedule(schedule.as_str())?.as_ref() != Some(executable) {
            let owner = format!("{} {executable}", kind.as_str());
            let cause = format!("of {owner}, whose schedule {schedule} belongs to another job or call here");
            self.report.leave_many("execution", cause);
            return Ok(());
        }
        let mut coming = vec![PendingExecution { is_redated: true, ..coming }];
        for nanos in 1..=SHIFTS_MAX {
            for coming in &mut coming {
                coming.execution.fire = Some((schedule.clone(), scheduled_time.shifted(nanos)));
            }
            self.insert_some(&mut coming)?;
            if coming.is_empty() {
                return Ok(());
            }
        }
        let cause = format!("of schedule {schedule}, which has more than {SHIFTS_MAX} of one fire time");
        self.report.leave_many("execution", cause);
        Ok(())
    }

    /// The job or call that something belongs to, and why it was not imported.
    fn absence(&self, kind: Kind, guid: &str) -> Result<String, StoreError> {
        let label = format!("{} {guid}", kind.as_str());
        Ok(match self.into.find_executable(guid)? {
            Some((there, true)) if there == kind => format!("{label}, which was deleted here"),
            _ => format!("{label}, which does not exist"),
        })
    }
}

/// An execution to import.
struct PendingExecution {
    execution: MovedExecution,
    /// It was waiting or running, and the import ends it.
    is_interrupted: bool,
    /// Its fire time was changed, because the schedule has an execution of that time.
    is_redated: bool,
}

/// Required values that an executable lacks.
fn missing_in(found: &FoundExecutable) -> Vec<&'static str> {
    let is_blank = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
    let mut lacks = Vec::new();
    if is_blank(&found.name) {
        lacks.push("has no name");
    }
    if is_blank(&found.app) {
        lacks.push("has no app");
    }
    if is_blank(&found.space) {
        lacks.push("has no space, so only administrators see it");
    }
    match found.kind {
        Kind::Job if is_blank(&found.command) => lacks.push("has no command"),
        Kind::Call if is_blank(&found.url) => lacks.push("has no url, so its executions will be FAILED"),
        _ => {}
    }
    lacks
}

/// An invalid rate counts as none, as in Cloud Foundry when none is given.
fn log_rate(found: Option<i64>) -> i64 {
    found.filter(|rate| (-1..=i64::from(i32::MAX)).contains(rate)).unwrap_or(0)
}

fn moved_executable(found: FoundExecutable, state: Option<JobState>, now: Timestamp) -> MovedExecutable {
    let limit = |limit: Option<i64>| {
        let limit =
            limit.and_then(|limit| i32::try_from(limit).ok()).and_then(|limit| u32::try_from(limit).ok());
        limit.filter(|limit| *limit > 0).unwrap_or(LIMIT_MB)
    };
    let work = match found.kind {
        Kind::Job => Work::Job {
            command: found.command.unwrap_or_default(),
            disk_in_mb: limit(found.disk_in_mb),
            memory_in_mb: limit(found.memory_in_mb),
            log_rate_in_bps: log_rate(found.log_rate_in_bps),
            state: state.unwrap_or(JobState::Pending),
            timeout_seconds: found.timeout_seconds,
        },
        Kind::Call => Work::Call(found.call.unwrap_or_else(|| {
            let auth_header = found.auth_header.unwrap_or_else(|| Secret::from(String::new()));
            Call::new(found.url.unwrap_or_default(), auth_header)
        })),
    };
    let created_at = found.created_at.or(found.updated_at).unwrap_or(now);
    MovedExecutable {
        guid: Guid::from(found.guid),
        new: NewExecutable {
            name: found.name.unwrap_or_default(),
            app: Guid::from(found.app.unwrap_or_default()),
            space: Guid::from(found.space.unwrap_or_default()),
            work,
            controls: found.controls,
        },
        created_at,
        updated_at: found.updated_at.unwrap_or(created_at),
    }
}

/// An execution as it will be stored, and whether the import ends it.
fn moved_execution(
    found: FoundExecution,
    kind: Kind,
    origin: Origin,
    now: Timestamp,
) -> (MovedExecution, bool) {
    let FoundExecution { state, message, start_time, end_time, scheduled_time, .. } = found;
    let known_time = start_time.or(scheduled_time).or(end_time);
    let created_at = found.created_at.or(known_time).unwrap_or(now);
    // One of our own tasks is running, and can be followed from here.
    let is_followed =
        origin == Origin::Own && kind == Kind::Job && state == "RUNNING" && found.task.is_some();
    let (state, message, end_time, is_interrupted) = match state.as_str() {
        "RUNNING" if is_followed => (ExecutionState::Running, message, None, false),
        "SUCCEEDED" => (ExecutionState::Succeeded, message, end_time.or(known_time).or(Some(now)), false),
        "SKIPPED" => (ExecutionState::Skipped, message, end_time.or(known_time).or(Some(now)), false),
        "FAILED" => (ExecutionState::Failed, message, end_time.or(known_time).or(Some(now)), false),
        other => {
            let end = if origin == Origin::Own { Some(now) } else { end_time.or(known_time).or(Some(now)) };
            (ExecutionState::Failed, interruption(other, &message, found.task.is_some()), end, true)
        }
    };
    // An unknown fire time becomes the start time. With neither, the schedule is unknown.
    let fire = found.schedule.zip(scheduled_time.or(known_time));
    let execution = MovedExecution {
        guid: Guid::from(found.guid),
        executable: Guid::from(found.executable),
        kind,
        fire: fire.map(|(schedule, time)| (Guid::from(schedule), time)),
        state,
        note: found.note,
        message,
        task: found.task.map(Guid::from),
        created_at,
        start_time,
        end_time,
        request_id: found.request_id,
        control: match is_interrupted {
            true => MovedControl { reason: Some(Reason::Interrupted.as_str().to_owned()), ..found.control },
            false => found.control,
        },
    };
    (execution, is_interrupted)
}

fn interruption(state: &str, message: &str, has_task: bool) -> String {
    let state = if state.is_empty() { "without a state" } else { state };
    let task = if has_task { "; what became of its task is not known" } else { "" };
    let said = if message.is_empty() { String::new() } else { format!(": {message}") };
    format!("interrupted: it was {state} when it was moved here{task}{said}")
}
