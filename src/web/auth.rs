//! Identifies callers, and decides in which spaces they may work.
//!
//! Invariant: no cached answer outlives its time to live or its token. Callers who wait for the same answer
//! share one request to the platform, or its failure; failures are never cached. The number of threads that
//! wait for the platform is limited, so that callers with cached answers are still served while it is slow.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::base::clock::Clock;
use crate::base::mutex::lock;
use crate::model::{AUDITOR, Access, Guid, ReadRoles};
use crate::platform::{Delivery, Identity, Platform, PlatformError};

/// The most cached answers of each kind.
const CACHED_MAX: usize = 4096;
/// A cached answer that would refuse a caller is requested again if it is older than this, so that a new
/// space or role takes effect before the time to live ends.
const REFUSAL_AGE_MAX: Duration = Duration::from_secs(5);
/// The platform counts as slow if a thread has waited for it longer than this.
const SLOW: Duration = Duration::from_secs(1);
/// The `Retry-After` of a 503 while the platform is slow.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Why a request without an `Authorization` header is refused.
pub(in crate::web) const WITHOUT_TOKEN: &str = "there is no Authorization header";
/// Longer tokens are refused without a request.
const TOKEN_LENGTH_MAX: usize = 32 * 1024;

/// A caller who may use the service: an admin, or a user with a role in at least one space.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user's (or client's) id, for the log.
    pub user: String,
    /// The user's name, or the id if there is none.
    pub name: String,
    /// Whether it is a client without a user.
    pub is_client: bool,
    admin: bool,
    spaces: Arc<HashSet<Guid>>,
    /// Whether the token carries its own spaces, so that the user's roles do not count.
    has_own_spaces: bool,
    /// The spaces that the caller may read, with the access to each.
    readable: Arc<HashMap<Guid, Access>>,
    /// Whether the caller may read everywhere.
    reads_all: bool,
    /// What the request needs.
    pub needed: Access,
}

impl Caller {
    /// The spaces that the caller may read; `None`: all.
    pub fn spaces(&self) -> Option<HashSet<Guid>> {
        let all = || self.spaces.iter().chain(self.readable.keys()).cloned().collect();
        (!self.admin && !self.reads_all).then(all)
    }

    /// Whether the caller may do everything everywhere.
    pub fn is_admin(&self) -> bool {
        self.admin
    }

    /// The spaces in which the caller has a role that may change something.
    pub fn work_spaces(&self) -> impl Iterator<Item = &str> + Clone {
        self.spaces.iter().map(Guid::as_str)
    }

    /// The access to a space according to the cache; `None`: none.
    pub fn access_to(&self, space: &Guid) -> Option<Access> {
        let reads = self.readable.get(space).copied().or(self.reads_all.then_some(Access::Read));
        if self.works_in(space) { Some(Access::Work) } else { reads }
    }

    /// The greatest access in any space, according to the cache.
    pub fn greatest_access(&self) -> Access {
        let support = self.readable.values().copied().max().unwrap_or(Access::Read);
        if self.admin || !self.spaces.is_empty() { Access::Work } else { support }
    }

    /// Whether the caller may see everything in this space, according to the cache.
    pub fn works_in(&self, space: &Guid) -> bool {
        self.admin || self.spaces.contains(space)
    }
}

/// The purpose of a request, as far as scopes distinguish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It changes nothing.
    Reading,
    /// It may change something.
    Changing,
}

/// Why a caller was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// No token, a bad one, or a user without any role; with the reason for the log.
    Unauthorized(&'static str),
    /// The platform did not answer.
    Unavailable(PlatformError),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized(reason) => f.write_str(reason),
            Self::Unavailable(error) => write!(f, "the platform could not be asked: {error}"),
        }
    }
}

/// Verifies tokens and roles through the platform, and caches its answers.
pub struct Authenticator {
    platform: Arc<dyn Platform>,
    clock: Arc<dyn Clock>,
    time_to_live: Duration,
    identities: Cache<Option<Identity>>,
    roles: Cache<Arc<HashSet<Guid>>>,
    /// The roles that may read.
    read_roles: ReadRoles,
    readable: Cache<Arc<HashMap<Guid, Access>>>,
    /// The spaces of apps, cached for each user, so that response times reveal nothing about other users'
    /// requests.
    apps: Cache<Option<Guid>>,
    answers: Cache<()>,
    waiting: WaitingRoom,
}

impl Authenticator {
    /// Caches answers for `time_to_live`; zero: no cache. At most `waiting_max` threads wait for the
    /// platform.
    pub fn new(
        platform: Arc<dyn Platform>,
        clock: Arc<dyn Clock>,
        time_to_live: Duration,
        waiting_max: usize,
    ) -> Self {
        Self {
            waiting: WaitingRoom::new(waiting_max),
            platform,
            clock,
            time_to_live,
            identities: Cache::new(time_to_live, |identity| identity.is_some()),
            roles: Cache::new(time_to_live, |spaces| !spaces.is_empty()),
            read_roles: ReadRoles::default(),
            readable: Cache::new(time_to_live, |spaces| !spaces.is_empty()),
            // All entries count alike: which one is evicted first must not reveal which apps exist.
            apps: Cache::new(time_to_live, |_| false),
            answers: Cache::new(REFUSAL_AGE_MAX, |()| true),
        }
    }

    /// Allows these roles to read.
    pub fn with_read_roles(self, read_roles: ReadRoles) -> Self {
        Self { read_roles, ..self }
    }

    /// The caller of a request with this `Authorization` header, whose token must be valid for `purpose`.
    pub fn caller(&self, authorization: Option<&str>, purpose: Purpose) -> Result<Caller, AuthError> {
        let token = bearer_token(authorization)?;
        let identity = self.identity(token)?.ok_or(UNKNOWN_TOKEN)?;
        if identity.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Err(AuthError::Unauthorized("the token has expired"));
        }
        let lacking = match purpose {
            Purpose::Reading if !identity.may_read => "the token lacks the scope cloud_controller.read",
            Purpose::Changing if !identity.may_write => "the token lacks the scope cloud_controller.write",
            _ => return self.caller_of(identity),
        };
        if !self.read_roles.have_scope_of(&identity.scopes) {
            return Err(AuthError::Unauthorized(lacking));
        }
        // It may read everywhere and nothing else, whatever roles its user has.
        self.caller_of(Identity { admin: false, spaces: Some(Vec::new()), ..identity })
    }

    /// The holder of `token` and their rights, for a dashboard session, which outlives the token.
    pub fn sign_in(&self, token: &str) -> Result<(Caller, Identity), AuthError> {
        let header = format!("Bearer {token}");
        let caller = self.caller(Some(&header), Purpose::Reading)?;
        let identity = self.identity(token.trim())?.ok_or(UNKNOWN_TOKEN)?;
        Ok((caller, identity))
    }

    /// Like [`Self::sign_in`], for a token that only identifies its user. Its scopes do not count: the roles
    /// of the user decide, and nobody is an admin.
    pub fn sign_in_by_roles(&self, token: &str) -> Result<(Caller, Identity), AuthError> {
        let known = self.identity(token.trim())?.ok_or(UNKNOWN_TOKEN)?;
        if known.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Err(AuthError::Unauthorized("the token has expired"));
        }
        let identity =
            Identity { admin: false, may_read: true, may_write: true, scopes: Vec::new(), ..known };
        Ok((self.caller_of(identity.clone())?, identity))
    }

    /// The caller of a session, who signed in with a token of this SHA-256 as `holder`.
    pub fn caller_signed_in(&self, holder: Identity, digest: &[u8; 32]) -> Result<Caller, AuthError> {
        let of_token = self.platform.identify_digest(digest).map_err(AuthError::Unavailable)?;
        match of_token {
            // Rights belong to the token, which is either valid or not.
            Some(Some(identity)) => self.caller_of(identity),
            Some(None) => Err(AuthError::Unauthorized("the token that signed in is no longer accepted")),
            None if holder.may_read => self.caller_of(holder),
            // As for a request: such a token may read everywhere, and nothing else.
            None => self.caller_of(Identity { admin: false, spaces: Some(Vec::new()), ..holder }),
        }
    }

    /// Whether the roles of a user are cached, so that [`Self::caller_signed_in`] does not wait for the
    /// platform.
    pub fn remembers(&self, user: &str) -> bool {
        let (key, now) = (key_of(&[user]), self.clock.monotonic());
        self.roles.has(&key, now) && (self.read_roles.is_empty() || self.readable.has(&key, now))
    }

    fn caller_of(&self, identity: Identity) -> Result<Caller, AuthError> {
        let is_client = identity.name.is_none();
        let name = identity.name.unwrap_or_else(|| identity.user.clone());
        if identity.admin {
            let (user, spaces) = (identity.user, Arc::default());
            let (readable, reads_all, needed) = (Arc::default(), true, Access::Work);
            return Ok(Caller {
                user,
                name,
                is_client,
                admin: true,
                spaces,
                has_own_spaces: true,
                readable,
                reads_all,
                needed,
            });
        }
        let reads_all = self.read_roles.have_scope_of(&identity.scopes);
        let readable = self.readable_by(&identity.user, identity.spaces.is_some(), &identity.readable)?;
        let has_own_spaces = identity.spaces.is_some();
        let mut spaces = match identity.spaces {
            Some(own) => Arc::new(own.into_iter().collect()),
            None => self.spaces_of(&identity.user, self.time_to_live)?,
        };
        if spaces.is_empty() && !has_own_spaces {
            spaces = self.spaces_of(&identity.user, REFUSAL_AGE_MAX)?;
        }
        if spaces.is_empty() && readable.is_empty() && !reads_all {
            return Err(AuthError::Unauthorized(if has_own_spaces {
                "the token has no space in which it is developer or manager"
            } else {
                "the user is no developer or manager of any space"
            }));
        }
        let (admin, needed) = (false, Access::Work);
        let user = identity.user;
        Ok(Caller { user, name, is_client, admin, spaces, has_own_spaces, readable, reads_all, needed })
    }

    /// Whether the caller may work in `space`.
    pub fn may_work_in(&self, caller: &Caller, space: &Guid) -> Result<bool, AuthError> {
        if caller.admin || caller.spaces.contains(space) {
            return Ok(true);
        }
        if caller.has_own_spaces {
            return Ok(false);
        }
        Ok(self.spaces_of(&caller.user, REFUSAL_AGE_MAX)?.contains(space))
    }

    /// The caller's access to `space`; `None`: none.
    pub fn access(&self, caller: &Caller, space: &Guid) -> Result<Option<Access>, AuthError> {
        if self.may_work_in(caller, space)? {
            return Ok(Some(Access::Work));
        }
        // An empty guid is not a space, so no caller has access.
        let everywhere = Some(Access::Read).filter(|_| caller.reads_all && !space.as_str().is_empty());
        Ok(caller.readable.get(space).copied().or(everywhere))
    }

    fn readable_by(
        &self,
        user: &str,
        has_own_spaces: bool,
        own: &[Guid],
    ) -> Result<Arc<HashMap<Guid, Access>>, AuthError> {
        if self.read_roles.is_empty() {
            return Ok(Arc::default());
        }
        if has_own_spaces {
            let is_read = self.read_roles.of_spaces.contains(&AUDITOR);
            let readable = own.iter().filter(|_| is_read);
            return Ok(Arc::new(readable.map(|space| (space.clone(), Access::Read)).collect()));
        }
        let key = key_of(&[user]);
        let ask = || self.platform.readable_spaces_of(user, &self.read_roles).map(Arc::new);
        let known = self.remembered(&self.readable, key, self.time_to_live, ask)?;
        match known.is_empty() {
            true => self.remembered(&self.readable, key, REFUSAL_AGE_MAX, ask),
            false => Ok(known),
        }
    }

    /// The space of an app if the caller may read there; `None`: no such app, or another's. Both cases take
    /// the same steps and requests, so that response times do not reveal which apps exist.
    pub fn space_of_app(&self, caller: &Caller, app: &Guid) -> Result<Option<Guid>, AuthError> {
        let key = key_of(&[&caller.user, app.as_str()]);
        let ask = || self.platform.space_of_app(app);
        let space = self.remembered(&self.apps, key, self.time_to_live, ask)?;
        let is_known = space.as_ref().is_some_and(|space| caller.admin || caller.spaces.contains(space));
        if is_known {
            return Ok(space);
        }
        // The app may be new, or its space may be new to the caller.
        let space = match REFUSAL_AGE_MAX < self.time_to_live {
            true => self.remembered(&self.apps, key, REFUSAL_AGE_MAX, ask)?,
            false => space,
        };
        let nowhere = Guid::from("");
        let access = self.access(caller, space.as_ref().unwrap_or(&nowhere))?;
        Ok(space.filter(|_| access.is_some()))
    }

    /// Whether the platform answers and accepts the service, or did within the last seconds. This is cached
    /// even without a cache for callers, because anybody may ask.
    pub fn check_platform(&self) -> Result<(), PlatformError> {
        let now = || self.clock.monotonic();
        self.answers.get(key_of(&[]), now, REFUSAL_AGE_MAX, &self.waiting, || self.platform.check())
    }

    /// The holder of `token`. Refusals are checked again soon: of two nodes of UAA, one may not know a new
    /// key yet.
    fn identity(&self, token: &str) -> Result<Option<Identity>, AuthError> {
        let key = key_of(&[token]);
        let ask = || self.platform.identify(token);
        match self.remembered(&self.identities, key, self.time_to_live, ask)? {
            None if REFUSAL_AGE_MAX < self.time_to_live => {
                self.remembered(&self.identities, key, REFUSAL_AGE_MAX, ask)
            }
            known => Ok(known),
        }
    }

    fn spaces_of(&self, user: &str, age_max: Duration) -> Result<Arc<HashSet<Guid>>, AuthError> {
        self.remembered(&self.roles, key_of(&[user]), age_max, || {
            self.platform.spaces_of(user).map(|spaces| Arc::new(spaces.into_iter().collect()))
        })
    }

    fn remembered<V: Clone>(
        &self,
        cache: &Cache<V>,
        key: Key,
        age_max: Duration,
        ask: impl FnOnce() -> Result<V, PlatformError>,
    ) -> Result<V, AuthError> {
        let age_max = age_max.min(self.time_to_live);
        let now = || self.clock.monotonic();
        cache.get(key, now, age_max, &self.waiting, ask).map_err(AuthError::Unavailable)
    }
}

const UNKNOWN_TOKEN: AuthError = AuthError::Unauthorized("the platform does not accept the token");

/// The key of a cached answer: a hash, so that callers cannot choose its size.
type Key = [u8; 32];

/// The hash of several texts in order, each terminated unambiguously.
fn key_of(texts: &[&str]) -> Key {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

/// The threads that wait for the platform.
struct WaitingRoom {
    seats: usize,
    /// When each began to wait.
    since: Mutex<Vec<Duration>>,
    freed: Condvar,
}

/// A place in the waiting room, until it is dropped.
struct Seat<'a> {
    room: &'a WaitingRoom,
    since: Duration,
}

impl WaitingRoom {
    fn new(seats: usize) -> Self {
        Self { seats, since: Mutex::default(), freed: Condvar::new() }
    }

    /// Takes a seat, perhaps after a moment. An error if the platform is slow and all seats are taken.
    fn enter(&self, now: Duration) -> Result<Seat<'_>, PlatformError> {
        let since = lock(&self.since);
        let first = since.iter().min().copied().unwrap_or(now);
        let until_slow = (first + SLOW).saturating_sub(now);
        let (mut since, waited) = self
            .freed
            .wait_timeout_while(since, until_slow, |since| self.seats <= since.len())
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(PlatformError::Unavailable {
                cause: "it is slow, and enough requests wait for it".to_owned(),
                retry_after: Some(RETRY_AFTER),
                delivery: Delivery::Failed,
            });
        }
        since.push(now);
        Ok(Seat { room: self, since: now })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut since = lock(&self.room.since);
        if let Some(place) = since.iter().position(|since| *since == self.since) {
            since.swap_remove(place);
        }
        self.room.freed.notify_one();
    }
}

/// The token of `Authorization: bearer TOKEN`, the scheme in any case.
fn bearer_token(authorization: Option<&str>) -> Result<&str, AuthError> {
    let authorization = authorization.ok_or(AuthError::Unauthorized(WITHOUT_TOKEN))?;
    let (scheme, token) = authorization.trim().split_once(' ').unwrap_or((authorization, ""));
    let token = token.trim();
    let sane = !token.is_empty()
        && token.len() <= TOKEN_LENGTH_MAX
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if scheme.eq_ignore_ascii_case("bearer") && sane {
        Ok(token)
    } else {
        Err(AuthError::Unauthorized("the Authorization header contains no bearer token"))
    }
}

/// A cache of answers. All threads that wait for the same answer share one request.
struct Cache<V> {
    entries: Mutex<HashMap<Key, Entry<V>>>,
    /// Older answers are dropped.
    age_max: Duration,
    /// When old answers were last dropped.
    swept_at: Mutex<Duration>,
    /// Whether an answer grants access. Other answers are evicted first.
    is_precious: fn(&V) -> bool,
}

enum Entry<V> {
    Known { value: V, asked_at: Duration },
    Asking(Arc<Flight<V>>),
}

/// A request in progress, and the threads that wait for it.
struct Flight<V> {
    answer: Mutex<Option<Result<V, PlatformError>>>,
    landed: Condvar,
}

impl<V: Clone> Cache<V> {
    fn new(age_max: Duration, is_precious: fn(&V) -> bool) -> Self {
        Self { entries: Mutex::default(), age_max, swept_at: Mutex::default(), is_precious }
    }

    fn get(
        &self,
        key: Key,
        now: impl Fn() -> Duration,
        age_max: Duration,
        waiting: &WaitingRoom,
        ask: impl FnOnce() -> Result<V, PlatformError>,
    ) -> Result<V, PlatformError> {
        let mut entries = lock(&self.entries);
        // The age counts from before the request, because the answer may have changed since.
        let asked_at = now();
        match entries.get(&key) {
            Some(Entry::Known { value, asked_at: then })
                if asked_at.checked_sub(*then).is_some_and(|age| age < age_max) =>
            {
                return Ok(value.clone());
            }
            Some(Entry::Asking(flight)) => {
                let flight = Arc::clone(flight);
                drop(entries);
                let _seat = waiting.enter(asked_at)?;
                return flight.wait();
            }
            _ => {}
        }
        let flight = Arc::new(Flight { answer: Mutex::new(None), landed: Condvar::new() });
        self.drop_expired(&mut entries, asked_at);
        self.make_room(&mut entries);
        entries.insert(key, Entry::Asking(Arc::clone(&flight)));
        drop(entries);

        // No lock is held here, so callers with cached answers do not wait.
        let asked = catch_unwind(AssertUnwindSafe(|| {
            let _seat = waiting.enter(asked_at)?;
            ask()
        }));
        let answer = match &asked {
            Ok(answer) => answer.clone(),
            // The waiting threads must not wait forever.
            Err(_) => Err(PlatformError::Unavailable {
                cause: "the request panicked".to_owned(),
                retry_after: None,
                delivery: Delivery::Unknown,
            }),
        };
        let mut entries = lock(&self.entries);
        match &answer {
            Ok(value) if !age_max.is_zero() => {
                entries.insert(key, Entry::Known { value: value.clone(), asked_at });
            }
            _ => {
                entries.remove(&key);
            }
        }
        drop(entries);
        *lock(&flight.answer) = Some(answer.clone());
        flight.landed.notify_all();
        asked.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Whether there is an answer that is not too old and lets somebody in.
    fn has(&self, key: &Key, now: Duration) -> bool {
        match lock(&self.entries).get(key) {
            Some(Entry::Known { value, asked_at }) => {
                (self.is_precious)(value) && now.checked_sub(*asked_at).is_some_and(|age| age < self.age_max)
            }
            _ => false,
        }
    }

    /// Drops answers that are too old, at most once in their maximum age.
    fn drop_expired(&self, entries: &mut HashMap<Key, Entry<V>>, now: Duration) {
        let mut swept_at = lock(&self.swept_at);
        if now.saturating_sub(*swept_at) < self.age_max {
            return;
        }
        *swept_at = now;
        let age_max = self.age_max;
        entries.retain(|_, entry| match entry {
            Entry::Known { asked_at, .. } => now.saturating_sub(*asked_at) < age_max,
            Entry::Asking(_) => true,
        });
        entries.shrink_to(entries.len() * 2);
    }

    /// Bounds the number of entries. Requests in progress are bounded by the number of threads.
    fn make_room(&self, entries: &mut HashMap<Key, Entry<V>>) {
        if entries.len() < CACHED_MAX {
            return;
        }
        let mut known: Vec<(bool, Duration, Key)> = entries
            .iter()
            .filter_map(|(key, entry)| match entry {
                Entry::Known { value, asked_at } => Some(((self.is_precious)(value), *asked_at, *key)),
                Entry::Asking(_) => None,
            })
            .collect();
        known.sort_by_key(|(precious, asked_at, _)| (*precious, *asked_at));
        // A quarter at a time, so that sorting is rare.
        for (_, _, key) in known.into_iter().take(CACHED_MAX / 4) {
            entries.remove(&key);
        }
    }
}

impl<V: Clone> Flight<V> {
    fn wait(&self) -> Result<V, PlatformError> {
        let mut answer = lock(&self.answer);
        loop {
            match &*answer {
                Some(answer) => return answer.clone(),
                None => answer = self.landed.wait(answer).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn failure() -> PlatformError {
        PlatformError::Unavailable { cause: "away".to_owned(), retry_after: None, delivery: Delivery::Failed }
    }

    fn key(number: usize) -> Key {
        key_of(&[&number.to_string()])
    }

    fn room() -> WaitingRoom {
        WaitingRoom::new(usize::MAX)
    }

    #[test]
    fn a_bounded_number_waits_for_the_platform_and_nobody_else_while_it_is_slow() {
        let room = WaitingRoom::new(2);
        let at = Duration::from_millis;
        let (first, second) = (room.enter(at(0)).ok().unwrap(), room.enter(at(10)).ok().unwrap());
        assert!(room.enter(at(1000)).is_err(), "the first has waited for a second");
        thread::scope(|scope| {
            let third = scope.spawn(|| room.enter(at(20)).is_ok());
            // Whether it waits already or not, it gets the seat.
            drop(first);
            assert!(third.join().unwrap());
        });
        assert!(room.enter(at(9000)).is_ok(), "one waits for long, and there is a seat");
        drop(second);
    }

    #[test]
    fn an_answer_is_had_while_it_is_fresh_and_lets_somebody_in() {
        let cache: Cache<u8> = Cache::new(MINUTE, |value| 0 < *value);
        for value in [0, 7] {
            let number = usize::from(value);
            assert!(!cache.has(&key(number), Duration::ZERO));
            let got = cache.get(key(number), Duration::default, MINUTE, &room(), || Ok(value));
            assert_eq!(got, Ok(value));
            assert_eq!(cache.has(&key(number), MINUTE / 2), 0 < value);
            assert!(!cache.has(&key(number), MINUTE));
        }
    }

    #[test]
    fn threads_that_wait_for_one_answer_share_the_request_and_its_failure() {
        for answer in [Ok(7), Err(failure())] {
            let cache: Cache<u8> = Cache::new(MINUTE, |_| true);
            let (asked, everybody) = (AtomicUsize::new(0), Barrier::new(8));
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        everybody.wait();
                        let got = cache.get(key(1), Duration::default, MINUTE, &room(), || {
                            asked.fetch_add(1, Ordering::SeqCst);
                            // Long enough for the others to start waiting.
                            let _ = crossbeam_channel::after(Duration::from_millis(200)).recv();
                            answer.clone()
                        });
                        assert_eq!(got, answer);
                    });
                }
            });
            assert_eq!(asked.load(Ordering::SeqCst), 1);
        }
    }

    #[test]
    fn answers_are_cached_for_their_time_and_failures_never() {
        let cache: Cache<u8> = Cache::new(MINUTE, |_| true);
        let at = |seconds: u64| move || Duration::from_secs(seconds);
        assert!(cache.get(key(1), at(0), MINUTE, &room(), || Err(failure())).is_err());
        assert_eq!(cache.get(key(1), at(0), MINUTE, &room(), || Ok(1)), Ok(1));
        assert_eq!(cache.get(key(1), at(59), MINUTE, &room(), || Ok(2)), Ok(1));
        assert_eq!(cache.get(key(1), at(60), MINUTE, &room(), || Ok(3)), Ok(3));
        assert_eq!(cache.get(key(1), at(60), Duration::ZERO, &room(), || Ok(4)), Ok(4), "0 asks each time");
    }

    #[test]
    fn refusals_are_evicted_before_accepted_callers() {
        let cache: Cache<bool> = Cache::new(MINUTE, |let_in| *let_in);
        assert_eq!(cache.get(key(usize::MAX), Duration::default, MINUTE, &room(), || Ok(true)), Ok(true));
        for number in 0..3 * CACHED_MAX {
            assert_eq!(cache.get(key(number), Duration::default, MINUTE, &room(), || Ok(false)), Ok(false));
        }
        assert!(lock(&cache.entries).len() <= CACHED_MAX);
        assert_eq!(
            cache.get(key(usize::MAX), Duration::default, MINUTE, &room(), || Ok(false)),
            Ok(true),
            "still remembered"
        );
    }

    #[test]
    fn old_answers_are_dropped_although_nobody_asks_for_them() {
        let cache: Cache<u8> = Cache::new(MINUTE, |_| true);
        let at = |seconds: u64| move || Duration::from_secs(seconds);
        for number in 0..100 {
            assert_eq!(cache.get(key(number), at(number as u64 % 30), MINUTE, &room(), || Ok(1)), Ok(1));
        }
        assert_eq!(lock(&cache.entries).len(), 100);
        assert_eq!(cache.get(key(100), at(95), MINUTE, &room(), || Ok(1)), Ok(1));
        assert_eq!(lock(&cache.entries).len(), 1);
    }

    #[test]
    fn keys_of_different_sequences_of_texts_differ() {
        assert_ne!(key_of(&["ab", "c"]), key_of(&["a", "bc"]));
        assert_ne!(key_of(&[]), key_of(&[""]));
    }
}
