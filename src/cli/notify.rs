//! Tells systemd how far the service is (`Type=notify`): one datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! Invariant: a service that systemd has not started, or that cannot reach it, works all the same.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use log::warn;

use crate::config;

/// The service answers requests.
pub(super) const READY: &str = "READY=1";
/// The service takes nothing new.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Sends `state`; does nothing if nobody asked for it.
pub(super) fn tell(state: &str) {
    let Some(socket) = config::variable("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&socket),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(err) = sent {
        warn!(state, cause:% = err; "systemd cannot be told");
    }
}
