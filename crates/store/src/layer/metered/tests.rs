//! Facts about counting.

use super::*;
use crate::{MemoryStore, conformance};

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

#[test]
fn a_metered_store_conforms() {
    conformance::check(|| Arc::new(Metered::new(Arc::new(MemoryStore::new()))));
}

#[test]
fn calls_bytes_and_errors_are_counted() {
    let store = Metered::new(Arc::new(MemoryStore::new()));
    let writer = store.create(id(1), 4096).unwrap();
    writer.write_at(0, &[IoSlice::new(b"abc"), IoSlice::new(b"de")]).unwrap();
    writer.sync().unwrap();
    writer.seal(5).unwrap();
    store.read_at(id(1), 2, &mut [0; 100]).unwrap();
    store.len(id(2)).unwrap_err();
    store.list_from(id(1)).unwrap();
    store.remove(id(1)).unwrap();
    store.reopen(id(1)).err().unwrap();
    let expected = OpCounts {
        creates: 1,
        reopens: 1,
        reads: 1,
        read_bytes: 3,
        lens: 1,
        removes: 1,
        lists: 1,
        writes: 1,
        written_bytes: 5,
        syncs: 1,
        seals: 1,
        errors: 2,
    };
    assert_eq!(store.counts(), expected);
}
