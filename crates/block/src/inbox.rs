//! What has arrived and was not taken yet.

use std::io;
use std::ops::Range;

use crate::limits::{INBOX_BYTES, SMALL_BYTES_MAX};
use crate::proto::request::Request;
use crate::proto::{Malformed, Style};
use crate::stream::Stream;

/// A buffer of fixed size in front of a stream. What [`Self::next`] hands out stays where it is
/// until [`Self::fill`].
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// What is at the front.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A whole request; its payload is at these bytes of the inbox.
    Request(Request, Range<usize>),
    /// The header of a request whose payload is too long for the inbox. It was taken out; the
    /// payload follows.
    Large(Request),
    /// Not enough.
    Incomplete,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; INBOX_BYTES], start: 0, end: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn next(&mut self, style: Style) -> Result<Next, Malformed> {
        let waiting = &self.bytes[self.start..self.end];
        let Some((request, header)) = Request::decode(style, waiting)? else {
            return Ok(Next::Incomplete);
        };
        let payload = request.payload_len(style);
        if payload > SMALL_BYTES_MAX as u64 {
            self.start += header;
            return Ok(Next::Large(request));
        }
        let whole = header + payload as usize;
        if waiting.len() < whole {
            return Ok(Next::Incomplete);
        }
        let payload = self.start + header..self.start + whole;
        self.start += whole;
        Ok(Next::Request(request, payload))
    }

    /// Receives more behind what is there; the number of bytes, zero at the end.
    pub(crate) fn fill(&mut self, stream: &Stream) -> io::Result<usize> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let count = stream.read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// Receives exactly `dest`, beginning with what is here.
    pub(crate) fn read_exact(&mut self, stream: &Stream, dest: &mut [u8]) -> io::Result<()> {
        let here = dest.len().min(self.end - self.start);
        let (head, rest) = dest.split_at_mut(here);
        head.copy_from_slice(&self.bytes[self.start..self.start + here]);
        self.start += here;
        stream.read_exact(rest)
    }

    /// Receives `len` bytes and drops them.
    pub(crate) fn skip(&mut self, stream: &Stream, mut len: u64) -> io::Result<()> {
        loop {
            let here = len.min((self.end - self.start) as u64);
            self.start += here as usize;
            len -= here;
            if len == 0 {
                return Ok(());
            }
            if self.fill(stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

// A small request with either header fits, so that an incomplete one always has room to grow.
const _: () = assert!(SMALL_BYTES_MAX + 32 <= INBOX_BYTES);
