//! Answers of the transmission phase.

use super::{Outbox, Style};
use crate::failure::Failure;
use crate::limits::STRING_BYTES_MAX;

const SIMPLE_MAGIC: u32 = 0x6744_6698;
const STRUCTURED_MAGIC: u32 = 0x668e_33ef;
const EXTENDED_MAGIC: u32 = 0x6e8a_278c;

/// The last chunk of an answer.
const FLAG_DONE: u16 = 1;

/// Types of chunks.
mod chunk {
    pub(super) const NONE: u16 = 0;
    pub(super) const OFFSET_DATA: u16 = 1;
    pub(super) const OFFSET_HOLE: u16 = 2;
    pub(super) const BLOCK_STATUS: u16 = 5;
    pub(super) const BLOCK_STATUS_EXT: u16 = 6;
    pub(super) const ERROR: u16 = (1 << 15) + 1;
}

/// What ties an answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) style: Style,
    pub(crate) cookie: u64,
    /// The request's offset, which extended answers repeat.
    pub(crate) offset: u64,
}

/// One run of equal status: its length in bytes and the context's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) len: u64,
    pub(crate) flags: u32,
}

impl Head {
    fn push_simple(&self, out: &mut Outbox, errno: u32) {
        out.put(&SIMPLE_MAGIC.to_be_bytes());
        out.put(&errno.to_be_bytes());
        out.put(&self.cookie.to_be_bytes());
    }

    fn push_chunk(&self, out: &mut Outbox, kind: u16, done: bool, len: usize) {
        let flags = if done { FLAG_DONE } else { 0 };
        let extended = self.style == Style::Extended;
        let magic = if extended { EXTENDED_MAGIC } else { STRUCTURED_MAGIC };
        out.put(&magic.to_be_bytes());
        out.put(&flags.to_be_bytes());
        out.put(&kind.to_be_bytes());
        out.put(&self.cookie.to_be_bytes());
        if extended {
            out.put(&self.offset.to_be_bytes());
            out.put(&(len as u64).to_be_bytes());
        } else {
            out.put(&(len as u32).to_be_bytes());
        }
    }

    /// Success, of a request that has no data in its answer.
    pub(crate) fn push_ok(&self, out: &mut Outbox) {
        match self.style {
            // Allowed after structured replies were negotiated too, and shorter.
            Style::Simple | Style::Structured => self.push_simple(out, 0),
            Style::Extended => self.push_chunk(out, chunk::NONE, true, 0),
        }
    }

    /// Failure, of any request.
    pub(crate) fn push_failure(&self, out: &mut Outbox, failure: &Failure) {
        if self.style == Style::Simple {
            return self.push_simple(out, failure.errno as u32);
        }
        let message = clipped(&failure.message);
        self.push_chunk(out, chunk::ERROR, true, 6 + message.len());
        out.put(&(failure.errno as u32).to_be_bytes());
        out.put(&(message.len() as u16).to_be_bytes());
        out.put(message.as_bytes());
    }

    /// What precedes `len` bytes of data from `offset` on. With simple replies this is the whole
    /// answer to the read, so there must be no more than one and it must be `done`.
    pub(crate) fn push_data_head(&self, out: &mut Outbox, offset: u64, len: usize, done: bool) {
        if self.style == Style::Simple {
            return self.push_simple(out, 0);
        }
        self.push_chunk(out, chunk::OFFSET_DATA, done, 8 + len);
        out.put(&offset.to_be_bytes());
    }

    /// Says that `len` bytes from `offset` on are zeros. Not with simple replies.
    pub(crate) fn push_hole(&self, out: &mut Outbox, offset: u64, len: u32, done: bool) {
        self.push_chunk(out, chunk::OFFSET_HOLE, done, 12);
        out.put(&offset.to_be_bytes());
        out.put(&len.to_be_bytes());
    }

    /// The status of consecutive ranges in one meta context. Not with simple replies.
    pub(crate) fn push_status(
        &self,
        out: &mut Outbox,
        context: u32,
        ranges: &[Descriptor],
        done: bool,
    ) {
        if self.style == Style::Extended {
            self.push_chunk(out, chunk::BLOCK_STATUS_EXT, done, 8 + 16 * ranges.len());
            out.put(&context.to_be_bytes());
            out.put(&(ranges.len() as u32).to_be_bytes());
            for range in ranges {
                out.put(&range.len.to_be_bytes());
                out.put(&u64::from(range.flags).to_be_bytes());
            }
        } else {
            self.push_chunk(out, chunk::BLOCK_STATUS, done, 4 + 8 * ranges.len());
            out.put(&context.to_be_bytes());
            for range in ranges {
                out.put(&(range.len as u32).to_be_bytes());
                out.put(&range.flags.to_be_bytes());
            }
        }
    }
}

/// As much of a message as the protocol takes.
pub(crate) fn clipped(message: &str) -> &str {
    &message[..message.floor_char_boundary(STRING_BYTES_MAX)]
}
