//! Builds everything from the settings, starts the threads, and stops them in reverse order.
//!
//! The only module that knows all others. `engine` builds the engine, `platform` the platform.

mod engine;
mod platform;
mod threads;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, after, bounded};
use log::{debug, error, info, warn};

use crate::base::clock::{self, Clock, SteeredClock};
use crate::base::public_url::PublicUrl;
use crate::base::pulse::{Pulse, Watch};
use crate::base::stop::{Stopper, stop_channel};
use crate::config::{Config, Mode};
use crate::engine::journal;
use crate::engine::worker::Caller;
use crate::http::{Handlers, HttpSettings, Server};
use crate::outbound::CallsInFlight;
use crate::platform::Platform;
use crate::store::{Store, StoreSettings};
use crate::web::api::{Api, Forecast, MetricsAccess, Quotas, Readiness};
use crate::web::auth::Authenticator;
use crate::web::{Broker, Dashboard, Front, Limiter, Listener};

use engine::{Engine, EngineBuilder};
use platform::{BuiltPlatform, Reloading};
use threads::Threads;

pub use platform::{Welcome, cloud_foundry_settings};

/// The message of a call that was in flight when the service stopped.
const STOPPED: &str = "interrupted: service stopped";
/// The limits of the server for `/metrics`: one scraper, and a few people.
const METRICS_THREADS: usize = 2;
const METRICS_CONNECTIONS_MAX: usize = 16;
/// That server's share of the memory for requests and answers.
const METRICS_MEMORY_PART: usize = 16;
/// How often a stop tries to checkpoint the write-ahead log.
const CHECKPOINT_TRIES: u32 = 10;
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(50);

/// A running service.
pub struct Service {
    server: Server,
    /// Answers `/metrics` if it has its own port.
    metrics_server: Option<Server>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    stopper: Stopper,
    /// Stops the thread that renews the lease, after everything that needs the lease; `None` without a lease.
    keeper_stopper: Option<Stopper>,
    /// Closes when the last worker has ended.
    workers_ended: Receiver<()>,
    threads: Threads,
    stop_time: Duration,
    welcome: Option<Welcome>,
    reloading: Reloading,
    /// The pulse of the scheduler.
    pulse: Arc<Pulse>,
}

impl Service {
    /// Builds and starts everything. The error is a message for the user.
    pub fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let outbound = config.outbound();
        let caller = Caller::new(&outbound, config.call_timeout, config.call_reach)?;
        let listeners = Listeners::bind(config)?;
        let store = Arc::new(Store::open(&store_settings(config), Arc::clone(&clock))?);
        let lease_clock = store.is_shared().then(|| Arc::new(SteeredClock::new(Arc::clone(&clock))));
        let clock: Arc<dyn Clock> = match &lease_clock {
            Some(lease_clock) => Arc::clone(lease_clock) as Arc<dyn Clock>,
            None => clock,
        };
        let watcher_wake = bounded(1);
        let BuiltPlatform { platform, welcome, reloading } =
            platform::build(config, outbound.clone(), &clock, watcher_wake.0.clone())?;
        let public_url = Arc::new(PublicUrl::new(config.api_endpoint.as_deref()));
        let (stopper, stop) = stop_channel();
        let mut threads = Threads::default();
        let engine = EngineBuilder {
            config,
            store: Arc::clone(&store),
            platform: Arc::clone(&platform),
            clock: Arc::clone(&clock),
            stop,
            threads: &mut threads,
        };
        let calls_in_flight = Arc::new(CallsInFlight::default());
        let told = (&outbound, &public_url);
        let engine = engine.start(caller, Arc::clone(&calls_in_flight), lease_clock, watcher_wake, told)?;
        let api = api(config, &engine, (&store, &platform, &clock), calls_in_flight, public_url);
        let dashboard = config.dashboard.as_ref().map(|settings| {
            let is_standalone = config.mode == Mode::Standalone;
            let service = config.broker.as_ref().map(|broker| broker.catalog.service_id.as_str());
            Dashboard::new(settings, is_standalone, service, Arc::clone(&store))
        });
        let broker = config.broker.clone().map(|settings| Broker::new(settings, dashboard.as_ref()));
        let front = Arc::new(Front { api: Arc::new(api), broker, dashboard });
        let (server, metrics_server) = listeners.serve(config, &front)?;
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
            keeper_stopper: engine.keeper_stopper,
            workers_ended: engine.workers_ended,
            threads,
            stop_time: config.stop,
            welcome,
            reloading,
            pulse: engine.pulse,
        })
    }

    /// The address of the API.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// The address of `/metrics`.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_server.as_ref().unwrap_or(&self.server).local_addr()
    }

    /// Observes whether the scheduler works, for systemd's watchdog.
    pub fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.pulse), Arc::clone(&self.clock))
    }

    /// `None` for `serve`.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// Reloads the certificates, and the file of apps and tokens. An invalid file changes nothing.
    pub fn reload(&self) {
        self.reloading.reload();
    }

    /// Stops within `STOP_SECONDS`: accepts no more work, answers the requests that have arrived, and waits
    /// for the calls in flight. Calls that take longer are recorded as interrupted. Tasks keep running, and
    /// the next start follows them again.
    pub fn stop(self) {
        let deadline = clock::instant() + self.stop_time;
        info!("service stops");
        // The engine first: work that has not begun stays PENDING. Requests are still answered.
        self.stopper.stop();
        self.server.stop(self.stop_time);
        if let Some(metrics_server) = self.metrics_server {
            metrics_server.stop(deadline.saturating_duration_since(clock::instant()));
        }
        let workers_ended =
            self.workers_ended.recv_deadline(deadline).is_err_and(|err| err.is_disconnected());
        if let Some(keeper_stopper) = &self.keeper_stopper {
            keeper_stopper.stop();
        }
        // Interrupt calls without an answer; other instances may claim the rest from here on.
        if !workers_ended || self.store.is_shared() {
            match self.store.resign(STOPPED, self.clock.now()) {
                Ok(calls) if calls.is_empty() => {}
                Ok(calls) => {
                    warn!(calls = calls.len(); "calls in flight were interrupted");
                    for it in &calls {
                        journal::cut_off(it, STOPPED);
                    }
                }
                Err(err) => error!(cause:% = err; "the lease could not be released"),
            }
        }
        self.threads.join_ended();
        checkpoint_last(&self.store);
        info!("service stopped");
    }
}

/// The sockets, bound before anything else starts.
struct Listeners {
    api: TcpListener,
    metrics: Option<TcpListener>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, String> {
        let api = listen(SocketAddr::new(config.host, config.port), "SCHEDULER_PORT (--port)")?;
        let metrics = match config.metrics_port {
            Some(port) => Some(listen(SocketAddr::new(config.host, port), "METRICS_PORT (--metrics-port)")?),
            None => None,
        };
        Ok(Self { api, metrics })
    }

    /// Starts the API server, and the server for `/metrics` if it has its own port.
    fn serve(self, config: &Config, front: &Arc<Front>) -> Result<(Server, Option<Server>), String> {
        let metrics_memory =
            if self.metrics.is_some() { config.request_memory_max / METRICS_MEMORY_PART } else { 0 };
        let settings = HttpSettings {
            threads: config.http_threads,
            answers_take_long: matches!(config.database, crate::model::Location::Postgres(_)),
            max_connections: config.max_connections,
            client_timeout: config.client_timeout,
            idle_timeout: config.idle_timeout,
            memory_max: config.request_memory_max - metrics_memory,
        };
        let metrics_settings = HttpSettings {
            threads: METRICS_THREADS,
            answers_take_long: true,
            max_connections: METRICS_CONNECTIONS_MAX,
            client_timeout: config.client_timeout,
            idle_timeout: config.idle_timeout,
            memory_max: metrics_memory,
        };
        let serve = |socket, settings, listener| {
            Server::start(socket, settings, handlers(front, listener))
                .map_err(|err| format!("the HTTP server cannot be started: {err}"))
        };
        let Some(metrics) = self.metrics else {
            return Ok((serve(self.api, settings, Listener::Whole)?, None));
        };
        let server = serve(self.api, settings, Listener::WithoutMetrics)?;
        Ok((server, Some(serve(metrics, metrics_settings, Listener::MetricsOnly)?)))
    }
}

fn listen(address: SocketAddr, port_setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|err| {
        format!(
            "cannot listen on {address}: {err}; {port_setting} chooses another port, \
             SCHEDULER_HOST (--host) the address"
        )
    })
}

fn api(
    config: &Config,
    engine: &Engine,
    (store, platform, clock): (&Arc<Store>, &Arc<dyn Platform>, &Arc<dyn Clock>),
    calls_in_flight: Arc<CallsInFlight>,
    public_url: Arc<PublicUrl>,
) -> Api {
    let auth_cache = match config.mode {
        Mode::Serve => config.auth_cache,
        // The tokens are in memory. Without a cache, a token that was removed from the file is refused at
        // once.
        Mode::Standalone => Duration::ZERO,
    };
    // The other threads serve callers whose token is cached.
    let threads_for_uaa = config.http_threads - config.http_threads / 4;
    let observer = Arc::clone(&engine.observer);
    Api {
        store: Arc::clone(store),
        platform: Arc::clone(platform),
        auth: Authenticator::new(Arc::clone(platform), Arc::clone(clock), auth_cache, threads_for_uaa)
            .with_read_roles(config.read_roles.clone()),
        limiter: Limiter::new(config.rate_limit),
        clock: Arc::clone(clock),
        dialect: config.dialect,
        weekdays: config.weekdays,
        default_timezone: config.default_timezone.clone(),
        schedule_min_seconds: config.schedule_min_seconds,
        quotas: Quotas {
            jobs: config.quota_jobs,
            calls: config.quota_calls,
            schedules: config.quota_schedules,
            least_seconds: config.schedule_min_seconds,
        },
        require_service_instance: config.require_service_instance,
        keeps_events: !config.audit.is_zero(),
        settings: config.in_force.clone(),
        readiness: Readiness::default(),
        metrics_access: MetricsAccess { observer, token: config.metrics_token.clone() },
        calls_in_flight,
        wake_scheduler: engine.wake_scheduler.clone(),
        wake_watcher: engine.wake_watcher.clone(),
        wake_retention: engine.wake_retention.clone(),
        forecast: Forecast::default(),
        wake_notifier: engine.wake_notifier.clone(),
        public_url,
    }
}

/// Handles the requests that arrive at `listener`.
fn handlers(front: &Arc<Front>, listener: Listener) -> Handlers {
    let (handling, heads, refusing) = (Arc::clone(front), Arc::clone(front), Arc::clone(front));
    Handlers {
        handle: Box::new(move |request| handling.handle(&request, listener)),
        answer_head: Box::new(move |request| heads.answer_head(request, listener)),
        refuse: Box::new(move |refusal, headers| refusing.refuse(refusal, headers)),
    }
}

/// Checkpoints the write-ahead log, so that the database file alone is complete. Waits a little for a busy
/// reader, such as a backup.
fn checkpoint_last(store: &Store) {
    for _ in 0..CHECKPOINT_TRIES {
        match store.checkpoint() {
            Ok(()) => return,
            Err(err) => debug!(cause:% = err; "checkpoint at stop failed, retrying"),
        }
        let _ = after(CHECKPOINT_PAUSE).recv();
    }
    warn!(
        "the database file does not contain the write-ahead log; copy both, or start the service once \
     more"
    );
}

/// The part of the settings that the store needs.
pub fn store_settings(config: &Config) -> StoreSettings {
    StoreSettings {
        database: config.database.clone(),
        connections: config.database_connections,
        ca_cert_file: config.ca_cert_file.clone(),
        skip_ssl_validation: config.skip_ssl_validation,
        instance_id: config.instance_id.clone(),
        weekdays: config.weekdays,
    }
}
