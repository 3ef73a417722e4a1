//! Facts about forwarding tables.

use archipelago_model::SegmentId;

use super::*;

fn at(segment: u64, position: u32) -> Location {
    Location::new(SegmentId::new(segment).unwrap(), position).unwrap()
}

fn entries(count: u32) -> Vec<Forward> {
    (0..count).map(|n| Forward { from: at(3, n * 10), to: at(9, n * 8), sectors: 8 }).collect()
}

fn decoded(section: &[u8]) -> Vec<Forward> {
    let index_bytes = ForwardIndex::bytes_in(section.len() as u64) as usize;
    let index = ForwardIndex::decode(&section[..index_bytes]).unwrap();
    let page = |number: u32| {
        let from = index.page_offset(number) as usize;
        decode_forward_page(&section[from..from + FORWARD_PAGE_BYTES], number).unwrap()
    };
    (0..index.firsts.len() as u32).flat_map(page).collect()
}

#[test]
fn what_is_encoded_is_decoded() {
    for count in [1, 203, 204, 205, 1000] {
        let (section, index_bytes) = encode_forwarding(&entries(count));
        assert_eq!(ForwardIndex::bytes_in(section.len() as u64), index_bytes as u64);
        assert_eq!(decoded(&section), entries(count));
    }
    assert!(encode_forwarding(&[]).0.is_empty());
}

#[test]
fn the_index_finds_the_page() {
    let (section, index_bytes) = encode_forwarding(&entries(500));
    let index = ForwardIndex::decode(&section[..index_bytes]).unwrap();
    assert_eq!(index.page_of(at(2, 0)), None);
    assert_eq!(index.page_of(at(3, 0)), Some(0));
    assert_eq!(index.page_of(at(3, 2039)), Some(0));
    assert_eq!(index.page_of(at(3, 2040)), Some(1));
    assert_eq!(index.page_of(at(7, 0)), Some(2));
}

#[test]
fn a_flipped_bit_anywhere_in_a_page_is_noticed() {
    let (section, index_bytes) = encode_forwarding(&entries(10));
    for bit in 0..FORWARD_PAGE_BYTES * 8 {
        let mut page = section[index_bytes..].to_vec();
        page[bit / 8] ^= 1 << (bit % 8);
        decode_forward_page(&page, 0).unwrap_err();
    }
}

#[test]
fn entries_that_overlap_or_leave_their_segment_are_refused() {
    let overlapping = [
        Forward { from: at(3, 0), to: at(9, 0), sectors: 8 },
        Forward { from: at(3, 4), to: at(9, 8), sectors: 8 },
    ];
    let beyond = [Forward { from: at(3, Location::POSITION_END - 1), to: at(9, 0), sectors: 2 }];
    let hole = [Forward { from: Location::HOLE, to: at(9, 0), sectors: 2 }];
    for bad in [&overlapping[..], &beyond, &hole] {
        let (section, index_bytes) = encode_forwarding(bad);
        decode_forward_page(&section[index_bytes..], 0).unwrap_err();
    }
}

/// The location behind the last position of the last segment would be 2^64.
#[test]
fn an_entry_that_leaves_its_segment_is_refused() {
    let decodes = |from, to| {
        let (section, index_bytes) = encode_forwarding(&[Forward { from, to, sectors: 8 }]);
        decode_forward_page(&section[index_bytes..], 0).is_ok()
    };
    let last = Location::new(SegmentId::MAX, Location::POSITION_END - 8).unwrap();
    assert!(decodes(at(3, Location::POSITION_END - 8), at(9, 0)));
    assert!(!decodes(last, at(9, 0)));
    assert!(!decodes(at(3, 0), last));
    assert!(!decodes(at(3, Location::POSITION_END - 7), at(9, 0)));
    assert!(!decodes(at(3, 0), Location::from_raw(5)), "no segment");
}
