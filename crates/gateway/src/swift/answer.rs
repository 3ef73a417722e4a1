//! Responses as Swift gives them: errors are a line of text.

use std::fmt;

use archipelago_api::ErrorKind;
use archipelago_pool as pool;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::ask::encode;
use crate::failure::{Failure, status_of};
use crate::patience::tells_of_stall;

/// What a request is refused with; also a 304, which is no failure.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
    /// In a box, since this is what most functions here may end with.
    headers: Box<HeaderMap>,
    /// What was to be read was replaced between two looks at it.
    replaced: bool,
}

/// How often a copy is begun whose source is replaced meanwhile: somebody who always puts the same
/// object anew leaves it a chance each time.
const REPLACED_TRIES: u32 = 16;

/// Runs what may meet [`Refusal::replaced`], until it does not.
pub(crate) fn unless_replaced<T>(
    mut run: impl FnMut() -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    for _ in 1..REPLACED_TRIES {
        match run() {
            Err(refusal) if refusal.replaced => {}
            done => return done,
        }
    }
    run()
}

impl Refusal {
    fn new(status: StatusCode, text: impl fmt::Display) -> Self {
        Self { status, text: text.to_string(), headers: Box::default(), replaced: false }
    }

    /// The version that rights and conditions were asked of is not the newest any more.
    pub(crate) fn replaced() -> Self {
        let text = "The source was replaced again and again; copy it once more.";
        Self { replaced: true, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    pub(crate) fn invalid(text: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "The resource could not be found.")
    }

    pub(crate) fn forbidden(text: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    pub(crate) fn unauthorized(account: &str) -> Self {
        let mut refusal = Self::new(
            StatusCode::UNAUTHORIZED,
            "This server could not verify that you are authorized to access what you requested.",
        );
        let shown: String = account.chars().take(REALM_CHARS_MAX).collect();
        let challenge = format!("Swift realm=\"{}\"", encode(&shown));
        refusal.add(WWW_AUTHENTICATE, &challenge);
        refusal
    }

    /// Says it as text that is no HTML, and so without its escapes.
    pub(crate) fn plain(mut self) -> Self {
        self.add(CONTENT_TYPE, PLAIN_TYPE);
        self
    }

    pub(crate) fn precondition(text: &str) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, text)
    }

    pub(crate) fn not_modified(headers: HeaderMap) -> Self {
        Self {
            status: StatusCode::NOT_MODIFIED,
            text: String::new(),
            headers: Box::new(headers),
            replaced: false,
        }
    }

    pub(crate) fn range(size: u64) -> Self {
        Self::unsatisfiable(size, "The range lies behind the end.")
    }

    pub(crate) fn part(size: u64) -> Self {
        Self::unsatisfiable(size, "The requested part number is not satisfiable")
    }

    fn unsatisfiable(size: u64, text: &str) -> Self {
        let mut refusal = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, text);
        refusal.add(CONTENT_RANGE, &format!("bytes */{size}"));
        refusal
    }

    pub(crate) fn conflict(text: &str) -> Self {
        Self::new(StatusCode::CONFLICT, text)
    }

    /// What was asked for was done to a link, and may be asked for of its target.
    pub(crate) fn redirect(location: &str) -> Self {
        let mut refusal = Self::new(
            StatusCode::TEMPORARY_REDIRECT,
            "The requested POST was applied to a symlink. POST directly to the target to apply \
             requested metadata.",
        );
        refusal.add(LOCATION, location);
        refusal.plain()
    }

    pub(crate) fn length_required() -> Self {
        Self::new(StatusCode::LENGTH_REQUIRED, "Missing Content-Length header.")
    }

    pub(crate) fn too_large(text: impl fmt::Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    pub(crate) fn unprocessable() -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "The content is not what its ETag says.")
    }

    pub(crate) fn not_acceptable() -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "Listings are text, JSON or XML.")
    }

    pub(crate) fn method(allow: &str) -> Self {
        let mut refusal = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "The method is not allowed for this resource.",
        );
        refusal.add(ALLOW, allow);
        refusal
    }

    /// Adds a header; what cannot be one is left out.
    pub(crate) fn add(&mut self, name: HeaderName, value: &str) {
        set(&mut self.headers, name, value);
    }

    /// With headers of what it is about; its own stay.
    pub(crate) fn with(mut self, mut headers: HeaderMap) -> Self {
        headers.remove(CONTENT_LENGTH);
        headers.extend(std::mem::take(&mut *self.headers));
        *self.headers = headers;
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether it is for want of rights.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self.status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED)
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        if failure.kind() == ErrorKind::QuotaExceeded {
            // Without figures: who may write there need not know what else there is.
            return Self::too_large("Upload exceeds quota.");
        }
        let status = match failure.kind() {
            ErrorKind::Invalid if tells_of_stall(failure.message()) => StatusCode::REQUEST_TIMEOUT,
            kind => status_of(kind),
        };
        Self::new(status, failure.message())
    }
}

impl From<pool::Error> for Refusal {
    fn from(error: pool::Error) -> Self {
        Failure::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = match self.status {
            StatusCode::NOT_MODIFIED => self.status.into_response(),
            status if self.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == PLAIN_TYPE) => {
                (status, self.text).into_response()
            }
            status => (status, escape(&self.text)).into_response(),
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EMPTY_TYPE));
        response.headers_mut().extend(*self.headers);
        response
    }
}

/// Of what was called an account, so much is said again.
const REALM_CHARS_MAX: usize = 256;

/// The type of errors and of answers without content, as Swift has it.
const EMPTY_TYPE: &str = "text/html; charset=UTF-8";

/// The type of errors that are text alone.
const PLAIN_TYPE: &str = "text/plain; charset=utf-8";

/// A text that may name what a client sent: no browser may take that for a page.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Sets a header; a value that cannot stand in one is left out.
pub(crate) fn set(headers: &mut HeaderMap, name: impl TryInto<HeaderName>, value: &str) {
    if let (Ok(name), Ok(value)) = (name.try_into(), HeaderValue::from_bytes(value.as_bytes())) {
        headers.insert(name, value);
    }
}

/// An answer without content.
pub(crate) fn empty(status: StatusCode, headers: HeaderMap) -> Response {
    let mut response = status.into_response();
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(EMPTY_TYPE));
    if status != StatusCode::NO_CONTENT {
        out.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    out.extend(headers);
    response
}

/// An answer with a text of some type.
pub(crate) fn text(kind: &str, headers: HeaderMap, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let out = response.headers_mut();
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.extend(headers);
    set(out, CONTENT_TYPE, kind);
    response
}

/// `1700000000.12345`: when something was, as Swift writes it.
pub(crate) fn timestamp(ms: u64) -> String {
    format!("{}.{:05}", ms / 1000, ms % 1000 * 100)
}

/// `Wed, 01 Jan 2025 00:00:00 GMT`; up to the next second, as Swift does, so that what was
/// changed since is never taken for the same.
pub(crate) fn http_date(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map(|time| time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}

/// `2025-01-01T00:00:00.123000`, in listings.
pub(crate) fn iso_date(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map(|time| format!("{}.{:06}", time.strftime("%Y-%m-%dT%H:%M:%S"), ms % 1000 * 1000))
        .unwrap_or_default()
}

/// Seconds since 1970 of a date in a header, in each of the three ways of HTTP.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(time.as_second());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].iter().find_map(|format| {
        let time = jiff::fmt::strtime::parse(format, text).ok()?.to_datetime().ok()?;
        Some(jiff::tz::Offset::UTC.to_timestamp(time).ok()?.as_second())
    })
}
