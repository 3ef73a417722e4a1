//! Small contents: those that come at the same time are stored together, with one segment and
//! one sync for all. Each is bound by whoever brought it.

use std::io::Read;

use archipelago_engine::Ingested;
use md5::{Digest, Md5};

use super::content::{Stored, broken};
use super::lane::{Lane, Waits};
use crate::core::Core;
use crate::error::Error;
use crate::service::transfer::ingest_error;

/// What has at most so many bytes is small: as many as the shortest run that is worth to be
/// shared. So nothing is lost by not looking for it.
pub(super) const SMALL_BYTES_MAX: u64 = 64 << 10;

/// Small contents that wait to be stored.
#[derive(Default)]
pub(crate) struct Packs(Lane<Vec<u8>, Ingested>);

impl Waits for Vec<u8> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

impl Core {
    /// Stores `size` bytes, few, with what others bring now.
    pub(super) fn store_small(
        &self,
        size: u64,
        input: &mut dyn Read,
    ) -> Result<(Ingested, Stored), Error> {
        let mut content = Vec::new();
        // One more would tell that more were sent.
        Read::take(&mut *input, size + 1)
            .read_to_end(&mut content)
            .map_err(|error| ingest_error(broken(error)))?;
        if content.len() as u64 != size {
            return Err(Error::invalid(format!(
                "{} bytes came where {size} were announced; nothing was kept, send it again",
                content.len()
            )));
        }
        let etag = hex::encode(Md5::digest(&content));
        let ingested = self.packs.0.pass(content, &|contents| self.pack(&contents))?;
        Ok((ingested, Stored { size, etag }))
    }

    fn pack(&self, contents: &[Vec<u8>]) -> Vec<Result<Ingested, Error>> {
        let all: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        match self.engine.pack(&all) {
            Ok(stored) => stored.into_iter().map(Ok).collect(),
            // There may be room for some.
            Err(_) if all.len() > 1 => {
                let alone = contents.iter().map(std::slice::from_ref);
                alone.flat_map(|content| self.pack(content)).collect()
            }
            Err(error) => vec![Err(error.into())],
        }
    }
}

#[cfg(test)]
mod tests;
