//! What is in use without a name in the catalog: roots of open views, segments of
//! ingests that are not bound yet, checkpoints under way.
//!
//! The collector frees what neither the catalog names nor anything here holds. A
//! crash forgets all of it, and with it whoever held it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use archipelago_model::{Location, SegmentId};
use parking_lot::Mutex;

/// What is held now.
#[derive(Default)]
pub(crate) struct Pins {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    roots: HashMap<Location, u32>,
    /// Segments that ingests wrote or share, by how many hold them.
    fresh: HashMap<SegmentId, u32>,
    /// A mark reads the catalog: what is let go meanwhile may have got a name that the
    /// mark did not see, so it counts as held by that mark.
    marking: bool,
    let_go: HashSet<Location>,
    /// By the number of the checkpoint: the log segment that it began at.
    under_way: BTreeMap<u64, SegmentId>,
    next: u64,
}

impl Pins {
    /// Holds a root, and all that it reaches, for as long as the pin lives.
    pub(crate) fn root(self: &Arc<Self>, root: Location) -> Pin {
        if !root.is_hole() {
            *self.state.lock().roots.entry(root).or_default() += 1;
        }
        Pin { pins: Arc::clone(self), root }
    }

    /// Holds the log from `position` on, asked for under the same lock as
    /// [`Self::horizon`], so that one of the two knows of the other.
    pub(crate) fn under_way(
        self: &Arc<Self>,
        position: impl FnOnce() -> Option<SegmentId>,
    ) -> UnderWay {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        if let Some(first) = position() {
            state.under_way.insert(number, first);
        }
        UnderWay { pins: Arc::clone(self), number }
    }

    /// Holds what an ingest writes and shares until it is bound or given up.
    pub(crate) fn fresh(self: &Arc<Self>) -> Fresh {
        Fresh { pins: Arc::clone(self), segments: Vec::new() }
    }

    /// The roots held now or at any moment since [`Self::begin_mark`].
    pub(crate) fn roots(&self) -> Vec<Location> {
        let mut state = self.state.lock();
        state.marking = false;
        let mut roots = std::mem::take(&mut state.let_go);
        roots.extend(state.roots.keys());
        roots.into_iter().collect()
    }

    /// Whether an ingest holds a segment.
    pub(crate) fn holds(&self, id: SegmentId) -> bool {
        self.state.lock().fresh.contains_key(&id)
    }

    /// From now on, until [`Self::roots`] is asked for, what is let go counts as held.
    pub(crate) fn begin_mark(&self) {
        self.state.lock().marking = true;
    }

    /// The first segment that what is under way may still name, at most that of
    /// `position`; and the segments of ingests that are not bound.
    pub(crate) fn horizon(
        &self,
        position: impl FnOnce() -> Option<SegmentId>,
    ) -> (SegmentId, HashSet<SegmentId>) {
        let state = self.state.lock();
        let first = state.under_way.values().copied().chain(position()).min();
        (first.unwrap_or(SegmentId::MIN), state.fresh.keys().copied().collect())
    }
}

/// A root that is held.
pub struct Pin {
    pins: Arc<Pins>,
    root: Location,
}

impl Pin {
    /// Which.
    pub const fn root(&self) -> Location {
        self.root
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.pins.state.lock();
        let state = &mut *state;
        if let Some(count) = state.roots.get_mut(&self.root) {
            *count -= 1;
            if *count == 0 {
                state.roots.remove(&self.root);
                if state.marking {
                    state.let_go.insert(self.root);
                }
            }
        }
    }
}

/// A checkpoint under way.
pub(crate) struct UnderWay {
    pins: Arc<Pins>,
    number: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.pins.state.lock().under_way.remove(&self.number);
    }
}

/// Segments that an ingest wrote, and others that it shares, which nobody names yet on
/// its behalf. Kept until the transaction that names them is over.
pub struct Fresh {
    pins: Arc<Pins>,
    segments: Vec<SegmentId>,
}

impl Fresh {
    pub(crate) fn add(&mut self, id: SegmentId) {
        *self.pins.state.lock().fresh.entry(id).or_default() += 1;
        self.segments.push(id);
    }

    /// Takes over what another holds.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.segments.append(&mut other.segments);
    }
}

impl Clone for Fresh {
    fn clone(&self) -> Self {
        let mut state = self.pins.state.lock();
        for id in &self.segments {
            *state.fresh.entry(*id).or_default() += 1;
        }
        Self { pins: Arc::clone(&self.pins), segments: self.segments.clone() }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let mut state = self.pins.state.lock();
        for id in &self.segments {
            if let Some(count) = state.fresh.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    state.fresh.remove(id);
                }
            }
        }
    }
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fresh").field(&self.segments).finish()
    }
}

#[cfg(test)]
mod tests;
