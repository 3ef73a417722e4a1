//! From the store to a local file: several ranges at once, of a file that is there already only
//! what differs.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_api::{self as api, HASHED_BLOCK_BYTES, path};
use archipelago_env::Env;

use super::compare::Pair;
use super::hashes::{self, ShortHash};
use super::local::Local;
use super::part::{Aim, Part};
use super::proof::Proof;
use super::remote::Remote;
use super::{BYTES_MIN, crew};
use crate::args::file::FilePath;
use crate::client::Client;
use crate::failure::{Failure, Kind, Result};
use crate::output::Output;
use crate::progress::Progress;

/// Blocks of a job, at least, and at most where they are put together in memory: 16 MiB. A request
/// is nothing beside so many bytes.
const JOB_BLOCKS: u64 = 4;

/// Jobs of a file that is fetched whole: enough for all workers to end at about the same time. A
/// job may be long, since what came is noted on the way: of a thin terabyte holes come as such.
const JOBS: u64 = 64;

/// What a fetch did.
#[derive(Clone, Copy, Debug)]
pub struct Fetched {
    /// Of the file, in bytes.
    pub size: u64,
    /// Bytes of it that travelled, holes aside.
    pub fetched: u64,
}

/// What the workers share.
struct Fetch {
    remote: Remote,
    part: Part,
    /// What was there before.
    old: Option<Local>,
    /// Of the version's blocks, where there was something before.
    shorts: Vec<ShortHash>,
    progress: Progress,
    done: AtomicU64,
    fetched: AtomicU64,
}

/// Fetches the newest version of `file`, of which `known` is told, to `target`; `None` when it is
/// so small that it had better go whole.
///
/// With `force` a file that is there is replaced, and what it has in common does not travel.
/// `target` must not be a link then.
pub fn fetch(
    env: &Env,
    client: &Client,
    output: Output,
    known: &api::File,
    file: &FilePath,
    target: &Path,
    force: bool,
) -> Result<Option<Fetched>> {
    if known.size < BYTES_MIN {
        return Ok(None);
    }
    let target = match fs::canonicalize(target) {
        Ok(there) if force => there,
        _ => target.to_owned(),
    };
    let old = match force && target.is_file() {
        true => Local::open(&target)?.filter(|old| old.len() >= BYTES_MIN),
        false => None,
    };
    let begun = begin(client, known, file, old)?;
    let (part, proof) = provable(client, known, &target, &begun)?;
    let Begun { remote, old, shorts, .. } = begun;
    let progress = Progress::new(output, "fetching");
    let (done, fetched) = (AtomicU64::new(0), AtomicU64::new(0));
    let fetch = Arc::new(Fetch { remote, part, old, shorts, progress, done, fetched });
    run(env, client, &fetch)?;
    let all_of_it = match proof {
        Some(proof) => prove(env, client, output, &fetch, &proof),
        None => Ok(true),
    };
    let Some(fetch) = Arc::into_inner(fetch) else {
        return Err(Failure::new(Kind::Local, "a worker did not end"));
    };
    if !all_of_it? {
        fetch.part.discard()?;
        let message = format!("{file} was fetched twice, and is not as its hash says");
        return Err(Failure::new(Kind::Store, message).remedy(
            "nothing was kept; `archipelago scrub` finds what is damaged in the store, the log of \
             this machine what is with its disk",
        ));
    }
    let fetched = Fetched { size: fetch.remote.size, fetched: fetch.fetched.into_inner() };
    fetch.part.finish(force)?;
    Ok(Some(fetched))
}

/// What is known before anything is fetched.
struct Begun {
    remote: Remote,
    old: Option<Local>,
    /// Of the version's blocks; none where nobody asked.
    shorts: Vec<ShortHash>,
    aim: Aim,
}

fn begin(client: &Client, known: &api::File, file: &FilePath, old: Option<Local>) -> Result<Begun> {
    let old = old.filter(|_| known.size <= api::HASHED_FILE_BYTES_MAX);
    let (remote, shorts) = match old {
        Some(_) => Remote::hashed(client, file)?,
        None => (Remote { file: file.clone(), version: known.id, size: known.size }, Vec::new()),
    };
    let aim = Aim {
        endpoint: client.endpoint().to_string(),
        source: file.to_string(),
        version: remote.version,
        size: remote.size,
        created_ms: known.created_ms,
        sha256: known.sha256.clone().filter(|_| remote.version == known.id),
    };
    Ok(Begun { remote, old, shorts, aim })
}

/// The file that is not complete yet, and, where it goes on with what an earlier run wrote, what
/// that is proven with. Where there is nothing to prove it with, it begins from nothing.
fn provable(
    client: &Client,
    known: &api::File,
    target: &Path,
    begun: &Begun,
) -> Result<(Part, Option<Proof>)> {
    let mut part = Part::open(target, &begun.aim)?;
    if !part.resumed() {
        return Ok((part, None));
    }
    if !begun.shorts.is_empty() {
        return Ok((part, Some(Proof::Blocks(begun.shorts.clone()))));
    }
    if known.size <= api::HASHED_FILE_BYTES_MAX {
        let (newest, shorts) = Remote::hashed(client, &begun.remote.file)?;
        if newest.version != begun.remote.version {
            let message = format!("{} was replaced just now", newest.file);
            return Err(Failure::new(Kind::Store, message).remedy("run it again"));
        }
        return Ok((part, Some(Proof::Blocks(shorts))));
    }
    match begun.aim.sha256.clone() {
        Some(sha256) => Ok((part, Some(Proof::Whole(sha256)))),
        None => {
            part.restart(&begun.aim)?;
            Ok((part, None))
        }
    }
}

/// Fetches what is not there.
fn run(env: &Env, client: &Client, fetch: &Arc<Fetch>) -> Result {
    let jobs = fetch.jobs()?;
    let shared = Arc::clone(fetch);
    let work = move |client: &Client, job: Range<u64>| shared.job(client, job);
    crew::run(env, client, jobs, Arc::new(work))
}

/// Whether all of it is what it is to be, once what was not was fetched again.
fn prove(
    env: &Env,
    client: &Client,
    output: Output,
    fetch: &Arc<Fetch>,
    proof: &Proof,
) -> Result<bool> {
    let wrong = || {
        let progress = Progress::new(output, "verifying");
        proof.wrong(&fetch.part.local()?, &|done, total| progress.set(done, total))
    };
    let first = wrong()?;
    if first.is_empty() {
        return Ok(true);
    }
    fetch.part.forget(&first)?;
    fetch.done.store(0, Ordering::Relaxed);
    run(env, client, fetch)?;
    Ok(wrong()?.is_empty())
}

impl Fetch {
    fn blocks(&self) -> u64 {
        self.remote.size.div_ceil(HASHED_BLOCK_BYTES)
    }

    /// Where blocks are.
    fn range(&self, blocks: Range<u64>) -> Range<u64> {
        let end = (blocks.end * HASHED_BLOCK_BYTES).min(self.remote.size);
        blocks.start * HASHED_BLOCK_BYTES..end
    }

    /// Notes that blocks are there.
    fn note(&self, blocks: Range<u64>) -> Result {
        let range = self.range(blocks.clone());
        self.part.note(blocks)?;
        self.tell(range.end - range.start);
        Ok(())
    }

    fn tell(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.progress.set(done, self.remote.size);
    }

    /// What is to be fetched, once what the old file has was copied from it.
    fn jobs(&self) -> Result<impl Iterator<Item = Range<u64>> + Send + 'static> {
        let mut runs: VecDeque<Range<u64>> = VecDeque::new();
        let most = match &self.old {
            Some(_) => JOB_BLOCKS,
            None => (self.blocks() / JOBS).max(JOB_BLOCKS),
        };
        let mut bytes = Vec::new();
        for block in 0..self.blocks() {
            if self.part.has(block) {
                let range = self.range(block..block + 1);
                self.tell(range.end - range.start);
                continue;
            }
            if let Some(old) = &self.old
                && let Some(short) = self.shorts.get(block as usize)
            {
                self.read_old(old, block, &mut bytes)?;
                if hashes::short(&hashes::of_block(&bytes)) == *short {
                    self.write(self.range(block..block + 1).start, &bytes)?;
                    self.note(block..block + 1)?;
                    continue;
                }
            }
            match runs.back_mut() {
                Some(run) if run.end == block && run.end - run.start < most => run.end += 1,
                _ => runs.push_back(block..block + 1),
            }
        }
        Ok(runs.into_iter())
    }

    /// A block as the old file has it, with zeros behind its end.
    fn read_old(&self, old: &Local, block: u64, bytes: &mut Vec<u8>) -> Result {
        let range = self.range(block..block + 1);
        bytes.clear();
        bytes.resize((range.end - range.start) as usize, 0);
        if old.is_hole(range.start, range.end) {
            return Ok(());
        }
        let there = old.len().min(range.end).saturating_sub(range.start) as usize;
        match bytes.get_mut(..there) {
            Some(head) if there > 0 => old.read(range.start, head),
            _ => Ok(()),
        }
    }

    /// Writes what is no zeros.
    fn write(&self, at: u64, bytes: &[u8]) -> Result {
        const PIECE: usize = 4096;
        let mut from = 0;
        while from < bytes.len() {
            let is_zero = |piece: &[u8]| piece.iter().all(|byte| *byte == 0);
            let mut end = from;
            while end < bytes.len() && !is_zero(&bytes[end..(end + PIECE).min(bytes.len())]) {
                end = (end + PIECE).min(bytes.len());
            }
            if end > from {
                self.part.write(at + from as u64, &bytes[from..end])?;
            }
            from = end + PIECE;
        }
        Ok(())
    }

    fn job(&self, client: &Client, blocks: Range<u64>) -> Result {
        match &self.old {
            None => self.whole(client, blocks),
            Some(old) => {
                self.patch(client, old, blocks.clone())?;
                self.note(blocks)
            }
        }
    }

    /// Fetches blocks as they are. What came is noted on the way.
    fn whole(&self, client: &Client, blocks: Range<u64>) -> Result {
        let next = Cell::new(blocks.start);
        // Records ascend: what is before one has come.
        let reached = |at: u64| {
            let block = (at / HASHED_BLOCK_BYTES).min(blocks.end);
            if block <= next.get() {
                return Ok(());
            }
            self.note(next.replace(block)..block)
        };
        let take = &mut |at: u64, bytes: &[u8]| {
            reached(at)?;
            self.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.part.write(at, bytes)
        };
        let zeros = &mut |range: Range<u64>| reached(range.end);
        self.remote.read(client, &[self.range(blocks.clone())], take, zeros)?;
        match next.get() < blocks.end {
            true => self.note(next.get()..blocks.end),
            false => Ok(()),
        }
    }

    /// Makes blocks of what the old file has of them and what differs.
    fn patch(&self, client: &Client, old: &Local, blocks: Range<u64>) -> Result {
        let pair = Pair { local: old, remote: &self.remote, client, size: self.remote.size };
        let places: Vec<u64> = blocks.clone().collect();
        let differing = pair.differing(&places)?;
        let start = self.range(blocks.clone()).start;
        let mut whole = Vec::new();
        let mut block = Vec::new();
        for place in blocks.clone() {
            self.read_old(old, place, &mut block)?;
            whole.extend_from_slice(&block);
        }
        self.read_into(client, &differing, start, &mut whole)?;
        for (place, bytes) in blocks.clone().zip(whole.chunks_mut(HASHED_BLOCK_BYTES as usize)) {
            let short = self.shorts.get(place as usize);
            let is_right = |bytes: &[u8]| short == Some(&hashes::short(&hashes::of_block(bytes)));
            if !is_right(bytes) {
                // Two grains that differ had the same hash.
                let range = self.range(place..place + 1);
                self.read_into(client, std::slice::from_ref(&range), range.start, bytes)?;
            }
            if !is_right(bytes) {
                let message =
                    format!("block {place} of {} is not as its hash says", self.remote.file);
                return Err(Failure::new(Kind::Store, message)
                    .remedy("`archipelago scrub` finds what is damaged"));
            }
        }
        self.write(start, &whole)
    }

    /// Reads ranges over what `bytes`, which begin at `start`, have there.
    fn read_into(
        &self,
        client: &Client,
        ranges: &[Range<u64>],
        start: u64,
        bytes: &mut [u8],
    ) -> Result {
        for range in ranges {
            bytes[(range.start - start) as usize..(range.end - start) as usize].fill(0);
        }
        for ranges in ranges.chunks(api::RANGES_MAX) {
            let take = &mut |at: u64, data: &[u8]| {
                self.fetched.fetch_add(data.len() as u64, Ordering::Relaxed);
                let from = at.checked_sub(start).map(|from| from as usize);
                let to = from.and_then(|from| bytes.get_mut(from..from + data.len()));
                match to {
                    Some(to) => to.copy_from_slice(data),
                    None => return Err(client.foreign(path::EXPORT, "bytes of another place")),
                }
                Ok(())
            };
            self.remote.read(client, ranges, take, &mut |_| Ok(()))?;
        }
        Ok(())
    }
}
