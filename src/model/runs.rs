//! What decides the course of a run: reasons for its end, cancels, and retries.

use std::time::Duration;

use super::{ConcurrencyPolicy, Guid, RetryPolicy, Timestamp};

/// Why an execution was skipped or failed. The names are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The attempt took longer than `timeout_seconds`, or than a call may take.
    Timeout,
    /// A client cancelled it, or disabled or deleted its schedule before it began.
    Cancelled,
    /// A later execution took its place: `concurrency_policy` `Replace`.
    Replaced,
    /// Another execution had not ended: `concurrency_policy` `Forbid`, `Queue` or `Replace`.
    Overlap,
    /// The service ended while the call was in flight.
    Interrupted,
    /// The platform was unavailable for too long.
    GaveUp,
    /// The platform refused the task.
    Refused,
    /// The task ran and failed.
    TaskFailed,
    /// No answer came to the call.
    NoAnswer,
    /// The answer to the call is not among `success_statuses`.
    Status,
    /// The call has a URL or an address that cannot be requested.
    NotSent,
    /// The platform no longer knows the task.
    Vanished,
    /// The only fire time of a one-off schedule was missed.
    Missed,
    /// The only fire time of a one-off schedule passed while it was paused.
    Paused,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Timeout,
        Self::Cancelled,
        Self::Replaced,
        Self::Overlap,
        Self::Interrupted,
        Self::GaveUp,
        Self::Refused,
        Self::TaskFailed,
        Self::NoAnswer,
        Self::Status,
        Self::NotSent,
        Self::Vanished,
        Self::Missed,
        Self::Paused,
    ];

    /// Its name for clients and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Replaced => "replaced",
            Self::Overlap => "overlap",
            Self::Interrupted => "interrupted",
            Self::GaveUp => "gave_up",
            Self::Refused => "refused",
            Self::TaskFailed => "task_failed",
            Self::NoAnswer => "no_answer",
            Self::Status => "status",
            Self::NotSent => "not_sent",
            Self::Vanished => "vanished",
            Self::Missed => "missed",
            Self::Paused => "paused",
        }
    }

    /// The reason of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// A request to cancel a running execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelling {
    /// Why it is cancelled.
    pub reason: Reason,
    /// The message of the execution once it has ended.
    pub message: String,
    /// When the platform accepted the cancel; `None` if it has not.
    pub accepted_at: Option<Timestamp>,
}

/// What is needed to decide whether an execution may begin, and whether another attempt follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Course {
    /// What happens when an earlier execution has not ended.
    pub concurrency_policy: ConcurrencyPolicy,
    /// Whether a failed attempt is repeated.
    pub retry: Option<RetryPolicy>,
    /// The number of the current attempt, from 1.
    pub attempt: u32,
    /// When its first attempt began; `None` before that.
    pub began_at: Option<Timestamp>,
}

/// Another attempt, after one that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextAttempt {
    /// When it is due.
    pub due_at: Timestamp,
    /// When the attempt before ended.
    pub ended_at: Timestamp,
    /// Why the attempt before failed.
    pub cause: String,
    /// The message of the execution until then.
    pub message: String,
}

impl Course {
    /// The attempt after one that failed at `ended_at` because of `cause`, or `None` if there is no other.
    /// `asked_for` is the wait that the other side asked for (`Retry-After`).
    pub fn next_attempt(
        &self,
        ended_at: Timestamp,
        asked_for: Option<Duration>,
        cause: &str,
    ) -> Option<NextAttempt> {
        let retry = self.retry.filter(|retry| self.attempt <= retry.max_retries)?;
        let most = Duration::from_secs(retry.max_backoff_seconds.into());
        let wait = jittered(doubled(retry.backoff_seconds, self.attempt, most));
        let due_at = ended_at.saturating_add(wait.max(asked_for.unwrap_or_default().min(most)));
        if let (Some(began_at), Some(max_age)) = (self.began_at, retry.max_age_seconds)
            && began_at.saturating_add(Duration::from_secs(max_age.into())) < due_at
        {
            return None;
        }
        let attempts = retry.max_retries + 1;
        let message = format!(
            "attempt {} of {attempts} failed: {cause}; the next one is due at {}",
            self.attempt,
            due_at.to_the_second()
        );
        Some(NextAttempt { due_at, ended_at, cause: cause.to_owned(), message })
    }
}

/// The delay, doubled for each attempt, up to `most`.
fn doubled(first_seconds: u32, attempt: u32, most: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(attempt.saturating_sub(1).min(31));
    Duration::from_secs(first_seconds.into()).saturating_mul(factor).min(most)
}

/// Up to a fifth more or less, at random, so that what failed together is not retried together.
fn jittered(wait: Duration) -> Duration {
    let thousandths = 800 + (uuid::Uuid::new_v4().as_u128() % 401) as u32;
    wait / 1000 * thousandths
}

/// Identifies an attempt: the guid of the execution, followed by the number from the second attempt on.
pub fn attempt_key(execution: &Guid, attempt: u32) -> Guid {
    match attempt {
        ..=1 => execution.clone(),
        _ => Guid::from(format!("{execution}.{attempt}")),
    }
}

/// The attempt of `execution` whose task has this name; `None` if the task belongs to something else.
pub fn attempt_of_task(name: &str, execution: &Guid) -> Option<u32> {
    let (_, rest) = name.split_once(execution.as_str())?;
    let number = rest.strip_prefix('.').unwrap_or_default();
    let digits = number.find(|character: char| !character.is_ascii_digit()).unwrap_or(number.len());
    Some(number[..digits].parse().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn course(attempt: u32, max_age_seconds: Option<u32>) -> Course {
        let retry =
            RetryPolicy { max_retries: 5, backoff_seconds: 10, max_backoff_seconds: 60, max_age_seconds };
        Course { retry: Some(retry), attempt, began_at: Some(at(0)), ..Course::default() }
    }

    #[test]
    fn the_wait_doubles_up_to_the_maximum_plus_or_minus_a_fifth() {
        for (attempt, seconds) in [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60)] {
            for _ in 0..50 {
                let next = course(attempt, None).next_attempt(at(1000), None, "answered 503").unwrap();
                let wait = next.due_at.since(at(1000)).as_millis();
                assert!((seconds * 800..=seconds * 1200).contains(&wait), "attempt {attempt}: {wait} ms");
            }
        }
        assert_eq!(course(6, None).next_attempt(at(0), None, ""), None);
        assert_eq!(Course { retry: None, ..course(1, None) }.next_attempt(at(0), None, ""), None);
    }

    #[test]
    fn a_requested_wait_is_the_shortest_one_up_to_the_maximum() {
        let wait = |asked: u64| {
            let asked = Some(Duration::from_secs(asked));
            course(1, None).next_attempt(at(0), asked, "").unwrap().due_at.seconds()
        };
        assert_eq!(wait(30), 30);
        assert_eq!(wait(3600), 60);
        assert!((8..=12).contains(&wait(1)));
    }

    #[test]
    fn no_attempt_begins_later_than_max_age_after_the_first_one() {
        assert!(course(1, Some(100)).next_attempt(at(80), None, "").is_some());
        assert_eq!(course(1, Some(100)).next_attempt(at(95), None, ""), None);
    }

    #[test]
    fn each_attempt_has_a_key_of_its_own() {
        let guid = Guid::from("guid");
        for (name, attempt) in
            [("guid", 1), ("guid.2", 2), ("job-|-guid.12-3", 12), ("guid-2 of job", 1), ("guid.x", 1)]
        {
            assert_eq!(attempt_of_task(name, &guid), Some(attempt), "{name}");
        }
        assert_eq!(attempt_of_task("other", &guid), None);
        assert_eq!([attempt_key(&guid, 1), attempt_key(&guid, 12)], [guid, Guid::from("guid.12")]);
    }
}
