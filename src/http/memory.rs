//! Bounds the memory that all requests and answers hold together.
//!
//! Invariant: memory is counted before it is allocated, and never exceeds the bound. Each connection has its
//! own reserve, so large requests cannot keep small ones out.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Refusal;

/// The largest reserve of a connection. It is smaller if all reserves together would exceed half of the
/// bound.
const RESERVED_BYTES_MAX: usize = 8 * 1024;

/// The bound, and how much of it is used.
#[derive(Debug)]
pub(super) struct Memory {
    /// The reserve of each connection.
    reserved_bytes: usize,
    /// What all connections together may hold beyond their reserves.
    shared_max: usize,
    shared: AtomicUsize,
}

impl Memory {
    /// A bound of `max_bytes` for at most `connections` connections.
    pub(super) fn new(max_bytes: usize, connections: usize) -> Self {
        let reserved_bytes = RESERVED_BYTES_MAX.min(max_bytes / 2 / connections.max(1));
        let shared_max = max_bytes - reserved_bytes * connections;
        Self { reserved_bytes, shared_max, shared: AtomicUsize::new(0) }
    }
}

/// What one connection holds; released on drop.
pub(super) struct Held<'server> {
    memory: &'server Memory,
    bytes: usize,
}

impl<'server> Held<'server> {
    pub(super) fn nothing(memory: &'server Memory) -> Self {
        Self { memory, bytes: 0 }
    }

    /// Holds `more` bytes. Refuses if all connections together would hold too much.
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

    /// Releases all but `bytes`.
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
    fn all_requests_together_stay_within_the_bound_and_a_small_one_always_fits() {
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
