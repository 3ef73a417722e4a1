//! What a collection does with each segment: a pure function from figures to a choice.

use archipelago_model::{SECTOR_BYTES, SegmentId};

use crate::segments::SegmentInfo;
use archipelago_format::segment::SegmentKind;

/// A cold segment is worth emptying when this many percent of it are named by nobody.
/// Those that are not have a fifth of dead bytes at most, a quarter more than what is
/// alive; with footers and maps that stays below the 1.4 that the design promises.
const COLD_DEAD_PERCENT: u64 = 20;
/// The same when space is wanted now: less would copy twenty bytes to free one.
const COLD_DEAD_PERCENT_URGENT: u64 = 5;
/// A segment of the log is worth emptying when so many percent are dead ...
const HOT_DEAD_PERCENT: u64 = 25;
/// ... or once so many segments came after it: 1 GiB of log by default. What a guest
/// overwrites soon is then not copied before, and what stays gets compressed.
const HOT_AGE: u64 = 32;
/// A cold segment below this part of the full length is small.
const SMALL_PARTS: u64 = 8;
/// Small ones are joined when there are so many.
const SMALL_COUNT: usize = 8;
/// A job moves so many raw bytes at most. Bounds what is lost when it fails, the memory
/// of its plan (some 16 MiB at 4 KiB a piece) and the free space that it needs.
const JOB_BYTES_MAX: u64 = 256 << 20;
/// A job empties so many segments at most.
const JOB_SEGMENTS_MAX: usize = 64;
/// The same beside guests who are busy, when there is no hurry: a job ends within a minute.
const JOB_BYTES_MAX_NORMAL: u64 = 64 << 20;

/// How much space is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// As a rule.
    Normal,
    /// Somebody asked for all that can be had, or the disk is nearly full.
    High,
}

/// A sealed segment that the collection may touch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// What the catalog has of it.
    pub info: SegmentInfo,
    /// Sectors of its raw space that are named.
    pub live_sectors: u64,
    /// Its table is needed: segments that it forwards are named.
    pub carries: bool,
    /// How many segments were begun since.
    pub age: u64,
}

impl Candidate {
    fn is_dead(&self) -> bool {
        self.live_sectors == 0 && !self.carries
    }

    fn live_bytes(&self) -> u64 {
        self.live_sectors * SECTOR_BYTES
    }

    /// What of its stored bytes is dead, in percent. Compressed bytes are counted as
    /// if all of a segment compressed alike.
    fn dead_percent(&self) -> u64 {
        let whole = match self.info.kind {
            SegmentKind::Hot => self.info.stored_bytes,
            SegmentKind::Cold | SegmentKind::Backup => self.info.raw_bytes,
        };
        let live = self.live_bytes().min(whole);
        ((whole - live) * 100).checked_div(whole).unwrap_or(0)
    }

    /// Free space gained, and how long it will last, by what it costs to read and
    /// write (Rosenblum and Ousterhout, "The Design and Implementation of a
    /// Log-Structured File System", section 3.5).
    fn worth(&self) -> u64 {
        let dead = self.dead_percent();
        dead * (self.age + 1) / (200 - dead)
    }
}

/// What to do.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Segments that nobody names.
    pub dead: Vec<SegmentId>,
    /// Segments to empty together, the most worthwhile first.
    pub jobs: Vec<Vec<SegmentId>>,
}

/// Chooses among `candidates`; a full cold segment has `segment_bytes`.
pub fn choose(candidates: &[Candidate], segment_bytes: u64, urgency: Urgency) -> Choice {
    let dead = candidates.iter().filter(|c| c.is_dead()).map(|c| c.info.id).collect();
    let small = |c: &&Candidate| {
        c.info.kind == SegmentKind::Cold && c.info.stored_bytes < segment_bytes / SMALL_PARTS
    };
    let smalls = candidates.iter().filter(|c| !c.is_dead()).filter(small).count();
    let join_smalls = smalls >= if urgency == Urgency::High { 2 } else { SMALL_COUNT };
    let mut chosen: Vec<&Candidate> = candidates
        .iter()
        .filter(|c| !c.is_dead())
        .filter(|c| is_worth_it(c, urgency) || (join_smalls && small(c)))
        .collect();
    chosen.sort_by_key(|c| (std::cmp::Reverse(c.worth()), c.info.id));
    let job_bytes = match urgency {
        Urgency::Normal => JOB_BYTES_MAX_NORMAL,
        Urgency::High => JOB_BYTES_MAX,
    };
    let mut jobs: Vec<Vec<SegmentId>> = Vec::new();
    let mut room = 0;
    for candidate in chosen {
        let bytes = candidate.live_bytes();
        match jobs.last_mut() {
            Some(job) if bytes <= room && job.len() < JOB_SEGMENTS_MAX => {
                job.push(candidate.info.id);
                room -= bytes;
            }
            _ => {
                jobs.push(vec![candidate.info.id]);
                room = job_bytes.saturating_sub(bytes);
            }
        }
    }
    Choice { dead, jobs }
}

fn is_worth_it(candidate: &Candidate, urgency: Urgency) -> bool {
    let dead = candidate.dead_percent();
    match (candidate.info.kind, urgency) {
        (SegmentKind::Backup, _) => false,
        (SegmentKind::Hot, Urgency::High) => true,
        (SegmentKind::Hot, Urgency::Normal) => dead >= HOT_DEAD_PERCENT || candidate.age >= HOT_AGE,
        (SegmentKind::Cold, Urgency::High) => dead >= COLD_DEAD_PERCENT_URGENT,
        (SegmentKind::Cold, Urgency::Normal) => dead >= COLD_DEAD_PERCENT,
    }
}

#[cfg(test)]
mod tests;
