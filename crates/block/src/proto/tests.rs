//! What strangers' bytes become, and what is refused.

use proptest::prelude::*;

use super::option::{InfoRequest, MetaRefusal, MetaRequest, OptionHead, Rep, push_reply};
use super::reply::{Descriptor, Head, clipped};
use super::request::{Command, Operation, Request, header_len, parse_status_payload};
use super::{Malformed, Outbox, Style, command_flag, fuzz_options, fuzz_requests};
use crate::failure::{Errno, Failure};

const STYLES: [Style; 3] = [Style::Simple, Style::Structured, Style::Extended];

fn header(style: Style, command: u16, flags: u16, offset: u64, len: u64) -> Vec<u8> {
    let magic: u32 = if style == Style::Extended { 0x21e4_1c71 } else { 0x2560_9513 };
    let mut bytes = magic.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(0x0123_4567_89ab_cdefu64.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    match style {
        Style::Extended => bytes.extend(len.to_be_bytes()),
        _ => bytes.extend((len as u32).to_be_bytes()),
    }
    bytes
}

fn request(style: Style, command: u16, flags: u16, offset: u64, len: u64) -> Request {
    let bytes = header(style, command, flags, offset, len);
    Request::decode(style, &bytes).unwrap().unwrap().0
}

#[test]
fn a_request_is_taken_once_its_header_is_whole() {
    for style in STYLES {
        let bytes = header(style, 1, 1, 4096, 512);
        for end in 0..bytes.len() {
            assert_eq!(Request::decode(style, &bytes[..end]), Ok(None));
        }
        let (request, used) = Request::decode(style, &bytes).unwrap().unwrap();
        assert_eq!(used, header_len(style));
        assert_eq!(
            request,
            Request {
                flags: 1,
                command: Command::Write,
                cookie: 0x0123_4567_89ab_cdef,
                offset: 4096,
                len: 512
            }
        );
    }
}

#[test]
fn the_magic_of_another_style_is_malformed() {
    let compact = header(Style::Simple, 0, 0, 0, 512);
    let refused = Request::decode(Style::Extended, &compact);
    assert_eq!(refused, Err(Malformed::RequestMagic(0x2560_9513)));
}

#[test]
fn a_write_has_its_payload_with_and_without_the_flag() {
    for flags in [0, command_flag::PAYLOAD_LEN] {
        let write = request(Style::Extended, 1, flags, 0, 512);
        assert_eq!(write.payload_len(Style::Extended), 512);
        let wanted = Ok(Operation::Write { offset: 0, fua: false });
        assert_eq!(write.operation(Style::Extended, 512, false), wanted);
    }
}

#[test]
fn any_extended_command_may_bring_a_payload_that_is_skipped_and_refused() {
    let trim = request(Style::Extended, 4, command_flag::PAYLOAD_LEN, 0, 512);
    assert_eq!(trim.payload_len(Style::Extended), 512);
    let refused = trim.operation(Style::Extended, 512, false).unwrap_err();
    assert_eq!(refused.errno, Errno::Inval);
}

#[test]
fn a_range_that_wraps_round_is_beyond_the_end() {
    let read = request(Style::Extended, 0, 0, u64::MAX - 511, 1024);
    let refused = read.operation(Style::Extended, 1 << 40, false).unwrap_err();
    assert_eq!(refused.errno, Errno::Inval);
}

#[test]
fn unfragmented_reads_need_structured_replies() {
    let read = |style| {
        request(style, 0, command_flag::DF, 0, 512)
            .operation(style, 512, false)
            .map_err(|f| f.errno)
    };
    assert_eq!(read(Style::Simple), Err(Errno::Inval));
    let wanted = Operation::Read { offset: 0, len: 512, whole: true };
    assert_eq!(read(Style::Structured), Ok(wanted));
}

#[test]
fn answers_look_as_the_protocol_says() {
    let head = |style| Head { style, cookie: 0x11, offset: 0x22 };
    let mut out = Outbox::default();
    head(Style::Simple).push_ok(&mut out);
    assert_eq!(out.as_slice(), [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11]);
    out.truncate(0);
    let failure = Failure::new(Errno::NoSpc, "full");
    head(Style::Structured).push_failure(&mut out, &failure);
    let wanted = [
        &[0x66, 0x8e, 0x33, 0xef, 0, 1, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0x11, 0, 0, 0, 10][..],
        &[0, 0, 0, 28, 0, 4],
        b"full",
    ];
    assert_eq!(out.as_slice(), wanted.concat());
    out.truncate(0);
    let ranges = [Descriptor { len: 1 << 33, flags: 3 }];
    head(Style::Extended).push_status(&mut out, 7, &ranges, true);
    let wanted = [
        &[0x6e, 0x8a, 0x27, 0x8c, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0x11][..],
        &[0, 0, 0, 0, 0, 0, 0, 0x22, 0, 0, 0, 0, 0, 0, 0, 24],
        &[0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3],
    ];
    assert_eq!(out.as_slice(), wanted.concat());
}

#[test]
fn an_answer_to_an_option_carries_its_length() {
    let mut out = Vec::new();
    push_reply(&mut out, 3, Rep::Server, &[&[0, 0, 0, 1], b"v"]);
    let wanted =
        [0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 1];
    assert_eq!(out, [&wanted[..], b"v"].concat());
}

#[test]
fn messages_are_clipped_between_characters() {
    let message = "\u{e9}".repeat(3000);
    assert_eq!(clipped(&message).len(), 4096);
    let odd = format!("x{message}");
    assert_eq!(clipped(&odd).len(), 4095);
}

#[test]
fn too_many_queries_are_refused_before_memory_is_spent_on_them() {
    let mut data = vec![0, 0, 0, 0];
    data.extend(u32::MAX.to_be_bytes());
    assert_eq!(MetaRequest::decode(&data), Err(MetaRefusal::TooMany));
}

#[test]
fn data_behind_the_last_field_is_refused() {
    assert!(InfoRequest::decode(&[0, 0, 0, 0, 0, 0]).is_ok());
    assert!(InfoRequest::decode(&[0, 0, 0, 0, 0, 0, 0]).is_err());
    assert!(parse_status_payload(&[0; 12]).is_some());
    assert!(parse_status_payload(&[0; 13]).is_none());
}

#[test]
fn an_option_needs_its_magic() {
    let head = [7; 16];
    assert!(matches!(OptionHead::decode(&head), Err(Malformed::OptionMagic(_))));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz_options(&bytes);
        fuzz_requests(&bytes);
    }

    #[test]
    fn no_request_makes_the_parser_panic(
        command in 0u16..12,
        flags in any::<u16>(),
        offset in any::<u64>(),
        len in any::<u64>(),
        rest in proptest::collection::vec(any::<u8>(), 0..64),
        style in 0usize..3,
    ) {
        let mut bytes = header(STYLES[style], command, flags, offset, len);
        bytes.extend(rest);
        fuzz_requests(&bytes);
    }

    #[test]
    fn what_is_accepted_lies_within_the_export(
        command in 0u16..9,
        flags in 0u16..64,
        offset in 0u64..5000,
        len in 0u64..5000,
        size in 0u64..8192,
    ) {
        let request = request(Style::Structured, command, flags, offset, len);
        if request.operation(Style::Structured, size, false).is_ok() && command != 3 {
            prop_assert!(len > 0 && offset + len <= size);
        }
    }

    #[test]
    fn a_read_only_export_accepts_nothing_that_changes_it(flags in 0u16..64, command in 0u16..9) {
        let request = request(Style::Structured, command, flags, 0, 512);
        let accepted = request.operation(Style::Structured, 512, true);
        let changes = matches!(
            accepted,
            Ok(Operation::Write { .. } | Operation::Trim { .. } | Operation::Zero { .. })
        );
        prop_assert!(!changes);
    }
}
