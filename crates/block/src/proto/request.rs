//! Requests of the transmission phase, and what they mean.

use super::field::Fields;
use super::{Malformed, Style, command_flag};
use crate::failure::{Errno, Failure};
use crate::limits::{PAYLOAD_BYTES_MAX, STATUS_DESCRIPTORS_MAX};

const REQUEST_MAGIC: u32 = 0x2560_9513;
const EXTENDED_REQUEST_MAGIC: u32 = 0x21e4_1c71;

/// Bytes of a request's header.
pub(crate) const fn header_len(style: Style) -> usize {
    match style {
        Style::Simple | Style::Structured => 28,
        Style::Extended => 32,
    }
}

/// The commands of the protocol, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Command {
    Read = 0,
    Write = 1,
    Disconnect = 2,
    Flush = 3,
    Trim = 4,
    Cache = 5,
    WriteZeroes = 6,
    BlockStatus = 7,
    /// A number that no command has.
    Unknown = 8,
}

impl Command {
    pub(crate) const ALL: [Self; 9] = [
        Self::Read,
        Self::Write,
        Self::Disconnect,
        Self::Flush,
        Self::Trim,
        Self::Cache,
        Self::WriteZeroes,
        Self::BlockStatus,
        Self::Unknown,
    ];

    fn of(number: u16) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Unknown)
    }

    /// The name in metrics and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Disconnect => "disconnect",
            Self::Flush => "flush",
            Self::Trim => "trim",
            Self::Cache => "cache",
            Self::WriteZeroes => "write_zeroes",
            Self::BlockStatus => "block_status",
            Self::Unknown => "unknown",
        }
    }

    const fn flags_allowed(self, style: Style) -> u16 {
        // FUA may come with any command; it means something with those that write.
        command_flag::FUA
            | match self {
                Self::Read if matches!(style, Style::Simple) => 0,
                Self::Read => command_flag::DF,
                Self::Write if matches!(style, Style::Extended) => command_flag::PAYLOAD_LEN,
                Self::WriteZeroes => command_flag::NO_HOLE | command_flag::FAST_ZERO,
                Self::BlockStatus if matches!(style, Style::Extended) => {
                    command_flag::REQ_ONE | command_flag::PAYLOAD_LEN
                }
                Self::BlockStatus => command_flag::REQ_ONE,
                _ => 0,
            }
    }
}

/// A request's header. Its payload, if any, follows on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) flags: u16,
    pub(crate) command: Command,
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// A request that makes sense, with all numbers checked against the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read { offset: u64, len: u32, whole: bool },
    Write { offset: u64, fua: bool },
    Flush,
    Trim { offset: u64, len: u64, fua: bool },
    Zero { offset: u64, len: u64, may_unmap: bool, fua: bool },
    Cache { offset: u64, len: u64 },
    Status { offset: u64, len: u64, one: bool },
}

impl Request {
    /// Takes one header off the front; the second value is its length. `None` when it is not
    /// complete yet.
    pub(crate) fn decode(style: Style, bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut fields = Fields(bytes);
        let Some(magic) = fields.u32() else { return Ok(None) };
        let expected = match style {
            Style::Simple | Style::Structured => REQUEST_MAGIC,
            Style::Extended => EXTENDED_REQUEST_MAGIC,
        };
        if magic != expected {
            return Err(Malformed::RequestMagic(magic));
        }
        Ok(Self::fields(style, fields).map(|request| (request, header_len(style))))
    }

    fn fields(style: Style, mut fields: Fields<'_>) -> Option<Self> {
        let flags = fields.u16()?;
        let command = Command::of(fields.u16()?);
        let cookie = fields.u64()?;
        let offset = fields.u64()?;
        let len = match style {
            Style::Simple | Style::Structured => u64::from(fields.u32()?),
            Style::Extended => fields.u64()?,
        };
        Some(Self { flags, command, cookie, offset, len })
    }

    /// Bytes that follow the header.
    pub(crate) fn payload_len(&self, style: Style) -> u64 {
        // A write always brings its payload. With extended headers it has to say so by a flag,
        // which QEMU as a client (10.0) leaves out.
        let says_so = style == Style::Extended && self.has(command_flag::PAYLOAD_LEN);
        if self.command == Command::Write || says_so { self.len } else { 0 }
    }

    /// Whether the payload can be of use, by its length.
    pub(crate) fn payload_fits(&self, style: Style) -> bool {
        let max = match self.command {
            Command::Write => u64::from(PAYLOAD_BYTES_MAX),
            Command::BlockStatus => STATUS_PAYLOAD_BYTES_MAX,
            _ => 0,
        };
        self.payload_len(style) <= max
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// What is asked for, or why it is refused. A block status request with a payload has its
    /// length there: see [`parse_status_payload`].
    pub(crate) fn operation(
        &self,
        style: Style,
        size: u64,
        read_only: bool,
    ) -> Result<Operation, Failure> {
        if self.flags & !self.command.flags_allowed(style) != 0 {
            return Err(Failure::invalid("a flag that this command does not have"));
        }
        let Self { offset, len, .. } = *self;
        let fua = self.has(command_flag::FUA);
        match self.command {
            Command::Read => {
                self.in_range(size, Errno::Inval)?;
                Ok(Operation::Read {
                    offset,
                    len: self.payload_bytes()?,
                    whole: self.has(command_flag::DF),
                })
            }
            Command::Write => {
                self.writable(read_only)?;
                self.in_range(size, Errno::NoSpc)?;
                self.payload_bytes()?;
                Ok(Operation::Write { offset, fua })
            }
            Command::Trim => {
                self.writable(read_only)?;
                self.in_range(size, Errno::Inval)?;
                Ok(Operation::Trim { offset, len, fua })
            }
            Command::WriteZeroes => {
                self.writable(read_only)?;
                self.in_range(size, Errno::NoSpc)?;
                let may_unmap = !self.has(command_flag::NO_HOLE);
                Ok(Operation::Zero { offset, len, may_unmap, fua })
            }
            Command::Flush if offset != 0 || len != 0 => {
                Err(Failure::invalid("a flush has no offset and no length"))
            }
            Command::Flush => Ok(Operation::Flush),
            Command::Cache => {
                self.in_range(size, Errno::Inval)?;
                Ok(Operation::Cache { offset, len })
            }
            Command::BlockStatus => {
                let one = self.has(command_flag::REQ_ONE);
                if !self.has(command_flag::PAYLOAD_LEN) {
                    self.in_range(size, Errno::Inval)?;
                }
                Ok(Operation::Status { offset, len, one })
            }
            Command::Disconnect | Command::Unknown => {
                Err(Failure::invalid("this server does not know that command"))
            }
        }
    }

    fn writable(&self, read_only: bool) -> Result<(), Failure> {
        if read_only {
            return Err(Failure::new(Errno::Perm, "the export is read-only"));
        }
        Ok(())
    }

    pub(crate) fn in_range(&self, size: u64, errno: Errno) -> Result<(), Failure> {
        if self.len == 0 {
            return Err(Failure::invalid("the length is zero"));
        }
        match self.offset.checked_add(self.len) {
            Some(end) if end <= size => Ok(()),
            _ => Err(Failure::new(errno, "the range lies beyond the end of the export")),
        }
    }

    fn payload_bytes(&self) -> Result<u32, Failure> {
        u32::try_from(self.len)
            .ok()
            .filter(|len| *len <= PAYLOAD_BYTES_MAX)
            .ok_or(Failure::invalid("more than 64 MiB in one request"))
    }
}

/// Longest payload of a block status request: a length and a context for each that can be
/// selected, with room to say that one was named twice.
const STATUS_PAYLOAD_BYTES_MAX: u64 = 8 + 4 * 2 * crate::limits::META_CONTEXTS_MAX as u64;

/// The payload of a block status request: the length asked for and the contexts of interest.
pub(crate) fn parse_status_payload(bytes: &[u8]) -> Option<(u64, Vec<u32>)> {
    let mut fields = Fields(bytes);
    let len = fields.u64()?;
    if fields.0.len() % 4 != 0 || bytes.len() as u64 > STATUS_PAYLOAD_BYTES_MAX {
        return None;
    }
    let mut contexts = Vec::new();
    while let Some(context) = fields.u32() {
        contexts.push(context);
    }
    Some((len, contexts))
}

const _: () = assert!(STATUS_DESCRIPTORS_MAX <= 1 << 20);
