//! The directory of a task, through which the service and the task's runner communicate.
//!
//! Invariant: a directory becomes visible complete (claimed by one rename), and each record in it appears
//! complete and once.
//!
//! | file | written by | meaning |
//! |---|---|---|
//! | `task.json` | service, before the directory has its name | what to run |
//! | `lock` | | locked by the service until the runner has it, then by the runner until it dies |
//! | `started.json` | runner, before the command starts | its process id and start time |
//! | `output.log` | runner | the command's output, bounded |
//! | `cancel` | service | the task is to be cancelled |
//! | `ended.json` | runner; service, for a runner that died without it | the outcome and its time |
//! | `seen` | service | the outcome was returned; its age decides when the directory is deleted |

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// The largest record that is read: a command is at most as long as a request's body, and JSON may escape
/// each byte.
const RECORD_MAX: u64 = 16 * 1024 * 1024;

/// What to run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) command: String,
    pub(super) directory: PathBuf,
    pub(super) memory_in_mb: u32,
    /// The login name of the user as which the command runs; `None`: the service's user. Missing in older
    /// records.
    #[serde(default)]
    pub(super) user: Option<String>,
    /// The command's environment variables beside those of the service. Missing in older records.
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    pub(super) created_at_ns: i64,
}

/// The runner has started. While this record is missing, the command has certainly not run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) runner_pid: i32,
    pub(super) started_at_ns: i64,
}

/// How the task ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) ended_at_ns: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Succeeded,
    Failed(String),
}

#[derive(Debug)]
pub(super) struct TaskDirectory {
    path: PathBuf,
}

impl TaskDirectory {
    pub(super) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Creates the directory with its order, locked. It counts only after [`TaskDirectory::rename`] has named
    /// it.
    pub(super) fn prepare(path: PathBuf, order: &Order) -> io::Result<(Self, File)> {
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let directory = Self { path };
        let lock = private_file().create_new(true).open(directory.path.join("lock"))?;
        lock.try_lock()?;
        directory.write("task.json", order)?;
        Ok((directory, lock))
    }

    /// Names the directory. `false`: the name was taken.
    pub(super) fn rename(&mut self, path: PathBuf) -> io::Result<bool> {
        match fs::rename(&self.path, &path) {
            Ok(()) => {
                self.path = path;
                sync_directory(self.path.parent().unwrap_or(&self.path))?;
                Ok(true)
            }
            // A rename cannot replace a directory that is not empty.
            Err(err)
                if matches!(err.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
            {
                Ok(false)
            }
            Err(err) => Err(err),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `None`: no such task.
    pub(super) fn order(&self) -> io::Result<Option<Order>> {
        self.read("task.json")
    }

    pub(super) fn started(&self) -> io::Result<Option<Started>> {
        self.read("started.json")
    }

    pub(super) fn ended(&self) -> io::Result<Option<Ended>> {
        self.read("ended.json")
    }

    pub(super) fn record_started(&self, started: &Started) -> io::Result<()> {
        self.write("started.json", started)
    }

    pub(super) fn record_ended(&self, ended: &Ended) -> io::Result<()> {
        self.write("ended.json", ended)
    }

    /// Takes the lock, which proves that no runner is alive. `None`: it is taken.
    pub(super) fn try_lock(&self) -> io::Result<Option<File>> {
        let lock = regular(private_file().open(self.path.join("lock"))?)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(err)) => Err(err),
        }
    }

    /// Whether `file` is our lock file.
    pub(super) fn is_lock(&self, device: u64, inode: u64) -> bool {
        fs::metadata(self.path.join("lock")).is_ok_and(|lock| lock.dev() == device && lock.ino() == inode)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.path.join("cancel").exists()
    }

    pub(super) fn mark_cancelled(&self) -> io::Result<()> {
        private_file().create(true).truncate(false).open(self.path.join("cancel")).map(drop)
    }

    /// Records when the outcome was first returned.
    pub(super) fn mark_seen(&self, now: Timestamp) -> io::Result<()> {
        match private_file().create_new(true).open(self.path.join("seen")) {
            Ok(seen) => seen.set_modified(UNIX_EPOCH + now.since(Timestamp::from_nanos(0))),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(err) => Err(err),
        }
    }

    /// When the outcome was first returned.
    pub(super) fn seen_at(&self) -> Option<SystemTime> {
        fs::metadata(self.path.join("seen")).and_then(|seen| seen.modified()).ok()
    }

    pub(super) fn create_output(&self) -> io::Result<File> {
        private_file().create_new(true).open(self.path.join("output.log"))
    }

    /// The path of the output, if it exists (or anything in its place).
    pub(super) fn output(&self) -> Option<PathBuf> {
        let path = self.path.join("output.log");
        path.symlink_metadata().is_ok().then_some(path)
    }

    /// At most `limit` bytes of the output from `offset` on, and its length. `None`: there is no output yet.
    pub(super) fn read_output(&self, offset: u64, limit: usize) -> io::Result<Option<(Vec<u8>, u64)>> {
        let Some(mut output) = open_to_read(&self.path.join("output.log"))? else { return Ok(None) };
        let length = output.metadata()?.len();
        let mut bytes = Vec::new();
        if offset < length {
            output.seek(SeekFrom::Start(offset))?;
            output.take((length - offset).min(limit as u64)).read_to_end(&mut bytes)?;
        }
        Ok(Some((bytes, length)))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let damaged =
            |cause: String| io::Error::new(io::ErrorKind::InvalidData, format!("{name} is damaged: {cause}"));
        let path = self.path.join(name);
        let file = open_to_read(&path).map_err(|err| match err.kind() {
            io::ErrorKind::InvalidData => damaged(err.to_string()),
            _ => err,
        })?;
        let Some(file) = file else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(RECORD_MAX).read_to_end(&mut bytes)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|err| damaged(err.to_string()))
    }

    fn write<T: Serialize>(&self, name: &str, record: &T) -> io::Result<()> {
        write_whole(&self.path.join(name), &serde_json::to_vec(record)?)
    }
}

/// Writes a file atomically and durably, readable only by its owner.
pub(super) fn write_whole(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let unfinished = directory.join(name);
    let mut file = private_file().create(true).truncate(true).open(&unfinished)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_directory(directory)
}

/// A task that runs as the service's user can replace a record with anything. Links are not followed, and
/// FIFOs not waited for.
const SAFELY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(SAFELY.bits().cast_signed());
    options
}

/// `None`: no such file. Anything but a regular file is an error of kind `InvalidData`.
fn open_to_read(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).custom_flags(SAFELY.bits().cast_signed()).open(path) {
        Ok(file) => regular(file).map(Some),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        // The error for opening a link with `NOFOLLOW`, a socket, or a device without a driver.
        Err(err) if is_irregular(&err) => Err(not_regular()),
        Err(err) => Err(err),
    }
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

fn is_irregular(err: &io::Error) -> bool {
    let errno = Errno::from_io_error(err);
    matches!(errno, Some(Errno::LOOP | Errno::NXIO | Errno::NODEV))
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file")
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
