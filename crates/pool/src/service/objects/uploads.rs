//! Uploads in parts. Completing one splices the maps of its parts and moves no data, as
//! long as parts are whole sectors, which those of all clients are; odd ones are copied.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use archipelago_engine::{Ingested, Stretch};
use archipelago_model::{Location, ObjectName, SECTOR_BYTES};
use md5::{Digest, Md5};

use super::super::Service;
use super::metered::Metered;
use super::{Check, CopySource, Stored, checked, container_of, content};
use crate::catalog::upload::{self, PartRow, UploadRow};
use crate::catalog::{Tx, file, state};
use crate::core::{Core, Fixed, Held};
use crate::error::{Error, ErrorKind};
use crate::object::{Meta, Object, Part, Upload};

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

/// Asked when a part is stored: its checksums, in base64 by their names in headers.
pub type FinishPart<'a> = dyn FnMut(&Stored) -> Result<BTreeMap<String, String>, Error> + 'a;

/// Asked before parts become an object: what is known of that.
pub type FinishUpload<'a> = dyn FnMut(&Upload, &[Part]) -> Result<Meta, Error> + 'a;

impl Service {
    /// Begins an upload in parts of an object of which so much is known.
    ///
    /// # Errors
    /// `NotFound` (the container).
    pub fn upload_create(
        &self,
        container: u64,
        name: &ObjectName,
        meta: Meta,
    ) -> Result<Upload, Error> {
        let core = &self.core;
        let meta = checked(meta)?;
        let upload = Upload {
            uuid: hex::encode(core.new_uuid()),
            object: name.clone(),
            meta,
            created_ms: core.now_ms(),
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
        check_number(number)?;
        let core = &self.core;
        // Before anything is sent in vain.
        let room = |size| {
            core.catalog.read(|tx| {
                let row = upload_row(tx, at)?;
                Ok::<_, Error>(upload::may_put_part(tx, &row, number, size)?)
            })
        };
        let mut input = Metered::new(input, size, &room)?;
        let stored = core.store(size, &mut input);
        let (ingested, stored) = input.settle(stored)?;
        let checksums = finish(&stored)?;
        core.bind_part(ingested, at, number, &stored, &checksums)
    }

    /// Makes a part of a range of an object; the whole of it without one.
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
        check_number(number)?;
        let core = &self.core;
        core.catalog.read(|tx| upload_row(tx, at))?;
        let held = core.held(|| {
            let source = core
                .catalog
                .read(|tx| core.content_row(tx, from.container, &from.name, from.which))?;
            check(&source.object)?;
            Ok(Fixed { root: source.root, size: source.object.size })
        })?;
        let size = held.map.size;
        let (offset, len) = range.unwrap_or((0, size));
        if offset.saturating_add(len) > size {
            let message = format!("the range ends behind the end of the object, at {size} bytes");
            return Err(Error::invalid(message));
        }
        core.catalog.read(|tx| {
            let row = upload_row(tx, at)?;
            Ok::<_, Error>(upload::may_put_part(tx, &row, number, len)?)
        })?;
        let stretches = [Source { held: &held, offset, len }];
        // Its MD5 is what a client compares: this is read, but not written.
        let etag = content::md5_of(&mut core.reader(&stretches)?)?;
        let stored = Stored { size: len, etag };
        let ingested = core.assemble(&stretches)?;
        core.bind_part(ingested, at, number, &stored, &BTreeMap::new())
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
        let sources: Vec<Source<'_>> =
            held.iter().map(|held| Source { held, offset: 0, len: held.map.size }).collect();
        let ingested = core.assemble(&sources)?;
        let stored = Stored { size: parts.iter().map(|part| part.size).sum(), etag: etag(&parts)? };
        core.bind(ingested, stored.size, |tx, root| {
            let now = upload_row(tx, at)?;
            if !same(&upload::parts(tx, now.id, 0, PARTS_MAX as usize)?, &chosen) {
                let message = "a part was replaced meanwhile; list the parts and complete again";
                return Err(Error::invalid(message));
            }
            let row = core.object_row(tx, at.container, at.name, &stored, &meta, root, check)?;
            file::put_parts(tx, &row, &now)?;
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
        let (ingested, _) = self.store(Some(size), &mut self.reader(sources)?)?;
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
            upload::put_part(tx, &upload, &PartRow { part: part.clone(), root })?;
            Ok(part.clone())
        })
    }
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
