//! Moves whole databases: import from another service, and backup. All or nothing; the source is only read.

pub mod backup;
pub mod import;
