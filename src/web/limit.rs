//! Limits the request rate of each caller with a token bucket. Off unless a rate is set.
//!
//! Invariant: the number of buckets is bounded, and dropping one never takes a request from a caller: full
//! buckets are dropped first, then the least recently used ones.
//!
//! A caller is a user (or client) as UAA names it, so more tokens do not mean more requests. A token that was
//! refused, or whose user was over the limit, has its own bucket, which is checked before UAA is asked about
//! the token again. Network addresses are not used: behind the router of a Cloud Foundry all clients have its
//! address, the last hop of `X-Forwarded-For` is often a load balancer's, and earlier hops are written by the
//! client. So a client that invents a token for each request is not limited here; `auth` limits how many
//! threads wait for UAA.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::config::RateLimit;

/// The most buckets that are kept.
const BUCKETS_MAX: usize = 8192;

/// The key of a bucket. No `Debug`, because it may hold a token.
#[derive(Clone, Copy)]
pub(in crate::web) enum RateLimitKey<'a> {
    /// A user that the platform has verified.
    User(&'a str),
    /// The platform, as the user of the service broker.
    Broker(&'a str),
    /// An `Authorization` header that was refused for any reason.
    Refused(&'a str),
}

/// All buckets, shared by the threads that answer.
pub struct Limiter {
    rate: Option<RateLimit>,
    buckets: Mutex<HashMap<[u8; 32], Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// The content at the time `at`, in billionths of a request.
    left: u64,
    /// On the monotonic clock.
    at: Duration,
}

/// The size of a request in a bucket, so that each nanosecond adds `per_second`.
const REQUEST: u64 = 1_000_000_000;

impl Limiter {
    /// Limits all callers to `rate`; `None`: no limit.
    pub fn new(rate: Option<RateLimit>) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes a request from a bucket. `Err`: it is empty; the time until it has a request again.
    pub(in crate::web) fn take(&self, who: RateLimitKey<'_>, now: Duration) -> Result<(), Duration> {
        self.draw(who, now, REQUEST)
    }

    /// Checks for a request in a bucket without taking it. `Err`: it is empty; the time until there is one.
    pub(in crate::web) fn look(&self, who: RateLimitKey<'_>, now: Duration) -> Result<(), Duration> {
        self.draw(who, now, 0)
    }

    fn draw(&self, who: RateLimitKey<'_>, now: Duration, amount: u64) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let key = who.key();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bucket = buckets.get(&key).map_or(full(rate, now), |bucket| filled(*bucket, rate, now));
        if bucket.left < REQUEST {
            let wait = (REQUEST - bucket.left).div_ceil(u64::from(rate.per_second));
            return Err(Duration::from_nanos(wait));
        }
        if amount == 0 {
            return Ok(());
        }
        bucket.left -= amount;
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&key) {
            make_room(&mut buckets, rate, now);
        }
        buckets.insert(key, bucket);
        Ok(())
    }
}

fn full(rate: RateLimit, now: Duration) -> Bucket {
    Bucket { left: u64::from(rate.burst) * REQUEST, at: now }
}

fn filled(bucket: Bucket, rate: RateLimit, now: Duration) -> Bucket {
    let nanos = u64::try_from(now.saturating_sub(bucket.at).as_nanos()).unwrap_or(u64::MAX);
    let come = nanos.saturating_mul(u64::from(rate.per_second));
    // The times of threads may be out of order; no time is counted twice.
    Bucket { left: bucket.left.saturating_add(come).min(full(rate, now).left), at: now.max(bucket.at) }
}

fn make_room(buckets: &mut HashMap<[u8; 32], Bucket>, rate: RateLimit, now: Duration) {
    buckets.retain(|_, bucket| filled(*bucket, rate, now).left < full(rate, now).left);
    if buckets.len() < BUCKETS_MAX {
        return;
    }
    let mut times: Vec<Duration> = buckets.values().map(|bucket| bucket.at).collect();
    // A quarter at a time, so that this is rare.
    let (_, quarter, _) = times.select_nth_unstable(BUCKETS_MAX / 4);
    let quarter = *quarter;
    buckets.retain(|_, bucket| quarter < bucket.at);
}

impl RateLimitKey<'_> {
    fn key(self) -> [u8; 32] {
        let (kind, text) = match self {
            Self::User(user) => ("user ", user),
            Self::Broker(user) => ("broker ", user),
            Self::Refused(header) => ("refused ", header),
        };
        Sha256::new().chain_update(kind).chain_update(text).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: RateLimitKey<'_> = RateLimitKey::User("anna");

    fn limiter(per_second: u32, burst: u32) -> Limiter {
        Limiter::new(Some(RateLimit { per_second, burst }))
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_applies() {
        let limiter = limiter(2, 3);
        for _ in 0..3 {
            assert_eq!(limiter.take(ANNA, at(0)), Ok(()));
        }
        assert_eq!(limiter.take(ANNA, at(0)), Err(at(500)));
        assert_eq!(limiter.take(ANNA, at(400)), Err(at(100)), "asking costs nothing");
        assert_eq!(limiter.take(ANNA, at(500)), Ok(()));
        assert_eq!(limiter.look(ANNA, at(600)), Err(at(400)));
        for _ in 0..3 {
            assert_eq!(limiter.take(ANNA, at(60_000)), Ok(()), "no more than the burst comes together");
        }
        assert!(limiter.take(ANNA, at(60_000)).is_err());
    }

    #[test]
    fn an_earlier_reading_of_the_time_fills_no_bucket_twice() {
        let limiter = limiter(1, 2);
        assert_eq!(limiter.take(ANNA, at(5000)), Ok(()));
        assert_eq!(limiter.take(ANNA, at(1000)), Ok(()));
        assert_eq!(limiter.take(ANNA, at(5000)), Err(at(1000)));
    }

    #[test]
    fn callers_have_separate_buckets_and_no_limit_without_a_rate() {
        let limited = limiter(1, 1);
        assert_eq!(limited.take(ANNA, at(0)), Ok(()));
        assert_eq!(limited.take(RateLimitKey::User("ben"), at(0)), Ok(()));
        assert_eq!(limited.take(RateLimitKey::Refused("anna"), at(0)), Ok(()));
        assert!(limited.take(ANNA, at(0)).is_err());
        let off = Limiter::new(None);
        assert!((0..1000).all(|_| off.take(ANNA, at(0)).is_ok()));
    }

    #[test]
    fn buckets_are_bounded_and_full_ones_are_dropped_before_empty_ones() {
        let limiter = limiter(1, 1);
        for number in 0..BUCKETS_MAX {
            assert!(limiter.take(RateLimitKey::User(&number.to_string()), at(0)).is_ok());
        }
        assert!(limiter.take(ANNA, at(1000)).is_ok(), "the others are full again, and go");
        for number in 0..3 * BUCKETS_MAX {
            let _ = limiter.take(RateLimitKey::User(&number.to_string()), at(1001));
        }
        assert!(limiter.buckets.lock().unwrap().len() <= BUCKETS_MAX);
    }
}
