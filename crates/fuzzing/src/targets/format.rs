//! What is on the disk and in transfer streams.
//!
//! Where a checksum stands before the decoder, the body runs twice: with the bytes
//! as they came, and with the checksum mended, so that the rest is reached too.

use archipelago_format::backup::{BackupReader, BackupWriter, Part};
use archipelago_format::batch::Header as BatchHeader;
use archipelago_format::cache_file::{CacheHeader, PageRecord, decode_token, encode_token};
use archipelago_format::forwarding::{
    FORWARD_PAGE_BYTES, ForwardIndex, decode_forward_page, encode_forwarding,
};
use archipelago_format::node::Node;
use archipelago_format::pool_file::PoolFile;
use archipelago_format::segment::{
    Directory, Fingerprint, HEADER_BYTES, SegmentHeader, SlotPage, Trailer, decode_footer_records,
    encode_footer_record,
};
use archipelago_format::store_file::StoreFile;
use archipelago_format::stream::{Header as StreamHeader, Reader, Record, StreamError, Writer};
use archipelago_model::SegmentId;

use crate::mend;

/// The salt that batches are checked with here.
pub const SALT: u32 = 0x5a17_5a17;

/// Runs `check` on the bytes, and on them once `mend` has set their checksums.
fn twice(bytes: &[u8], mend: fn(&mut [u8]), check: fn(&[u8])) {
    check(bytes);
    let mut mended = bytes.to_vec();
    mend(&mut mended);
    check(&mended);
}

/// The header at the front of a segment.
pub fn segment_header(bytes: &[u8]) {
    twice(bytes, mend::segment_header, |bytes| {
        if let Ok(header) = SegmentHeader::decode(bytes) {
            assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        }
    });
}

/// A page of slots. Its number is taken from the bytes.
pub fn slot_page(bytes: &[u8]) {
    twice(bytes, mend::slot_page, |bytes| {
        let number = bytes.get(12..16).map_or(0, mend::u32_of);
        let Ok(page) = SlotPage::decode(bytes, number) else { return };
        assert_eq!(
            SlotPage::decode(&SlotPage::encode(&page.slots, page.end, number), number).as_ref(),
            Ok(&page)
        );
        assert!(page.find(page.end).is_none());
        for position in page.slots.iter().map(|slot| slot.position).chain([page.end - 1]) {
            let (slot, end) = page.find(position).expect("a slot has this position");
            assert!(slot.position <= position && position < end);
        }
    });
}

/// The directory of a sealed segment.
pub fn directory(bytes: &[u8]) {
    twice(bytes, mend::directory, |bytes| {
        let Ok(directory) = Directory::decode(bytes) else { return };
        assert_eq!(Directory::decode(&directory.encode()).as_ref(), Ok(&directory));
        assert!(directory.file_bytes() >= directory.body_bytes);
        for position in [0, directory.end.saturating_sub(1), directory.end, u32::MAX] {
            if let Some(page) = directory.page_of(position) {
                assert!((page as usize) < directory.page_starts.len());
            }
        }
    });
}

/// The last bytes of a sealed segment.
pub fn trailer(bytes: &[u8]) {
    twice(bytes, mend::trailer, |bytes| {
        if let Ok(trailer) = Trailer::decode(bytes) {
            assert_eq!(Trailer::decode(&trailer.encode()), Ok(trailer));
        }
    });
}

/// The records in the footer of a hot segment.
pub fn footer_records(bytes: &[u8]) {
    let Ok(records) = decode_footer_records(bytes) else { return };
    let mut again = Vec::new();
    for (position, record) in &records {
        assert!(record.payload_sectors() <= record.positions());
        assert!(record.pieces() <= record.positions());
        encode_footer_record(&mut again, *position, record);
    }
    assert_eq!(decode_footer_records(&again), Ok(records));
}

/// The fingerprints of a cold segment.
pub fn fingerprints(bytes: &[u8]) {
    let Ok(prints) = Fingerprint::decode_all(bytes) else { return };
    let mut again = Vec::new();
    for print in &prints {
        print.encode(&mut again);
    }
    assert_eq!(again, bytes);
}

/// A node of a map.
pub fn map_node(bytes: &[u8]) {
    let Ok(node) = Node::decode(bytes) else { return };
    assert_eq!(Node::decode(&node.encode()).as_ref(), Ok(&node));
    match &node {
        Node::Leaf(extents) => {
            for pair in extents.windows(2) {
                assert!(pair[0].end() <= pair[1].start());
            }
            for extent in extents {
                let middle = extent.start() + extent.len() / 2;
                let _ = extent.clip(&(middle..u64::MAX));
                let _ = extents.first().map(|first| first.joins(*extent));
            }
        }
        Node::Index(children) => assert!(!children.is_empty()),
        Node::Root(runs) => {
            let extents: u64 = runs.iter().map(|run| run.extents).sum();
            assert!(extents > 0 || runs.iter().all(|run| run.extents == 0));
        }
    }
}

/// The forwarding table of a compaction: its index, and its first pages.
pub fn forwarding(bytes: &[u8]) {
    twice(bytes, mend::forwarding, |bytes| {
        let index_bytes = ForwardIndex::bytes_in(bytes.len() as u64) as usize;
        let Some(index) = bytes.get(..index_bytes) else { return };
        let Ok(index) = ForwardIndex::decode(index) else { return };
        for (number, first) in (0..).zip(&index.firsts) {
            assert_eq!(index.page_of(*first), Some(number));
            let at = index.page_offset(number) as usize;
            let Some(page) = bytes.get(at..at + FORWARD_PAGE_BYTES) else { return };
            let Ok(entries) = decode_forward_page(page, number) else { continue };
            for pair in entries.windows(2) {
                assert!(pair[0].end() <= pair[1].from);
            }
            let (again, front) = encode_forwarding(&entries);
            assert_eq!(decode_forward_page(&again[front..], 0), Ok(entries));
        }
    });
}

/// A dump of the catalog.
pub fn backup(bytes: &[u8]) {
    twice(bytes, mend::backup, |bytes| {
        let Ok(mut reader) = BackupReader::new(bytes) else { return };
        let mut writer = BackupWriter::new(Vec::new(), reader.header()).expect("memory takes all");
        loop {
            let written = match reader.next() {
                Err(_) => return,
                Ok(None) => break,
                Ok(Some(Part::Table { name, columns })) => writer.table(&name, &columns),
                Ok(Some(Part::Row(values))) => writer.row(&values),
            };
            written.expect("what was read may be written");
        }
        let again = writer.finish().expect("memory takes all");
        // What follows the end is passed over.
        assert_eq!(again, bytes[..again.len()]);
    });
}

/// The header of a batch of the log. Its segment is taken from the bytes.
pub fn batch_header(bytes: &[u8]) {
    twice(
        bytes,
        |bytes| mend::batch_header(bytes, SALT),
        |bytes| {
            let raw = bytes.get(8..16).map_or(0, mend::u64_of);
            let Some(segment) = SegmentId::new(raw) else { return };
            let peeked = BatchHeader::peek(bytes, segment);
            let Ok(header) = BatchHeader::decode(bytes, segment, SALT) else { return };
            assert_eq!(peeked, Ok(header.sectors as usize));
            assert_eq!(header.location.segment(), Some(segment));
            let mut again = Vec::new();
            let (location, synced) = (header.location, header.synced);
            BatchHeader::encode_into(
                &mut again,
                location,
                SALT,
                synced,
                &header.records,
                &header.crcs,
            );
            let decoded = BatchHeader::decode(&again, segment, SALT).expect("just encoded");
            assert_eq!((decoded.records, decoded.crcs), (header.records, header.crcs));
        },
    );
}

/// The file that makes a folder a store, the ones beside it that say where its segments are and
/// which cache it trusts, and the index of a cache.
pub fn store_file(bytes: &[u8]) {
    if let Ok(header) = CacheHeader::decode(bytes) {
        assert_eq!(header.encode(), bytes);
    }
    if let Ok(token) = decode_token(bytes) {
        assert_eq!(encode_token(&token), bytes);
    }
    if let Some(record) = bytes.first_chunk().and_then(PageRecord::decode) {
        assert_eq!(record.encode(), bytes[..record.encode().len()]);
    }
    if let Ok(file) = PoolFile::decode(bytes) {
        assert_eq!(file.encode(), bytes);
    }
    twice(bytes, mend::store_file, |bytes| {
        if let Ok(file) = StoreFile::decode(bytes) {
            assert_eq!(file.encode(), bytes);
        }
    });
}

/// A transfer stream, to its end or to what is wrong with it.
pub fn transfer_stream(bytes: &[u8]) {
    twice(bytes, mend::transfer_stream, |bytes| {
        let Ok((header, records)) = read_stream(bytes) else { return };
        let mut writer = Writer::new(Vec::new(), &header).expect("memory takes all");
        for record in &records {
            let written = match record {
                Record::Data { offset, bytes } => writer.data(*offset, bytes),
                Record::Zero { offset, len } => writer.zero(*offset, *len),
                Record::End => Ok(()),
            };
            written.expect("what was read may be written");
        }
        assert_eq!(writer.finish().expect("memory takes all"), bytes);
    });
}

fn read_stream(bytes: &[u8]) -> Result<(StreamHeader, Vec<Record>), StreamError> {
    let mut reader = Reader::new(bytes)?;
    let (mut records, mut at) = (Vec::new(), 0);
    loop {
        let record = match reader.next() {
            Ok(record) => record,
            Err(error) => {
                assert!(matches!(reader.next(), Err(StreamError::Failed)));
                return Err(error);
            }
        };
        let (offset, len) = match &record {
            Record::Data { offset, bytes } => (*offset, bytes.len() as u64),
            Record::Zero { offset, len } => (*offset, *len),
            Record::End => return Ok((*reader.header(), records)),
        };
        assert!(offset >= at && offset + len <= reader.header().size);
        at = offset + len;
        records.push(record);
    }
}

const _: () = assert!(HEADER_BYTES == 512, "the seeds and `mend` count on it");
