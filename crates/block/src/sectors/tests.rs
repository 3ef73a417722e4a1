//! Parts of sectors.

use super::*;
use crate::memory::Memory;

#[test]
fn ranges_widen_and_narrow_to_whole_sectors() {
    assert_eq!(widened(0, 512), 0..512);
    assert_eq!(widened(511, 2), 0..1024);
    assert_eq!(narrowed(511, 2), 512..512);
    assert_eq!(narrowed(1, 1024), 512..1024);
    assert_eq!(narrowed(600, 10), 1024..1024);
}

#[test]
fn every_small_write_changes_just_its_bytes() {
    let export = Memory::new(4096);
    let mut model = vec![0; 4096];
    for (round, (offset, len)) in
        [(0, 4096), (1, 1), (510, 4), (0, 511), (513, 1000), (1024, 513), (4095, 1)]
            .into_iter()
            .enumerate()
    {
        let bytes = vec![round as u8 + 1; len];
        write(&export, Write::Data { offset: offset as u64, bytes: &bytes }).unwrap();
        model[offset..offset + len].copy_from_slice(&bytes);
        assert_eq!(export.bytes(0, 4096), model);
    }
    for (offset, len) in [(3, 4), (500, 2000), (3000, 1096)] {
        let zero = Write::Zero { offset: offset as u64, len: len as u64, may_unmap: true };
        write(&export, zero).unwrap();
        model[offset..offset + len].fill(0);
        assert_eq!(export.bytes(0, 4096), model);
    }
}

#[test]
fn connections_to_one_export_share_its_lock() {
    let locks = SectorLocks::default();
    let (one, two, other) = (locks.of("v"), locks.of("v"), locks.of("w"));
    assert!(Arc::ptr_eq(&one, &two));
    assert!(!Arc::ptr_eq(&one, &other));
}

#[test]
fn locks_of_exports_that_were_closed_are_forgotten() {
    let locks = SectorLocks::default();
    drop(locks.of("v"));
    let _other = locks.of("w");
    assert_eq!(locks.0.lock().len(), 1);
}
