//! Facts about the system's threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_joined_thread_has_run_to_its_end() {
    let ran = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ran);
    let body = Box::new(move || seen.store(true, Ordering::SeqCst));
    SystemThreads.spawn("worker", body).unwrap().join().unwrap();
    assert!(ran.load(Ordering::SeqCst));
}

#[test]
fn a_panic_is_reported_to_who_joins() {
    let thread = SystemThreads.spawn("worker", Box::new(|| panic!("no {}", "luck"))).unwrap();
    let panicked = thread.join().unwrap_err();
    assert_eq!(panicked, Panicked { thread: "worker".into(), message: "no luck".into() });
}

#[test]
fn a_name_with_a_zero_byte_is_refused() {
    assert!(SystemThreads.spawn("a\0b", Box::new(|| ())).is_err());
}
