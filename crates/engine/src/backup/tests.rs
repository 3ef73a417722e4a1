//! Facts about dumps in the pool.

use super::*;
use crate::testing::Rig;

#[test]
fn a_dump_is_read_back_from_the_pool_alone() {
    let rig = Rig::new();
    let engine = rig.open();
    let dump: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let backup = engine.write_backup(&dump).unwrap();
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
