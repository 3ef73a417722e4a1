//! Memory for large requests: bounded per connection and for all, and used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::{Condvar, Mutex};

use crate::limits::{BUFFERS_KEPT_BYTES_MAX, SEND_ATTEMPT};
use crate::proto::Outbox;

/// Allocations are rounded up to this, in bytes, so that freed ones fit the next request.
const ROUNDED_TO: usize = 64 << 10;

/// The memory of all connections.
pub(crate) struct Memory {
    max: usize,
    max_per_account: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    used: usize,
    waiting: usize,
    kept: Vec<Outbox>,
    kept_bytes: usize,
}

/// What one connection has of it, in bytes; changed under the lock of [`Memory`] only.
#[derive(Default)]
pub(crate) struct Account(AtomicUsize);

/// A piece of memory that goes back when it is dropped.
pub(crate) struct Buffer {
    pub(crate) bytes: Outbox,
    size: usize,
    memory: Arc<Memory>,
    account: Arc<Account>,
}

impl Memory {
    pub(crate) fn new(max: usize, max_per_account: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_account, state: Mutex::default(), freed: Condvar::new() })
    }

    /// An empty buffer with room for `len` bytes. Waits for others to give theirs back; `None`
    /// once `give_up` says so.
    pub(crate) fn take(
        self: &Arc<Self>,
        account: &Arc<Account>,
        len: usize,
        give_up: impl Fn() -> bool,
    ) -> Option<Buffer> {
        let size = len.next_multiple_of(ROUNDED_TO);
        let mut state = self.state.lock();
        while self.refuses(&state, account, size) {
            if give_up() {
                return None;
            }
            state.waiting += 1;
            self.freed.wait_for(&mut state, SEND_ATTEMPT);
            state.waiting -= 1;
        }
        state.used += size;
        account.0.fetch_add(size, Relaxed);
        let kept = state.kept.iter().position(|kept| (size..=2 * size).contains(&kept.capacity()));
        let kept = kept.map(|index| state.kept.swap_remove(index));
        if let Some(kept) = &kept {
            state.kept_bytes -= kept.capacity();
        }
        drop(state);
        let bytes = kept.unwrap_or_else(|| Outbox::with_capacity(size));
        Some(Buffer { bytes, size, memory: Arc::clone(self), account: Arc::clone(account) })
    }

    fn refuses(&self, state: &State, account: &Account, size: usize) -> bool {
        // One that is larger than its limit may go alone: limits are raised to where the largest
        // request fits, but this must not wait for ever whatever they are.
        let over = |used: usize, max: usize| used != 0 && used + size > max;
        over(state.used, self.max) || over(account.0.load(Relaxed), self.max_per_account)
    }

    /// Whether somebody waits for memory.
    pub(crate) fn contended(&self) -> bool {
        self.state.lock().waiting > 0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(0);
        let mut state = self.memory.state.lock();
        state.used -= self.size;
        self.account.0.fetch_sub(self.size, Relaxed);
        if state.kept_bytes + bytes.capacity() <= BUFFERS_KEPT_BYTES_MAX {
            state.kept_bytes += bytes.capacity();
            state.kept.push(bytes);
        }
        drop(state);
        self.memory.freed.notify_all();
    }
}

#[cfg(test)]
mod tests;
