//! Keeps the database file whole and small: moves the write-ahead log into it, and gives free pages back.
//!
//! Invariant: the file alone is up to date at the latest a minute after the last write, and no request waits
//! for more than one small step. PostgreSQL does all this by itself.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{after, select};
use log::log;

use crate::base::outage;
use crate::base::stop::Stop;
use crate::store::{Store, StoreError};

/// The time between two looks: a reader that is in the way of one must not be in the way of the next within
/// the minute.
const INTERVAL: Duration = Duration::from_secs(15);
/// The pause between two steps.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs until `stop` closes.
pub fn run(store: &Arc<Store>, stop: &Stop) {
    loop {
        select! {
            recv(stop) -> _ => return,
            recv(after(INTERVAL)) -> _ => (),
        }
        if let Err(err) = pass(store, stop) {
            let level = outage::level(matches!(err, StoreError::Unavailable(_)));
            log!(level, cause:% = err; "the database file could not be tidied, trying again");
        }
    }
}

/// Gives free pages back in small steps, then moves the write-ahead log into the file.
pub fn pass(store: &Store, stop: &Stop) -> Result<(), StoreError> {
    while store.release_free_pages()? {
        select! {
            recv(stop) -> _ => return Ok(()),
            recv(after(PAUSE)) -> _ => (),
        }
    }
    store.checkpoint()
}
