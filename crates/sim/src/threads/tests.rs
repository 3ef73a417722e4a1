//! Facts about simulated threads.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A count, and a body that adds one.
fn counted() -> (Arc<AtomicU32>, Body) {
    let count = Arc::new(AtomicU32::new(0));
    let shared = Arc::clone(&count);
    let body = move || {
        shared.fetch_add(1, Ordering::Relaxed);
    };
    (count, Box::new(body))
}

#[test]
fn spawning_runs_nothing() {
    let (count, body) = counted();
    SimThreads::new().spawn("t", body).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[test]
fn those_of_a_name_run_and_the_others_go_on_waiting() {
    let threads = SimThreads::new();
    let ((one, first), (other, second)) = (counted(), counted());
    threads.spawn("one", first).unwrap();
    threads.spawn("other", second).unwrap();
    assert_eq!(threads.run_named("one"), 1);
    assert_eq!((one.load(Ordering::Relaxed), other.load(Ordering::Relaxed)), (1, 0));
    assert_eq!(threads.run_named("one"), 0);
    assert_eq!(threads.run(), 1);
}

#[test]
fn joining_runs_the_body_once() {
    let threads = SimThreads::new();
    let (count, body) = counted();
    let thread = threads.spawn("t", body).unwrap();
    thread.join().unwrap();
    assert_eq!(threads.run(), 0);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn running_runs_what_waits_and_joining_then_only_reports() {
    let threads = SimThreads::new();
    let (count, body) = counted();
    let thread = threads.spawn("t", body).unwrap();
    assert_eq!(threads.run(), 1);
    thread.join().unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn a_panic_is_reported_to_who_joins() {
    let threads = SimThreads::new();
    let thread = threads.spawn("t", Box::new(|| panic!("oh"))).unwrap();
    assert_eq!(threads.run(), 1);
    assert_eq!(thread.join().unwrap_err().message, "oh");
}

#[test]
fn what_waits_is_dropped_by_a_crash() {
    let threads = SimThreads::new();
    let (count, body) = counted();
    let thread = threads.spawn("t", body).unwrap();
    threads.forget();
    thread.join().unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 0);
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn threads_without_end_are_refused() {
    let threads = SimThreads::new();
    for _ in 0..WAITING_MAX {
        threads.spawn("t", Box::new(|| ())).unwrap();
    }
    assert!(threads.spawn("t", Box::new(|| ())).is_err());
}
