//! What a cut leaves of a small record made by hand.

use tempfile::TempDir;

use super::*;

const DISK_BYTES: u64 = 8 * SECTOR_BYTES;

/// A record of these writes of one sector (where, what byte) and flushes.
fn record(entries: &[Option<(u64, u8)>]) -> (TempDir, Record) {
    let mut bytes = Vec::new();
    let mut sector = |words: &[u64]| {
        let start = bytes.len();
        words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.resize(start + SECTOR_BYTES as usize, 0);
        bytes.len()
    };
    sector(&[MAGIC, 1, entries.len() as u64, SECTOR_BYTES]);
    for entry in entries {
        match entry {
            Some((at, byte)) => {
                sector(&[*at, 1, 0, 0]);
                sector(&[u64::from_le_bytes([*byte; 8])]);
            }
            None => drop(sector(&[0, 0, FLUSH, 0])),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("record"), bytes).unwrap();
    std::fs::write(folder.path().join("base"), vec![9; DISK_BYTES as usize]).unwrap();
    let record = Record::open(&folder.path().join("record"), DISK_BYTES).unwrap();
    (folder, record)
}

/// The first byte of each of the first three sectors after a cut behind the entry of this number.
fn cut(folder: &TempDir, record: &Record, entry: usize, fate: Fate) -> [u8; 3] {
    let mut platter = Platter::new(record, &folder.path().join("base")).unwrap();
    let disk = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.path().join("disk"))
        .unwrap();
    platter.cut(record.entries[entry].end, fate, &disk).unwrap();
    [0, 1, 2].map(|sector| {
        let mut byte = [0];
        disk.read_exact_at(&mut byte, sector * SECTOR_BYTES).unwrap();
        byte[0]
    })
}

#[test]
fn what_a_flush_covered_is_there_and_the_rest_is_as_fate_has_it() {
    let (folder, record) = record(&[Some((0, 1)), None, Some((1, 2)), Some((2, 3))]);
    assert_eq!(cut(&folder, &record, 3, Fate::Kept), [1, 2, 3]);
    assert_eq!(cut(&folder, &record, 3, Fate::Lost), [1, 9, 9]);
    assert_eq!(cut(&folder, &record, 2, Fate::Kept), [1, 2, 9]);
    assert_eq!(cut(&folder, &record, 0, Fate::Lost), [9, 9, 9]);
    assert_eq!(record.counts(), (4, 1));
}

#[test]
fn sectors_in_flight_are_kept_each_for_itself() {
    let (folder, record) = record(&[Some((0, 1)), Some((1, 2)), Some((2, 3))]);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64 {
        seen.insert(cut(&folder, &record, 2, Fate::Sectors(seed)));
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn cuts_go_forward_only() {
    let (folder, record) = record(&[Some((0, 1)), None, Some((1, 2)), None]);
    let mut platter = Platter::new(&record, &folder.path().join("base")).unwrap();
    let disk = File::create(folder.path().join("disk")).unwrap();
    platter.cut(record.entries[1].end, Fate::Lost, &disk).unwrap();
    platter.cut(record.entries[3].end, Fate::Lost, &disk).unwrap();
    assert!(platter.cut(record.entries[0].end, Fate::Lost, &disk).is_err());
}

#[test]
fn an_entry_beyond_the_disk_is_refused() {
    let (folder, _record) = record(&[Some((7, 1))]);
    let path = folder.path().join("record");
    Record::open(&path, DISK_BYTES).unwrap();
    assert!(Record::open(&path, DISK_BYTES - SECTOR_BYTES).is_err());
}
