//! The `standalone` service that runs on this machine, so that the command line finds it.
//!
//! Invariant: the file holds no secret, and names a service only while that service holds its lock.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::health::reachable;
use crate::config;
use crate::platform::local::World;

/// The state of the packaged service, which root and its group can read.
const PACKAGED: &str = "/var/lib/ocf-scheduler";
/// The most of the file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A service that runs.
#[derive(Serialize, Deserialize)]
pub(super) struct Running {
    /// Its base URL from this machine.
    pub(super) url: String,
    /// Its file of apps and tokens.
    file: PathBuf,
}

impl Running {
    /// Records a service until the returned file is closed. `None` if another one is recorded that still
    /// runs, or if there is no place for it.
    pub(super) fn record(address: SocketAddr, file: &Path) -> io::Result<Option<File>> {
        let Some(directory) = directory_of_service() else { return Ok(None) };
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let path = directory.join(FILE);
        let mut record =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match record.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(err)) => return Err(err),
        }
        let address = SocketAddr::new(reachable(address.ip()), address.port());
        let running = Self { url: format!("http://{address}"), file: std::path::absolute(file)? };
        record.set_len(0)?;
        record.write_all(&serde_json::to_vec(&running)?)?;
        Ok(Some(record))
    }

    /// The service of this user, else the packaged one if this user may see it.
    pub(super) fn find() -> Option<Self> {
        let candidates = [directory_of_user(), Some(PathBuf::from(PACKAGED))];
        candidates.into_iter().flatten().find_map(|directory| Self::read(&directory.join(FILE)))
    }

    fn read(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        // If the lock is free, the service is gone and has left its file behind.
        if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Its apps and tokens. The error is a text for people.
    pub(super) fn world(&self) -> Result<World, String> {
        World::read(&self.file)
    }

    /// For messages.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

const FILE: &str = "running.json";

/// systemd says where its state is.
fn directory_of_service() -> Option<PathBuf> {
    folder("STATE_DIRECTORY").or_else(directory_of_user)
}

fn directory_of_user() -> Option<PathBuf> {
    let below = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(below.join("ocf-scheduler"))
}

fn folder(name: &str) -> Option<PathBuf> {
    config::variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
