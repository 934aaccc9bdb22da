//! Reaps processes that others have left to us: as the first process of a container we inherit children whose parent has ended,
//! and nobody else can wait for them.

use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;

/// The most that are reaped at a time; the rest waits for the next look.
const BATCH: usize = 1000;

/// Whether this process inherits others.
pub(crate) fn are_ours() -> bool {
    Pid::this().as_raw() == 1
}

/// Waits for the children that have ended, but not for those of which `is_known` says that somebody else waits. None of these
/// should have ended, or it hides those behind it until the next look.
pub(crate) fn reap(is_known: impl Fn(u32) -> bool) -> usize {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    for reaped in 0..BATCH {
        // An error means that there are no children.
        let ended = waitid(Id::All, look).ok().and_then(|status| status.pid());
        let Some(pid) = ended.filter(|pid| !is_known(pid.as_raw().cast_unsigned())) else { return reaped };
        // It has ended, so this does not wait.
        if waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_err() {
            return reaped;
        }
    }
    BATCH
}
