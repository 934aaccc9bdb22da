//! The settings of a command that runs a service or opens its database.

use std::path::PathBuf;
use std::process::ExitCode;

use super::arguments::Arguments;
use super::output::{USAGE, print_error};
use crate::config::{self, Config, ConfigError, Files, Mode};
use crate::model::Location;
use crate::outbound;
use crate::platform::local;

/// Reads the settings of a service and checks the files that they name. Reports all faults at once.
pub(super) fn checked_config(mode: Mode, arguments: &Arguments) -> Result<Config, ExitCode> {
    let flags = arguments.settings();
    let config = Config::from_environment(mode, &flags);
    let Files { standalone_config: file, database, outbound } = config::files(&flags);
    let world = file.as_ref().map_or(Ok(()), |file| local::World::read(file).map(|_| ()));
    let mut of_files: Vec<String> =
        world.err().map(|err| format!("STANDALONE_CONFIG (--config): {err}")).into_iter().collect();
    if let (Mode::Standalone, Some(database)) = (mode, &database) {
        let path = match database {
            Location::Sqlite(path) => Some(path.as_path()),
            Location::Postgres(_) => None,
        };
        let mut untrusted = local::trust_faults(&config::state_dir(database), path, file.as_deref());
        // Faults of the file were found when it was read.
        untrusted.retain(|fault| !of_files.iter().any(|known| known.contains(fault)));
        of_files.extend(untrusted);
    }
    of_files.extend(outbound::faults(&outbound));
    match config {
        Ok(config) if of_files.is_empty() => Ok(config),
        Ok(_) => Err(wrong_settings(mode, &ConfigError(of_files))),
        Err(ConfigError(faults)) => Err(wrong_settings(mode, &ConfigError([faults, of_files].concat()))),
    }
}

pub(super) fn read_config(mode: Mode, arguments: &Arguments) -> Result<Config, ExitCode> {
    Config::from_environment(mode, &arguments.settings()).map_err(|err| wrong_settings(mode, &err))
}

/// The file of apps and tokens that `standalone` uses with these settings.
pub(super) fn standalone_file(config: &Config) -> PathBuf {
    config.standalone_config.clone().unwrap_or_else(|| local::default_file(&config.state_dir()))
}

/// The file that the settings name, else the one that the service of this database used when it last started.
pub(super) fn file_of_service(config: &Config) -> PathBuf {
    config.standalone_config.clone().unwrap_or_else(|| local::file_in_use(&config.state_dir()))
}

fn wrong_settings(mode: Mode, err: &ConfigError) -> ExitCode {
    print_error(&format!("ocf-scheduler: {err}\nAll settings: ocf-scheduler help settings\n"));
    if mode == Mode::Serve {
        print_error("To try it without a Cloud Foundry: ocf-scheduler standalone\n");
    }
    ExitCode::from(USAGE)
}
