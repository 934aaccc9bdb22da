//! Builds the engine and starts its threads.
//!
//! Invariant: the parts of the engine meet only through the channels that are created here, and each channel
//! is bounded.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, select};
use log::{info, log};

use super::threads::Threads;
use crate::base::clock::{Clock, SteeredClock};
use crate::base::metrics::metrics;
use crate::base::orphans;
use crate::base::public_url::PublicUrl;
use crate::base::pulse::Pulse;
use crate::base::stop::{Stop, Stopper, stop_channel};
use crate::config::{Config, Mode};
use crate::engine::heartbeat::Heartbeat;
use crate::engine::lease::Keeper;
use crate::engine::notifier::{Messenger, Notifier, SENDERS, Senders};
use crate::engine::observer::Observer;
use crate::engine::retention::Retention;
use crate::engine::scheduler::{Lane, Scheduler, SchedulerSettings};
use crate::engine::upkeep;
use crate::engine::watcher::Watcher;
use crate::engine::worker::{Caller, RetryLimits, WorkerContext};
use crate::fire_times::planner;
use crate::model::{Dispatch, Kind, Release, TaskNames};
use crate::outbound::{CallsInFlight, Outbound};
use crate::platform::Platform;
use crate::store::Store;

/// Threads that create tasks. Separate from `WORKER_NUM`, because a running task holds no thread.
const STARTERS: usize = 16;
/// Their number with PostgreSQL. There they wait for the database before and after each request for a task,
/// and those that wait at the same time share a commit.
const STARTERS_WITH_POSTGRES: usize = 32;
/// Ends of calls that wait to be recorded, for each worker. If there are more, the workers wait.
const ENDS_PER_WORKER: usize = 4;
/// The pause between two checks for orphaned processes.
const REAP_PAUSE: Duration = Duration::from_secs(1);
/// The wait before another attempt to resume suspended spaces.
const RESUME_PAUSE: Duration = Duration::from_secs(5);

/// A running engine, for the rest of the service.
pub(super) struct Engine {
    /// The pulse of the scheduler.
    pub(super) pulse: Arc<Pulse>,
    pub(super) observer: Arc<Observer>,
    pub(super) wake_scheduler: Sender<()>,
    pub(super) wake_watcher: Sender<()>,
    pub(super) wake_retention: Sender<()>,
    pub(super) wake_notifier: Sender<()>,
    /// Closes when the last worker has ended.
    pub(super) workers_ended: Receiver<()>,
    /// Stops the thread that renews the lease, after everything that needs the lease; `None` without a lease.
    pub(super) keeper_stopper: Option<Stopper>,
}

/// What the parts of the engine are built from.
pub(super) struct EngineBuilder<'a> {
    pub(super) config: &'a Config,
    pub(super) store: Arc<Store>,
    pub(super) platform: Arc<dyn Platform>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: Stop,
    pub(super) threads: &'a mut Threads,
}

impl EngineBuilder<'_> {
    /// Starts all threads of the engine. `lease_clock` is set for a database that instances share.
    pub(super) fn start(
        mut self,
        caller: Caller,
        calls_in_flight: Arc<CallsInFlight>,
        lease_clock: Option<Arc<SteeredClock>>,
        (wake_watcher, watcher_wake): (Sender<()>, Receiver<()>),
        (outbound, public_url): (&Outbound, &Arc<PublicUrl>),
    ) -> Result<Engine, String> {
        let (wake_scheduler, scheduler_wake) = bounded(1);
        let (wake_retention, retention_wake) = bounded(1);
        let (call_dispatch, calls) = bounded::<Dispatch>(self.config.worker_num);
        let (job_dispatch, jobs) = bounded::<Dispatch>(self.starters());
        let (release, released) = bounded::<Release>(self.config.worker_num + self.starters());

        // Started first, because the other threads need a lease.
        let keeper_stopper = match lease_clock {
            Some(clock) => Some(self.start_keeper(clock, wake_scheduler.clone(), wake_watcher.clone())?),
            None => None,
        };
        let wakes = (wake_watcher.clone(), wake_scheduler.clone());
        let in_flight = Arc::clone(&calls_in_flight);
        let workers_ended = self.start_workers((caller, in_flight), &calls, &jobs, &release, wakes)?;
        self.start_watcher(watcher_wake, wake_scheduler.clone())?;
        let lanes = vec![Lane::new(Kind::Call, call_dispatch), Lane::new(Kind::Job, job_dispatch)];
        let pulse: Arc<Pulse> = Arc::default();
        self.start_scheduler(lanes, released, scheduler_wake, calls_in_flight, Arc::clone(&pulse))?;
        self.start_heartbeat(outbound, Arc::clone(&pulse))?;
        self.start_retention(retention_wake, wake_watcher.clone())?;
        self.start_upkeep()?;
        self.start_resumption(&wake_scheduler)?;
        self.start_reaper()?;
        let wake_notifier = self.start_notifier(outbound, public_url)?;
        let observer = self.start_observer()?;
        Ok(Engine {
            pulse,
            observer,
            wake_scheduler,
            wake_watcher,
            wake_retention,
            wake_notifier,
            workers_ended,
            keeper_stopper,
        })
    }

    fn start_keeper(
        &mut self,
        clock: Arc<SteeredClock>,
        wake_scheduler: Sender<()>,
        wake_watcher: Sender<()>,
    ) -> Result<Stopper, String> {
        let (stopper, stop) = stop_channel();
        let mut keeper = Keeper::new(Arc::clone(&self.store), clock, wake_scheduler, wake_watcher);
        // Before the other threads start, so that they have a lease. If it fails, they retry.
        if let Err(err) = keeper.pass() {
            log!(err.noted(), cause:% = err; "no lease yet, retrying");
        }
        self.threads.spawn_forever("keeper", &stop, move |stop| keeper.run(stop))?;
        Ok(stopper)
    }

    fn starters(&self) -> usize {
        if self.store.is_shared() { STARTERS_WITH_POSTGRES } else { STARTERS }
    }

    /// Starts the workers, the starters, and the recorder. The returned channel closes when all have ended.
    fn start_workers(
        &mut self,
        (caller, calls_in_flight): (Caller, Arc<CallsInFlight>),
        calls: &Receiver<Dispatch>,
        jobs: &Receiver<Dispatch>,
        release: &Sender<Release>,
        (wake_watcher, wake_scheduler): (Sender<()>, Sender<()>),
    ) -> Result<Receiver<()>, String> {
        let context = Arc::new(WorkerContext {
            store: Arc::clone(&self.store),
            platform: Arc::clone(&self.platform),
            clock: Arc::clone(&self.clock),
            caller,
            calls: calls_in_flight,
            task_names: match self.config.mode {
                Mode::Serve => self.config.task_names.clone(),
                // The directory of a task is named after its execution.
                Mode::Standalone => TaskNames::default(),
            },
            retry_limits: RetryLimits { retry_for: self.config.retry, late_task: self.config.late_task },
            task_started: wake_watcher,
            wake_scheduler,
            stop: self.stop.clone(),
        });
        let starters = self.starters();
        metrics().started(self.clock.now(), |kind| match kind {
            Kind::Job => starters,
            Kind::Call => self.config.worker_num,
        });
        let (call_ended, ended_calls) = bounded(ENDS_PER_WORKER * self.config.worker_num);
        let (alive, workers_ended) = bounded::<()>(0);
        let workers = (1..=self.config.worker_num).map(|number| (format!("worker-{number}"), calls));
        let starters = (1..=starters).map(|number| (format!("starter-{number}"), jobs));
        for (name, dispatches) in workers.chain(starters) {
            let (context, dispatches, release) = (Arc::clone(&context), dispatches.clone(), release.clone());
            let (ends, alive) = (call_ended.clone(), alive.clone());
            self.threads.spawn_forever(name, &self.stop, move |_| {
                let _dropped_at_the_end = &alive;
                context.run(&dispatches, &ends, &release);
            })?;
        }
        // The recorder ends when the last worker has dropped its sender.
        drop(call_ended);
        self.threads.spawn_forever("recorder", &self.stop, move |_| {
            let _dropped_at_the_end = &alive;
            context.record_ends(&ended_calls);
        })?;
        Ok(workers_ended)
    }

    fn start_watcher(&mut self, wake: Receiver<()>, wake_scheduler: Sender<()>) -> Result<(), String> {
        let poll = self.config.task_poll;
        // A local task wakes the watcher at its end, and looking at it only reads a file.
        let gather = match self.config.mode {
            Mode::Serve => poll / 2,
            Mode::Standalone => Duration::ZERO,
        };
        let (store, platform) = (Arc::clone(&self.store), Arc::clone(&self.platform));
        let (clock, retry) = (Arc::clone(&self.clock), self.config.retry);
        let mut watcher = Watcher::new(store, platform, clock, poll, gather, retry, wake_scheduler);
        self.threads.spawn_forever("watcher", &self.stop, move |stop| watcher.run(&wake, stop))
    }

    fn start_scheduler(
        &mut self,
        lanes: Vec<Lane>,
        released: Receiver<Release>,
        wake: Receiver<()>,
        calls: Arc<CallsInFlight>,
        pulse: Arc<Pulse>,
    ) -> Result<(), String> {
        let settings = SchedulerSettings {
            misfire_policy: self.config.misfire_policy,
            misfire_grace: self.config.misfire_grace,
            wait_max: self.config.late_task,
        };
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let scheduler = Scheduler::new(store, clock, settings, lanes, released, calls);
        // The watchdog may watch it from here on.
        pulse.begin_turn(self.clock.monotonic());
        let mut scheduler = scheduler.with_pulse(pulse);
        self.threads.spawn_forever("scheduler", &self.stop, move |stop| scheduler.run(&wake, stop))
    }

    fn start_retention(&mut self, wake: Receiver<()>, wake_watcher: Sender<()>) -> Result<(), String> {
        let retention = Retention::new(
            Arc::clone(&self.store),
            Arc::clone(&self.platform),
            Arc::clone(&self.clock),
            self.config.history,
            self.config.history_max_per_executable,
            wake_watcher,
        );
        let retention = retention.keeping_events(self.config.audit);
        self.threads.spawn_forever("retention", &self.stop, move |stop| retention.run(&wake, stop))
    }

    fn start_upkeep(&mut self) -> Result<(), String> {
        let store = Arc::clone(&self.store);
        self.threads.spawn_forever("upkeep", &self.stop, move |stop| upkeep::run(&store, stop))
    }

    fn start_resumption(&mut self, wake_scheduler: &Sender<()>) -> Result<(), String> {
        if self.config.require_service_instance {
            return Ok(());
        }
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let wake = wake_scheduler.clone();
        let run = move |stop: &Stop| resume_suspended(&store, &*clock, &wake, stop);
        self.threads.spawn_forever("resumption", &self.stop, run)
    }

    fn start_reaper(&mut self) -> Result<(), String> {
        if self.config.mode == Mode::Standalone || !orphans::are_ours() {
            return Ok(());
        }
        self.threads.spawn_forever("reaper", &self.stop, reap_orphans)
    }

    /// Starts the heartbeat, if a URL is set.
    fn start_heartbeat(&mut self, outbound: &Outbound, pulse: Arc<Pulse>) -> Result<(), String> {
        let Some(url) = self.config.heartbeat_url.clone() else { return Ok(()) };
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let index = self.config.instance_index.clone();
        let heartbeat = Heartbeat::new(store, clock, outbound, (url, index), pulse)?;
        self.threads.spawn_forever("heartbeat", &self.stop, move |stop| heartbeat.run(stop))
    }

    /// Starts the notifier and its senders. The returned channel wakes it.
    fn start_notifier(
        &mut self,
        outbound: &Outbound,
        public_url: &Arc<PublicUrl>,
    ) -> Result<Sender<()>, String> {
        let (wake, woken) = bounded(1);
        let senders = Senders::new(Messenger::new(
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            (outbound, self.config.call_reach),
            Arc::clone(public_url),
            wake.clone(),
            self.stop.clone(),
        )?);
        for number in 1..=SENDERS {
            let run = senders.run();
            self.threads.spawn_forever(format!("sender-{number}"), &self.stop, move |_: &Stop| run())?;
        }
        let notifier = Notifier::new(Arc::clone(&self.store), Arc::clone(&self.clock), senders);
        self.threads.spawn_forever("notifier", &self.stop, move |stop| notifier.run(&woken, stop))?;
        Ok(wake)
    }

    fn start_observer(&mut self) -> Result<Arc<Observer>, String> {
        let observer = Arc::new(Observer::new(Arc::clone(&self.clock)));
        let (running, store, clock) =
            (Arc::clone(&observer), Arc::clone(&self.store), Arc::clone(&self.clock));
        self.threads.spawn_forever("observer", &self.stop, move |stop| {
            running.run(stop, || store.readings(clock.now()));
        })?;
        Ok(observer)
    }
}

/// Resumes the schedules of suspended spaces, because service instances are no longer required.
fn resume_suspended(store: &Store, clock: &dyn Clock, wake: &Sender<()>, stop: &Stop) {
    loop {
        let now = clock.now();
        match store.resume_all_spaces(now, &planner(now)) {
            Ok(0) => return,
            Ok(spaces) => {
                info!(spaces; "service instances are no longer required, schedules resumed");
                let _ = wake.try_send(());
                return;
            }
            Err(err) => {
                log!(err.noted(), cause:% = err; "suspended schedules could not be resumed, retrying");
            }
        }
        select! {
            recv(stop) -> _ => return,
            recv(after(RESUME_PAUSE)) -> _ => (),
        }
    }
}

/// Reaps the processes that the first process of a container inherits. `serve` has no children of its own.
fn reap_orphans(stop: &Stop) {
    loop {
        orphans::reap(|_| false);
        select! {
            recv(stop) -> _ => return,
            recv(after(REAP_PAUSE)) -> _ => (),
        }
    }
}
