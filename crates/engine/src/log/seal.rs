//! Giving full segments their footers.

use std::io::IoSlice;

use archipelago_format::segment::{Directory, FooterParts, encode_footer};
use archipelago_model::SECTOR_BYTES;

use super::{Filled, Log};
use crate::error::Error;

impl Log {
    /// Seals every full segment. What cannot be sealed now stays as it is: its
    /// batches are as durable as their last sync, and a scan finds them.
    pub(crate) fn seal_full(&self) -> Result<(), Error> {
        let _one_at_a_time = self.sealing.lock();
        // Whoever writes into a full segment got its place before it was full.
        drop(self.gate.write());
        loop {
            let Some((header_end, encoded)) = self.next_footer() else {
                return Ok(());
            };
            let (bytes, directory) = encoded;
            self.finish(header_end, &bytes, directory)?;
        }
    }

    fn next_footer(&self) -> Option<(u64, (Vec<u8>, Directory))> {
        let tail = self.tail.lock();
        let filled = tail.full.front()?;
        let body_bytes = u64::from(filled.file_end) * SECTOR_BYTES;
        Some((body_bytes, footer_of(filled, body_bytes)))
    }

    fn finish(&self, at: u64, footer: &[u8], directory: Directory) -> Result<(), Error> {
        let writer = {
            let tail = self.tail.lock();
            let front = tail.full.front().ok_or(Error::Closed)?;
            std::sync::Arc::clone(&front.segment.writer)
        };
        let len = at + footer.len() as u64;
        // First the body: a footer that is found must vouch for what is before it,
        // also when the sync below fails.
        writer.sync()?;
        writer.write_at(at, &[IoSlice::new(footer)])?;
        writer.seal(len)?;
        self.figures.bytes.fetch_add(footer.len() as u64, std::sync::atomic::Ordering::Relaxed);
        self.segments.sealed(directory, len);
        self.tail.lock().full.pop_front();
        Ok(())
    }

    /// Syncs, seals what there is and takes no more batches.
    pub(crate) fn close(&self) -> Result<(), Error> {
        let synced = self.sync();
        {
            let mut tail = self.tail.lock();
            tail.closed = true;
            let current = tail.current.take();
            match current {
                // A segment without a batch has nothing to seal.
                Some(filled) if filled.position == 0 => {
                    let _ = self.segments.store().remove(filled.segment.header.id);
                }
                other => tail.full.extend(other),
            }
            if let Some(spare) = tail.spare.take() {
                let _ = self.segments.store().remove(spare.header.id);
            }
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
    })
}
