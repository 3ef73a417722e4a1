//! The stream's promises: what was written comes out, and nothing else does.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, proptest};
use proptest::{collection, prop_assert_eq, prop_oneof};

use super::{Header, MAGIC, Reader, Record, RecordHead, Rule, StreamError, Writer, crc32c};

const BLOCK: usize = 4096;

/// A small stream with every kind of record in it.
fn sample() -> Vec<u8> {
    let header =
        Header { size: 5 * BLOCK as u64 + 100, base: Some([7; 16]), identity: Some([9; 16]) };
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    writer.data(0, &[1; BLOCK]).unwrap();
    writer.zero(2 * BLOCK as u64, 2 * BLOCK as u64).unwrap();
    writer.data(5 * BLOCK as u64, &[2; 100]).unwrap();
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<(Header, Vec<Record>), StreamError> {
    let mut reader = Reader::new(bytes)?;
    let header = *reader.header();
    let mut records = Vec::new();
    loop {
        match reader.next()? {
            Record::End => return Ok((header, records)),
            record => records.push(record),
        }
    }
}

/// A stream of hand-made records with right checksums.
fn forged(size: u64, records: &[(u8, u64, u64, &[u8])]) -> Vec<u8> {
    let mut out = Header { size, ..Header::default() }.encode().to_vec();
    for &(kind, offset, len, payload) in records {
        let head = RecordHead { kind, offset, len, payload_crc: crc32c(payload) };
        out.extend_from_slice(&head.encode());
        out.extend_from_slice(payload);
    }
    let digest = *blake3::hash(&out).as_bytes();
    let head = RecordHead { kind: 3, offset: size, len: 32, payload_crc: crc32c(&digest) };
    out.extend_from_slice(&head.encode());
    out.extend_from_slice(&digest);
    out
}

fn rule(bytes: &[u8]) -> Rule {
    match read(bytes) {
        Err(StreamError::Malformed { rule, .. }) => rule,
        other => panic!("expected a broken rule, got {other:?}"),
    }
}

#[test]
fn a_stream_gives_back_what_was_written() {
    let (header, records) = read(&sample()).unwrap();
    assert_eq!((header.base, header.identity), (Some([7; 16]), Some([9; 16])));
    assert_eq!(
        records,
        [
            Record::Data { offset: 0, bytes: vec![1; BLOCK] },
            Record::Zero { offset: 8192, len: 8192 },
            Record::Data { offset: 20480, bytes: vec![2; 100] },
        ]
    );
}

#[test]
fn a_stream_cut_at_any_byte_is_refused() {
    let whole = sample();
    for len in 0..whole.len() {
        match read(&whole[..len]) {
            Err(StreamError::Truncated { at }) => assert_eq!(at, len as u64),
            other => panic!("cut at {len}: {other:?}"),
        }
    }
}

#[test]
fn a_stream_with_any_bit_flipped_is_refused() {
    let whole = sample();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(read(&bytes).is_err(), "flip at {at}");
        bytes[at] = !whole[at];
        assert!(read(&bytes).is_err(), "inverted at {at}");
    }
}

#[test]
fn a_byte_after_the_end_is_refused() {
    let mut bytes = sample();
    let at = bytes.len() as u64;
    bytes.push(0);
    assert!(matches!(read(&bytes), Err(StreamError::Trailing { at: got }) if got == at));
}

#[test]
fn a_lost_record_is_found_by_the_digest() {
    let whole = forged(16384, &[(2, 0, 4096, &[]), (2, 8192, 4096, &[])]);
    let mut bytes = whole[..64].to_vec();
    bytes.extend_from_slice(&whole[96..]);
    assert!(matches!(read(&bytes), Err(StreamError::Digest)));
}

#[test]
fn overlapping_and_descending_ranges_are_refused() {
    let overlap = forged(16384, &[(2, 0, 8192, &[]), (2, 4096, 4096, &[])]);
    assert_eq!(rule(&overlap), Rule::Order { offset: 4096, floor: 8192 });
    let descending = forged(16384, &[(1, 8192, 4096, &[1; BLOCK]), (2, 0, 4096, &[])]);
    assert_eq!(rule(&descending), Rule::Order { offset: 0, floor: 12288 });
}

#[test]
fn ranges_beyond_the_size_are_refused() {
    let beyond = |offset, len| rule(&forged(8192, &[(2, offset, len, &[])]));
    assert!(matches!(beyond(4096, 8192), Rule::Bounds { .. }));
    assert!(matches!(beyond(8192, 1), Rule::Bounds { .. }));
    assert!(matches!(beyond(4096, u64::MAX), Rule::Bounds { .. }));
    assert!(matches!(beyond(u64::MAX - 4095, 4096), Rule::Bounds { .. }));
}

#[test]
fn ranges_are_of_whole_blocks_except_at_the_very_end() {
    let check = |offset, len| read(&forged(10000, &[(2, offset, len, &[])]));
    assert!(check(8192, 1808).is_ok());
    assert!(check(0, 10000).is_ok());
    for (offset, len) in [(0, 512), (512, 3584), (4096, 5000), (9999, 1)] {
        let rule = rule(&forged(10000, &[(2, offset, len, &[])]));
        assert_eq!(rule, Rule::Unaligned { offset, len });
    }
}

#[test]
fn lengths_outside_their_limits_are_refused_before_anything_is_allocated() {
    let limits = [(1, (1 << 20) + 4096), (1, u64::MAX), (3, 31), (3, 1 << 40), (4, 1025)];
    for (kind, len) in limits.into_iter().chain([(1, 0), (2, 0), (4, 0)]) {
        let bytes = forged(u64::MAX, &[(kind, 0, len, &[])]);
        assert_eq!(rule(&bytes), Rule::Length { kind, len });
    }
}

#[test]
fn unknown_kinds_flags_and_reserved_bytes_are_refused() {
    assert_eq!(rule(&forged(8192, &[(5, 0, 4096, &[])])), Rule::Kind(5));
    let sealed = |at: usize, value: u8| {
        let mut bytes = forged(8192, &[]);
        bytes[at] = value;
        let crc = crc32c(&bytes[..60]).to_le_bytes();
        bytes[60..64].copy_from_slice(&crc);
        bytes
    };
    for (at, value) in [(12, 4), (24, 1), (40, 1), (56, 1)] {
        assert_eq!(rule(&sealed(at, value)), Rule::Reserved, "byte {at}");
    }
    assert!(matches!(read(&sealed(8, 2)), Err(StreamError::Version { got: 2 })));
}

#[test]
fn the_end_names_the_size() {
    let mut bytes = forged(8192, &[]);
    let digest: [u8; 32] = bytes[96..].try_into().unwrap();
    let head = RecordHead { kind: 3, offset: 4096, len: 32, payload_crc: crc32c(&digest) };
    bytes[64..96].copy_from_slice(&head.encode());
    assert_eq!(rule(&bytes), Rule::Bounds { offset: 4096, len: 0, size: 8192 });
}

#[test]
fn something_else_is_told_from_a_stream() {
    assert!(matches!(read(&[b'{'; 200]), Err(StreamError::Magic)));
    assert!(matches!(read(b""), Err(StreamError::Truncated { at: 0 })));
}

#[test]
fn an_empty_resource_is_a_header_and_an_end() {
    let writer = Writer::new(Vec::new(), &Header::default()).unwrap();
    let bytes = writer.finish().unwrap();
    assert_eq!(bytes.len(), 64 + 32 + 32);
    assert_eq!(read(&bytes).unwrap(), (Header::default(), vec![]));
}

#[test]
fn a_reader_stays_ended_and_stays_failed() {
    let whole = forged(8192, &[]);
    let mut reader = Reader::new(&whole[..]).unwrap();
    assert_eq!(reader.next().unwrap(), Record::End);
    assert_eq!(reader.next().unwrap(), Record::End);
    let mut reader = Reader::new(&whole[..70]).unwrap();
    assert!(matches!(reader.next(), Err(StreamError::Truncated { at: 70 })));
    assert!(matches!(reader.next(), Err(StreamError::Failed)));
}

#[test]
fn a_writer_refuses_what_a_reader_would() {
    let mut writer = Writer::new(Vec::new(), &Header { size: 10000, ..Header::default() }).unwrap();
    writer.data(4096, &[1; BLOCK]).unwrap();
    assert!(writer.data(0, &[1; BLOCK]).is_err());
    assert!(writer.data(8192, &[1; 512]).is_err());
    assert!(writer.zero(8192, 4096).is_err());
    writer.zero(8192, 1808).unwrap();
    assert!(read(&writer.finish().unwrap()).is_ok());
}

#[test]
fn long_data_is_split_into_records_of_a_mebibyte() {
    let bytes = vec![3; (2 << 20) + 5];
    let header = Header { size: bytes.len() as u64, ..Header::default() };
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    writer.data(0, &bytes).unwrap();
    let (_, records) = read(&writer.finish().unwrap()).unwrap();
    let lens: Vec<_> = records
        .iter()
        .map(|record| match record {
            Record::Data { bytes, .. } => bytes.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lens, [1 << 20, 1 << 20, 5]);
}

/// The layout in the module's text, byte by byte: a change of it is a change
/// of the version.
#[test]
fn the_layout_is_the_documented_one() {
    let bytes = sample();
    assert_eq!(bytes[..8], MAGIC);
    assert_eq!(bytes[8..16], [1, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(bytes[16..24], (5 * 4096u64 + 100).to_le_bytes());
    assert_eq!(bytes[24..56], [[7; 16], [9; 16]].concat());
    assert_eq!(bytes[56..60], [0; 4]);
    assert_eq!(bytes[64..72], [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[80..88], 4096u64.to_le_bytes());
    let zero = 64 + 32 + BLOCK;
    assert_eq!(bytes[zero], 2);
    assert_eq!(bytes[zero + 8..zero + 28], [&[0, 32], &[0; 6][..], &[0, 32], &[0; 10]].concat());
    let end = bytes.len() - 64;
    assert_eq!(bytes[end], 3);
    assert_eq!(bytes[end + 32..], *blake3::hash(&bytes[..end]).as_bytes());
    // RFC 3720, B.4: 32 bytes of zeros.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
}

#[derive(Clone, Debug)]
enum Step {
    Skip(u64),
    Data(u64, u8),
    Zero(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u64..4).prop_map(Step::Skip),
        (1u64..300, any::<u8>()).prop_map(|(blocks, byte)| Step::Data(blocks, byte)),
        (1u64..1000).prop_map(Step::Zero),
    ];
    collection::vec(step, 0..20)
}

#[test]
fn a_sender_that_gives_up_says_why_and_is_refused() {
    for (reason, expected) in [
        ("image 'web': damaged\u{1b}[2J\n", "image 'web': damaged [2J ".to_owned()),
        ("", "the sender failed".to_owned()),
        (&*"\u{e4}".repeat(700), "\u{e4}".repeat(512)),
    ] {
        let mut bytes = Vec::new();
        let mut writer =
            Writer::new(&mut bytes, &Header { size: 8192, ..Header::default() }).unwrap();
        writer.data(0, &[7; 4096]).unwrap();
        writer.fail(reason).unwrap();
        let mut reader = Reader::new(&bytes[..]).unwrap();
        assert!(matches!(reader.next(), Ok(Record::Data { offset: 0, .. })));
        match reader.next() {
            Err(StreamError::Sender(got)) => assert_eq!(got, expected),
            other => panic!("{other:?}"),
        }
        assert!(matches!(reader.next(), Err(StreamError::Failed)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_stream_round_trips(
        steps in steps(),
        tail in prop_oneof![Just(0u64), 1u64..4096],
        base in any::<Option<[u8; 16]>>(),
        identity in any::<Option<[u8; 16]>>(),
    ) {
        let blocks: u64 = steps
            .iter()
            .map(|step| match step { Step::Skip(n) | Step::Data(n, _) | Step::Zero(n) => *n })
            .sum();
        let header = Header { size: blocks * 4096 + tail, base, identity };
        let mut writer = Writer::new(Vec::new(), &header).unwrap();
        let (mut at, mut image) = (0u64, vec![0xffu8; header.size as usize]);
        let mut expected = image.clone();
        for step in &steps {
            let (len, fill) = match *step {
                Step::Skip(n) => (n * 4096, None),
                Step::Data(n, byte) => (n * 4096, Some(byte)),
                Step::Zero(n) => (n * 4096, Some(0)),
            };
            if let Some(byte) = fill {
                expected[at as usize..(at + len) as usize].fill(byte);
            }
            match step {
                Step::Skip(_) => {}
                Step::Data(_, byte) => writer.data(at, &vec![*byte; len as usize]).unwrap(),
                Step::Zero(_) => writer.zero(at, len).unwrap(),
            }
            at += len;
        }
        if tail > 0 {
            writer.data(at, &vec![5; tail as usize]).unwrap();
            expected[at as usize..].fill(5);
        }
        let bytes = writer.finish().unwrap();
        let (got, records) = read(&bytes).unwrap();
        prop_assert_eq!(got, header);
        for record in records {
            match record {
                Record::Data { offset, bytes } => {
                    image[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
                }
                Record::Zero { offset, len } => image[offset as usize..(offset + len) as usize].fill(0),
                Record::End => unreachable!("read() stops there"),
            }
        }
        prop_assert_eq!(image, expected);
    }

    #[test]
    fn arbitrary_bytes_after_a_header_never_panic(tail in collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = Header { size: 1 << 40, ..Header::default() }.encode().to_vec();
        bytes.extend_from_slice(&tail);
        assert!(read(&bytes).is_err());
    }
}
