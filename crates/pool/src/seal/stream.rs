//! Content on its way in and out.

use std::io::{self, Read};
use std::sync::Arc;

use md5::{Digest, Md5};

use super::cipher::{DataKey, Pieces};
use crate::error::Error;

/// Turns what comes into what is stored, and hashes what came.
pub(crate) struct Sealing<'a> {
    input: &'a mut dyn Read,
    key: &'a DataKey,
    pieces: Pieces,
    at: u64,
    md5: Md5,
}

impl<'a> Sealing<'a> {
    /// `nonce`: as it is kept.
    pub fn new(input: &'a mut dyn Read, key: &'a DataKey, nonce: &str) -> Result<Self, Error> {
        Ok(Self { input, key, pieces: Pieces::whole(nonce)?, at: 0, md5: Md5::new() })
    }

    /// The MD5 of what came, in hexadecimal.
    pub fn md5(self) -> String {
        hex::encode(self.md5.finalize())
    }
}

impl Read for Sealing<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        let came = &mut out[..read];
        self.md5.update(&*came);
        self.pieces.apply(self.key, self.at, came).map_err(io::Error::other)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// What opens a stored content, from any place on.
#[derive(Clone)]
pub(crate) struct Opener {
    pub key: Arc<DataKey>,
    pub pieces: Arc<Pieces>,
}

/// Turns what is stored into content, or passes it on where it is not sealed.
pub(crate) struct Unsealing<R> {
    input: R,
    at: u64,
    opener: Option<Opener>,
}

impl<R: Read> Unsealing<R> {
    /// `at`: where in the content the input begins.
    pub const fn new(input: R, at: u64, opener: Option<Opener>) -> Self {
        Self { input, at, opener }
    }
}

impl<R: Read> Read for Unsealing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        if let Some(Opener { key, pieces }) = &self.opener {
            pieces.apply(key, self.at, &mut out[..read]).map_err(io::Error::other)?;
            self.at += read as u64;
        }
        Ok(read)
    }
}
