use std::io::IoSlice;
use std::ops::ControlFlow;
use std::sync::Arc;

use archipelago_model::{PoolId, SegmentId};

use super::Spread;
use crate::layer::{Effect, Failure, Fault, Faulty, Op};
use crate::{MemoryStore, Store, StoreError, conformance};

const SECOND: PoolId = PoolId::new(2);
const THIRD: PoolId = PoolId::new(3);

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

struct Pools {
    spread: Spread,
    first: Arc<MemoryStore>,
    second: Arc<MemoryStore>,
}

fn pools() -> Pools {
    let (first, second) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let spread = Spread::new(Arc::clone(&first) as Arc<dyn Store>);
    spread.put(SECOND, Some(Arc::clone(&second) as Arc<dyn Store>));
    Pools { spread, first, second }
}

fn write(store: &dyn Store, pool: PoolId, segment: SegmentId, bytes: &[u8]) {
    let writer = store.create_in(pool, segment, bytes.len() as u64).unwrap();
    writer.write_at(0, &[IoSlice::new(bytes)]).unwrap();
    writer.seal(bytes.len() as u64).unwrap();
}

fn read(store: &dyn Store, segment: SegmentId) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; store.len(segment)? as usize];
    store.read_at(segment, 0, &mut bytes)?;
    Ok(bytes)
}

fn go(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn several_pools_are_a_store() {
    conformance::check(|| {
        let spread = Spread::new(Arc::new(MemoryStore::new()));
        spread.put(SECOND, Some(Arc::new(MemoryStore::new())));
        Arc::new(spread)
    });
}

#[test]
fn a_segment_is_in_the_pool_that_was_said() {
    let Pools { spread, first, second } = pools();
    write(&spread, SECOND, id(1), b"there");
    write(&spread, PoolId::FIRST, id(2), b"here");
    assert_eq!(second.list_from(id(1)).unwrap(), [id(1)]);
    assert_eq!(first.list_from(id(1)).unwrap(), [id(2)]);
    assert_eq!(spread.list_from(id(1)).unwrap(), [id(1), id(2)]);
    assert_eq!(read(&spread, id(1)).unwrap(), b"there");
    spread.remove(id(1)).unwrap();
    assert_eq!(second.list_from(id(1)).unwrap(), []);
}

#[test]
fn a_copy_is_read_once_it_is_settled() {
    let Pools { spread, first, second } = pools();
    let bytes = vec![7; 3 << 20];
    write(&spread, PoolId::FIRST, id(1), &bytes);
    let copied = spread.copy(id(1), SECOND, &mut go).unwrap().unwrap();
    assert_eq!((copied.from(), copied.bytes()), (PoolId::FIRST, 3 << 20));
    assert_eq!(spread.pool_of(id(1)), PoolId::FIRST);
    copied.settle();
    assert_eq!(spread.pool_of(id(1)), SECOND);
    // On both sides until somebody removes the old one.
    assert_eq!(first.list_from(id(1)).unwrap(), [id(1)]);
    first.remove(id(1)).unwrap();
    assert_eq!(read(&spread, id(1)).unwrap(), bytes);
    assert_eq!(read(&*second, id(1)).unwrap(), bytes);
    let back = spread.copy(id(1), PoolId::FIRST, &mut go).unwrap().unwrap();
    back.settle();
    second.remove(id(1)).unwrap();
    assert_eq!(read(&spread, id(1)).unwrap(), bytes);
}

#[test]
fn a_copy_that_is_given_up_or_dropped_leaves_nothing() {
    let Pools { spread, second, .. } = pools();
    write(&spread, PoolId::FIRST, id(1), &vec![7; 3 << 20]);
    let given_up = spread.copy(id(1), SECOND, &mut |_| ControlFlow::Break(())).unwrap();
    assert!(given_up.is_none());
    drop(spread.copy(id(1), SECOND, &mut go).unwrap());
    assert_eq!(second.list_from(id(1)).unwrap(), []);
    assert_eq!(spread.pool_of(id(1)), PoolId::FIRST);
    // And may be made again.
    spread.copy(id(1), SECOND, &mut go).unwrap().unwrap().settle();
}

#[test]
fn what_an_interrupted_copy_left_is_no_hindrance() {
    let Pools { spread, second, .. } = pools();
    write(&spread, PoolId::FIRST, id(1), b"whole");
    let writer = second.create(id(1), 3).unwrap();
    writer.write_at(0, &[IoSlice::new(b"who")]).unwrap();
    drop(writer);
    spread.copy(id(1), SECOND, &mut go).unwrap().unwrap().settle();
    assert_eq!(read(&*second, id(1)).unwrap(), b"whole");
}

#[test]
fn a_copy_that_is_being_made_is_read_by_nobody() {
    let Pools { spread, first, second } = pools();
    write(&spread, PoolId::FIRST, id(1), &vec![7; 3 << 20]);
    let mut looked = 0;
    let copied = spread.copy(id(1), SECOND, &mut |_| {
        assert_eq!(second.list_from(id(1)).unwrap(), [id(1)]);
        assert_eq!(spread.pool_of(id(1)), PoolId::FIRST);
        looked += 1;
        ControlFlow::Continue(())
    });
    assert!(looked >= 3);
    drop(copied);
    // The segment itself goes while a copy of it is made.
    let mut gone = |_| {
        first.remove(id(1)).unwrap();
        assert!(matches!(read(&spread, id(1)), Err(StoreError::NotFound { .. })));
        ControlFlow::Break(())
    };
    assert!(spread.copy(id(1), SECOND, &mut gone).unwrap().is_none());
}

#[test]
fn a_segment_that_is_not_where_it_is_said_to_be_is_looked_for() {
    let Pools { spread, second, .. } = pools();
    write(&*second, SECOND, id(1), b"moved");
    assert_eq!(read(&spread, id(1)).unwrap(), b"moved");
    assert_eq!(spread.pool_of(id(1)), SECOND);
    assert!(matches!(read(&spread, id(9)), Err(StoreError::NotFound { .. })));
}

#[test]
fn a_pool_that_is_away_is_told_as_away_and_the_others_go_on() {
    let Pools { spread, .. } = pools();
    spread.put(THIRD, None);
    spread.found([(id(5), THIRD)]);
    write(&spread, SECOND, id(1), b"there");
    assert!(!spread.is_open(THIRD) && spread.is_open(SECOND));
    assert!(matches!(spread.len(id(5)), Err(StoreError::Unavailable { .. })));
    assert!(matches!(spread.create_in(THIRD, id(6), 0), Err(StoreError::Unavailable { .. })));
    assert_eq!(spread.list_from(id(1)).unwrap(), [id(1)]);
    // What nobody has may be there.
    assert!(matches!(spread.len(id(9)), Err(StoreError::Unavailable { .. })));
    let back = MemoryStore::new();
    write(&back, THIRD, id(5), b"back");
    spread.put(THIRD, Some(Arc::new(back)));
    assert_eq!(read(&spread, id(5)).unwrap(), b"back");
}

#[test]
fn a_segment_that_could_not_be_made_is_nowhere() {
    let spread = Spread::new(Arc::new(MemoryStore::new()));
    let full = Faulty::new(Arc::new(MemoryStore::new()));
    full.inject(Fault {
        op: Op::Create,
        segment: None,
        after: 0,
        times: u64::MAX,
        effect: Effect::Fail(Failure::NoSpace),
    });
    spread.put(SECOND, Some(Arc::new(full)));
    assert!(matches!(spread.create_in(SECOND, id(1), 0), Err(StoreError::NoSpace { .. })));
    assert_eq!(spread.pool_of(id(1)), PoolId::FIRST);
}
