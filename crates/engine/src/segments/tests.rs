//! Footers that no writer makes. Their checksums are right, so that only what they
//! say can be doubted.

use std::io::IoSlice;

use archipelago_format::batch::{Kind, Record};
use archipelago_format::segment::{Codec, FooterParts, encode_footer, encode_footer_record};
use archipelago_model::{Epoch, SECTOR_BYTES, VolumeId};
use archipelago_store::MemoryStore;

use super::*;
use crate::log;
use crate::testing::Bench;

mod host_cache;

const ID: SegmentId = SegmentId::MIN;
const BODY: u64 = 512 + 1024 + 512;

fn record(start: u64, len: u64) -> Record {
    Record { volume: VolumeId::new(1), start, len, epoch: Epoch::new(1), kind: Kind::Data }
}

fn slot(position: u32, offset: u32) -> Slot {
    let crc = crc32c(&[0; 512]);
    Slot { position, offset, stored: 512, codec: Codec::Raw, crc }
}

/// The one segment of a store: a header, a body of zeros, and a footer that says this.
fn sealed(slots: &[Slot], record: Record, change: impl FnOnce(&mut Directory)) -> Bench {
    let header =
        SegmentHeader { id: ID, kind: SegmentKind::Hot, store: [1; 16], created_ms: 0, salt: 7 };
    let mut records = Vec::new();
    encode_footer_record(&mut records, 0, &record);
    let (footer, mut directory) = encode_footer(&FooterParts {
        header,
        body_bytes: BODY,
        slots,
        end: 2,
        records: &records,
        fingerprints: &[],
        forwarding: &[],
    });
    change(&mut directory);
    let encoded = directory.encode();
    let at = footer.len() - TRAILER_BYTES - encoded.len();
    let trailer = Trailer {
        directory_offset: BODY + at as u64,
        directory_len: encoded.len() as u32,
        directory_crc: crc32c(&encoded),
    };
    let mut bytes = header.encode().to_vec();
    bytes.resize(BODY as usize, 0);
    bytes.extend_from_slice(&footer[..at]);
    bytes.extend_from_slice(&encoded);
    bytes.extend_from_slice(&trailer.encode());
    let store = MemoryStore::with_room(1 << 20);
    store.create(ID, 0).unwrap().write_at(0, &[IoSlice::new(&bytes)]).unwrap();
    Bench::over(Arc::new(store))
}

fn plain() -> [Slot; 2] {
    [slot(0, 1024), slot(1, 1536)]
}

fn recovers(bench: &Bench) -> bool {
    let footer = bench.segments.directory(ID).is_ok();
    let recovered = log::recover(&bench.segments, ID, &|_| None);
    let kept = bench.segments.store().len(ID).unwrap_or(0);
    assert!(kept < 1 << 16, "recovery made {kept} bytes of it");
    footer && recovered.is_ok_and(|recovered| recovered.is_some())
}

#[test]
fn a_sound_footer_is_believed() {
    let bench = sealed(&plain(), record(0, 2), |_| {});
    assert!(recovers(&bench));
    let mut out = [1; 1024];
    bench.segments.read(Location::start_of(ID), &mut out).unwrap();
    assert_eq!(out, [0; 1024]);
}

/// Recovery copied from `body_bytes` to the end that the directory tells, and sealed
/// there: with 2^60 bytes it never came back.
#[test]
fn a_directory_that_tells_another_length_is_not_believed() {
    for far in [1 << 20, 1 << 60, u64::MAX] {
        assert!(!recovers(&sealed(&plain(), record(0, 2), |d| d.body_bytes = far)));
        assert!(!recovers(&sealed(&plain(), record(0, 2), |d| d.slots.offset = far)));
        assert!(!recovers(&sealed(&plain(), record(0, 2), |d| d.records.len = far)));
        assert!(!recovers(&sealed(&plain(), record(0, 2), |d| d.forwarding.offset = far)));
    }
}

#[test]
fn a_record_beyond_the_end_of_its_segment_is_not_believed() {
    let bench = sealed(&plain(), record(0, 3), |_| {});
    assert!(log::records(&bench.segments, ID).is_err());
    assert!(!matches!(log::recover(&bench.segments, ID, &|_| None), Ok(Some(_))));
}

/// The offsets of slots were added without a look at where they end.
#[test]
fn a_slot_at_the_end_of_all_offsets_is_an_error() {
    let bench = sealed(&[slot(0, u32::MAX - 100), slot(1, 411)], record(0, 2), |_| {});
    let mut out = [1; 2 * SECTOR_BYTES as usize];
    assert!(bench.segments.read(Location::start_of(ID), &mut out).is_err());
}
