//! What a server's refusal means.
//!
//! The library's errors do not say which HTTP status came, nor what code of S3 was in the body;
//! so the connection is watched: what refuses is made an error of the connection that carries both.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use archipelago_model::SegmentId;
use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};

use crate::StoreError;

/// Of a refusal's body: enough for a code and a sentence.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Of the server's sentence, in errors.
const SENTENCE_CHARS_MAX: usize = 200;

/// Makes connections that are watched.
#[derive(Debug)]
pub(crate) struct WatchedConnector;

impl HttpConnector for WatchedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Watched(client)))
    }
}

#[derive(Debug)]
struct Watched(HttpClient);

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_head = request.method() == "HEAD";
        let response = self.0.execute(request).await?;
        let status = response.status().as_u16();
        if response.status().is_success() || matches!(status, 304 | 412) {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = front(body).await?;
        let refusal = Refusal::read(status, &body);
        if refusal.is_an_answer(is_head) {
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)));
        }
        Err(HttpError::new(HttpErrorKind::Unknown, refusal))
    }
}

async fn front(body: HttpResponseBody) -> Result<Vec<u8>, HttpError> {
    let mut front = Vec::new();
    let mut pieces = body.bytes_stream();
    while let Some(piece) = pieces.next().await {
        front.extend_from_slice(&piece?);
        if front.len() >= BODY_BYTES_MAX {
            front.truncate(BODY_BYTES_MAX);
            break;
        }
    }
    Ok(front)
}

/// An answer that is no.
#[derive(Debug)]
struct Refusal {
    status: u16,
    /// As S3 calls it; empty where the server gave none.
    code: String,
    sentence: String,
}

impl Refusal {
    fn read(status: u16, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let between = |tag: &str| {
            let (_, rest) = body.split_once(&format!("<{tag}>"))?;
            let (inside, _) = rest.split_once(&format!("</{tag}>"))?;
            Some(inside.chars().filter(|c| !c.is_control()).take(SENTENCE_CHARS_MAX).collect())
        };
        let (code, sentence) = (between("Code"), between("Message"));
        Self { status, code: code.unwrap_or_default(), sentence: sentence.unwrap_or_default() }
    }

    /// That one object, or upload, is not there is an answer, where the server says so itself: a
    /// proxy that does not know where to send a request says 404 as well. A HEAD has no body to
    /// say of what: it is believed here, and whoever asked looks again in another way.
    fn is_an_answer(&self, is_head: bool) -> bool {
        let missing = ["NoSuchKey", "NoSuchVersion", "NoSuchUpload"];
        self.status == 404 && (is_head || missing.contains(&self.code.as_str()))
    }

    fn sort(&self, segment: Option<SegmentId>, op: &'static str) -> StoreError {
        let full = ["QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull"];
        match self.status {
            507 => StoreError::NoSpace { segment, op },
            _ if full.contains(&self.code.as_str()) => StoreError::NoSpace { segment, op },
            401 | 403 => StoreError::Denied { segment, op, why: self.denied() },
            _ if self.is_transient() => {
                let source = io::Error::other(self.to_string());
                StoreError::Unavailable { segment, op, source }
            }
            404 if self.code != "NoSuchBucket" => {
                let source = io::Error::other(format!("it may not be the server at all: {self}"));
                StoreError::Unavailable { segment, op, source }
            }
            404 => {
                let why = "there is no such bucket: make it, or mend the pool's url".to_owned();
                StoreError::Unusable { why }
            }
            300..=399 => StoreError::Unusable {
                why: format!(
                    "the server says that the bucket is elsewhere ({self}): set the region and \
                     the endpoint that it belongs to"
                ),
            },
            _ => StoreError::Io { segment, op, source: io::Error::other(self.to_string()) },
        }
    }

    fn is_transient(&self) -> bool {
        let slow = ["RequestTimeout", "SlowDown", "Throttling", "TooManyRequests"];
        // 409: two conditional writes of one name met; neither is told who won.
        matches!(self.status, 408 | 409 | 429 | 500 | 502..=504)
            || slow.contains(&self.code.as_str())
    }

    fn denied(&self) -> String {
        match self.code.as_str() {
            "RequestTimeTooSkewed" => format!(
                "the server refuses the time of this host ({self}): set its clock, or the server's"
            ),
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" => {
                format!("the server refuses the access key or its secret ({self}): mend them")
            }
            _ => format!(
                "the server refuses access ({self}): mend the access key, or let it list, read, \
                 write and delete below the prefix of the bucket"
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        for part in [&self.code, &self.sentence].into_iter().filter(|part| !part.is_empty()) {
            write!(f, ", {part}")?;
        }
        Ok(())
    }
}

impl StdError for Refusal {}

/// Sorts what the library says when `op` was done to `segment`.
pub(super) fn sort(
    segment: Option<SegmentId>,
    op: &'static str,
    error: object_store::Error,
) -> StoreError {
    if let Some(refusal) = cause::<Refusal>(&error) {
        return refusal.sort(segment, op);
    }
    match (&error, segment) {
        (object_store::Error::NotFound { .. }, Some(segment)) => StoreError::NotFound { segment },
        (object_store::Error::AlreadyExists { .. }, Some(segment)) => {
            StoreError::AlreadyExists { segment }
        }
        _ if cause::<HttpError>(&error).is_some() => {
            StoreError::Unavailable { segment, op, source: io::Error::other(innermost(&error)) }
        }
        _ => StoreError::Io { segment, op, source: io::Error::other(error) },
    }
}

/// The first cause of a kind.
fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What the connection itself says; what is round it repeats URLs.
fn innermost(error: &object_store::Error) -> String {
    let mut last: &dyn StdError = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests;
