//! The service from outside: one binary, a module for each side of it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is missing")]

mod api;
mod backup;
mod binary;
mod broker;
mod browser;
mod calls;
mod cf;
mod client;
mod cluster;
mod control;
mod crash;
mod cron;
mod dashboard;
mod database;
mod disk;
mod documents;
mod fuzz;
mod hostile;
mod http;
mod import;
mod install;
mod local;
mod logs;
mod metrics;
mod migrations;
mod openapi;
mod output;
mod overview;
mod postgres;
mod process;
mod program;
mod refusals;
mod runs;
mod schedule_fields;
mod scheduling;
mod spaces;
mod standalone;
mod store;
mod storeys;
mod surplus;
mod trouble;
mod validate;
mod versions;
mod world;
