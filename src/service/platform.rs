//! Builds the platform: Cloud Foundry for `serve`, local processes for `standalone`.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Sender;
use log::{error, info, warn};

use super::threads;
use crate::base::clock::Clock;
use crate::config::{self, Config, Mode};
use crate::model::{Secret, Timestamp};
use crate::outbound::Outbound;
use crate::platform::Platform;
use crate::platform::cf::{self, CloudFoundry};
use crate::platform::local::{self, App, Local, MemoryLimit, World};
use crate::web::{digest_of, link_code};

/// What `standalone` prints when it has started.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// The first token that the file contains as text, which the command line uses too.
    pub token: Option<Secret>,
    /// Whether the user chose the file. Its tokens are not printed.
    pub is_users_file: bool,
    /// The code of a one-time link to the dashboard; `None` without a dashboard, or if it is not clear for
    /// which token.
    pub link_code: Option<String>,
    /// The guid of the first app that the token may use.
    pub app: String,
    /// What `--app` needs to name it; `None` if it is the only one, so that no command needs it.
    pub app_flag: Option<String>,
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
    let is_users_file = config.standalone_config.is_some();
    let welcome = welcome(&world, file.clone(), is_users_file, config.dashboard.is_some(), clock.now());
    let runner =
        std::env::current_exe().map_err(|err| format!("the program's file cannot be found: {err}"))?;
    let settings =
        local::LocalSettings { world, state_dir, runner, environment: config::whole_environment() };
    let local = Arc::new(Local::new(settings, Arc::clone(clock), move || {
        // A full channel means that the watcher is about to look anyway.
        let _ = wake_watcher.try_send(());
    })?);
    // After the lock on the directory was taken.
    if let Err(err) = local::note_file(&config.state_dir(), config.standalone_config.as_deref()) {
        warn!(cause:% = err; "backups of this service need --config, because its path cannot be noted");
    }
    let platform = Arc::clone(&local) as Arc<dyn Platform>;
    Ok(BuiltPlatform { platform, welcome, reloading: Reloading { local: Some((local, file)), outbound } })
}

/// `None`: the file has no app.
fn welcome(
    world: &World,
    file: PathBuf,
    is_users_file: bool,
    has_dashboard: bool,
    now: Timestamp,
) -> Option<Welcome> {
    let token = world.first_token();
    let grant = token.and_then(|token| world.grant_of(token));
    let may_use = |app: &&App| grant.is_some_and(|it| it.admin || it.spaces.contains(&app.space));
    let app = world.apps().iter().find(may_use).or(world.apps().first())?;
    let app_flag = match world.apps() {
        [_] => None,
        apps if apps.iter().filter(|other| other.name == app.name).count() == 1 => Some(app.name.clone()),
        _ => Some(app.guid.to_string()),
    };
    // Of the token that `ocf-scheduler dashboard` uses, or of the only one.
    let digest = match (token, world.token_digests().as_slice()) {
        (Some(token), _) => Some(digest_of(token)),
        (None, [digest]) => Some(*digest),
        (None, _) => None,
    };
    Some(Welcome {
        token: token.map(|token| Secret::from(token.to_owned())),
        is_users_file,
        link_code: digest.filter(|_| has_dashboard).map(|digest| link_code(&digest, now)),
        app: app.guid.to_string(),
        app_flag,
        space: app.space.to_string(),
        file,
        memory_limit: MemoryLimit::in_force(),
    })
}
