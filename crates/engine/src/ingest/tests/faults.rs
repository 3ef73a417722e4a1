//! What is left, and what is not, when the store or the source fails.

use archipelago_store::layer::{Effect, Failure, Fault, Op};

use super::*;

#[test]
fn a_failing_write_leaves_no_unfinished_segment() {
    for (op, after) in [(Op::Create, 0), (Op::Write, 0), (Op::Write, 2), (Op::Seal, 0)] {
        let world = World::new();
        world.store.inject(Fault::once(op, Effect::Fail(Failure::Io)).after(after));
        let failed = world.try_ingest(&random(1, 5 * MIB));
        assert!(matches!(failed, Err(IngestError::Engine(_))), "{op:?}");
        assert_eq!(world.ids(), [], "{op:?}");
    }
}

#[test]
fn no_space_is_told_as_such() {
    let world = World::new();
    world.store.inject(Fault::once(Op::Write, Effect::Fail(Failure::NoSpace)));
    let failed = world.try_ingest(&random(1, MIB));
    assert!(matches!(failed, Err(IngestError::Engine(Error::NoSpace(_)))));
}

#[test]
fn an_ingest_that_failed_half_way_is_cheap_to_do_again() {
    let world = World::with_segment_bytes(MIB as u64);
    let bytes = random(1, 8 * MIB);
    world.store.inject(Fault::once(Op::Seal, Effect::Fail(Failure::Io)).after(4));
    assert!(world.try_ingest(&bytes).is_err());
    let again = world.ingest(&bytes);
    assert_eq!(world.read(*again.root.get(), bytes.len()), bytes);
    assert!(again.stats.duplicate_bytes >= 3 * MIB as u64, "{:?}", again.stats);
    assert_eq!(again.named.len(), 4);
}

#[test]
fn a_source_that_breaks_off_binds_nothing() {
    let world = World::new();
    let mut pieces = 0;
    let failed = ingest(&world.context, PoolId::FIRST, Location::HOLE, 64 << 20, &mut || {
        pieces += 1;
        if pieces > 20 {
            return Err(IngestError::Source("the connection was lost".into()));
        }
        let bytes = random(pieces, MIB);
        Ok(Some(Piece::Data { offset: (pieces - 1) * MIB as u64, bytes }))
    });
    assert!(matches!(failed, Err(IngestError::Source(_))));
    assert_eq!(world.ids(), []);
}

#[test]
fn data_whose_segment_has_an_unreadable_list_is_written_again() {
    let mut world = World::new();
    let bytes = random(1, 2 * MIB);
    let first = world.ingest(&bytes);
    let id = first.sealed[0].id;
    let at = world.segments.directory(id).unwrap().fingerprints.offset;
    world.restart();
    learn(&world.context, &[id]);
    world.store.inject(Fault::always(Op::Read, Effect::Flip { offset: at, mask: 1 }).on(id));
    let again = world.ingest(&bytes);
    assert_eq!(again.stats.duplicate_bytes, 0);
    assert_eq!(again.named, []);
    assert_eq!(world.context.dedup_figures().unreadable, 1);
    assert_eq!(world.read(*again.root.get(), bytes.len()), bytes);
}

#[test]
fn a_segment_with_unreadable_samples_is_passed_over() {
    let mut world = World::new();
    let id = world.ingest(&random(1, 2 * MIB)).sealed[0].id;
    let good = world.ingest(&random(2, 2 * MIB)).sealed[0].id;
    let at = world.segments.directory(id).unwrap().samples.offset;
    world.restart();
    world.store.inject(Fault::always(Op::Read, Effect::Flip { offset: at, mask: 1 }).on(id));
    assert_eq!(learn(&world.context, &[id, good, SegmentId::new(9999).unwrap()]), 1);
    assert_eq!(world.context.dedup_figures().unreadable, 1);
    assert!(world.context.dedup_figures().index_entries > 0);
}
