//! `GET` and `HEAD` of an object.

use std::io::Write;
use std::sync::Arc;

use archipelago_model::ObjectName;
use archipelago_pool::{Container, Service, Versioning, Which};
use axum::body::Body;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, EXPIRES,
    IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::access::Rights;
use super::answer::{Refusal, set};
use super::ask::{Ask, encode};
use super::ranges::{Wanted, wanted};
use super::segments::{self, Piece, Whole};
use super::{call, conditions, link, meta, slo, tempurl, versions};
use crate::App;
use crate::download;
use crate::server::Hangup;

/// A part of a body.
pub(crate) enum Part {
    Text(String),
    Content(Vec<Piece>),
}

/// An answer whose body is yet to be read.
pub(crate) struct Shown {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<Part>,
    pub size: u64,
}

pub(super) async fn show(app: &App, hangup: Hangup, ask: Arc<Ask>) -> Result<Response, Refusal> {
    let is_head = ask.method.as_str() == "HEAD";
    let shown = call(app, move |service| answer(service, &ask)).await?;
    send(app, hangup, shown, is_head).await
}

/// Sends an answer, without its body to whoever only wants to know of it.
pub(crate) async fn send(
    app: &App,
    hangup: Hangup,
    shown: Shown,
    is_head: bool,
) -> Result<Response, Refusal> {
    let Shown { status, headers, body, size } = shown;
    let body = match is_head || size == 0 {
        true => Body::empty(),
        false => {
            let write = move |service: &Service, out: &mut dyn Write| {
                for part in body {
                    match part {
                        Part::Text(text) => {
                            out.write_all(text.as_bytes()).map_err(segments::told)?
                        }
                        Part::Content(pieces) => segments::write(service, pieces, out)?,
                    }
                }
                Ok(())
            };
            download::body(app, hangup, write).await?
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    set(response.headers_mut(), CONTENT_LENGTH, &size.to_string());
    Ok(response)
}

fn answer(service: &Service, ask: &Ask) -> Result<Shown, Refusal> {
    let rights = Rights::new(service, ask)?;
    let place = (ask.container()?, ask.object()?);
    // A signed URL says nothing of versions: it is for the newest.
    let which = if rights.by_link() { Which::Latest } else { versions::which(ask)? };
    let found = link::open(service, &rights, (&place.0, &place.1), which, link::itself(ask))?;
    let mut shown = HeaderMap::new();
    found.tell(&mut shown);
    let link::Found { rights, home, content, location } = found;
    let object = content.object().clone();
    if which == Which::Latest && object.versioned {
        let own = || {
            let path = encode(&format!("{}/{}", place.0, place.1));
            format!("{}/{}/{path}", rights.mount, rights.path_name())
        };
        let location = location.unwrap_or_else(own);
        let text = format!("{location}?version-id={}", versions::text(&object));
        set(&mut shown, CONTENT_LOCATION, &text);
    }
    let raw = ask.manifest() == "get";
    let is_slo = object.meta.settings.contains_key(meta::SLO_ETAG);
    let whole = match raw && is_slo {
        true => slo::manifest(&content, ask.param("format") == Some("raw"))?,
        false => Whole::of(service, &rights, content, raw)?,
    };
    let mut headers = meta::headers_of(&object, whole.etag.as_deref());
    headers.extend(shown);
    if raw && is_slo && ask.param("format") != Some("raw") {
        set(&mut headers, CONTENT_TYPE, "application/json; charset=utf-8");
    }
    if home.versioning != Versioning::Off {
        set(&mut headers, versions::HEADER, &versions::text(&object));
    }
    if rights.by_link() {
        to_stranger(ask, &mut headers);
    }
    conditions::check(&ask.headers, whole.etag.as_deref(), meta::changed_ms(&object), &headers)?;
    if !whole.parts.is_empty() && ask.has_param("part-number") {
        set(&mut headers, "x-parts-count", &whole.parts.len().to_string());
    }
    if let Some(part) = whole.part(ask).map_err(|refusal| refusal.with(headers.clone()))? {
        return Ok(partial(&whole, &[part], headers));
    }
    let header = ask.header(RANGE.as_str()).filter(|_| {
        let same = |text: &str| {
            whole.etag.as_deref().map(conditions::bare) == Some(conditions::bare(text))
        };
        ask.header(IF_RANGE.as_str()).is_none_or(same)
    });
    let wanted = match wanted(header, whole.size) {
        // Swift sends all of a dynamic manifest then, and its clients count on it.
        Wanted::Some(ranges) if ranges.len() > 1 && whole.dynamic => Wanted::All,
        wanted => wanted,
    };
    match wanted {
        Wanted::Nothing => Err(Refusal::range(whole.size).with(headers)),
        Wanted::All => Ok(Shown {
            status: StatusCode::OK,
            headers,
            size: whole.size,
            body: vec![Part::Content(whole.pieces)],
        }),
        Wanted::Some(ranges) => Ok(partial(&whole, &ranges, headers)),
    }
}

/// What a version that only says that the object was removed answers.
pub(super) fn missing(
    service: &Service,
    home: &Container,
    name: &ObjectName,
    which: Which,
) -> Refusal {
    let refusal = Refusal::not_found();
    match service.object_or_marker(home.id, name, which) {
        Ok(Some(marker)) if marker.marker => {
            let mut headers = HeaderMap::new();
            set(&mut headers, versions::HEADER, &versions::text(&marker));
            set(&mut headers, CONTENT_TYPE, versions::MARKER_TYPE);
            refusal.with(headers)
        }
        _ => refusal,
    }
}

/// Some ranges of something.
pub(crate) fn partial(whole: &Whole, ranges: &[(u64, u64)], mut headers: HeaderMap) -> Shown {
    let says = |offset: u64, len: u64| {
        format!("bytes {offset}-{}/{}", (offset + len).saturating_sub(1), whole.size)
    };
    let status = StatusCode::PARTIAL_CONTENT;
    if let [(offset, len)] = ranges {
        set(&mut headers, CONTENT_RANGE, &says(*offset, *len));
        let body = vec![Part::Content(whole.slice(*offset, *len))];
        return Shown { status, headers, body, size: *len };
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or("application/octet-stream").to_owned();
    // Content that holds it cannot be told from the frame, but lengths can.
    let boundary = format!("archipelago{:016x}{:016x}", whole.size, ranges.len());
    let (mut body, mut size) = (Vec::new(), 0);
    for (at, (offset, len)) in ranges.iter().enumerate() {
        let start = if at == 0 { "" } else { "\r\n" };
        let text = format!(
            "{start}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {}\r\n\r\n",
            says(*offset, *len)
        );
        size += text.len() as u64 + len;
        body.push(Part::Text(text));
        body.push(Part::Content(whole.slice(*offset, *len)));
    }
    let end = format!("\r\n--{boundary}--");
    size += end.len() as u64;
    body.push(Part::Text(end));
    set(&mut headers, CONTENT_TYPE, &format!("multipart/byteranges;boundary={boundary}"));
    Shown { status, headers, body, size }
}

/// What somebody with a signed URL sees: a file to keep, without the owner's notes.
fn to_stranger(ask: &Ask, headers: &mut HeaderMap) {
    let private = |name: &str| {
        name.strip_prefix(meta::OBJECT).is_some_and(|name| !name.starts_with("public-"))
    };
    let names: Vec<_> = headers.keys().filter(|name| private(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    if let Some(disposition) = tempurl::disposition(ask, headers.contains_key(CONTENT_DISPOSITION))
    {
        set(headers, CONTENT_DISPOSITION, &disposition);
    }
    if let Some(expires) = tempurl::expires_date(ask) {
        set(headers, EXPIRES, &expires);
    }
}
