//! Locks a file that only one process may use, for as long as it is open.

use std::fs::{File, TryLockError};
use std::time::Duration;

use crossbeam_channel::after;

const TRIES: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock. Waits half a second for a process that is ending, or a child that holds the lock until it
/// execs.
///
/// # Errors
/// [`TryLockError::WouldBlock`]: another process has it.
pub(crate) fn take(file: &File) -> Result<(), TryLockError> {
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let _ = after(PAUSE).recv();
            }
            decided => return decided,
        }
    }
    file.try_lock()
}
