//! Group commit: one sync of the log serves everybody who waits.
//!
//! Whoever finds no sync under way leads: drains the log, syncs what is dirty,
//! and wakes the others. Those who come meanwhile wait for the next round, since
//! the one under way may have begun before their writes.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use archipelago_model::{Location, SECTOR_BYTES};
use archipelago_store::StoreError;

use super::{Log, OpenSegment};
use crate::error::Error;

/// How far the log is durable, and who is at it.
pub(super) struct Commit {
    durable: Location,
    running: bool,
    failed: Option<String>,
}

impl Commit {
    pub(super) const fn up_to(durable: Location) -> Self {
        Self { durable, running: false, failed: None }
    }
}

impl Log {
    /// Returns when everything appended before the call is durable.
    ///
    /// # Errors
    /// When a sync fails, what is durable is not known any more (the system may
    /// have dropped the pages): this and every later call fails, and so does
    /// every later append. [`Error::NoSpace`] when a segment that needs its footer
    /// to be durable has no room for it, [`Error::Store`] when what a failed write left
    /// cannot be swept; then later calls may succeed.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.figures.flushes.fetch_add(1, Ordering::Relaxed);
        let wanted = self.position();
        let mut commit = self.commit.lock();
        loop {
            if let Some(reason) = &commit.failed {
                return Err(Error::LogFailed(reason.clone()));
            }
            if commit.durable >= wanted {
                return Ok(());
            }
            if !commit.running {
                break;
            }
            self.committed.wait(&mut commit);
        }
        commit.running = true;
        drop(commit);
        let leading = Leading { log: self };
        let result = self.sync_all();
        if let Ok(durable) = &result {
            let mut commit = self.commit.lock();
            commit.durable = commit.durable.max(*durable);
        }
        drop(leading);
        result.map(|_| ())
    }

    /// A sync failed: what is durable is not known any more, for good.
    pub(super) fn fail(&self, error: StoreError) -> Error {
        let reason = error.to_string();
        self.commit.lock().failed.get_or_insert_with(|| reason.clone());
        self.committed.notify_all();
        Error::LogFailed(reason)
    }

    pub(super) fn check_alive(&self) -> Result<(), Error> {
        match &self.commit.lock().failed {
            None => Ok(()),
            Some(reason) => Err(Error::LogFailed(reason.clone())),
        }
    }

    fn sync_all(&self) -> Result<Location, Error> {
        if self.tail.lock().full.iter().any(|f| f.segment.gap.load(Ordering::Acquire)) {
            self.seal_full()?;
        }
        let (durable, dirty, gaps) = {
            let _drained = self.gate.write();
            let tail = self.tail.lock();
            let mut dirty: Vec<(Arc<OpenSegment>, u32)> = Vec::new();
            let mut gaps = false;
            for filled in tail.full.iter().chain(&tail.current) {
                let segment = &filled.segment;
                gaps |= segment.gap.load(Ordering::Acquire);
                let swept = self.sweep(segment, filled.file_end)?;
                if swept || segment.synced.load(Ordering::Acquire) < filled.file_end {
                    dirty.push((Arc::clone(segment), filled.file_end));
                }
            }
            (self.position(), dirty, gaps)
        };
        for (segment, file_end) in dirty {
            self.sync_segment(&segment, file_end)?;
        }
        if gaps {
            // One came about since: only its footer makes it durable.
            self.seal_full()?;
        }
        Ok(durable)
    }

    /// What a write that failed left behind the last batch must not come back once this sync
    /// has returned: readers have seen since that it was not done. Whether there may have
    /// been something. Nobody may be given a place meanwhile.
    fn sweep(&self, segment: &OpenSegment, file_end: u32) -> Result<bool, Error> {
        if !segment.litter.load(Ordering::Acquire) {
            return Ok(false);
        }
        let zeros = [0; SECTOR_BYTES as usize];
        let at = u64::from(file_end) * SECTOR_BYTES;
        segment.writer.write_at(at, &[IoSlice::new(&zeros)])?;
        segment.litter.store(false, Ordering::Release);
        Ok(true)
    }

    fn sync_segment(&self, segment: &OpenSegment, file_end: u32) -> Result<(), Error> {
        self.figures.syncs.fetch_add(1, Ordering::Relaxed);
        match segment.writer.sync() {
            Ok(()) => {
                segment.synced.fetch_max(file_end, Ordering::AcqRel);
                Ok(())
            }
            Err(error) => {
                // It may have been sealed, and so synced, meanwhile.
                let _until_sealed = self.sealing.lock();
                if segment.synced.load(Ordering::Acquire) >= file_end {
                    return Ok(());
                }
                Err(self.fail(error))
            }
        }
    }
}

/// Lets the next one lead, also when this one panics.
struct Leading<'a> {
    log: &'a Log,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut commit = self.log.commit.lock();
        commit.running = false;
        if std::thread::panicking() {
            commit.failed.get_or_insert_with(|| "a sync panicked".into());
        }
        self.log.committed.notify_all();
    }
}
