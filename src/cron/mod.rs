//! The cron dialect.
