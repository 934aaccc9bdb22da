//! A text stored inside a backup: the file of apps and tokens of a standalone service.
//!
//! It is in a table that a live database does not have, so that a backup is one file and still a database.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

const TABLE: &str = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = 'backup_files'";
const CREATE: &str = "CREATE TABLE backup_files (contents TEXT NOT NULL) STRICT";
const INSERT: &str = "INSERT INTO backup_files (contents) VALUES (?1)";
const SELECT: &str = "SELECT contents FROM backup_files";
/// Overwrites its pages, because otherwise the tokens would stay in the file.
const DROP: &str = "PRAGMA secure_delete = ON; DROP TABLE IF EXISTS backup_files;";
/// Deliveries that waited when the backup was made are outdated after a restore. Their failures are reported
/// when they happen again; an Alertmanager gets all active alerts.
const WAITING: &str = "
    DELETE FROM alerts
     WHERE notification_id NOT IN (SELECT id FROM notifications WHERE format = 'alertmanager')
       AND (NOT is_told OR EXISTS (SELECT 1
                                     FROM deliveries AS d
                                    WHERE d.notification_id = alerts.notification_id
                                      AND d.executable_id = alerts.executable_id AND d.ended_at IS NULL
                                      AND d.event IN ('failed', 'overdue')));
    UPDATE alerts SET is_told = TRUE;
    UPDATE notifications
       SET repeat_at = 1
     WHERE format = 'alertmanager' AND enabled AND repeat_at IS NULL
       AND EXISTS (SELECT 1 FROM alerts AS a WHERE a.notification_id = notifications.id);
    DELETE FROM deliveries WHERE ended_at IS NULL;";
const HAS_WAITING: &str = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = 'deliveries'";
/// A copy claims to have a write-ahead log, so it could not be read in a directory without write access.
const ONE_FILE: &str = "PRAGMA journal_mode = DELETE";

/// Puts `text`, or none, into the copy at `path`, and leaves no other file beside it.
pub(crate) fn attach(path: &Path, text: Option<&str>) -> Result<(), String> {
    change(path, |copy| {
        // A backup that was copied into place as a live database still has one.
        copy.execute_batch(DROP)?;
        if let Some(text) = text {
            copy.execute_batch(CREATE)?;
            copy.execute(INSERT, [text])?;
        }
        Ok(())
    })
}

/// Takes the text out of the copy at `path`; `None`: it has none. Also deletes waiting deliveries.
pub(crate) fn detach(path: &Path) -> Result<Option<String>, String> {
    change(path, |copy| {
        let text = read(copy)?;
        copy.execute_batch(DROP)?;
        // A backup of an older version has no such table.
        if copy.query_row(HAS_WAITING, [], |row| row.get::<_, i64>(0))? == 1 {
            copy.execute_batch(WAITING)?;
        }
        Ok(text)
    })
}

/// The text in the backup at `path`; `None`: it has none.
pub(crate) fn attached(path: &Path) -> Result<Option<String>, String> {
    super::open_to_read(path)
        .and_then(|backup| read(&backup))
        .map_err(|err| format!("the file {} cannot be read: {err}", path.display()))
}

fn read(backup: &Connection) -> rusqlite::Result<Option<String>> {
    if backup.query_row(TABLE, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    backup.query_row(SELECT, [], |row| row.get(0)).optional()
}

fn change<T>(path: &Path, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, String> {
    let changed = Connection::open(path).and_then(|copy| {
        copy.query_row(ONE_FILE, [], |_| Ok(()))?;
        work(&copy)
    });
    changed.map_err(|err| format!("the copy {} cannot be written: {err}", path.display()))
}
