//! Options, which a client sends in the handshake, and the answers to them.

use super::field::Fields;
use super::{Malformed, OPTION_MAGIC, OPTION_REPLY_MAGIC};
use crate::limits::{META_QUERIES_MAX, STRING_BYTES_MAX};

/// The head of an option: magic, option, length of its data.
pub(crate) const OPTION_HEAD_BYTES: usize = 16;

/// What a client may ask for. Numbers that no constant names are answered as unsupported.
pub(crate) mod kind {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const STARTTLS: u32 = 5;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
    pub(crate) const EXTENDED_HEADERS: u32 = 11;
}

/// Types of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Rep {
    Ack = 1,
    Server = 2,
    Info = 3,
    MetaContext = 4,
    Unsupported = (1 << 31) + 1,
    Policy = (1 << 31) + 2,
    Invalid = (1 << 31) + 3,
    TlsRequired = (1 << 31) + 5,
    Unknown = (1 << 31) + 6,
    TooBig = (1 << 31) + 9,
    ExtendedHeadersRequired = (1 << 31) + 10,
}

/// Kinds of information that INFO and GO answer with.
pub(crate) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DESCRIPTION: u16 = 2;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// A request of the handshake, before its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OptionHead {
    pub(crate) option: u32,
    pub(crate) len: u32,
}

impl OptionHead {
    pub(crate) fn decode(bytes: &[u8; OPTION_HEAD_BYTES]) -> Result<Self, Malformed> {
        let word = u128::from_be_bytes(*bytes);
        let magic = (word >> 64) as u64;
        if magic != OPTION_MAGIC {
            return Err(Malformed::OptionMagic(magic));
        }
        Ok(Self { option: (word >> 32) as u32, len: word as u32 })
    }
}

/// Why the data of an option was refused, in words for the client.
pub(crate) type Refusal = &'static str;

/// The data of EXPORT_NAME, and any other string of the protocol.
pub(crate) fn parse_name(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.len() > STRING_BYTES_MAX {
        return Err("a name is longer than 4096 bytes");
    }
    let name = std::str::from_utf8(bytes).map_err(|_| "a name is not UTF-8")?;
    if name.contains('\0') {
        return Err("a name holds a zero byte");
    }
    Ok(name)
}

/// The data of INFO and GO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InfoRequest<'a> {
    pub(crate) name: &'a str,
    wanted: Vec<u16>,
}

impl<'a> InfoRequest<'a> {
    pub(crate) fn decode(data: &'a [u8]) -> Result<Self, Refusal> {
        const SHORT: Refusal = "the data ends too early";
        let mut fields = Fields(data);
        let name_len = fields.u32().ok_or(SHORT)?;
        let name = parse_name(fields.bytes(name_len as usize).ok_or(SHORT)?)?;
        let count = fields.u16().ok_or(SHORT)?;
        let wanted = (0..count).map(|_| fields.u16()).collect::<Option<Vec<_>>>().ok_or(SHORT)?;
        if !fields.is_empty() {
            return Err("there is more data than the counts say");
        }
        Ok(Self { name, wanted })
    }

    pub(crate) fn wants(&self, info: u16) -> bool {
        self.wanted.contains(&info)
    }
}

/// The data of LIST_META_CONTEXT and SET_META_CONTEXT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetaRequest<'a> {
    pub(crate) name: &'a str,
    pub(crate) queries: Vec<&'a str>,
}

/// Why a meta context option was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaRefusal {
    Invalid(Refusal),
    TooMany,
}

impl<'a> MetaRequest<'a> {
    pub(crate) fn decode(data: &'a [u8]) -> Result<Self, MetaRefusal> {
        const SHORT: MetaRefusal = MetaRefusal::Invalid("the data ends too early");
        let mut fields = Fields(data);
        let string = |fields: &mut Fields<'a>| {
            let len = fields.u32().ok_or(SHORT)?;
            let bytes = fields.bytes(len as usize).ok_or(SHORT)?;
            parse_name(bytes).map_err(MetaRefusal::Invalid)
        };
        let name = string(&mut fields)?;
        let count = fields.u32().ok_or(SHORT)?;
        if count > META_QUERIES_MAX {
            return Err(MetaRefusal::TooMany);
        }
        let queries =
            (0..count).map(|_| string(&mut fields)).collect::<Result<Vec<_>, MetaRefusal>>()?;
        if !fields.is_empty() {
            return Err(MetaRefusal::Invalid("there is more data than the counts say"));
        }
        Ok(Self { name, queries })
    }
}

/// The server's first words.
pub(crate) fn greeting(flags: u16) -> [u8; 18] {
    let mut out = [0; 18];
    out[..8].copy_from_slice(&super::INIT_MAGIC.to_be_bytes());
    out[8..16].copy_from_slice(&OPTION_MAGIC.to_be_bytes());
    out[16..].copy_from_slice(&flags.to_be_bytes());
    out
}

/// Appends one answer to `option`.
pub(crate) fn push_reply(out: &mut Vec<u8>, option: u32, rep: Rep, data: &[&[u8]]) {
    let len: usize = data.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&OPTION_REPLY_MAGIC.to_be_bytes());
    out.extend_from_slice(&option.to_be_bytes());
    out.extend_from_slice(&(rep as u32).to_be_bytes());
    out.extend_from_slice(&(len as u32).to_be_bytes());
    for part in data {
        out.extend_from_slice(part);
    }
}
