//! Moves whole databases: import from another service, backup and restore. All or nothing; the source is only
//! read.

pub mod backup;
pub mod import;
