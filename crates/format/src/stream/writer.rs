//! The sending end of a transfer stream.

use std::io::{self, Write};

use super::{
    Course, DATA_BYTES_MAX, DIGEST_BYTES, Header, KIND_DATA, KIND_END, KIND_FAILED, KIND_ZERO,
    REASON_BYTES_MAX, RecordHead, crc32c,
};

/// Writes a stream: the header at once, then ranges in ascending order, then
/// the end.
///
/// A stream without its end is refused by every reader, so dropping a writer
/// unfinished is a safe way to give up. Records are written as they are given,
/// two writes each: wrap a socket in a `BufWriter`.
pub struct Writer<W: Write> {
    out: W,
    digest: blake3::Hasher,
    course: Course,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer =
            Self { out, digest: blake3::Hasher::new(), course: Course::new(header.size) };
        writer.put(&header.encode())?;
        Ok(writer)
    }

    /// Sends `bytes` at `offset`, as many records as they need.
    ///
    /// # Errors
    /// `InvalidInput` when the range breaks a rule of the format: it must
    /// follow those before it, lie within the size, and be of whole 4 KiB
    /// blocks save at the very end. Else what the output returns.
    pub fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.pass(offset, bytes.len() as u64)?;
        let mut offset = offset;
        for payload in bytes.chunks(DATA_BYTES_MAX) {
            let len = payload.len() as u64;
            let head = RecordHead { kind: KIND_DATA, offset, len, payload_crc: crc32c(payload) };
            self.put(&head.encode())?;
            self.put(payload)?;
            offset += len;
        }
        Ok(())
    }

    /// Says that `len` bytes at `offset` read as zeros.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub fn zero(&mut self, offset: u64, len: u64) -> io::Result<()> {
        self.pass(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        let head = RecordHead { kind: KIND_ZERO, offset, len, payload_crc: crc32c(&[]) };
        self.put(&head.encode())
    }

    /// Writes the end record, flushes, and gives the output back.
    ///
    /// # Errors
    /// What the output returns.
    pub fn finish(mut self) -> io::Result<W> {
        let digest = self.digest.finalize();
        let head = RecordHead {
            kind: KIND_END,
            offset: self.course.size,
            len: DIGEST_BYTES as u64,
            payload_crc: crc32c(digest.as_bytes()),
        };
        self.out.write_all(&head.encode())?;
        self.out.write_all(digest.as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Says why there is no more, in the place of the end; the output is not flushed.
    /// Not to be called when the output failed, of which nobody knows what it took.
    ///
    /// # Errors
    /// What the output returns.
    pub fn fail(mut self, reason: &str) -> io::Result<()> {
        let reason = if reason.is_empty() { "the sender failed" } else { reason };
        let payload = &reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        let len = payload.len() as u64;
        let head = RecordHead { kind: KIND_FAILED, offset: 0, len, payload_crc: crc32c(payload) };
        self.put(&head.encode())?;
        self.put(payload)
    }

    fn pass(&mut self, offset: u64, len: u64) -> io::Result<()> {
        let refused = |rule| io::Error::new(io::ErrorKind::InvalidInput, rule);
        self.course.pass(offset, len).map_err(refused)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }
}
