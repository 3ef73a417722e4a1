//! `/public/<id>[/name]`: what a public link is to. No login, and nothing told but the content.

use std::io::Read;
use std::sync::Arc;

use archipelago_model::ObjectName;
use archipelago_pool::{Content, Error, ErrorKind, Meta, Object, Service};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
    RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::answer::{Refusal, http_date, parse_date, set};
use super::ask::encode;
use super::ranges::{Wanted, wanted};
use super::{conditions, dlo, link, meta, segments};
use crate::App;
use crate::download;
use crate::server::Hangup;

/// A page of a user never runs as one of this origin.
const POLICY: &str = "default-src 'none'; sandbox";

/// What the pieces of a body have at most, in bytes.
const COPY_BYTES: usize = 256 << 10;

/// Whether something is put together of other objects, some of which may be no concern of
/// whoever has a link to it.
pub(crate) fn is_manifest(meta: &Meta) -> bool {
    let settings = &meta.settings;
    let of_link = link::SHOWN.iter().any(|(_, name)| settings.contains_key(*name));
    of_link || settings.contains_key(meta::SLO_ETAG) || settings.contains_key(dlo::SETTING)
}

/// Refuses a link to what is put together of other objects.
///
/// # Errors
/// `Invalid`.
pub(crate) fn check_public(object: &Object) -> Result<(), Error> {
    if is_manifest(&object.meta) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "'{}' is a manifest of Swift or a link, which has no content of its own; copy it \
                 to a name of its own first",
                object.name.as_str().escape_debug()
            ),
        ));
    }
    Ok(())
}

/// Where a link is on this service; the name is there for whoever saves it.
pub(crate) fn public_path(id: &str, object: &ObjectName) -> String {
    let name = object.as_str().rsplit('/').next().unwrap_or_default();
    format!("/public/{id}/{}", encode(name))
}

pub(super) async fn show(State(app): State<App>, hangup: Hangup, request: Request) -> Response {
    let (asked, _) = request.into_parts();
    let mut response = match answer(&app, hangup, &asked).await {
        Ok(response) => response,
        Err(refusal) => refusal.plain().into_response(),
    };
    let headers = response.headers_mut();
    set(headers, "content-security-policy", POLICY);
    set(headers, CACHE_CONTROL, "no-cache");
    set(headers, "referrer-policy", "no-referrer");
    response
}

async fn answer(app: &App, hangup: Hangup, asked: &Parts) -> Result<Response, Refusal> {
    if asked.method != Method::GET && asked.method != Method::HEAD {
        return Err(Refusal::method("GET, HEAD"));
    }
    let path = asked.uri.path().strip_prefix("/public/").unwrap_or_default();
    let id = path.split('/').next().unwrap_or_default().to_owned();
    let call = app.calls.call(&app.service, move |service| service.link_open(&id));
    let content: Arc<Content> = match call.await {
        Ok(content) => Arc::new(content),
        // Whether it was never there, has ended or is gone looks alike.
        Err(failure) if failure.kind() == archipelago_api::ErrorKind::NotFound => {
            return Err(Refusal::not_found());
        }
        Err(failure) => return Err(failure.into()),
    };
    let object = content.object();
    if is_manifest(&object.meta) || meta::is_expired(object, app.service.now_ms()) {
        return Err(Refusal::not_found());
    }
    let mut headers = headers_of(object);
    check(&asked.headers, object, &headers)?;
    let (status, offset, len) = part(&asked.headers, object, &mut headers)?;
    set(&mut headers, CONTENT_LENGTH, &len.to_string());
    let body = match asked.method == Method::HEAD || len == 0 {
        true => Body::empty(),
        false => {
            download::body(app, hangup, move |_: &Service, out| copy(&content, offset, len, out))
                .await?
        }
    };
    let mut response = Response::new(body);
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}

fn headers_of(object: &Object) -> HeaderMap {
    let mut out = HeaderMap::new();
    let of = |name: &str| object.meta.headers.get(name).map(String::as_str);
    set(&mut out, CONTENT_TYPE, of("content-type").unwrap_or("application/octet-stream"));
    for name in ["content-encoding", "content-language"] {
        if let Some(value) = of(name) {
            set(&mut out, name, value);
        }
    }
    set(&mut out, "accept-ranges", "bytes");
    let name = object.name.as_str().rsplit('/').next().unwrap_or_default();
    set(&mut out, CONTENT_DISPOSITION, &format!("attachment; filename*=UTF-8''{}", encode(name)));
    set(&mut out, ETAG, &format!("\"{}\"", object.entity_tag()));
    set(&mut out, LAST_MODIFIED, &http_date(meta::changed_ms(object)));
    out
}

fn check(asked: &HeaderMap, object: &Object, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| asked.get(name).and_then(|value| value.to_str().ok());
    let etag = object.entity_tag();
    let names = |list: &str| {
        list.split(',').map(str::trim).any(|item| item == "*" || etag == conditions::bare(item))
    };
    let changed = i64::try_from(meta::changed_ms(object) / 1000).unwrap_or(i64::MAX);
    let date = |name| text(name).and_then(parse_date);
    let failed = match text(IF_MATCH) {
        Some(list) => !names(list),
        None => date(IF_UNMODIFIED_SINCE).is_some_and(|since| changed > since),
    };
    if failed {
        return Err(Refusal::precondition("A precondition failed."));
    }
    let same = match text(IF_NONE_MATCH) {
        Some(list) => names(list),
        None => date(IF_MODIFIED_SINCE).is_some_and(|since| changed <= since),
    };
    if same {
        let mut kept = headers.clone();
        kept.remove(CONTENT_TYPE);
        kept.remove(CONTENT_DISPOSITION);
        return Err(Refusal::not_modified(kept));
    }
    Ok(())
}

/// Which bytes go out. Of several ranges in one request the whole is sent, as HTTP allows.
fn part(
    asked: &HeaderMap,
    object: &Object,
    headers: &mut HeaderMap,
) -> Result<(StatusCode, u64, u64), Refusal> {
    let text = |name| asked.get(name).and_then(|value| value.to_str().ok());
    let size = object.size;
    let fresh = text(IF_RANGE).is_none_or(|tag| object.entity_tag() == conditions::bare(tag));
    match wanted(text(RANGE).filter(|_| fresh), size) {
        Wanted::Some(ranges) if ranges.len() == 1 => {
            let (offset, len) = ranges[0];
            let text = format!("bytes {offset}-{}/{size}", offset + len.saturating_sub(1));
            set(headers, CONTENT_RANGE, &text);
            Ok((StatusCode::PARTIAL_CONTENT, offset, len))
        }
        Wanted::Nothing => Err(Refusal::range(size)),
        Wanted::All | Wanted::Some(_) => Ok((StatusCode::OK, 0, size)),
    }
}

fn copy(
    content: &Content,
    offset: u64,
    len: u64,
    out: &mut dyn std::io::Write,
) -> Result<(), Error> {
    let mut input = content.range(offset, len);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = input.read(&mut buffer).map_err(segments::told)?;
        if read == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..read]).map_err(segments::told)?;
    }
}
