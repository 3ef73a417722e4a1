//! Giving full segments their footers.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use archipelago_format::segment::{Directory, FooterParts, encode_footer};
use archipelago_model::{Location, SECTOR_BYTES};
use archipelago_store::StoreError;

use super::{Filled, Log, Tail};
use crate::error::Error;

impl Log {
    /// Seals every segment that is full now. What cannot be sealed for want of room
    /// stays as it is: its batches are as durable as their last sync, and a scan
    /// finds them.
    pub(crate) fn seal_full(&self) -> Result<(), Error> {
        let _one_at_a_time = self.sealing.lock();
        let trying = self.try_begins();
        let result = self.seal_all_full();
        trying.ends(&result);
        result
    }

    /// As [`Self::seal_full`] by a thread that nobody waits for, but for an open log only: what
    /// owned a closed one may be another one's by now.
    pub(super) fn seal_full_unless_closed(&self) -> Result<(), Error> {
        let _one_at_a_time = self.sealing.lock();
        if self.tail.lock().closed {
            return Err(Error::Closed);
        }
        let trying = self.try_begins();
        let result = self.seal_all_full();
        trying.ends(&result);
        result
    }

    fn seal_all_full(&self) -> Result<(), Error> {
        // Whoever writes into a segment got its place before it was full, and holds
        // the gate: what is full while nobody does is written.
        let full = {
            let _all = self.gate.write();
            self.tail.lock().full.len()
        };
        for _ in 0..full {
            self.seal_front()?;
        }
        Ok(())
    }

    fn seal_front(&self) -> Result<(), Error> {
        let (segment, at, (footer, directory)) = {
            let tail = self.tail.lock();
            let Some(filled) = tail.full.front() else {
                return Ok(());
            };
            let at = u64::from(filled.file_end) * SECTOR_BYTES;
            (Arc::clone(&filled.segment), at, footer_of(filled, at))
        };
        let len = at + footer.len() as u64;
        // First the body: a footer that is found must vouch for what is before it,
        // also when the sync of the footer fails.
        // A pool that does not answer just now has lost nothing: the same is done again later.
        let failed = |error: StoreError| match error.is_transient() {
            true => error.into(),
            false => self.fail(error),
        };
        // After a seal that got no answer it may be cut: it takes no more writes, and needs none.
        if !segment.cut.load(Ordering::Acquire) {
            segment.writer.sync().map_err(failed)?;
            segment.writer.write_at(at, &[IoSlice::new(&footer)])?;
            // Where the footer is now, nothing is left of a write that failed.
            segment.litter.store(false, Ordering::Release);
            segment.synced.fetch_max((at / SECTOR_BYTES) as u32, Ordering::AcqRel);
            segment.cut.store(true, Ordering::Release);
        }
        // Keys that ended, a quota that is full: guests write on while somebody mends that.
        segment.writer.seal_first(len).map_err(|error| match error.leaves_seal_undone() {
            true => error.into(),
            false => self.fail(error),
        })?;
        segment.synced.store(u32::MAX, Ordering::Release);
        self.figures.bytes.fetch_add(footer.len() as u64, Ordering::Relaxed);
        self.segments.sealed(directory, len);
        self.tail.lock().full.pop_front();
        self.made_room();
        Ok(())
    }

    /// Syncs and seals what there is, and begins nothing new before a batch comes.
    pub(crate) fn rest(&self) -> Result<(), Error> {
        self.sync()?;
        self.end_current(&mut self.tail.lock());
        self.seal_full()
    }

    /// The current segment is full; one without a batch, and the spare, are removed. What
    /// comes later gets a segment that does not exist yet: so the floor can pass all that
    /// do, and damage of what no recovery needs keeps no store from opening.
    fn end_current(&self, tail: &mut Tail) {
        match tail.current.take() {
            // A segment without a batch has nothing to seal.
            Some(filled) if filled.position == 0 => {
                self.segments.closed(filled.segment.header.id);
                let _ = self.segments.store().remove(filled.segment.header.id);
            }
            other => tail.full.extend(other),
        }
        if let Some(spare) = tail.spare.take() {
            let _ = self.segments.store().remove(spare.header.id);
        }
        let next = Location::start_of(self.segments.next_id());
        self.next.fetch_max(next.raw(), Ordering::AcqRel);
    }

    /// Syncs, seals what there is and takes no more batches.
    pub(crate) fn close(&self) -> Result<(), Error> {
        let synced = self.sync();
        {
            let mut tail = self.tail.lock();
            tail.closed = true;
            self.end_current(&mut tail);
        }
        if synced.is_err() {
            // Whoever seals just now has ended when this returns.
            drop(self.sealing.lock());
        }
        synced?;
        self.seal_full()
    }
}

fn footer_of(filled: &Filled, body_bytes: u64) -> (Vec<u8>, Directory) {
    encode_footer(&FooterParts {
        header: filled.segment.header,
        body_bytes,
        slots: &filled.segment.slots.to_vec(),
        end: filled.position,
        records: &filled.records,
        fingerprints: &[],
        forwarding: &[],
    })
}
