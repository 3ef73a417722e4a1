//! A file made of blocks that are there: its map is spliced of theirs, and no data moves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use archipelago_engine::Stretch;
use archipelago_model::{AccountId, Location, ObjectName, SECTOR_BYTES};

use super::super::content::{self, broken};
use super::super::{Check, Service, Stored, check_newest, checked, container_of};
use super::hash::BlockHash;
use super::upload::WAITING_BLOCKS_MAX;
use super::{HASHED_AT_ONCE_BYTES_MAX, HASHED_BLOCK_BYTES, HASHED_BLOCKS_MAX};
use crate::catalog::blocks::{self, PlaceRow};
use crate::catalog::file;
use crate::core::{Core, Fixed, Held};
use crate::error::Error;
use crate::object::{Meta, Object};
use crate::seal::refuse_clear;
use crate::service::grants::share;
use crate::service::transfer::ingest_error;

/// Pieces of stored data that a file of blocks may name: those of 6 TiB that came as files do, in
/// pieces of 64 KiB. A block in small pieces that is named a million times would come to
/// gigabytes of map.
const EXTENTS_MAX: u64 = (6 << 40) / (64 << 10);

/// A file to be made of blocks.
pub struct Compose<'a> {
    /// In which container.
    pub container: u64,
    /// Which.
    pub name: &'a ObjectName,
    /// Whose blocks it is made of: those of whoever asks, not of the owner of the container.
    pub account: AccountId,
    /// How long it is.
    pub size: u64,
    /// Its blocks.
    pub hashes: &'a [BlockHash],
    /// What is said of its SHA-256.
    pub sha256: Option<String>,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Composed {
    /// It is there, and this is its hash.
    Made(Box<Object>, BlockHash),
    /// Nothing was made: the account has none of these blocks. They are no more than may wait
    /// for a file at once.
    Missing(Vec<BlockHash>),
}

/// Where the blocks of a file are, held until it is bound.
struct Parts {
    stretches: Vec<Stretch>,
    _held: Vec<Held>,
}

impl Service {
    /// Makes a file of blocks that the account has, as the newest version of an object.
    ///
    /// # Errors
    /// `NotFound` (the container); `Invalid` when so many blocks are not those of so many
    /// bytes, the last one has more than there is room for, or they are in too many pieces;
    /// `QuotaExceeded`; those of `finish` and `check`.
    pub fn object_compose(
        &self,
        wanted: &Compose<'_>,
        finish: &mut dyn FnMut() -> Result<Meta, Error>,
        check: &Check<'_>,
    ) -> Result<Composed, Error> {
        let core = &self.core;
        check_count(wanted)?;
        core.catalog.read(|tx| {
            refuse_clear(&container_of(tx, wanted.container)?)?;
            check_newest(core, tx, wanted.container, wanted.name, check)
        })?;
        // Before maps are written in vain.
        core.room(wanted.container, wanted.name, wanted.size)?;
        let parts = match core.parts(wanted)? {
            Ok(parts) => parts,
            Err(missing) => return Ok(Composed::Missing(missing)),
        };
        let meta = checked(finish()?)?;
        let spliced = core.engine.splice_within(&parts.stretches, EXTENTS_MAX)?;
        let ingested = spliced.ok_or_else(too_scattered)?;
        let etag = core.md5_if_small(&parts.stretches, wanted.size)?;
        let object = core.bind(ingested, wanted.size, |tx, root| {
            let stored = Stored { size: wanted.size, etag: String::new() };
            let (to, name) = (wanted.container, wanted.name);
            refuse_clear(&container_of(tx, to)?)?;
            let mut row = core.object_row(tx, to, name, &stored, &meta, root, check)?;
            row.object.etag.clone_from(&etag);
            row.sha256.clone_from(&wanted.sha256);
            file::put(tx, &row, core.ended_ms())?;
            share(tx, core.now_ms(), row.container, &row.object)?;
            Ok(row.object)
        })?;
        core.keep_or_tell(object.id, wanted.hashes);
        // Those that the index has now need not wait any more.
        if core.is_indexed(object.id)? {
            let distinct: BTreeSet<BlockHash> = wanted.hashes.iter().copied().collect();
            let distinct: Vec<BlockHash> = distinct.into_iter().collect();
            core.forget_uploads(wanted.account, &distinct)?;
        }
        Ok(Composed::Made(Box::new(object), BlockHash::of_file(wanted.hashes)))
    }
}

fn too_scattered() -> Error {
    Error::invalid(format!(
        "the blocks are stored in more than {EXTENTS_MAX} pieces altogether; put the file by its \
         content, or make several of it"
    ))
}

fn check_count(wanted: &Compose<'_>) -> Result<(), Error> {
    let (count, size) = (wanted.hashes.len(), wanted.size);
    if count > HASHED_BLOCKS_MAX {
        let message = format!("a file has {HASHED_BLOCKS_MAX} blocks at most; make several of it");
        return Err(Error::invalid(message));
    }
    let blocks = size.div_ceil(HASHED_BLOCK_BYTES);
    match blocks == count as u64 {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{size} bytes are {blocks} blocks of {HASHED_BLOCK_BYTES} bytes, but {count} hashes came"
        ))),
    }
}

impl Core {
    /// Where the blocks are; or those that are nowhere.
    fn parts(&self, wanted: &Compose<'_>) -> Result<Result<Parts, Vec<BlockHash>>, Error> {
        let zeros = BlockHash::of_zeros();
        let distinct: BTreeSet<BlockHash> =
            wanted.hashes.iter().copied().filter(|hash| *hash != zeros).collect();
        let mut places = BTreeMap::new();
        let mut held = Vec::new();
        {
            let _resolving = self.resolving.read_recursive();
            let now = self.now_ms();
            self.catalog.read(|tx| -> Result<_, Error> {
                for hash in &distinct {
                    let text = hash.to_string();
                    let found = blocks::find(tx, wanted.account, &text, HASHED_BLOCK_BYTES, now)?;
                    places.extend(found.map(|place| (*hash, place)));
                }
                Ok(())
            })?;
            let roots: BTreeSet<Location> = places.values().map(|place| place.root).collect();
            for root in roots {
                held.push(self.held(|| Ok(Fixed { root, size: 0 }))?);
            }
        }
        let mut told = BTreeSet::new();
        let is_missing =
            |hash: &&BlockHash| distinct.contains(*hash) && !places.contains_key(*hash);
        let missing: Vec<BlockHash> = wanted
            .hashes
            .iter()
            .filter(is_missing)
            .filter(|hash| told.insert(**hash))
            .take(WAITING_BLOCKS_MAX as usize)
            .copied()
            .collect();
        if !missing.is_empty() {
            return Ok(Err(missing));
        }
        let mut stretches = Stretches::default();
        let mut left = wanted.size;
        for hash in wanted.hashes {
            let len = left.min(HASHED_BLOCK_BYTES);
            match places.get(hash) {
                Some(place) => {
                    self.check_rest(place, len)?;
                    stretches.block(place, len);
                }
                None => stretches.push(Location::HOLE, 0, len.next_multiple_of(SECTOR_BYTES)),
            }
            left -= len;
        }
        Ok(Ok(Parts { stretches: stretches.0, _held: held }))
    }

    /// A block whose hash says more than there is room for is not what the client means.
    fn check_rest(&self, place: &PlaceRow, len: u64) -> Result<(), Error> {
        let begin = place.start + len;
        let end = (place.start + HASHED_BLOCK_BYTES).min(place.map_bytes);
        if begin >= end {
            return Ok(());
        }
        let view = self.engine.view(place.root, place.map_bytes)?;
        let mut rest = Vec::new();
        let mut input = content::Stretch::new(view, begin, end - begin);
        input.read_to_end(&mut rest).map_err(|error| ingest_error(broken(error)))?;
        match rest.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "the last block has more than the {len} bytes that the size leaves for it; send \
                 the hash of what is left of it"
            ))),
        }
    }

    /// What S3 and Swift call the object by, where that takes no time.
    fn md5_if_small(&self, stretches: &[Stretch], size: u64) -> Result<Option<String>, Error> {
        if size > HASHED_AT_ONCE_BYTES_MAX {
            return Ok(None);
        }
        let mut left = size;
        let mut row = std::collections::VecDeque::new();
        for stretch in stretches {
            let len = stretch.len.min(left);
            let view =
                self.engine.view(stretch.root, stretch.offset.saturating_add(stretch.len))?;
            row.push_back(content::Stretch::new(view, stretch.offset, len));
            left -= len;
        }
        content::md5_of(&mut content::Row(row)).map(Some)
    }

    fn is_indexed(&self, file: archipelago_model::FileId) -> Result<bool, Error> {
        Ok(self.catalog.read(|tx| blocks::is_indexed(tx, file))?)
    }
}

/// Stretches, those that go on in the same map as one.
#[derive(Default)]
struct Stretches(Vec<Stretch>);

impl Stretches {
    /// The first `len` bytes of a block, and zeros where its map ends before.
    fn block(&mut self, place: &PlaceRow, len: u64) {
        let wanted = len.next_multiple_of(SECTOR_BYTES);
        let there = place.map_bytes.next_multiple_of(SECTOR_BYTES).saturating_sub(place.start);
        let there = there.min(wanted);
        self.push(place.root, place.start, there);
        self.push(Location::HOLE, 0, wanted - there);
    }

    fn push(&mut self, root: Location, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        match self.0.last_mut() {
            Some(last)
                if last.root == root && (root.is_hole() || last.offset + last.len == offset) =>
            {
                last.len += len;
            }
            _ => self.0.push(Stretch { root, offset, len }),
        }
    }
}
