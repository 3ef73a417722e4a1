//! Facts about rates, on a clock that only sleeping moves.

use archipelago_env::Clock;

use super::*;
use crate::testing::slept as world;
use crate::{MemoryStore, conformance};

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

#[test]
fn a_throttled_store_conforms() {
    conformance::check(|| {
        let (_, env) = world();
        let rates = Rates {
            read_bytes: NonZeroU64::new(1000),
            written_bytes: NonZeroU64::new(1000),
            calls: NonZeroU64::new(10),
        };
        Arc::new(Throttled::new(Arc::new(MemoryStore::new()), env, rates))
    });
}

#[test]
fn bytes_take_their_time_each_way() {
    let (clock, env) = world();
    let rates = Rates {
        read_bytes: NonZeroU64::new(2000),
        written_bytes: NonZeroU64::new(1000),
        calls: None,
    };
    let store = Throttled::new(Arc::new(MemoryStore::new()), env, rates);
    let writer = store.create(id(1), 0).unwrap();
    for _ in 0..10 {
        writer.write_at(0, &[IoSlice::new(&[1; 1000])]).unwrap();
    }
    // Ten seconds, less the one that the last call need not wait for, less the burst.
    assert_eq!(clock.monotonic(), Duration::from_secs(9) - BURST);
    let before = clock.monotonic();
    for _ in 0..10 {
        store.read_at(id(1), 0, &mut [0; 1000]).unwrap();
    }
    assert_eq!(clock.monotonic() - before, Duration::from_millis(4500) - BURST);
}

#[test]
fn what_fits_into_a_burst_does_not_wait() {
    let (clock, env) = world();
    let rates = Rates { calls: NonZeroU64::new(100), ..Rates::default() };
    let store = Throttled::new(Arc::new(MemoryStore::new()), env, rates);
    for _ in 0..20 {
        store.list_from(id(1)).unwrap();
    }
    assert_eq!(clock.monotonic(), Duration::ZERO);
    for _ in 0..100 {
        store.list_from(id(1)).unwrap();
    }
    assert!(clock.monotonic() > Duration::from_millis(900), "{:?}", clock.monotonic());
}

#[test]
fn without_rates_nothing_waits() {
    let (clock, env) = world();
    let store = Throttled::new(Arc::new(MemoryStore::new()), env, Rates::default());
    store.create(id(1), 0).unwrap().write_at(0, &[IoSlice::new(&[1; 1 << 20])]).unwrap();
    assert_eq!(clock.monotonic(), Duration::ZERO);
}
