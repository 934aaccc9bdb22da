//! Decides what is kept of ended tasks (their directories with the output), and for how long.
//!
//! Invariant: a directory, or its output, is deleted only after its task has ended.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use log::{info, warn};

use super::{Tasks, UNFINISHED, is_plain_name, lock, unavailable};
use crate::model::{Guid, Timestamp};
use crate::platform::local::records::TaskDirectory;
use crate::platform::{OutputPart, PlatformError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a task's directory with its output stays after its outcome was first returned.
const KEPT_AFTER_READ: Duration = DAY.saturating_mul(7);

/// The most outputs of ended tasks, and the most directories of tasks whose outcome was returned. Beyond
/// that, those that ended first are deleted …
const KEPT_MAX: usize = 1000;

/// … except that a directory stays this long, without its output: a caller that got the outcome may ask again
/// after a crash.
const KEPT_AT_LEAST: Duration = Duration::from_secs(60 * 60);

/// How long a task's directory stays if nobody asks for its outcome: as long as history does.
const KEPT_UNREAD: Duration = DAY.saturating_mul(150);

/// Old directories are looked for at a start, and after this many new ones.
const CLEAN_EVERY: usize = 100;

impl Tasks {
    pub(in crate::platform::local) fn read_output(
        &self,
        name: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Option<OutputPart>, PlatformError> {
        let Some(directory) = self.directory_of(name) else { return Ok(None) };
        match self.output_of(&directory, offset, limit) {
            // Something else is in its place, so there is no output.
            Err(err) if err.kind() == io::ErrorKind::InvalidData => Ok(None),
            read => read.map_err(unavailable),
        }
    }

    fn output_of(
        &self,
        directory: &TaskDirectory,
        offset: u64,
        limit: usize,
    ) -> io::Result<Option<OutputPart>> {
        if directory.order()?.is_none() {
            return Ok(None);
        }
        // Check this before reading: after the runner's end, the output is complete.
        let is_ended = directory.ended()?.is_some() || !self.is_locked(directory)?;
        let Some((bytes, length)) = directory.read_output(offset, limit)? else {
            // Output may still come from a running task. For an ended one it was removed, or there was none.
            let nothing_yet = OutputPart { bytes: Vec::new(), length: 0, is_ended };
            return Ok((!is_ended).then_some(nothing_yet));
        };
        Ok(Some(OutputPart { bytes, length, is_ended }))
    }

    pub(in crate::platform::local) fn forget_ended(
        &self,
        is_gone: &dyn Fn(&str) -> bool,
    ) -> Result<usize, PlatformError> {
        // Two concurrent removals would take directories from each other.
        let _removing = lock(&self.removing);
        self.remove_ended(is_gone).map_err(unavailable)
    }

    pub(super) fn clean_now_and_then(&self) {
        if self.created.load(Ordering::Relaxed) >= CLEAN_EVERY {
            self.created.store(0, Ordering::Relaxed);
            self.clean();
        }
    }

    pub(super) fn clean(&self) {
        let _removing = lock(&self.removing);
        match self.remove_old() {
            Ok(0) => (),
            Ok(count) => info!(count; "old task directories were removed"),
            Err(err) => warn!(cause:% = err; "old task directories could not be removed"),
        }
    }

    fn remove_old(&self) -> io::Result<usize> {
        let now = self.clock.now();
        let mut old = Vec::new();
        let mut read = Vec::new();
        let mut outputs = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let directory = TaskDirectory::at(entry?.path());
            let Ok(Some(ended)) = directory.ended() else { continue };
            let ended_at = Timestamp::from_nanos(ended.ended_at_ns);
            outputs.extend(directory.output().map(|output| (ended_at, output)));
            match seen_at(&directory) {
                Some(seen_at) if KEPT_AFTER_READ < now.since(seen_at) => old.push(directory),
                Some(seen_at) => read.push((ended_at, seen_at, directory)),
                None if KEPT_UNREAD < now.since(ended_at) => old.push(directory),
                None => (),
            }
        }
        read.sort_by_key(|(ended_at, ..)| *ended_at);
        let too_many = read.len().saturating_sub(KEPT_MAX);
        let beyond = read.into_iter().take(too_many);
        old.extend(
            beyond
                .filter(|(_, seen_at, _)| KEPT_AT_LEAST < now.since(*seen_at))
                .map(|(_, _, directory)| directory),
        );
        for directory in &old {
            self.remove(directory)?;
        }
        remove_oldest(outputs)?;
        Ok(old.len())
    }

    fn remove(&self, directory: &TaskDirectory) -> io::Result<()> {
        // Rename it first, so that nobody reads a part of it.
        let removed = self.directory.join(format!("{UNFINISHED}{}", Guid::random()));
        fs::rename(directory.path(), &removed)?;
        fs::remove_dir_all(&removed)
    }

    fn remove_ended(&self, is_gone: &dyn Fn(&str) -> bool) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_plain_name(name)) else { continue };
            let directory = TaskDirectory::at(entry.path());
            // A task that has not ended keeps its directory, whatever happened to its execution. A free lock
            // counts as an end.
            let is_over =
                matches!(directory.ended(), Ok(Some(_))) || matches!(self.is_locked(&directory), Ok(false));
            if is_over && is_gone(name) {
                self.remove(&directory)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Deletes the oldest outputs of ended tasks, so that fewer than [`KEPT_MAX`] remain until the next cleaning.
fn remove_oldest(mut outputs: Vec<(Timestamp, PathBuf)>) -> io::Result<()> {
    outputs.sort_by_key(|(ended_at, _)| *ended_at);
    let too_many = outputs.len().saturating_sub(KEPT_MAX - CLEAN_EVERY);
    for (_, output) in outputs.into_iter().take(too_many) {
        match fs::remove_file(output) {
            // It was deleted with its directory.
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => (),
        }
    }
    Ok(())
}

fn seen_at(directory: &TaskDirectory) -> Option<Timestamp> {
    let since_epoch = directory.seen_at()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_nanos(i64::try_from(since_epoch.as_nanos()).ok()?))
}
