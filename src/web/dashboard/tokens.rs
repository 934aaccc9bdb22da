//! The tokens that people signed in with, for output that Cloud Foundry shows to its users only.
//!
//! Invariant: they are in memory alone, at most [`TOKENS_MAX`], and none is kept beyond its end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::{Secret, Timestamp};

const TOKENS_MAX: usize = 1000;
/// How long a token without an expiry is kept.
const LIFETIME: Duration = Duration::from_secs(600);

/// Tokens by their SHA-256.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<[u8; 32], Kept>>);

struct Kept {
    token: Secret,
    ends_at: Timestamp,
}

impl Tokens {
    /// Keeps a token. If there are too many, the one that expires first is dropped.
    pub(super) fn keep(&self, digest: [u8; 32], token: &str, ends_at: Option<Timestamp>, now: Timestamp) {
        let ends_at = ends_at.unwrap_or_else(|| now.saturating_add(LIFETIME));
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, kept| now < kept.ends_at);
        if tokens.len() >= TOKENS_MAX {
            let first = tokens.iter().min_by_key(|(_, kept)| kept.ends_at).map(|(digest, _)| *digest);
            first.and_then(|digest| tokens.remove(&digest));
        }
        tokens.insert(digest, Kept { token: Secret::from(token.to_owned()), ends_at });
    }

    /// The token with this SHA-256, if it is known and has not expired.
    pub(super) fn get(&self, digest: &[u8; 32], now: Timestamp) -> Option<Secret> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(digest).filter(|kept| now < kept.ends_at).map(|kept| kept.token.clone())
    }

    /// Forgets a token when its user signs out.
    pub(super) fn forget(&self, digest: &[u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_bounded_and_end() {
        let tokens = Tokens::default();
        let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        for number in 0..=TOKENS_MAX {
            let ends_at = at(2000 + i64::try_from(number).unwrap());
            tokens.keep(digest(number), "token", Some(ends_at), at(1000));
        }
        assert!(tokens.get(&digest(0), at(1000)).is_none(), "the first to end has gone");
        assert!(tokens.get(&digest(1), at(2000)).is_some());
        assert!(tokens.get(&digest(1), at(2001)).is_none());
        tokens.keep(digest(5000), "token", None, at(4000));
        assert!(tokens.get(&digest(5000), at(4599)).is_some());
        assert!(tokens.get(&digest(5000), at(4600)).is_none());
        tokens.forget(&digest(5000));
        assert!(tokens.get(&digest(5000), at(4000)).is_none());
    }
}
