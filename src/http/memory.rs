//! The memory that requests and their answers hold, all together.
//!
//! Invariant: what clients make the server hold is counted before it is held, and never more than
//! [`Memory`]'s bound. A small request has its room in any case, so requests that hold much keep no small one
//! out.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Refusal;

/// What a request may hold beside the others, unless so much for each connection is more than half of the
/// bound.
const RESERVED_BYTES_MAX: usize = 8 * 1024;

/// The bound, and what is held of it.
#[derive(Debug)]
pub(super) struct Memory {
    /// What each connection may hold without asking.
    reserved_bytes: usize,
    /// What all may hold together beyond that.
    shared_max: usize,
    shared: AtomicUsize,
}

impl Memory {
    /// Room for `max_bytes` in all, for as many connections.
    pub(super) fn new(max_bytes: usize, connections: usize) -> Self {
        let reserved_bytes = RESERVED_BYTES_MAX.min(max_bytes / 2 / connections.max(1));
        let shared_max = max_bytes - reserved_bytes * connections;
        Self { reserved_bytes, shared_max, shared: AtomicUsize::new(0) }
    }
}

/// What one connection holds. Given back when it is dropped.
pub(super) struct Held<'server> {
    memory: &'server Memory,
    bytes: usize,
}

impl<'server> Held<'server> {
    pub(super) fn nothing(memory: &'server Memory) -> Self {
        Self { memory, bytes: 0 }
    }

    /// Holds `more` bytes, or refuses because all connections together hold too much.
    pub(super) fn hold(&mut self, more: usize) -> Result<(), Refusal> {
        let before = self.shared_bytes();
        self.bytes += more;
        let shared = self.shared_bytes() - before;
        if shared == 0 {
            return Ok(());
        }
        let all = self.memory.shared.fetch_add(shared, Ordering::Relaxed) + shared;
        if self.memory.shared_max < all {
            self.memory.shared.fetch_sub(shared, Ordering::Relaxed);
            self.bytes -= more;
            return Err(Refusal::overloaded("requests and answers hold too much memory"));
        }
        Ok(())
    }

    /// Gives back all but `bytes`.
    pub(super) fn keep(&mut self, bytes: usize) {
        let before = self.shared_bytes();
        self.bytes = bytes.min(self.bytes);
        let shared = before - self.shared_bytes();
        if 0 < shared {
            self.memory.shared.fetch_sub(shared, Ordering::Relaxed);
        }
    }

    fn shared_bytes(&self) -> usize {
        self.bytes.saturating_sub(self.memory.reserved_bytes)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.keep(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_hold_no_more_than_the_bound_and_a_small_one_always_has_room() {
        let memory = Memory::new(64 * 1024, 4);
        assert_eq!((memory.reserved_bytes, memory.shared_max), (8 * 1024, 32 * 1024));
        let mut large = Held::nothing(&memory);
        assert_eq!(large.hold(40 * 1024), Ok(()));
        let mut small = Held::nothing(&memory);
        assert_eq!(small.hold(8 * 1024), Ok(()));
        assert_eq!(small.hold(1).unwrap_err().status, 503);
        large.keep(39 * 1024);
        assert_eq!(small.hold(1024), Ok(()), "what was given back is there again");
        drop((large, small));
        assert_eq!(Held::nothing(&memory).hold(40 * 1024), Ok(()));
    }

    #[test]
    fn very_many_connections_reserve_half_of_the_bound_at_most() {
        let memory = Memory::new(1024 * 1024, 1024);
        assert_eq!((memory.reserved_bytes, memory.shared_max), (512, 512 * 1024));
    }
}
