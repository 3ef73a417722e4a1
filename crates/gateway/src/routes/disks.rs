//! Disks as files that are stored nowhere.

use std::io::{Read, Write};

use archipelago_api::{DiskQuery, ErrorKind};
use archipelago_pool::{Action, DiskFormat, DiskView, Error, ErrorKind as Kind};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Failures;
use super::volumes::source;
use crate::App;
use crate::download;
use crate::extract::Query;
use crate::failure::Failure;
use crate::login::Caller;
use crate::server::Hangup;
use crate::swift::one_range;

/// Bytes that are read and sent together.
const COPY_BYTES: usize = 256 << 10;

/// Streams the disk that anything is, or that a file holds, as a raw or qcow2 file: no copy of it
/// is stored. One range can be asked for (`Range`, `If-Range`, `If-Match`); a volume is shown as it
/// is now, so that the entity tag changes when it does.
#[utoipa::path(get, path = "/v1/disk", tag = "transfer", params(DiskQuery),
    responses((status = 200, description = "The file", content_type = "application/octet-stream",
            body = Vec<u8>),
        (status = 206, description = "A range of it", content_type = "application/octet-stream",
            body = Vec<u8>),
        (status = 412, description = "It is another one than `If-Match` says", body = archipelago_api::Error),
        (status = 416, description = "It ends before the range begins", body = archipelago_api::Error),
        Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    hangup: Hangup,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<DiskQuery>,
) -> Result<Response, Failure> {
    let names = caller.names(&app).await?;
    let source = source(&app, &caller, &names, Action::Read, &query.source).await?;
    let format = match query.format.as_deref() {
        None | Some("raw") => DiskFormat::Raw,
        Some("qcow2") => DiskFormat::Qcow2,
        Some(_) => return Err(Failure::invalid("format is raw or qcow2")),
    };
    let view = app.calls.long(&app.service, move |service| service.disk_view(&source, format));
    let view = view.await?;
    let (size, tag) = (view.len(), format!("\"{}\"", view.tag()));
    let asked = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if asked(IF_MATCH).is_some_and(|wanted| wanted != "*" && wanted != tag) {
        return Ok(refusal(StatusCode::PRECONDITION_FAILED, "it is another one by now"));
    }
    let range = asked(RANGE).filter(|_| asked(IF_RANGE).is_none_or(|wanted| wanted == tag));
    let (status, offset, len) = match range.and_then(|header| one_range(header, size)) {
        None => (StatusCode::OK, 0, size),
        Some(Some((offset, len))) => (StatusCode::PARTIAL_CONTENT, offset, len),
        Some(None) => {
            let mut response = refusal(StatusCode::RANGE_NOT_SATISFIABLE, "it ends before");
            put(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let body = match method {
        Method::HEAD => Body::empty(),
        _ => download::body(&app, hangup, move |_, out| copy(&view, offset, len, out)).await?,
    };
    let mut response = (status, body).into_response();
    let out = response.headers_mut();
    put(out, CONTENT_TYPE, "application/octet-stream");
    put(out, CACHE_CONTROL, "no-store");
    put(out, ACCEPT_RANGES, "bytes");
    put(out, CONTENT_LENGTH, &len.to_string());
    put(out, ETAG, &tag);
    if status == StatusCode::PARTIAL_CONTENT {
        let last = offset + len - 1;
        put(out, CONTENT_RANGE, &format!("bytes {offset}-{last}/{size}"));
    }
    Ok(response)
}

fn copy(view: &DiskView, offset: u64, len: u64, out: &mut dyn Write) -> Result<(), Error> {
    let mut input = view.range(offset, len);
    let mut buffer = vec![0; COPY_BYTES];
    let failed = |what: &str, error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::InvalidData => Kind::Damaged,
            _ => Kind::Unavailable,
        };
        Error::new(kind, format!("{what}: {error}")).with_source(error)
    };
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                out.write_all(&buffer[..read]).map_err(|error| failed("cannot send", error))?;
            }
            Err(error) => return Err(failed("cannot read", error)),
        }
    }
}

fn refusal(status: StatusCode, message: &str) -> Response {
    let error = archipelago_api::Error { kind: ErrorKind::Invalid, message: message.to_owned() };
    (status, axum::Json(error)).into_response()
}

fn put(headers: &mut HeaderMap, name: axum::http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
