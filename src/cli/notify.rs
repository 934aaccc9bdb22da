//! Reports to systemd that the service is ready or stopping (`Type=notify`), and that its scheduler works
//! (`WatchdogSec=`), by datagrams to the socket that `NOTIFY_SOCKET` names.
//!
//! Invariant: a service that systemd did not start, or that cannot reach systemd, still works.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use std::thread;
use std::time::Duration;

use crossbeam_channel::{after, select};
use log::{error, warn};

use crate::base::pulse::Watch;
use crate::base::stop::Stop;
use crate::config;

/// The service answers requests.
pub(super) const READY: &str = "READY=1";
/// The service accepts no new work.
pub(super) const STOPPING: &str = "STOPPING=1";

/// The scheduler works. systemd restarts a service that does not say so for `WatchdogSec=`.
const ALIVE: &str = "WATCHDOG=1";

/// Starts a thread that tells systemd until `stop` closes that the scheduler works, as long as it does. Does
/// nothing if systemd does not watch this process.
pub(super) fn start_watchdog(watch: Watch, stop: Stop) {
    let Some(pause) = watchdog_pause() else { return };
    let body = move || {
        let mut was_alive = true;
        loop {
            let is_alive = watch.is_alive();
            if is_alive {
                tell(ALIVE);
            } else if was_alive {
                error!("the scheduler hangs, systemd will restart the service");
            }
            was_alive = is_alive;
            select! {
                recv(stop) -> _ => return,
                recv(after(pause)) -> _ => (),
            }
        }
    };
    if let Err(err) = thread::Builder::new().name("watchdog".to_owned()).spawn(body) {
        warn!(cause:% = err; "the watchdog cannot be started, systemd will restart the service");
    }
}

/// A third of the time that systemd waits; `None` if it does not watch this process.
fn watchdog_pause() -> Option<Duration> {
    if config::variable("WATCHDOG_PID").is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let micros: u64 = config::variable("WATCHDOG_USEC")?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros.div_ceil(3)))
}

/// Sends `state`; does nothing if systemd did not ask for it.
pub(super) fn tell(state: &str) {
    let Some(socket) = config::variable("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&socket),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(err) = sent {
        warn!(state, cause:% = err; "systemd cannot be notified");
    }
}
