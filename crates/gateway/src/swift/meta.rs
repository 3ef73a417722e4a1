//! Metadata: headers of a request that are kept, and headers of what is kept.

use std::cell::RefCell;
use std::collections::BTreeMap;

use archipelago_pool::{self as pool, DELETE_AT, Meta, Object};
use axum::http::HeaderMap;
use axum::http::header::{ETAG, LAST_MODIFIED};

use super::answer::{Refusal, http_date, set, timestamp};
use super::ask::{Ask, header, is_true};
use super::{conditions, dlo, info, link, versions};

pub(super) const OBJECT: &str = "x-object-meta-";
pub(crate) const CONTENT_TYPE: &str = "content-type";

/// Headers that are kept as they come and go out again.
const KEPT: [&str; 6] = [
    "content-encoding",
    "content-disposition",
    "cache-control",
    "content-language",
    "expires",
    "x-robots-tag",
];

/// Settings of an object besides [`DELETE_AT`]: when its metadata last changed,
/// in ms; of a manifest, the size and the ETag of what it stands for.
/// The last second that has ten digits, as Swift has it.
const DELETE_AT_MAX: u64 = 9_999_999_999;
pub(super) const CHANGED: &str = "swift.changed";
pub(super) const SLO_SIZE: &str = "swift.slo-size";
pub(super) const SLO_ETAG: &str = "swift.slo-etag";

/// Metadata in the headers of a request, by its names in lower case.
pub(super) fn given(
    headers: &HeaderMap,
    prefix: &str,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut out = BTreeMap::new();
    for name in headers.keys().map(|name| name.as_str()) {
        let Some(short) = name.strip_prefix(prefix) else { continue };
        let Some(value) = header(headers, name) else {
            return Err(Refusal::invalid("Metadata must be valid UTF-8"));
        };
        if short.is_empty() {
            return Err(Refusal::invalid("Metadata name cannot be empty"));
        }
        if short.len() > info::META_NAME_BYTES_MAX {
            return Err(Refusal::invalid(format_args!("Metadata name too long: {name}")));
        }
        if value.len() > info::META_VALUE_BYTES_MAX {
            return Err(Refusal::invalid(format_args!(
                "Metadata value longer than {}: {name}",
                info::META_VALUE_BYTES_MAX
            )));
        }
        out.insert(short.to_owned(), value.to_owned());
    }
    Ok(out)
}

/// Whether so much may be kept.
pub(super) fn check<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), Refusal> {
    let (mut count, mut bytes) = (0, 0);
    for (name, value) in all {
        count += 1;
        bytes += name.len() + value.len();
    }
    if count > info::META_COUNT_MAX {
        return Err(Refusal::invalid(format_args!(
            "Too many metadata items; max {}",
            info::META_COUNT_MAX
        )));
    }
    if bytes > info::META_BYTES_MAX {
        return Err(Refusal::invalid(format_args!(
            "Total metadata too large; max {}",
            info::META_BYTES_MAX
        )));
    }
    Ok(())
}

/// What a request says of an object. `name`: the object's, which tells its type when nothing
/// else does; `old`: what keeps its type.
pub(super) fn of_object(ask: &Ask, name: &str, old: Option<&Meta>) -> Result<Meta, Refusal> {
    let mut meta = Meta { user: given(&ask.headers, OBJECT)?, ..Meta::default() };
    check(meta.user.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    for kept in KEPT {
        if let Some(value) = ask.header(kept).filter(|value| !value.is_empty()) {
            meta.headers.insert(kept.to_owned(), value.to_owned());
        }
    }
    let detect = ask.header("x-detect-content-type").is_some_and(is_true);
    let said = ask.header(CONTENT_TYPE).filter(|said| !said.is_empty() && !detect);
    let kind = match (said, old.and_then(|old| old.headers.get(CONTENT_TYPE))) {
        (Some(said), _) => said.to_owned(),
        (None, Some(old)) if !detect => old.clone(),
        _ => guess(name).to_owned(),
    };
    meta.headers.insert(CONTENT_TYPE.to_owned(), kind);
    if let Some(manifest) = ask.header("x-object-manifest") {
        meta.settings.insert(dlo::SETTING.to_owned(), dlo::check(manifest)?);
    }
    if let Some(at) = delete_at(ask)? {
        meta.settings.insert(DELETE_AT.to_owned(), at.to_string());
    }
    Ok(meta)
}

/// Whether a request says when an object ends.
pub(super) fn says_end(ask: &Ask) -> bool {
    let says = |name: &str| ask.header(name).is_some_and(|text| !text.trim().is_empty());
    ask.header("x-remove-delete-at").is_none() && (says("x-delete-after") || says("x-delete-at"))
}

fn delete_at(ask: &Ask) -> Result<Option<u64>, Refusal> {
    if ask.header("x-remove-delete-at").is_some() {
        return Ok(None);
    }
    let now = ask.now_ms / 1000;
    let at = match (seconds(ask, "X-Delete-After")?, seconds(ask, "X-Delete-At")?) {
        (Some(after), _) => Some(now.saturating_add(after).min(DELETE_AT_MAX)),
        (None, at) => at,
    };
    match at {
        Some(at) if at <= now => Err(Refusal::invalid("X-Delete-At in past")),
        at => Ok(at),
    }
}

/// A header that is a time or a span, in seconds.
pub(super) fn seconds(ask: &Ask, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(text) = ask.header(name).map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::invalid(format_args!("Non-integer {name}")));
    }
    if text.starts_with('-') {
        return Err(Refusal::invalid(format_args!("{name} in past")));
    }
    Ok(Some(digits.parse().unwrap_or(DELETE_AT_MAX).min(DELETE_AT_MAX)))
}

/// When an object ends, in seconds since 1970.
pub(super) fn ends_at(object: &Object) -> Option<u64> {
    object.meta.settings.get(DELETE_AT)?.parse().ok()
}

/// Whether an object has ended by its own wish.
pub(crate) fn is_expired(object: &Object, now_ms: u64) -> bool {
    object.has_ended(now_ms)
}

/// Lets a copy end when its source does, unless something else was said.
pub(super) fn keep_delete_at(new: &mut Meta, old: &Meta) {
    if let Some(at) = old.settings.get(DELETE_AT) {
        new.settings.entry(DELETE_AT.to_owned()).or_insert_with(|| at.clone());
    }
}

/// Notes when the metadata of an object was changed.
pub(super) fn note_change(meta: &mut Meta, now_ms: u64) {
    meta.settings.insert(CHANGED.to_owned(), now_ms.to_string());
}

/// When an object or its metadata was last changed, in ms since 1970.
pub(crate) fn changed_ms(object: &Object) -> u64 {
    let noted = object.meta.settings.get(CHANGED).and_then(|text| text.parse().ok());
    noted.unwrap_or(0).max(object.created_ms)
}

/// The size that clients see, which for a manifest is that of what it stands for.
pub(super) fn shown_size(object: &Object) -> u64 {
    let noted = object.meta.settings.get(SLO_SIZE).and_then(|text| text.parse().ok());
    noted.unwrap_or(object.size)
}

/// Says what type it has.
pub(super) fn set_type(meta: &mut Meta, kind: &str) {
    meta.headers.insert(CONTENT_TYPE.to_owned(), kind.to_owned());
}

/// Its type, which files of the command line have none of.
pub(crate) fn content_type(meta: &Meta) -> &str {
    meta.headers.get(CONTENT_TYPE).map_or("application/octet-stream", String::as_str)
}

/// What the door of S3 keeps of a container that may hold what may not be removed.
pub(crate) const LOCKS: &str = "s3.lock";

/// Everything known of an object but its size, as headers.
pub(super) fn headers_of(object: &Object, etag: Option<&str>) -> HeaderMap {
    let mut out = HeaderMap::new();
    let meta = &object.meta;
    set(&mut out, CONTENT_TYPE, content_type(meta));
    set(&mut out, "accept-ranges", "bytes");
    for (name, value) in meta.headers.iter().filter(|(name, _)| *name != CONTENT_TYPE) {
        set(&mut out, name.as_str(), value);
    }
    for (name, value) in &meta.user {
        set(&mut out, format!("{OBJECT}{name}"), value);
    }
    let settings = [("x-delete-at", DELETE_AT), ("x-object-manifest", dlo::SETTING)];
    for (header, setting) in settings.into_iter().chain(link::SHOWN) {
        if let Some(value) = meta.settings.get(setting) {
            set(&mut out, header, value);
        }
    }
    if meta.settings.contains_key(SLO_ETAG) {
        set(&mut out, "x-static-large-object", "True");
        set(&mut out, "x-manifest-etag", object.etag.as_deref().unwrap_or_default());
    }
    if object.versioned {
        set(&mut out, versions::HEADER, &versions::text(object));
    }
    if let Some(etag) = etag.filter(|etag| is_md5(etag)) {
        set(&mut out, ETAG, etag);
    }
    let changed = changed_ms(object);
    set(&mut out, LAST_MODIFIED, &http_date(changed));
    set(&mut out, "x-timestamp", &timestamp(changed));
    out
}

/// Whether an ETag is, or may be taken for, an MD5. Only such ones are shown: clients of Swift
/// take any for the MD5 of what they get, and say of others that the content is damaged.
pub(super) fn is_md5(etag: &str) -> bool {
    let etag = conditions::bare(etag);
    etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A type by the end of a name, for what people put; anything else is bytes.
pub(crate) fn guess(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default();
    match end.as_str() {
        "txt" | "log" | "conf" => "text/plain",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "js" | "mjs" => "text/javascript",
        "json" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "tar" => "application/x-tar",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "wav" => "audio/x-wav",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "py" => "text/x-python",
        _ => "application/octet-stream",
    }
}

/// Lets a question that the pool asks in a transaction be answered by a refusal of this door.
#[derive(Default)]
pub(crate) struct Veto(RefCell<Option<Refusal>>);

impl Veto {
    /// The error that makes the pool give up.
    pub(crate) fn say(&self, refusal: Refusal) -> pool::Error {
        *self.0.borrow_mut() = Some(refusal);
        pool::Error::new(pool::ErrorKind::Invalid, "refused")
    }

    /// The pool's own error outside, the refusal inside.
    pub(crate) fn settle<T>(
        self,
        result: Result<T, pool::Error>,
    ) -> Result<Result<T, Refusal>, pool::Error> {
        match self.0.into_inner() {
            Some(refusal) => Ok(Err(refusal)),
            None => result.map(Ok),
        }
    }
}
