//! Bytes of objects, in and out.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use archipelago_engine::{IngestError, Ingested, Piece, View};
use archipelago_model::{BLOCK_BYTES, Location, PoolId, SECTOR_BYTES, VOLUME_BYTES_MAX};
use md5::{Digest, Md5};

use super::super::transfer::ingest_error;
use super::pack::SMALL_BYTES_MAX;
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::object::Object;
use crate::seal::{Opener, Unsealing};

/// Bytes that are read and stored together, in whole blocks.
const PIECE_BYTES: usize = 1 << 20;

/// What was stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Exact, in bytes.
    pub size: u64,
    /// MD5, in hexadecimal; of parts, what S3 makes of theirs.
    pub etag: String,
}

impl Core {
    /// Stores what `input` gives in a pool; what is small goes to the first one, with that of
    /// others, and follows later. `size`: its size, if it is known.
    pub(super) fn store(
        &self,
        pool: PoolId,
        size: Option<u64>,
        input: &mut dyn Read,
    ) -> Result<(Ingested, Stored), Error> {
        if let Some(size @ 1..=SMALL_BYTES_MAX) = size {
            return self.store_small(size, input);
        }
        let mut md5 = Md5::new();
        let (ingested, size) =
            self.store_behind(pool, 0, size, input, &mut |bytes| md5.update(bytes))?;
        Ok((ingested, Stored { size, etag: hex::encode(md5.finalize()) }))
    }

    /// Stores what `input` gives behind `phase` zeros, less than a block, in a map of its own,
    /// and tells how long it was. `seen` sees all of it.
    pub(super) fn store_behind(
        &self,
        pool: PoolId,
        phase: u64,
        size: Option<u64>,
        input: &mut dyn Read,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Result<(Ingested, u64), Error> {
        if size.is_some_and(|size| size > VOLUME_BYTES_MAX) {
            return Err(Error::invalid(format!(
                "an object has {VOLUME_BYTES_MAX} bytes at most; put it in several"
            )));
        }
        let end = size.map_or(VOLUME_BYTES_MAX, |size| phase + size);
        let (mut at, mut ended) = (0_u64, false);
        let mut before = phase as usize;
        let ingested = self.engine.ingest_in(pool, Location::HOLE, end, &mut || {
            if ended {
                return Ok(None);
            }
            let mut bytes = Vec::with_capacity(PIECE_BYTES);
            bytes.resize(before, 0);
            let limit = (PIECE_BYTES - before) as u64;
            Read::take(&mut *input, limit).read_to_end(&mut bytes).map_err(broken)?;
            ended = bytes.len() < PIECE_BYTES;
            let said = bytes.get(before..).unwrap_or_default();
            seen(said);
            let empty = said.is_empty();
            before = 0;
            let offset = at;
            at += bytes.len() as u64;
            if at > end {
                // More than was announced: it is refused below.
                ended = true;
                bytes.truncate(bytes.len().saturating_sub((at - end) as usize));
            }
            if empty || bytes.is_empty() {
                return Ok(None);
            }
            // Where it ends earlier, which nobody announced, the last block is filled up.
            if at < end {
                bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES as usize), 0);
            }
            Ok(Some(Piece::Data { offset, bytes }))
        });
        let ingested = ingested.map_err(ingest_error)?;
        let came = at - phase;
        match size {
            Some(size) if size != came => Err(Error::invalid(format!(
                "{came} bytes came where {size} were announced; nothing was kept, send it again"
            ))),
            _ => Ok((ingested, came)),
        }
    }
}

/// The input failed.
pub(super) fn broken(error: io::Error) -> IngestError {
    IngestError::Source(Box::new(error))
}

/// An open version of an object.
pub struct Content {
    object: Box<Object>,
    view: Arc<View>,
    opener: Option<Opener>,
}

impl Content {
    pub(super) fn new(object: Object, view: Arc<View>, opener: Option<Opener>) -> Self {
        Self { object: Box::new(object), view, opener }
    }

    /// What it is.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Reads `len` bytes from `offset` on, as far as there are so many.
    pub fn range(&self, offset: u64, len: u64) -> impl Read + Send + 'static + use<> {
        let stretch = Stretch::new(Arc::clone(&self.view), offset, len);
        Unsealing::new(stretch, offset, self.opener.clone())
    }
}

/// Reads a stretch of a map, of any bytes.
pub(in crate::service) struct Stretch {
    view: Arc<View>,
    at: u64,
    end: u64,
    /// Whole sectors around `at`.
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl Stretch {
    pub(in crate::service) fn new(view: Arc<View>, offset: u64, len: u64) -> Self {
        let end = offset.saturating_add(len).min(view.size_bytes());
        Self { view, at: offset.min(end), end, buffer: Vec::new(), buffer_at: 0 }
    }

    fn fill(&mut self) -> Result<(), Error> {
        let start = self.at / SECTOR_BYTES * SECTOR_BYTES;
        // So that the next one begins with a whole piece.
        let piece = PIECE_BYTES as u64;
        let end = ((start / piece + 1) * piece).min(self.end.next_multiple_of(SECTOR_BYTES));
        self.buffer.resize((end - start) as usize, 0);
        self.buffer_at = start;
        if let Err(error) = self.view.read(start, &mut self.buffer) {
            self.buffer.clear();
            return Err(error.into());
        }
        Ok(())
    }
}

impl Read for Stretch {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.end || out.is_empty() {
            return Ok(0);
        }
        if !(self.buffer_at..self.buffer_at + self.buffer.len() as u64).contains(&self.at) {
            self.fill().map_err(|error| {
                let kind = match error.kind() {
                    ErrorKind::Damaged => io::ErrorKind::InvalidData,
                    _ => io::ErrorKind::Other,
                };
                io::Error::new(kind, error)
            })?;
        }
        let from = (self.at - self.buffer_at) as usize;
        let left = (self.end - self.at).min((self.buffer.len() - from) as u64) as usize;
        let len = left.min(out.len());
        out[..len].copy_from_slice(&self.buffer[from..from + len]);
        self.at += len as u64;
        Ok(len)
    }
}

/// Reads stretches one behind the other.
pub(super) struct Row(pub VecDeque<Stretch>);

impl Read for Row {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(first) = self.0.front_mut() {
            let read = first.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            self.0.pop_front();
        }
        Ok(0)
    }
}

/// In hexadecimal.
pub(super) fn md5_of(input: &mut dyn Read) -> Result<String, Error> {
    let (mut md5, mut piece) = (Md5::new(), vec![0; PIECE_BYTES]);
    loop {
        match input.read(&mut piece) {
            Ok(0) => return Ok(hex::encode(md5.finalize())),
            Ok(read) => md5.update(&piece[..read]),
            Err(error) => {
                let message = format!("the source cannot be read: {error}");
                return Err(Error::new(ErrorKind::Damaged, message).with_source(error));
            }
        }
    }
}
