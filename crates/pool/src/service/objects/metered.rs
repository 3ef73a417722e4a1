//! Bodies that end where there is no more room for them.

use std::io::{self, Read};

use crate::error::Error;

/// Whether so many bytes may come, and how many may.
pub(super) type Room<'a> = dyn Fn(u64) -> Result<u64, Error> + 'a;

/// A body on its way in. A client need not say how long it will be: a quota that had its word
/// at the end only would let the disk be filled before.
pub(super) struct Metered<'a> {
    input: &'a mut dyn Read,
    came: u64,
    /// When more has come than this, it is asked again: others may have made room, or taken it.
    room: u64,
    ask: &'a Room<'a>,
    refused: Option<Error>,
}

impl<'a> Metered<'a> {
    /// A body of `size` bytes, if that is known, which may come before any are taken.
    pub(super) fn new(
        input: &'a mut dyn Read,
        size: Option<u64>,
        ask: &'a Room<'a>,
    ) -> Result<Self, Error> {
        let room = ask(size.unwrap_or(0))?;
        Ok(Self { input, came: 0, room, ask, refused: None })
    }

    /// What came of storing it: that there was no room comes before what that led to.
    pub(super) fn settle<T>(self, stored: Result<T, Error>) -> Result<T, Error> {
        self.refused.map_or(stored, Err)
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        self.came = self.came.saturating_add(read as u64);
        if self.came > self.room {
            match (self.ask)(self.came) {
                Ok(room) => self.room = room,
                Err(error) => {
                    self.refused = Some(error);
                    return Err(io::Error::other("there is no more room for it"));
                }
            }
        }
        Ok(read)
    }
}
