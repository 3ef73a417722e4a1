use super::Place;

/// Where a body ends, however it is cut into frames.
#[track_caller]
fn ends(body: &[u8], last: bool) {
    for step in 1..=body.len().max(1) {
        let place = body.chunks(step).fold(Place::default(), |place, frame| place.after(frame));
        assert_eq!(place == Place::Last, last, "{place:?} in steps of {step}");
    }
}

#[test]
fn a_body_ends_with_a_piece_of_no_bytes() {
    ends(b"5;chunk-signature=ab\r\nhello\r\n0;chunk-signature=cd\r\n\r\n", true);
    ends(b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", true);
    ends(b"0\r\n\r\n", true);
}

#[test]
fn what_is_cut_off_before_it_has_no_end() {
    ends(b"", false);
    ends(b"5;chunk-signature=ab\r\nhello\r\n", false);
    ends(b"5;chunk-signature=ab\r\nhel", false);
    ends(b"5;chunk-signature=ab\r\nhello\r\n0;chunk-signature=cd", false);
    ends(b"a\r\n0\r\n\r\n0\r\n\r\n\r\n", false);
}

#[test]
fn what_is_no_size_is_no_end() {
    ends(b"\r\n0\r\n\r\n", false);
    ends(b"-0\r\n\r\n", false);
    ends(b"fffffffffffffffffffffffff\r\nx", false);
}
