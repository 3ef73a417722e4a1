//! Copies, moves and removals of objects, each in one transaction.

use archipelago_model::{FileId, Location, ObjectName};
use md5::{Digest, Md5};

use super::super::Service;
use super::super::grants::share;
use super::sealed::{Reseal, Resealed, parts_of};
use super::{ARCHIVED_MARKER_TYPE, put_marker};
use super::{
    Check, CopyKeys, CopyOwner, CopySource, CopyTarget, Removed, Which, blocks, check_newest,
    checked, container_of,
};
use crate::catalog::file::{self, ObjectRow};
use crate::catalog::{Tx, archive, blocks as lists, part_checksums, seal as seals, state};
use crate::core::Core;
use crate::error::Error;
use crate::object::{Container, Meta, Object, Versioning};
use crate::seal::{Seal, Sealing};

impl Service {
    /// Makes a version that shows what the newest of another object does, and removes that
    /// object, both or neither. `leave` is asked of what would be removed.
    ///
    /// # Errors
    /// As [`Service::object_copy`]; `Invalid` (onto itself, or into a container that encrypts what
    /// is not encrypted); those of `leave`.
    pub fn object_move(
        &self,
        from: (u64, &ObjectName),
        container: u64,
        name: &ObjectName,
        finish: &mut dyn FnMut(&Object) -> Result<Meta, Error>,
        check: &Check<'_>,
        leave: &Check<'_>,
    ) -> Result<Object, Error> {
        if from == (container, name) {
            return Err(Error::invalid(
                "an object cannot be moved onto itself; name another place",
            ));
        }
        let core = &self.core;
        let (home, old) = from;
        let source = CopySource { container: home, name: old.clone(), which: Which::Latest };
        let keys = CopyKeys { sealing: &Sealing::Default, source: None };
        let resealing = self.resealing(&source, container, keys)?;
        let _resolving = core.resolving.read_recursive();
        core.catalog.write(|tx| {
            let reseal = |source: &Object, to: &Container| resealing.of(source, to);
            let to = CopyTarget { container, name, owner: CopyOwner::Kept };
            let copy = core.copy_in(tx, &source, &to, finish, check, &reseal)?;
            let object = copy.ok_or_else(|| {
                Error::invalid(
                    "the container encrypts what comes into it, so that it cannot be moved there; \
                     copy it and remove it",
                )
            })?;
            core.remove_in(tx, home, old, Which::Latest, leave)?;
            Ok(object)
        })
    }
}

impl Core {
    /// A copy that shares the map of its source; `None` when it has to be stored once more, since
    /// it is to be sealed and its source is not.
    pub(super) fn copy_in(
        &self,
        tx: &Tx<'_>,
        from: &CopySource,
        target: &CopyTarget<'_>,
        finish: &mut dyn FnMut(&Object) -> Result<Meta, Error>,
        check: &Check<'_>,
        reseal: &Reseal<'_>,
    ) -> Result<Option<Object>, Error> {
        let CopyTarget { container, name, .. } = *target;
        let source = self.content_row(tx, from.container, &from.name, from.which)?;
        let (home, to) = (container_of(tx, from.container)?, container_of(tx, container)?);
        check_newest(self, tx, container, name, check)?;
        let seal = match reseal(&source.object, &to)? {
            Resealed::Same => source.object.seal.clone(),
            Resealed::Other(seal) => Some(seal),
            Resealed::Anew => return Ok(None),
        };
        // The source may be what the copy takes the place of.
        let seal_parts = parts_of(tx, &source.object)?;
        let sums = part_checksums::of(tx, source.object.id)?;
        let meta = checked(finish(&source.object)?)?;
        let list = lists::of_file(tx, source.object.id)?;
        let object = Object {
            id: FileId::new(state::take_id(tx)?),
            name: name.clone(),
            versioned: to.versioning == Versioning::Enabled,
            latest: true,
            meta,
            created_ms: self.now_ms(),
            owner: target.owner(&home, &source.object),
            // That of an upload in parts is made of MD5s, where those were shown.
            etag: source.object.etag.filter(|etag| {
                let was_shown = source.object.seal.as_ref().is_none_or(Seal::shows_md5);
                seal.as_ref().is_none_or(Seal::shows_md5) || (etag.contains('-') && !was_shown)
            }),
            seal,
            ..source.object
        };
        let same_account = home.account == to.account;
        let row = ObjectRow { container, object, ..source };
        file::put(tx, &row, self.ended_ms())?;
        share(tx, self.now_ms(), row.container, &row.object)?;
        if let Some(parts) = seal_parts {
            seals::set_parts(tx, row.object.id, &parts)?;
        }
        if let Some(sums) = sums.filter(|_| !row.object.meta.parts.is_empty()) {
            part_checksums::set(tx, row.object.id, &sums)?;
        }
        blocks::link_copy(tx, list, row.object.id, same_account)?;
        Ok(Some(row.object))
    }

    pub(super) fn remove_in(
        &self,
        tx: &Tx<'_>,
        container: u64,
        name: &ObjectName,
        which: Which,
        check: &Check<'_>,
    ) -> Result<Removed, Error> {
        let home = container_of(tx, container)?;
        let found = file::version(tx, container, name, which)?;
        check(found.as_ref().map(|row| &row.object).filter(|object| !object.marker))?;
        let note = |name| Ok(archived_marker(state::take_id(tx)?, name, self.now_ms()));
        if !matches!(which, Which::Version(_))
            && let Some(gone) = archive::remove(tx, &home, name, self.now_ms(), note)?
        {
            let object = gone.map(|row| row.object);
            return Ok(Removed { object, made_marker: false });
        }
        if which != Which::Latest || home.versioning == Versioning::Off {
            if let Some(row) = &found {
                file::remove(tx, row)?;
            }
            let object = found.map(|row| row.object);
            return Ok(Removed { object, made_marker: false });
        }
        let versioned = home.versioning == Versioning::Enabled;
        let marker = put_marker(self, tx, container, name, versioned)?;
        Ok(Removed { object: Some(marker), made_marker: true })
    }
}

/// The note in an archive that something was removed; the catalog says where it goes.
pub(in crate::service) fn archived_marker(id: u64, name: ObjectName, now_ms: u64) -> ObjectRow {
    let kind = ("content-type".to_owned(), ARCHIVED_MARKER_TYPE.to_owned());
    let object = Object {
        id: FileId::new(id),
        name,
        versioned: false,
        latest: true,
        marker: false,
        size: 0,
        etag: Some(hex::encode(Md5::digest([]))),
        meta: Meta { headers: [kind].into(), ..Meta::default() },
        created_ms: now_ms,
        seal: None,
        owner: None,
    };
    ObjectRow { container: 0, object, sha256: None, root: Location::HOLE }
}
