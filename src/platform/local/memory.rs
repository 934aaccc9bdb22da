//! Enforces `memory_in_mb`: for a whole task if a cgroup (version 2) can be created for it, otherwise for
//! each process.
//!
//! A cgroup can be created where the `memory` controller is enabled for the children of our own cgroup or of
//! its parent, and we may write there: as root under systemd, or in a unit with `Delegate=memory pids` and
//! `DelegateSubgroup=`. Such a cgroup also limits the number of processes of a task.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::after;
use log::warn;

/// The most processes and threads of a task with a cgroup: many for a program, few for a fork bomb.
const PIDS_MAX: &str = "2048";

const REMOVE_TRIES: u32 = 10;
const REMOVE_RETRY_DELAY: Duration = Duration::from_millis(20);

/// How `memory_in_mb` is enforced on this machine. Disk space is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// A cgroup limits the memory of all processes of a task together.
    WholeTask,
    /// A resource limit applies to the data (heap, stacks, private mappings) of each process.
    EachProcess,
}

impl MemoryLimit {
    /// Finds out by creating a cgroup and removing it.
    pub fn in_force() -> Self {
        match Group::create("probe", 1) {
            Some(_) => Self::WholeTask,
            None => Self::EachProcess,
        }
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WholeTask => "the whole task, by a cgroup",
            Self::EachProcess => "each of the task's processes, because no cgroup can be created",
        })
    }
}

/// A script that sets the limit `$1` (in KiB) for itself and then becomes the command `$2`.
///
/// It limits data, not address space: the latter includes memory that is only reserved, and a JVM or Node
/// reserves more than most limits allow. If setting it fails, a lower limit applies already, or the system
/// has no such limit.
pub(super) const LIMIT_EACH_PROCESS: &str = r#"ulimit -d "$1" 2>/dev/null; exec /bin/sh -c "$2""#;

pub(super) fn limit_in_kib(memory_in_mb: u32) -> String {
    (u64::from(memory_in_mb) * 1024).to_string()
}

/// A cgroup for one task. Dropping it kills what is left in it, and removes it.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
    /// The cgroup of this process.
    home: PathBuf,
}

impl Group {
    /// `None`: no cgroup can be created here.
    pub(super) fn create(name: &str, memory_in_mb: u32) -> Option<Self> {
        let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
        let home = home_of(Path::new("/sys/fs/cgroup"), &membership)?;
        Self::create_near(&home, name, memory_in_mb)
    }

    fn create_near(home: &Path, name: &str, memory_in_mb: u32) -> Option<Self> {
        // We must be able to come back: a cgroup whose children have limits accepts no processes.
        enter(home).ok()?;
        let mut parents = [Some(home), home.parent()].into_iter().flatten();
        let parent = parents.find(|parent| {
            fs::read_to_string(parent.join("cgroup.subtree_control"))
                .is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "memory"))
        })?;
        let path = parent.join(format!("ocf-task-{name}"));
        fs::create_dir(&path).ok()?;
        let group = Self { path, home: home.to_owned() };
        let limit = u64::from(memory_in_mb) * 1024 * 1024;
        fs::write(group.path.join("memory.max"), limit.to_string()).ok()?;
        // The kernel may have no swap accounting.
        let _ = fs::write(group.path.join("memory.swap.max"), "0");
        // The controller `pids` may be off although `memory` is on.
        let _ = fs::write(group.path.join("pids.max"), PIDS_MAX);
        Some(group)
    }

    /// Moves this process into the group, so that its next child starts in it.
    pub(super) fn enter(&self) -> io::Result<()> {
        enter(&self.path)
    }

    /// Moves this process back.
    pub(super) fn leave(&self) -> io::Result<()> {
        enter(&self.home)
    }

    /// Whether the kernel killed a process of the group because of the limit.
    pub(super) fn was_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        // A process takes a moment to die. An empty group that stays behind costs nothing but its name.
        for _ in 0..REMOVE_TRIES {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            let _ = after(REMOVE_RETRY_DELAY).recv();
        }
        warn!(path:% = self.path.display(); "a cgroup could not be removed");
    }
}

fn enter(group: &Path) -> io::Result<()> {
    // Writing 0 moves the writing process.
    fs::write(group.join("cgroup.procs"), "0")
}

/// The directory of our own cgroup, from `/proc/self/cgroup`, where version 2 is the line `0::PATH`.
fn home_of(root: &Path, membership: &str) -> Option<PathBuf> {
    let path = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let home = root.join(path);
    // If both versions are mounted, version 2 is elsewhere, and has no memory controller.
    home.join("cgroup.procs").exists().then_some(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_created_beside_ours_if_memory_is_enabled() {
        // Plain files replace the kernel's: this tests what is written where, not what the kernel does.
        let root = tempfile::tempdir().unwrap();
        let slice = root.path().join("system.slice");
        fs::create_dir_all(slice.join("scheduler.service")).unwrap();
        fs::write(slice.join("cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        fs::write(slice.join("scheduler.service/cgroup.subtree_control"), "\n").unwrap();
        fs::write(slice.join("scheduler.service/cgroup.procs"), "").unwrap();
        let home = home_of(root.path(), "1:cpu:/other\n0::/system.slice/scheduler.service\n").unwrap();

        let group = Group::create_near(&home, "one", 64).unwrap();
        let made = slice.join("ocf-task-one");
        assert_eq!(group.path, made);
        assert_eq!(fs::read_to_string(made.join("memory.max")).unwrap(), "67108864");
        assert_eq!(fs::read_to_string(made.join("pids.max")).unwrap(), PIDS_MAX);
        group.enter().unwrap();
        assert_eq!(fs::read_to_string(made.join("cgroup.procs")).unwrap(), "0");
        fs::write(made.join("memory.events"), "max 9\noom 1\noom_kill 1\n").unwrap();
        assert!(group.was_out_of_memory());
    }

    #[test]
    fn no_cgroup_is_created_if_memory_is_not_enabled() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.subtree_control"), "cpu pids\n").unwrap();
        fs::write(root.path().join("cgroup.procs"), "").unwrap();
        let home = home_of(root.path(), "0::/\n").unwrap();
        assert!(Group::create_near(&home, "one", 64).is_none());
    }
}
