//! A store that asks again when its place does not answer.
//!
//! Only [`StoreError::Unavailable`] is worth asking again for; everything else is an answer.
//! The pauses double, with a random part so that many who were refused together do not come
//! back together.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use archipelago_env::Env;
use archipelago_model::{PoolId, SegmentId};

use crate::{SegmentWriter, Space, Store, StoreError};

/// How long and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Calls in all, the first included.
    pub tries_max: u32,
    /// The pause before the second try; each is twice the one before.
    pub first_pause: Duration,
    /// No pause is longer.
    pub pause_max: Duration,
    /// No try begins later than this after the first. What one try takes is for the
    /// backend to bound.
    pub total_max: Duration,
}

impl Default for Patience {
    /// A server that restarts is back within this. One that takes requests and answers none
    /// costs as much again as the backend waits for one.
    fn default() -> Self {
        Self {
            tries_max: 12,
            first_pause: Duration::from_millis(50),
            pause_max: Duration::from_secs(4),
            total_max: Duration::from_secs(20),
        }
    }
}

impl Patience {
    /// The first look at a place: as long as it does not answer it is asked again, and the log
    /// says what is waited for.
    pub(crate) fn open<T>(
        self,
        env: &Env,
        place: &str,
        mut look: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut told = false;
        let again = Again { env: env.clone(), patience: self };
        again.call(|| {
            look().inspect_err(|error| {
                if error.is_transient() && !std::mem::replace(&mut told, true) {
                    let (why, most) = (reason(error), self.total_max);
                    tracing::warn!(%why, ?most, "waiting for {place} to answer");
                }
            })
        })
    }
}

/// What an error says, with what it says of its cause.
fn reason(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A layer that asks again.
pub struct Retrying {
    inner: Arc<dyn Store>,
    again: Arc<Again>,
}

impl Retrying {
    /// A layer over `inner`.
    pub fn new(inner: Arc<dyn Store>, env: Env, patience: Patience) -> Self {
        Self { inner, again: Arc::new(Again { env, patience }) }
    }

    fn writer(&self, inner: Arc<dyn SegmentWriter>) -> Arc<dyn SegmentWriter> {
        Arc::new(RetryingWriter { inner, again: Arc::clone(&self.again) })
    }
}

struct Again {
    env: Env,
    patience: Patience,
}

impl Again {
    fn call<T>(&self, mut call: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let clock = self.env.clock();
        let begun = clock.monotonic();
        let mut pause = self.patience.first_pause;
        let mut tries = 1;
        loop {
            let error = match call() {
                Err(error) if error.is_transient() => error,
                answer => return answer,
            };
            let wait = self.part_of(pause);
            let late = clock.monotonic().saturating_sub(begun) + wait > self.patience.total_max;
            if late || tries >= self.patience.tries_max {
                return Err(error);
            }
            tracing::debug!(%error, tries, ?wait, "asking a pool again");
            clock.sleep(wait);
            pause = (pause * 2).min(self.patience.pause_max);
            tries += 1;
        }
    }

    /// Between half of a pause and all of it.
    fn part_of(&self, pause: Duration) -> Duration {
        let mut byte = [0];
        self.env.random().fill(&mut byte);
        pause / 2 + pause / 2 * u32::from(byte[0]) / 255
    }
}

impl Store for Retrying {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let created = self.again.call(|| self.inner.create(id, capacity))?;
        Ok(self.writer(created))
    }

    fn create_in(
        &self,
        pool: PoolId,
        id: SegmentId,
        capacity: u64,
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let created = self.again.call(|| self.inner.create_in(pool, id, capacity))?;
        Ok(self.writer(created))
    }

    fn copies(&self, id: SegmentId) -> Vec<Arc<dyn Store>> {
        self.inner.copies(id)
    }

    fn pool_of(&self, id: SegmentId) -> PoolId {
        self.inner.pool_of(id)
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let reopened = self.again.call(|| self.inner.reopen(id))?;
        Ok(self.writer(reopened))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.again.call(|| self.inner.read_at(id, offset, buf))
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.again.call(|| self.inner.len(id))
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        self.again.call(|| self.inner.remove(id))
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.again.call(|| self.inner.list_from(floor))
    }

    fn gains_from_zeros(&self) -> bool {
        self.inner.gains_from_zeros()
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.again.call(|| self.inner.space())
    }
}

struct RetryingWriter {
    inner: Arc<dyn SegmentWriter>,
    again: Arc<Again>,
}

impl SegmentWriter for RetryingWriter {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        self.again.call(|| self.inner.write_at(offset, parts))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.again.call(|| self.inner.sync())
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        self.again.call(|| self.inner.seal(len))
    }

    fn seal_first(&self, len: u64) -> Result<(), StoreError> {
        self.again.call(|| self.inner.seal_first(len))
    }
}

#[cfg(test)]
mod tests;
