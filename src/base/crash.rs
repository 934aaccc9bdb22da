//! Crash points: named places at which a test kills the process as `kill -9` would, or makes its thread
//! panic. Only builds with debug assertions have them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    place: String,
    /// How many more times the place is passed before the crash.
    passings: AtomicU32,
    panics: bool,
}

/// Arms one place: `PLACE`, `PLACE:N` (the Nth time it is passed) or `PLACE:N:panic`.
/// Only the first call in a process has an effect.
pub fn arm(text: &str) {
    let mut parts = text.split(':');
    let place = parts.next().unwrap_or_default().to_owned();
    let passings = parts.next().and_then(|number| number.parse().ok()).unwrap_or(1);
    let panics = parts.next() == Some("panic");
    // Fails if a place is armed already, as documented.
    let _ = ARMED.set(Armed { place, passings: AtomicU32::new(passings), panics });
}

/// Passes a place. Does nothing unless this place is armed.
#[inline]
pub fn point(place: &str) {
    if cfg!(debug_assertions) && ARMED.get().is_some_and(|armed| armed.place == place) {
        pass();
    }
}

#[cold]
fn pass() {
    let Some(armed) = ARMED.get() else { return };
    if armed.passings.fetch_sub(1, Ordering::SeqCst) != 1 {
        return;
    }
    if armed.panics {
        std::panic::panic_any(format!("crash point: panic at {}", armed.place));
    }
    // If this failed, the test would see that the process is still alive.
    let _ = kill_process(getpid(), Signal::KILL);
}
