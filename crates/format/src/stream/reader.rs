//! The receiving end of a transfer stream.

use std::io::{self, Read};

use super::{
    Course, DATA_BYTES_MAX, DIGEST_BYTES, HEADER_BYTES, Header, KIND_DATA, KIND_END, KIND_FAILED,
    KIND_ZERO, REASON_BYTES_MAX, RECORD_BYTES, Record, RecordHead, Rule, StreamError, crc32c,
};

/// Reads a stream, one record at a time; holds at most one payload.
///
/// Nothing that came is to be relied on before [`Record::End`] was returned.
pub struct Reader<R: Read> {
    input: R,
    digest: blake3::Hasher,
    header: Header,
    course: Course,
    /// Bytes consumed.
    at: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Records,
    Ended,
    Failed,
}

impl<R: Read> Reader<R> {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// The input fails, ends, or is no stream of this version.
    pub fn new(input: R) -> Result<Self, StreamError> {
        let mut reader = Self {
            input,
            digest: blake3::Hasher::new(),
            header: Header::default(),
            course: Course::new(0),
            at: 0,
            state: State::Records,
        };
        let mut raw = [0; HEADER_BYTES];
        reader.fill(&mut raw)?;
        reader.header = Header::decode(&raw)?;
        reader.course = Course::new(reader.header.size);
        reader.digest.update(&raw);
        Ok(reader)
    }

    /// What the stream is about.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next record. Once it was [`Record::End`], it stays that.
    ///
    /// At the end the input is read up to its own end, so that a transport
    /// which marks that can report a break.
    ///
    /// # Errors
    /// The input fails or ends, or the stream breaks a rule; every later call
    /// then is [`StreamError::Failed`].
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would let a caller take the end of a broken stream for the end"
    )]
    pub fn next(&mut self) -> Result<Record, StreamError> {
        match self.state {
            State::Ended => return Ok(Record::End),
            State::Failed => return Err(StreamError::Failed),
            State::Records => {}
        }
        let result = self.record();
        match &result {
            Ok(Record::End) => self.state = State::Ended,
            Ok(_) => {}
            Err(_) => self.state = State::Failed,
        }
        result
    }

    fn record(&mut self) -> Result<Record, StreamError> {
        let at = self.at;
        let mut raw = [0; RECORD_BYTES];
        self.fill(&mut raw)?;
        let head = RecordHead::decode(&raw, at)?;
        let malformed = |rule| StreamError::Malformed { at, rule };
        let (offset, len) = (head.offset, head.len);
        let allowed = match head.kind {
            KIND_DATA => (1..=DATA_BYTES_MAX as u64).contains(&len),
            KIND_ZERO => len > 0,
            KIND_END => len == DIGEST_BYTES as u64,
            KIND_FAILED => (1..=REASON_BYTES_MAX as u64).contains(&len),
            kind => return Err(malformed(Rule::Kind(kind))),
        };
        if !allowed {
            return Err(malformed(Rule::Length { kind: head.kind, len }));
        }
        if head.kind == KIND_END {
            self.end(&head, at)?;
            return Ok(Record::End);
        }
        if head.kind == KIND_FAILED {
            return Err(self.reason(&head)?);
        }
        self.course.pass(offset, len).map_err(malformed)?;
        self.digest.update(&raw);
        if head.kind == KIND_ZERO {
            if head.payload_crc != crc32c(&[]) {
                return Err(StreamError::Checksum { at, part: "payload" });
            }
            return Ok(Record::Zero { offset, len });
        }
        let bytes = self.payload(&head)?;
        self.digest.update(&bytes);
        Ok(Record::Data { offset, bytes })
    }

    /// Checks the end record and that nothing follows.
    fn end(&mut self, head: &RecordHead, at: u64) -> Result<(), StreamError> {
        if head.offset != self.header.size {
            let rule = Rule::Bounds { offset: head.offset, len: 0, size: self.header.size };
            return Err(StreamError::Malformed { at, rule });
        }
        let digest = self.payload(head)?;
        if digest != self.digest.finalize().as_bytes() {
            return Err(StreamError::Digest);
        }
        match self.read_some(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(StreamError::Trailing { at: self.at }),
            Err(error) => Err(error.into()),
        }
    }

    /// Why the sender could not go on. It goes to terminals: nothing in it controls one.
    fn reason(&mut self, head: &RecordHead) -> Result<StreamError, StreamError> {
        let payload = self.payload(head)?;
        let text = String::from_utf8_lossy(&payload);
        let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Ok(StreamError::Sender(shown))
    }

    /// Reads and verifies the payload of a record whose length was checked.
    fn payload(&mut self, head: &RecordHead) -> Result<Vec<u8>, StreamError> {
        let at = self.at;
        let mut bytes = Vec::with_capacity(head.len as usize);
        // Not `fill`: this spares zeroing a megabyte that is overwritten next.
        self.at += self.input.by_ref().take(head.len).read_to_end(&mut bytes)? as u64;
        if (bytes.len() as u64) < head.len {
            return Err(StreamError::Truncated { at: self.at });
        }
        if crc32c(&bytes) != head.payload_crc {
            return Err(StreamError::Checksum { at, part: "payload" });
        }
        Ok(bytes)
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), StreamError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.read_some(&mut out[filled..])? {
                0 => return Err(StreamError::Truncated { at: self.at }),
                count => {
                    filled += count;
                    self.at += count as u64;
                }
            }
        }
        Ok(())
    }

    fn read_some(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.input.read(out) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A reader that claims more than it was given would make us
                // count, and slice, beyond the buffer.
                Ok(count) => return Ok(count.min(out.len())),
                Err(error) => return Err(error),
            }
        }
    }
}
