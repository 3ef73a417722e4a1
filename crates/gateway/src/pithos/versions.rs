//! Versions: which one a request means, and all of an object.

use archipelago_model::{FileId, ObjectName};
use archipelago_pool::{Object, Service, Step, Walk, Walked, Which};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::ask::Ask;
use super::listing::Format;
use super::past::Seen;
use crate::swift::answer::{self, Refusal};

/// Versions in one list at most: 4 MB of text.
const VERSIONS_MAX: usize = 100_000;
/// Versions that are read together.
const ROWS: usize = 1000;

/// The version that a text names. All versions have numbers here, also those that S3 and Swift
/// know by none.
pub(super) fn which(
    service: &Service,
    container: u64,
    name: &ObjectName,
    text: Option<&str>,
) -> Result<Which, Refusal> {
    let Some(text) = text else { return Ok(Which::Latest) };
    let id = text.parse().map_err(|_| Refusal::invalid("a version is a number"))?;
    let id = FileId::new(id);
    for which in [Which::Version(id), Which::Unversioned] {
        if service.object_or_marker(container, name, which)?.is_some_and(|found| found.id == id) {
            return Ok(which);
        }
    }
    Err(Refusal::not_found())
}

/// What an object was at a time, of what is known.
pub(super) fn at(
    service: &Service,
    container: u64,
    name: &ObjectName,
    until: u64,
) -> Result<Option<Object>, Refusal> {
    let mut then = None;
    each(service, container, name, &mut |object| {
        let found = object.created_ms <= until;
        if found {
            then = Some(object);
        }
        !found
    })?;
    Ok(then.filter(|object| !object.marker))
}

/// Gives all versions of an object to `see`, the newest first, also those that say that it was
/// removed, until that says stop.
fn each(
    service: &Service,
    container: u64,
    name: &ObjectName,
    see: &mut dyn FnMut(Object) -> bool,
) -> Result<(), Refusal> {
    // What comes next: no name has a NUL.
    let end = format!("{name}\u{1}");
    let prefix = name.to_string();
    let mut walk = Walk { prefix, end: Some(end), limit: ROWS, ..Walk::default() };
    let (mut after, mut seen) = (None, Seen::default());
    loop {
        let Walked { steps, more } = service.version_walk(container, &walk, after)?;
        seen.add(steps.len())?;
        for step in steps {
            let Step::Item(object) = step else { continue };
            after = Some(match object.versioned {
                true => Which::Version(object.id),
                false => Which::Unversioned,
            });
            if !see(object) {
                return Ok(());
            }
        }
        if !more {
            return Ok(());
        }
        walk.marker = Some(name.to_string());
    }
}

/// `?version=list`.
pub(super) fn list(
    service: &Service,
    ask: &Ask,
    container: u64,
    name: &ObjectName,
) -> Result<Response, Refusal> {
    let mut found = Vec::new();
    each(service, container, name, &mut |object| {
        if !object.marker {
            found.push((object.id.get(), object.created_ms as f64 / 1000.0));
        }
        found.len() <= VERSIONS_MAX
    })?;
    found.reverse();
    if found.is_empty() {
        return Err(Refusal::not_found());
    }
    if found.len() > VERSIONS_MAX {
        return Err(Refusal::too_large(format_args!(
            "the object has more than {VERSIONS_MAX} versions; the doors of S3 and Swift list \
             them in pages"
        )));
    }
    let (kind, body) = match Format::of(ask)? {
        Format::Xml => {
            let rows: String = found
                .iter()
                .map(|(id, time)| format!("<version timestamp=\"{time}\">{id}</version>"))
                .collect();
            let name = crate::swift::listing::escape(name.as_str());
            let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
            (Format::Xml, format!("{start}\n<object name=\"{name}\">{rows}</object>"))
        }
        _ => (Format::Json, json!({"versions": found}).to_string()),
    };
    Ok(answer::text(kind.content_type(), HeaderMap::new(), body))
}
