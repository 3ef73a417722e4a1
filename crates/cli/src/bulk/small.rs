//! Files that go whole, of which many go at once.

use std::path::Path;

use archipelago_api::{self as api, path};
use archipelago_format::stream::{Header, Writer};
use archipelago_image::{self as image, Format};
use archipelago_model::Source;
use sha2::{Digest, Sha256};

use super::hashes;
use super::local::Local;
use crate::args::file::FilePath;
use crate::client::{Client, Method};
use crate::commands::cut_off;
use crate::failure::{Failure, Kind, Result};

/// One that has grown beyond this since it was listed is not read into memory.
const BYTES_MAX: u64 = 16 << 20;

/// Puts a local file; gives how many bytes travelled.
pub fn put(client: &Client, from: &Path, file: &FilePath) -> Result<u64> {
    let none = || Failure::new(Kind::Local, format!("'{}' is no file any more", from.display()));
    let local = Local::open(from)?.ok_or_else(none)?;
    if local.len() > BYTES_MAX {
        return Err(local.changed());
    }
    let mut bytes = vec![0; local.len() as usize];
    local.read(0, &mut bytes)?;
    let sha256 = hashes::hex(&Sha256::digest(&bytes).into());
    let header = Header { size: local.len(), base: None, identity: None };
    let stream = Writer::new(Vec::with_capacity(bytes.len() + 4096), &header)
        .and_then(|mut writer| writer.data(0, &bytes).map(|()| writer))
        .and_then(Writer::finish)
        .map_err(Failure::local(format_args!("send '{}'", from.display())))?;
    let (container, object) = (file.container.as_str(), file.object.as_str());
    let route = path::file_put(container, object, Some(&sha256));
    let _: api::File = client.upload(Method::Put, &route, &mut stream.as_slice())?;
    Ok(local.len())
}

/// Fetches a file; gives how many bytes travelled, holes aside.
pub fn fetch(client: &Client, file: &FilePath, target: &Path, force: bool) -> Result<u64> {
    let source = Source::File(file.container.clone(), file.object.clone());
    let mut stream = client.download(&path::export(&source.to_string()))?;
    let exported = image::export(&mut stream, target, Format::Raw, force, &image::no_progress)
        .map_err(cut_off)?;
    Ok(exported.data_bytes)
}
