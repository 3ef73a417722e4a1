//! Files of the command line by what differs: a client that has most of a file compares hashes,
//! of blocks and then of grains of those that differ, and only the rest travels.
//!
//! Down, it reads ranges of the version that it compared. Up, it sends a difference to that
//! version: a map on top of its map, which is bound once the hashes of all blocks, computed
//! here of what is stored, are those of the file that the client has.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::ops::Range;

use archipelago_format::stream::Header;
use archipelago_model::{BLOCK_BYTES, ContainerName, FileId, ObjectName, Source};
use aws_lc_rs::digest::{SHA256, digest};

use super::super::super::transfer::{Incoming, tell_range};
use super::super::content::{Content, Stretch, broken};
use super::super::{Service, containers};
use super::compose::{Compose, Composed};
use super::hash::{BlockHash, Hasher};
use super::lists::HashList;
use super::{HASHED_BLOCK_BYTES, HASHED_BLOCKS_MAX};
use crate::catalog::file::{self, ObjectRow};
use crate::catalog::{Tx, container};
use crate::core::{Core, Fixed, Held, OPERATOR, shown};
use crate::error::{Error, ErrorKind};
use crate::object::{Meta, Object, Which};
use crate::outgoing::{Outgoing, send_bytes};
use crate::resource::File;
use crate::seal::refuse_map;
use crate::service::transfer::ingest_error;

/// Bytes of the hash of a grain: the first of its SHA-256. Two grains that differ have the same
/// once in 2^64 times; that shows in the hash of their block, and costs sending it whole.
pub const GRAIN_HASH_BYTES: usize = 8;

/// Pieces that are hashed, smallest and largest, in bytes.
const PIECE_BYTES: Range<u64> = BLOCK_BYTES..HASHED_BLOCK_BYTES;

/// Bytes whose grains are hashed in one request: less than a second.
const HASHED_AT_ONCE_MAX: u64 = 256 << 20;

/// Ranges of one request, to be hashed or read.
const RANGES_MAX: usize = 1024;

/// A version of a file and which: the newest without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileVersion<'a> {
    /// In which container.
    pub container: &'a ContainerName,
    /// Its name.
    pub object: &'a ObjectName,
    /// Its identity.
    pub id: Option<FileId>,
}

/// A file that comes as a difference.
pub struct DeltaPut<'a> {
    /// In which container.
    pub container: &'a ContainerName,
    /// Its name.
    pub object: &'a ObjectName,
    /// What it is a difference to: a version of any file of the account.
    pub base: FileId,
    /// The hash of the blocks of all of it.
    pub hash: BlockHash,
    /// What is said of its SHA-256.
    pub sha256: Option<String>,
}

/// A file that is made of blocks which the account has.
pub struct FileCompose<'a> {
    /// In which container.
    pub container: &'a ContainerName,
    /// Its name.
    pub object: &'a ObjectName,
    /// How long it is.
    pub size: u64,
    /// Its blocks.
    pub hashes: &'a [BlockHash],
    /// What is said of its SHA-256.
    pub sha256: Option<String>,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileComposed {
    /// It is there.
    Made(Box<File>),
    /// Nothing was made: the account has not the blocks at these places of the list, each once.
    Missing(Vec<u64>),
}

impl Service {
    /// Makes a file, or replaces it at once, of blocks that the account has; its container is made
    /// if there is none, and stays. See [`Self::object_compose`].
    ///
    /// # Errors
    /// As that.
    pub fn file_compose(&self, wanted: &FileCompose<'_>) -> Result<FileComposed, Error> {
        // Before somebody sends blocks in vain, and before a container is made in vain.
        self.core.may_put_file(wanted.container, wanted.object, wanted.size)?;
        let home = self.container_made(wanted.container)?;
        let compose = Compose {
            container: home.id,
            name: wanted.object,
            account: OPERATOR,
            size: wanted.size,
            hashes: wanted.hashes,
            sha256: wanted.sha256.clone(),
        };
        match self.object_compose(&compose, &mut || Ok(Meta::default()), &|_| Ok(()))? {
            Composed::Made(object, _) => {
                let Object { id, size, created_ms, .. } = *object;
                let (container, object) = (wanted.container.clone(), wanted.object.clone());
                let sha256 = wanted.sha256.clone();
                let file = File { id, container, object, size, sha256, created_ms };
                Ok(FileComposed::Made(Box::new(file)))
            }
            Composed::Missing(missing) => {
                let mut missing: BTreeSet<BlockHash> = missing.into_iter().collect();
                let places = wanted.hashes.iter().zip(0..).filter(|(hash, _)| missing.remove(hash));
                Ok(FileComposed::Missing(places.map(|(_, place)| place).collect()))
            }
        }
    }

    /// Stores blocks for files of the command line. See [`Self::blocks_put`].
    ///
    /// # Errors
    /// As that.
    pub fn file_blocks_put(
        &self,
        size: Option<u64>,
        input: &mut dyn Read,
    ) -> Result<Vec<BlockHash>, Error> {
        self.blocks_put(OPERATOR, size, input)
    }

    /// Opens a version of a file. It reads on, whatever becomes of its name.
    ///
    /// # Errors
    /// `NotFound`, also when another version has taken its place.
    pub fn file_open(&self, which: FileVersion<'_>) -> Result<Content, Error> {
        let row = |tx: &Tx<'_>| self.core.version_row(tx, which);
        self.open_row(&row, None, &|| label(which.container, which.object))
    }

    /// Hashes of grains of `grain` bytes of ranges that begin with grains, one behind the other;
    /// a grain that the end cuts off is as long as it is.
    ///
    /// # Errors
    /// `Invalid` (the grain, the ranges); `Damaged`.
    pub fn grain_hashes(
        &self,
        content: &Content,
        grain: u64,
        ranges: &[Range<u64>],
    ) -> Result<Vec<u8>, Error> {
        if !(grain.is_power_of_two() && PIECE_BYTES.contains(&grain)) {
            return Err(Error::invalid(format!(
                "grains have {} to {} bytes, a power of two, not {grain}",
                PIECE_BYTES.start,
                PIECE_BYTES.end / 2
            )));
        }
        let bytes = check_ranges(ranges, content.object().size, grain)?;
        if bytes > HASHED_AT_ONCE_MAX {
            return Err(Error::invalid(format!(
                "{bytes} bytes are too many to be hashed at once; ask for {HASHED_AT_ONCE_MAX} at \
                 most"
            )));
        }
        let mut out = Vec::new();
        let mut piece = Vec::new();
        for range in ranges {
            let mut input = content.range(range.start, range.end - range.start);
            loop {
                piece.clear();
                Read::take(&mut input, grain)
                    .read_to_end(&mut piece)
                    .map_err(|error| ingest_error(broken(error)))?;
                if piece.is_empty() {
                    break;
                }
                out.extend_from_slice(&digest(&SHA256, &piece).as_ref()[..GRAIN_HASH_BYTES]);
            }
        }
        Ok(out)
    }

    /// Writes ranges of a version of a file as a transfer stream, in which nothing is said of the
    /// rest; all of it without ranges.
    ///
    /// # Errors
    /// `NotFound`, also when another version has taken its place; `Invalid` (the ranges);
    /// `Unavailable` when `out` fails.
    pub fn export_ranges(
        &self,
        which: FileVersion<'_>,
        ranges: &[Range<u64>],
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let core = &self.core;
        let content = self.file_open(which)?;
        let size = content.object().size;
        check_ranges(ranges, size, BLOCK_BYTES)?;
        let on_file = |error: Error| error.on(label(which.container, which.object));
        if content.object().seal.is_some() {
            return send_ranges(&content, ranges, out).map_err(on_file);
        }
        let held = core.version_held(FileVersion { id: Some(content.object().id), ..which })?;
        let view = core.engine.view(held.map.root, size)?;
        let header = Header { size, base: None, identity: None };
        let mut outgoing = Outgoing::new(&view, &header, out)?;
        let whole = 0..size;
        let ranges = if ranges.is_empty() { std::slice::from_ref(&whole) } else { ranges };
        let told = ranges.iter().try_for_each(|range| tell_range(&view, range, &mut outgoing));
        outgoing.finish(told).map_err(on_file)
    }

    /// Makes a file, or replaces it at once, of a version and a difference to it: a transfer
    /// stream whose base is that version. What the blocks come to is asked of what is stored.
    ///
    /// # Errors
    /// `NotFound` (the base); `Invalid` (the stream, the hash); nothing is changed then.
    pub fn file_put_delta(&self, put: &DeltaPut<'_>, input: &mut dyn Read) -> Result<File, Error> {
        let core = &self.core;
        let label = label(put.container, put.object);
        let on_file = |error: Error| error.on(&label);
        super::super::super::images::check_sha256(put.sha256.as_deref())?;
        let base = core.base_content(put.base)?;
        let old = self.hash_list(&base.content, &|| true)?;
        let map = Fixed { root: base.held.map.root, size: base.held.map.size };
        let mut changed = Vec::new();
        let incoming = Incoming::difference(input, &base_of(put.base), map).map_err(on_file)?;
        let size = incoming.size();
        if size.div_ceil(HASHED_BLOCK_BYTES) > HASHED_BLOCKS_MAX as u64 {
            return Err(Error::invalid("a file that comes as a difference has 5 TiB at most"));
        }
        core.may_put_file(put.container, put.object, size)?;
        let ingested = core.ingest_difference(incoming, &mut changed).map_err(on_file)?;
        let view = core.engine.view(*ingested.root.get(), size)?;
        let hashes = new_hashes(size, &base, old, &changed, |offset, len| {
            Stretch::new(std::sync::Arc::clone(&view), offset, len)
        })?;
        if BlockHash::of_file(&hashes) != put.hash {
            return Err(Error::invalid(
                "the difference and what is stored do not make the file whose hash was said; \
                 nothing was changed, send the file whole",
            ));
        }
        let file =
            core.bind_file(ingested, size, put.container, put.object, put.sha256.as_ref())?;
        core.keep_or_tell(file.id, &hashes);
        Ok(file)
    }
}

/// Sends ranges of what is sealed: all of it, without any.
fn send_ranges(content: &Content, ranges: &[Range<u64>], out: &mut dyn Write) -> Result<(), Error> {
    let size = content.object().size;
    let header = Header { size, base: None, identity: None };
    let whole = 0..size;
    let ranges = if ranges.is_empty() { std::slice::from_ref(&whole) } else { ranges };
    send_bytes(
        &mut |range| Box::new(content.range(range.start, range.end - range.start)),
        ranges,
        &header,
        out,
    )
}

/// What a difference is made to, held.
struct Base {
    content: Content,
    held: Held,
}

/// How a stream names the version that it is a difference to.
fn base_of(id: FileId) -> [u8; 16] {
    u128::from(id.get()).to_be_bytes()
}

fn label(container: &ContainerName, object: &ObjectName) -> String {
    shown(&Source::File(container.clone(), object.clone()))
}

/// Refuses ranges that do not ascend, or do not begin with grains; gives how many bytes they are.
fn check_ranges(ranges: &[Range<u64>], size: u64, grain: u64) -> Result<u64, Error> {
    if ranges.len() > RANGES_MAX {
        let message =
            format!("{} ranges are more than the {RANGES_MAX} of a request", ranges.len());
        return Err(Error::invalid(message));
    }
    let (mut end, mut bytes) = (0, 0);
    for range in ranges {
        let whole = range.start.is_multiple_of(grain)
            && (range.end.is_multiple_of(grain) || range.end == size);
        if range.start < end || range.start >= range.end || range.end > size || !whole {
            return Err(Error::invalid(format!(
                "{}..{} is no range of {size} bytes in order, of whole grains of {grain} bytes",
                range.start, range.end
            )));
        }
        end = range.end;
        bytes += range.end - range.start;
    }
    Ok(bytes)
}

/// The hashes of a file that is another but for what changed: of blocks in which nothing did
/// those that are known.
fn new_hashes<R: Read>(
    size: u64,
    base: &Base,
    old: HashList,
    changed: &[Range<u64>],
    read: impl Fn(u64, u64) -> R,
) -> Result<Vec<BlockHash>, Error> {
    let base_size = base.held.map.size;
    let mut out = Vec::with_capacity(size.div_ceil(HASHED_BLOCK_BYTES) as usize);
    let (mut old, mut changed) = (old, changed.iter().peekable());
    for start in (0..size).step_by(HASHED_BLOCK_BYTES as usize) {
        let end = (start + HASHED_BLOCK_BYTES).min(size);
        while changed.next_if(|range| range.end <= start).is_some() {}
        let touched = changed.peek().is_some_and(|range| range.start < end);
        let as_long = (start + HASHED_BLOCK_BYTES).min(base_size) == end;
        let known = old.next().transpose()?.filter(|_| !touched && as_long);
        match known {
            Some(hash) => out.push(hash),
            None => {
                let mut hasher = Hasher::new();
                let mut bytes = Vec::new();
                read(start, end - start)
                    .read_to_end(&mut bytes)
                    .map_err(|error| ingest_error(broken(error)))?;
                hasher.update(&bytes);
                out.extend(hasher.finish().unwrap_or_default());
            }
        }
    }
    Ok(out)
}

impl Core {
    fn version_held(&self, which: FileVersion<'_>) -> Result<Held, Error> {
        self.held(|| {
            let row = self.catalog.read(|tx| self.version_row(tx, which))?;
            Ok(Fixed { root: row.root, size: row.object.size })
        })
    }

    fn version_row(&self, tx: &Tx<'_>, which: FileVersion<'_>) -> Result<ObjectRow, Error> {
        let FileVersion { container: home, object, id } = which;
        let none = || Error::not_found(label(home, object), "file ls");
        let Some(found) = container::find(tx, OPERATOR, home)? else {
            return Err(containers::unknown(home));
        };
        let there = |row: &ObjectRow| {
            let which = id.map_or(Which::Latest, Which::Version);
            !row.object.marker && !row.object.has_ended_as(which, self.now_ms())
        };
        let Some(id) = id else {
            let row = file::version(tx, found.id, object, Which::Latest)?;
            return row.filter(there).ok_or_else(none);
        };
        file::get(tx, id)?
            .filter(|row| row.container == found.id && row.object.name == *object && there(row))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "version {} of {} is there no more: it was replaced or removed meanwhile; \
                         begin again with the newest",
                        id.get(),
                        label(home, object)
                    ),
                )
            })
    }

    /// A version of a file of the account of the command line, by its identity.
    fn base_content(&self, id: FileId) -> Result<Base, Error> {
        let mut found = None;
        let held = self.held(|| {
            let row = self.catalog.read(|tx| -> Result<_, Error> {
                let row = file::get(tx, id)?.filter(|row| !row.object.marker);
                let Some(row) = row else { return Ok(None) };
                let home = container::get(tx, row.container)?;
                Ok(Some(row).filter(|_| home.is_some_and(|home| home.account == OPERATOR)))
            })?;
            let row = row.ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "version {} is there no more, which the difference is to; begin again with \
                         the newest, or send the file whole",
                        id.get()
                    ),
                )
            })?;
            // The difference is put on top of its map.
            refuse_map(row.object.seal.as_ref())?;
            let map = Fixed { root: row.root, size: row.object.size };
            found = Some(row.object);
            Ok(map)
        })?;
        let view = self.engine.view(held.map.root, held.map.size)?;
        let object = found.ok_or_else(|| Error::invalid("a difference is to a version"))?;
        Ok(Base { content: Content::new(object, view, None), held })
    }
}

#[cfg(test)]
mod tests;
