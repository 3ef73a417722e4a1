//! Uploads in parts. Completing one splices the maps of its parts and moves no data, as
//! long as parts are whole sectors, which those of all clients are; odd ones are copied.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read};

use archipelago_engine::{Ingested, Stretch};
use archipelago_model::{AccountId, Location, ObjectName, PoolId, SECTOR_BYTES};
use md5::{Digest, Md5};

use super::super::Service;
use super::metered::Metered;
use super::{Check, CopySource, Stored, checked, container_of, content};
use crate::catalog::part_checksums::{self, PartChecksums};
use crate::catalog::upload::{self, PartRow, UploadRow};
use crate::catalog::{Tx, file, seal, state};
use crate::core::{Core, Fixed, Held};
use crate::error::{Error, ErrorKind};
use crate::object::{Meta, Object, Part, Upload};
use crate::seal::{ClientKey, DataKey, PiecesText, Seal, Sealing, refuse_map};

/// Parts of an upload at most, and the greatest number of one: what S3 has.
pub const PARTS_MAX: u32 = 10_000;

/// Which upload, of which object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UploadAt<'a> {
    /// Of which container.
    pub container: u64,
    /// Which object.
    pub name: &'a ObjectName,
    /// Which upload.
    pub uuid: &'a str,
}

/// Keys of the client for a part that is copied.
#[derive(Clone, Copy, Default, Debug)]
pub struct PartKeys<'a> {
    /// That of the upload.
    pub upload: Option<&'a ClientKey>,
    /// That of the source.
    pub source: Option<&'a ClientKey>,
}

/// Asked when a part is stored: its checksums, in base64 by their names in headers.
pub type FinishPart<'a> = dyn FnMut(&Stored) -> Result<BTreeMap<String, String>, Error> + 'a;

/// What is asked of a part that is copied, so that it has checksums as one that is sent.
pub struct PartSums<'a> {
    /// Sees all of its bytes, in their order.
    pub see: &'a mut dyn FnMut(&[u8]),
    /// Asked behind the last.
    pub finish: &'a mut FinishPart<'a>,
}

/// What is read, seen by somebody else as well.
struct Seen<'a> {
    input: &'a mut dyn Read,
    see: &'a mut dyn FnMut(&[u8]),
}

impl Read for Seen<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        (self.see)(out.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Asked before parts become an object: what is known of that.
pub type FinishUpload<'a> = dyn FnMut(&Upload, &[Part]) -> Result<Meta, Error> + 'a;

impl Service {
    /// Begins an upload in parts of an object of which so much is known, sealed as its container
    /// says.
    ///
    /// # Errors
    /// `NotFound` (the container).
    pub fn upload_create(
        &self,
        container: u64,
        name: &ObjectName,
        meta: Meta,
    ) -> Result<Upload, Error> {
        self.upload_create_as(container, name, meta, &Sealing::Default, None)
    }

    /// The same, and says how the object is to be sealed, and whose it will be.
    ///
    /// # Errors
    /// As that; `Invalid` (the name of a key).
    pub fn upload_create_as(
        &self,
        container: u64,
        name: &ObjectName,
        meta: Meta,
        sealing: &Sealing,
        owner: Option<AccountId>,
    ) -> Result<Upload, Error> {
        let core = &self.core;
        let meta = checked(meta)?;
        let home = core.catalog.read(|tx| container_of(tx, container))?;
        let seal = match sealing.target(&home)? {
            None => None,
            Some(target) => Some(self.with_sealer(|sealer| sealer.seal(&target, false))?.0),
        };
        let upload = Upload {
            uuid: hex::encode(core.new_uuid()),
            object: name.clone(),
            meta,
            created_ms: core.now_ms(),
            seal,
            owner,
        };
        core.catalog.write(|tx| {
            container_of(tx, container)?;
            let row = UploadRow { id: state::take_id(tx)?, container, upload: upload.clone() };
            Ok::<_, Error>(upload::insert(tx, &row)?)
        })?;
        Ok(upload)
    }

    /// An upload under way.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn upload(&self, at: UploadAt<'_>) -> Result<Upload, Error> {
        self.core.catalog.read(|tx| upload_row(tx, at)).map(|row| row.upload)
    }

    /// Parts of an upload with greater numbers than `after`; `limit` at most.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn parts(&self, at: UploadAt<'_>, after: u32, limit: usize) -> Result<Vec<Part>, Error> {
        self.core.catalog.read(|tx| {
            let row = upload_row(tx, at)?;
            let parts = upload::parts(tx, row.id, after, limit.min(PARTS_MAX as usize))?;
            Ok(parts.into_iter().map(|row| row.part).collect())
        })
    }

    /// Stores a part, in the place of one of the same number. `finish` tells its checksums.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` (the number); those of the input and of `finish`.
    pub fn upload_part(
        &self,
        at: UploadAt<'_>,
        number: u32,
        size: Option<u64>,
        input: &mut dyn Read,
        finish: &mut FinishPart<'_>,
    ) -> Result<Part, Error> {
        self.upload_part_as(at, number, None, size, input, finish)
    }

    /// The same, with the key of the client that the upload is sealed with.
    ///
    /// # Errors
    /// As that; `Invalid` when the key is missing, is another, or is none to bring.
    pub fn upload_part_as(
        &self,
        at: UploadAt<'_>,
        number: u32,
        key: Option<&ClientKey>,
        size: Option<u64>,
        input: &mut dyn Read,
        finish: &mut FinishPart<'_>,
    ) -> Result<Part, Error> {
        check_number(number)?;
        let core = &self.core;
        let seal = core.catalog.read(|tx| upload_row(tx, at))?.upload.seal;
        let key = self.part_key(seal.as_ref(), key)?;
        let pool = core.pool_for(at.container)?;
        // Before anything is sent in vain.
        let room = |size| {
            core.catalog.read(|tx| {
                let row = upload_row(tx, at)?;
                Ok::<_, Error>(upload::may_put_part(tx, &row, number, size)?)
            })
        };
        let mut input = Metered::new(input, size, &room)?;
        let nonce = key.as_ref().map(|_| DataKey::nonce(&**core.env.random()));
        let stored = match (&key, &nonce) {
            (Some(key), Some(nonce)) => core.store_sealed(pool, size, &mut input, (key, nonce)),
            _ => core.store(pool, size, &mut input),
        };
        let (ingested, mut stored) = input.settle(stored)?;
        let checksums = finish(&stored)?;
        if let Some(key) = key.filter(|_| seal.is_some_and(|seal| !seal.shows_md5())) {
            stored.etag = key.opaque_tag(&stored.etag);
        }
        core.bind_part(ingested, at, number, &stored, &checksums, nonce)
    }

    /// What the parts of an upload are sealed under; `None` when they are not.
    fn part_key(
        &self,
        seal: Option<&Seal>,
        key: Option<&ClientKey>,
    ) -> Result<Option<DataKey>, Error> {
        match (seal, key) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Error::invalid(
                "the upload was begun without a key of its client; begin another with it",
            )),
            (Some(seal), key) => {
                let opened = self.with_sealer(|sealer| sealer.open(seal, key));
                opened.map(Some).map_err(|error| error.on("the upload"))
            }
        }
    }

    /// Makes a part of a range of an object; the whole of it without one. It moves no data, unless
    /// the object or the upload is sealed.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` (the range, the number); those of `check`.
    pub fn upload_part_copy(
        &self,
        at: UploadAt<'_>,
        number: u32,
        from: &CopySource,
        range: Option<(u64, u64)>,
        check: &dyn Fn(&Object) -> Result<(), Error>,
    ) -> Result<Part, Error> {
        let sums = PartSums { see: &mut |_| {}, finish: &mut |_| Ok(BTreeMap::new()) };
        self.upload_part_copy_as(at, number, (from, range), PartKeys::default(), check, sums)
    }

    /// The same, with keys of the client, and checksums of what is copied.
    ///
    /// # Errors
    /// As that; `Invalid` when a key is missing, is another, or is none to bring; those of `sums`.
    pub fn upload_part_copy_as(
        &self,
        at: UploadAt<'_>,
        number: u32,
        (from, range): (&CopySource, Option<(u64, u64)>),
        keys: PartKeys<'_>,
        check: &dyn Fn(&Object) -> Result<(), Error>,
        sums: PartSums<'_>,
    ) -> Result<Part, Error> {
        check_number(number)?;
        let core = &self.core;
        let upload = core.catalog.read(|tx| upload_row(tx, at))?.upload;
        self.part_key(upload.seal.as_ref(), keys.upload)?;
        let content = self.object_open_as(from.container, &from.name, from.which, keys.source)?;
        if content.object().seal.is_some() || upload.seal.is_some() {
            check(content.object())?;
            let (offset, len) = within(range, content.object().size)?;
            let input = &mut Seen { input: &mut content.range(offset, len), see: sums.see };
            return self.upload_part_as(at, number, keys.upload, Some(len), input, sums.finish);
        }
        let held = core.held(|| {
            let source = core
                .catalog
                .read(|tx| core.content_row(tx, from.container, &from.name, from.which))?;
            check(&source.object)?;
            refuse_map(source.object.seal.as_ref())?;
            Ok(Fixed { root: source.root, size: source.object.size })
        })?;
        let (offset, len) = within(range, held.map.size)?;
        core.catalog.read(|tx| {
            let row = upload_row(tx, at)?;
            Ok::<_, Error>(upload::may_put_part(tx, &row, number, len)?)
        })?;
        let stretches = [Source { held: &held, offset, len }];
        // Its MD5 is what a client compares: this is read, but not written.
        let mut input = Seen { input: &mut core.reader(&stretches)?, see: sums.see };
        let etag = content::md5_of(&mut input)?;
        let stored = Stored { size: len, etag };
        let checksums = (sums.finish)(&stored)?;
        let ingested = core.assemble(&stretches)?;
        core.bind_part(ingested, at, number, &stored, &checksums, None)
    }

    /// Makes an object of parts, in the order of their numbers. `finish` sees them, and tells
    /// what is known of the object; `wanted` are numbers with the etags that the client has.
    ///
    /// # Errors
    /// `NotFound` (the upload), `Invalid` (a part is missing or is another one, or they are not
    /// in order); those of `finish` and `check`. The upload goes on then.
    pub fn upload_complete(
        &self,
        at: UploadAt<'_>,
        wanted: &[(u32, String)],
        finish: &mut FinishUpload<'_>,
        check: &Check<'_>,
    ) -> Result<Object, Error> {
        let core = &self.core;
        let (mut chosen, mut row) = (Vec::new(), None);
        let mut held = Vec::new();
        {
            let _resolving = core.resolving.read_recursive();
            core.catalog.read(|tx| -> Result<_, Error> {
                let found = upload_row(tx, at)?;
                chosen = choose(upload::parts(tx, found.id, 0, PARTS_MAX as usize)?, wanted)?;
                row = Some(found);
                Ok(())
            })?;
            for part in &chosen {
                let map = Fixed { root: part.root, size: part.part.size };
                held.push(core.held(|| Ok(map))?);
            }
        }
        let row = row.ok_or_else(|| unknown(at.uuid))?;
        let parts: Vec<Part> = chosen.iter().map(|row| row.part.clone()).collect();
        let meta = checked(finish(&row.upload, &parts)?)?;
        let sums = part_sums(&meta, &parts);
        let sources: Vec<Source<'_>> =
            held.iter().map(|held| Source { held, offset: 0, len: held.map.size }).collect();
        // What is stored is joined as it is: each part goes on to be under its own nonce.
        let ingested = core.assemble(&sources)?;
        let seal_parts = row.upload.seal.is_some().then(|| sealed_parts(&chosen)).transpose()?;
        let stored = Stored { size: parts.iter().map(|part| part.size).sum(), etag: etag(&parts)? };
        core.bind(ingested, stored.size, |tx, root| {
            let now = upload_row(tx, at)?;
            if !same(&upload::parts(tx, now.id, 0, PARTS_MAX as usize)?, &chosen) {
                let message = "a part was replaced meanwhile; list the parts and complete again";
                return Err(Error::invalid(message));
            }
            let mut row =
                core.object_row(tx, at.container, at.name, &stored, &meta, root, check)?;
            row.object.seal.clone_from(&now.upload.seal);
            row.object.owner = now.upload.owner;
            file::put_parts(tx, &row, &now, core.ended_ms())?;
            if let Some(parts) = &seal_parts {
                seal::set_parts(tx, row.object.id, parts)?;
            }
            if !sums.is_empty() {
                part_checksums::set(tx, row.object.id, &sums)?;
            }
            Ok(row.object)
        })
    }

    /// Gives an upload up, with its parts.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn upload_abort(&self, at: UploadAt<'_>) -> Result<(), Error> {
        self.core.catalog.write(|tx| Ok(upload::remove(tx, &upload_row(tx, at)?)?))
    }
}

/// Of the checksums that the object has, those of its parts, where all have one.
fn part_sums(meta: &Meta, parts: &[Part]) -> PartChecksums {
    let of_all = |name: &String| -> Option<Vec<String>> {
        parts.iter().map(|part| part.checksums.get(name).cloned()).collect()
    };
    meta.checksums.keys().filter_map(|name| Some((name.clone(), of_all(name)?))).collect()
}

/// A stretch of a map that is held.
struct Source<'a> {
    held: &'a Held,
    offset: u64,
    len: u64,
}

impl Source<'_> {
    /// Whether it can be spliced: the rest of its last sector reads as zeros.
    const fn is_whole(&self) -> bool {
        self.offset.is_multiple_of(SECTOR_BYTES)
            && (self.len.is_multiple_of(SECTOR_BYTES)
                || self.offset + self.len == self.held.map.size)
    }
}

impl Core {
    /// One map of these stretches.
    fn assemble(&self, sources: &[Source<'_>]) -> Result<Ingested, Error> {
        let inner = sources.split_last().map_or(&[][..], |(_, inner)| inner);
        let aligned = inner.iter().all(|source| source.len.is_multiple_of(SECTOR_BYTES));
        if aligned && sources.iter().all(Source::is_whole) {
            let stretch = |source: &Source<'_>| Stretch {
                root: source.held.map.root,
                offset: source.offset,
                len: source.len,
            };
            let stretches: Vec<Stretch> = sources.iter().map(stretch).collect();
            return Ok(self.engine.splice(&stretches)?);
        }
        let size = sources.iter().map(|source| source.len).sum();
        let (ingested, _) = self.store(PoolId::FIRST, Some(size), &mut self.reader(sources)?)?;
        Ok(ingested)
    }

    /// Reads stretches one behind the other.
    fn reader(&self, sources: &[Source<'_>]) -> Result<content::Row, Error> {
        let stretches = sources.iter().map(|source| {
            let view = self.engine.view(source.held.map.root, source.held.map.size)?;
            Ok(content::Stretch::new(view, source.offset, source.len))
        });
        Ok(content::Row(stretches.collect::<Result<_, Error>>()?))
    }

    fn bind_part(
        &self,
        ingested: Ingested,
        at: UploadAt<'_>,
        number: u32,
        stored: &Stored,
        checksums: &BTreeMap<String, String>,
        nonce: Option<String>,
    ) -> Result<Part, Error> {
        let part = Part {
            number,
            size: stored.size,
            etag: stored.etag.clone(),
            checksums: checksums.clone(),
            created_ms: self.now_ms(),
        };
        self.bind(ingested, stored.size, |tx, root: Location| {
            let upload = upload_row(tx, at)?;
            let row = PartRow { part: part.clone(), root, nonce: nonce.clone() };
            upload::put_part(tx, &upload, &row)?;
            Ok(part.clone())
        })
    }
}

/// A range of an object of this size.
fn within(range: Option<(u64, u64)>, size: u64) -> Result<(u64, u64), Error> {
    let (offset, len) = range.unwrap_or((0, size));
    match offset.saturating_add(len) > size {
        false => Ok((offset, len)),
        true => Err(Error::invalid(format!(
            "the range ends behind the end of the object, at {size} bytes"
        ))),
    }
}

/// Lengths and nonces of parts, as they are kept with the object.
fn sealed_parts(rows: &[PartRow]) -> Result<PiecesText, Error> {
    let of = |row: &PartRow| {
        let nonce = row.nonce.clone().ok_or_else(|| {
            let number = row.part.number;
            let message =
                format!("the catalog is damaged: part {number} has no nonce; abort the upload");
            Error::new(ErrorKind::Damaged, message)
        })?;
        Ok((row.part.size, nonce))
    };
    rows.iter().map(of).collect()
}

/// Those of the parts that a client wants.
fn choose(rows: Vec<PartRow>, wanted: &[(u32, String)]) -> Result<Vec<PartRow>, Error> {
    let mut rows: BTreeMap<u32, PartRow> =
        rows.into_iter().map(|row| (row.part.number, row)).collect();
    let mut last = 0;
    let mut out = Vec::new();
    for (number, etag) in wanted {
        if *number <= last {
            return Err(Error::invalid("parts are named in ascending order; sort them by number"));
        }
        last = *number;
        match rows.remove(number) {
            Some(row) if row.part.etag == *etag => out.push(row),
            _ => {
                let message = format!("part {number} did not come, or is another; send it again");
                return Err(Error::invalid(message));
            }
        }
    }
    match out.is_empty() {
        true => Err(Error::invalid("an object is made of one part at least; name the parts")),
        false => Ok(out),
    }
}

fn same(now: &[PartRow], chosen: &[PartRow]) -> bool {
    // The collector may have put another root with the same content in the place of one.
    let key = |row: &PartRow| (row.part.number, row.part.etag.clone(), row.part.created_ms);
    let now: HashSet<_> = now.iter().map(key).collect();
    chosen.iter().all(|row| now.contains(&key(row)))
}

/// The MD5 of the MD5s, and how many there are.
fn etag(parts: &[Part]) -> Result<String, Error> {
    let mut md5 = Md5::new();
    for part in parts {
        let bytes = hex::decode(&part.etag).map_err(|error| {
            let message = format!("the catalog is damaged: an etag of a part: {error}");
            Error::new(ErrorKind::Damaged, message)
        })?;
        md5.update(bytes);
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), parts.len()))
}

fn check_number(number: u32) -> Result<(), Error> {
    match (1..=PARTS_MAX).contains(&number) {
        true => Ok(()),
        false => Err(Error::invalid(format!("parts have numbers from 1 to {PARTS_MAX}"))),
    }
}

fn upload_row(tx: &Tx<'_>, at: UploadAt<'_>) -> Result<UploadRow, Error> {
    upload::find(tx, at.container, at.name, at.uuid)?.ok_or_else(|| unknown(at.uuid))
}

fn unknown(uuid: &str) -> Error {
    let uuid: String = uuid.chars().take(64).flat_map(char::escape_default).collect();
    Error::new(ErrorKind::NotFound, format!("upload '{uuid}' does not exist; begin another"))
}
