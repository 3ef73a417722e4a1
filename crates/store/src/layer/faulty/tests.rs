//! Facts about failing on purpose.

use super::*;
use crate::{MemoryStore, conformance};

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

/// A store with the sealed segment 1, which holds `abcdef`.
fn faulty() -> Faulty {
    let store = Faulty::new(Arc::new(MemoryStore::new()));
    let writer = store.create(id(1), 0).unwrap();
    writer.write_at(0, &[IoSlice::new(b"abcdef")]).unwrap();
    writer.seal(6).unwrap();
    store
}

fn read(store: &dyn Store) -> Vec<u8> {
    let mut bytes = [0; 6];
    let read = store.read_at(id(1), 0, &mut bytes).unwrap();
    bytes[..read].to_vec()
}

#[test]
fn without_a_fault_the_layer_conforms() {
    conformance::check(|| Arc::new(Faulty::new(Arc::new(MemoryStore::new()))));
}

#[test]
fn a_fault_acts_once_after_the_calls_that_pass() {
    let store = faulty();
    store.inject(Fault::once(Op::Len, Effect::Fail(Failure::Io)).after(1));
    assert!(store.len(id(1)).is_ok());
    assert!(matches!(store.len(id(1)), Err(StoreError::Io { .. })));
    assert!(store.len(id(1)).is_ok());
}

#[test]
fn a_fault_of_one_segment_leaves_the_others_alone() {
    let store = faulty();
    store.inject(Fault::always(Op::Create, Effect::Fail(Failure::NoSpace)).on(id(3)));
    assert!(store.create(id(2), 0).is_ok());
    assert!(matches!(store.create(id(3), 0), Err(StoreError::NoSpace { .. })));
    assert!(matches!(store.create(id(3), 0), Err(StoreError::NoSpace { .. })));
    store.heal();
    assert!(store.create(id(3), 0).is_ok());
}

#[test]
fn a_torn_write_leaves_its_beginning() {
    let store = faulty();
    store.inject(Fault::once(Op::Write, Effect::Torn { kept: 4 }));
    let writer = store.reopen(id(1)).unwrap();
    let result = writer.write_at(0, &[IoSlice::new(b"UVW"), IoSlice::new(b"XYZ")]);
    assert!(matches!(result, Err(StoreError::Io { .. })));
    assert_eq!(read(&store), b"UVWXef");
}

#[test]
fn a_failure_afterwards_has_done_the_deed() {
    let store = faulty();
    store.inject(Fault::once(Op::Create, Effect::FailAfter(Failure::ReadOnly)));
    assert!(matches!(store.create(id(2), 0), Err(StoreError::ReadOnly { .. })));
    assert_eq!(store.list_from(id(2)).unwrap(), [id(2)]);
}

#[test]
fn a_flipped_bit_is_seen_by_the_reads_that_cover_it() {
    let store = faulty();
    store.inject(Fault::always(Op::Read, Effect::Flip { offset: 2, mask: 0x20 }).on(id(1)));
    assert_eq!(read(&store), b"abCdef");
    let mut tail = [0; 3];
    store.read_at(id(1), 3, &mut tail).unwrap();
    assert_eq!(&tail, b"def");
}

#[test]
fn clones_share_their_faults() {
    let store = faulty();
    store.clone().inject(Fault::once(Op::Sync, Effect::Fail(Failure::Io)));
    assert!(store.reopen(id(1)).unwrap().sync().is_err());
}
