//! Bodies of unknown length (`Transfer-Encoding: chunked`). The library takes no signed ones,
//! since it wants to know where they end before they come. Nobody else here does: such a body
//! goes round the library to what stores it, and its hash is compared at its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method};
use hyper::body::{Body as _, Frame};
use parking_lot::Mutex;
use s3s::crypto::{Checksum as _, Sha256};
use s3s::{S3Result, s3_error};

use super::fault::OTHER_CONTENT;

/// What is signed of a body.
const SIGNED: &str = "x-amz-content-sha256";
/// In the place of a hash: it is not.
const UNSIGNED: &[u8] = b"UNSIGNED-PAYLOAD";
/// Operations that take a body as it comes. All others read a document, and are told how long
/// that is.
const STORING: [&str; 2] = ["PutObject", "UploadPart"];

/// A body that the library does not see. Whoever stores it takes it, once.
#[derive(Clone)]
pub(super) struct Unmeasured(Arc<Mutex<Option<Body>>>);

/// Sets the body of a signed request aside where nobody said how long it is.
pub(super) fn set_aside(parts: &mut Parts, body: Body) -> Body {
    let known = parts.headers.contains_key(axum::http::header::CONTENT_LENGTH)
        || body.size_hint().exact().is_some();
    if known || parts.method != Method::PUT {
        return body;
    }
    let Some(signed) = parts.headers.get(SIGNED).map(HeaderValue::as_bytes) else { return body };
    let body = match expected(signed) {
        Some(expected) => Body::new(Hashed { body, hasher: Some(Sha256::new()), expected }),
        None if signed == UNSIGNED => body,
        // In pieces with signatures of their own, or nonsense.
        None => return body,
    };
    parts.extensions.insert(Unmeasured(Arc::new(Mutex::new(Some(body)))));
    Body::empty()
}

/// Refuses what needs a length and has none.
pub(super) fn check(extensions: &Extensions, operation: &str) -> S3Result<()> {
    match extensions.get::<Unmeasured>().is_some() && !STORING.contains(&operation) {
        true => {
            Err(s3_error!(MissingContentLength, "You must provide the Content-Length HTTP header."))
        }
        false => Ok(()),
    }
}

/// The body that was set aside, if there is one.
pub(super) fn take(extensions: &Extensions) -> Option<Body> {
    extensions.get::<Unmeasured>().and_then(|Unmeasured(body)| body.lock().take())
}

/// How long a body says that it is; of what was set aside, only its end tells.
pub(super) fn length(
    extensions: &Extensions,
    headers: &HeaderMap,
    length: Option<i64>,
) -> Option<i64> {
    match extensions.get::<Unmeasured>() {
        Some(_) => None,
        None => super::write::decoded_length(headers).or(length),
    }
}

/// A hash, in hexadecimal.
fn expected(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

/// A body that fails at its end when it was another one than was signed.
struct Hashed {
    body: Body,
    /// `None` behind the end.
    hasher: Option<Sha256>,
    expected: [u8; 32],
}

impl hyper::body::Body for Hashed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if let (Some(bytes), Some(hasher)) = (frame.data_ref(), &mut self.hasher) {
                    hasher.update(bytes);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => match self.hasher.take().map(Sha256::finalize) {
                Some(hash) if hash != self.expected => Some(Err(OTHER_CONTENT.into())),
                Some(_) | None => None,
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        // The end has to be asked for: only there the hash is compared.
        self.hasher.is_none()
    }
}

#[cfg(test)]
mod tests;
