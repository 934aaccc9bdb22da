//! The SQLite engine: one file, one process.
//!
//! Invariant: every answered write is on the disk (`synchronous=FULL`), and nothing is ever half-written.
//! Writes of several threads share a transaction; reads run beside them on their own connections.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::info;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::{ImportMode, StoreError, lock};
use crate::base::crash;
use crate::model::Weekdays;

mod attached;
mod labels;
mod migrate;
mod statements;

pub(super) use statements::{cell_of, execute, visit};

pub(crate) use attached::{attach, attached, detach};

/// How long a statement waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The most reading connections that work for clients at a time, and that are kept open. Each has its own
/// page cache and prepared statements.
const READERS_MAX: usize = 4;
/// The most writes in one transaction.
const GROUP_MAX: usize = 256;
/// The cache of a long write, which touches pages of all indexes: 64 MB.
const LONG_WRITE_CACHE: &str = "PRAGMA cache_size = -64000";
/// The cache of other writes: 1 MB.
const WRITE_CACHE: &str = "PRAGMA cache_size = -1000";
/// Frees the pages of one step: 800 kB. Writers wait for it.
const VACUUM_STEP: &str = "PRAGMA incremental_vacuum(200)";
/// Free pages to keep for new rows.
const FREE_PAGES_KEPT: i64 = 256;
/// Prepared statements that a connection keeps; more than there are files in `sql/`.
const STATEMENTS_MAX: usize = 96;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Unavailable(error.to_string()),
            Some(ErrorCode::ConstraintViolation) if is_not_unique(&error) => Self::Conflict,
            _ => Self::Bug(error.to_string()),
        }
    }
}

fn is_not_unique(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}

/// The open database file. Dropping it closes it.
pub(super) struct DatabaseFile {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
    /// Held while the database is open, so that a second process is refused.
    _lock: File,
}

impl DatabaseFile {
    /// Opens the database file, creates it (and its directory) if missing, and migrates it.
    ///
    /// # Errors
    /// A message for the operator: the file cannot be opened, is not a database of this program, is from a
    /// newer version (it is left unchanged), or is open in another process.
    pub(super) fn open(path: &Path, weekdays: Weekdays) -> Result<Self, String> {
        let shown = path.display();
        let lock = prepare_files(path)?;
        let mut connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|err| format!("cannot open the database {shown}: {err}"))?;
        connection
            .busy_timeout(BUSY_TIMEOUT)
            .map_err(|err| format!("cannot open the database {shown}: {err}"))?;
        // Applies to new files; an existing file keeps its mode until a VACUUM. Problems with the file show
        // up in the next step.
        let _ = connection.pragma_update(None, "auto_vacuum", "INCREMENTAL");
        let applied = migrate::migrate(&mut connection).map_err(|err| format!("the file {shown} {err}"))?;
        if applied > 0 {
            info!(path:% = shown, migrations = applied; "database brought up to date");
        }
        prepare_connection(&connection)
            .map_err(|err| format!("cannot set up the database {shown}: {err}"))?;
        migrate::record_dialect(&connection, weekdays)
            .map_err(|err| format!("the file {shown} could not be brought up to date: {err}"))?;
        let writer = Writer {
            waiting: AtomicUsize::new(0),
            open: Mutex::new(OpenGroup { connection, group: None, members: 0, is_locked: false }),
        };
        Ok(Self { path: path.to_owned(), writer, readers: Readers::default(), _lock: lock })
    }

    /// Checks that writes succeed, by writing the version again.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        self.writer.write(|connection| Ok(migrate::rewrite_version(connection)?))
    }

    /// Runs `work` in a transaction and returns once it is on the disk. If `work` fails or panics, nothing is
    /// kept.
    ///
    /// Writes that arrive during another one share the next transaction, so that all wait for one flush.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.writer.write(work)
    }

    /// Runs `work` once, in its own transaction of any length. It is not part of a group, because the
    /// savepoints of a group keep a copy of every changed page.
    pub(super) fn write_long<T>(
        &self,
        mode: ImportMode,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut open = lock(&self.writer.open);
        open.close(commit);
        open.connection.execute_batch(LONG_WRITE_CACHE)?;
        let transaction = Transaction::new_unchecked(&open.connection, TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        crash::point("import.ending");
        match mode {
            ImportMode::Commit => transaction.commit()?,
            ImportMode::DryRun => transaction.rollback()?,
        }
        open.connection.execute_batch(WRITE_CACHE)?;
        Ok(value)
    }

    /// Checkpoints the write-ahead log and empties it, so that the file alone is up to date.
    ///
    /// # Errors
    /// `Unavailable` while a reader still needs the write-ahead log; try again later.
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        if std::fs::metadata(PathBuf::from(log)).is_ok_and(|log| log.len() == 0) {
            return Ok(());
        }
        let mut open = lock(&self.writer.open);
        open.close(commit);
        // Writers wait for this, so it must not wait for readers.
        open.connection.busy_timeout(Duration::ZERO)?;
        let busy: rusqlite::Result<i64> =
            open.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        open.connection.busy_timeout(if open.is_locked { Duration::ZERO } else { BUSY_TIMEOUT })?;
        if busy? != 0 {
            return Err(StoreError::Unavailable("a reader is using the write-ahead log".to_owned()));
        }
        Ok(())
    }

    /// Returns some free pages to the file system, if there are many. Returns whether there may be more.
    pub(super) fn release_free_pages(&self) -> Result<bool, StoreError> {
        let free = self.writer.write(|connection| {
            let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0));
            if number("PRAGMA freelist_count")? <= FREE_PAGES_KEPT || number("PRAGMA auto_vacuum")? != 2 {
                return Ok(false);
            }
            let mut vacuum = connection.prepare_cached(VACUUM_STEP)?;
            let mut pages = vacuum.raw_query();
            // Each step frees a page.
            while pages.next()?.is_some() {}
            Ok(true)
        })?;
        Ok(free)
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on a reading connection, and waits while all are busy. For requests of clients. `work`
    /// must not call `read` again.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let readers = lock(&self.readers.pool);
        let all_at_work = |readers: &mut ReaderPool| READERS_MAX <= readers.at_work;
        let readers =
            self.readers.freed.wait_while(readers, all_at_work).unwrap_or_else(PoisonError::into_inner);
        self.read_as_one_of(readers, work)
    }

    /// The same for the few threads of the engine, which never wait for clients.
    pub(super) fn read_at_once<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read_as_one_of(lock(&self.readers.pool), work)
    }

    fn read_as_one_of<T>(
        &self,
        mut readers: MutexGuard<'_, ReaderPool>,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        readers.at_work += 1;
        let idle = readers.idle.pop();
        drop(readers);
        let _at_work = AtWork(&self.readers);
        let connection = match idle {
            Some(connection) => connection,
            None => self.open_reader()?,
        };
        let result = work(&connection)?;
        // A connection that has failed is not used again.
        let mut readers = lock(&self.readers.pool);
        if readers.idle.len() < READERS_MAX {
            readers.idle.push(connection);
        }
        Ok(result)
    }

    fn open_reader(&self) -> Result<Connection, StoreError> {
        let connection = open_to_read(&self.path)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        connection.execute_batch("PRAGMA cache_size = -200; PRAGMA temp_store = MEMORY;")?;
        Ok(connection)
    }
}

/// Without this, SQLite compares bound values with the conditions of partial indexes, and prepares a
/// statement again whenever it gets another value. That took more time than running all statements.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    keep_plans(&connection)?;
    labels::add_function(&connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Opens a database of this version to read all of it as it is at one instant. Others may write meanwhile.
pub(super) fn open_source(path: &Path) -> Result<Connection, String> {
    let cannot = |err: rusqlite::Error| format!("the database {} cannot be read: {err}", path.display());
    let connection = open_to_read(path).map_err(cannot)?;
    migrate::check_is_current(&connection).map_err(|err| format!("the file {} {err}", path.display()))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.execute_batch("BEGIN").map_err(cannot)?;
    Ok(connection)
}

/// Checks that the file is a database of this program. The error continues "the file …".
pub(crate) fn check_is_ours(path: &Path) -> Result<(), String> {
    let connection = open_to_read(path).map_err(|err| format!("cannot be opened: {err}"))?;
    migrate::check_is_ours(&connection)
}

/// Checks that a service could use the file, which need not exist yet. Changes nothing.
pub(crate) fn probe(path: &Path) -> Result<(), String> {
    if path.exists() {
        check_is_ours(path).map_err(|err| format!("the file {} {err}", path.display()))?;
    }
    // Files beside it, and missing directories, are created there.
    let absolute = std::path::absolute(path).map_err(|err| format!("{}: {err}", path.display()))?;
    let directory = absolute.ancestors().skip(1).find(|it| it.exists()).unwrap_or(Path::new("/"));
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK)
        .map_err(|err| format!("the directory {} cannot be written to: {err}", directory.display()))
}

/// Removes the database at `path`, with the files beside it.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal", ".lock"] {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        match std::fs::remove_file(path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => (),
        }
    }
    Ok(())
}

/// Copies the database `from` to the empty file `to`, as it is at one instant. Others may write meanwhile.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    check_is_ours(from).map_err(|err| format!("the file {} {err}", from.display()))?;
    let cannot = |err: rusqlite::Error| format!("the database {} cannot be copied: {err}", from.display());
    let source = open_to_read(from).map_err(cannot)?;
    let mut copy = Connection::open(to).map_err(cannot)?;
    // In one step: a copy in several steps would restart whenever the service writes in between, and a reader
    // of a database in WAL mode blocks no writer.
    let copied = Backup::new(&source, &mut copy).and_then(|backup| backup.step(-1)).map_err(cannot)?;
    if copied != StepResult::Done {
        return Err(format!("the database {} is locked by another process", from.display()));
    }
    let verdict: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(cannot)?;
    if verdict != "ok" {
        return Err(format!("the database {} is damaged: {verdict}", from.display()));
    }
    Ok(())
}

/// Creates the directory and the file if missing, and takes the lock beside the file.
fn prepare_files(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(directory).map_err(|err| {
        format!("cannot create the directory {} for the database: {err}", directory.display())
    })?;
    // The lock is on a separate file, because SQLite's own locks on the database must stay free for a backup
    // by another process.
    let mut lock_name = path.as_os_str().to_owned();
    lock_name.push(".lock");
    let lock_path = PathBuf::from(lock_name);
    let private = |options: &mut OpenOptions, path: &Path| options.write(true).mode(0o600).open(path);
    let lock = private(OpenOptions::new().create(true).truncate(false), &lock_path)
        .map_err(|err| format!("cannot open {}, the lock of the database: {err}", lock_path.display()))?;
    match crate::base::lock::take(&lock) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(format!(
                "the database {shown} is in use by another process; only one may have it open"
            ));
        }
        Err(TryLockError::Error(err)) => return Err(format!("cannot lock {}: {err}", lock_path.display())),
    }
    // Nobody else may read it, because it holds secrets (auth_header).
    match private(OpenOptions::new().create_new(true), path) {
        Ok(_) => sync_directory(directory).map_err(|err| {
            format!("cannot write the directory {} to the disk: {err}", directory.display())
        })?,
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
        Err(err) => return Err(format!("cannot create the database {shown}: {err}")),
    }
    Ok(lock)
}

/// A new file survives a power failure only after its directory was flushed too.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn prepare_connection(connection: &Connection) -> rusqlite::Result<()> {
    keep_plans(connection)?;
    labels::add_function(connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA cache_size = -1000;
         PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 16777216;",
    )
}

/// The reading connections.
#[derive(Default)]
struct Readers {
    pool: Mutex<ReaderPool>,
    freed: Condvar,
}

#[derive(Default)]
struct ReaderPool {
    idle: Vec<Connection>,
    at_work: usize,
}

/// A connection in use until this is dropped, even by a panic.
struct AtWork<'a>(&'a Readers);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        lock(&self.0.pool).at_work -= 1;
        self.0.freed.notify_one();
    }
}

/// The one writing connection, and the transaction that writers share.
struct Writer {
    /// Threads that are about to take the lock. A thread that sees none behind it commits for all.
    waiting: AtomicUsize,
    open: Mutex<OpenGroup>,
}

struct OpenGroup {
    connection: Connection,
    group: Option<Arc<Group>>,
    members: usize,
    /// Another process held its lock for all of [`BUSY_TIMEOUT`], and still did at the last attempt.
    is_locked: bool,
}

/// A transaction shared by several writes.
#[derive(Default)]
struct Group {
    result: Mutex<Option<Result<(), StoreError>>>,
    ended: Condvar,
}

impl Group {
    fn end(&self, result: Result<(), StoreError>) {
        *lock(&self.result) = Some(result);
        self.ended.notify_all();
    }

    fn wait(&self) -> Result<(), StoreError> {
        let mut result = lock(&self.result);
        loop {
            match &*result {
                Some(result) => return result.clone(),
                None => result = self.ended.wait(result).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Writer {
    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut open = lock(&self.open);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let group = open.join()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| in_savepoint(&open.connection, work)));
        open.members += 1;
        if open.connection.is_autocommit() {
            // SQLite has rolled back the whole transaction, as it does when the disk is full.
            open.close(|_| Err(StoreError::Unavailable("the transaction was rolled back".to_owned())));
        } else if open.members >= GROUP_MAX || self.waiting.load(Ordering::SeqCst) == 0 {
            open.close(commit);
        }
        drop(open);
        let committed = group.wait();
        match outcome {
            Ok(Ok(value)) => committed.map(|()| value),
            Ok(Err(error)) => Err(error),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl OpenGroup {
    /// The group whose transaction is open; begins one if there is none.
    fn join(&mut self) -> Result<Arc<Group>, StoreError> {
        if let Some(group) = &self.group {
            return Ok(Arc::clone(group));
        }
        let begun = self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]);
        let is_locked =
            begun.as_ref().is_err_and(|err| err.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
        if is_locked != self.is_locked {
            // One writer has waited for the lock of another process; those behind it need not wait again,
            // each in turn.
            self.connection.busy_timeout(if is_locked { Duration::ZERO } else { BUSY_TIMEOUT })?;
            self.is_locked = is_locked;
        }
        begun?;
        let group = Arc::new(Group::default());
        self.group = Some(Arc::clone(&group));
        self.members = 0;
        Ok(group)
    }

    fn close(&mut self, end: impl FnOnce(&Connection) -> Result<(), StoreError>) {
        if let Some(group) = self.group.take() {
            group.end(end(&self.connection));
        }
    }
}

fn commit(connection: &Connection) -> Result<(), StoreError> {
    crash::point("write.committing");
    let committed = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    crash::point("write.committed");
    if committed.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    Ok(committed.map(|_| ())?)
}

fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.prepare_cached("SAVEPOINT one_write")?.execute([])?;
    let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)));
    if !matches!(outcome, Ok(Ok(_))) && !connection.is_autocommit() {
        connection.prepare_cached("ROLLBACK TO one_write")?.execute([])?;
    }
    if !connection.is_autocommit() {
        connection.prepare_cached("RELEASE one_write")?.execute([])?;
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn clients_share_so_many_reading_connections_and_the_engine_does_not_wait_for_them() {
        let directory = tempfile::tempdir().unwrap();
        let database = DatabaseFile::open(&directory.path().join("s.db"), Weekdays::default()).unwrap();
        let (at_work, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (entered, everybody) = crossbeam_channel::unbounded();
        let (go_on, gate) = crossbeam_channel::bounded::<()>(0);
        thread::scope(|scope| {
            for _ in 0..4 * READERS_MAX {
                scope.spawn(|| {
                    database
                        .read(|_| {
                            most.fetch_max(1 + at_work.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                            entered.send(()).unwrap();
                            let _ = gate.recv();
                            at_work.fetch_sub(1, Ordering::SeqCst);
                            Ok(())
                        })
                        .unwrap();
                });
            }
            for _ in 0..READERS_MAX {
                everybody.recv().unwrap();
            }
            assert_eq!(database.read_at_once(|_| Ok(7)), Ok(7));
            drop(go_on);
        });
        assert_eq!(most.into_inner(), READERS_MAX);
        assert!(database.read(|_| Err::<(), _>(StoreError::Conflict)).is_err());
        assert_eq!(lock(&database.readers.pool).at_work, 0);
    }
}
