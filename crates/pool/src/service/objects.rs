//! Objects: put, read, copy, remove, and what is known of them. A file of the command
//! line is the newest version of one.

mod blocks;
mod containers;
mod content;
mod fork;
mod lane;
mod listing;
mod metered;
mod owner;
mod pack;
mod purge;
mod relocate;
mod sealed;
mod update;
mod uploads;
mod walk;

use std::collections::BTreeMap;
use std::io::Read;

use archipelago_model::{FileId, Location, ObjectName};

use super::Service;
use crate::catalog::file::{self, ObjectRow};
use crate::catalog::{Tx, container, part_checksums, state};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::object::{ARCHIVED_MARKER_TYPE, Container, Meta, Object, Versioning, Which};
use crate::seal::Sealing;

pub(crate) use blocks::Tidying;
pub use blocks::{
    BLOCK_WAIT_MS, BlockHash, BlockHashError, Compose, Composed, DeltaPut, FileCompose,
    FileComposed, FileVersion, GRAIN_HASH_BYTES, HASHED_AT_ONCE_BYTES_MAX, HASHED_BLOCK_BYTES,
    HASHED_BLOCKS_MAX, HashList,
};
pub(super) use containers::{for_snapshots, make};
pub(super) use content::Stretch;
pub use content::{Content, Stored};
pub use fork::FORK_OBJECTS_MAX;
pub(crate) use lane::Lanes;
pub(super) use listing::successor;
pub(crate) use pack::Packs;
pub(super) use relocate::archived_marker;
pub use sealed::{CopyKeys, CopyOwner, CopyTarget, Put};
pub use update::{Decide, Place, Update, UpdateContent, Updated};
pub use uploads::{FinishPart, FinishUpload, PARTS_MAX, PartKeys, PartSums, UploadAt};

/// JSON of what is known of an object has so many bytes at most.
const META_BYTES_MAX: usize = 64 << 10;

/// Whether a write may go on, asked in the transaction that makes it: of what it replaces,
/// if that is there and no marker.
pub type Check<'a> = dyn Fn(Option<&Object>) -> Result<(), Error> + 'a;

/// Where a copy comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopySource {
    /// Of which container.
    pub container: u64,
    /// Which object.
    pub name: ObjectName,
    /// Which version.
    pub which: Which,
}

/// What a removal did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removed {
    /// The marker that it made, or the version that is gone; `None` when there was nothing.
    pub object: Option<Object>,
    /// Whether a marker was made.
    pub made_marker: bool,
}

impl Service {
    /// Stores what `input` gives as the newest version of an object, sealed as its container says.
    /// `finish` is asked, at the end of the input, what is known of it; when it refuses, nothing
    /// is kept.
    ///
    /// # Errors
    /// `NotFound` (the container); those of the input, of `finish` and of `check`.
    pub fn object_put(
        &self,
        container: u64,
        name: &ObjectName,
        size: Option<u64>,
        input: &mut dyn Read,
        finish: &mut dyn FnMut(&Stored) -> Result<Meta, Error>,
        check: &Check<'_>,
    ) -> Result<Object, Error> {
        let put = Put { container, name, size, sealing: &Sealing::Default, owner: None };
        self.object_put_as(&put, input, finish, check)
    }

    /// A version of an object; not one that only says that it was removed.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn object(&self, container: u64, name: &ObjectName, which: Which) -> Result<Object, Error> {
        let core = &self.core;
        core.catalog.read(|tx| core.content_row(tx, container, name, which)).map(|row| row.object)
    }

    /// A version of an object, also one that only says that it was removed; `None` when there
    /// is none.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn object_or_marker(
        &self,
        container: u64,
        name: &ObjectName,
        which: Which,
    ) -> Result<Option<Object>, Error> {
        let row = self.core.catalog.read(|tx| file::version(tx, container, name, which))?;
        let now = self.core.now_ms();
        Ok(row.map(|row| row.object).filter(|object| !object.has_ended_as(which, now)))
    }

    /// Checksums of the parts of a version that came in parts: in base64, by their names in
    /// headers, in the order of the parts. Empty where there are none, or it is gone.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn part_checksums(&self, id: FileId) -> Result<BTreeMap<String, Vec<String>>, Error> {
        Ok(self.core.catalog.read(|tx| part_checksums::of(tx, id))?.unwrap_or_default())
    }

    /// Opens a version of an object. It reads on, whatever becomes of its name.
    ///
    /// # Errors
    /// `NotFound`; `Damaged`; `Invalid` when it is sealed with a key of its client.
    pub fn object_open(
        &self,
        container: u64,
        name: &ObjectName,
        which: Which,
    ) -> Result<Content, Error> {
        self.object_open_as(container, name, which, None)
    }

    /// Makes a version that shows what another does, sealed as that, or as its container says.
    /// `finish` tells what is known of it.
    ///
    /// # Errors
    /// `NotFound`; those of `finish` and `check`.
    pub fn object_copy(
        &self,
        from: &CopySource,
        container: u64,
        name: &ObjectName,
        finish: &mut dyn FnMut(&Object) -> Result<Meta, Error>,
        check: &Check<'_>,
    ) -> Result<Object, Error> {
        let keys = CopyKeys { sealing: &Sealing::Default, source: None };
        let to = CopyTarget { container, name, owner: CopyOwner::Place };
        self.object_copy_as(from, keys, &to, finish, check)
    }

    /// Changes what is known of a version; its content and its place among the others stay.
    ///
    /// # Errors
    /// `NotFound`; those of `change`.
    pub fn object_change(
        &self,
        container: u64,
        name: &ObjectName,
        which: Which,
        change: &mut dyn FnMut(&Object) -> Result<Meta, Error>,
    ) -> Result<Object, Error> {
        let core = &self.core;
        core.catalog.write(|tx| {
            let mut row = core.content_row(tx, container, name, which)?;
            row.object.meta = checked(change(&row.object)?)?;
            file::set_meta(tx, &row.object)?;
            Ok(row.object)
        })
    }

    /// Removes an object: the newest version gets a marker on top where versions are kept.
    /// With a version, that is gone for good. What is not there is no error.
    ///
    /// # Errors
    /// `NotFound` (the container); those of `check`, which sees what would be removed.
    pub fn object_remove(
        &self,
        container: u64,
        name: &ObjectName,
        which: Which,
        check: &Check<'_>,
    ) -> Result<Removed, Error> {
        let core = &self.core;
        core.catalog.write(|tx| core.remove_in(tx, container, name, which, check))
    }
}

impl Core {
    /// A version that is there for everybody: no marker, and not ended.
    fn content_row(
        &self,
        tx: &Tx<'_>,
        container: u64,
        name: &ObjectName,
        which: Which,
    ) -> Result<ObjectRow, Error> {
        content_row(tx, container, name, which, self.now_ms())
    }

    /// Whether a version of so many bytes may be put, and how many it may have.
    fn room(&self, container: u64, name: &ObjectName, size: u64) -> Result<u64, Error> {
        self.catalog.read(|tx| {
            let home = container_of(tx, container)?;
            Ok(file::may_put(tx, &home, name, size)?)
        })
    }

    /// The version that is about to be bound.
    #[allow(clippy::too_many_arguments, reason = "each is one column or one question")]
    fn object_row(
        &self,
        tx: &Tx<'_>,
        container: u64,
        name: &ObjectName,
        stored: &Stored,
        meta: &Meta,
        root: Location,
        check: &Check<'_>,
    ) -> Result<ObjectRow, Error> {
        let home = container_of(tx, container)?;
        check_newest(self, tx, container, name, check)?;
        let object = Object {
            id: FileId::new(state::take_id(tx)?),
            name: name.clone(),
            versioned: home.versioning == Versioning::Enabled,
            latest: true,
            marker: false,
            size: stored.size,
            etag: Some(stored.etag.clone()),
            meta: meta.clone(),
            created_ms: self.now_ms(),
            seal: None,
            owner: None,
        };
        Ok(ObjectRow { container, object, sha256: None, root })
    }
}

/// A version that is there for everybody at this time.
pub(super) fn content_row(
    tx: &Tx<'_>,
    container: u64,
    name: &ObjectName,
    which: Which,
    now_ms: u64,
) -> Result<ObjectRow, Error> {
    file::version(tx, container, name, which)?
        .filter(|row| !row.object.marker && !row.object.has_ended_as(which, now_ms))
        .ok_or_else(|| missing(name))
}

/// Puts a version that only says that the object was removed.
pub(super) fn put_marker(
    core: &Core,
    tx: &Tx<'_>,
    container: u64,
    name: &ObjectName,
    versioned: bool,
) -> Result<Object, Error> {
    let object = Object {
        id: FileId::new(state::take_id(tx)?),
        name: name.clone(),
        versioned,
        latest: true,
        marker: true,
        size: 0,
        etag: None,
        meta: Meta::default(),
        created_ms: core.now_ms(),
        seal: None,
        owner: None,
    };
    let row = ObjectRow { container, object, sha256: None, root: Location::HOLE };
    file::put(tx, &row, core.ended_ms())?;
    Ok(row.object)
}

fn check_newest(
    core: &Core,
    tx: &Tx<'_>,
    container: u64,
    name: &ObjectName,
    check: &Check<'_>,
) -> Result<(), Error> {
    let (newest, now) = (file::version(tx, container, name, Which::Latest)?, core.now_ms());
    let there = |object: &&Object| !object.marker && !object.has_ended(now);
    check(newest.as_ref().map(|row| &row.object).filter(there))
}

pub(super) fn container_of(tx: &Tx<'_>, id: u64) -> Result<Container, Error> {
    container::get(tx, id)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "the container was removed just now"))
}

fn missing(name: &ObjectName) -> Error {
    let name = name.as_str().escape_debug();
    Error::new(ErrorKind::NotFound, format!("object '{name}' does not exist; list the container"))
}

fn checked(meta: Meta) -> Result<Meta, Error> {
    // The sizes of parts have a limit of their own.
    let said = Meta { parts: Vec::new(), ..meta.clone() };
    let bytes = serde_json::to_string(&said).map_or(usize::MAX, |text| text.len());
    if bytes > META_BYTES_MAX {
        return Err(Error::invalid(format!(
            "headers, tags and labels of an object have {META_BYTES_MAX} bytes at most; send fewer"
        )));
    }
    Ok(meta)
}

#[cfg(test)]
mod tests;
