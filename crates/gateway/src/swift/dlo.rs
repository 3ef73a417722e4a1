//! Dynamic large objects: `X-Object-Manifest: container/prefix`, all objects whose names begin
//! so, one behind the other.

use std::sync::Arc;

use archipelago_pool::{Service, Step, Walk, Walked};
use md5::{Digest, Md5};

use super::access::{Need, Rights};
use super::answer::Refusal;
use super::ask::{container_name, decode, object_name};
use super::info::LISTING_MAX;
use super::link;
use super::segments::{PIECES_MAX, Piece, Whole, named};

/// Setting of an object: what it is made of, as the header says it.
pub(super) const SETTING: &str = "swift.dlo";

/// Links among its segments that are followed at most: each is looked up by itself, in one of
/// the threads that all short requests share.
pub(super) const SEGMENT_LINKS_MAX: usize = 1000;

/// Checks the header.
pub(super) fn check(text: &str) -> Result<String, Refusal> {
    split(text)
        .map(|_| text.to_owned())
        .ok_or_else(|| Refusal::invalid("X-Object-Manifest must be in the format container/prefix"))
}

fn split(text: &str) -> Option<(String, String)> {
    let decoded = decode(text, false)?;
    let decoded = decoded.strip_prefix('/').unwrap_or(&decoded);
    let (container, prefix) = decoded.split_once('/')?;
    let bad = container.is_empty() || prefix.is_empty() || prefix.starts_with('/');
    (!bad && !text.contains(['?', '&'])).then(|| (container.to_owned(), prefix.to_owned()))
}

/// What a manifest stands for.
pub(super) fn whole(service: &Service, rights: &Rights, manifest: &str) -> Result<Whole, Refusal> {
    let wrong = || Refusal::conflict("The manifest is not in the format container/prefix.");
    let (container, prefix) = split(manifest).ok_or_else(wrong)?;
    let container = container_name(&container)?;
    let mut whole =
        Whole { pieces: Vec::new(), size: 0, etag: None, dynamic: true, parts: Vec::new() };
    let (mut md5, mut links) = (Md5::new(), 0);
    let shared = Arc::new(rights.clone());
    // Who writes a manifest says where it leads, and that must tell nobody of names which it could
    // not read: what may be read is the folder, and not just one name of it.
    let container = match object_name(&format!("{prefix}0")) {
        Ok(below) => rights.home(service, &container, &below, Need::Read)?,
        Err(_) => rights.container(service, &container, Need::Read)?,
    };
    let mut walk = Walk { prefix, limit: LISTING_MAX, ..Walk::default() };
    loop {
        let Walked { steps, more } = service.object_walk(container.id, &walk)?;
        for step in steps {
            let Step::Item(object) = step else { continue };
            walk.marker = Some(object.name.to_string());
            // A folder below may be shared with others.
            rights.check(service, &container, &object.name, Need::Read, Some(&object))?;
            let (home, object) = match link::target(service, rights, &object)? {
                Some(led) => {
                    links += 1;
                    led
                }
                None => (container.id, object),
            };
            if links > SEGMENT_LINKS_MAX {
                return Err(Refusal::conflict("The manifest stands for too many links."));
            }
            md5.update(object.entity_tag());
            whole.size = whole.size.saturating_add(object.size);
            let (source, len) = (Arc::new(named(home, &object, &shared)), object.size);
            whole.pieces.push(Piece { source, offset: 0, len });
        }
        if whole.pieces.len() > PIECES_MAX {
            return Err(Refusal::conflict("The manifest stands for too many segments."));
        }
        if !more {
            break;
        }
    }
    whole.etag = Some(format!("\"{}\"", hex::encode(md5.finalize())));
    Ok(whole)
}
