//! A lock on a file, for as long as the file is open: what only one process may use.

use std::fs::{File, TryLockError};
use std::time::Duration;

use crossbeam_channel::after;

/// How often it is tried.
const TRIES: u32 = 25;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock. A holder that is just ending, or a child process that holds it until it becomes another program, is
/// awaited for half a second.
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
