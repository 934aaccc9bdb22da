//! A scheduler for Cloud Foundry: jobs (commands run as tasks) and calls (HTTP requests), on cron schedules.
//!
//! The modules are storeys: each uses only those below it in this list. Start reading at [`service`], which
//! builds everything; `ARCHITECTURE.md` has the map.

pub mod cli;
pub mod service;

pub mod web;

pub mod engine;

pub mod transfer;

pub mod platform;

pub mod config;

pub mod store;

pub mod cron;
pub mod fire_times;
pub mod http;
pub mod outbound;

pub mod base;
pub mod model;
