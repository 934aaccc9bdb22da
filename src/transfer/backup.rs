//! Copies the database of a running or stopped service, with its file of apps and tokens, and restores such a
//! copy.
//!
//! Invariant: the destination is always either complete or unchanged; the source is only read; a restore
//! overwrites nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::platform::local;
use crate::store;

/// The suffixes of a database's files.
const BESIDE_DATABASE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The files that a backup contains.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The database file.
    pub database: &'a Path,
    /// The file of apps and tokens of a standalone service, which need not exist.
    pub standalone_file: &'a Path,
}

/// Copies the files at `from` to the file `to`, as they are at one instant, while others may write. Replaces
/// an older backup at `to` once the new one is complete and on the disk. Returns whether it contains a file
/// of apps and tokens.
///
/// # Errors
/// A message for the operator: there is no database of this program, `to` is something other than a backup,
/// or the disk fails.
pub fn backup(from: Places<'_>, to: &Path) -> Result<bool, String> {
    let shown = to.display();
    // For a link, its target is replaced and the link stays.
    let target = match fs::metadata(to) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(format!("{shown} is not a regular file; to write to a pipe: ocf-scheduler backup -"));
        }
        Ok(_) => {
            let target = to.canonicalize().map_err(|err| format!("{shown} cannot be resolved: {err}"))?;
            if from.database.canonicalize().is_ok_and(|from| from == target) {
                return Err(format!("{shown} is the database itself"));
            }
            store::check_is_ours(&target)
                .map_err(|err| format!("the file {shown} {err}; it is not a backup and was not replaced"))?;
            target
        }
        Err(err) if err.kind() == ErrorKind::NotFound && fs::symlink_metadata(to).is_ok() => {
            return Err(format!("{shown} is a link to nothing; name the file itself"));
        }
        Err(err) if err.kind() == ErrorKind::NotFound => to.to_owned(),
        Err(err) => return Err(format!("{shown} cannot be inspected: {err}")),
    };
    let partial = Partial::beside(&target, ".partial")?;
    let has_file = copy(from, &partial.0)?;
    fs::rename(&partial.0, &target)
        .and_then(|()| sync_directory_of(&target))
        .map_err(|err| format!("cannot put the backup in place at {shown}: {err}"))?;
    Ok(has_file)
}

/// Writes a backup of `from` to `out`. Returns whether it contains a file of apps and tokens.
///
/// # Errors
/// Like [`backup`]; part of it may have been written.
pub fn backup_into(from: Places<'_>, out: &mut impl Write) -> Result<bool, String> {
    let partial = Partial::beside(from.database, ".stdout.partial")?;
    let has_file = copy(from, &partial.0)?;
    File::open(&partial.0)
        .and_then(|mut file| io::copy(&mut file, out))
        .and_then(|_| out.flush())
        .map_err(|err| format!("the backup cannot be written: {err}"))?;
    Ok(has_file)
}

/// Restores the backup `from` to where the service of `to` looks for it. Returns whether it contained a file
/// of apps and tokens.
///
/// # Errors
/// A message for the operator: `from` is not a backup, or something exists at `to`, which is left unchanged.
pub fn restore(from: &Path, to: Places<'_>) -> Result<bool, String> {
    check_is_free(to)?;
    let partial = prepare_restore(to)?;
    store::copy(from, &partial.0)?;
    put_back(&partial, to)
}

/// Like [`restore`], from a stream that [`backup_into`] has written.
///
/// # Errors
/// Like [`restore`].
pub fn restore_from(from: &mut impl Read, to: Places<'_>) -> Result<bool, String> {
    check_is_free(to)?;
    let partial = prepare_restore(to)?;
    let received = Partial::beside(to.database, ".stdin.partial")?;
    OpenOptions::new()
        .write(true)
        .open(&received.0)
        .and_then(|mut file| io::copy(from, &mut file))
        .map_err(|err| format!("the backup cannot be read: {err}"))?;
    store::copy(&received.0, &partial.0)?;
    put_back(&partial, to)
}

fn check_is_free(to: Places<'_>) -> Result<(), String> {
    for suffix in BESIDE_DATABASE {
        let path = with_suffix(to.database, suffix);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(is_there(&path));
        }
    }
    Ok(())
}

fn is_there(path: &Path) -> String {
    format!("{} exists already; restore overwrites nothing, so move it away first", path.display())
}

fn prepare_restore(to: Places<'_>) -> Result<Partial, String> {
    make_directory_of(to.database)?;
    Partial::beside(to.database, ".restore.partial")
}

fn put_back(partial: &Partial, to: Places<'_>) -> Result<bool, String> {
    let text = store::detach(&partial.0)?;
    sync(&partial.0)?;
    let file = to.standalone_file;
    if let Some(text) = &text {
        if fs::symlink_metadata(file).is_ok() {
            return Err(is_there(file));
        }
        make_directory_of(file)?;
        let unfinished = Partial::beside(file, ".restore.partial")?;
        fs::write(&unfinished.0, text)
            .and_then(|()| File::open(&unfinished.0)?.sync_all())
            .map_err(|err| format!("{} cannot be written: {err}", file.display()))?;
        put(&unfinished.0, file)?;
    }
    // The database last: once it exists, everything does.
    put(&partial.0, to.database).inspect_err(|_| {
        if text.is_some() {
            // We wrote it. If it cannot be removed either, that adds nothing to the error.
            let _ = fs::remove_file(file);
        }
    })?;
    Ok(text.is_some())
}

/// Copies both into the file `to`, and flushes it to the disk. Returns whether there was a file of apps and
/// tokens.
fn copy(from: Places<'_>, to: &Path) -> Result<bool, String> {
    let text = match fs::symlink_metadata(from.standalone_file) {
        Ok(_) => Some(local::file_text(from.standalone_file)?),
        Err(err) if err.kind() == ErrorKind::NotFound => None,
        Err(err) => return Err(format!("{} cannot be inspected: {err}", from.standalone_file.display())),
    };
    store::copy(from.database, to)?;
    store::attach(to, text.as_deref())?;
    sync(to)?;
    Ok(text.is_some())
}

fn sync(path: &Path) -> Result<(), String> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|err| format!("{} cannot be written to the disk: {err}", path.display()))
}

/// Renames a complete file, unless the name is taken.
fn put(partial: &Path, to: &Path) -> Result<(), String> {
    let renamed = match renameat_with(CWD, partial, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system supports this. Dropping the partial file removes the first name.
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(partial, to),
        other => other.map_err(io::Error::from),
    };
    match renamed.and_then(|()| sync_directory_of(to)) {
        Ok(()) => Ok(()),
        Err(err) if err.kind() == ErrorKind::AlreadyExists => Err(is_there(to)),
        Err(err) => Err(format!("cannot put the backup in place at {}: {err}", to.display())),
    }
}

/// An incomplete file, readable only by its owner because it holds secrets. Removed on drop unless it was
/// renamed.
struct Partial(PathBuf);

impl Partial {
    fn beside(path: &Path, suffix: &str) -> Result<Self, String> {
        let partial = with_suffix(path, suffix);
        let cleared = fs::remove_file(&partial).or_else(|err| match err.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(err),
        });
        cleared
            .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial))
            .map_err(|err| format!("cannot make {}: {err}", partial.display()))?;
        Ok(Self(partial))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn make_directory_of(path: &Path) -> Result<(), String> {
    let directory = directory_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|err| format!("cannot create the directory {}: {err}", directory.display()))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
