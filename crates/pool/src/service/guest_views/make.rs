//! Making a view: of clusters that are stored as they are the map is made anew and nothing
//! is copied; an image with packed ones is read once, unpacked, and stored as a disk.

use archipelago_engine::{IngestError, Ingested, Move, Piece as IngestPiece, View};
use archipelago_layout::{self as layout, Image, Piece, Place, Walk};
use archipelago_model::{Location, SECTOR_BYTES};
use std::sync::Arc;

use super::super::transfer::ingest_error;
use super::MAKE_BATCH;
use crate::catalog::guest_view::{self, GuestViewRow};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::resource::DiskState;

/// Stretches of a file that one disk is made of at most: 2 TiB in scattered clusters of
/// 64 KiB. More would be a map without end out of a small file.
const PIECES_MAX: u64 = 32 << 20;
/// Bytes of a disk that are unpacked and stored together.
const WINDOW_BYTES: u64 = 1 << 20;

/// Why a view was not made.
enum Stop {
    /// The image is refused, for this reason.
    Refused(String),
    /// A cluster of it is packed.
    Packed,
    /// Something failed; it is tried again.
    Failed(Error),
}

impl From<layout::Error> for Stop {
    fn from(error: layout::Error) -> Self {
        match error {
            layout::Error::Refused(reason) => Self::Refused(reason),
            layout::Error::Read(error) => match error.downcast::<Error>() {
                Ok(error) => Self::of(*error),
                Err(error) => Self::Failed(Error::new(ErrorKind::Internal, error.to_string())),
            },
        }
    }
}

impl Stop {
    /// What is damaged stays so: a store has one copy.
    fn of(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Damaged => Self::Refused(format!("cannot be read: {error}")),
            _ => Self::Failed(error),
        }
    }
}

/// A stored file, as layouts read it.
struct Stored(Arc<View>);

impl layout::Bytes for Stored {
    fn len(&self) -> u64 {
        self.0.size_bytes()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), layout::ReadError> {
        let read = |at, out: &mut [u8]| {
            self.0.read(at, out).map_err(|error| layout::ReadError::from(Error::from(error)))
        };
        let end = offset + out.len() as u64;
        if offset.is_multiple_of(SECTOR_BYTES) && end.is_multiple_of(SECTOR_BYTES) {
            return read(offset, out);
        }
        let start = offset / SECTOR_BYTES * SECTOR_BYTES;
        // As long as what was asked for, and two sectors.
        let mut whole = vec![0; (end.next_multiple_of(SECTOR_BYTES) - start) as usize];
        read(start, &mut whole)?;
        let skip = (offset - start) as usize;
        out.copy_from_slice(&whole[skip..skip + out.len()]);
        Ok(())
    }
}

impl Core {
    /// Makes the views that wait, as far as it can.
    pub(super) fn make_waiting(&self, packed: bool) -> Result<(), Error> {
        let rows = self.catalog.read(|tx| guest_view::waiting(tx, packed, MAKE_BATCH))?;
        let mut result = Ok(());
        for row in rows {
            if self.stopping() {
                break;
            }
            match self.make_view(row) {
                // One that fails does not keep the others from it.
                Err(error) => result = Err(error),
                Ok(()) => self.guest_views.tell(),
            }
        }
        result
    }

    fn make_view(&self, mut row: GuestViewRow) -> Result<(), Error> {
        let held = self.held(|| {
            // The file may be gone by now, or its map another.
            let still = self.catalog.read(|tx| guest_view::find(tx, row.key))?;
            let root = if still.is_some() { row.key.root } else { Location::HOLE };
            Ok(crate::core::Fixed { root, size: row.key.size })
        })?;
        if held.map.root.is_hole() {
            return Ok(());
        }
        match self.layout_of(&row) {
            Ok((size, ingested)) => {
                (row.state, row.size) = (DiskState::Ready, size);
                let bound = self.bind(ingested, size, |tx, root| {
                    row.root = root;
                    match guest_view::settle(tx, &row)? {
                        true => Ok(()),
                        false => Err(Error::new(ErrorKind::NotFound, "the file was removed")),
                    }
                });
                return match bound {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                    bound => bound,
                };
            }
            Err((size, Stop::Packed)) => (row.state, row.size) = (DiskState::Unpacking, size),
            Err((size, Stop::Refused(reason))) => {
                (row.state, row.size) = (DiskState::Refused(reason), size);
            }
            Err((_, Stop::Failed(error))) => return Err(error),
        }
        self.catalog.write(|tx| guest_view::settle(tx, &row))?;
        Ok(())
    }

    /// The size of the disk, and its map; the size is told with what stopped it, too.
    fn layout_of(&self, row: &GuestViewRow) -> Result<(u64, Ingested), (u64, Stop)> {
        let view = self.engine.view(row.key.root, row.key.size);
        let file = Stored(view.map_err(|error| (0, Stop::of(error.into())))?);
        let image = layout::open(row.format, &file).map_err(|error| (0, error.into()))?;
        let made = match row.state {
            DiskState::Unpacking => self.unpack(&image, &file),
            _ => self.rearrange(row.key.root, &image, &file),
        };
        let size = image.size();
        made.map(|ingested| (size, ingested)).map_err(|stop| (size, stop))
    }

    fn rearrange(&self, root: Location, image: &Image, file: &Stored) -> Result<Ingested, Stop> {
        let (mut walk, mut pieces) = (image.walk(file), 0);
        let mut stop = None;
        let made = self.engine.rearrange(root, &mut || {
            let step = self.next_move(&mut walk, &mut pieces);
            step.map_err(|why| {
                stop = Some(why);
                IngestError::Source("it was stopped".into())
            })
        });
        made.map_err(|error| stop.take().unwrap_or_else(|| Stop::of(ingest_error(error))))
    }

    fn next_move(&self, walk: &mut Walk<'_>, pieces: &mut u64) -> Result<Option<Move>, Stop> {
        self.check_going(pieces)?;
        Ok(match walk.next_piece()? {
            None => None,
            Some(Piece { at, len, place: Place::Stored(from) }) => Some(Move { from, to: at, len }),
            Some(Piece { place: Place::Packed { .. }, .. }) => return Err(Stop::Packed),
        })
    }

    fn check_going(&self, pieces: &mut u64) -> Result<(), Stop> {
        *pieces += 1;
        if self.stopping() {
            return Err(Stop::Failed(Error::new(ErrorKind::Unavailable, "the store closes")));
        }
        match *pieces > PIECES_MAX {
            false => Ok(()),
            true => Err(Stop::Refused(format!(
                "is scattered over more than {PIECES_MAX} pieces; `archipelago image import` it"
            ))),
        }
    }

    fn unpack(&self, image: &Image, file: &Stored) -> Result<Ingested, Stop> {
        let mut unpacking = Unpacking { image, file, walk: image.walk(file), rest: None };
        let (mut stop, mut pieces) = (None, 0);
        let made = self.engine.ingest(Location::HOLE, image.size(), &mut || {
            let window = self.check_going(&mut pieces).and_then(|()| unpacking.window());
            window.map_err(|why| {
                stop = Some(why);
                IngestError::Source("it was stopped".into())
            })
        });
        made.map_err(|error| stop.take().unwrap_or_else(|| Stop::of(ingest_error(error))))
    }
}

/// A disk on its way out of an image.
struct Unpacking<'a> {
    image: &'a Image,
    file: &'a Stored,
    walk: Walk<'a>,
    /// What is left of the piece that was begun.
    rest: Option<Begun>,
}

struct Begun {
    at: u64,
    len: u64,
    from: Out,
}

enum Out {
    Stored(u64),
    /// Unpacked, and how much of it went already.
    Bytes(Vec<u8>, usize),
}

impl Unpacking<'_> {
    fn begin(&mut self) -> Result<Option<Begun>, Stop> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        let Some(piece) = self.walk.next_piece()? else { return Ok(None) };
        let from = match piece.place {
            Place::Stored(offset) => Out::Stored(offset),
            Place::Packed { .. } => Out::Bytes(self.image.unpack(self.file, &piece)?, 0),
        };
        Ok(Some(Begun { at: piece.at, len: piece.len, from }))
    }

    /// The next window of the disk that has anything.
    fn window(&mut self) -> Result<Option<IngestPiece>, Stop> {
        let Some(first) = self.begin()? else { return Ok(None) };
        let offset = first.at / WINDOW_BYTES * WINDOW_BYTES;
        let end = (offset + WINDOW_BYTES).min(self.image.size());
        self.rest = Some(first);
        let mut bytes = vec![0; (end - offset) as usize];
        while let Some(mut begun) = self.begin()? {
            if begun.at >= end {
                self.rest = Some(begun);
                break;
            }
            let len = begun.len.min(end - begun.at);
            let start = (begun.at - offset) as usize;
            let out = &mut bytes[start..start + len as usize];
            match &mut begun.from {
                Out::Stored(from) => {
                    layout::Bytes::read(self.file, *from, out)
                        .map_err(|error| Stop::from(layout::Error::Read(error)))?;
                    *from += len;
                }
                Out::Bytes(unpacked, gone) => {
                    out.copy_from_slice(&unpacked[*gone..*gone + out.len()]);
                    *gone += out.len();
                }
            }
            (begun.at, begun.len) = (begun.at + len, begun.len - len);
            if begun.len > 0 {
                self.rest = Some(begun);
            }
        }
        Ok(Some(IngestPiece::Data { offset, bytes }))
    }
}
