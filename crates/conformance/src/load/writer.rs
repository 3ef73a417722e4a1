//! Connections that write their part of a volume and note what was acknowledged.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result};

use super::ledger::Volume;
use super::{Counters, Ending, Ledger, VOLUME_BLOCKS, WRITERS, name};
use crate::nbd::{Client, Failure, Kind, Request};
use crate::stamp::{BLOCK_BYTES, Chance, Content, stamp};

/// A batch has at most this many requests in flight on a connection.
const BATCH_MAX: u64 = 16;

/// A request covers at most this many blocks.
const REQUEST_BLOCKS_MAX: u64 = 16;

/// One connection that writes its part of a volume.
pub(super) struct Writer<'a> {
    pub(super) chance: Chance,
    pub(super) volume: usize,
    pub(super) part: usize,
    pub(super) blocks: Volume,
    pub(super) ledger: &'a Ledger,
    pub(super) counters: &'a Counters,
    pub(super) ending: &'a Ending,
}

/// A request of a batch, with the bytes it writes.
struct Planned {
    kind: Kind,
    durable: bool,
    block: usize,
    content: Vec<Content>,
    data: Vec<u8>,
}

impl Planned {
    fn request(&self) -> Request<'_> {
        let offset = (self.block * BLOCK_BYTES) as u64;
        let len = (self.content.len() * BLOCK_BYTES) as u32;
        let request = match self.kind {
            Kind::Write => Request::write(offset, &self.data),
            kind => Request::plain(kind, offset, len),
        };
        if self.durable { request.durable() } else { request }
    }
}

impl Writer<'_> {
    /// Writes until told to stop, or until the connection breaks, which it may do only once the
    /// daemon is killed.
    pub(super) fn run(&mut self, server: &str) -> Result<()> {
        match self.write(server) {
            Err(Failure::Broken(_)) if self.ending.killed() => Ok(()),
            outcome => outcome.with_context(|| format!("writing to {}", name(self.volume))),
        }
    }

    fn write(&mut self, server: &str) -> Result<(), Failure> {
        let mut client = Client::connect(server, &name(self.volume))?;
        while !self.ending.writers.load(Ordering::SeqCst) {
            let batch = self.plan();
            let now = self.ledger.now();
            {
                let mut blocks = self.blocks.lock();
                for one in &batch {
                    for (at, content) in one.content.iter().enumerate() {
                        blocks.sent(one.block + at, *content, now);
                    }
                }
            }
            let requests: Vec<_> = batch.iter().map(Planned::request).collect();
            client.all(&requests)?;
            // Read after the acknowledgement: all that it promises is in the record by now.
            let now = self.ledger.now();
            {
                let mut blocks = self.blocks.lock();
                for one in &batch {
                    for at in 0..one.content.len() {
                        blocks.acknowledged(one.block + at, one.durable, now);
                    }
                }
            }
            self.counters.writes.fetch_add(batch.len() as u64, Ordering::Relaxed);
            if self.chance.once_in(4) {
                let marks = self.ledger.mark();
                client.flush()?;
                self.ledger.flushed(&marks);
                self.counters.flushes.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Requests that do not touch one another: what overlaps in flight has no order.
    fn plan(&mut self) -> Vec<Planned> {
        let size = VOLUME_BLOCKS / WRITERS;
        let mut used = vec![false; size];
        let mut batch = Vec::new();
        for _ in 0..=self.chance.below(BATCH_MAX) {
            let len = 1 + self.chance.below(REQUEST_BLOCKS_MAX) as usize;
            let first = self.chance.below((size - len + 1) as u64) as usize;
            let Some(range) = used.get_mut(first..first + len) else { continue };
            if range.contains(&true) {
                continue;
            }
            range.fill(true);
            batch.push(self.planned(self.part * size + first, len));
        }
        batch
    }

    fn planned(&mut self, block: usize, len: usize) -> Planned {
        let kind = match self.chance.below(12) {
            0 => Kind::Zero,
            1 => Kind::Trim,
            _ => Kind::Write,
        };
        let durable = self.chance.once_in(10);
        let (mut content, mut data) = (Vec::new(), Vec::new());
        for at in 0..len {
            if kind == Kind::Write {
                let version = self.ledger.fresh();
                content.push(Content::Version(version));
                data.extend(stamp(self.volume as u64 + 1, (block + at) as u64, version));
            } else {
                content.push(Content::Zeros);
            }
        }
        Planned { kind, durable, block, content, data }
    }
}
