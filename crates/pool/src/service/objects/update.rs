//! Updates of objects: ranged writes, appends, truncations. Any number of writers of one
//! object may be at work; each update is one version, and the order of their ids is the order
//! in which they were done.
//!
//! 1. *Store*: a writer stores what it brings, without any lock; a little stays in memory.
//! 2. *Wait*: it takes its place in the lane of its object ([`super::lane`]). Whoever finds nobody at
//!    work there takes all that wait.
//! 3. *Bind* ([`bind`]): their edits are made on the newest map, one on top of the other, in
//!    the map only, and made durable once; one transaction binds a version for each, if the
//!    newest is still the one they were made on. Else they are made on that.
//!
//! So a writer that dies before 2 has changed nothing and kept nobody, and one that dies later
//! is a thread that only waits. Readers take no part in this: what they have open never changes.

mod bind;

use std::io::{Cursor, Read};

use archipelago_engine::Ingested;
use archipelago_model::{
    AccountId, BLOCK_BYTES, Location, ObjectName, PoolId, SECTOR_BYTES, VOLUME_BYTES_MAX,
};

use super::super::Service;
use super::super::transfer::ingest_error;
use super::content::broken;
use super::lane::Waits;
use super::metered::{Metered, Room};
use super::{CopySource, Which, container_of};
use crate::catalog::file;
use crate::core::{Core, Fixed, Held};
use crate::error::{Error, ErrorKind};
use crate::object::{Container, Meta, Object};
use crate::seal::refuse_clear;

/// What brings less than this waits in memory and is stored with the map: one segment and one
/// sync for all that are bound together. At 64 and 128 KiB that is twice as much a second as a
/// segment for each, for a third of the processor's time. From there on, writers had better hash
/// and compress by themselves, all at once.
const INLINE_BYTES: u64 = 256 << 10;
/// The same, where an append does not begin or end with a sector. What is stored has to be
/// moved when another append comes first, which is then usual.
const INLINE_ODD_BYTES: u64 = 1 << 20;

const _: () = assert!(INLINE_BYTES <= INLINE_ODD_BYTES);

/// Where an update begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// At this byte. Beyond the end it is refused: who wants zeros there makes the object
    /// longer first.
    At(u64),
    /// At the end, wherever that is when its turn comes.
    End,
}

impl Place {
    /// The byte that this is when the end is at `end`.
    fn begin(self, end: u64) -> Result<u64, Error> {
        match self {
            Self::End => Ok(end),
            Self::At(offset) if offset <= end => Ok(offset),
            Self::At(offset) => Err(Error::invalid(format!(
                "byte {offset} is beyond the end of the object, at {end} bytes; append, or make \
                 it longer first"
            ))),
        }
    }
}

/// What an update brings.
pub enum UpdateContent<'a> {
    /// Bytes.
    Bytes {
        /// All of it.
        input: &'a mut dyn Read,
        /// How many, if it is known: when others come, nothing is changed.
        size: Option<u64>,
    },
    /// What another object shows, or an older state of the same. Where it begins as far behind
    /// the begin of a sector as the update, no data is moved.
    Object {
        /// Which.
        from: CopySource,
        /// Offset and length; all of it without.
        range: Option<(u64, u64)>,
    },
    /// Nothing: only the size changes, or only what is known of it.
    Nothing,
}

/// Asked about the version that an update replaces, `None` when there is none: whether the
/// update may go on, and what is known of the new version. It may be asked more than once, and
/// from another writer's thread; the last answer holds. What others have updated in the
/// same transaction has no id yet that anybody could know.
pub type Decide = dyn FnMut(Option<&Object>) -> Result<Meta, Error> + Send;

/// An update of an object.
pub struct Update<'a> {
    /// In which container.
    pub container: u64,
    /// Which.
    pub name: &'a ObjectName,
    /// Where.
    pub place: Place,
    /// What.
    pub content: UpdateContent<'a>,
    /// How long the object is afterwards: longer with zeros, or cut off. As long as it was, or
    /// as the update reaches, without.
    pub size: Option<u64>,
    /// Whether an object that is not there is made.
    pub create: bool,
    /// Whether it may be done, and what is known of the object afterwards. Checksums and sizes
    /// of parts are left out of that: they are those of other bytes.
    pub decide: Box<Decide>,
    /// Whose the object is if the update makes it; `None`: its container's. Whoever updates one
    /// that is there does not take it.
    pub owner: Option<AccountId>,
}

/// What an update did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Updated {
    /// The version that it made. Others may have made newer ones since.
    pub object: Object,
    /// Where it began.
    pub at: u64,
}

/// An update that has what it brings, and waits to be bound.
pub(super) struct Request {
    place: Place,
    payload: Payload,
    size: Option<u64>,
    create: bool,
    decide: Box<Decide>,
    owner: Option<AccountId>,
}

/// What an update brings, stored or in memory.
enum Payload {
    /// In memory.
    Bytes(Vec<u8>),
    /// Stored by this update behind `phase` zeros.
    Stored { ingested: Ingested, phase: u64, len: u64 },
    /// A stretch of another object.
    Shared { held: Held, offset: u64, len: u64 },
    /// It had to be written again, and that failed so.
    Gone(ErrorKind, String),
}

impl Payload {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stored { len, .. } | Self::Shared { len, .. } => *len,
            Self::Gone(..) => 0,
        }
    }

    /// Of which map it is a stretch, and where that begins.
    fn map(&self) -> Option<(Location, u64)> {
        match self {
            Self::Bytes(_) | Self::Gone(..) => None,
            Self::Stored { ingested, phase, .. } => Some((*ingested.root.get(), *phase)),
            Self::Shared { held, offset, .. } => Some((held.map.root, *offset)),
        }
    }
}

impl Waits for Request {
    fn bytes(&self) -> u64 {
        match &self.payload {
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::Stored { .. } | Payload::Shared { .. } | Payload::Gone(..) => 0,
        }
    }
}

impl Service {
    /// Updates an object: a ranged write, an append, a truncation. It makes one version, whose
    /// content is that of the version before it but for this.
    ///
    /// # Errors
    /// `NotFound` (the container, the object, the source), `Invalid` (beyond the end, too long,
    /// fewer or more bytes than announced), `QuotaExceeded`; those of the input and of `decide`. Nothing is
    /// changed then.
    pub fn object_update(&self, update: Update<'_>) -> Result<Updated, Error> {
        let core = &self.core;
        let Update { container, name, place, content, size, create, mut decide, owner } = update;
        // Before anything is sent in vain.
        let now = core.catalog.read(|tx| {
            refuse_clear(&container_of(tx, container)?)?;
            Ok::<_, Error>(file::version(tx, container, name, Which::Latest)?)
        })?;
        let ended_ms = core.ended_ms();
        let there = |object: &Object| !object.marker && !object.has_ended(ended_ms);
        let now = now.map(|row| row.object).filter(there);
        if now.is_none() && !create {
            return Err(super::missing(name));
        }
        decide(now.as_ref())?;
        refuse_sealed(now.as_ref())?;
        let end = now.map_or(0, |object| object.size);
        let begin = place.begin(end)?;
        let room = |len: u64| {
            // All that comes counts, also what is cut off again.
            let reached = begin.saturating_add(len).max(size.unwrap_or(end));
            Ok(core.room(container, name, reached)?.saturating_sub(begin))
        };
        let payload = core.payload(place, begin, content, &room)?;
        let request = Request { place, payload, size, create, decide, owner };
        core.updates.submit((container, name.clone()), request, &|requests| {
            core.bind_updates(container, name, requests)
        })
    }
}

/// Who adds content of others' objects would have it without asking their owners.
fn refuse_writers(home: &Container, object: &Object) -> Result<(), Error> {
    match home.writer_of(object) {
        None => Ok(()),
        Some(_) => Err(Error::invalid(format!(
            "object '{}' belongs to the account that wrote it; copy it, as one who may read it, \
             and take the copy",
            object.name.as_str().escape_debug()
        ))),
    }
}

impl Core {
    /// Takes in what an update brings. `begin`: where that would be now. `room`: whether it may
    /// bring so many bytes.
    fn payload(
        &self,
        place: Place,
        begin: u64,
        content: UpdateContent<'_>,
        room: &Room<'_>,
    ) -> Result<Payload, Error> {
        match content {
            UpdateContent::Nothing => {
                room(0)?;
                Ok(Payload::Bytes(Vec::new()))
            }
            UpdateContent::Bytes { input, size } => {
                let mut input = Metered::new(input, size, room)?;
                let payload = self.take_in(place, begin, &mut input, size);
                input.settle(payload)
            }
            UpdateContent::Object { from, range } => {
                let held = self.held(|| {
                    let found = self.catalog.read(|tx| -> Result<_, Error> {
                        let found = self.content_row(tx, from.container, &from.name, from.which)?;
                        let home = container_of(tx, from.container)?;
                        refuse_writers(&home, &found.object)?;
                        Ok(found)
                    })?;
                    refuse_sealed(Some(&found.object))?;
                    Ok(Fixed { root: found.root, size: found.object.size })
                })?;
                let size = held.map.size;
                let (offset, len) = range.unwrap_or((0, size));
                if offset.saturating_add(len) > size {
                    return Err(Error::invalid(format!(
                        "the range ends behind the end of the source, at {size} bytes"
                    )));
                }
                room(len)?;
                Ok(Payload::Shared { held, offset, len })
            }
        }
    }

    fn take_in(
        &self,
        place: Place,
        begin: u64,
        input: &mut dyn Read,
        size: Option<u64>,
    ) -> Result<Payload, Error> {
        let is_odd = |bytes: u64| !bytes.is_multiple_of(SECTOR_BYTES);
        let odd = place == Place::End && (is_odd(begin) || size.is_some_and(is_odd));
        let limit = if odd { INLINE_ODD_BYTES } else { INLINE_BYTES };
        let mut head = Vec::new();
        if size.is_none_or(|size| size < limit) {
            Read::take(&mut *input, limit)
                .read_to_end(&mut head)
                .map_err(|error| ingest_error(broken(error)))?;
        }
        if (head.len() as u64) < limit && size.is_none_or(|size| size < limit) {
            return match size {
                Some(size) if size != head.len() as u64 => Err(Error::invalid(format!(
                    "{} bytes came where {size} were announced; nothing was kept, send it again",
                    head.len()
                ))),
                _ => Ok(Payload::Bytes(head)),
            };
        }
        let phase = begin % BLOCK_BYTES;
        let input = &mut Cursor::new(head).chain(input);
        let (ingested, len) = self.store_behind(PoolId::FIRST, phase, size, input, &mut |_| {})?;
        Ok(Payload::Stored { ingested, phase, len })
    }
}

/// A range of what is sealed cannot be written: it would be under the same key stream as what was
/// there before, and who has both has the difference of their contents.
fn refuse_sealed(object: Option<&Object>) -> Result<(), Error> {
    match object {
        Some(object) if object.seal.is_some() => Err(Error::invalid(format!(
            "object '{}' is stored encrypted, and a range of it can be neither changed nor shared; \
             put all of it",
            object.name.as_str().escape_debug()
        ))),
        _ => Ok(()),
    }
}

/// The size of an object after an update of it.
fn size_after(old: u64, at: u64, len: u64, wanted: Option<u64>) -> Result<u64, Error> {
    let size = wanted.unwrap_or_else(|| old.max(at.saturating_add(len)));
    match at.saturating_add(len).max(size) > VOLUME_BYTES_MAX {
        false => Ok(size),
        true => Err(Error::invalid(format!(
            "an object has {VOLUME_BYTES_MAX} bytes at most; begin another one"
        ))),
    }
}

#[cfg(test)]
mod tests;
