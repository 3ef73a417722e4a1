//! Facts about asking again.

use super::*;
use crate::layer::{Effect, Failure, Fault, Faulty, Op};
use crate::{MemoryStore, conformance};

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

fn quick() -> Patience {
    Patience { first_pause: Duration::from_micros(10), tries_max: 5, ..Patience::default() }
}

fn store() -> (Faulty, Retrying) {
    layered(quick())
}

fn layered(patience: Patience) -> (Faulty, Retrying) {
    let faulty = Faulty::new(Arc::new(MemoryStore::new()));
    let store = Retrying::new(Arc::new(faulty.clone()), Env::real(), patience);
    (faulty, store)
}

/// Of many threads one may meet many faults in a row.
fn enduring() -> Patience {
    Patience { tries_max: 100, pause_max: Duration::from_micros(100), ..quick() }
}

const ALL: [Op; 10] = [
    Op::Create,
    Op::Reopen,
    Op::Read,
    Op::Len,
    Op::Remove,
    Op::List,
    Op::Space,
    Op::Write,
    Op::Sync,
    Op::Seal,
];

#[test]
fn it_conforms_over_a_store_that_fails_at_every_second_call() {
    conformance::check(|| {
        let (faulty, store) = layered(enduring());
        for op in ALL {
            for call in 0..50 {
                let away = Effect::Fail(Failure::Unavailable);
                faulty.inject(Fault::once(op, away).after(call));
            }
        }
        Arc::new(store)
    });
}

#[test]
fn it_conforms_where_answers_are_lost() {
    conformance::check(|| {
        let (faulty, store) = layered(enduring());
        // A create whose answer was lost made the segment: only who made it can know.
        for op in ALL.into_iter().filter(|op| *op != Op::Create) {
            for call in 0..50 {
                let lost = Effect::FailAfter(Failure::Unavailable);
                faulty.inject(Fault::once(op, lost).after(call));
            }
        }
        Arc::new(store)
    });
}

#[test]
fn only_who_is_away_is_asked_again() {
    let (faulty, store) = store();
    for failure in [Failure::Io, Failure::NoSpace, Failure::ReadOnly] {
        faulty.inject(Fault::once(Op::Create, Effect::Fail(failure)));
        store.create(id(1), 0).err().unwrap();
    }
    store.create(id(1), 0).unwrap();
    assert!(matches!(store.create(id(1), 0), Err(StoreError::AlreadyExists { .. })));
    assert!(matches!(store.len(id(2)), Err(StoreError::NotFound { .. })));
}

#[test]
fn it_gives_up_after_so_many_tries() {
    let (faulty, store) = store();
    let away = Effect::Fail(Failure::Unavailable);
    faulty.inject(Fault { times: 4, ..Fault::once(Op::List, away) });
    store.list_from(id(1)).unwrap();
    faulty.inject(Fault { times: 5, ..Fault::once(Op::List, away) });
    assert!(store.list_from(id(1)).unwrap_err().is_transient());
    store.list_from(id(1)).unwrap();
}

#[test]
fn it_gives_up_when_it_takes_too_long() {
    let patience = Patience { total_max: Duration::ZERO, ..Patience::default() };
    let (faulty, store) = layered(patience);
    faulty.inject(Fault::once(Op::List, Effect::Fail(Failure::Unavailable)));
    assert!(store.list_from(id(1)).unwrap_err().is_transient());
}
