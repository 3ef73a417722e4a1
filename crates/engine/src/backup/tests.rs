//! Facts about dumps in the pool.

use super::*;
use crate::testing::Rig;

fn told(error: io::Error) -> Error {
    Error::NoSpace(error.to_string())
}

#[test]
fn of_a_dump_that_fails_nothing_is_left() {
    let rig = Rig::new();
    let engine = rig.open();
    let there = engine.shared().segments.store().list_from(SegmentId::MIN).unwrap();
    let failed = engine.write_backup(0, |out| {
        out.write_all(&vec![7; 3 << 20]).map_err(told)?;
        Err(Error::Closed)
    });
    assert!(matches!(failed, Err(Error::Closed)));
    assert_eq!(engine.shared().segments.store().list_from(SegmentId::MIN).unwrap(), there);
}

#[test]
fn a_dump_that_no_segment_holds_is_refused_before_it_was_written_whole() {
    let rig = Rig::new();
    let engine = rig.open();
    let there = engine.shared().segments.store().list_from(SegmentId::MIN).unwrap();
    let (zeros, mut took) = (vec![0; 1 << 20], 0u64);
    let refused: Result<Backup, Error> = engine.write_backup(0, |out| {
        // For ever, were it not refused.
        loop {
            out.write_all(&zeros).map_err(told)?;
            took += 1;
        }
    });
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("larger than a segment"), "{text}");
    assert!((3000..=4096).contains(&took), "{took} MiB");
    assert_eq!(engine.shared().segments.store().list_from(SegmentId::MIN).unwrap(), there);
}

#[test]
fn a_dump_is_read_back_from_the_pool_alone() {
    let rig = Rig::new();
    let engine = rig.open();
    let dump: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let write = |out: &mut dyn Write| out.write_all(&dump).map_err(told);
    let backup = engine.write_backup(dump.len() as u64, write).unwrap();
    let info = backup.sealed[0];
    assert_eq!((backup.sealed.len(), info.kind), (1, SegmentKind::Backup));
    assert!(info.stored_bytes < dump.len() as u64 / 2, "it is compressed");
    let salvage = Salvage::new(Arc::new(rig.faults.clone()), Env::real(), [1; 16]);
    assert_eq!(salvage.footer(info.id).unwrap().info, info);
    let mut read = Vec::new();
    salvage.backup(info.id).unwrap().read_to_end(&mut read).unwrap();
    assert!(read.starts_with(&dump) && read[dump.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn the_log_tells_the_highest_terms() {
    let rig = Rig::new();
    let engine = rig.open();
    for _ in 0..3 {
        let volume = rig.attach(&engine, 5, 1 << 20);
        volume.write(&[crate::Write::Data { offset: 0, bytes: &[1; 4096] }]).unwrap();
    }
    engine.close().unwrap();
    let salvage = Salvage::new(Arc::new(rig.faults.clone()), Env::real(), [1; 16]);
    let id = salvage.ids().unwrap()[0];
    assert_eq!(salvage.epochs(id).unwrap(), BTreeMap::from([(VolumeId::new(5), Epoch::new(3))]));
}
