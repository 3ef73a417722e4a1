use super::*;

fn segment(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

fn header() -> CacheHeader {
    CacheHeader { store: [7; 16], token: [9; 16] }
}

#[test]
fn a_header_is_read_as_it_was_written() {
    assert_eq!(CacheHeader::decode(&header().encode()), Ok(header()));
}

#[test]
fn no_flipped_bit_of_a_header_or_a_token_is_passed_over() {
    let (header, token) = (header().encode(), encode_token(&[3; 16]));
    for bit in 0..header.len() * 8 {
        let mut raw = header;
        raw[bit / 8] ^= 1 << (bit % 8);
        assert!(CacheHeader::decode(&raw).is_err(), "bit {bit}");
    }
    for bit in 0..token.len() * 8 {
        let mut raw = token;
        raw[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_token(&raw).is_err(), "bit {bit}");
    }
}

#[test]
fn what_is_too_short_or_too_long_is_refused() {
    let (header, token) = (header().encode(), encode_token(&[3; 16]));
    for len in 0..header.len() {
        assert!(CacheHeader::decode(&header[..len]).is_err());
    }
    for len in 0..token.len() {
        assert!(decode_token(&token[..len]).is_err());
    }
    assert!(CacheHeader::decode(&[&header[..], &[0]].concat()).is_err());
    assert!(decode_token(&[&token[..], &[0]].concat()).is_err());
    assert_eq!(decode_token(&token), Ok([3; 16]));
}

#[test]
fn another_version_is_told_as_one() {
    let mut raw = header().encode();
    raw[8] = 2;
    assert!(matches!(CacheHeader::decode(&raw), Err(FormatError::Version { got: 2, .. })));
}

#[test]
fn a_record_is_read_as_it_was_written_and_no_flipped_bit_of_it_is_passed_over() {
    let record = PageRecord::of(segment(5), 3 * PAGE_BYTES + 7, 3, &[1; 7]);
    let raw = record.encode();
    assert_eq!(PageRecord::decode(&raw), Some(record));
    for bit in 0..raw.len() * 8 {
        let mut raw = raw;
        raw[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(PageRecord::decode(&raw), None, "bit {bit}");
    }
    assert_eq!(PageRecord::decode(&[0; RECORD_BYTES]), None);
}

#[test]
fn a_record_of_a_page_behind_the_end_is_none() {
    let record = PageRecord { segment: segment(5), segment_bytes: 10, page: 1, check: 0 };
    assert_eq!(PageRecord::decode(&record.encode()), None);
}

#[test]
fn a_record_vouches_for_its_bytes_alone() {
    let bytes = vec![1; PAGE_BYTES as usize];
    let record = PageRecord::of(segment(5), PAGE_BYTES * 2, 1, &bytes);
    assert!(record.vouches_for(&bytes));
    for at in [0, 1000, PAGE_BYTES as usize - 1] {
        let mut torn = bytes.clone();
        torn[at] ^= 1;
        assert!(!record.vouches_for(&torn));
    }
    assert!(!record.vouches_for(&bytes[..100]));
    for other in [
        PageRecord { segment: segment(6), ..record },
        PageRecord { page: 0, ..record },
        PageRecord { segment_bytes: PAGE_BYTES * 3, ..record },
    ] {
        assert!(!other.vouches_for(&bytes), "{other:?}");
    }
}

#[test]
fn a_page_has_what_the_segment_has_there() {
    assert_eq!(page_len(0, 0), 0);
    assert_eq!(page_len(1, 0), 1);
    assert_eq!(page_len(PAGE_BYTES, 0), PAGE_BYTES);
    assert_eq!(page_len(PAGE_BYTES, 1), 0);
    assert_eq!(page_len(PAGE_BYTES + 5, 1), 5);
    assert_eq!(page_len(u64::MAX, u32::MAX), PAGE_BYTES);
}
