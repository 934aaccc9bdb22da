//! The directory of a task, through which the service and the task's runner speak.
//!
//! Invariant: a directory is visible whole (claimed by one rename), and each record in it appears whole and
//! once.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `task.json` | service, before the directory has its name | what to run |
//! | `lock` | | locked by the service until the runner has it, then by the runner until it dies |
//! | `started.json` | runner, before the command starts | its process id, when |
//! | `output.log` | runner | what the command printed, bounded |
//! | `cancel` | service | that the task is to end |
//! | `ended.json` | runner; service, for a runner that died without it | the outcome, when |
//! | `seen` | service | that the outcome has been handed out; its age decides when the directory goes |

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

/// A record is not read beyond this: a command is at most as long as a request's body, and JSON may escape
/// each byte.
const RECORD_MAX: u64 = 16 * 1024 * 1024;

/// What to run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) command: String,
    pub(super) directory: PathBuf,
    pub(super) memory_in_mb: u32,
    /// The login name of the user as whom the command runs; `None`: as the service. Older records have none.
    #[serde(default)]
    pub(super) user: Option<String>,
    /// What the command finds in its environment beside that of the service. Older records have none.
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    pub(super) created_at_ns: i64,
}

/// The runner is at work. While there is no such record, the command has certainly not run.
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

    /// Makes the directory with its order, locked. It counts only once [`TaskDirectory::rename`] gave it its
    /// name.
    pub(super) fn prepare(path: PathBuf, order: &Order) -> io::Result<(Self, File)> {
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let directory = Self { path };
        let lock = private_file().create_new(true).open(directory.path.join("lock"))?;
        lock.try_lock()?;
        directory.write("task.json", order)?;
        Ok((directory, lock))
    }

    /// Gives the directory its name. `false`: the name was taken.
    pub(super) fn rename(&mut self, path: PathBuf) -> io::Result<bool> {
        match fs::rename(&self.path, &path) {
            Ok(()) => {
                self.path = path;
                sync_directory(self.path.parent().unwrap_or(&self.path))?;
                Ok(true)
            }
            // A directory that is not empty cannot be renamed over.
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

    /// `None`: there is no such task.
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

    /// Takes the lock, which says that no runner is alive. `None`: somebody has it.
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

    /// Remembers when somebody was first told the outcome.
    pub(super) fn mark_seen(&self, now: Timestamp) -> io::Result<()> {
        match private_file().create_new(true).open(self.path.join("seen")) {
            Ok(seen) => seen.set_modified(UNIX_EPOCH + now.since(Timestamp::from_nanos(0))),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(err) => Err(err),
        }
    }

    /// When the outcome was first handed out.
    pub(super) fn seen_at(&self) -> Option<SystemTime> {
        fs::metadata(self.path.join("seen")).and_then(|seen| seen.modified()).ok()
    }

    pub(super) fn create_output(&self) -> io::Result<File> {
        private_file().create_new(true).open(self.path.join("output.log"))
    }

    /// The file of the output, if there is one (or anything else in its place).
    pub(super) fn output(&self) -> Option<PathBuf> {
        let path = self.path.join("output.log");
        path.symlink_metadata().is_ok().then_some(path)
    }

    /// At most `limit` bytes of the output from `offset` on, and how long it is. `None`: there is none yet.
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

/// Writes a file that is there whole or not at all, a power cut included, readable by its owner alone.
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

/// A task that runs as the service's user can put anything in the place of a record. What is no regular file
/// is not followed (a link) nor waited for (a FIFO).
const SAFELY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(SAFELY.bits().cast_signed());
    options
}

/// `None`: there is no such file. What is no regular file is an error of the kind `InvalidData`.
fn open_to_read(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).custom_flags(SAFELY.bits().cast_signed()).open(path) {
        Ok(file) => regular(file).map(Some),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        // What opening a link with `NOFOLLOW`, a socket, or a device without a driver says.
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
    io::Error::new(io::ErrorKind::InvalidData, "it is no regular file")
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
