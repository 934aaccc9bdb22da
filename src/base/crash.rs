//! Named places at which a test ends the process as `kill -9` would, or makes its thread panic. They are there in builds
//! with debug assertions only; elsewhere a place is nothing at all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    place: String,
    /// The passing at which it happens, counted down.
    passings: AtomicU32,
    panics: bool,
}

/// Arms one place of the process: `PLACE`, `PLACE:N` (at the Nth passing) or `PLACE:N:panic`. What cannot be read, and
/// every call but the first, changes nothing.
pub fn arm(text: &str) {
    let mut parts = text.split(':');
    let place = parts.next().unwrap_or_default().to_owned();
    let passings = parts.next().and_then(|number| number.parse().ok()).unwrap_or(1);
    let panics = parts.next() == Some("panic");
    // A second arming is refused by the lock, which is what is promised.
    let _ = ARMED.set(Armed { place, passings: AtomicU32::new(passings), panics });
}

/// Passes a place: nothing happens, unless it is the armed one and its time has come.
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
        std::panic::panic_any(format!("a test asked for a panic at {}", armed.place));
    }
    // It cannot fail for a process that is there; and if it did, the test would see the process live on.
    let _ = kill_process(getpid(), Signal::KILL);
}
