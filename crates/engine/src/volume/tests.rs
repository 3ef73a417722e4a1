use archipelago_model::SegmentId;
use archipelago_store::layer::{Effect, Failure, Fault, Op};
use archipelago_store::{MemoryStore, Store};

use super::*;
use crate::testing::Rig;

const MIB: u64 = 1 << 20;

fn read(volume: &Volume, offset: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0xee; len];
    volume.read(offset, &mut out).unwrap();
    out
}

fn put(volume: &Volume, offset: u64, bytes: &[u8]) {
    volume.write(&[Write::Data { offset, bytes }]).unwrap();
}

#[test]
fn a_new_volume_reads_as_zeros() {
    let rig = Rig::new();
    let volume = rig.attach(&rig.open(), 1, 64 << 40);
    assert_eq!(read(&volume, (64 << 40) - 4096, 4096), [0; 4096]);
}

#[test]
fn half_a_kibibyte_is_written_without_touching_its_neighbours() {
    let rig = Rig::new();
    let volume = rig.attach(&rig.open(), 1, MIB);
    put(&volume, 0, &[1; 4096]);
    put(&volume, 512, &[2; 512]);
    let got = read(&volume, 0, 4096);
    assert_eq!(got[..512], [1; 512]);
    assert_eq!(got[512..1024], [2; 512]);
    assert_eq!(got[1024..], [1; 3072]);
}

#[test]
fn a_request_beyond_the_end_or_between_sectors_changes_nothing() {
    let rig = Rig::new();
    let volume = rig.attach(&rig.open(), 1, MIB);
    let beyond = volume.write(&[
        Write::Data { offset: 0, bytes: &[1; 512] },
        Write::Data { offset: MIB, bytes: &[1; 512] },
    ]);
    assert!(matches!(beyond, Err(Error::OutOfRange { .. })));
    let between = volume.write(&[Write::Data { offset: 1, bytes: &[1; 512] }]);
    assert!(matches!(between, Err(Error::Unaligned { .. })));
    assert!(matches!(volume.read(u64::MAX - 511, &mut [0; 512]), Err(Error::OutOfRange { .. })));
    assert_eq!(read(&volume, 0, 512), [0; 512]);
}

#[test]
fn blocks_of_zeros_are_holes() {
    let rig = Rig::new();
    let volume = rig.attach(&rig.open(), 1, MIB);
    let mut bytes = vec![7; 16384];
    bytes[4096..8192].fill(0);
    put(&volume, 0, &bytes);
    assert_eq!(read(&volume, 0, 16384), bytes);
    let status = volume.status(0, MIB, 10).unwrap();
    let holes: Vec<_> = status.iter().map(|r| (r.len, r.hole)).collect();
    assert_eq!(holes, [(4096, false), (4096, true), (8192, false), (MIB - 16384, true)]);
}

#[test]
fn trimming_64_tib_at_once_takes_no_space_to_speak_of() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, 64 << 40);
    put(&volume, 1 << 40, &[1; 4096]);
    volume.write(&[Write::Zero { offset: 0, len: 64 << 40, keep: false }]).unwrap();
    assert_eq!(read(&volume, 1 << 40, 4096), [0; 4096]);
    assert!(engine.counters().log_bytes < 4 * MIB);
    rig.checkpoint(&engine, &[Arc::clone(&volume)]).unwrap();
    assert_eq!(volume.status(0, 64 << 40, 10).unwrap().len(), 1);
}

#[test]
fn a_32_mib_write_spans_segments_and_reads_back() {
    let rig = Rig::new();
    let volume = rig.attach(&rig.open(), 1, 64 * MIB);
    let bytes: Vec<u8> = (0..32 * MIB).map(|i| (i * 31 / 512) as u8 | 1).collect();
    put(&volume, MIB + 512, &bytes);
    assert!(read(&volume, MIB + 512, bytes.len()) == bytes);
}

#[test]
fn a_newer_lease_fences_the_older_and_keeps_its_writes() {
    let rig = Rig::new();
    let engine = rig.open();
    let old = rig.attach(&engine, 1, MIB);
    put(&old, 0, &[1; 512]);
    let new = rig.attach(&engine, 1, MIB);
    let refused = old.write(&[Write::Data { offset: 0, bytes: &[9; 512] }]);
    assert!(matches!(refused, Err(Error::Fenced { .. })));
    assert!(matches!(old.flush(), Err(Error::Fenced { .. })));
    assert!(matches!(rig.checkpoint(&engine, &[Arc::clone(&old)]), Err(Error::Fenced { .. })));
    assert_eq!(read(&new, 0, 512), [1; 512]);
}

#[test]
fn a_volume_never_shows_what_another_wrote() {
    let rig = Rig::new();
    let engine = rig.open();
    let (a, b) = (rig.attach(&engine, 1, MIB), rig.attach(&engine, 2, MIB));
    put(&a, 4096, &[1; 4096]);
    put(&b, 4096, &[2; 4096]);
    drop((a, b, engine));
    let engine = rig.open();
    let (a, b) = (rig.attach(&engine, 1, MIB), rig.attach(&engine, 2, MIB));
    assert_eq!(read(&a, 4096, 4096), [1; 4096]);
    assert_eq!(read(&b, 4096, 4096), [2; 4096]);
}

#[test]
fn a_detached_volume_is_not_replayed_into_one_made_later() {
    let rig = Rig::new();
    let engine = rig.open();
    let gone = rig.attach(&engine, 1, MIB);
    put(&gone, 0, &[1; 4096]);
    engine.detach(gone.id());
    assert!(matches!(
        gone.write(&[Write::Data { offset: 0, bytes: &[1; 512] }]),
        Err(Error::Fenced { .. })
    ));
    let other = rig.attach(&engine, 2, MIB);
    assert_eq!(read(&other, 0, 4096), [0; 4096]);
}

#[test]
fn a_full_disk_is_told_and_room_makes_writing_work_again() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, 16 * MIB);
    put(&volume, 0, &[1; 4096]);
    rig.faults.inject(Fault::always(Op::Create, Effect::Fail(Failure::NoSpace)));
    let big = vec![2; 4 << 20];
    let full = volume.write(&[Write::Data { offset: MIB, bytes: &big }]);
    assert!(matches!(full, Err(Error::NoSpace(_))), "{full:?}");
    assert_eq!(read(&volume, 0, 4096), [1; 4096]);
    volume.flush().unwrap();
    rig.faults.heal();
    put(&volume, MIB, &big);
    assert!(read(&volume, MIB, big.len()) == big);
}

#[test]
fn a_write_that_fails_on_the_disk_leaves_the_log_whole() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, MIB);
    put(&volume, 0, &[1; 4096]);
    rig.faults.inject(Fault::once(Op::Write, Effect::Torn { kept: 700 }));
    assert!(volume.write(&[Write::Data { offset: 0, bytes: &[2; 4096] }]).is_err());
    put(&volume, 4096, &[3; 4096]);
    volume.flush().unwrap();
    drop((volume, engine));
    let volume = rig.attach(&rig.open(), 1, MIB);
    assert_eq!(read(&volume, 0, 4096), [1; 4096]);
    assert_eq!(read(&volume, 4096, 4096), [3; 4096]);
}

#[test]
fn after_a_failed_sync_nothing_more_is_acknowledged() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, MIB);
    put(&volume, 0, &[1; 4096]);
    rig.faults.inject(Fault::once(Op::Sync, Effect::Fail(Failure::Io)));
    assert!(matches!(volume.flush(), Err(Error::LogFailed(_))));
    assert!(matches!(volume.flush(), Err(Error::LogFailed(_))));
    let after = volume.write(&[Write::Data { offset: 0, bytes: &[2; 4096] }]);
    assert!(matches!(after, Err(Error::LogFailed(_))));
    assert_eq!(read(&volume, 0, 4096), [1; 4096]);
}

#[test]
fn a_pool_that_does_not_take_what_is_sealed_is_asked_again() {
    let failures = [Failure::Unavailable, Failure::Denied, Failure::NoSpace];
    for effect in failures.into_iter().flat_map(|one| [Effect::Fail(one), Effect::FailAfter(one)]) {
        let rig = Rig::new();
        let engine = rig.open();
        let volume = rig.attach(&engine, 1, 8 * MIB);
        rig.faults.inject(Fault::always(Op::Seal, effect));
        for block in 0..40 {
            put(&volume, block * 65536, &[block as u8; 65536]);
        }
        volume.flush().unwrap();
        // Nothing is lost by it, and nothing is refused.
        assert!(engine.shared().log.maintain().is_err());
        put(&volume, 40 * 65536, &[40; 65536]);
        volume.flush().unwrap();
        rig.faults.heal();
        engine.shared().log.maintain().unwrap();
        put(&volume, 41 * 65536, &[41; 65536]);
        volume.flush().unwrap();
        drop((volume, engine));
        let volume = rig.attach(&rig.open(), 1, 8 * MIB);
        for block in 0..42 {
            assert_eq!(read(&volume, block * 65536, 65536), [block as u8; 65536]);
        }
    }
}

#[test]
fn an_old_catalog_gives_no_id_again_that_the_pool_has() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, 64 * MIB);
    for block in 0..80 {
        put(&volume, block * 65536, &[1; 65536]);
    }
    volume.flush().unwrap();
    drop((volume, engine));
    let before = rig.faults.list_from(SegmentId::MIN).unwrap();
    rig.forget_ids();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, 64 * MIB);
    let log = engine.log_position().segment().unwrap();
    // A bucket is not asked, when a segment is made, whether it has one: this keeps ids apart.
    for block in 0..40 {
        put(&volume, block * 65536, &[2; 65536]);
    }
    engine.close().unwrap();
    let after = rig.faults.list_from(SegmentId::MIN).unwrap();
    assert_eq!(after[..before.len()], before);
    assert!(after.len() > before.len() && log > before[before.len() - 1], "{before:?} {after:?}");
}

#[test]
fn on_a_full_disk_maps_have_the_last_of_the_room() {
    let rig = Rig::over(Arc::new(MemoryStore::with_room(1792 << 10)));
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, 64 * MIB);
    let mut offset = 0;
    let full = loop {
        match volume.write(&[Write::Data { offset, bytes: &[7; 65536] }]) {
            Ok(()) => offset += 65536,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::NoSpace(_)), "{full}");
    // One segment in full and a smaller one, of the 1.75 MiB.
    assert!(offset > MIB, "{offset}");
    rig.checkpoint(&engine, &[Arc::clone(&volume)]).unwrap();
    assert_eq!(read(&volume, offset - 512, 512), [7; 512]);
}

#[test]
fn a_failed_write_that_was_seen_not_to_be_done_does_not_come_back() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, MIB);
    put(&volume, 0, &[1; 4096]);
    volume.flush().unwrap();
    for write in [
        Write::Zero { offset: 0, len: 4096, keep: false },
        Write::Data { offset: 0, bytes: &[2; 4096] },
    ] {
        rig.faults.inject(Fault::once(Op::Write, Effect::FailAfter(Failure::NoSpace)));
        assert!(matches!(volume.write(&[write]), Err(Error::NoSpace(_))));
        assert_eq!(read(&volume, 0, 4096), [1; 4096]);
        // One that cannot promise that says so.
        rig.faults.inject(Fault::once(Op::Write, Effect::Fail(Failure::NoSpace)));
        volume.flush().unwrap_err();
        volume.flush().unwrap();
    }
    drop((volume, engine));
    let volume = rig.attach(&rig.open(), 1, MIB);
    assert_eq!(read(&volume, 0, 4096), [1; 4096]);
}

#[test]
fn a_flipped_bit_is_an_error_and_never_a_byte() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, MIB);
    put(&volume, 0, &[1; 65536]);
    rig.faults.inject(Fault::once(Op::Read, Effect::Flip { offset: 5000, mask: 4 }));
    let mut out = [0; 65536];
    assert!(matches!(volume.read(0, &mut out), Err(Error::Damaged { .. })));
    assert_eq!(engine.counters().damaged_reads, 1);
    assert_eq!(read(&volume, 0, 65536), [1; 65536]);
}

#[test]
fn several_volumes_are_cut_at_one_instant() {
    let rig = Rig::new();
    let engine = rig.open();
    let volumes: Vec<_> = (1..=4).map(|id| rig.attach(&engine, id, MIB)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0u32;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let block = [n.to_le_bytes(); 128].concat();
                for volume in &volumes {
                    put(volume, 0, &block);
                }
            }
        });
        for _ in 0..20 {
            let cut = rig.checkpoint(&engine, &volumes).unwrap();
            let seen: Vec<u32> = cut
                .cuts
                .iter()
                .map(|cut| {
                    let view = engine.view(*cut.root.get(), MIB).unwrap();
                    let mut out = [0; 512];
                    view.read(0, &mut out).unwrap();
                    u32::from_le_bytes([out[0], out[1], out[2], out[3]])
                })
                .collect();
            // Written in the order of the volumes: a cut is between two writes.
            assert!(seen.windows(2).all(|w| w[0] == w[1] || w[0] == w[1] + 1), "{seen:?}");
            assert!(seen[0] - seen[3] <= 1, "{seen:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn changes_since_a_snapshot_are_told_by_the_maps() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, MIB);
    put(&volume, 0, &[1; 65536]);
    let before = rig.checkpoint(&engine, &[Arc::clone(&volume)]).unwrap();
    put(&volume, 8192, &[2; 4096]);
    let root = *before.cuts[0].root.get();
    let changed = volume.changed_since(root, 0, MIB, 10).unwrap();
    let expected = [(8192, false), (4096, true), (MIB - 12288, false)];
    assert_eq!(changed.iter().map(|c| (c.len, c.changed)).collect::<Vec<_>>(), expected);
}

#[test]
fn what_a_shrink_cut_off_is_zeros_when_it_grows_again() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, MIB);
    put(&volume, MIB - 4096, &[1; 4096]);
    for size in [MIB / 2, MIB] {
        volume.resize(VolumeSize::from_bytes(size).unwrap()).unwrap();
        rig.checkpoint(&engine, &[Arc::clone(&volume)]).unwrap();
    }
    assert_eq!(read(&volume, MIB - 4096, 4096), [0; 4096]);
}

#[test]
fn one_sync_serves_all_who_wait() {
    let rig = Rig::new();
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, MIB);
    std::thread::scope(|scope| {
        for i in 0..16u64 {
            let volume = &volume;
            scope.spawn(move || {
                for _ in 0..50 {
                    put(volume, i * 4096, &[1; 4096]);
                    volume.flush().unwrap();
                }
            });
        }
    });
    let counters = engine.counters();
    assert_eq!(counters.flushes, 800);
    assert!(counters.syncs <= counters.flushes, "{counters:?}");
}

#[test]
fn an_import_does_not_share_what_has_rotted() {
    let rig = Rig::new();
    let engine = rig.open();
    let bytes: Vec<u8> = (0..MIB).map(|i| ((i * 2_654_435_761) >> 13) as u8).collect();
    let import = || {
        let mut piece = Some(crate::Piece::Data { offset: 0, bytes: bytes.clone() });
        engine.ingest(Location::HOLE, MIB, &mut || Ok(piece.take())).unwrap()
    };
    let first = import();
    let rotten = first.sealed[0].id;
    let flip = Effect::Flip { offset: 600, mask: 1 };
    rig.faults.inject(Fault::always(Op::Read, flip).on(rotten));
    let second = import();
    let view = engine.view(*second.root.get(), MIB).unwrap();
    let mut out = vec![0; MIB as usize];
    view.read(0, &mut out).unwrap();
    assert!(out == bytes);
}
