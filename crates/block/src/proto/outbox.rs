//! Bytes on their way out.

/// A buffer that is appended to and sent. Its memory stays initialised between uses, so that
/// room for data costs no clearing.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    used: usize,
}

impl Outbox {
    /// Room for `capacity` bytes before it has to grow.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], used: 0 }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends `len` bytes for the caller to overwrite; until then they are anything.
    pub(crate) fn space(&mut self, len: usize) -> &mut [u8] {
        let start = self.used;
        self.used += len;
        if self.bytes.len() < self.used {
            let grown = self.used.max(2 * self.bytes.len());
            self.bytes.resize(grown, 0);
        }
        &mut self.bytes[start..self.used]
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back everything after the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.used = self.used.min(len);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}
