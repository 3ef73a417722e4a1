//! Facts about disks as qcow2 files. QEMU's own judgement is in crate `conformance`.

use super::*;
use crate::{Bytes, Format, Place, ReadError};

/// The file, whole.
fn bytes(view: &View, disk: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(part) = view.part(out.len() as u64, u64::MAX) {
        match part {
            Part::Bytes(bytes) => out.extend(bytes),
            Part::Disk { offset, len } => {
                let mut piece = disk.get(offset as usize..).unwrap_or_default().to_vec();
                piece.resize(len as usize, 0);
                out.extend(piece);
            }
        }
    }
    assert_eq!(out.len() as u64, view.len());
    out
}

struct File(Vec<u8>);

impl Bytes for File {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let from = offset as usize;
        out.copy_from_slice(&self.0[from..from + out.len()]);
        Ok(())
    }
}

/// The disk, as this crate finds it in the file.
fn disk(file: Vec<u8>) -> Vec<u8> {
    let file = File(file);
    let mut head = vec![0; crate::HEAD_BYTES];
    file.read(0, &mut head).unwrap();
    assert_eq!(crate::recognise(&head), Some(Format::Qcow2));
    let image = crate::open(Format::Qcow2, &file).unwrap();
    let mut out = vec![0; image.size() as usize];
    let mut walk = image.walk(&file);
    while let Some(piece) = walk.next_piece().unwrap() {
        let Place::Stored(offset) = piece.place else { panic!("nothing is packed") };
        file.read(offset, &mut out[piece.at as usize..(piece.at + piece.len) as usize]).unwrap();
    }
    out
}

fn built(size: u64, ranges: &[Range<u64>], runs_max: usize) -> View {
    let mut builder = Builder::with_runs_max(size, runs_max);
    for range in ranges {
        builder.data(range.clone());
    }
    builder.finish()
}

fn content(size: usize, ranges: &[Range<u64>]) -> Vec<u8> {
    let mut out = vec![0; size];
    for range in ranges {
        for at in range.clone() {
            out[at as usize] = (at % 251) as u8 + 1;
        }
    }
    out
}

#[test]
fn the_file_holds_the_disk_and_no_more_than_its_clusters_with_data() {
    let size = 5 << 20;
    let ranges = [512..70_000, 200_000..200_001, (4 << 20)..(5 << 20)];
    let data = content(size, &ranges);
    let view = built(size as u64, &ranges, RUNS_MAX);
    assert!(disk(bytes(&view, &data)) == data);
    // Header, refcounts (two), first and second table; two, one and sixteen clusters of data.
    assert_eq!(view.len(), (5 + 2 + 1 + 16) * CLUSTER_BYTES);
}

#[test]
fn a_disk_without_data_is_a_few_clusters() {
    for size in [512, 1 << 20, 64 << 40] {
        let view = built(size, &[], RUNS_MAX);
        assert!(view.len() <= 20 * CLUSTER_BYTES, "{size}");
    }
}

#[test]
fn a_disk_of_odd_size_ends_with_a_whole_cluster() {
    let ranges = [0..50_000, 50_000..99_840];
    let size = 100_000 / 512 * 512;
    let data = content(size, &ranges);
    let view = built(size as u64, &ranges, RUNS_MAX);
    assert!(disk(bytes(&view, &data)) == data);
}

#[test]
fn any_range_of_the_file_is_the_same_as_in_the_whole() {
    let ranges = [0..1000, 300_000..400_000];
    let data = content(1 << 20, &ranges);
    let view = built(1 << 20, &ranges, RUNS_MAX);
    let whole = bytes(&view, &data);
    for (offset, len) in
        [(0, 104), (65_530, 12), (131_072, 1), (view.len() - 1, 9), (327_681, 70_000)]
    {
        let mut out = Vec::new();
        while (out.len() as u64) < len {
            let left = len - out.len() as u64;
            match view.part(offset + out.len() as u64, left) {
                Some(Part::Bytes(bytes)) => out.extend(bytes),
                Some(Part::Disk { offset, len }) => {
                    out.extend(&data[offset as usize..(offset + len) as usize]);
                }
                None => break,
            }
        }
        let end = (offset + len).min(view.len()) as usize;
        assert!(out == whole[offset as usize..end], "{offset} {len}");
    }
    assert_eq!(view.part(view.len(), 1), None);
}

#[test]
fn many_small_stretches_are_told_together_and_the_disk_is_the_same() {
    let ranges: Vec<Range<u64>> = (0..64).map(|n| n * 262_144..n * 262_144 + 10).collect();
    let size = 16 << 20;
    let data = content(size, &ranges);
    let view = built(size as u64, &ranges, 8);
    assert!(view.runs.len() <= 8);
    assert!(disk(bytes(&view, &data)) == data);
}

#[test]
fn tables_of_a_large_disk_count_every_cluster_once() {
    // Data in every second table of a disk of 1 TiB, and more clusters than a block of refcounts has.
    let ranges: Vec<Range<u64>> = (0..1000).map(|n| n << 30..(n << 30) + (4 << 20)).collect();
    let view = built(1 << 40, &ranges, RUNS_MAX);
    assert_eq!(view.tables.len(), 1000);
    assert_eq!(view.data, 1000 * 64);
    let clusters = view.len() / CLUSTER_BYTES;
    assert!(view.refcount_blocks * REFCOUNTS >= clusters);
    assert!((view.refcount_blocks - 1) * REFCOUNTS < clusters);
    let counted: u64 = (view.first_block()..view.first_l1())
        .map(|cluster| {
            let bytes = view.table(cluster);
            bytes.chunks(2).filter(|count| **count == [0, 1]).count() as u64
        })
        .sum();
    assert_eq!(counted, clusters);
}

/// A client may have half of a file from before an update of the store, and come for the rest.
#[test]
fn the_arrangement_of_bytes_is_the_one_of_its_number() {
    let shapes: [(u64, &[Range<u64>]); 3] = [
        (512, &[]),
        ((600 << 20) + 512, &[0..1, 70_000..200_000, (520 << 20)..(520 << 20) + 512]),
        (3 << 30, &[(1 << 30)..(1 << 30) + (40 << 20), (3 << 30) - 512..3 << 30]),
    ];
    let sums = shapes.map(|(size, ranges)| {
        let view = built(size, ranges, RUNS_MAX);
        let mut sum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        let mut at = 0;
        while let Some(part) = view.part(at, 1 << 20) {
            match part {
                Part::Bytes(bytes) => {
                    at += bytes.len() as u64;
                    sum.update(&bytes);
                }
                Part::Disk { offset, len } => {
                    at += len;
                    sum.update(format!("{offset} {len};").as_bytes());
                }
            }
        }
        sum.finalize()
    });
    assert_eq!(
        (LAYOUT, sums),
        (1, [7_836_088_512_892_455_730, 6_969_893_726_284_127_382, 6_070_584_961_265_551_708]),
        "see LAYOUT"
    );
}
