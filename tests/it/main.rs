//! The integration tests, in one binary.

mod cron;
mod http;
