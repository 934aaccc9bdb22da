//! `backup` and `restore`.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use super::arguments::Arguments;
use super::configuration::{file_of_service, read_config, standalone_file};
use super::output::{failed, print_error, show, usage, usage_of};
use crate::config::{self, Config, Mode};
use crate::model::Location;
use crate::platform::local;
use crate::transfer;
use crate::transfer::backup::Places;

pub(super) fn backup(arguments: &Arguments) -> ExitCode {
    let to = arguments.required(0);
    // Only the database settings count; settings that `serve` requires may be missing.
    let config = match read_config(Mode::Standalone, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let Location::Sqlite(database) = &config.database else {
        return usage("backup copies an SQLite file; for PostgreSQL use pg_dump");
    };
    if let Some(file) = config.standalone_config.as_deref().filter(|file| !file.exists()) {
        return failed(&format!("STANDALONE_CONFIG (--config): {} does not exist", file.display()));
    }
    let standalone_file = file_of_service(&config);
    let from = Places { database, standalone_file: &standalone_file };
    if to == "-" {
        if io::stdout().is_terminal() {
            return usage_of("backup", "a backup is not text; redirect standard output to a file or a pipe");
        }
        return match transfer::backup::backup_into(from, &mut io::stdout().lock()) {
            Ok(has_file) => {
                report_missing_file(has_file, &standalone_file, &config, arguments);
                ExitCode::SUCCESS
            }
            Err(err) => failed(&err),
        };
    }
    match transfer::backup::backup(from, Path::new(to)) {
        Ok(has_file) => {
            let mut text = format!("{to} is a copy of {}\n", database.display());
            if has_file {
                text += &format!("Apps and tokens are those of {}\n", standalone_file.display());
            }
            report_missing_file(has_file, &standalone_file, &config, arguments);
            show(&text)
        }
        Err(err) => failed(&err),
    }
}

/// A database that only `serve` has used has no apps and tokens to copy.
fn report_missing_file(has_file: bool, file: &Path, config: &Config, arguments: &Arguments) {
    let is_of_standalone = config.state_dir().exists() && !config::names_cloud_foundry(&arguments.settings());
    if !has_file && is_of_standalone {
        print_error(&format!(
            "ocf-scheduler: the backup is without apps and tokens: {} does not exist; if standalone uses \
             another file, repeat the backup with --config FILE\n",
            file.display()
        ));
    }
}

pub(super) fn restore(arguments: &Arguments) -> ExitCode {
    let from = arguments.required(0);
    let config = match read_config(Mode::Standalone, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let Location::Sqlite(database) = &config.database else {
        return usage("restore restores an SQLite file; for PostgreSQL use pg_restore or psql");
    };
    let standalone_file = standalone_file(&config);
    let to = Places { database, standalone_file: &standalone_file };
    let restored = match from {
        "-" => transfer::backup::restore_from(&mut io::stdin().lock(), to),
        from => transfer::backup::restore(Path::new(from), to),
    };
    match restored {
        Ok(has_file) => {
            let mut text = format!("{} is restored from {from}\n", database.display());
            if !has_file && !config::names_cloud_foundry(&arguments.settings()) {
                text += "It has no apps and tokens; without a file of its own, standalone makes new ones\n";
            }
            if has_file {
                text += &format!("Apps and tokens are in {}\n", standalone_file.display());
                // On another machine, directories and users may be missing.
                if let Err(err) = local::World::read(&standalone_file) {
                    text += &format!("Fix this before you start the service:\n  {err}\n");
                }
            }
            show(&text)
        }
        Err(err) => failed(&err),
    }
}
