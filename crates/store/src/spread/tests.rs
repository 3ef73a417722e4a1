use std::io::IoSlice;
use std::ops::ControlFlow;
use std::sync::Arc;

use archipelago_model::{PoolId, SegmentId};

use super::{Member, Spread};
use crate::layer::{Effect, Failure, Fault, Faulty, Metered, Op};
use crate::testing::slept;
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
    let spread = Spread::new(Arc::clone(&first), None);
    spread.put(SECOND, Some(Arc::clone(&second)));
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
        let spread = Spread::new(Arc::new(MemoryStore::new()), None);
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
    spread.put(THIRD, None::<Member>);
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
    let spread = Spread::new(Arc::new(MemoryStore::new()), None);
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

/// A segment with a second copy, over two pools of which the test may break either.
fn doubled() -> (Spread, [Arc<Faulty>; 2], [Arc<MemoryStore>; 2]) {
    let (spread, _, pools, memories) = counted();
    (spread, pools, memories)
}

type Counted = (Spread, Arc<Metered>, [Arc<Faulty>; 2], [Arc<MemoryStore>; 2]);

/// The same; what the first is asked for is counted.
fn counted() -> Counted {
    let memories = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
    let pools = memories.clone().map(|memory| Arc::new(Faulty::new(memory)));
    let (clock, _) = slept();
    let first = Arc::new(Metered::new(Arc::clone(&pools[0]) as Arc<dyn Store>));
    let spread = Spread::new(Arc::clone(&first), Some(clock));
    spread.put(SECOND, Some(Arc::clone(&pools[1])));
    write(&spread, PoolId::FIRST, id(1), b"whole");
    spread.copy_again(id(1), PoolId::FIRST, SECOND, &mut go).unwrap().unwrap().keep();
    (spread, first, pools, memories)
}

fn break_reads(pool: &Faulty, failure: Failure) {
    for op in [Op::Read, Op::Len] {
        pool.inject(Fault {
            op,
            segment: None,
            after: 0,
            times: u64::MAX,
            effect: Effect::Fail(failure),
        });
    }
}

#[test]
fn what_one_pool_does_not_give_is_read_in_the_other() {
    for broken in [0, 1] {
        for failure in [Failure::Io, Failure::Unavailable] {
            let (spread, pools, _) = doubled();
            assert_eq!(spread.places(id(1)), [PoolId::FIRST, SECOND]);
            break_reads(&pools[broken], failure);
            for _ in 0..3 {
                assert_eq!(read(&spread, id(1)).unwrap(), b"whole");
            }
            let answered = spread.answered_for(PoolId::FIRST);
            assert_eq!(answered > 0, broken == 0, "{answered}");
            break_reads(&pools[1 - broken], failure);
            assert!(read(&spread, id(1)).is_err());
        }
    }
}

#[test]
fn a_pool_that_failed_is_asked_last_for_a_while_and_first_again_when_it_was_opened_anew() {
    let (spread, first, pools, memories) = counted();
    break_reads(&pools[0], Failure::Io);
    read(&spread, id(1)).unwrap();
    let asked = first.counts();
    read(&spread, id(1)).unwrap();
    assert_eq!(first.counts(), asked, "it was asked again");
    // Of what has no second copy it is asked all the same.
    assert!(spread.len(id(9)).is_err());
    assert!(first.counts().lens > asked.lens);
    // The other one rests as well, where it is the one that was opened anew.
    break_reads(&pools[1], Failure::Io);
    assert!(read(&spread, id(1)).is_err());
    spread.put(SECOND, Some(Arc::clone(&memories[1])));
    assert_eq!(read(&spread, id(1)).unwrap(), b"whole");
}

#[test]
fn a_segment_that_is_missing_in_one_pool_is_read_in_the_other_and_one_that_is_in_none_is_gone() {
    let (spread, _, memories) = doubled();
    memories[0].remove(id(1)).unwrap();
    assert_eq!(read(&spread, id(1)).unwrap(), b"whole");
    memories[1].remove(id(1)).unwrap();
    assert!(matches!(read(&spread, id(1)), Err(StoreError::NotFound { .. })));
}

#[test]
fn a_pool_that_is_away_does_not_keep_its_segments_from_being_read_or_removed() {
    let (spread, _, memories) = doubled();
    spread.put(SECOND, None::<Member>);
    assert_eq!(read(&spread, id(1)).unwrap(), b"whole");
    spread.remove(id(1)).unwrap();
    assert_eq!(spread.places(id(1)), [PoolId::FIRST]);
    // What it has of it is a leftover when it is back.
    assert_eq!(memories[1].list_from(id(1)).unwrap(), [id(1)]);
}

#[test]
fn both_copies_of_a_segment_go_with_it() {
    let (spread, _, memories) = doubled();
    spread.remove(id(1)).unwrap();
    for memory in memories {
        assert_eq!(memory.list_from(id(1)).unwrap(), []);
    }
}

#[test]
fn whoever_finds_a_copy_wrong_may_ask_each() {
    let (spread, _, memories) = doubled();
    memories[0].remove(id(1)).unwrap();
    write(&*memories[0], PoolId::FIRST, id(1), b"wrong");
    assert_eq!(read(&spread, id(1)).unwrap(), b"wrong");
    let all: Vec<_> =
        spread.copies(id(1)).iter().map(|copy| read(&**copy, id(1)).unwrap()).collect();
    assert_eq!(all, [b"wrong".to_vec(), b"whole".to_vec()]);
    assert!(spread.copies(id(9)).is_empty());
    // One that is made anew is read by nobody meanwhile.
    let mut looks = 0;
    let again = spread.copy_again(id(1), SECOND, PoolId::FIRST, &mut |_| {
        assert_eq!(read(&spread, id(1)).unwrap(), b"whole");
        assert_eq!(spread.copies(id(1)).len(), 1);
        looks += 1;
        ControlFlow::Continue(())
    });
    again.unwrap().unwrap().keep();
    assert!(looks > 0);
    assert_eq!(spread.places(id(1)), [PoolId::FIRST, SECOND]);
    assert_eq!(read(&*memories[0], id(1)).unwrap(), b"whole");
    assert_eq!(spread.copies(id(1)).len(), 2);
}

#[test]
fn a_segment_that_moves_to_its_second_copy_has_none_any_more() {
    let (spread, _, _) = doubled();
    assert!(spread.copy(id(1), SECOND, &mut go).is_err());
    spread.found([(id(1), SECOND)]);
    assert_eq!(spread.places(id(1)), [SECOND]);
    spread.take(SECOND);
    assert_eq!(spread.places(id(1)), [PoolId::FIRST]);
}
