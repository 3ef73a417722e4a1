//! The NBD protocol as values: bytes in, values out, and back. No I/O.
//!
//! Numbers are as in the protocol's document (NetworkBlockDevice/nbd, doc/proto.md, and its
//! branch extension-ext-header). Everything on the wire is big-endian.

mod field;
pub(crate) mod option;
mod outbox;
pub(crate) mod reply;
pub(crate) mod request;

pub(crate) use outbox::Outbox;
use thiserror::Error;

/// First half of the server's greeting.
pub(crate) const INIT_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// Second half of the greeting, and the start of every option.
pub(crate) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// Start of every answer to an option.
pub(crate) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

/// Handshake flags, the server's and, with the same values, the client's.
pub(crate) mod handshake_flag {
    pub(crate) const FIXED_NEWSTYLE: u16 = 1 << 0;
    pub(crate) const NO_ZEROES: u16 = 1 << 1;
}

/// What an export can do, as told at the end of the handshake.
pub(crate) mod export_flag {
    pub(crate) const HAS_FLAGS: u16 = 1 << 0;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
    pub(crate) const SEND_CACHE: u16 = 1 << 10;
    pub(crate) const SEND_FAST_ZERO: u16 = 1 << 11;
    pub(crate) const BLOCK_STATUS_PAYLOAD: u16 = 1 << 12;
}

/// Flags of a request.
pub(crate) mod command_flag {
    pub(crate) const FUA: u16 = 1 << 0;
    pub(crate) const NO_HOLE: u16 = 1 << 1;
    pub(crate) const DF: u16 = 1 << 2;
    pub(crate) const REQ_ONE: u16 = 1 << 3;
    pub(crate) const FAST_ZERO: u16 = 1 << 4;
    pub(crate) const PAYLOAD_LEN: u16 = 1 << 5;
}

/// How requests and answers look on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Style {
    /// What every client understands.
    Simple,
    /// Answers in chunks, with holes and with errors in words.
    Structured,
    /// Structured, with 64-bit lengths.
    Extended,
}

/// The bytes are not NBD; only closing the connection is left.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    #[error("a request began with {0:#010x} instead of a request's magic")]
    RequestMagic(u32),
    #[error("an option began with {0:#018x} instead of an option's magic")]
    OptionMagic(u64),
    #[error("the client's flags {0:#x} are unknown")]
    ClientFlags(u32),
    #[error("{0} bytes of payload to a request, more than are worth dropping")]
    Payload(u64),
    #[error("{0} bytes of data to an option, more than are worth dropping")]
    OptionLength(u32),
    #[error("more than {} options", crate::limits::OPTIONS_MAX)]
    TooManyOptions,
}

/// Parses anything as requests, in every style; must not panic.
pub fn fuzz_requests(bytes: &[u8]) {
    for style in [Style::Simple, Style::Structured, Style::Extended] {
        let mut rest = bytes;
        while let Ok(Some((request, used))) = request::Request::decode(style, rest) {
            let _ = request.payload_len(style);
            let _ = request.operation(style, 1 << 40, false);
            let _ = request::parse_status_payload(&rest[used..]);
            rest = &rest[used..];
        }
    }
}

/// Parses anything as options; must not panic.
pub fn fuzz_options(bytes: &[u8]) {
    if let Some(head) = bytes.first_chunk() {
        let _ = option::OptionHead::decode(head);
    }
    let _ = option::parse_name(bytes);
    let _ = option::InfoRequest::decode(bytes);
    let _ = option::MetaRequest::decode(bytes);
}

#[cfg(test)]
mod tests;
