//! From a local file to the store: as a difference to the version that is there, or made of blocks
//! of which only those travel that the account has not.

use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_api::{self as api, HASHED_BLOCK_BYTES, path};
use archipelago_env::Env;
use archipelago_format::stream::{Header, Writer};

use super::compare::{Pair, add};
use super::hashes::{self, Hash};
use super::local::{Hashed, Local};
use super::remote::Remote;
use super::{BYTES_MIN, crew};
use crate::args::file::FilePath;
use crate::client::{Client, Method};
use crate::failure::{Failure, Kind, Result};
use crate::output::Output;
use crate::progress::Progress;

/// From this size on a file that is not there yet goes in blocks: some at once, and an interrupted
/// transfer goes on with those that are missing.
const BLOCKS_BYTES_MIN: u64 = 64 << 20;

/// Blocks of a request: 16 MiB.
const JOB_BLOCKS: usize = 4;

/// Blocks that are uploaded before a file is made of them, fewer than the server keeps waiting for
/// an account. A longer file goes whole.
const WAITING_MAX: usize = 1 << 15;

/// Blocks may be missing again that were there: when what had them was removed meanwhile.
const ROUNDS_MAX: usize = 4;

/// A file with more holes than this, in bytes, gets no SHA-256 of all of it: see `transfer`.
const HASHED_HOLE_BYTES_MAX: u64 = 4 << 30;

/// Places in which a difference tells something; more is sent whole.
const RANGES_MAX: usize = 1 << 20;

/// Bytes that are read and sent together.
const PIECE_BYTES: usize = 1 << 20;

/// What a put did.
pub struct Stored {
    pub file: api::File,
    /// Bytes of it that travelled.
    pub sent: u64,
}

/// What a put works with.
struct Put<'a> {
    env: &'a Env,
    client: &'a Client,
    output: Output,
    file: &'a FilePath,
    local: Arc<Local>,
    hashed: Hashed,
}

/// Puts a local file so that only what is missing travels; `None` when it had better go whole.
pub fn put(
    env: &Env,
    client: &Client,
    output: Output,
    path: &Path,
    file: &FilePath,
) -> Result<Option<Stored>> {
    let lengths = BYTES_MIN..=api::HASHED_FILE_BYTES_MAX;
    let Some(local) = Local::open(path)?.filter(|local| lengths.contains(&local.len())) else {
        return Ok(None);
    };
    let stat = path::file(file.container.as_str(), file.object.as_str());
    let there = client.find::<api::File>(&stat)?.is_some_and(|there| lengths.contains(&there.size));
    // Holes travel as such in a stream, and would be hashes here.
    let by_blocks = local.len() >= BLOCKS_BYTES_MIN && local.holes() <= HASHED_HOLE_BYTES_MAX;
    if !there && !by_blocks {
        return Ok(None);
    }
    let progress = Progress::new(output, "checksum");
    let hashed = local
        .hash(local.holes() <= HASHED_HOLE_BYTES_MAX, &|done, total| progress.set(done, total))?;
    drop(progress);
    let put = Put { env, client, output, file, local: Arc::new(local), hashed };
    if there && let Some(stored) = put.difference()? {
        return Ok(Some(stored));
    }
    match by_blocks {
        true => put.blocks(),
        false => Ok(None),
    }
}

/// Whether a local file is the same as the newest version of one in the store, byte for byte.
pub fn is_same(client: &Client, path: &Path, file: &FilePath) -> Result<bool> {
    let Some(local) = Local::open(path)? else { return Ok(false) };
    if local.len() > api::HASHED_FILE_BYTES_MAX {
        return Ok(false);
    }
    let (remote, shorts) = match Remote::hashed(client, file) {
        Err(failure) if is_unknown(&failure) => return Ok(false),
        other => other?,
    };
    if remote.size != local.len() {
        return Ok(false);
    }
    let hashed = local.hash(false, &|_, _| ())?;
    Ok(hashed.blocks.iter().map(hashes::short).eq(shorts))
}

impl Put<'_> {
    fn sha256(&self) -> Option<String> {
        self.hashed.sha256.as_ref().map(hashes::hex)
    }

    /// What differs from the version that is there; `None` when that is most of it, or the version
    /// is another one by the time.
    fn difference(&self) -> Result<Option<Stored>> {
        let (remote, shorts) = match Remote::hashed(self.client, self.file) {
            Err(failure) if is_unknown(&failure) => return Ok(None),
            other => other?,
        };
        let differs = |(place, hash): &(u64, &Hash)| {
            shorts.get(*place as usize) != Some(&hashes::short(hash))
                && !is_zeros(hash, *place, &shorts)
        };
        let places: Vec<u64> =
            (0..).zip(&self.hashed.blocks).filter(differs).map(|(place, _)| place).collect();
        let size = self.local.len();
        if places.len() as u64 * HASHED_BLOCK_BYTES > size / 2 + HASHED_BLOCK_BYTES * 2 {
            return Ok(None);
        }
        let pair = Pair { local: &self.local, remote: &remote, client: self.client, size };
        let mut ranges = match pair.differing(&places) {
            Err(failure) if is_unknown(&failure) => return Ok(None),
            other => other?,
        };
        // What its last block had behind its end must not be there.
        let whole = size / archipelago_model::BLOCK_BYTES * archipelago_model::BLOCK_BYTES;
        if size < remote.size && whole < size {
            let end = ranges.last().map_or(0, |range| range.end);
            add(&mut ranges, whole.max(end)..size);
        }
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if bytes > size / 2 || ranges.len() > RANGES_MAX {
            return Ok(None);
        }
        match self.send(&remote, ranges, bytes) {
            // Or two grains that differ had one hash.
            Err(failure) if is_unknown(&failure) => Ok(None),
            done => done.map(|file| Some(Stored { file, sent: bytes })),
        }
    }

    fn send(&self, remote: &Remote, ranges: Vec<Range<u64>>, bytes: u64) -> Result<api::File> {
        let query = api::PutQuery {
            sha256: self.sha256(),
            base: Some(remote.version),
            hash: Some(hashes::hex(&hashes::of_file(&self.hashed.blocks))),
        };
        let route =
            path::file_put_delta(self.file.container.as_str(), self.file.object.as_str(), &query);
        let header = Header {
            size: self.local.len(),
            base: Some(u128::from(remote.version).to_be_bytes()),
            identity: None,
        };
        let (mut body, pipe) = io::pipe().map_err(Failure::local("make a pipe"))?;
        let (local, progress) = (Arc::clone(&self.local), Progress::new(self.output, "storing"));
        let (report, outcome) = std::sync::mpsc::channel();
        let writer = move || {
            let written =
                write_ranges(&local, &header, &ranges, pipe, &|done| progress.set(done, bytes));
            drop(progress);
            // Whoever waits for it has panicked else.
            let _ = report.send(written);
        };
        let thread = self
            .env
            .threads()
            .spawn("file-reader", Box::new(writer))
            .map_err(Failure::local("start a thread"))?;
        let answer = self.client.upload(Method::Put, &route, &mut body);
        // The writer finds nobody at the other end and stops.
        drop(body);
        thread.join().map_err(|panicked| Failure::new(Kind::Local, panicked.to_string()))?;
        match outcome.recv() {
            // What broke the pipe is in the answer.
            Ok(Ok(())) => answer,
            Ok(Err(failure)) if answer.is_ok() => Err(failure),
            _ => answer,
        }
    }

    /// Made of blocks; those that the account has not are uploaded. `None` when these are too many.
    fn blocks(&self) -> Result<Option<Stored>> {
        let query = api::ComposeQuery { size: self.local.len(), sha256: self.sha256() };
        let (container, object) = (self.file.container.as_str(), self.file.object.as_str());
        let route = path::compose(container, object, &query);
        let list = self.hashed.blocks.concat();
        let mut sent = 0;
        for _ in 0..ROUNDS_MAX {
            let made: api::ComposedFile =
                self.client.upload(Method::Blocks, &route, &mut list.as_slice())?;
            if let Some(file) = made.file {
                return Ok(Some(Stored { file, sent }));
            }
            if made.missing.len() > WAITING_MAX {
                return Ok(None);
            }
            sent += self.upload(&made.missing)?;
        }
        let message = format!("blocks of {} go again as soon as they have come", self.file);
        Err(Failure::new(Kind::Store, message).remedy("try again; does somebody remove files?"))
    }

    /// Uploads blocks, several requests at once; gives how many bytes.
    fn upload(&self, missing: &[u64]) -> Result<u64> {
        let size = self.local.len();
        let range = move |place: u64| {
            place * HASHED_BLOCK_BYTES..((place + 1) * HASHED_BLOCK_BYTES).min(size)
        };
        let count = self.hashed.blocks.len() as u64;
        if missing.iter().any(|place| *place >= count) {
            return Err(self.client.foreign(path::COMPOSE, "blocks that nobody has"));
        }
        let total: u64 = missing.iter().map(|place| range(*place)).map(|r| r.end - r.start).sum();
        let jobs: Vec<Vec<u64>> = missing.chunks(JOB_BLOCKS).map(<[u64]>::to_vec).collect();
        let (local, hashes) = (Arc::clone(&self.local), self.hashed.blocks.clone());
        let (progress, done) = (Progress::new(self.output, "storing"), AtomicU64::new(0));
        let work = move |client: &Client, places: Vec<u64>| {
            let mut bytes = Vec::new();
            for place in &places {
                let (range, from) = (range(*place), bytes.len());
                bytes.resize(from + (range.end - range.start) as usize, 0);
                local.read(range.start, &mut bytes[from..])?;
            }
            let stored: api::StoredBlocks =
                client.upload(Method::Blocks, path::BLOCKS, &mut bytes.as_slice())?;
            let wanted = places.iter().filter_map(|place| hashes.get(*place as usize));
            if !wanted.map(hashes::hex).eq(stored.hashes) {
                return Err(local.changed());
            }
            let done = done.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
            progress.set(done, total);
            Ok(())
        };
        crew::run(self.env, self.client, jobs.into_iter(), Arc::new(work))?;
        Ok(total)
    }
}

/// Whether a block of zeros is where there is nothing.
fn is_zeros(hash: &Hash, place: u64, shorts: &[hashes::ShortHash]) -> bool {
    place >= shorts.len() as u64 && *hash == hashes::of_block(&[])
}

/// Whether a version cannot be compared: it is no more, or cannot be read without a key of whoever
/// put it.
fn is_unknown(failure: &Failure) -> bool {
    is(failure, api::ErrorKind::NotFound) || is(failure, api::ErrorKind::Invalid)
}

fn is(failure: &Failure, kind: api::ErrorKind) -> bool {
    failure.kind() == Kind::Server(kind)
}

fn write_ranges(
    local: &Local,
    header: &Header,
    ranges: &[Range<u64>],
    out: impl Write,
    progress: &dyn Fn(u64),
) -> Result {
    let failed = || Failure::local("send");
    let out = BufWriter::with_capacity(PIECE_BYTES, out);
    let mut writer = Writer::new(out, header).map_err(failed())?;
    let (mut piece, mut done) = (Vec::new(), 0);
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            let end = (at + PIECE_BYTES as u64).min(range.end);
            piece.resize((end - at) as usize, 0);
            local.read(at, &mut piece)?;
            if piece.iter().all(|byte| *byte == 0) {
                writer.zero(at, end - at).map_err(failed())?;
            } else {
                writer.data(at, &piece).map_err(failed())?;
            }
            done += end - at;
            at = end;
            progress(done);
        }
    }
    writer.finish().map(drop).map_err(failed())
}
