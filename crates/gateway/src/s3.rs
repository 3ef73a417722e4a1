//! The door of S3, by the s3s library: it takes requests apart and checks signatures; here
//! is what they mean.
//!
//! ```text
//! door      one line per operation     fault    errors of the pool as those of S3
//! auth      keys, and who a request is from; buckets and what may be done with them
//! acl       grants, canned and said    meta     headers <-> what is known of an object
//! buckets   read   write   parts   listing   tags   lock   settings: the operations
//! ```
//!
//! A request is S3's when it is signed as S3 signs, or when no other door has its path.
//!
//! # Architecture invariant
//! Only here S3's words exist: below, a bucket is a container, a key is the name of an object.

mod acl;
mod auth;
mod buckets;
mod checksums;
mod door;
mod fault;
mod listing;
mod lock;
mod meta;
mod parts;
mod read;
mod settings;
mod tags;
mod write;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use s3s::service::{S3Service, S3ServiceBuilder};

use crate::App;
use crate::failure::Failure;
use crate::server::Hangup;
use auth::{Anybody, Keys};
use door::Door;

/// The service of the library, shared by all requests.
#[derive(Clone)]
pub(crate) struct S3(S3Service);

impl S3 {
    pub(crate) fn new(app: &App) -> Self {
        let mut builder = S3ServiceBuilder::new(Door::new(app.clone()));
        builder.set_auth(Keys::new(app.clone()));
        builder.set_access(Anybody);
        Self(builder.build())
    }

    async fn answer(&self, mut request: Request) -> Response {
        let hangup = request.extensions().get::<Hangup>().cloned().unwrap_or_default();
        request.extensions_mut().insert(Arc::new(hangup));
        let (parts, body) = request.into_parts();
        let body = s3s::Body::http_body_unsync(body);
        match self.0.call(axum::http::Request::from_parts(parts, body)).await {
            Ok(response) => response.map(Body::new),
            Err(error) => {
                let error: s3s::StdError = error.into();
                tracing::error!(%error, "the S3 library failed");
                Failure::defect().into_response()
            }
        }
    }
}

/// Takes what is signed as S3 signs, whatever its path.
pub(crate) async fn layer(State(s3): State<S3>, request: Request, next: Next) -> Response {
    if is_signed(&request) { s3.answer(request).await } else { next.run(request).await }
}

/// What no other door has.
pub(crate) async fn rest(State(s3): State<S3>, request: Request) -> Response {
    s3.answer(request).await
}

fn is_signed(request: &Request) -> bool {
    let header = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let by_header = header.is_some_and(|value| value.starts_with(b"AWS"));
    let query = request.uri().query().unwrap_or_default();
    by_header
        || query
            .split('&')
            .any(|pair| pair.starts_with("X-Amz-Signature=") || pair.starts_with("AWSAccessKeyId="))
}

#[cfg(test)]
mod tests;
