//! A scheduler for Cloud Foundry: jobs (commands run as tasks) and calls (HTTP requests), on cron schedules.
//!
//! Start reading at [`service`], which builds everything and knows all modules; `ARCHITECTURE.md` has the map.

pub mod clock;
pub mod config;
pub mod cron;
pub mod http;
pub mod model;
pub mod platform;
pub mod stop;
pub mod store;
