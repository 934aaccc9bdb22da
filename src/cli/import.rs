//! `import`: copies the jobs, calls and history of another scheduler's database.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::arguments::Arguments;
use super::configuration::{file_of_service, read_config};
use super::output::{failed, print_error, show, usage_of};
use crate::base::clock::{Clock, SystemClock};
use crate::base::crash;
use crate::config::{self, Config, Mode};
use crate::cron::{Dialect, Zone};
use crate::model::Location;
use crate::platform::local;
use crate::service::store_settings;
use crate::store::{self, ImportMode, Origin, Source, SourceError, Store, StoreSettings};
use crate::transfer;
use crate::transfer::import::{Audited, ReadAs};

pub(super) fn import(arguments: &Arguments) -> ExitCode {
    // Only the database settings count; settings that `serve` requires may be missing.
    let config = match read_config(Mode::Standalone, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let from = match arguments.value("from").map(|from| config::location("--from", &from)) {
        Some(Ok(from)) => from,
        Some(Err(fault)) => return usage_of("import", &fault),
        // OCF Scheduler's tables, in the database that both are bound to.
        None if matches!(config.database, Location::Postgres(_)) => config.database.clone(),
        None => return usage_of("import", "--from must name the database to import"),
    };
    let origin = arguments.flag("kind").map(|kind| if kind == "go" { Origin::Go } else { Origin::Own });
    let wanted = Wanted {
        timezone: arguments.flag("timezone").map(str::to_owned),
        dialect: arguments.flag("dialect").and_then(|name| Dialect::named(name, config.weekdays)),
    };
    if let Some(zone) = wanted.timezone.as_deref().filter(|zone| Zone::named(zone).is_none()) {
        return usage_of("import", &format!("--timezone {zone:?} is not a time zone such as Europe/Berlin"));
    }
    let mode = if arguments.has("dry-run") { ImportMode::DryRun } else { ImportMode::Commit };
    if let Some(place) = config::crash_point() {
        crash::arm(&place);
    }
    let is_for_standalone = !config::names_cloud_foundry(&arguments.settings());
    match move_from(from, origin, mode, &config, is_for_standalone, wanted) {
        Ok(report) => show(&report),
        Err(exit) => exit,
    }
}

/// How many names of spaces or users a report lists.
const NAMES_SHOWN: usize = 5;

/// What the command line says of the schedules of a Go service.
struct Wanted {
    timezone: Option<String>,
    dialect: Option<Dialect>,
}

fn move_from(
    from: Location,
    origin: Option<Origin>,
    mode: ImportMode,
    config: &Config,
    is_for_standalone: bool,
    wanted: Wanted,
) -> Result<String, ExitCode> {
    let unreadable = |place: &str, cause: &str| failed(&format!("{place} cannot be read: {cause}"));
    // Check before anything is created.
    let mut along = None;
    if let (Location::Sqlite(path), Some(Origin::Own) | None) = (&from, origin) {
        let absolute = |path: &Path| std::path::absolute(path).ok();
        if matches!(&config.database, Location::Sqlite(here) if absolute(here) == absolute(path)) {
            return Err(usage_of("import", &format!("{} is the database itself", path.display())));
        }
        store::check_is_ours(path)
            .map_err(|cause| unreadable(&from.shown(), &format!("the file {} {cause}", path.display())))?;
        if is_for_standalone {
            along =
                taken_along(path, config).map_err(|err| failed(&format!("nothing was imported: {err}")))?;
        }
    }
    let made = match &config.database {
        Location::Sqlite(path) if fs::symlink_metadata(path).is_err() => Some(path),
        _ => None,
    };
    let place = from.shown();
    let report = move_database(from, origin, mode, config, wanted);
    // Remove a database that was created for this import if nothing was imported into it.
    if let Some(made) = made
        && (report.is_err() || mode == ImportMode::DryRun)
        && let Err(err) = store::remove(made)
    {
        print_error(&format!("ocf-scheduler: {} is empty and cannot be removed: {err}\n", made.display()));
    }
    let (mut report, source) = report?;
    if along.is_none() && is_for_standalone && source == Origin::Own {
        report += &format!(
            "\nWithout apps and tokens: {place} has none. If its service used standalone --config FILE, add \
             the tables of that file to {}\n",
            file_of_service(config).display()
        );
    }
    if let Some(joined) = along {
        let file = file_of_service(config);
        if mode == ImportMode::Commit {
            joined.write(&file).map_err(|err| failed(&format!("the database was imported, but {err}")))?;
        }
        let ([spaces, apps, tokens], [old_spaces, old_apps, old_tokens]) = (joined.taken, joined.there);
        report += &format!(
            "\nApps and tokens, in {}: {}, {}, {} (already there: {old_apps}, {old_spaces}, {old_tokens})\n",
            file.display(),
            counted(apps, "app"),
            counted(spaces, "space"),
            counted(tokens, "token"),
        );
        report += &how_to_see(&joined);
    }
    Ok(report)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// How to see the imported jobs if the command line, which uses the first token, does not show them.
fn how_to_see(joined: &local::Joined) -> String {
    let listed = |names: &[String]| -> String {
        let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(|name| format!("{name:?}")).collect();
        match names.len().saturating_sub(NAMES_SHOWN) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    };
    if joined.unseen.is_empty() {
        return String::new();
    }
    let token = match joined.seen_by.as_slice() {
        [] => String::new(),
        users => format!("use a token of {} (--token), or ", listed(users)),
    };
    format!(
        "The first token of that file, which the command line uses, does not see the imported {} {}: {token}add \
         what is missing to its spaces; a running service reads the file after SIGHUP\n",
        if joined.unseen.len() == 1 { "space" } else { "spaces" },
        listed(&joined.unseen)
    )
}

/// The apps, spaces and tokens of the standalone service whose database or backup is `from`, merged with the
/// local ones; `None` if it has none.
fn taken_along(from: &Path, config: &Config) -> Result<Option<local::Joined>, String> {
    let source = local::file_in_use(&config::state_dir(&Location::Sqlite(from.to_owned())));
    let text = match fs::symlink_metadata(&source) {
        Ok(_) => Some(local::file_text(&source)?),
        Err(_) => store::attached(from)?,
    };
    let base = source.parent().unwrap_or(&source);
    text.map(|text| local::join(&text, base, &file_of_service(config))).transpose()
}

fn move_database(
    from: Location,
    origin: Option<Origin>,
    mode: ImportMode,
    config: &Config,
    wanted: Wanted,
) -> Result<(String, Origin), ExitCode> {
    let clock = SystemClock::default();
    let store = Store::open(&store_settings(config), Arc::new(clock)).map_err(|err| failed(&err))?;
    // A database server's clock wins over the local one.
    let time = store.database_time().map_err(|err| failed(&err.to_string()))?;
    let now = time.map_or_else(|| clock.now(), |time| time.now);
    let settings = StoreSettings { database: from, ..store_settings(config) };
    let place = settings.database.shown();
    let source = Source::open(&settings, origin, &store).map_err(|err| match err {
        SourceError::Usage(fault) => usage_of("import", &fault),
        SourceError::Failed(cause) => failed(&format!("{place} cannot be read: {cause}")),
    })?;
    if source.origin() == Origin::Own && (wanted.timezone.is_some() || wanted.dialect.is_some()) {
        let fault = "--timezone and --dialect are for databases of OCF Scheduler; ours record both";
        return Err(usage_of("import", fault));
    }
    let native = match source.dialect() {
        Dialect::Classic(_) => Dialect::Classic(config.weekdays),
        Dialect::Ocf2 => Dialect::Ocf2,
    };
    let read_as = ReadAs { dialect: wanted.dialect.unwrap_or(native), timezone: wanted.timezone };
    let audited = if config.audit.is_zero() { Audited::No } else { Audited::Yes };
    let report = transfer::import::import(&source, &store, read_as, now, mode, audited)
        .map_err(|err| failed(&format!("nothing was imported from {place}: {err}")))?;
    let of = match source.origin() {
        Origin::Go => "OCF Scheduler's tables in ",
        Origin::Own => "",
    };
    let way = format!("from {of}{place} to {}", config.database.shown());
    let text = match mode {
        ImportMode::Commit => format!("Imported {way}\n\n{report}"),
        ImportMode::DryRun => format!("Would import {way}; nothing was imported (--dry-run)\n\n{report}"),
    };
    Ok((text, source.origin()))
}
