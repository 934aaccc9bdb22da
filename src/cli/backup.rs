//! `backup` and `restore`.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use super::arguments::Arguments;
use super::configuration::{read_config, standalone_file};
use super::output::{failed, show, usage, usage_of};
use crate::config::Mode;
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
    let standalone_file = standalone_file(&config);
    let from = Places { database, standalone_file: &standalone_file };
    if to == "-" {
        if io::stdout().is_terminal() {
            return usage_of("backup", "a backup is not text; redirect standard output to a file or a pipe");
        }
        return match transfer::backup::backup_into(from, &mut io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(err) => failed(&err),
        };
    }
    match transfer::backup::backup(from, Path::new(to)) {
        Ok(()) => show(&format!("{to} is a copy of {}\n", database.display())),
        Err(err) => failed(&err),
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
