//! What every backend must do, as tests that any backend can be put through.
//!
//! For tests only: a case that does not hold panics. [`check`] takes a function
//! that makes an empty store, as each case wants its own.

use std::io::IoSlice;
use std::sync::Arc;

use archipelago_model::SegmentId;

use crate::{Store, StoreError};

type Outcome = Result<(), StoreError>;

/// A name for the report, and what must hold.
type Case = (&'static str, fn(&dyn Store) -> Outcome);

const CASES: &[Case] = &[
    ("creating is exclusive", creating_is_exclusive),
    ("what was written is read", what_was_written_is_read),
    ("a read is short only at the end", a_read_is_short_only_at_the_end),
    ("a reserved byte is zero or behind the end", a_reserved_byte_is_zero_or_behind_the_end),
    ("sealing fixes the length", sealing_fixes_the_length),
    ("a sealed segment takes no writes", a_sealed_segment_takes_no_writes),
    ("an open segment can be reopened", an_open_segment_can_be_reopened),
    ("a sealed segment can be sealed again", a_sealed_segment_can_be_sealed_again),
    ("a seal is asked for again without harm", a_seal_is_asked_for_again_without_harm),
    ("what is sealed is written again as it is", what_is_sealed_is_written_again_as_it_is),
    ("a large segment is whole", a_large_segment_is_whole),
    ("writes that do not overlap run at once", writes_that_do_not_overlap_run_at_once),
    ("what is missing is not found", what_is_missing_is_not_found),
    ("removing is idempotent", removing_is_idempotent),
    ("a list ascends from its floor", a_list_ascends_from_its_floor),
    ("extreme ids are ids", extreme_ids_are_ids),
    ("a range beyond all stores is refused", a_range_beyond_all_stores_is_refused),
];

/// Puts a backend through every case; `empty` makes an empty store with room for
/// a few MiB.
///
/// # Panics
/// A case does not hold.
pub fn check(mut empty: impl FnMut() -> Arc<dyn Store>) {
    for (name, case) in CASES {
        if let Err(error) = case(&*empty()) {
            panic!("{name}: {error:?}");
        }
    }
}

/// Puts a backend through what must hold when it is full; `tiny` is an empty
/// store with room for at least 64 KiB and less than 8 MiB.
///
/// # Panics
/// A case does not hold.
pub fn check_full(tiny: &dyn Store) {
    if let Err(error) = a_full_store_says_so_and_goes_on(tiny) {
        panic!("a full store says so and goes on: {error:?}");
    }
}

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).expect("the cases use ids in range")
}

/// Reads up to `len` bytes.
fn read(store: &dyn Store, segment: u64, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0xee; len];
    let read = store.read_at(id(segment), offset, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn creating_is_exclusive(store: &dyn Store) -> Outcome {
    store.create(id(7), 4096)?.write_at(0, &[IoSlice::new(b"first")])?;
    let second = store.create(id(7), 4096).err();
    assert!(matches!(second, Some(StoreError::AlreadyExists { segment }) if segment == id(7)));
    assert_eq!(read(store, 7, 0, 5)?, b"first");
    Ok(())
}

fn what_was_written_is_read(store: &dyn Store) -> Outcome {
    let writer = store.create(id(1), 8192)?;
    let parts = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
    writer.write_at(512, &parts)?;
    assert_eq!(read(store, 1, 512, 8)?, b"headbody", "before the sync");
    writer.write_at(516, &[IoSlice::new(b"BO")])?;
    writer.sync()?;
    assert_eq!(read(store, 1, 512, 8)?, b"headBOdy", "after the sync");
    assert_eq!(read(store, 1, 510, 4)?, b"\0\0he", "before the first write");
    Ok(())
}

fn a_read_is_short_only_at_the_end(store: &dyn Store) -> Outcome {
    let writer = store.create(id(1), 8192)?;
    writer.write_at(0, &[IoSlice::new(&[5; 1000])])?;
    writer.seal(1000)?;
    assert_eq!(read(store, 1, 0, 1000)?, [5; 1000]);
    assert_eq!(read(store, 1, 990, 100)?, [5; 10]);
    assert_eq!(read(store, 1, 1000, 100)?, b"");
    assert_eq!(read(store, 1, u64::from(u32::MAX), 100)?, b"");
    assert_eq!(read(store, 1, 500, 0)?, b"");
    Ok(())
}

fn a_reserved_byte_is_zero_or_behind_the_end(store: &dyn Store) -> Outcome {
    let writer = store.create(id(1), 65536)?;
    writer.write_at(0, &[IoSlice::new(b"x")])?;
    assert!((1..=65536).contains(&store.len(id(1))?));
    assert!(read(store, 1, 1, 65536)?.iter().all(|byte| *byte == 0));
    Ok(())
}

fn sealing_fixes_the_length(store: &dyn Store) -> Outcome {
    let writer = store.create(id(1), 65536)?;
    writer.write_at(0, &[IoSlice::new(&[1; 4096])])?;
    writer.seal(3000)?;
    assert_eq!(store.len(id(1))?, 3000);
    assert_eq!(read(store, 1, 0, 4096)?, [1; 3000]);
    Ok(())
}

fn a_sealed_segment_takes_no_writes(store: &dyn Store) -> Outcome {
    let writer = store.create(id(1), 4096)?;
    writer.seal(0)?;
    assert!(writer.write_at(0, &[IoSlice::new(b"late")]).is_err());
    assert!(writer.seal(4096).is_err());
    assert_eq!(store.len(id(1))?, 0);
    Ok(())
}

fn an_open_segment_can_be_reopened(store: &dyn Store) -> Outcome {
    let first = store.create(id(1), 4096)?;
    first.write_at(0, &[IoSlice::new(b"before")])?;
    drop(first);
    let second = store.reopen(id(1))?;
    second.write_at(6, &[IoSlice::new(b"after")])?;
    second.sync()?;
    second.seal(11)?;
    assert_eq!(read(store, 1, 0, 100)?, b"beforeafter");
    Ok(())
}

fn a_sealed_segment_can_be_sealed_again(store: &dyn Store) -> Outcome {
    let first = store.create(id(1), 4096)?;
    first.write_at(0, &[IoSlice::new(b"kept")])?;
    first.seal(4)?;
    store.reopen(id(1))?.seal(4)?;
    assert_eq!(read(store, 1, 0, 100)?, b"kept");
    Ok(())
}

fn a_seal_is_asked_for_again_without_harm(store: &dyn Store) -> Outcome {
    let writer = store.create(id(1), 4096)?;
    writer.write_at(0, &[IoSlice::new(b"kept")])?;
    writer.seal(4)?;
    writer.seal(4)?;
    assert!(writer.seal(3).is_err());
    assert_eq!(read(store, 1, 0, 100)?, b"kept");
    Ok(())
}

fn what_is_sealed_is_written_again_as_it_is(store: &dyn Store) -> Outcome {
    let bytes: Vec<u8> = (0..5000u32).map(|n| (n % 251) as u8).collect();
    let first = store.create(id(1), 8192)?;
    first.write_at(0, &[IoSlice::new(&bytes)])?;
    first.seal(5000)?;
    drop(first);
    let again = store.reopen(id(1))?;
    again.write_at(1000, &[IoSlice::new(&bytes[1000..3000]), IoSlice::new(&bytes[3000..])])?;
    again.sync()?;
    again.seal(5000)?;
    assert!(again.write_at(0, &[IoSlice::new(b"late")]).is_err());
    assert_eq!(store.len(id(1))?, 5000);
    assert_eq!(read(store, 1, 0, 8192)?, bytes);
    Ok(())
}

fn a_large_segment_is_whole(store: &dyn Store) -> Outcome {
    /// No multiple of anything.
    const LEN: usize = (3 << 20) + 12_345;
    let byte = |at: usize| (at ^ (at >> 8) ^ (at >> 16)) as u8;
    let bytes: Vec<u8> = (0..LEN).map(byte).collect();
    let writer = store.create(id(1), 4 << 20)?;
    for (at, piece) in bytes.chunks(1 << 20).enumerate() {
        writer.write_at((at as u64) << 20, &[IoSlice::new(piece)])?;
    }
    writer.seal(LEN as u64)?;
    assert_eq!(store.len(id(1))?, LEN as u64);
    assert_eq!(read(store, 1, 0, LEN + 1)?, bytes);
    assert_eq!(read(store, 1, (1 << 20) - 7, 20)?, bytes[(1 << 20) - 7..][..20]);
    assert_eq!(read(store, 1, LEN as u64 - 5, 20)?, bytes[LEN - 5..]);
    Ok(())
}

fn writes_that_do_not_overlap_run_at_once(store: &dyn Store) -> Outcome {
    let writer = store.create(id(1), 64 << 10)?;
    let piece = |which: u8| [which + 1; 4096];
    std::thread::scope(|scope| {
        let writes = (0..16u8).map(|which| {
            let writer = &writer;
            scope.spawn(move || {
                writer.write_at(u64::from(which) << 12, &[IoSlice::new(&piece(which))])
            })
        });
        let writes: Vec<_> = writes.collect();
        writes.into_iter().try_for_each(|write| write.join().expect("a write panicked"))
    })?;
    writer.sync()?;
    writer.seal(64 << 10)?;
    for which in 0..16 {
        assert_eq!(read(store, 1, u64::from(which) << 12, 4096)?, piece(which));
    }
    Ok(())
}

fn what_is_missing_is_not_found(store: &dyn Store) -> Outcome {
    let missing = |result: Option<StoreError>| {
        assert!(matches!(result, Some(StoreError::NotFound { segment }) if segment == id(9)));
    };
    missing(store.len(id(9)).err());
    missing(store.read_at(id(9), 0, &mut [0; 8]).err());
    missing(store.reopen(id(9)).err());
    store.create(id(9), 0)?;
    store.len(id(9))?;
    store.remove(id(9))?;
    missing(store.len(id(9)).err());
    missing(store.read_at(id(9), 0, &mut [0; 8]).err());
    missing(store.reopen(id(9)).err());
    Ok(())
}

fn removing_is_idempotent(store: &dyn Store) -> Outcome {
    store.create(id(1), 4096)?.seal(0)?;
    store.remove(id(1))?;
    store.remove(id(1))?;
    store.remove(id(1 << 30))?;
    assert_eq!(store.list_from(id(1))?, []);
    Ok(())
}

fn a_list_ascends_from_its_floor(store: &dyn Store) -> Outcome {
    // Both sides of a boundary between shards, and out of order.
    let ids = [4097, 1, 4095, 70_000, 4096, 2].map(id);
    for segment in ids {
        store.create(segment, 0)?;
    }
    assert_eq!(store.list_from(id(1))?, [1, 2, 4095, 4096, 4097, 70_000].map(id));
    assert_eq!(store.list_from(id(4096))?, [4096, 4097, 70_000].map(id));
    assert_eq!(store.list_from(id(3))?, [4095, 4096, 4097, 70_000].map(id));
    assert_eq!(store.list_from(id(70_001))?, []);
    store.remove(id(4096))?;
    assert_eq!(store.list_from(id(4096))?, [4097, 70_000].map(id));
    Ok(())
}

fn extreme_ids_are_ids(store: &dyn Store) -> Outcome {
    for segment in [id(1), SegmentId::MAX] {
        store.create(segment, 0)?.seal(0)?;
    }
    assert_eq!(store.list_from(id(1))?, [id(1), SegmentId::MAX]);
    assert_eq!(store.list_from(SegmentId::MAX)?, [SegmentId::MAX]);
    Ok(())
}

fn a_range_beyond_all_stores_is_refused(store: &dyn Store) -> Outcome {
    let writer = store.create(id(1), 0)?;
    assert!(writer.write_at(u64::MAX - 1, &[IoSlice::new(b"abcd")]).is_err());
    assert!(store.create(id(2), u64::MAX).is_err());
    assert_eq!(store.list_from(id(1))?, [id(1)], "what failed left nothing behind");
    Ok(())
}

fn a_full_store_says_so_and_goes_on(store: &dyn Store) -> Outcome {
    const CAPACITY: u64 = 32 << 10;
    let kept = store.create(id(1), CAPACITY)?;
    let mut last = 1;
    let refused = loop {
        match store.create(id(last + 1), CAPACITY) {
            Ok(_) => last += 1,
            Err(error) => break error,
        }
        assert!(last < 1000, "the store is not as tiny as it should be");
    };
    assert!(matches!(refused, StoreError::NoSpace { .. }), "{refused:?}");
    assert!(store.space()?.free < CAPACITY);
    assert_eq!(store.list_from(id(1))?.len() as u64, last, "what failed left nothing behind");

    // What was reserved is there, also now.
    kept.write_at(0, &[IoSlice::new(&[1; CAPACITY as usize])])?;
    kept.seal(CAPACITY)?;

    let beyond = store.reopen(id(last))?;
    let refused = beyond.write_at(0, &[IoSlice::new(&vec![1; 8 << 20])]).err();
    assert!(matches!(refused, Some(StoreError::NoSpace { .. })), "{refused:?}");
    for segment in 2..=last {
        store.remove(id(segment))?;
    }
    drop(beyond);
    store.create(id(last + 1), CAPACITY)?;
    Ok(())
}
