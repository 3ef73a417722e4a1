//! From ranges of a map to the records of a transfer stream: whole blocks, each
//! once, read a piece at a time.

use std::io::{self, Read, Write};
use std::ops::Range;

use archipelago_engine::View;
use archipelago_format::stream::{DATA_BYTES_MAX, Header, Writer};
use archipelago_model::{BLOCK_BYTES, SECTOR_BYTES};

use crate::error::{Error, ErrorKind};

/// Writes the ranges of a map that it is told.
pub(crate) struct Outgoing<'a> {
    view: &'a View,
    writer: Writer<&'a mut dyn Write>,
    /// Exact, in bytes.
    size: u64,
    /// Told and not written yet, in bytes, in whole blocks: it may still grow.
    pending: Option<Stretch>,
    buffer: Vec<u8>,
    /// The output failed, perhaps amid a record.
    broken: bool,
}

#[derive(Clone, Copy)]
struct Stretch {
    start: u64,
    end: u64,
    zero: bool,
}

impl<'a> Outgoing<'a> {
    /// Begins a stream of what `view` shows.
    pub fn new(view: &'a View, header: &Header, out: &'a mut dyn Write) -> Result<Self, Error> {
        let writer = Writer::new(out, header).map_err(write_error)?;
        Ok(Self {
            view,
            writer,
            size: header.size,
            pending: None,
            buffer: Vec::new(),
            broken: false,
        })
    }

    /// Tells `len` bytes at `offset`, whole sectors, in ascending order. A block that
    /// only a part of is told goes as data, whatever the rest of it is.
    pub fn range(&mut self, offset: u64, len: u64, zero: bool) -> Result<(), Error> {
        let end = offset + len;
        let outer = offset / BLOCK_BYTES * BLOCK_BYTES..end.next_multiple_of(BLOCK_BYTES);
        if !zero {
            return self.push(outer.start, outer.end, false);
        }
        let inner = offset.next_multiple_of(BLOCK_BYTES)..end / BLOCK_BYTES * BLOCK_BYTES;
        if inner.is_empty() {
            return self.push(outer.start, outer.end, false);
        }
        self.push(outer.start, inner.start, false)?;
        self.push(inner.start, inner.end, true)?;
        self.push(inner.end, outer.end, false)
    }

    /// Ends the stream once everything was `told`; else says in it why there is no more.
    pub fn finish(mut self, told: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = told.and_then(|()| self.flush()) {
            if !self.broken {
                // Who cannot be told sees a stream that breaks off.
                let _ = self.writer.fail(error.message());
            }
            return Err(error);
        }
        let out = self.writer.finish().map_err(write_error)?;
        out.flush().map_err(write_error)
    }

    fn push(&mut self, start: u64, end: u64, zero: bool) -> Result<(), Error> {
        // The first block may have been told already, for another part of it.
        let start = self.pending.map_or(start, |pending| start.max(pending.end));
        if start >= end {
            return Ok(());
        }
        match &mut self.pending {
            Some(pending) if pending.end == start && pending.zero == zero => pending.end = end,
            _ => {
                self.flush()?;
                self.pending = Some(Stretch { start, end, zero });
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let Some(Stretch { start, end, zero }) = self.pending else {
            return Ok(());
        };
        let end = end.min(self.size);
        if zero {
            return self.writer.zero(start, end - start).map_err(|error| self.broke(error));
        }
        let mut at = start;
        while at < end {
            let len = (end - at).min(DATA_BYTES_MAX as u64);
            self.buffer.resize(len.next_multiple_of(SECTOR_BYTES) as usize, 0);
            self.view.read(at, &mut self.buffer)?;
            let written = self.writer.data(at, &self.buffer[..len as usize]);
            written.map_err(|error| self.broke(error))?;
            at += len;
        }
        Ok(())
    }

    fn broke(&mut self, error: io::Error) -> Error {
        self.broken = true;
        write_error(error)
    }
}

/// Opens a range of a content.
pub(crate) type OpenRange<'a> = dyn FnMut(&Range<u64>) -> Box<dyn Read + Send> + 'a;

/// Sends ranges of a content that no map shows, of whole blocks but at its end.
pub(crate) fn send_bytes(
    open: &mut OpenRange<'_>,
    ranges: &[Range<u64>],
    header: &Header,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut writer = Writer::new(out, header).map_err(write_error)?;
    let mut piece = Vec::new();
    for range in ranges {
        let (mut input, mut at) = (open(range), range.start);
        while at < range.end {
            let len = (range.end - at).min(DATA_BYTES_MAX as u64);
            piece.clear();
            let read = Read::take(&mut input, len).read_to_end(&mut piece);
            let read = read.and_then(|read| match read as u64 == len {
                true => Ok(()),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            });
            if let Err(error) = read {
                // Who cannot be told sees a stream that breaks off.
                let _ = writer.fail("the content cannot be read");
                let message = format!("the content cannot be read: {error}; see the log");
                return Err(Error::new(ErrorKind::Damaged, message).with_source(error));
            }
            writer.data(at, &piece).map_err(write_error)?;
            at += len;
        }
    }
    writer.finish().map_err(write_error)?.flush().map_err(write_error)
}

fn write_error(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot send: {error}; try again"))
        .with_source(error)
}
