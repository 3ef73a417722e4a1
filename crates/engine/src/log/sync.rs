//! Group commit: one sync of the log serves everybody who waits.
//!
//! Whoever finds no sync under way leads: drains the log, syncs what is dirty,
//! and wakes the others. Those who come meanwhile wait for the next round, since
//! the one under way may have begun before their writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use archipelago_model::Location;

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
    /// every later append.
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
        let result = self.sync_all();
        let mut commit = self.commit.lock();
        commit.running = false;
        let result = match result {
            Ok(durable) => {
                commit.durable = commit.durable.max(durable);
                Ok(())
            }
            Err(error) => {
                let reason = error.to_string();
                commit.failed = Some(reason.clone());
                Err(Error::LogFailed(reason))
            }
        };
        self.committed.notify_all();
        result
    }

    pub(super) fn check_alive(&self) -> Result<(), Error> {
        match &self.commit.lock().failed {
            None => Ok(()),
            Some(reason) => Err(Error::LogFailed(reason.clone())),
        }
    }

    fn sync_all(&self) -> Result<Location, Error> {
        let (durable, dirty, gaps) = {
            let _drained = self.gate.write();
            let tail = self.tail.lock();
            let mut dirty: Vec<(Arc<OpenSegment>, u32)> = Vec::new();
            let mut gaps = false;
            for filled in tail.full.iter().chain(&tail.current) {
                let segment = &filled.segment;
                gaps |= segment.gap.load(Ordering::Acquire);
                if segment.synced.load(Ordering::Acquire) < filled.file_end {
                    dirty.push((Arc::clone(segment), filled.file_end));
                }
            }
            (self.position(), dirty, gaps)
        };
        if gaps {
            self.seal_full()?;
        }
        for (segment, file_end) in dirty {
            segment.writer.sync()?;
            self.figures.syncs.fetch_add(1, Ordering::Relaxed);
            segment.synced.fetch_max(file_end, Ordering::AcqRel);
        }
        Ok(durable)
    }
}
