//! Sealed objects: put, opened, copied. What seals them is in [`crate::seal`].

use std::io::Read;
use std::sync::Arc;

use archipelago_engine::Ingested;
use archipelago_model::{AccountId, ObjectName, PoolId};
use zeroize::Zeroizing;

use super::content::{Content, Stored};
use super::metered::Metered;
use super::pack::SMALL_BYTES_MAX;
use super::{Check, CopySource, Which, check_newest, checked, container_of};
use crate::catalog::file::{self, ObjectRow};
use crate::catalog::{Tx, seal};
use crate::core::{Core, Fixed};
use crate::error::{Error, ErrorKind};
use crate::object::{Container, Meta, Object};
use crate::seal::{
    ClientKey, DataKey, KEY_BYTES, Opener, Pieces, PiecesText, Seal, SealedBy, Sealer, Sealing,
    SealingInput, StoreKey, Target,
};
use crate::service::Service;
use crate::service::grants::share;

/// A copy looks so often again whether it moves no data: its source may be replaced meanwhile.
const COPY_TRIES: usize = 5;

/// An object that is about to be put.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// Into which container.
    pub container: u64,
    /// Which.
    pub name: &'a ObjectName,
    /// Its size, if it is known.
    pub size: Option<u64>,
    /// How it is to be sealed.
    pub sealing: &'a Sealing,
    /// Whose it will be; `None`: its container's.
    pub owner: Option<AccountId>,
}

/// Whose a copy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyOwner {
    /// The container's that it comes into. Onto itself it stays whose it was.
    Place,
    /// Still whose it was.
    Kept,
    /// This account's; `None`: the container's.
    Of(Option<AccountId>),
}

/// Where a copy comes, and whose it is then.
#[derive(Clone, Copy, Debug)]
pub struct CopyTarget<'a> {
    /// Into which container.
    pub container: u64,
    /// Under which name.
    pub name: &'a ObjectName,
    /// Whose it is.
    pub owner: CopyOwner,
}

impl CopyTarget<'_> {
    /// Whose a copy of this object, of that container, is.
    pub(super) fn owner(&self, home: &Container, source: &Object) -> Option<AccountId> {
        let itself = (home.id, &source.name) == (self.container, self.name);
        match self.owner {
            CopyOwner::Of(owner) => owner,
            CopyOwner::Place if !itself => None,
            CopyOwner::Place | CopyOwner::Kept => home.writer_of(source),
        }
    }
}

/// The keys of a copy.
#[derive(Clone, Copy, Debug)]
pub struct CopyKeys<'a> {
    /// How the copy is to be sealed.
    pub sealing: &'a Sealing,
    /// The client's key of the source, if it brings one.
    pub source: Option<&'a ClientKey>,
}

/// How a copy gets its seal.
pub(super) enum Resealed {
    /// It has that of its source, or none as that.
    Same,
    /// It has the same content under another key.
    Other(Seal),
    /// Its source is not sealed: its content has to be stored once more.
    Anew,
}

/// Asked in the transaction of a copy, of its source and the container that it comes into.
pub(super) type Reseal<'a> = dyn Fn(&Object, &Container) -> Result<Resealed, Error> + 'a;

impl Service {
    /// The store's key, for what may need it where no key can be made any more.
    fn store_key(&self) -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> {
        Ok(self.keys()?.data())
    }

    /// Seals and opens with the store's key, which is read when it is needed.
    pub(super) fn with_sealer<T>(
        &self,
        body: impl FnOnce(&Sealer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let store_key: &StoreKey<'_> = &|| self.store_key();
        body(&Sealer { store_key, random: &**self.core.env.random() })
    }

    /// As [`Self::object_put`], and says how the object is to be sealed.
    ///
    /// # Errors
    /// As that; `Invalid` (the name of a key).
    pub fn object_put_as(
        &self,
        put: &Put<'_>,
        input: &mut dyn Read,
        finish: &mut dyn FnMut(&Stored) -> Result<Meta, Error>,
        check: &Check<'_>,
    ) -> Result<Object, Error> {
        let core = &self.core;
        let Put { container, name, size, sealing, owner } = *put;
        // Before anything is sent in vain.
        let home = core.catalog.read(|tx| {
            let home = container_of(tx, container)?;
            check_newest(core, tx, container, name, check)?;
            Ok::<_, Error>(home)
        })?;
        let new = match sealing.target(&home)? {
            None => None,
            Some(target) => Some(self.with_sealer(|sealer| sealer.seal(&target, true))?),
        };
        let room = |size| core.room(container, name, size);
        let pool = core.pool_for(container)?;
        let mut input = Metered::new(input, size, &room)?;
        let stored = match &new {
            None => core.store(pool, size, &mut input),
            Some((seal, key)) => {
                let nonce = seal.nonce.as_deref().unwrap_or_default();
                core.store_sealed(pool, size, &mut input, (key, nonce))
            }
        };
        let (ingested, stored) = input.settle(stored)?;
        let meta = checked(finish(&stored)?)?;
        let seal = new.map(|(seal, _)| seal);
        core.bind(ingested, stored.size, |tx, root| {
            let mut row = core.object_row(tx, container, name, &stored, &meta, root, check)?;
            if seal.as_ref().is_some_and(|seal| !seal.shows_md5()) {
                row.object.etag = None;
            }
            row.object.seal.clone_from(&seal);
            row.object.owner = owner;
            file::put(tx, &row, core.ended_ms())?;
            share(tx, core.now_ms(), row.container, &row.object)?;
            Ok(row.object)
        })
    }

    /// As [`Self::object_open`], with the key of the client where it has one.
    ///
    /// # Errors
    /// As that; `Invalid` when the key of a client is missing, is another, or is none to bring.
    pub fn object_open_as(
        &self,
        container: u64,
        name: &ObjectName,
        which: Which,
        key: Option<&ClientKey>,
    ) -> Result<Content, Error> {
        let row = |tx: &Tx<'_>| self.core.content_row(tx, container, name, which);
        self.open_row(&row, key, &|| format!("object '{}'", shown(name)))
    }

    /// Opens the version whose row `find` gives. `called` is what errors call it.
    pub(in crate::service) fn open_row(
        &self,
        find: &dyn Fn(&Tx<'_>) -> Result<ObjectRow, Error>,
        key: Option<&ClientKey>,
        called: &dyn Fn() -> String,
    ) -> Result<Content, Error> {
        let core = &self.core;
        let mut found = None;
        let held = core.held(|| {
            let (row, parts) = core.catalog.read(|tx| -> Result<_, Error> {
                let row = find(tx)?;
                let parts = parts_of(tx, &row.object)?;
                Ok((row, parts))
            })?;
            let map = Fixed { root: row.root, size: row.object.size };
            found = Some((row.object, parts));
            Ok(map)
        })?;
        let view = core.engine.view(held.map.root, held.map.size)?;
        let Some((object, parts)) = found else {
            return Err(Error::new(ErrorKind::Internal, format!("{} has no row", called())));
        };
        let opener =
            self.opener(object.seal.as_ref(), parts, key).map_err(|error| error.on(called()))?;
        Ok(Content::new(object, view, opener))
    }

    /// What opens the content of a version; `None` when it is not sealed.
    pub(in crate::service) fn opener(
        &self,
        seal: Option<&Seal>,
        parts: Option<PiecesText>,
        key: Option<&ClientKey>,
    ) -> Result<Option<Opener>, Error> {
        let Some(seal) = seal else {
            return match key {
                None => Ok(None),
                Some(_) => Err(not_sealed()),
            };
        };
        let key = self.with_sealer(|sealer| sealer.open(seal, key))?;
        let pieces = match &seal.nonce {
            Some(nonce) => Pieces::whole(nonce)?,
            None => Pieces::of_parts(&parts.unwrap_or_default())?,
        };
        Ok(Some(Opener { key: Arc::new(key), pieces: Arc::new(pieces) }))
    }

    /// As [`Self::object_copy`], and says how the copy is to be sealed. One that is sealed as its
    /// source, or under another key, moves no data; one of what is not sealed is stored once more.
    ///
    /// # Errors
    /// As that; those of the keys.
    pub fn object_copy_as(
        &self,
        from: &CopySource,
        keys: CopyKeys<'_>,
        to: &CopyTarget<'_>,
        finish: &mut dyn FnMut(&Object) -> Result<Meta, Error>,
        check: &Check<'_>,
    ) -> Result<Object, Error> {
        let CopyTarget { container, name, .. } = *to;
        for _ in 0..COPY_TRIES {
            let resealing = self.resealing(from, container, keys)?;
            if let Some(copy) = self.copy_map(from, to, finish, check, &resealing)? {
                return Ok(copy);
            }
            // Where it is not sealed by now, it is looked at again.
            let content =
                self.object_open_as(from.container, &from.name, from.which, keys.source)?;
            if content.object().seal.is_some() {
                continue;
            }
            let meta = checked(finish(content.object())?)?;
            let size = Some(content.object().size);
            let home = self.core.catalog.read(|tx| container_of(tx, from.container))?;
            let owner = to.owner(&home, content.object());
            let put = Put { container, name, size, sealing: keys.sealing, owner };
            let input = &mut content.range(0, u64::MAX);
            return self.object_put_as(&put, input, &mut |_| Ok(meta.clone()), check);
        }
        let message = "the source of the copy keeps being replaced; try again";
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// The copy, if it moves no data.
    fn copy_map(
        &self,
        from: &CopySource,
        to: &CopyTarget<'_>,
        finish: &mut dyn FnMut(&Object) -> Result<Meta, Error>,
        check: &Check<'_>,
        resealing: &Resealing<'_>,
    ) -> Result<Option<Object>, Error> {
        let core = &self.core;
        let _resolving = core.resolving.read_recursive();
        let reseal = |source: &Object, to: &Container| resealing.of(source, to);
        core.catalog.write(|tx| core.copy_in(tx, from, to, finish, check, &reseal))
    }

    /// What seals a copy, with the store's key in hand if it is going to need it: in the
    /// transaction that it is asked in, none can be made.
    pub(super) fn resealing<'a>(
        &'a self,
        from: &CopySource,
        container: u64,
        keys: CopyKeys<'a>,
    ) -> Result<Resealing<'a>, Error> {
        let core = &self.core;
        let needs = core.catalog.read(|tx| -> Result<_, Error> {
            let source = core.content_row(tx, from.container, &from.name, from.which)?;
            let target = keys.sealing.target(&container_of(tx, container)?)?;
            Ok(source.object.seal.is_some() || matches!(target, Some(Target::Kept(_))))
        })?;
        let store_key = needs.then(|| self.store_key()).transpose()?;
        Ok(Resealing { core, keys, store_key })
    }
}

/// Seals copies.
pub(super) struct Resealing<'a> {
    core: &'a Core,
    keys: CopyKeys<'a>,
    store_key: Option<Zeroizing<[u8; KEY_BYTES]>>,
}

impl Resealing<'_> {
    /// How a copy of this gets its seal.
    pub(super) fn of(&self, source: &Object, to: &Container) -> Result<Resealed, Error> {
        let target = self.keys.sealing.target(to)?;
        let Some(seal) = &source.seal else {
            return match (self.keys.source, target) {
                (Some(_), _) => Err(not_sealed()),
                (None, None) => Ok(Resealed::Same),
                (None, Some(_)) => Ok(Resealed::Anew),
            };
        };
        // Nothing is stored in clear that was not, because nobody said how.
        let target = target.unwrap_or_else(|| match &seal.by {
            SealedBy::Store | SealedBy::Client => Target::Kept(SealedBy::Store),
            SealedBy::Service { key, .. } => {
                Target::Kept(SealedBy::Service { account: to.account.get(), key: key.clone() })
            }
        });
        if matches!(&target, Target::Kept(by) if *by == seal.by) && self.keys.source.is_none() {
            return Ok(Resealed::Same);
        }
        let store_key: &StoreKey<'_> = &|| {
            let changed = || Error::new(ErrorKind::Unavailable, "it was replaced; try again");
            self.store_key.clone().ok_or_else(changed)
        };
        let sealer = Sealer { store_key, random: &**self.core.env.random() };
        let key = sealer
            .open(seal, self.keys.source)
            .map_err(|error| error.on(format_args!("object '{}'", shown(&source.name))))?;
        Ok(Resealed::Other(sealer.reseal(seal, &key, &target)?))
    }
}

impl Core {
    /// As [`Self::store`], under a key. The MD5 is that of what came.
    pub(super) fn store_sealed(
        &self,
        pool: PoolId,
        size: Option<u64>,
        input: &mut dyn Read,
        (key, nonce): (&DataKey, &str),
    ) -> Result<(Ingested, Stored), Error> {
        let mut input = SealingInput::new(input, key, nonce)?;
        let (ingested, size) = match size {
            Some(small @ 1..=SMALL_BYTES_MAX) => (self.store_small(small, &mut input)?.0, small),
            _ => self.store_behind(pool, 0, size, &mut input, &mut |_| {})?,
        };
        Ok((ingested, Stored { size, etag: input.md5() }))
    }
}

/// Lengths and nonces of the parts, where the seal of a version is not under one nonce.
pub(super) fn parts_of(tx: &Tx<'_>, object: &Object) -> Result<Option<PiecesText>, Error> {
    match &object.seal {
        Some(seal) if seal.nonce.is_none() => Ok(seal::parts(tx, object.id)?),
        _ => Ok(None),
    }
}

fn not_sealed() -> Error {
    Error::invalid("it is not encrypted with a key of its client; ask for it without one")
}

fn shown(name: &ObjectName) -> String {
    name.as_str().escape_debug().to_string()
}
