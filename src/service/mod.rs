//! Builds everything from the settings, starts the threads, and stops them in reverse order. The only module that knows
//! all others.

use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, bounded, select};
use log::{debug, error, info, log, warn};

use crate::base::clock::{Clock, SteeredClock};
use crate::base::metrics::metrics;
use crate::base::orphans;
use crate::base::stop::{Stop, Stopper, is_stopped, stop_channel};
use crate::config::{Config, Mode};
use crate::cron::Dialect;
use crate::engine::journal;
use crate::engine::lease::Keeper;
use crate::engine::observer::Observer;
use crate::engine::retention::Retention;
use crate::engine::scheduler::{Lane, Scheduler, Settings as SchedulerSettings};
use crate::engine::upkeep;
use crate::engine::watcher::Watcher;
use crate::engine::worker::{Caller, Patience, WorkerContext};
use crate::fire_times::planner;
use crate::http::{Handlers, Server, Settings as HttpSettings};
use crate::model::{Dispatch, Kind, Release};
use crate::outbound::Outbound;
use crate::platform::Platform;
use crate::platform::cf::{self, CloudFoundry};
use crate::platform::local::{self, Local, MemoryLimit, World};
use crate::store::Store;
use crate::web::api::{Api, MetricsAccess, Readiness};
use crate::web::auth::Authenticator;
use crate::web::{Broker, Front, Limiter, Listener};

/// Threads that start tasks. A task holds none while it runs, so these are not WORKER_NUM's.
const STARTERS: usize = 16;
/// What is said of a call that a stop did not wait for.
const STOPPED: &str = "interrupted: service stopped";
/// The bounds of the server that answers `/metrics` alone: one who scrapes, and a few who look.
const METRICS_THREADS: usize = 2;
const METRICS_CONNECTIONS_MAX: usize = 16;
/// Its part of what requests and answers may hold: one in so many bytes.
const METRICS_MEMORY_PART: usize = 16;
/// The pause after a panic of a thread that there is only one of.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two looks for processes that have been left to this one.
const REAP_PAUSE: Duration = Duration::from_secs(1);

/// How often, and at which pace, the write-ahead log is moved into the file at a stop.
const CHECKPOINT_TRIES: u32 = 10;
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(50);

/// The pause before the database is asked again for what is to go on.
const RESUME_PAUSE: Duration = Duration::from_secs(5);

/// What `standalone` tells a newcomer.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// A token; `None` when it comes from a file of the user's, or only its hash is known.
    pub token: Option<String>,
    /// The first app.
    pub app: String,
    /// Its space.
    pub space: String,
    /// Where the apps and tokens come from.
    pub file: PathBuf,
    /// What `memory_in_mb` limits.
    pub memory_limit: MemoryLimit,
}

/// A running service.
pub struct Service {
    server: Server,
    /// Answers `/metrics`, when that has a port of its own.
    metrics_server: Option<Server>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    stopper: Stopper,
    /// Stops the keeper of the lease, after all who need it; `None`: there is none.
    keeper_stopper: Option<Stopper>,
    /// Ends when the last worker has ended.
    workers_ended: Receiver<()>,
    threads: Vec<JoinHandle<()>>,
    stop_time: Duration,
    welcome: Option<Welcome>,
    reloading: Reloading,
}

/// What is read again while the service runs.
struct Reloading {
    /// The file of apps and tokens, of `standalone` only.
    local: Option<(Arc<Local>, PathBuf)>,
    /// The certificates to trust.
    outbound: Outbound,
}

impl Service {
    /// Starts everything. The error says, for people, what stands in the way.
    pub fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let outbound = config.outbound();
        let caller = Caller::new(&outbound, config.call_timeout, config.call_reach)?;
        let address = SocketAddr::new(config.host, config.port);
        let listener = listen(address, "SCHEDULER_PORT (--port)")?;
        let metrics_address = config.metrics_port.map(|port| SocketAddr::new(config.host, port));
        let metrics_listener =
            metrics_address.map(|address| listen(address, "METRICS_PORT (--metrics-port)")).transpose()?;
        let store = Arc::new(Store::open(&config.store())?);
        let steered = store.is_shared().then(|| Arc::new(SteeredClock::new(Arc::clone(&clock))));
        let clock: Arc<dyn Clock> = match &steered {
            Some(steered) => Arc::clone(steered) as Arc<dyn Clock>,
            None => clock,
        };
        let (task_changed, watch) = bounded(1);
        let (platform, welcome, reloading) = platform(config, outbound, &clock, task_changed.clone())?;
        let wake_watcher = task_changed.clone();

        let (stopper, stop) = stop_channel();
        let (wake_scheduler, scheduler_wake) = bounded(1);
        let (wake_retention, retention_wake) = bounded(1);
        let (call_dispatch, calls) = bounded::<Dispatch>(config.worker_num);
        let (job_dispatch, jobs) = bounded::<Dispatch>(STARTERS);
        let (call_ended, ended_calls) = bounded(config.worker_num);
        let (release, released) = bounded::<Release>(config.worker_num + STARTERS);
        let (worker_alive, workers_ended) = bounded::<()>(0);
        let mut threads = Vec::new();
        let mut start = |name: String, body: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name).spawn(body);
            thread
                .map(|thread| threads.push(thread))
                .map_err(|err| format!("a thread cannot be started: {err}"))
        };

        let mut keeper_stopper = None;
        if let Some(steered) = steered {
            let (stopper, keeper_stop) = stop_channel();
            keeper_stopper = Some(stopper);
            let mut keeper =
                Keeper::new(Arc::clone(&store), steered, wake_scheduler.clone(), task_changed.clone());
            // So that those who start now find a lease; without one they try again.
            if let Err(err) = keeper.pass() {
                log!(err.noted(), cause:% = err; "there is no lease yet");
            }
            let for_keeper = keeper_stop.clone();
            let run = move || keeper.run(&for_keeper);
            start("keeper".to_owned(), Box::new(tirelessly("keeper", keeper_stop, run)))?;
        }

        let workers_context = Arc::new(WorkerContext {
            store: Arc::clone(&store),
            platform: Arc::clone(&platform),
            clock: Arc::clone(&clock),
            caller,
            patience: Patience { retry_for: config.retry, late_task: config.late_task },
            task_started: task_changed,
            stop: stop.clone(),
        });
        let workers = (1..=config.worker_num).map(|number| (format!("worker-{number}"), &calls));
        let starters = (1..=STARTERS).map(|number| (format!("starter-{number}"), &jobs));
        for (name, dispatches) in workers.chain(starters) {
            let (context, dispatches, release) =
                (Arc::clone(&workers_context), dispatches.clone(), release.clone());
            let alive: Sender<()> = worker_alive.clone();
            let ends = call_ended.clone();
            start(
                name,
                Box::new(move || {
                    context.run(&dispatches, &ends, &release);
                    drop(alive);
                }),
            )?;
        }
        // It ends when the workers have, and then tells so.
        drop(call_ended);
        let run = move || workers_context.record_ends(&ended_calls);
        let run = tirelessly("recorder", stop.clone(), run);
        start(
            "recorder".to_owned(),
            Box::new(move || {
                run();
                drop(worker_alive);
            }),
        )?;

        // A local task is asked for by reading a file, and wakes the watcher when it ends.
        let gather = match config.mode {
            Mode::Serve => config.task_poll / 2,
            Mode::Standalone => Duration::ZERO,
        };
        let mut watcher = Watcher::new(
            Arc::clone(&store),
            Arc::clone(&platform),
            Arc::clone(&clock),
            config.task_poll,
            gather,
        );
        let watcher_stop = stop.clone();
        let run = move || watcher.run(&watch, &watcher_stop);
        start("watcher".to_owned(), Box::new(tirelessly("watcher", stop.clone(), run)))?;

        let settings = SchedulerSettings {
            dialect: config.dialect,
            misfire_policy: config.misfire_policy,
            misfire_grace: config.misfire_grace,
            wait_max: config.late_task,
        };
        let lanes = vec![Lane::new(Kind::Call, call_dispatch), Lane::new(Kind::Job, job_dispatch)];
        let mut scheduler = Scheduler::new(Arc::clone(&store), Arc::clone(&clock), settings, lanes, released);
        let scheduler_stop = stop.clone();
        let run = move || scheduler.run(&scheduler_wake, &scheduler_stop);
        start("scheduler".to_owned(), Box::new(tirelessly("scheduler", stop.clone(), run)))?;

        let retention = Retention::new(
            Arc::clone(&store),
            Arc::clone(&platform),
            Arc::clone(&clock),
            config.history,
            config.history_max_per_executable,
        );
        let retention_stop = stop.clone();
        let run = move || retention.run(&retention_wake, &retention_stop);
        if !config.require_service_instance {
            let (store, clock, dialect) = (Arc::clone(&store), Arc::clone(&clock), config.dialect);
            let (wake, stop) = (wake_scheduler.clone(), stop.clone());
            let run = move || resume_suspended(&store, &*clock, dialect, &wake, &stop);
            start("resumption".to_owned(), Box::new(run))?;
        }
        start("retention".to_owned(), Box::new(tirelessly("retention", stop.clone(), run)))?;
        let (kept, upkeep_stop) = (Arc::clone(&store), stop.clone());
        let run = move || upkeep::run(&kept, &upkeep_stop);
        start("upkeep".to_owned(), Box::new(tirelessly("upkeep", stop.clone(), run)))?;

        if config.mode == Mode::Serve && orphans::are_ours() {
            let reaper_stop = stop.clone();
            let run = move || reap_orphans(&reaper_stop);
            start("reaper".to_owned(), Box::new(tirelessly("reaper", stop.clone(), run)))?;
        }

        metrics().started(clock.now(), |kind| match kind {
            Kind::Job => STARTERS,
            Kind::Call => config.worker_num,
        });
        let observer = Arc::new(Observer::new(Arc::clone(&clock)));
        let (observing, observed, observer_stop) = (Arc::clone(&observer), Arc::clone(&store), stop.clone());
        let observer_clock = Arc::clone(&clock);
        let run = move || observing.run(&observer_stop, || observed.readings(observer_clock.now()));
        start("observer".to_owned(), Box::new(tirelessly("observer", stop, run)))?;

        let api = Api {
            store: Arc::clone(&store),
            platform: Arc::clone(&platform),
            auth: Authenticator::new(
                Arc::clone(&platform),
                Arc::clone(&clock),
                match config.mode {
                    Mode::Serve => config.auth_cache,
                    // A look into memory; so a token that was removed from the file is refused at once.
                    Mode::Standalone => Duration::ZERO,
                },
                // The rest of the threads is for those who need not wait.
                config.http_threads - config.http_threads / 4,
            ),
            limiter: Limiter::new(config.rate_limit),
            clock: Arc::clone(&clock),
            dialect: config.dialect,
            require_service_instance: config.require_service_instance,
            readiness: Readiness::default(),
            metrics_access: MetricsAccess { observer, token: config.metrics_token.clone() },
            wake_scheduler,
            wake_watcher,
            wake_retention,
        };
        let front = Arc::new(Front { api, broker: config.broker.clone().map(Broker::new) });
        let metrics_memory =
            if metrics_listener.is_some() { config.request_memory_max / METRICS_MEMORY_PART } else { 0 };
        let settings = HttpSettings {
            threads: config.http_threads,
            max_connections: config.max_connections,
            client_timeout: config.client_timeout,
            idle_timeout: config.idle_timeout,
            memory_max: config.request_memory_max - metrics_memory,
        };
        let metrics_settings = HttpSettings {
            threads: METRICS_THREADS,
            max_connections: METRICS_CONNECTIONS_MAX,
            client_timeout: config.client_timeout,
            idle_timeout: config.idle_timeout,
            memory_max: metrics_memory,
        };
        let serve = |socket, settings, listener| {
            Server::start(socket, settings, handlers(&front, listener))
                .map_err(|err| format!("the HTTP server cannot be started: {err}"))
        };
        let served = if metrics_listener.is_some() { Listener::WithoutMetrics } else { Listener::Whole };
        let server = serve(listener, settings, served)?;
        let metrics_server = metrics_listener
            .map(|listener| serve(listener, metrics_settings, Listener::MetricsOnly))
            .transpose()?;
        info!(
            address:% = server.local_addr(),
            metrics_address:% = metrics_server.as_ref().unwrap_or(&server).local_addr(),
            database:% = config.database.shown();
            "service started"
        );
        Ok(Self {
            server,
            metrics_server,
            store,
            clock,
            stopper,
            keeper_stopper,
            workers_ended,
            threads,
            stop_time: config.stop,
            welcome,
            reloading,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where it answers `/metrics`.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_server.as_ref().unwrap_or(&self.server).local_addr()
    }

    /// What to tell a newcomer; of `standalone` only.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// Reads the certificates, and the file of apps and tokens, again. A file that is wrong changes nothing.
    pub fn reload(&self) {
        match self.reloading.outbound.reload_certificates() {
            Ok(()) => info!("certificates are read again"),
            Err(cause) => error!(cause; "certificates stay as they were, for the file is wrong"),
        }
        let Some((local, file)) = &self.reloading.local else { return };
        match World::read(file) {
            Ok(world) => {
                info!(file:% = file.display(), apps = world.apps().len(); "apps and tokens were read again");
                local.replace_world(world);
            }
            Err(cause) => error!(cause; "apps and tokens stay as they were, for the file is wrong"),
        }
    }

    /// Stops: takes nothing more, answers the requests in hand, gives the calls in flight their time, and records what
    /// became of them. Tasks run on, and are followed again after the next start.
    pub fn stop(self) {
        let deadline = Instant::now() + self.stop_time;
        info!("service stops");
        // The engine first: what it has not begun stays PENDING. Requests are answered meanwhile.
        self.stopper.stop();
        self.server.stop(self.stop_time);
        if let Some(metrics_server) = self.metrics_server {
            metrics_server.stop(deadline.saturating_duration_since(Instant::now()));
        }
        let workers_ended =
            self.workers_ended.recv_deadline(deadline).is_err_and(|err| err.is_disconnected());
        if let Some(keeper_stopper) = &self.keeper_stopper {
            keeper_stopper.stop();
        }
        // What is in hand still: calls that were not answered in time, and what the others may take from here on.
        if !workers_ended || self.store.is_shared() {
            match self.store.resign(STOPPED, self.clock.now()) {
                Ok(calls) if calls.is_empty() => {}
                Ok(calls) => {
                    warn!(calls = calls.len(); "calls in flight were interrupted");
                    for it in &calls {
                        journal::cut_off(it, STOPPED);
                    }
                }
                Err(err) => error!(cause:% = err; "what was in hand could not be given back"),
            }
        }
        for thread in self.threads {
            // One that hangs in a request ends with the process.
            if thread.is_finished() && thread.join().is_err() {
                error!("a thread had panicked");
            }
        }
        checkpoint_last(&self.store);
        info!("service stopped");
    }
}

/// Waits for the processes that the first process of a container inherits. Of its own, `serve` has none.
fn reap_orphans(stop: &Stop) {
    loop {
        orphans::reap(|_| false);
        select! {
            recv(stop) -> _ => return,
            recv(after(REAP_PAUSE)) -> _ => (),
        }
    }
}

/// Leaves a file that is up to date by itself. A reader that is still at work, such as a backup, is waited for a little.
fn checkpoint_last(store: &Store) {
    for _ in 0..CHECKPOINT_TRIES {
        match store.checkpoint() {
            Ok(()) => return,
            Err(err) => debug!(cause:% = err; "the write-ahead log is not in the file yet, trying again"),
        }
        let _ = after(CHECKPOINT_PAUSE).recv();
    }
    warn!("the write-ahead log is not in the database file; copy both, or start the service once more");
}

/// What stopped for want of a service instance goes on where none is required any more, once the database is there.
fn resume_suspended(store: &Store, clock: &dyn Clock, dialect: Dialect, wake: &Sender<()>, stop: &Stop) {
    loop {
        let now = clock.now();
        match store.resume_all_spaces(now, &planner(dialect, now)) {
            Ok(0) => return,
            Ok(spaces) => {
                info!(spaces; "no service instance is required any more, schedules go on");
                let _ = wake.try_send(());
                return;
            }
            Err(err) => {
                log!(err.noted(), cause:% = err; "schedules without a service instance do not go on yet, trying again");
            }
        }
        select! {
            recv(stop) -> _ => return,
            recv(after(RESUME_PAUSE)) -> _ => (),
        }
    }
}

fn listen(address: SocketAddr, port_setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|err| {
        format!("cannot listen on {address}: {err}; {port_setting} chooses another port, SCHEDULER_HOST (--host) the address")
    })
}

/// What a server does with the requests that come to `listener`.
fn handlers(front: &Arc<Front>, listener: Listener) -> Handlers {
    let (handling, heads, refusing) = (Arc::clone(front), Arc::clone(front), Arc::clone(front));
    Handlers {
        handle: Box::new(move |request| handling.handle(&request, listener)),
        answer_head: Box::new(move |request| heads.answer_head(request, listener)),
        refuse: Box::new(move |refusal, headers| refusing.refuse(refusal, headers)),
    }
}

/// A thread's body that begins `run` again after a panic, until `stop` closes. `run` returns when there is no more to do.
fn tirelessly(name: &'static str, stop: Stop, mut run: impl FnMut() + Send) -> impl FnOnce() + Send {
    move || {
        while catch_unwind(AssertUnwindSafe(&mut run)).is_err() && !is_stopped(&stop) {
            error!(thread = name; "a thread panicked, it goes on");
            select! {
                recv(stop) -> _ => (),
                recv(after(PANIC_PAUSE)) -> _ => (),
            }
        }
    }
}

/// Where Cloud Foundry is; `None` in `standalone`.
pub fn cloud_foundry_settings(config: &Config) -> Option<cf::Settings> {
    let settings = config.cloud_foundry.as_ref()?;
    Some(cf::Settings {
        cf_endpoint: settings.cf_endpoint.clone(),
        uaa_endpoint: settings.uaa_endpoint.clone(),
        client_id: settings.client_id.clone(),
        client_secret: settings.client_secret.reveal().to_owned(),
        outbound: config.outbound(),
    })
}

/// A platform, what to tell a newcomer of it, and what of it is read again.
type BuiltPlatform = (Arc<dyn Platform>, Option<Welcome>, Reloading);

fn platform(
    config: &Config,
    outbound: Outbound,
    clock: &Arc<dyn Clock>,
    task_changed: Sender<()>,
) -> Result<BuiltPlatform, String> {
    if config.mode == Mode::Serve {
        let mut settings =
            cloud_foundry_settings(config).ok_or("the settings for Cloud Foundry are missing")?;
        // The same certificates for all, so that all read them again.
        settings.outbound = outbound.clone();
        let cloud_foundry = Arc::new(CloudFoundry::new(&settings, Arc::clone(clock))?);
        let checked = Arc::clone(&cloud_foundry);
        // Beside the start, which waits for nobody else.
        let check = move || {
            if let Err(err) = checked.check() {
                warn!(cause:% = err; "Cloud Foundry does not answer; requests get 503 until it does");
            }
        };
        thread::Builder::new()
            .name("first-look".to_owned())
            .spawn(check)
            .map_err(|err| format!("a thread cannot be started: {err}"))?;
        return Ok((cloud_foundry, None, Reloading { local: None, outbound }));
    }
    let state_dir = config.state_dir();
    let (world, file) = match &config.standalone_config {
        Some(file) => (World::read(file)?, file.clone()),
        None => (World::default_in(&state_dir)?, local::default_file(&state_dir)),
    };
    // The token in a file of the user's is the user's to know.
    let token = world.first_token().filter(|_| config.standalone_config.is_none()).map(str::to_owned);
    let welcome = world.apps().first().map(|app| Welcome {
        token,
        app: app.guid.to_string(),
        space: app.space.to_string(),
        file: file.clone(),
        memory_limit: MemoryLimit::in_force(),
    });
    let runner = std::env::current_exe().map_err(|err| format!("our own program cannot be found: {err}"))?;
    let environment = crate::config::whole_environment();
    let settings = local::Settings { world, state_dir, runner, environment };
    let local = Arc::new(Local::new(settings, Arc::clone(clock), move || {
        // Full means that the watcher is about to look anyway.
        let _ = task_changed.try_send(());
    })?);
    let platform = Arc::clone(&local) as Arc<dyn Platform>;
    Ok((platform, welcome, Reloading { local: Some((local, file)), outbound }))
}
