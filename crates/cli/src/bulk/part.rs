//! A file that is not complete yet, and a record beside it of the blocks that it has, from which
//! an interrupted transfer goes on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use archipelago_api::HASHED_BLOCK_BYTES;
use rustix::fs::{CWD, FallocateFlags, OFlags, RenameFlags, fallocate, renameat_with};
use serde::{Deserialize, Serialize};

use super::compare::add;
use super::hashes;
use super::local::Local;
use crate::failure::{Failure, Kind, Result};

/// After so many blocks that have come the data is synced and they are noted: 64 MiB are fetched
/// again after a crash, at most.
const NOTED_TOGETHER: u64 = 16;

/// Written where a hole cannot be made: one request for a few pages.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What the file is going to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Aim {
    /// Of which server.
    pub endpoint: String,
    pub source: String,
    pub version: u64,
    pub size: u64,
    /// Another store may have a version of that number, too.
    pub created_ms: u64,
    pub sha256: Option<String>,
}

/// The file and its record. Both are locked by who writes them.
pub struct Part {
    target: PathBuf,
    path: PathBuf,
    record_path: PathBuf,
    file: File,
    state: Mutex<State>,
    /// Whether there is anything that an earlier run wrote.
    resumed: bool,
}

struct State {
    record: File,
    /// A bit for each block.
    done: Vec<u64>,
    /// Written and not noted yet: ranges of blocks.
    fresh: Vec<Range<u64>>,
    /// So many blocks.
    waiting: u64,
}

impl Part {
    /// Goes on with what an interrupted transfer left for `target`, or begins.
    pub fn open(target: &Path, aim: &Aim) -> Result<Self> {
        let dir = directory_of(target);
        let name = target.file_name().map(|name| name.as_encoded_bytes().to_vec());
        let id = hashes::hex(&hashes::of_block(&name.unwrap_or_default()));
        let path = dir.join(format!(".archipelago-{}.part", &id[..16]));
        let record_path = dir.join(format!(".archipelago-{}.record", &id[..16]));
        // As the file that it takes the place of: who may not read that reads nothing of this.
        let mode = fs::metadata(target).map_or(0o666, |meta| meta.mode() & 0o777);
        let file = open_own(&path, mode)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("'{}' is being fetched by another process", target.display());
                return Err(Failure::new(Kind::Local, message).remedy("wait until it has ended"));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Failure::local(format!("lock '{}'", path.display()))(error));
            }
        }
        // Whoever had it until now may have given it its name: then it is no part any more.
        let there = fs::symlink_metadata(&path).map(|meta| (meta.dev(), meta.ino())).ok();
        let opened = file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
        if there.is_none() || there != opened {
            let message = format!("'{}' was fetched by another process just now", target.display());
            return Err(Failure::new(Kind::Local, message).remedy("look at it, and try again"));
        }
        let record = open_own(&record_path, mode)?;
        let target = target.to_owned();
        let state = State { record, done: Vec::new(), fresh: Vec::new(), waiting: 0 };
        let state = Mutex::new(state);
        let mut part = Self { target, path, record_path, file, state, resumed: false };
        part.resumed =
            part.begin(aim).map_err(Failure::local(format!("write to '{}'", dir.display())))?;
        Ok(part)
    }

    /// Believes the record of an earlier run, if that had the same aim; says whether it had.
    fn begin(&self, aim: &Aim) -> io::Result<bool> {
        let mut state = self.state();
        let words = aim.size.div_ceil(HASHED_BLOCK_BYTES).div_ceil(64) as usize;
        let text = io::read_to_string(&state.record).unwrap_or_default();
        let mut lines = text.split_inclusive('\n');
        let said = lines.next().and_then(|line| serde_json::from_str::<Aim>(line).ok());
        state.done = vec![0; words];
        if said.as_ref() == Some(aim) && self.file.metadata()?.len() == aim.size {
            // A last line that was torn says nothing.
            for line in lines.filter_map(|line| line.strip_suffix('\n')) {
                if let Some((start, end)) = line.split_once('-')
                    && let (Ok(start), Ok(end)) = (start.parse(), end.parse())
                {
                    state.set(start..end);
                }
            }
            return Ok(true);
        }
        self.empty(&mut state, aim)?;
        Ok(false)
    }

    /// Nothing is there any more.
    fn empty(&self, state: &mut State, aim: &Aim) -> io::Result<()> {
        state.record.set_len(0)?;
        self.file.set_len(0)?;
        self.file.set_len(aim.size)?;
        state.done.fill(0);
        let mut line = serde_json::to_string(aim).map_err(io::Error::other)?;
        line.push('\n');
        state.record.write_all(line.as_bytes())?;
        state.record.sync_data()
    }

    /// Whether it goes on with what an earlier run wrote. That is not proven: a disk that was full
    /// or lost power, or anybody, may have changed it since.
    pub const fn resumed(&self) -> bool {
        self.resumed
    }

    /// Begins from nothing: what an earlier run wrote cannot be proven.
    pub fn restart(&mut self, aim: &Aim) -> Result {
        self.empty(&mut self.state(), aim).map_err(self.failed())?;
        self.resumed = false;
        Ok(())
    }

    /// What is there by now, to be hashed.
    pub fn local(&self) -> Result<Local> {
        let file = self.file.try_clone().map_err(self.failed())?;
        Local::of(file, &self.path)
    }

    /// Blocks are not as they are to be: all of them are zeros again, and not there. The record
    /// goes on to name them; whoever goes on from it proves all of it.
    pub fn forget(&self, blocks: &[Range<u64>]) -> Result {
        let mut state = self.state();
        self.settle(&mut state).map_err(self.failed())?;
        let size = self.file.metadata().map_err(self.failed())?.len();
        for blocks in blocks {
            let end = (blocks.end * HASHED_BLOCK_BYTES).min(size);
            self.clear(blocks.start * HASHED_BLOCK_BYTES..end).map_err(self.failed())?;
            state.unset(blocks.clone());
        }
        Ok(())
    }

    fn clear(&self, range: Range<u64>) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if fallocate(&self.file, flags, range.start, range.end - range.start).is_ok() {
            return Ok(());
        }
        // A file system without holes.
        for at in range.clone().step_by(ZEROS.len()) {
            let len = (range.end - at).min(ZEROS.len() as u64) as usize;
            self.file.write_all_at(&ZEROS[..len], at)?;
        }
        Ok(())
    }

    /// Nothing of it is of use: it and its record go away.
    pub fn discard(self) -> Result {
        fs::remove_file(&self.path).map_err(self.failed())?;
        fs::remove_file(&self.record_path).map_err(self.failed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has a block.
    pub fn has(&self, block: u64) -> bool {
        let word = self.state().done.get((block / 64) as usize).copied();
        word.is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// Writes bytes; zeros need not be written where nothing was.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result {
        self.file.write_all_at(bytes, at).map_err(self.failed())
    }

    /// Notes that blocks have all that they are to have.
    pub fn note(&self, blocks: Range<u64>) -> Result {
        let mut state = self.state();
        state.waiting += blocks.end - blocks.start;
        state.fresh.push(blocks);
        if state.waiting < NOTED_TOGETHER {
            return Ok(());
        }
        self.settle(&mut state).map_err(self.failed())
    }

    fn settle(&self, state: &mut State) -> io::Result<()> {
        self.file.sync_data()?;
        let mut runs: Vec<Range<u64>> = Vec::new();
        for range in std::mem::take(&mut state.fresh) {
            add(&mut runs, range);
        }
        let mut lines = String::new();
        for range in runs {
            lines.push_str(&format!("{}-{}\n", range.start, range.end));
            state.set(range);
        }
        state.waiting = 0;
        state.record.write_all(lines.as_bytes())
    }

    /// The file gets its name, durable.
    pub fn finish(self, force: bool) -> Result {
        let failed = || Failure::local(format!("write '{}'", self.target.display()));
        self.file.sync_all().map_err(failed())?;
        let renamed = match force {
            true => fs::rename(&self.path, &self.target),
            false => rename_new(&self.path, &self.target),
        };
        match renamed {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let message = format!("'{}' exists and was left as it is", self.target.display());
                return Err(Failure::new(Kind::Local, message)
                    .remedy("choose another name, or say --force"));
            }
            Err(error) => return Err(failed()(error)),
        }
        fs::remove_file(&self.record_path).map_err(failed())?;
        let dir = directory_of(&self.target);
        File::open(&dir).and_then(|dir| dir.sync_all()).map_err(failed())
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> Failure + use<> {
        Failure::local(format!("write '{}'", self.path.display()))
    }
}

impl State {
    fn set(&mut self, blocks: Range<u64>) {
        for block in blocks {
            let Some(word) = self.done.get_mut((block / 64) as usize) else { return };
            *word |= 1 << (block % 64);
        }
    }

    fn unset(&mut self, blocks: Range<u64>) {
        for block in blocks {
            let Some(word) = self.done.get_mut((block / 64) as usize) else { return };
            *word &= !(1 << (block % 64));
        }
    }
}

/// Opens a file of ours, or makes it: nothing that somebody else put there, whatever it leads to.
fn open_own(path: &Path, mode: u32) -> Result<File> {
    let failed = || Failure::local(format!("write '{}'", path.display()));
    let file = OpenOptions::new()
        .read(true)
        .append(path.extension().is_some_and(|end| end == "record"))
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(failed())?;
    let meta = file.metadata().map_err(failed())?;
    let ours =
        meta.is_file() && meta.nlink() == 1 && meta.uid() == rustix::process::geteuid().as_raw();
    match ours {
        true => Ok(file),
        false => Err(Failure::new(
            Kind::Local,
            format!("'{}' is not a file that this program made", path.display()),
        )
        .remedy("remove it")),
    }
}

/// Renames where nothing has the name.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            // A file system without it: a second name is refused where there is one.
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => other.map_err(io::Error::from),
    }
}

fn directory_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
