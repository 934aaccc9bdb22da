//! Answers HTTP requests: the API, the service broker and the dashboard, with authorization.
//!
//! Invariant: a handler sees only objects of spaces in which its caller has a role.

pub mod api;
pub mod auth;
mod broker;
mod dashboard;
mod front;
mod limit;
mod routes;

pub use broker::Broker;
pub use dashboard::{Dashboard, digest_of, link_code};
pub use front::{Front, Listener};
pub use limit::Limiter;
