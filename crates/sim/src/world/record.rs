//! What a run did: for people, for counting, and for comparing two runs.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Operations that a failure shows.
const TAIL_MAX: usize = 40;

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which, and how it showed.
    pub what: String,
}

impl Violation {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// How often everything happened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// By kind: how often it was tried, and how often it succeeded.
    pub operations: BTreeMap<&'static str, (u64, u64)>,
}

impl Tally {
    /// Adds what another run did.
    pub fn add(&mut self, other: &Self) {
        for (kind, (tried, done)) in &other.operations {
            let entry = self.operations.entry(kind).or_default();
            entry.0 += tried;
            entry.1 += done;
        }
    }

    /// Everything that was tried.
    pub fn total(&self) -> u64 {
        self.operations.values().map(|(tried, _)| tried).sum()
    }
}

/// Follows a run.
#[derive(Default)]
pub(super) struct Record {
    pub tally: Tally,
    pub digest: u64,
    /// For people.
    pub summary: String,
    tail: VecDeque<String>,
}

impl Record {
    /// Notes an operation and what came of it.
    pub fn note(&mut self, kind: &'static str, subject: &str, outcome: Result<(), &str>) {
        let entry = self.tally.operations.entry(kind).or_default();
        entry.0 += 1;
        entry.1 += u64::from(outcome.is_ok());
        self.mix(kind.as_bytes());
        self.mix(subject.as_bytes());
        let said = outcome.err().unwrap_or_default();
        self.mix(said.as_bytes());
        if self.tail.len() == TAIL_MAX {
            self.tail.pop_front();
        }
        let colon = if said.is_empty() { "" } else { ": " };
        self.tail.push_back(format!("{kind} {subject}{colon}{said}"));
    }

    /// Counts what an operation did.
    pub fn count(&mut self, kind: &'static str, times: u64) {
        let entry = self.tally.operations.entry(kind).or_default();
        entry.0 += times;
        entry.1 += times;
    }

    /// Takes bytes into the digest (FNV-1a, eight at a time).
    pub fn mix(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.mix_number(u64::from_le_bytes(word));
        }
    }

    /// Takes a number into the digest.
    pub fn mix_number(&mut self, number: u64) {
        self.digest = (self.digest ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }

    /// The last operations, oldest first.
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}
