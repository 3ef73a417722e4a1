//! How the bytes of a slot are stored: compressed when that gains something.

use archipelago_format::segment::Codec;
use zstd::bulk::Compressor;

/// zstd's level. 1: on 64 KiB chunks of system images it is about twice as fast
/// as 3 and gives up some 5 % of the ratio.
const ZSTD_LEVEL: i32 = 1;
/// Stored compressed only when at most this many percent are left. Below a gain
/// of 6 % every read pays for a decompression that saved next to nothing.
const LEFT_PERCENT_MAX: usize = 94;
/// After this many chunks in a row that did not compress, data is taken for
/// random, encrypted or compressed already, and chunks are only probed.
const DULL_STREAK: u32 = 8;
/// While data is taken for that, one chunk in so many is probed. 4: at most 192
/// KiB are stored raw before data that compresses again is noticed.
const PROBE_EVERY: u32 = 4;
/// Bytes of a chunk that a probe compresses: an eighth of the work at most.
const PROBE_BYTES: usize = 8192;

/// Which codec new chunks and map nodes get.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(dead_code, reason = "which one is the pool's policy; all are readable for ever")]
pub(crate) enum Compression {
    /// The best ratio; about 200 MB/s a core.
    #[default]
    Zstd,
    /// Faster, less dense.
    Lz4,
    /// For data known to be compressed, or for measuring.
    Off,
}

/// What to store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded<'a> {
    /// How `bytes` were made.
    pub(crate) codec: Codec,
    /// For the segment. [`Codec::Raw`]: what came in.
    pub(crate) bytes: &'a [u8],
}

/// Encodes chunks and nodes; keeps its buffers and its opinion of the data.
pub(crate) struct Encoder {
    compression: Compression,
    /// `None` when zstd has no memory for a context: then all is stored raw.
    zstd: Option<Compressor<'static>>,
    out: Vec<u8>,
    dull: u32,
}

impl Encoder {
    /// With this codec.
    pub(crate) fn new(compression: Compression) -> Self {
        let zstd = match compression {
            Compression::Zstd => Compressor::new(ZSTD_LEVEL).ok(),
            Compression::Lz4 | Compression::Off => None,
        };
        Self { compression, zstd, out: Vec::new(), dull: 0 }
    }

    /// Encodes a chunk of a resource. Chunks of random data soon cost nothing.
    pub(crate) fn chunk<'a>(&'a mut self, raw: &'a [u8]) -> Encoded<'a> {
        if self.dull >= DULL_STREAK && !self.worth_a_try(raw) {
            self.dull = self.dull.saturating_add(1);
            return Encoded { codec: Codec::Raw, bytes: raw };
        }
        match self.compress(raw) {
            Some((codec, len)) => {
                self.dull = 0;
                Encoded { codec, bytes: &self.out[..len] }
            }
            None => {
                self.dull = self.dull.saturating_add(1);
                Encoded { codec: Codec::Raw, bytes: raw }
            }
        }
    }

    /// Encodes a map node, whatever the data round it is like.
    pub(crate) fn node<'a>(&'a mut self, raw: &'a [u8]) -> Encoded<'a> {
        match self.compress(raw) {
            Some((codec, len)) => Encoded { codec, bytes: &self.out[..len] },
            None => Encoded { codec: Codec::Raw, bytes: raw },
        }
    }

    /// One chunk in [`PROBE_EVERY`] by a piece from its middle, the others never.
    fn worth_a_try(&mut self, raw: &[u8]) -> bool {
        if !self.dull.is_multiple_of(PROBE_EVERY) {
            return false;
        }
        let from = (raw.len() / 2).saturating_sub(PROBE_BYTES / 2);
        let piece = &raw[from..raw.len().min(from + PROBE_BYTES)];
        self.compress(piece).is_some()
    }

    /// Into `out`; `None` when it does not gain enough.
    fn compress(&mut self, raw: &[u8]) -> Option<(Codec, usize)> {
        let room = raw.len() * LEFT_PERCENT_MAX / 100;
        match self.compression {
            Compression::Off => None,
            Compression::Zstd => {
                // Room for no more than is accepted: zstd gives up when it is full.
                self.out.resize(room.max(self.out.len()), 0);
                let len =
                    self.zstd.as_mut()?.compress_to_buffer(raw, &mut self.out[..room]).ok()?;
                Some((Codec::Zstd, len))
            }
            Compression::Lz4 => {
                let most = lz4_flex::block::get_maximum_output_size(raw.len());
                self.out.resize(most.max(self.out.len()), 0);
                let len = lz4_flex::block::compress_into(raw, &mut self.out).ok()?;
                (len <= room).then_some((Codec::Lz4, len))
            }
        }
    }
}

#[cfg(test)]
mod tests;
