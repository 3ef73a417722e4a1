//! Bytes that travel: export, send, receive, and the way in that import and put
//! share.

use std::error::Error as StdError;
use std::io::{self, Read, Write};
use std::ops::Range;

use archipelago_engine::{IngestError, Ingested, Piece, View};
use archipelago_format::stream::{Header, Reader, Record, StreamError};
use archipelago_model::{
    BLOCK_BYTES, Epoch, Location, SegmentId, SnapshotId, SnapshotName, SnapshotPath, Source,
    VolumeId, VolumeSize,
};

use super::Service;
use super::grants::check_maker;
use super::guest_views::disk_root;
use super::snapshots::{self, replace_head, sectors, shown_snapshot};
use super::volumes;
use crate::catalog::snapshot::SnapshotRow;
use crate::catalog::volume::VolumeRow;
use crate::catalog::{CatalogError, Tx, segment, snapshot, state, volume};
use crate::core::{Core, Fixed, record_segments, shown, snapshot_row, volume_row};
use crate::error::{Error, ErrorKind};
use crate::grant::Subject;
use crate::outgoing::{Outgoing, send_bytes};
use crate::resource::Snapshot;

/// So many stretches of a map are looked at together on the way out.
const STATUS_BATCH: usize = 1024;

/// Places in which a difference to a file tells something, in memory: 16 MiB.
const CHANGED_RANGES_MAX: usize = 1 << 20;

/// A bind is tried so often. A second time is rare: the collector would have to
/// condemn, between two transactions, what it spared when the first was refused.
const BIND_TRIES: usize = 5;

/// A stream on its way in.
pub(super) struct Incoming<'a> {
    reader: Reader<&'a mut dyn Read>,
    /// What the stream changes; the hole for a full one.
    base: Fixed,
}

impl<'a> Incoming<'a> {
    fn open(input: &'a mut dyn Read) -> Result<Self, Error> {
        let reader = Reader::new(input).map_err(stream_error)?;
        Ok(Self { reader, base: Fixed { root: Location::HOLE, size: 0 } })
    }

    /// A stream that tells everything.
    pub fn full(input: &'a mut dyn Read) -> Result<Self, Error> {
        let incoming = Self::open(input)?;
        if incoming.reader.header().base.is_some() {
            return Err(Error::invalid(
                "this is the difference between two snapshots; `archipelago snapshot receive` it",
            ));
        }
        Ok(incoming)
    }

    /// A stream that tells what differs from `base`, which it names so.
    pub fn difference(
        input: &'a mut dyn Read,
        name: &[u8; 16],
        base: Fixed,
    ) -> Result<Self, Error> {
        let incoming = Self::open(input)?;
        match &incoming.reader.header().base {
            Some(said) if said == name => Ok(Self { base, ..incoming }),
            _ => Err(Error::invalid("the stream is no difference to the version that was said")),
        }
    }

    /// The size of what it tells, exact, in bytes.
    pub fn size(&self) -> u64 {
        self.reader.header().size
    }

    /// The next piece; `None` after a good end.
    fn next(&mut self, cut: &mut Cut) -> Result<Option<Piece>, IngestError> {
        let piece = match self.reader.next() {
            Err(error) => return Err(IngestError::Source(Box::new(error))),
            Ok(Record::Data { offset, bytes }) => Piece::Data { offset, bytes },
            Ok(Record::Zero { offset, len }) => Piece::Zero { offset, len },
            Ok(Record::End) => return Ok(cut.take()),
        };
        Ok(Some(cut.pass(piece)))
    }
}

/// What a stream that shrinks its base leaves beyond the new end: it has to go, or
/// it would be back when the volume grows again.
struct Cut {
    size: u64,
    base_size: u64,
    /// The end of the last piece.
    end: u64,
    taken: bool,
}

impl Cut {
    /// A last piece that ends inside a block is filled up to it with zeros.
    fn pass(&mut self, mut piece: Piece) -> Piece {
        let limit = self.size.max(self.base_size);
        self.end = match &mut piece {
            Piece::Zero { offset, len } => *offset + *len,
            Piece::Data { offset, bytes } => {
                let end = *offset + bytes.len() as u64;
                let whole = end.next_multiple_of(BLOCK_BYTES).min(limit);
                bytes.resize((whole - *offset) as usize, 0);
                whole
            }
        };
        piece
    }

    fn take(&mut self) -> Option<Piece> {
        let offset = self.end.max(self.size);
        if self.taken || offset >= self.base_size {
            return None;
        }
        self.taken = true;
        Some(Piece::Zero { offset, len: self.base_size - offset })
    }
}

impl Core {
    /// Stores what a stream tells. Nothing is bound to a name yet; that the stream
    /// was whole is known.
    pub(super) fn ingest(&self, mut incoming: Incoming<'_>) -> Result<Ingested, Error> {
        let (base, size) = (incoming.base, incoming.size());
        let mut cut = Cut { size, base_size: base.size, end: 0, taken: false };
        self.engine
            .ingest(base.root, size.max(base.size), &mut || incoming.next(&mut cut))
            .map_err(ingest_error)
    }

    /// The same of a difference to a file; notes what it tells, merged.
    pub(super) fn ingest_difference(
        &self,
        mut incoming: Incoming<'_>,
        changed: &mut Vec<Range<u64>>,
    ) -> Result<Ingested, Error> {
        let (base, size) = (incoming.base, incoming.size());
        // In whole blocks: what is behind the end of either is zeros up to there.
        let (whole, base_size) =
            (size.next_multiple_of(BLOCK_BYTES), base.size.next_multiple_of(BLOCK_BYTES));
        let mut cut = Cut { size: whole, base_size, end: 0, taken: false };
        let ingested = self.engine.ingest(base.root, whole.max(base_size), &mut || {
            let mut piece = incoming.next(&mut cut)?;
            // Zeros up to the end are so up to the end of its block: there the base has others.
            if let Some(Piece::Zero { offset, len }) = &mut piece
                && *offset + *len == size
            {
                *len = whole - *offset;
            }
            match &piece {
                Some(Piece::Data { offset, bytes }) => {
                    note(changed, *offset..*offset + bytes.len() as u64)
                }
                Some(Piece::Zero { offset, len }) => note(changed, *offset..*offset + *len),
                None => Ok(()),
            }?;
            Ok(piece)
        });
        let ingested = ingested.map_err(ingest_error)?;
        let told_end = changed.iter().any(|range| range.end >= size && range.start < size);
        if size < base.size && !size.is_multiple_of(BLOCK_BYTES) && !told_end {
            return Err(Error::invalid(
                "a difference that is shorter than its base tells its own last block",
            ));
        }
        Ok(ingested)
    }

    /// Runs `body`, which binds the root, in a transaction that notes the segments as
    /// well. When some that the root shares are on their way out, what they hold is
    /// written again, and the root that is bound is another.
    pub(super) fn bind<T>(
        &self,
        mut ingested: Ingested,
        size_bytes: u64,
        mut body: impl FnMut(&Tx<'_>, Location) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..BIND_TRIES {
            let mut leaving = Vec::new();
            let bound = self.catalog.write(|tx| {
                record_segments(tx, &ingested.sealed)?;
                let own: Vec<SegmentId> = ingested.sealed.iter().map(|info| info.id).collect();
                let all = [ingested.named.as_slice(), &own].concat();
                leaving = segment::leaving(tx, &all)?;
                if let Some(id) = leaving.first() {
                    return Err(CatalogError::Condemned(*id).into());
                }
                segment::named(tx, &all)?;
                body(tx, *ingested.root.get())
            });
            if leaving.is_empty() {
                if bound.is_ok() {
                    self.engine.recorded(&ingested.sealed);
                }
                return bound;
            }
            tracing::info!(segments = leaving.len(), "shared data is leaving: it is written again");
            ingested = self.engine.rewrite(ingested, size_bytes, &leaving).map_err(ingest_error)?;
        }
        Err(Error::new(ErrorKind::Unavailable, "what it shares keeps leaving; try again"))
    }

    /// Sends the bytes of a fixed map that are stored.
    fn send_all(&self, from: Fixed, header: &Header, out: &mut dyn Write) -> Result<(), Error> {
        let view = self.engine.view(from.root, from.size)?;
        let mut outgoing = Outgoing::new(&view, header, out)?;
        let told = tell_all(&view, from.size, &mut outgoing);
        outgoing.finish(told)
    }

    /// Sends what differs between two fixed maps.
    fn send_changes(
        &self,
        since: Fixed,
        from: Fixed,
        header: &Header,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let view = self.engine.view(from.root, from.size)?;
        let mut outgoing = Outgoing::new(&view, header, out)?;
        let told = self.changes(since.root, from.root, 0..sectors(from.size), |range, zero| {
            let offset = range.start * archipelago_model::SECTOR_BYTES;
            let len = (range.end - range.start) * archipelago_model::SECTOR_BYTES;
            outgoing.range(offset, len, zero)
        });
        outgoing.finish(told.map(drop))
    }
}

/// Adds a range behind the others.
fn note(ranges: &mut Vec<Range<u64>>, range: Range<u64>) -> Result<(), IngestError> {
    let count = ranges.len();
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ if count == CHANGED_RANGES_MAX => {
            let message =
                "a difference in so many places is no shorter than the file: send it whole";
            return Err(IngestError::Source(message.into()));
        }
        _ => ranges.push(range),
    }
    Ok(())
}

/// Tells all of a range that begins with a block, with its holes as such.
pub(super) fn tell_range(
    view: &View,
    range: &Range<u64>,
    outgoing: &mut Outgoing<'_>,
) -> Result<(), Error> {
    let mut at = range.start;
    let end = range.end.next_multiple_of(archipelago_model::SECTOR_BYTES);
    while at < end {
        let told = view.status(at, end - at, STATUS_BATCH)?;
        if told.is_empty() {
            return Err(Error::new(ErrorKind::Internal, "a map said nothing of a range"));
        }
        for range in told {
            outgoing.range(at, range.len, range.hole)?;
            at += range.len;
        }
    }
    Ok(())
}

/// Tells what a map has stored.
fn tell_all(view: &View, size: u64, outgoing: &mut Outgoing<'_>) -> Result<(), Error> {
    let mut at = 0;
    let end = sectors(size) * archipelago_model::SECTOR_BYTES;
    while at < end {
        let ranges = view.status(at, end - at, STATUS_BATCH)?;
        if ranges.is_empty() {
            return Err(Error::new(ErrorKind::Internal, "a map said nothing of a range"));
        }
        for range in ranges {
            if !range.hole {
                outgoing.range(at, range.len, false)?;
            }
            at += range.len;
        }
    }
    Ok(())
}

impl Service {
    /// Writes anything as a full transfer stream; a live volume as of now.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` when `out` fails; `Invalid` for what is sealed with a key of its
    /// client.
    pub fn export(&self, source: &Source, out: &mut dyn Write) -> Result<(), Error> {
        if let Some(content) = self.sealed_file(source)? {
            let size = content.object().size;
            let header = Header { size, base: None, identity: None };
            let open = &mut |range: &Range<u64>| -> Box<dyn Read + Send> {
                Box::new(content.range(range.start, range.end - range.start))
            };
            let whole = 0..size;
            let sent = send_bytes(open, std::slice::from_ref(&whole), &header, out);
            return sent.map_err(|error| error.on(shown(source)));
        }
        let from = self.core.fixed(source)?;
        let header = Header { size: from.map.size, base: None, identity: None };
        self.core.send_all(from.map, &header, out).map_err(|error| error.on(shown(source)))
    }

    /// As [`Self::export`], but of a file that is a disk image, what its guest sees.
    ///
    /// # Errors
    /// As [`Self::export`]; `Invalid` when an image is no disk; `Unavailable` while it is
    /// being unpacked.
    pub fn export_disk(&self, source: &Source, out: &mut dyn Write) -> Result<(), Error> {
        let core = &self.core;
        if !source.is_file() {
            return self.export(source, out);
        }
        core.await_disk(source)?;
        let from = core.held(|| core.catalog.read(|tx| disk_root(tx, source, core.now_ms())))?;
        let header = Header { size: from.map.size, base: None, identity: None };
        core.send_all(from.map, &header, out).map_err(|error| error.on(shown(source)))
    }

    /// Writes a snapshot as a transfer stream: all of it, or the difference
    /// since another snapshot of the volume.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` when `out` fails.
    pub fn send(
        &self,
        path: &SnapshotPath,
        since: Option<&SnapshotName>,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let resolving = self.core.resolving.read_recursive();
        let (row, base) = self.core.catalog.read(|tx| -> Result<_, Error> {
            let row = snapshot_row(tx, path)?;
            let base = since
                .map(|name| {
                    let path = SnapshotPath { volume: path.volume.clone(), snapshot: name.clone() };
                    snapshot_row(tx, &path)
                })
                .transpose()?;
            Ok((row, base))
        })?;
        let _row = self.core.engine.pin(row.root);
        let _base = base.as_ref().map(|base| self.core.engine.pin(base.root));
        drop(resolving);
        let header = Header {
            size: row.size.bytes(),
            base: base.as_ref().map(|base| base.uuid),
            identity: Some(row.uuid),
        };
        let sent = match &base {
            None => self.core.send_all(fixed(&row), &header, out),
            Some(base) => self.core.send_changes(fixed(base), fixed(&row), &header, out),
        };
        sent.map_err(|error| error.on(format_args!("snapshot '{path}'")))
    }

    /// Makes a snapshot from what [`Self::send`] wrote. A full stream makes the
    /// volume too; a difference needs it to be exactly at the base.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `InUse`, `Invalid` (the stream); nothing is changed then.
    pub fn receive(&self, target: &SnapshotPath, input: &mut dyn Read) -> Result<Snapshot, Error> {
        self.receive_by(None, target, input)
    }

    /// As [`Self::receive`], for somebody who has to be let make it still when it has come.
    ///
    /// # Errors
    /// As that; `Unauthenticated`, `Forbidden`.
    pub fn receive_by(
        &self,
        subject: Option<&Subject>,
        target: &SnapshotPath,
        input: &mut dyn Read,
    ) -> Result<Snapshot, Error> {
        let on_target = |error: Error| error.on(format_args!("snapshot '{target}'"));
        let incoming = Incoming::open(input).map_err(on_target)?;
        let header = *incoming.reader.header();
        let Some(uuid) = header.identity else {
            return Err(on_target(Error::invalid(
                "the stream holds no snapshot; only what `archipelago snapshot send` wrote can \
                 be received",
            )));
        };
        let size = VolumeSize::from_bytes(header.size)
            .map_err(|error| on_target(Error::invalid(error.to_string())))?;
        let new = NewSnapshot { target, uuid, size, subject };
        let row = match header.base {
            None => self.receive_full(&new, incoming),
            Some(base) => self.receive_changes(&new, &base, incoming),
        };
        row.map(shown_snapshot)
    }

    fn receive_full(
        &self,
        new: &NewSnapshot<'_>,
        incoming: Incoming<'_>,
    ) -> Result<SnapshotRow, Error> {
        let core = &self.core;
        let name = &new.target.volume;
        if core.catalog.read(|tx| volume::find(tx, name))?.is_some() {
            return Err(Error::already_exists(format_args!(
                "a full stream makes the volume, but volume '{name}'"
            )));
        }
        let ingested = core.ingest(incoming).map_err(|error| new.on_target(error))?;
        let lsn = core.engine.log_position();
        core.bind(ingested, new.size.bytes(), |tx, root| {
            let row = VolumeRow {
                id: VolumeId::new(state::take_id(tx)?),
                name: name.clone(),
                size: new.size,
                root,
                lsn,
                epoch: Epoch::new(0),
                parent: None,
                created_ms: core.now_ms(),
                snapshots: 0,
            };
            let row = volumes::insert_one(tx, row)?;
            new.insert(core, tx, row.id, root)
        })
    }

    fn receive_changes(
        &self,
        new: &NewSnapshot<'_>,
        base: &[u8; 16],
        mut incoming: Incoming<'_>,
    ) -> Result<SnapshotRow, Error> {
        let core = &self.core;
        let target = new.target;
        let id = core.catalog.read(|tx| volume_row(tx, &target.volume))?.id;
        let _alone = core
            .exclude(id)
            .map_err(|error| error.on(format_args!("volume '{}'", target.volume)))?;
        if let Some(handle) = core.attachments.handle(id) {
            core.checkpoint(&[handle], false, |_, _| Ok(()))?;
        }
        let resolving = core.resolving.read_recursive();
        let (before, base) = core.catalog.read(|tx| {
            if snapshot::find_of(tx, id, &target.snapshot)?.is_some() {
                return Err(Error::already_exists(format_args!("snapshot '{target}'")));
            }
            let base = snapshot::find_uuid(tx, id, base)?.ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "volume '{}' has no snapshot {}, which the stream is a difference to; \
                         receive that one first",
                        target.volume,
                        hex::encode(base)
                    ),
                )
            })?;
            Ok((volume_row(tx, &target.volume)?, base))
        })?;
        let _base = core.engine.pin(base.root);
        drop(resolving);
        self.check_unchanged(&before, &base)?;
        incoming.base = fixed(&base);
        let size_bytes = new.size.bytes().max(incoming.base.size);
        let ingested = core.ingest(incoming).map_err(|error| new.on_target(error))?;
        let lsn = core.engine.log_position();
        let no_lease_meanwhile = core.attaching.lock();
        let row = core.bind(ingested, size_bytes, |tx, root| {
            // The root may be another one by now, of the same content: a flat one.
            let now = volume::get(tx, id)?;
            let now = now
                .filter(|now| now.epoch == before.epoch && now.size == before.size)
                .ok_or(CatalogError::Fenced { volume: id, epoch: before.epoch })?;
            replace_head(tx, &now, Fixed { root, size: new.size.bytes() }, new.size, lsn)?;
            new.insert(core, tx, id, root)
        })?;
        core.drop_handle(id);
        drop(no_lease_meanwhile);
        // As after a rollback.
        core.back_up_if_possible();
        Ok(row)
    }

    /// Refuses when the volume was written since the snapshot.
    fn check_unchanged(&self, row: &VolumeRow, base: &SnapshotRow) -> Result<(), Error> {
        let mut changed = row.size != base.size;
        if !changed && row.root != base.root {
            let all = 0..row.size.sectors();
            self.core.changes(base.root, row.root, all, |_, _| {
                changed = true;
                Ok(())
            })?;
        }
        if changed {
            return Err(Error::invalid(format!(
                "volume '{}' was changed since snapshot '{}', which the stream is a difference \
                 to; `archipelago snapshot rollback {}` first",
                row.name, base.path, base.path
            )));
        }
        Ok(())
    }
}

/// The snapshot that a stream makes.
struct NewSnapshot<'a> {
    target: &'a SnapshotPath,
    uuid: [u8; 16],
    size: VolumeSize,
    /// Who makes it; `None` is the operator.
    subject: Option<&'a Subject>,
}

impl NewSnapshot<'_> {
    fn on_target(&self, error: Error) -> Error {
        error.on(format_args!("snapshot '{}'", self.target))
    }

    fn insert(
        &self,
        core: &Core,
        tx: &Tx<'_>,
        volume: VolumeId,
        root: Location,
    ) -> Result<SnapshotRow, Error> {
        let label = format!("snapshot '{}'", self.target);
        check_maker(tx, self.subject, self.target.volume.owner(), &label)?;
        let row = SnapshotRow {
            id: SnapshotId::new(state::take_id(tx)?),
            uuid: self.uuid,
            volume,
            path: self.target.clone(),
            size: self.size,
            root,
            created_ms: core.now_ms(),
        };
        snapshots::insert_one(tx, row)
    }
}

fn fixed(row: &SnapshotRow) -> Fixed {
    Fixed { root: row.root, size: row.size.bytes() }
}

pub(super) fn ingest_error(error: IngestError) -> Error {
    match error {
        IngestError::Engine(error) => error.into(),
        IngestError::Source(error) => match error.downcast::<StreamError>() {
            Ok(error) => stream_error(*error),
            Err(error) => own_error(error)
                .unwrap_or_else(|error| Error::invalid(format!("the stream is refused: {error}"))),
        },
    }
}

type Cause = Box<dyn StdError + Send + Sync>;

/// Of what is read from the store itself while it is stored once more.
fn own_error(error: Cause) -> Result<Error, Cause> {
    let error = *error.downcast::<io::Error>()?;
    error.downcast::<Error>().map_err(|error| Box::new(error) as Box<_>)
}

fn stream_error(error: StreamError) -> Error {
    let kind = match &error {
        StreamError::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Invalid,
    };
    Error::new(kind, error.to_string()).with_source(error)
}

#[cfg(test)]
mod tests;
