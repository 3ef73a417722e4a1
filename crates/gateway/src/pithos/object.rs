//! `GET` and `HEAD` of an object.

use std::sync::Arc;

use archipelago_model::ObjectName;
use archipelago_pool::{
    Action, BlockHash, Container, Content, Object, Service, Step, Walk, Walked, Which,
};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, IF_RANGE, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::ask::{Ask, place};
use super::caller::{Caller, denied};
use super::{meta, sharing, versions};
use crate::App;
use crate::access;
use crate::server::Hangup;
use crate::swift::answer::{Refusal, set};
use crate::swift::ask::decode;
use crate::swift::call;
use crate::swift::conditions::{self, bare};
use crate::swift::meta::{content_type, is_expired};
use crate::swift::object::{Part, Shown, partial, send};
use crate::swift::segments::{Piece, Source, Whole};

/// Ranges in one request at most.
const RANGES_MAX: usize = 50;
/// Objects that a manifest stands for, at most: all of them are open while it is read.
const SEGMENTS_MAX: usize = 1000;

pub(super) async fn show(app: &App, hangup: Hangup, ask: Arc<Ask>) -> Result<Response, Refusal> {
    let is_head = ask.method.as_str() == "HEAD";
    if ask.param("version") == Some("list") && !is_head {
        return call(app, move |service| {
            let caller = Caller::new(service, &ask)?;
            let name = ask.object()?;
            let home = caller.home(service, &ask.container()?, &name, Action::ReadVersion)?;
            versions::list(service, &ask, home.id, &name)
        })
        .await;
    }
    let shown = call(app, move |service| answer(service, &ask)).await?;
    send(app, hangup, shown, is_head).await
}

/// Opens what a request means, for one who may read it.
pub(super) fn open(
    service: &Service,
    ask: &Ask,
    caller: &Caller,
) -> Result<(Container, Content), Refusal> {
    let name = ask.object()?;
    let home = caller.find(service, &ask.container()?)?;
    if ask.until()?.is_some() && !caller.owns() {
        return Err(denied());
    }
    let opened = open_meant(service, ask, &home, &name);
    let content = readable(service, caller, &home, &name, ask.param("version"), opened)?;
    Ok((home, content))
}

/// What was opened, if it may be read. Who may not read a name learns nothing of what it has,
/// and who does not own it, nothing of versions that are not there.
pub(super) fn readable(
    service: &Service,
    caller: &Caller,
    home: &Container,
    name: &ObjectName,
    version: Option<&str>,
    opened: Result<Content, Refusal>,
) -> Result<Content, Refusal> {
    let object = opened.as_ref().ok().map(Content::object);
    let is_old = object.map_or(version.is_some(), |object| !object.latest);
    let action = if is_old { Action::ReadVersion } else { Action::Read };
    caller.check(service, action, home, name, object)?;
    opened
}

fn open_meant(
    service: &Service,
    ask: &Ask,
    home: &Container,
    name: &ObjectName,
) -> Result<Content, Refusal> {
    let which = match ask.until()? {
        Some(until) if !ask.has_param("version") => {
            let then = versions::at(service, home.id, name, until)?;
            let id = then.ok_or_else(Refusal::not_found)?.id.get().to_string();
            versions::which(service, home.id, name, Some(&id))?
        }
        _ => versions::which(service, home.id, name, ask.param("version"))?,
    };
    open_version(service, ask.now_ms, home.id, name, which)
}

/// Opens a version, unless it has ended by its own wish.
pub(super) fn open_version(
    service: &Service,
    now_ms: u64,
    container: u64,
    name: &ObjectName,
    which: Which,
) -> Result<Content, Refusal> {
    match service.object_open(container, name, which) {
        Ok(content) if is_expired(content.object(), now_ms) => Err(Refusal::not_found()),
        Ok(content) => Ok(content),
        Err(error) if error.kind() == archipelago_pool::ErrorKind::NotFound => {
            Err(Refusal::not_found())
        }
        Err(error) => Err(error.into()),
    }
}

fn answer(service: &Service, ask: &Ask) -> Result<Shown, Refusal> {
    let caller = Caller::new(service, ask)?;
    let (home, content) = open(service, ask, &caller)?;
    let object = content.object().clone();
    let hash = service.object_hash(&content)?;
    let whole = match object.meta.settings.get(meta::MANIFEST) {
        Some(manifest) => manifest_of(service, ask, &caller, manifest)?,
        None => plain(content),
    };
    let mut headers = meta::headers_of(&object, hash);
    sharing::headers(service, &caller, &home, &object, &mut headers)?;
    disposition(ask, &object, &mut headers);
    let etag = hash.map(|hash| hash.to_string());
    conditions::check(&ask.headers, etag.as_deref(), object.created_ms, &headers)?;
    let header = ask.header(RANGE.as_str()).filter(|_| is_same(ask, hash));
    match ranges(header.as_deref(), whole.size)? {
        None => Ok(Shown {
            status: StatusCode::OK,
            headers,
            size: whole.size,
            body: vec![Part::Content(whole.pieces)],
        }),
        Some(ranges) => Ok(partial(&whole, &ranges, headers)),
    }
}

/// Whether what a range was wanted of is still that.
fn is_same(ask: &Ask, hash: Option<BlockHash>) -> bool {
    let hash = hash.map(|hash| hash.to_string());
    ask.header(IF_RANGE.as_str()).is_none_or(|text| hash.as_deref() == Some(bare(&text)))
}

fn plain(content: Content) -> Whole {
    let size = content.object().size;
    let source = Arc::new(Source::Open(content));
    let pieces = vec![Piece { source, offset: 0, len: size }];
    Whole { pieces, size, etag: None, dynamic: false, parts: Vec::new() }
}

/// All objects whose names begin as a manifest says, one behind the other.
fn manifest_of(
    service: &Service,
    ask: &Ask,
    caller: &Caller,
    manifest: &str,
) -> Result<Whole, Refusal> {
    let text = decode(manifest, false).unwrap_or_default();
    let (container, prefix) = place(&text)?;
    let home = caller.find(service, &container)?;
    check_prefix(service, caller, &home, &prefix)?;
    let walk = Walk { prefix: prefix.to_string(), limit: SEGMENTS_MAX + 1, ..Walk::default() };
    let Walked { steps, more } = service.object_walk(home.id, &walk)?;
    if more || steps.len() > SEGMENTS_MAX {
        return Err(Refusal::conflict("The manifest stands for too many objects."));
    }
    let mut whole =
        Whole { pieces: Vec::new(), size: 0, etag: None, dynamic: true, parts: Vec::new() };
    for step in steps {
        let Step::Item(object) = step else { continue };
        let name = object.name;
        let opened = open_version(service, ask.now_ms, home.id, &name, Which::Latest);
        let content = readable(service, caller, &home, &name, None, opened)?;
        let part = plain(content);
        whole.size = whole.size.saturating_add(part.size);
        whole.pieces.extend(part.pieces);
    }
    Ok(whole)
}

/// To learn which names begin so. Who writes a manifest says where it leads, and that must tell
/// nobody of names which it could not list.
fn check_prefix(
    service: &Service,
    caller: &Caller,
    home: &Container,
    prefix: &ObjectName,
) -> Result<(), Refusal> {
    let subject = &caller.subject;
    if access::of_container(service, subject, Action::List, home).allowed {
        return Ok(());
    }
    // A name below: what is shared is the folder, and not just one name of it.
    let below = format!("{prefix}0").parse().map_err(|_| denied())?;
    caller.check(service, Action::Read, home, &below, None)
}

/// A type that browsers save, or show, as the query wants it.
fn disposition(ask: &Ask, object: &Object, headers: &mut HeaderMap) {
    let kind = match ask.param("disposition-type") {
        Some(kind @ ("inline" | "attachment")) => kind,
        _ => return,
    };
    let name = object.name.as_str().rsplit('/').next().unwrap_or_default();
    let name = crate::swift::ask::encode(name);
    set(headers, CONTENT_DISPOSITION, &format!("{kind}; filename*=UTF-8''{name}"));
    set(headers, CONTENT_TYPE, content_type(&object.meta));
}

/// The ranges that a header names; `None` for everything. What is not all there is refused,
/// and never cut off.
fn ranges(header: Option<&str>, size: u64) -> Result<Option<Vec<(u64, u64)>>, Refusal> {
    let header = header.map(|header| header.replace([' ', '\t'], "").to_ascii_lowercase());
    let Some(list) = header.as_deref().and_then(|header| header.strip_prefix("bytes=")) else {
        return Ok(None);
    };
    let mut out = Vec::new();
    for item in list.split(',') {
        let Some((first, last)) = item.split_once('-') else { return Ok(None) };
        let number = |text: &str| match text.is_empty() {
            true => Some(None),
            false => text.parse::<u64>().ok().map(Some),
        };
        let (Some(first), Some(last)) = (number(first), number(last)) else { return Ok(None) };
        let range = match (first, last) {
            (None, None) => return Ok(None),
            (None, Some(len)) if len > 0 && len <= size => (size - len, len),
            (Some(first), None) if first < size => (first, size - first),
            (Some(first), Some(last)) if last < first => return Ok(None),
            (Some(first), Some(last)) if last < size => (first, last - first + 1),
            _ => return Err(Refusal::range(size)),
        };
        out.push(range);
        // Many that overlap would make an answer that is far larger than what there is.
        let total = out.iter().fold(0_u64, |sum, (_, len)| sum.saturating_add(*len));
        if out.len() > RANGES_MAX || total > size.saturating_mul(2) {
            return Err(Refusal::range(size));
        }
    }
    Ok(Some(out))
}
