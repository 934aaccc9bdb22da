//! Copies the database of a service that runs, or of one that does not.
//!
//! Invariant: what is at the destination is a whole database or what was there before; the source is only read.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::store;

/// Copies the database file `from` to `to`, as it is at one instant, while others may write to it. An older backup at `to` is
/// replaced once the new one is whole and on the disk.
///
/// # Errors
/// A text for people: when `from` is no database of this program, when `to` is anything but a backup, or when the disk says no.
pub fn backup(from: &Path, to: &Path) -> Result<(), String> {
    let shown = to.display();
    if let Ok(there) = to.canonicalize() {
        if from.canonicalize().is_ok_and(|from| from == there) {
            return Err(format!("{shown} is the database itself"));
        }
        store::check_is_ours(to)
            .map_err(|err| format!("the file {shown} {err}; it is no backup and was not replaced"))?;
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let cleared = fs::remove_file(&partial).or_else(|err| match err.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(err),
    });
    // It holds secrets (auth_header), so nobody else may read it.
    let made =
        cleared.and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial));
    made.map_err(|err| format!("cannot make {}: {err}", partial.display()))?;
    let done = store::copy(from, &partial).and_then(|()| {
        put_in_place(&partial, to).map_err(|err| format!("cannot put the backup in place at {shown}: {err}"))
    });
    if done.is_err() {
        // What is left of it is of no use; that it cannot be removed either adds nothing to the error.
        let _ = fs::remove_file(&partial);
    }
    done
}

fn put_in_place(partial: &Path, to: &Path) -> std::io::Result<()> {
    File::open(partial)?.sync_all()?;
    fs::rename(partial, to)?;
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
