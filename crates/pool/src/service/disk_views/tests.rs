//! Facts about disks as files.

use super::*;
use crate::testing::{Bench, MIB, noise};

fn bytes(view: &DiskView) -> Vec<u8> {
    let mut out = Vec::new();
    view.range(0, u64::MAX).read_to_end(&mut out).unwrap();
    assert_eq!(out.len() as u64, view.len());
    out
}

/// A volume of 4 MiB with 100 000 bytes of data at 1 MiB.
fn bench() -> (Bench, Source) {
    let bench = Bench::new();
    bench.create("web", 4 * MIB);
    bench.put("web", MIB, &noise(1, 102_400));
    (bench, "volume:web".parse().unwrap())
}

#[test]
fn a_volume_is_a_raw_file_and_a_qcow2_file_and_nothing_is_stored() {
    let (bench, web) = bench();
    let raw = bench.service.disk_view(&web, DiskFormat::Raw).unwrap();
    let all = bytes(&raw);
    assert_eq!(all.len() as u64, 4 * MIB);
    assert!(all[MIB as usize..][..102_400] == noise(1, 102_400));
    let before = bench.service.core.engine.counters().ingest_bytes;
    let qcow2 = bench.service.disk_view(&web, DiskFormat::Qcow2).unwrap();
    // Header, refcounts (two), tables (two), two clusters of data.
    assert_eq!(qcow2.len(), 7 << 16);
    let file = bytes(&qcow2);
    assert!(file[5 << 16..][..102_400] == noise(1, 102_400));
    assert!(file[(5 << 16) + 102_400..].iter().all(|byte| *byte == 0));
    assert_eq!(bench.service.core.engine.counters().ingest_bytes, before);
}

#[test]
fn a_range_is_that_of_the_whole_and_what_was_opened_stays() {
    let (bench, web) = bench();
    let view = bench.service.disk_view(&web, DiskFormat::Qcow2).unwrap();
    let all = bytes(&view);
    bench.put("web", MIB, &[9; 4096]);
    for (offset, len) in
        [(0, 104), (65_000, 70_000), (5 << 16, 1), (400_000, u64::MAX), (1 << 40, 9)]
    {
        let mut out = Vec::new();
        view.range(offset, len).read_to_end(&mut out).unwrap();
        let from = (offset as usize).min(all.len());
        let end = offset.saturating_add(len).min(all.len() as u64) as usize;
        assert!(out == all[from..end.max(from)], "{offset}");
    }
    let new = bench.service.disk_view(&web, DiskFormat::Qcow2).unwrap();
    assert_ne!(new.tag(), view.tag());
    let raw = bench.service.disk_view(&web, DiskFormat::Raw).unwrap();
    assert_ne!(new.tag(), raw.tag());
}
