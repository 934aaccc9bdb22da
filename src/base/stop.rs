//! Shutdown: a channel that carries nothing and closes once.
//!
//! Everything that waits also waits on a [`Stop`]; when its [`Stopper`] stops or is dropped, all of them
//! wake.

use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::PoisonError;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

/// Closed when the service is to stop. Use it in `select!` with `recv(stop)`; clones see the same close.
pub type Stop = Receiver<Infallible>;

/// Stops the service.
#[derive(Debug)]
pub struct Stopper(Mutex<Option<Sender<Infallible>>>);

impl Stopper {
    /// Closes the channel. A second call changes nothing.
    pub fn stop(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A new stop channel.
pub fn stop_channel() -> (Stopper, Stop) {
    let (sender, receiver) = bounded(0);
    (Stopper(Mutex::new(Some(sender))), receiver)
}

/// Whether the channel has closed.
pub fn is_stopped(stop: &Stop) -> bool {
    matches!(stop.try_recv(), Err(TryRecvError::Disconnected))
}
