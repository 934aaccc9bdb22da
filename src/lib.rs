//! A scheduler for Cloud Foundry: jobs (commands run as tasks) and calls (HTTP requests), on cron schedules.
//!
//! Start reading at [`service`], which builds everything and knows all modules; `ARCHITECTURE.md` has the map.

pub mod api;
pub mod auth;
pub mod backup;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod crash;
pub mod cron;
pub mod http;
pub mod import;
pub mod journal;
pub mod lease;
mod lock;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod observer;
pub mod outbound;
pub mod platform;
pub mod retention;
pub mod scheduler;
pub mod service;
pub mod stop;
pub mod store;
pub mod watcher;
pub mod worker;
