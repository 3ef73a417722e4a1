//! One request for all who want the same page at once.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::StoreError;

/// What became of a request.
#[derive(Clone)]
pub(super) enum Landed {
    /// Bytes of the segment as the pool gave them, and where the page begins in them.
    Bytes(Arc<Vec<u8>>, usize),
    /// It failed, for everybody: else each who waits would in turn wait as long as the one before
    /// had patience.
    Failed(Arc<StoreError>),
    /// Nothing came of it: whoever waits asks the pool.
    Nothing,
}

/// A page on its way.
#[derive(Default)]
pub(super) struct Flight {
    landed: Mutex<Option<Landed>>,
    told: Condvar,
}

impl Flight {
    pub fn wait(&self) -> Landed {
        let mut landed = self.landed.lock();
        loop {
            match &*landed {
                Some(outcome) => return outcome.clone(),
                None => self.told.wait(&mut landed),
            }
        }
    }

    /// The first outcome counts.
    pub fn land(&self, outcome: Landed) {
        self.landed.lock().get_or_insert(outcome);
        self.told.notify_all();
    }
}
