//! Versions: `X-Versions-Enabled`, `?versions`, `?version-id=`.

use archipelago_model::FileId;
use archipelago_pool::{Container, Object, Service, Step, Walk, Which};

use super::access::Rights;
use super::answer::Refusal;
use super::ask::Ask;
use super::container::object_row;
use super::listing::Row;

pub(super) const HEADER: &str = "x-object-version-id";

/// The id of the version that has none.
const NULL: &str = "null";
/// What a listing says of a version that only says that the object was removed.
pub(super) const MARKER_TYPE: &str = archipelago_pool::ARCHIVED_MARKER_TYPE;
/// MD5 of nothing.
pub(super) const EMPTY_MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// How a version is written.
pub(super) fn text(object: &Object) -> String {
    if object.versioned { object.id.get().to_string() } else { NULL.to_owned() }
}

/// The version that a request names.
pub(super) fn which(ask: &Ask) -> Result<Which, Refusal> {
    match ask.param("version-id") {
        None => Ok(Which::Latest),
        Some(text) => parse(text).ok_or_else(|| Refusal::invalid("Invalid version-id parameter")),
    }
}

fn parse(text: &str) -> Option<Which> {
    match text {
        NULL => Some(Which::Unversioned),
        text => match text.split_once('.') {
            None => text.parse().ok().map(|id| Which::Version(FileId::new(id))),
            // Swift's own ids are times with a fraction: one of another server names nothing.
            Some((seconds, rest)) => {
                let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                (digits(seconds) && digits(rest)).then(|| Which::Version(FileId::new(u64::MAX)))
            }
        },
    }
}

/// A listing of all versions.
pub(super) fn rows(
    service: &Service,
    ask: &Ask,
    rights: &Rights,
    container: &Container,
    walk: &Walk,
) -> Result<Vec<Row>, Refusal> {
    let after = match ask.param("version_marker") {
        None | Some("") => None,
        Some(_) if walk.marker.is_none() => {
            return Err(Refusal::invalid("version_marker needs a marker"));
        }
        Some(text) => {
            let wrong = || Refusal::invalid("Invalid version_marker parameter");
            Some(parse(text).ok_or_else(wrong)?)
        }
    };
    let steps = service.version_walk(container.id, walk, after)?;
    let row = |step| match step {
        Step::Prefix(prefix) => Row::Prefix(prefix),
        Step::Item(object) => version_row(rights, &object),
    };
    Ok(steps.steps.into_iter().map(row).collect())
}

fn version_row(rights: &Rights, object: &Object) -> Row {
    let mut row = object_row(rights, object);
    if let Row::Object { version, content_type, hash, .. } = &mut row {
        *version = Some((text(object), object.latest));
        if object.marker {
            MARKER_TYPE.clone_into(content_type);
            EMPTY_MD5.clone_into(hash);
        }
    }
    row
}
