//! Work done beside a connection's thread.

use std::sync::mpsc::channel;

use archipelago_env::Env;

use super::*;
use crate::limits::Limits;
use crate::memory::MemoryExports;

fn crew(limit: usize) -> Crew {
    let limits = Limits { helpers: limit, ..Limits::default() };
    Crew::new(Hub::new(Env::real(), Arc::new(MemoryExports::default()), None, limits), 1)
}

#[test]
fn jobs_that_wait_for_each_other_run_at_once() {
    let crew = crew(16);
    let (first, second) = (channel(), channel());
    crew.run(Box::new(move || second.1.recv().map(|()| first.0.send(()).unwrap()).unwrap()));
    crew.run(Box::new(move || second.0.send(()).unwrap()));
    first.1.recv().unwrap();
    crew.finish();
    assert_eq!(crew.in_flight(), 0);
}

#[test]
fn without_a_helper_to_be_had_the_caller_does_it() {
    let crew = crew(0);
    let caller = std::thread::current().id();
    let (send, receive) = channel();
    crew.run(Box::new(move || send.send(std::thread::current().id()).unwrap()));
    assert_eq!(receive.try_recv(), Ok(caller));
    crew.finish();
}

#[test]
fn finishing_waits_for_every_job() {
    let crew = crew(2);
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..200 {
        let done = Arc::clone(&done);
        crew.run(Box::new(move || {
            done.fetch_add(1, Ordering::SeqCst);
        }));
    }
    crew.finish();
    assert_eq!(done.load(Ordering::SeqCst), 200);
    assert_eq!(crew.inner.hub.helpers.load(Ordering::SeqCst), 0);
}

#[test]
fn a_job_that_panics_takes_nobody_with_it() {
    let crew = crew(1);
    crew.run(Box::new(|| panic!("a test's panic")));
    let (send, receive) = channel();
    crew.run(Box::new(move || send.send(()).unwrap()));
    receive.recv().unwrap();
    crew.finish();
}
