//! The back-off of requests to the platform while it is unavailable. Others are elsewhere: that of the field
//! `retry` in `model::runs`, that of deliveries in `store::outbox`.

use std::time::Duration;

/// The wait after the first failure in a row; it doubles with each.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait between attempts, unless the platform asks for a longer one.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The wait after this many consecutive failures. It doubles up to [`BACKOFF_MAX`], plus a jitter of up to a
/// fifth, so that executions that failed together do not retry together.
pub(super) fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let doubled = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(BACKOFF_MAX);
    let jitter = (uuid::Uuid::new_v4().as_u128() % 200) as u32;
    doubled + doubled * jitter / 1000
}
