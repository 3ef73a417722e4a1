//! Versions: which one a request means, and all of an object.

use archipelago_model::{FileId, ObjectName};
use archipelago_pool::{Object, Service, Step, Walk, Which};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::ask::Ask;
use super::listing::Format;
use crate::swift::answer::{self, Refusal};

/// Versions in one list at most.
const VERSIONS_MAX: usize = 10_000;

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
    let found = all(service, container, name)?;
    let then = found.into_iter().find(|object| object.created_ms <= until);
    Ok(then.filter(|object| !object.marker))
}

/// All versions of an object, the newest first, also those that say that it was removed.
pub(super) fn all(
    service: &Service,
    container: u64,
    name: &ObjectName,
) -> Result<Vec<Object>, Refusal> {
    let end = format!("{name}\0");
    let prefix = name.to_string();
    let walk = Walk { prefix, end: Some(end), limit: VERSIONS_MAX, ..Walk::default() };
    let steps = service.version_walk(container, &walk, None)?;
    Ok(steps
        .into_iter()
        .filter_map(|step| match step {
            Step::Item(object) => Some(object),
            Step::Prefix(_) => None,
        })
        .collect())
}

/// `?version=list`.
pub(super) fn list(
    service: &Service,
    ask: &Ask,
    container: u64,
    name: &ObjectName,
) -> Result<Response, Refusal> {
    let mut found = all(service, container, name)?;
    found.retain(|object| !object.marker);
    found.reverse();
    if found.is_empty() {
        return Err(Refusal::not_found());
    }
    let seconds = |object: &Object| object.created_ms as f64 / 1000.0;
    let (kind, body) = match Format::of(ask)? {
        Format::Xml => {
            let rows: String = found
                .iter()
                .map(|one| {
                    let (id, time) = (one.id.get(), seconds(one));
                    format!("<version timestamp=\"{time}\">{id}</version>")
                })
                .collect();
            let name = crate::swift::listing::escape(name.as_str());
            let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
            (Format::Xml, format!("{start}\n<object name=\"{name}\">{rows}</object>"))
        }
        _ => {
            let rows: Vec<_> =
                found.iter().map(|one| json!([one.id.get(), seconds(one)])).collect();
            (Format::Json, json!({"versions": rows}).to_string())
        }
    };
    Ok(answer::text(kind.content_type(), HeaderMap::new(), body))
}
