//! What dashboard sign-ins store: sign-outs, used codes, and a key.
//!
//! Invariant: a sign-out and the use of a code hold for every instance, and across restarts.

use super::statement::{sql, values};
use super::{Store, StoreError};
use crate::model::{Secret, Timestamp};

/// The most used codes that are kept, each for a few minutes. While there are this many, no other code is
/// accepted.
const CODES_MAX: i64 = 10_000;

impl Store {
    /// Sessions of `user` are valid only if they began after this instant; `None`: all are.
    pub fn signed_out_at(&self, user: &str) -> Result<Option<Timestamp>, StoreError> {
        let values = values! { "user_id": user };
        self.read(|session| session.first(sql!("sign_outs/get"), values, |row| row.get("valid_from")))
    }

    /// Ends the sessions of `user` that began by `now`. None of them would last beyond `ends_at`.
    pub fn sign_out(&self, user: &str, now: Timestamp, ends_at: Timestamp) -> Result<(), StoreError> {
        let values = values! { "user_id": user, "valid_from": now, "ends_at": ends_at };
        self.write(|tx| tx.execute(sql!("sign_outs/set"), values).map(|_| ()))
    }

    /// Deletes sign-outs that no longer matter at `before`, at most `limit`. Returns their number.
    pub fn purge_sign_outs(&self, before: Timestamp, limit: u32) -> Result<usize, StoreError> {
        let values = values! { "before": before, "limit": limit };
        self.write(|tx| tx.execute(sql!("sign_outs/purge"), values))
    }

    /// Uses up a code that expires at `ends_at`. `false`: it was used before, or too many codes were used
    /// recently.
    pub fn use_code(&self, code: &str, ends_at: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let values = values! { "code": code, "ends_at": ends_at, "maximum": CODES_MAX };
        self.write(|tx| {
            tx.execute(sql!("used_codes/purge"), values! { "before": now })?;
            tx.execute(sql!("used_codes/insert"), values).map(|rows| rows == 1)
        })
    }

    /// The random key of this database; `fresh` becomes the key if there is none yet.
    pub fn dashboard_key(&self, fresh: &Secret) -> Result<Secret, StoreError> {
        let find = || -> Result<Option<Secret>, StoreError> {
            let found: Option<String> = self.read(|session| {
                session.first(sql!("dashboard_keys/get"), values! {}, |row| row.get("value"))
            })?;
            Ok(found.map(Secret::from))
        };
        if let Some(key) = find()? {
            return Ok(key);
        }
        let values = values! { "value": fresh.reveal() };
        self.write(|tx| tx.execute(sql!("dashboard_keys/insert"), values).map(|_| ()))?;
        find()?.ok_or_else(|| StoreError::Bug("the key of the sessions was not stored".to_owned()))
    }
}
