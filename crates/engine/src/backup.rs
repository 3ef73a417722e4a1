//! Dumps of the catalog in the pool, and what footers tell when the catalog is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use archipelago_env::Env;
use archipelago_format::batch::Kind;
use archipelago_format::forwarding::Forward;
use archipelago_format::segment::{HEADER_BYTES, SegmentHeader, SegmentKind};
use archipelago_model::{Epoch, Location, SECTOR_BYTES, SegmentId, VolumeId};
use archipelago_store::Store;

use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::ingest::ColdWriter;
use crate::log;
use crate::pins::Fresh;
use crate::segments::{SegmentIds, SegmentInfo, Segments};

/// Bytes of a dump that are compressed and verified together.
const CHUNK_BYTES: usize = 64 << 10;

/// A dump on stable storage, not yet recorded.
#[derive(Debug)]
pub struct Backup {
    /// The segment; empty for an empty dump.
    pub sealed: Vec<SegmentInfo>,
    /// Keeps the collector off until it is recorded.
    pub fresh: Fresh,
}

/// Cuts a dump into chunks as it comes, so that no more than one of them is in memory.
struct DumpSink<'a> {
    cold: ColdWriter<'a>,
    chunk: Vec<u8>,
    /// Why no more is taken; the one who writes learns only that it failed.
    failed: Option<Error>,
}

impl DumpSink<'_> {
    fn append(&mut self) -> Result<(), Error> {
        let sectors = self.chunk.len().next_multiple_of(SECTOR_BYTES as usize);
        self.chunk.resize(sectors, 0);
        self.cold.append_fragment(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl Write for DumpSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK_BYTES
            && let Err(error) = self.append()
        {
            let told = io::Error::other(error.to_string());
            self.failed = Some(error);
            return Err(told);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Engine {
    /// Stores a dump of the catalog as `dump` writes it: it is never in memory as a whole. Room
    /// for `expected` bytes is asked of the backend, and it may have more. It does not enter the
    /// dedup index. When `dump` fails, nothing is left.
    ///
    /// # Errors
    /// [`Error::NoSpace`], also for a dump above 1 GiB compressed or 4 GiB before that;
    /// [`Error::Store`]; those of `dump`.
    pub fn write_backup<E: From<Error>>(
        &self,
        expected: u64,
        dump: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<Backup, E> {
        let cold = ColdWriter::for_backup(&self.shared().ingest, expected);
        let mut sink = DumpSink { cold, chunk: Vec::with_capacity(CHUNK_BYTES), failed: None };
        let written = dump(&mut sink);
        if let Some(error) = sink.failed {
            return Err(error.into());
        }
        written?;
        if !sink.chunk.is_empty() {
            sink.append()?;
        }
        let (sealed, fresh) = sink.cold.finish(&[])?;
        Ok(Backup { sealed, fresh })
    }
}

/// What a footer tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Footer {
    /// As the catalog had it.
    pub info: SegmentInfo,
    /// Its forwarding table.
    pub forwards: Vec<Forward>,
}

/// The segments of a store whose catalog is lost: to be read, never written.
pub struct Salvage {
    segments: Arc<Segments>,
}

/// Gives no ids: nothing is written.
struct NoIds;

impl SegmentIds for NoIds {
    fn reserve(&self, _: u64) -> Result<Range<u64>, Box<dyn std::error::Error + Send + Sync>> {
        Err("nothing is written while a catalog is rebuilt".into())
    }
}

impl Salvage {
    /// Of the store `store_uuid`.
    pub fn new(store: Arc<dyn Store>, env: Env, store_uuid: [u8; 16]) -> Self {
        let config = Config::default();
        Self { segments: Arc::new(Segments::new(store, env, store_uuid, Arc::new(NoIds), &config)) }
    }

    /// All segments there are, ascending.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn ids(&self) -> Result<Vec<SegmentId>, Error> {
        Ok(self.segments.store().list_from(SegmentId::MIN)?)
    }

    /// What the footer of a segment tells.
    ///
    /// # Errors
    /// [`Error::Damaged`] also for a segment that was never sealed; [`Error::Store`].
    pub fn footer(&self, id: SegmentId) -> Result<Footer, Error> {
        let directory = self.segments.directory(id)?;
        let info = SegmentInfo {
            id,
            pool: self.segments.store().pool_of(id),
            kind: directory.header.kind,
            // The file may be longer: a crash may undo that its seal cut it.
            stored_bytes: directory.file_bytes(),
            raw_bytes: u64::from(directory.end) * SECTOR_BYTES,
        };
        Ok(Footer { info, forwards: self.segments.forwards(id)? })
    }

    /// What a segment is by its header, and its bytes: for one without a whole footer.
    ///
    /// # Errors
    /// As [`Self::footer`].
    pub fn header(&self, id: SegmentId) -> Result<SegmentInfo, Error> {
        let mut bytes = [0; HEADER_BYTES];
        let store = self.segments.store();
        let got = store.read_at(id, 0, &mut bytes)?;
        let header =
            SegmentHeader::decode(&bytes[..got]).map_err(|e| Error::damaged_segment(id, &e))?;
        let stored_bytes = store.len(id)?;
        // Another part of the footer may be damaged.
        let raw_bytes =
            self.segments.directory(id).map_or(0, |found| u64::from(found.end) * SECTOR_BYTES);
        Ok(SegmentInfo { id, pool: store.pool_of(id), kind: header.kind, stored_bytes, raw_bytes })
    }

    /// Whether a segment without a whole footer is what a crash left of the log's end, with
    /// nothing in it that could be read.
    ///
    /// # Errors
    /// As [`Self::footer`].
    pub fn is_torn(&self, id: SegmentId) -> Result<bool, Error> {
        log::is_torn(&self.segments, id)
    }

    /// The highest term of each volume that has records in a segment of the log.
    ///
    /// # Errors
    /// As [`Self::footer`].
    pub fn epochs(&self, id: SegmentId) -> Result<BTreeMap<VolumeId, Epoch>, Error> {
        let mut epochs: BTreeMap<VolumeId, Epoch> = BTreeMap::new();
        if self.segments.directory(id)?.header.kind != SegmentKind::Hot {
            return Ok(epochs);
        }
        for (_, record) in log::records(&self.segments, id)? {
            if matches!(record.kind, Kind::Node(_)) {
                continue;
            }
            let highest = epochs.entry(record.volume).or_insert(record.epoch);
            *highest = record.epoch.max(*highest);
        }
        Ok(epochs)
    }

    /// The volumes that have records in a segment of the log without a whole footer.
    ///
    /// # Errors
    /// As [`Self::footer`].
    pub fn unsealed_volumes(&self, id: SegmentId) -> Result<BTreeSet<VolumeId>, Error> {
        let records = log::unsealed_records(&self.segments, id)?;
        let data = records.iter().filter(|(_, record)| !matches!(record.kind, Kind::Node(_)));
        Ok(data.map(|(_, record)| record.volume).collect())
    }

    /// The bytes of a dump, as they are asked for; zeros may follow it.
    ///
    /// # Errors
    /// As [`Self::footer`].
    pub fn backup(&self, id: SegmentId) -> Result<BackupBytes, Error> {
        let end = self.segments.directory(id)?.end;
        Ok(BackupBytes { segments: Arc::clone(&self.segments), id, at: 0, end, left: Vec::new() })
    }
}

/// Reads a dump.
pub struct BackupBytes {
    segments: Arc<Segments>,
    id: SegmentId,
    /// The next position.
    at: u32,
    end: u32,
    /// What was read and not given yet, in reverse.
    left: Vec<u8>,
}

impl Read for BackupBytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() && self.at < self.end {
            let sectors = (self.end - self.at).min((CHUNK_BYTES as u64 / SECTOR_BYTES) as u32);
            let mut bytes = vec![0; sectors as usize * SECTOR_BYTES as usize];
            let at = Location::new(self.id, self.at).ok_or(io::ErrorKind::InvalidData)?;
            self.segments.read_placed(at, &mut bytes).map_err(io::Error::other)?;
            bytes.reverse();
            self.left = bytes;
            self.at += sectors;
        }
        let n = out.len().min(self.left.len());
        let kept = self.left.len() - n;
        for (to, from) in out.iter_mut().zip(self.left.drain(kept..).rev()) {
            *to = from;
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
