//! Keeps the database file complete and small: checkpoints the write-ahead log into it, and frees unused
//! pages.
//!
//! Invariant: the file alone is complete at most a minute after the last write, and no request waits for more
//! than one small step. PostgreSQL needs none of this.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{after, select};
use log::log;

use crate::base::outage;
use crate::base::stop::Stop;
use crate::store::{Store, StoreError};

/// The time between two passes. It is so short that, if a reader blocks one pass, the next still meets the
/// minute.
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
            log!(level, cause:% = err; "maintenance of the database file failed, retrying");
        }
    }
}

/// Frees unused pages in small steps, then checkpoints the write-ahead log into the file.
pub fn pass(store: &Store, stop: &Stop) -> Result<(), StoreError> {
    while store.release_free_pages()? {
        select! {
            recv(stop) -> _ => return Ok(()),
            recv(after(PAUSE)) -> _ => (),
        }
    }
    store.checkpoint()
}
