//! The hashes of a version: computed when it comes, or when somebody asks, and kept.
//!
//! They can be computed again, and the index from a hash to its block can be made again from
//! them. So they are kept after the version is bound, and their loss costs time, never data.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use archipelago_format::hash_list;
use archipelago_model::{AccountId, FileId, ObjectName, PoolId};

use super::super::content::{Content, broken};
use super::super::{Check, Service, Stored, Which};
use super::hash::{BlockHash, Hasher, Hashing};
use super::{HASHED_AT_ONCE_BYTES_MAX, HASHED_BLOCK_BYTES, HASHED_BLOCKS_MAX, ROWS_MAX};
use crate::catalog::blocks::{self, ListRow};
use crate::catalog::{Tx, state};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::object::{Meta, Object};
use crate::service::transfer::ingest_error;

/// So many hashes are kept in a row of the catalog; a longer list is a map of its own. They are
/// those of 512 MiB, in 8 KiB of text.
const INLINE_HASHES_MAX: usize = 128;

/// Bytes that are hashed together.
const PIECE_BYTES: usize = 1 << 20;

/// Lists that are put into the index at one opportunity.
const LISTS_MAX: usize = 64;

/// Rows that each kind of tidying changes at one opportunity: a second or two, in transactions of
/// [`ROWS_MAX`].
const TIDY_MAX: u64 = 1 << 17;

/// Where tidying goes on.
#[derive(Default)]
pub(crate) struct Tidying {
    /// Up to here, lists that no file has were looked for.
    unused: u64,
    indexing: Option<Indexing>,
}

/// A list on its way into the index.
pub(super) struct Indexing {
    list: u64,
    /// So many of its hashes are there.
    position: u64,
    /// Of these accounts.
    accounts: Vec<AccountId>,
}

/// Hashes that are read together from where a list is kept.
const PIECE_HASHES: u64 = 4096;

const TOO_MANY: &str = "the object has more blocks than there are hashes of; read it by its name";

/// The hashes of a version. Of a long list, a piece is in memory.
pub struct HashList {
    hash: BlockHash,
    blocks: u64,
    /// Of them, those that were not read yet.
    left: u64,
    input: Box<dyn Read + Send>,
    piece: std::vec::IntoIter<hash_list::Hash>,
}

impl HashList {
    fn new(hash: BlockHash, blocks: u64, input: Box<dyn Read + Send>) -> Self {
        Self { hash, blocks, left: blocks, input, piece: Vec::new().into_iter() }
    }

    fn of(hashes: Vec<BlockHash>) -> Self {
        let (hash, blocks) = (BlockHash::of_file(&hashes), hashes.len() as u64);
        let raw: Vec<hash_list::Hash> = hashes.into_iter().map(|hash| hash.0).collect();
        Self { hash, blocks, left: 0, input: Box::new(io::empty()), piece: raw.into_iter() }
    }

    /// Of all of them together.
    pub const fn hash(&self) -> BlockHash {
        self.hash
    }

    /// How many there are.
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Passes over so many.
    fn pass(&mut self, count: u64) -> Result<(), Error> {
        for _ in 0..count {
            match self.next() {
                Some(hash) => drop(hash?),
                None => break,
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Vec<hash_list::Hash>, Error> {
        let count = self.left.min(PIECE_HASHES);
        self.left -= count;
        let mut bytes = vec![0; count as usize * hash_list::HASH_BYTES];
        self.input.read_exact(&mut bytes).map_err(|error| ingest_error(broken(error)))?;
        hash_list::decode(&bytes).map_err(|error| damaged(&error))
    }
}

impl Iterator for HashList {
    type Item = Result<BlockHash, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.piece.len() == 0 && self.left > 0 {
            match self.read() {
                Ok(piece) => self.piece = piece.into_iter(),
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        self.piece.next().map(|hash| Ok(BlockHash(hash)))
    }
}

impl Service {
    /// As [`Service::object_put`], and the content is hashed on its way: gives the hash of all
    /// of it, too, unless it has more than [`HASHED_BLOCKS_MAX`] blocks.
    ///
    /// # Errors
    /// As that.
    pub fn object_put_hashed(
        &self,
        container: u64,
        name: &ObjectName,
        size: Option<u64>,
        input: &mut dyn Read,
        finish: &mut dyn FnMut(&Stored) -> Result<Meta, Error>,
        check: &Check<'_>,
    ) -> Result<(Object, Option<BlockHash>), Error> {
        let mut hashing = Hashing { input, hasher: Hasher::new() };
        let object = self.object_put(container, name, size, &mut hashing, finish, check)?;
        let Some(hashes) = hashing.hasher.finish() else { return Ok((object, None)) };
        // No file is made of blocks that are sealed, and their hashes tell what they are.
        if object.seal.is_none() {
            self.core.keep_or_tell(object.id, &hashes);
        }
        Ok((object, Some(BlockHash::of_file(&hashes))))
    }

    /// The hashes of the blocks of an open version. What nobody computed before is read for it,
    /// all of it, as long as `go_on` says so.
    ///
    /// # Errors
    /// `Invalid` (more than [`HASHED_BLOCKS_MAX`] blocks); `Unavailable` (it was not to go on);
    /// `Damaged`.
    pub fn hash_list(
        &self,
        content: &Content,
        go_on: &dyn Fn() -> bool,
    ) -> Result<HashList, Error> {
        let object = content.object();
        if object.size.div_ceil(HASHED_BLOCK_BYTES) > HASHED_BLOCKS_MAX as u64 {
            return Err(Error::invalid(format!(
                "object '{}' has more than the {HASHED_BLOCKS_MAX} blocks of which there are \
                 hashes; read it by its name, in ranges",
                object.name.as_str().escape_debug()
            )));
        }
        let kept = || self.core.catalog.read(|tx| blocks::of_file(tx, object.id));
        if let Some(list) = kept()? {
            return self.core.open_list(&list);
        }
        let hashes = hashes_of(content, &|| go_on() && !self.core.stopping())?;
        if object.seal.is_some() {
            return Ok(HashList::of(hashes));
        }
        self.core.keep_or_tell(object.id, &hashes);
        match kept()? {
            Some(list) => self.core.open_list(&list),
            // The version was removed meanwhile.
            None => Ok(HashList::of(hashes)),
        }
    }

    /// The hash of a version, if it is known, or the version is small.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn object_hash(&self, content: &Content) -> Result<Option<BlockHash>, Error> {
        let id = content.object().id;
        if let Some(found) = self.object_hashes(&[id])?.remove(&id) {
            return Ok(Some(found));
        }
        match content.object().size <= HASHED_AT_ONCE_BYTES_MAX {
            true => self.hash_list(content, &|| true).map(|list| Some(list.hash())),
            false => Ok(None),
        }
    }

    /// The hashes of versions, of those that are known.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn object_hashes(&self, ids: &[FileId]) -> Result<BTreeMap<FileId, BlockHash>, Error> {
        self.core.catalog.read(|tx| {
            let mut out = BTreeMap::new();
            for id in ids {
                if let Some(list) = blocks::of_file(tx, *id)? {
                    out.insert(*id, parsed(&list.hash)?);
                }
            }
            Ok(out)
        })
    }

    /// As [`Self::object_hash`], by name.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`.
    pub fn object_hash_of(
        &self,
        container: u64,
        name: &ObjectName,
        which: Which,
    ) -> Result<Option<BlockHash>, Error> {
        self.object_hash(&self.object_open(container, name, which)?)
    }
}

fn hashes_of(content: &Content, go_on: &dyn Fn() -> bool) -> Result<Vec<BlockHash>, Error> {
    let mut hasher = Hasher::new();
    let (mut input, mut piece) = (content.range(0, u64::MAX), vec![0; PIECE_BYTES]);
    loop {
        if !go_on() {
            let message = "the hashes are not computed to their end: nobody waits for them";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        match input.read(&mut piece) {
            Ok(0) => return hasher.finish().ok_or_else(|| Error::invalid(TOO_MANY)),
            Ok(read) => hasher.update(&piece[..read]),
            Err(error) => return Err(ingest_error(broken(error))),
        }
    }
}

fn parsed(text: &str) -> Result<BlockHash, Error> {
    text.parse().map_err(|error| damaged(&error))
}

fn damaged(error: &dyn std::error::Error) -> Error {
    Error::new(ErrorKind::Damaged, format!("a list of hashes is damaged: {error}"))
}

impl Core {
    /// Keeps the hashes of a version. Without them they are computed again.
    pub(super) fn keep_or_tell(&self, file: FileId, hashes: &[BlockHash]) {
        if let Err(error) = self.keep_hashes(file, hashes) {
            tracing::warn!(%error, "hashes of blocks were not kept: they are computed again");
        }
    }

    fn keep_hashes(&self, file: FileId, hashes: &[BlockHash]) -> Result<(), Error> {
        let hash = BlockHash::of_file(hashes).to_string();
        let raw: Vec<hash_list::Hash> = hashes.iter().map(|hash| hash.0).collect();
        let row = |id: u64| ListRow {
            id,
            hash: hash.clone(),
            blocks: hashes.len() as u64,
            hashes: None,
            root: archipelago_model::Location::HOLE,
        };
        let id = if raw.len() <= INLINE_HASHES_MAX {
            self.catalog.write(|tx| {
                let hashes = Some(hex::encode(hash_list::encode(&raw)));
                let row = ListRow { hashes, ..row(state::take_id(tx)?) };
                blocks::insert(tx, &row)?;
                blocks::link(tx, file, row.id)?;
                Ok::<_, Error>(row.id)
            })?
        } else {
            let bytes = hash_list::encode(&raw);
            let size = bytes.len() as u64;
            let input = &mut Cursor::new(bytes);
            let (ingested, _) =
                self.store_behind(PoolId::FIRST, 0, Some(size), input, &mut |_| {})?;
            self.bind(ingested, size, |tx, root| {
                let row = ListRow { root, ..row(state::take_id(tx)?) };
                blocks::insert(tx, &row)?;
                blocks::link(tx, file, row.id)?;
                Ok(row.id)
            })?
        };
        self.index_list(id, hashes)
    }

    /// Reads a list, wherever it is.
    fn open_list(&self, list: &ListRow) -> Result<HashList, Error> {
        let input: Box<dyn Read + Send> = match &list.hashes {
            Some(text) => Box::new(Cursor::new(hex::decode(text).map_err(|e| damaged(&e))?)),
            None => {
                // The row may be older than a flattened map in its place.
                let held = self.held(|| {
                    let size = list.blocks.saturating_mul(hash_list::HASH_BYTES as u64);
                    let now = self.catalog.read(|tx| blocks::get(tx, list.id))?;
                    Ok(crate::core::Fixed { root: now.map_or(list.root, |now| now.root), size })
                })?;
                let view = self.engine.view(held.map.root, held.map.size)?;
                Box::new(super::super::content::Stretch::new(view, 0, held.map.size))
            }
        };
        Ok(HashList::new(parsed(&list.hash)?, list.blocks, input))
    }

    /// Puts a list that just came into the index of each account that has a file with it.
    fn index_list(&self, list: u64, hashes: &[BlockHash]) -> Result<(), Error> {
        let accounts = self.catalog.read(|tx| blocks::accounts_of(tx, list))?;
        let mut going = Indexing { list, position: 0, accounts };
        let mut hashes = hashes.iter().copied().map(Ok);
        let mut all = u64::MAX;
        self.index_some(&mut going, &mut hashes, &mut all)?;
        Ok(())
    }

    /// Puts what is left of a list into the index, as many rows as there is budget for; gives
    /// whether it is all there. When another account got a file with it meanwhile, it is not.
    fn index_some(
        &self,
        going: &mut Indexing,
        hashes: &mut dyn Iterator<Item = Result<BlockHash, Error>>,
        budget: &mut u64,
    ) -> Result<bool, Error> {
        let zeros = BlockHash::of_zeros();
        while *budget > 0 && !self.stopping() {
            let chunk: Vec<BlockHash> = hashes.take(ROWS_MAX).collect::<Result<_, Error>>()?;
            if chunk.is_empty() {
                let (list, accounts) = (going.list, &going.accounts);
                return Ok(self
                    .catalog
                    .write_aside(|tx| blocks::set_indexed_for(tx, list, accounts))?);
            }
            let distinct: BTreeMap<BlockHash, u64> =
                chunk.iter().copied().zip(going.position..).filter(|(h, _)| *h != zeros).collect();
            for account in &going.accounts {
                self.catalog.write_aside(|tx| {
                    distinct.iter().try_for_each(|(hash, position)| {
                        blocks::index(tx, *account, &hash.to_string(), going.list, *position)
                    })
                })?;
            }
            going.position += chunk.len() as u64;
            // What changes no row is read all the same.
            let rows = chunk.len() as u64 * going.accounts.len().max(1) as u64;
            *budget = budget.saturating_sub(rows);
        }
        Ok(false)
    }

    /// Puts what is not there into the index: after a crash, a restore, a copy into another
    /// account.
    pub(super) fn index_lists(
        &self,
        at: &mut Option<Indexing>,
        budget: &mut u64,
    ) -> Result<(), Error> {
        for list in self.catalog.read(|tx| blocks::unindexed(tx, LISTS_MAX))? {
            let accounts = self.catalog.read(|tx| blocks::accounts_of(tx, list.id))?;
            let begun =
                at.take().filter(|going| going.list == list.id && going.accounts == accounts);
            let mut going = begun.unwrap_or(Indexing { list: list.id, position: 0, accounts });
            let indexed = self.open_list(&list).and_then(|mut hashes| {
                hashes.pass(going.position)?;
                self.index_some(&mut going, &mut hashes, budget)
            });
            match indexed {
                Ok(_) => {}
                // Others behind it can be read.
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    tracing::error!(%error, "blocks of a file are not found by their hashes");
                    self.catalog.write_aside(|tx| blocks::set_indexed(tx, list.id, true))?;
                }
                Err(error) => return Err(error),
            }
            if *budget == 0 || self.stopping() {
                *at = Some(going);
                break;
            }
        }
        Ok(())
    }

    /// Puts lists into the index that are not there, lets go of lists that no file has and of
    /// uploaded blocks whose time is over: some of it, from where it was the last time. Gives
    /// whether there is more.
    pub(crate) fn tidy_blocks(&self, hurry: bool) -> Result<bool, Error> {
        let mut at = self.blocks_at.lock();
        let (mut indexing, mut expiring, mut removing) = (TIDY_MAX, TIDY_MAX, TIDY_MAX);
        self.index_lists(&mut at.indexing, &mut indexing)?;
        self.expire_uploads(hurry, &mut expiring)?;
        let more = self.remove_unused_lists(&mut at.unused, &mut removing)?;
        Ok(more || indexing == 0 || expiring == 0)
    }

    /// Lets go of lists that no file has, behind `at`, as many rows as there is budget for. Gives
    /// whether there are more to look at.
    fn remove_unused_lists(&self, at: &mut u64, budget: &mut u64) -> Result<bool, Error> {
        let lists = self.catalog.read(|tx| blocks::used(tx, *at, ROWS_MAX))?;
        for (list, is_used) in &lists {
            let mut left = !is_used;
            while left {
                if *budget == 0 || self.stopping() {
                    return Ok(true);
                }
                let removed =
                    self.catalog.write(|tx| blocks::remove_unused(tx, *list, ROWS_MAX))?;
                *budget = budget.saturating_sub(removed as u64);
                left = removed == ROWS_MAX;
            }
            *at = *list;
        }
        let full = lists.len() == ROWS_MAX;
        if !full {
            *at = 0;
        }
        Ok(full)
    }
}

/// What a version that shows the same as another gets of its list, in the transaction that
/// makes it. `list`: that of the other, which may be gone by now.
pub(in crate::service::objects) fn link_copy(
    tx: &Tx<'_>,
    list: Option<ListRow>,
    copy: FileId,
    same_account: bool,
) -> Result<(), Error> {
    if let Some(list) = list {
        blocks::link(tx, copy, list.id)?;
        if !same_account {
            blocks::set_indexed(tx, list.id, false)?;
        }
    }
    Ok(())
}
