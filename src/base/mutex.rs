//! Locks a mutex.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for the mutex. A panic of a thread that held it does not matter: the guarded values of this program
/// are consistent wherever a panic can happen.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
