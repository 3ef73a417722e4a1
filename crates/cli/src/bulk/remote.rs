//! A version of a file in the store.

use std::io::Read;
use std::ops::Range;

use archipelago_api::{
    FILE_SIZE_HEADER, FILE_VERSION_HEADER, GRAIN_HASH_BYTES, HASHED_BLOCK_BYTES, HashGrains,
    SHORT_HASH_BYTES, path,
};
use archipelago_format::stream::{Reader, Record};

use super::hashes::{GrainHash, ShortHash};
use crate::args::file::FilePath;
use crate::client::Client;
use crate::commands::cut_off;
use crate::failure::Result;

/// Which version, and how long it is.
#[derive(Clone, Debug)]
pub struct Remote {
    pub file: FilePath,
    pub version: u64,
    pub size: u64,
}

impl Remote {
    /// The newest version with the shorts of its blocks.
    pub fn hashed(client: &Client, file: &FilePath) -> Result<(Self, Vec<ShortHash>)> {
        let path = path::file_blocks(file.container.as_str(), file.object.as_str());
        let answer = client.get_bytes(&path)?;
        let number = |name: &str| {
            let value = answer.header(name).and_then(|value| value.parse().ok());
            value.ok_or_else(|| client.foreign(&path, &format!("an answer without {name}")))
        };
        let (version, size): (u64, u64) = (number(FILE_VERSION_HEADER)?, number(FILE_SIZE_HEADER)?);
        let (shorts, rest) = answer.bytes.as_chunks::<SHORT_HASH_BYTES>();
        if !rest.is_empty() || shorts.len() as u64 != size.div_ceil(HASHED_BLOCK_BYTES) {
            return Err(client.foreign(&path, "hashes of another number of blocks"));
        }
        Ok((Self { file: file.clone(), version, size }, shorts.to_vec()))
    }

    /// Hashes of grains of ranges.
    pub fn grains(
        &self,
        client: &Client,
        grain: u64,
        ranges: &[Range<u64>],
    ) -> Result<Vec<GrainHash>> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let path = path::file_blocks(self.file.container.as_str(), self.file.object.as_str());
        let pairs = ranges.iter().map(|range| (range.start, range.end)).collect();
        let asked = HashGrains { version: self.version, grain, ranges: pairs };
        let answer = client.post_for_bytes(&path, &asked)?;
        let (hashes, rest) = answer.bytes.as_chunks::<GRAIN_HASH_BYTES>();
        let wanted: u64 =
            ranges.iter().map(|range| (range.end - range.start).div_ceil(grain)).sum();
        if !rest.is_empty() || hashes.len() as u64 != wanted {
            return Err(client.foreign(&path, "hashes of another number of grains"));
        }
        Ok(hashes.to_vec())
    }

    /// Reads ranges, each of whole blocks of 4 KiB; `take` gets what is no zeros, in order.
    pub fn read(
        &self,
        client: &Client,
        ranges: &[Range<u64>],
        take: &mut dyn FnMut(u64, &[u8]) -> Result,
        zeros: &mut dyn FnMut(Range<u64>) -> Result,
    ) -> Result {
        let source = format!("file:{}", self.file);
        let path = path::export_ranges(&source, self.version, ranges);
        let stream: Box<dyn Read> = Box::new(client.download(&path)?);
        let mut reader = Reader::new(stream).map_err(|error| cut_off(error.into()))?;
        if reader.header().size != self.size {
            return Err(client.foreign(&path, "a file of another size"));
        }
        let within = |part: &Range<u64>| {
            ranges.iter().any(|range| range.start <= part.start && part.end <= range.end)
        };
        loop {
            let part = match reader.next().map_err(|error| cut_off(error.into()))? {
                Record::Data { offset, bytes } => {
                    let part = offset..offset + bytes.len() as u64;
                    take(offset, &bytes)?;
                    part
                }
                Record::Zero { offset, len } => {
                    let part = offset..offset + len;
                    zeros(part.clone())?;
                    part
                }
                Record::End => return Ok(()),
            };
            if !within(&part) {
                return Err(client.foreign(&path, "bytes that nobody asked for"));
            }
        }
    }
}
