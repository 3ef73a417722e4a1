//! Facts about the store in memory.

use super::*;
use crate::conformance;

#[test]
fn memory_conforms() {
    conformance::check(|| Arc::new(MemoryStore::new()));
}

#[test]
fn full_memory_conforms() {
    conformance::check_full(&MemoryStore::with_room(1 << 20));
}

#[test]
fn sealing_gives_back_what_was_reserved_in_vain() {
    let store = MemoryStore::with_room(10_000);
    let writer = store.create(SegmentId::new(1).unwrap(), 8000).unwrap();
    assert_eq!(store.space().unwrap(), Space { total: 10_000, free: 2000 });
    writer.seal(1000).unwrap();
    assert_eq!(store.space().unwrap().free, 9000);
    store.remove(SegmentId::new(1).unwrap()).unwrap();
    assert_eq!(store.space().unwrap().free, 10_000);
}
