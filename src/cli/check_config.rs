//! `check-config`: reports what is wrong with the settings, or what a service would use.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::arguments::Arguments;
use super::configuration::{checked_config, standalone_file};
use super::output::{failed, show};
use crate::base::clock::SystemClock;
use crate::config::{Config, Mode};
use crate::model::Location;
use crate::outbound::Target;
use crate::platform::cf::CloudFoundry;
use crate::service;
use crate::store;

pub(super) fn check_config(arguments: &Arguments) -> ExitCode {
    let mode = if arguments.operand(0) == Some("standalone") { Mode::Standalone } else { Mode::Serve };
    let config = match checked_config(mode, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if arguments.flag("connect").is_some() {
        let faults = connection_faults(&config);
        if !faults.is_empty() {
            return failed(&format!("the settings are valid, but:\n  {}", faults.join("\n  ")));
        }
    }
    show(&in_use(&config))
}

/// What is wrong with the servers that the settings name, and with the rights of the client there.
fn connection_faults(config: &Config) -> Vec<String> {
    let database = store::probe(&service::store_settings(config)).err().map(|err| format!("database: {err}"));
    let platform = match service::cloud_foundry_settings(config) {
        None => Vec::new(),
        Some(settings) => match CloudFoundry::new(&settings, Arc::new(SystemClock::default())) {
            Ok(cloud_foundry) => cloud_foundry.faults(),
            Err(fault) => vec![fault],
        },
    };
    database.into_iter().chain(platform).collect()
}

/// What a service with these settings would use.
fn in_use(config: &Config) -> String {
    let state = |path: &Path| if path.exists() { "" } else { " (created at the first start)" };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut text = format!(
        "the settings are valid\n  address:    http://{}\n",
        SocketAddr::new(config.host, config.port)
    );
    if let Some(port) = config.metrics_port {
        text += &format!("  metrics:    http://{}\n", SocketAddr::new(config.host, port));
    }
    text += &match &config.database {
        Location::Sqlite(path) => format!("  database:   {}{}\n", absolute(path).display(), state(path)),
        Location::Postgres(_) => format!("  database:   {}\n", config.database.shown()),
    };
    if let Some(url) = &config.heartbeat_url {
        text += &format!("  heartbeat:  {}\n", origin_of(url.reveal()));
    }
    match &config.cloud_foundry {
        Some(settings) => text += &format!("  CF API:     {}\n", settings.cf_endpoint),
        None => {
            let file = standalone_file(config);
            text += &format!("  file:       {}{}\n", absolute(&file).display(), state(&file));
        }
    }
    let zone = config.default_timezone.as_deref().unwrap_or("UTC");
    text + &format!("  time zone:  {zone}, unless a schedule names another\n")
}

/// Scheme, host and port alone: the path may be a secret.
fn origin_of(url: &str) -> String {
    Target::parse(url).map_or_else(|_| "?".to_owned(), |target| target.shown())
}
