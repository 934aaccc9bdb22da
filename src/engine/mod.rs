//! Runs due work: claims it, performs it, follows it to its end, and purges old history.
//!
//! Invariant: a fire time yields at most one execution, and each execution ends in a recorded state.

mod backoff;
pub mod heartbeat;
pub mod journal;
pub mod lease;
pub mod notifier;
pub mod observer;
pub mod retention;
pub mod scheduler;
pub mod upkeep;
pub mod watcher;
pub mod worker;
