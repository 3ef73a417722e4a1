//! Making a view: of clusters that are stored as they are the map is made anew and nothing
//! is copied; an image with packed ones is read once, unpacked, and stored as a disk.

use archipelago_engine::{IngestError, Ingested, Move, Piece as IngestPiece, View};
use archipelago_layout::{self as layout, Image, Piece, Place, Walk};
use archipelago_model::{Location, SECTOR_BYTES};
use std::sync::Arc;
use std::time::Duration;

use super::super::transfer::ingest_error;
use crate::catalog::guest_view::{self, GuestViewRow, Key};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::resource::DiskState;

/// Stretches of a file that one disk is made of at most: 2 TiB in scattered clusters of
/// 64 KiB. More would be a map without end out of a small file.
const PIECES_MAX: u64 = 32 << 20;
/// Bytes of a disk that are unpacked and stored together.
const WINDOW_BYTES: u64 = 1 << 20;

/// Extents that a disk may have beyond those of its file and one for each piece, before those of
/// its file are counted.
const EXTENTS_FREE: u64 = 1 << 16;
/// Unpacked bytes, without zeros, are at most so many times those of the file ...
const UNPACKED_SHARE_MAX: u64 = 32;
/// ... or this, if that is more.
const UNPACKED_BYTES_MIN: u64 = 64 << 20;
/// After so many pieces, or windows, it is asked whether the view is still wanted.
const LOOK_PIECES: u64 = 1024;
const LOOK_WINDOWS: u64 = 64;
/// Nothing is unpacked while less is free: this part of the pool ...
const RESERVE_PARTS: u64 = 20;
/// ... or this, if that is less.
const RESERVE_BYTES: u64 = 4 << 30;

/// Why a view was not made.
enum Stop {
    /// The image is refused, for this reason.
    Refused(String),
    /// A cluster of it is packed.
    Packed,
    /// No file has the content any more.
    Gone,
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
    /// What is damaged mostly stays so: a store has one copy. It is tried again when somebody
    /// asks for it, and when the store is opened.
    fn of(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Damaged => Self::Refused(format!("{}{error}", guest_view::UNREADABLE)),
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
    /// Makes a view, or notes why there is none; gives up at `until`, as `Unavailable`.
    pub(super) fn make_view(
        &self,
        row: GuestViewRow,
        until: Option<Duration>,
    ) -> Result<(), Error> {
        let made = self.try_view(row, until);
        if made.is_ok() {
            self.guest_views.tell();
        }
        made
    }

    fn try_view(&self, mut row: GuestViewRow, until: Option<Duration>) -> Result<(), Error> {
        let held = self.held(|| {
            // The file may be gone by now, or its map another.
            let still = self.catalog.read(|tx| guest_view::find(tx, row.key))?;
            let root = if still.is_some() { row.key.root } else { Location::HOLE };
            Ok(crate::core::Fixed { root, size: row.key.size })
        })?;
        if held.map.root.is_hole() {
            return Ok(());
        }
        match self.layout_of(&row, until) {
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
            Err((_, Stop::Gone)) => return Ok(()),
            Err((_, Stop::Failed(error))) => return Err(error),
        }
        self.catalog.write(|tx| guest_view::settle(tx, &row))?;
        Ok(())
    }

    /// The size of the disk, and its map; the size is told with what stopped it, too.
    fn layout_of(
        &self,
        row: &GuestViewRow,
        until: Option<Duration>,
    ) -> Result<(u64, Ingested), (u64, Stop)> {
        let going = Going { core: self, key: row.key, until, steps: 0 };
        let view = self.engine.view(row.key.root, row.key.size);
        let file = Stored(view.map_err(|error| (0, Stop::of(error.into())))?);
        let image = layout::open(row.format, &file).map_err(|error| (0, error.into()))?;
        let made = match row.state {
            DiskState::Unpacking => self.unpack(going, &image, &file),
            _ => self.rearrange(going, &image, &file),
        };
        let size = image.size();
        made.map(|ingested| (size, ingested)).map_err(|stop| (size, stop))
    }

    fn rearrange(
        &self,
        mut going: Going<'_>,
        image: &Image,
        file: &Stored,
    ) -> Result<Ingested, Stop> {
        let (root, mut walk) = (going.key.root, image.walk(file));
        let (mut stop, mut most) = (None, None);
        let made = self.engine.rearrange(root, &mut |extents| {
            let step = going
                .check_extents(extents, &mut most)
                .and_then(|()| next_move(&mut going, &mut walk));
            step.map_err(|why| {
                stop = Some(why);
                IngestError::Source("it was stopped".into())
            })
        });
        made.map_err(|error| stop.take().unwrap_or_else(|| Stop::of(ingest_error(error))))
    }

    fn unpack(&self, mut going: Going<'_>, image: &Image, file: &Stored) -> Result<Ingested, Stop> {
        self.check_room()?;
        let allowed = going.key.size.saturating_mul(UNPACKED_SHARE_MAX).max(UNPACKED_BYTES_MIN);
        let mut unpacking = Unpacking { image, file, walk: image.walk(file), rest: None, allowed };
        let mut stop = None;
        let made = self.engine.ingest(Location::HOLE, image.size(), &mut || {
            let window = going.step(LOOK_WINDOWS).and_then(|looked| {
                if looked {
                    self.check_room()?;
                }
                unpacking.window()
            });
            window.map_err(|why| {
                stop = Some(why);
                IngestError::Source("it was stopped".into())
            })
        });
        made.map_err(|error| stop.take().unwrap_or_else(|| Stop::of(ingest_error(error))))
    }

    /// Guests come first: a view can be made later.
    fn check_room(&self) -> Result<(), Stop> {
        let Ok(space) = self.store.space() else { return Ok(()) };
        if space.free >= (space.total / RESERVE_PARTS).min(RESERVE_BYTES) {
            return Ok(());
        }
        let what = "the pool has too little free space to unpack an image; remove something, or \
                    add to its disk";
        Err(Stop::Failed(Error::new(ErrorKind::NoSpace, what)))
    }
}

fn next_move(going: &mut Going<'_>, walk: &mut Walk<'_>) -> Result<Option<Move>, Stop> {
    going.step(LOOK_PIECES)?;
    Ok(match walk.next_piece()? {
        None => None,
        Some(Piece { at, len, place: Place::Stored(from) }) => Some(Move { from, to: at, len }),
        Some(Piece { place: Place::Packed { .. }, .. }) => return Err(Stop::Packed),
    })
}

/// Work on a view, which ends early when nobody wants it any more.
struct Going<'a> {
    core: &'a Core,
    key: Key,
    /// Whoever waits for it waits no longer than this.
    until: Option<Duration>,
    steps: u64,
}

impl Going<'_> {
    /// Before each piece or window; gives whether it had a look, as each time after so many.
    fn step(&mut self, look: u64) -> Result<bool, Stop> {
        self.steps += 1;
        let ends = |why| Stop::Failed(Error::new(ErrorKind::Unavailable, why));
        if self.core.stopping() {
            return Err(ends("the store closes"));
        }
        if self.steps > PIECES_MAX {
            return Err(Stop::Refused(format!(
                "is scattered over more than {PIECES_MAX} pieces; `archipelago image import` it"
            )));
        }
        if !self.steps.is_multiple_of(look) {
            return Ok(false);
        }
        if self.until.is_some_and(|until| self.core.env.clock().monotonic() >= until) {
            return Err(ends("it takes too long to wait for"));
        }
        let still = self.core.catalog.read(|tx| guest_view::find(tx, self.key));
        match still.map_err(|error| Stop::Failed(error.into()))? {
            Some(_) => Ok(true),
            None => Err(Stop::Gone),
        }
    }

    /// A sound disk shows nothing of its file twice, so that its map is not much longer. Hostile
    /// ones may name a stretch with many extents over and over, instead of long ones with none.
    fn check_extents(&self, extents: u64, most: &mut Option<u64>) -> Result<(), Stop> {
        if extents <= EXTENTS_FREE {
            return Ok(());
        }
        let of_file = match *most {
            Some(count) => count,
            None => {
                let count = self.core.engine.extents(self.key.root, self.key.size);
                *most.insert(count.map_err(|error| Stop::of(error.into()))?)
            }
        };
        // Where a piece begins, it cuts one in two.
        match extents > of_file.saturating_add(self.steps + EXTENTS_FREE) {
            true => Err(Stop::Refused("is damaged: clusters of it lie on one another".to_owned())),
            false => Ok(()),
        }
    }
}

/// A disk on its way out of an image.
struct Unpacking<'a> {
    image: &'a Image,
    file: &'a Stored,
    walk: Walk<'a>,
    /// What is left of the piece that was begun.
    rest: Option<Begun>,
    /// Bytes that may still be unpacked.
    allowed: u64,
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
            Place::Packed { .. } => Out::Bytes(self.unpack(&piece)?, 0),
        };
        Ok(Some(Begun { at: piece.at, len: piece.len, from }))
    }

    fn unpack(&mut self, piece: &Piece) -> Result<Vec<u8>, Stop> {
        let bytes = self.image.unpack(self.file, piece)?;
        // Zeros take no space.
        if bytes.iter().any(|byte| *byte != 0) {
            let left = self.allowed.checked_sub(bytes.len() as u64);
            self.allowed = left.ok_or_else(|| {
                Stop::Refused(format!(
                    "unpacks to more than {UNPACKED_SHARE_MAX} times its size; `archipelago image \
                     import` it"
                ))
            })?;
        }
        Ok(bytes)
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

#[cfg(test)]
mod tests;
