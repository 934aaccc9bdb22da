//! Builds the platform: Cloud Foundry for `serve`, local processes for `standalone`.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Sender;
use log::{error, info, warn};

use super::threads;
use crate::base::clock::Clock;
use crate::config::{self, Config, Mode};
use crate::outbound::Outbound;
use crate::platform::Platform;
use crate::platform::cf::{self, CloudFoundry};
use crate::platform::local::{self, Local, MemoryLimit, World};
use crate::web::link_code;

/// What `standalone` prints at its first start.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// `None` if the token is in a file that the user wrote, or only its hash is known.
    pub token: Option<String>,
    /// The code of a one-time link to the dashboard; `None` without a dashboard, or with several tokens.
    pub link_code: Option<String>,
    /// The guid of the first app.
    pub app: String,
    /// The guid of the app's space.
    pub space: String,
    /// The file of apps and tokens.
    pub file: PathBuf,
    /// How `memory_in_mb` is enforced.
    pub memory_limit: MemoryLimit,
}

/// A platform, and what belongs to it.
pub(super) struct BuiltPlatform {
    pub(super) platform: Arc<dyn Platform>,
    /// `None` for `serve`.
    pub(super) welcome: Option<Welcome>,
    pub(super) reloading: Reloading,
}

/// The files to read again on SIGHUP.
pub(super) struct Reloading {
    /// The platform of `standalone`, and its file of apps and tokens.
    local: Option<(Arc<Local>, PathBuf)>,
    /// The trusted certificates.
    outbound: Outbound,
}

impl Reloading {
    /// Reads the files again. An invalid file changes nothing.
    pub(super) fn reload(&self) {
        match self.outbound.reload_certificates() {
            Ok(()) => info!("certificates reloaded"),
            Err(cause) => error!(cause; "certificates not reloaded, the file is invalid"),
        }
        let Some((local, file)) = &self.local else { return };
        match World::read(file) {
            Ok(world) => {
                info!(file:% = file.display(), apps = world.apps().len(); "apps and tokens reloaded");
                local.replace_world(world);
            }
            Err(cause) => error!(cause; "apps and tokens not reloaded, the file is invalid"),
        }
    }
}

/// Builds the platform. A change of a task wakes the watcher through `wake_watcher`.
pub(super) fn build(
    config: &Config,
    outbound: Outbound,
    clock: &Arc<dyn Clock>,
    wake_watcher: Sender<()>,
) -> Result<BuiltPlatform, String> {
    match config.mode {
        Mode::Serve => cloud_foundry(config, outbound, clock),
        Mode::Standalone => local(config, outbound, clock, wake_watcher),
    }
}

/// How to reach Cloud Foundry; `None` for `standalone`.
pub fn cloud_foundry_settings(config: &Config) -> Option<cf::CloudFoundrySettings> {
    let settings = config.cloud_foundry.as_ref()?;
    Some(cf::CloudFoundrySettings {
        cf_endpoint: settings.cf_endpoint.clone(),
        uaa_endpoint: settings.uaa_endpoint.clone(),
        client_id: settings.client_id.clone(),
        client_secret: settings.client_secret.reveal().to_owned(),
        outbound: config.outbound(),
    })
}

fn cloud_foundry(
    config: &Config,
    outbound: Outbound,
    clock: &Arc<dyn Clock>,
) -> Result<BuiltPlatform, String> {
    let mut settings = cloud_foundry_settings(config).ok_or("the settings for Cloud Foundry are missing")?;
    // Shared with the calls, so that a reload reaches both.
    settings.outbound = outbound.clone();
    let cloud_foundry = Arc::new(CloudFoundry::new(&settings, Arc::clone(clock))?);
    let checked = Arc::clone(&cloud_foundry);
    // In a separate thread, so that the start does not wait for Cloud Foundry.
    threads::spawn("first-look".to_owned(), move || {
        if let Err(err) = checked.check() {
            warn!(cause:% = err; "Cloud Foundry does not answer; requests get 503 until it does");
        }
    })?;
    let reloading = Reloading { local: None, outbound };
    Ok(BuiltPlatform { platform: cloud_foundry, welcome: None, reloading })
}

fn local(
    config: &Config,
    outbound: Outbound,
    clock: &Arc<dyn Clock>,
    wake_watcher: Sender<()>,
) -> Result<BuiltPlatform, String> {
    let state_dir = config.state_dir();
    let (world, file) = match &config.standalone_config {
        Some(file) => (World::read(file)?, file.clone()),
        None => (World::default_in(&state_dir)?, local::default_file(&state_dir)),
    };
    // A token from a file that the user wrote is not printed.
    let token = world.first_token().filter(|_| config.standalone_config.is_none()).map(str::to_owned);
    let link_code = match world.token_digests().as_slice() {
        [digest] if config.dashboard.is_some() => Some(link_code(digest, clock.now())),
        _ => None,
    };
    let welcome = world.apps().first().map(|app| Welcome {
        token,
        link_code,
        app: app.guid.to_string(),
        space: app.space.to_string(),
        file: file.clone(),
        memory_limit: MemoryLimit::in_force(),
    });
    let runner =
        std::env::current_exe().map_err(|err| format!("the program's file cannot be found: {err}"))?;
    let settings =
        local::LocalSettings { world, state_dir, runner, environment: config::whole_environment() };
    let local = Arc::new(Local::new(settings, Arc::clone(clock), move || {
        // A full channel means that the watcher is about to look anyway.
        let _ = wake_watcher.try_send(());
    })?);
    let platform = Arc::clone(&local) as Arc<dyn Platform>;
    Ok(BuiltPlatform { platform, welcome, reloading: Reloading { local: Some((local, file)), outbound } })
}
