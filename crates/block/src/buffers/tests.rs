//! The bounds of memory in flight.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;

const UNIT: usize = ROUNDED_TO;

/// Gives up at once: what a caller would have to wait for is `None`.
fn now(memory: &Arc<Memory>, account: &Arc<Account>, len: usize) -> Option<Buffer> {
    memory.take(account, len, || true)
}

#[test]
fn no_account_gets_more_than_its_part() {
    let memory = Memory::new(10 * UNIT, 2 * UNIT);
    let (one, two) = (Arc::default(), Arc::default());
    let _held = now(&memory, &one, 2 * UNIT).unwrap();
    assert!(now(&memory, &one, 1).is_none());
    assert!(now(&memory, &two, UNIT).is_some());
}

#[test]
fn all_together_get_no_more_than_there_is() {
    let memory = Memory::new(3 * UNIT, 2 * UNIT);
    let (one, two) = (Arc::default(), Arc::default());
    let held = now(&memory, &one, 2 * UNIT).unwrap();
    assert!(now(&memory, &two, 2 * UNIT).is_none());
    drop(held);
    assert!(now(&memory, &two, 2 * UNIT).is_some());
}

#[test]
fn what_is_larger_than_all_goes_alone() {
    let memory = Memory::new(UNIT, UNIT);
    let account = Arc::default();
    let held = now(&memory, &account, 5 * UNIT).unwrap();
    assert!(now(&memory, &account, 1).is_none());
    drop(held);
    assert!(now(&memory, &account, 1).is_some());
}

#[test]
fn a_buffer_that_was_used_before_begins_empty() {
    let memory = Memory::new(10 * UNIT, 10 * UNIT);
    let account = Arc::default();
    let mut buffer = now(&memory, &account, UNIT).unwrap();
    buffer.bytes.put(b"secret of another client");
    drop(buffer);
    let again = now(&memory, &account, UNIT).unwrap();
    assert_eq!(again.bytes.len(), 0);
    assert_eq!(again.bytes.as_slice(), b"");
}

#[test]
fn a_waiter_gets_what_is_given_back() {
    let memory = Memory::new(UNIT, UNIT);
    let account = Arc::default();
    let held = now(&memory, &account, UNIT).unwrap();
    let rounds = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            memory.take(&account, UNIT, || {
                rounds.fetch_add(1, SeqCst);
                false
            })
        });
        while !memory.contended() {
            std::thread::yield_now();
        }
        drop(held);
        assert!(waiter.join().unwrap().is_some());
    });
    assert!(!memory.contended());
}
