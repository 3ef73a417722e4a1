//! Fingerprint lists of sealed segments, kept while they are of use.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_model::SegmentId;
use parking_lot::Mutex;

use super::prints::Prints;
use crate::segments::Segments;

/// Memory for lists, in bytes: 64 MiB are the lists of some 60 full segments,
/// 6 GiB of data, so that several related images are in it as a whole.
pub(crate) const LIST_BYTES_MAX: u64 = 64 << 20;
/// The most lists, however small: what is dropped is looked for among all.
const LISTS_MAX: usize = 1024;

/// A cache of lists; the one not used for the longest time goes first.
pub(crate) struct Lists {
    kept: Mutex<Kept>,
    bytes_max: u64,
    unreadable: AtomicU64,
}

#[derive(Default)]
struct Kept {
    by_segment: HashMap<SegmentId, Entry>,
    bytes: u64,
    /// Counts uses; the time of this cache.
    now: u64,
}

struct Entry {
    prints: Arc<Prints>,
    used: u64,
}

impl Lists {
    /// Empty, for so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { kept: Mutex::default(), bytes_max, unreadable: AtomicU64::new(0) }
    }

    /// The list of a segment, read when it is not here. One that cannot be read
    /// counts as empty until it is dropped: its data is then written again.
    pub(crate) fn get(&self, segments: &Segments, id: SegmentId) -> Arc<Prints> {
        if let Some(prints) = self.kept.lock().touch(id) {
            return prints;
        }
        let prints = match segments.fingerprints(id) {
            Ok(list) => Prints::from_list(list),
            Err(error) => {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    segment = %id,
                    %error,
                    "the fingerprints of a segment cannot be read: duplicates of its data are stored again"
                );
                Prints::default()
            }
        };
        let prints = Arc::new(prints);
        self.keep(id, Arc::clone(&prints));
        prints
    }

    /// Keeps the list of a segment that was just sealed.
    pub(crate) fn keep(&self, id: SegmentId, prints: Arc<Prints>) {
        let mut kept = self.kept.lock();
        kept.put(id, prints);
        while kept.by_segment.len() > 1
            && (kept.bytes > self.bytes_max || kept.by_segment.len() > LISTS_MAX)
        {
            kept.drop_oldest();
        }
    }

    /// Drops the lists of segments that are gone.
    pub(crate) fn forget(&self, ids: &HashSet<SegmentId>) {
        let mut kept = self.kept.lock();
        for id in ids {
            if let Some(old) = kept.by_segment.remove(id) {
                kept.bytes -= old.prints.bytes();
            }
        }
    }

    /// Lists that could not be read so far.
    pub(crate) fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept.lock().bytes
    }
}

impl Kept {
    fn touch(&mut self, id: SegmentId) -> Option<Arc<Prints>> {
        self.now += 1;
        let entry = self.by_segment.get_mut(&id)?;
        entry.used = self.now;
        Some(Arc::clone(&entry.prints))
    }

    fn put(&mut self, id: SegmentId, prints: Arc<Prints>) {
        self.now += 1;
        self.bytes += prints.bytes();
        if let Some(old) = self.by_segment.insert(id, Entry { prints, used: self.now }) {
            self.bytes -= old.prints.bytes();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.by_segment.iter().min_by_key(|(_, entry)| entry.used).map(|(&id, _)| id);
        if let Some(old) = oldest.and_then(|id| self.by_segment.remove(&id)) {
            self.bytes -= old.prints.bytes();
        }
    }
}

#[cfg(test)]
mod tests;
