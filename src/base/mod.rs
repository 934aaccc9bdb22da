//! The foundation: time, shutdown, locks, crash points for tests, logging and metrics.

pub mod clock;
pub mod crash;
pub mod impatient;
pub(crate) mod lock;
pub mod logging;
pub mod metrics;
pub(crate) mod mutex;
pub mod on_demand;
pub(crate) mod orphans;
pub mod outage;
#[cfg(feature = "postgres")]
pub(crate) mod postgres_url;
pub mod public_url;
pub mod pulse;
pub mod stop;
