//! A file: what is read, what is durable, and what lies between.

use std::io;

use super::Content;
use crate::Dice;

/// What space is given out in.
pub(super) const BLOCK: u64 = 4096;

/// What the disk writes as one: never torn.
const SECTOR: u64 = 512;

/// A change that is not durable yet.
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Grow { len: u64 },
    Cut { len: u64 },
}

#[derive(Default)]
pub(super) struct FileNode {
    /// What everybody reads.
    cached: Content,
    /// What is there after a crash, at the least.
    durable: Content,
    /// What may be there after a crash, in the order it was done.
    pending: Vec<Change>,
    /// The room that it takes, whatever a crash brings back.
    pub(super) charged: u64,
    /// Open handles of the present boot.
    pub(super) handles: u32,
}

impl FileNode {
    pub(super) fn len(&self) -> u64 {
        self.cached.len()
    }

    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        self.cached.read(offset, buf)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: Vec<u8>) {
        let end = offset + bytes.len() as u64;
        if end > self.cached.len() {
            // By itself, so that a crash may keep the length and lose the bytes.
            self.pending.push(Change::Grow { len: end });
        }
        self.cached.write(offset, &bytes);
        self.pending.push(Change::Write { offset, bytes });
    }

    pub(super) fn resize(&mut self, len: u64) {
        let change = match len.cmp(&self.cached.len()) {
            std::cmp::Ordering::Less => Change::Cut { len },
            std::cmp::Ordering::Equal => return,
            std::cmp::Ordering::Greater => Change::Grow { len },
        };
        self.cached.resize(len);
        self.pending.push(change);
    }

    pub(super) fn flip(&mut self, offset: u64, mask: u8) -> io::Result<()> {
        let cached = self.cached.flip(offset, mask);
        let durable = self.durable.flip(offset, mask);
        if cached || durable { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            apply(&mut self.durable, &change);
        }
    }

    /// Some sectors became durable, the others are forgotten, though still read.
    pub(super) fn fail_sync(&mut self, dice: &mut Dice) {
        for change in self.pending.drain(..) {
            apply_some(&mut self.durable, &change, dice);
        }
    }

    /// Charges for what there is and no more; returns what that gives back.
    pub(super) fn settle_charge(&mut self) -> u64 {
        let len = self.cached.len().max(self.durable.len());
        let charge = len.next_multiple_of(BLOCK);
        let given_back = self.charged.saturating_sub(charge);
        self.charged -= given_back;
        given_back
    }

    /// Decides what was kept; that is what is read from now on.
    pub(super) fn crash(&mut self, dice: &mut Dice) {
        let pending = std::mem::take(&mut self.pending);
        match dice.below(4) {
            0 => {}
            1 => {
                let kept = dice.below(pending.len() as u64 + 1) as usize;
                pending.iter().take(kept).for_each(|change| apply(&mut self.durable, change));
            }
            2 => pending.iter().for_each(|change| apply(&mut self.durable, change)),
            _ => pending.iter().for_each(|change| apply_some(&mut self.durable, change, dice)),
        }
        self.cached = self.durable.clone();
        self.handles = 0;
        self.charged = self.cached.len().next_multiple_of(BLOCK);
    }
}

fn apply(durable: &mut Content, change: &Change) {
    match change {
        Change::Write { offset, bytes } => durable.write(*offset, bytes),
        Change::Grow { len } => durable.resize(durable.len().max(*len)),
        Change::Cut { len } => durable.resize(durable.len().min(*len)),
    }
}

fn apply_some(durable: &mut Content, change: &Change, dice: &mut Dice) {
    let Change::Write { offset, bytes } = change else {
        if dice.coin() {
            apply(durable, change);
        }
        return;
    };
    let mut rest = &bytes[..];
    let mut at = *offset;
    while !rest.is_empty() {
        let to_border = SECTOR - at % SECTOR;
        let (sector, behind) = rest.split_at(rest.len().min(to_border as usize));
        if dice.coin() {
            durable.write(at, sector);
        }
        at += sector.len() as u64;
        rest = behind;
    }
}
