//! What is known of an object: headers of a request that are kept, headers of what is kept.

use std::collections::BTreeMap;

use archipelago_pool::{BlockHash, Meta, Object};
use axum::http::header::{ETAG, LAST_MODIFIED};
use axum::http::{HeaderMap, HeaderName};

use super::ask::Ask;
use super::caller::Caller;
use crate::swift::answer::{Refusal, http_date, set};
use crate::swift::ask::{decode, header};
use crate::swift::meta::{CONTENT_TYPE, content_type, guess};

/// Metadata, as Pithos has it: how many, bytes of a name and of a value.
const META_COUNT_MAX: usize = 32;
const META_NAME_BYTES_MAX: usize = 128;
const META_VALUE_BYTES_MAX: usize = 256;

/// What this door keeps of an object: its identity over moves and changes; who made the version.
const UUID: &str = "pithos.uuid";
const MODIFIED_BY: &str = "pithos.modified-by";
/// What a dynamic manifest stands for, which Swift keeps, too.
pub(super) const MANIFEST: &str = "swift.dlo";

const OBJECT: &str = "x-object-meta-";
/// Headers that are kept as they come and go out again, whatever percent signs mean in them.
const KEPT: [&str; 2] = ["content-encoding", "content-disposition"];

/// Metadata in the headers of a request, by its names in lower case. Empty values remove.
pub(super) fn given(
    headers: &HeaderMap,
    prefix: &str,
) -> Result<BTreeMap<String, String>, Refusal> {
    given_of(headers, prefix, META_VALUE_BYTES_MAX)
}

/// The same of what may be long: a header as a whole is bounded by the server.
pub(super) fn given_long(
    headers: &HeaderMap,
    prefix: &str,
) -> Result<BTreeMap<String, String>, Refusal> {
    given_of(headers, prefix, usize::MAX)
}

fn given_of(
    headers: &HeaderMap,
    prefix: &str,
    value_bytes_max: usize,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut out = BTreeMap::new();
    for (name, value) in headers {
        let Some(short) = name.as_str().strip_prefix(prefix) else { continue };
        let value = std::str::from_utf8(value.as_bytes()).ok().and_then(|text| decode(text, false));
        let (Some(name), Some(value)) = (decode(short, false), value) else {
            return Err(Refusal::invalid("metadata is UTF-8"));
        };
        if value.contains(char::is_control) || HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(Refusal::invalid(
                "names of metadata are what names of headers may be, and values have no control \
                 characters: other doors could not show them",
            ));
        }
        let too_long = name.len() > META_NAME_BYTES_MAX || value.len() > value_bytes_max;
        if name.is_empty() || too_long {
            return Err(Refusal::invalid(format_args!(
                "names of metadata have 1 to {META_NAME_BYTES_MAX} bytes, values \
                 {META_VALUE_BYTES_MAX} at most"
            )));
        }
        out.insert(name.to_lowercase(), value);
    }
    Ok(out)
}

/// Puts what was given in the place of what there is, or among it.
pub(super) fn change(
    kept: &mut BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
    among: bool,
) -> Result<(), Refusal> {
    if !among {
        kept.clear();
    }
    for (name, value) in given {
        match value.is_empty() {
            true => kept.remove(name),
            false => kept.insert(name.clone(), value.clone()),
        };
    }
    match kept.len() > META_COUNT_MAX {
        true => Err(Refusal::invalid(format_args!("metadata are {META_COUNT_MAX} at most"))),
        false => Ok(()),
    }
}

/// What a request says of an object that it puts. `old`: what the object was before.
pub(super) fn of_new(
    ask: &Ask,
    caller: &Caller,
    name: &str,
    old: Option<&Object>,
) -> Result<Meta, Refusal> {
    let mut meta = Meta::default();
    change(&mut meta.user, &given(&ask.headers, OBJECT)?, false)?;
    said(ask, &mut meta)?;
    let kind = plain(ask, CONTENT_TYPE).filter(|kind| !kind.is_empty()).unwrap_or(guess(name));
    let kind = kind.to_owned();
    meta.headers.insert(CONTENT_TYPE.to_owned(), kind);
    sign(&mut meta, caller, old);
    Ok(meta)
}

/// What a request changes of what is known of an object. `among`: what it does not name stays.
pub(super) fn changed(
    ask: &Ask,
    caller: &Caller,
    old: &Object,
    among: bool,
) -> Result<Meta, Refusal> {
    // A lock is of the version that was locked; the new one gets that of its container.
    let mut meta = old.meta.clone().unlocked();
    change(&mut meta.user, &given(&ask.headers, OBJECT)?, among)?;
    if !among {
        meta.settings.remove(MANIFEST);
        KEPT.into_iter().for_each(|name| drop(meta.headers.remove(name)));
    }
    said(ask, &mut meta)?;
    sign(&mut meta, caller, Some(old));
    Ok(meta)
}

/// A header as it came, which goes out as it came at every door.
pub(super) fn plain<'a>(ask: &'a Ask, name: &str) -> Option<&'a str> {
    header(&ask.headers, name)
}

/// Whether a request says anything of an object but who else may.
pub(super) fn says_more(ask: &Ask) -> bool {
    let kept = KEPT.iter().any(|name| ask.headers.contains_key(*name));
    kept || ask
        .headers
        .keys()
        .any(|name| name.as_str().starts_with(OBJECT) || name.as_str() == "x-object-manifest")
}

/// The headers that say something of an object.
fn said(ask: &Ask, meta: &mut Meta) -> Result<(), Refusal> {
    for name in KEPT {
        match plain(ask, name) {
            Some("") => drop(meta.headers.remove(name)),
            Some(value) => drop(meta.headers.insert(name.to_owned(), value.to_owned())),
            None => {}
        }
    }
    match ask.header("x-object-manifest") {
        Some(text) if text.is_empty() => drop(meta.settings.remove(MANIFEST)),
        Some(text) => {
            let (container, prefix) = text
                .trim_start_matches('/')
                .split_once('/')
                .filter(|(container, prefix)| !container.is_empty() && !prefix.is_empty())
                .ok_or_else(|| Refusal::invalid("X-Object-Manifest is container/prefix"))?;
            let text = crate::swift::ask::encode(&format!("{container}/{prefix}"));
            meta.settings.insert(MANIFEST.to_owned(), text);
        }
        None => {}
    }
    Ok(())
}

/// Notes who made a version; of what was there it keeps the identity.
pub(super) fn sign(meta: &mut Meta, caller: &Caller, old: Option<&Object>) {
    let by = hex::encode(caller.identity.user.uuid);
    meta.settings.insert(MODIFIED_BY.to_owned(), by);
    if let Some(old) = old {
        meta.settings.insert(UUID.to_owned(), uuid(old));
    }
}

/// Forgets whose the identity was: the object is another one.
pub(super) fn renew(meta: &mut Meta) {
    meta.settings.remove(UUID);
}

/// An identity that stays when the object is moved or changed: what is kept, or else made of
/// the number of the version that began it.
pub(super) fn uuid(object: &Object) -> String {
    let kept = object.meta.settings.get(UUID).cloned();
    kept.unwrap_or_else(|| format!("00000000-0000-8000-8000-{:012x}", object.id.get()))
}

/// Who made a version, if it came by this door.
pub(super) fn modified_by(object: &Object) -> Option<&str> {
    object.meta.settings.get(MODIFIED_BY).map(String::as_str)
}

/// Everything known of an object but its size, as headers. `etag`: its hash, or that of what
/// it stands for.
pub(super) fn headers_of(object: &Object, hash: Option<BlockHash>) -> HeaderMap {
    let mut out = HeaderMap::new();
    let meta = &object.meta;
    set(&mut out, CONTENT_TYPE, content_type(meta));
    set(&mut out, "accept-ranges", "bytes");
    for name in KEPT {
        if let Some(value) = meta.headers.get(name) {
            set(&mut out, name, value);
        }
    }
    for (name, value) in &meta.user {
        set(&mut out, format!("{OBJECT}{}", quoted(name)), &quoted(value));
    }
    if let Some(manifest) = meta.settings.get(MANIFEST) {
        set(&mut out, "x-object-manifest", manifest);
    }
    if let Some(hash) = hash.map(|hash| hash.to_string()) {
        set(&mut out, ETAG, &hash);
        set(&mut out, "x-object-hash", &hash);
    }
    set(&mut out, "x-object-uuid", &uuid(object));
    set(&mut out, "x-object-version", &object.id.get().to_string());
    set(&mut out, "x-object-version-timestamp", &http_date(object.created_ms));
    if let Some(by) = modified_by(object) {
        set(&mut out, "x-object-modified-by", by);
    }
    set(&mut out, LAST_MODIFIED, &http_date(object.created_ms));
    out
}

/// UTF-8 in percent signs, where it is no plain text.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
