//! Reaps orphaned processes. The first process of a container inherits those whose parent has ended, and only
//! it can wait for them.

use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;

/// The most that one call reaps; the rest is left to the next call.
const BATCH: usize = 1000;

/// Whether this process inherits orphans.
pub(crate) fn are_ours() -> bool {
    Pid::this().as_raw() == 1
}

/// Reaps the children that have ended, except those that `is_known` says other code waits for. If one of
/// these has ended, it hides the others until the next call.
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
