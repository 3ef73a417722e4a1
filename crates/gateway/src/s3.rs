//! The door of S3, by the s3s library: it takes requests apart and checks signatures; here
//! is what they mean.
//!
//! ```text
//! door      one line per operation     fault    errors of the pool as those of S3
//! explain   sentences for errors       framing  bodies in pieces come to their end
//! dates     when a request was signed   unmeasured  bodies of unknown length
//! auth      keys, and who a request is from; buckets and what may be done with them
//! acl       grants, canned and said    meta     headers <-> what is known of an object
//! ownership whose objects are
//! buckets   read   write   parts   listing   tags   lock   lifecycle   settings: the operations
//! sse       encryption: keys of requests, defaults of buckets
//! documents who may send one, asked before it is read
//! signed_headers   nothing is obeyed that the signature does not cover
//! ```
//!
//! A request is S3's when it is signed as S3 signs, or when no other door has its path.
//!
//! # Architecture invariant
//! Only here S3's words exist: below, a bucket is a container, a key is the name of an object.

mod acl;
mod append;
mod auth;
mod buckets;
mod checksums;
mod cors;
mod dates;
mod documents;
mod door;
mod explain;
mod fault;
mod framing;
mod lifecycle;
mod listing;
mod lock;
mod meta;
mod ownership;
mod parts;
mod policy;
mod read;
mod settings;
mod signed_headers;
mod sse;
mod tags;
mod unmeasured;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use s3s::S3Result;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::Semaphore;

use crate::App;
use crate::domains::Domains;
use crate::failure::Failure;
use crate::routes::{SANDBOX, unknown_route};
use crate::server::Hangup;
pub(crate) use acl::{grants_of_bucket, grants_of_object};
use auth::{Anybody, Keys, Unguarded};
use cors::Asked;
use door::Door;
use explain::Told;
pub(crate) use meta::STORAGE_CLASS;

/// The file in a form of a browser is held in memory by the library: it has so many bytes at
/// most, ...
const FORM_BYTES_MAX: u64 = 16 << 20;
/// ... and so many forms are read at once; others are told to come later.
const FORMS_MAX: usize = 8;
/// The largest document: ten thousand parts.
const XML_BYTES_MAX: usize = 4 << 20;

/// The service of the library, shared by all requests.
#[derive(Clone)]
pub(crate) struct S3 {
    service: S3Service,
    app: App,
    /// Requests so far: what their ids are made of.
    requests: Arc<AtomicU64>,
    forms: Arc<Semaphore>,
}

/// Buckets in front of the host, where that is one of the service's domains; in the path else.
struct Hosts(Arc<Domains>);

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let place = VirtualHost::new(host);
        Ok(match self.0.bucket(host) {
            Some(bucket) => place.with_bucket(bucket.to_ascii_lowercase()),
            None => place,
        })
    }
}

/// How a request is called in logs and answers.
#[derive(Clone, Debug)]
struct RequestId(String);

impl S3 {
    pub(crate) fn new(app: &App) -> Self {
        let mut builder = S3ServiceBuilder::new(Door::new(app.clone()));
        builder.set_auth(Keys::new(app.clone()));
        builder.set_access(Anybody::new(app));
        builder.set_host(Hosts(Arc::clone(&app.domains)));
        let mut config = S3Config::default();
        config.post_object_max_file_size = FORM_BYTES_MAX;
        config.xml_max_body_size = XML_BYTES_MAX;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        let requests = Arc::new(AtomicU64::new(app.service.now_ms() << 16));
        let forms = Arc::new(Semaphore::new(FORMS_MAX));
        Self { service: builder.build(), app: app.clone(), requests, forms }
    }

    async fn answer(&self, mut request: Request) -> Response {
        let _form = match is_form(&request) {
            false => None,
            true => match self.forms.try_acquire() {
                Ok(permit) => Some(permit),
                Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
            },
        };
        let page = Asked::of(&self.app.domains, &request);
        let hangup = request.extensions().get::<Hangup>().cloned().unwrap_or_default();
        let id = RequestId(format!("{:016X}", self.requests.fetch_add(1, Ordering::Relaxed)));
        request.extensions_mut().insert(Arc::new(hangup));
        request.extensions_mut().insert(id.clone());
        let told = Told::of(&request, XML_BYTES_MAX);
        let body = std::mem::take(request.body_mut());
        let (mut parts, ()) = request.map(drop).into_parts();
        let body = unmeasured::set_aside(&mut parts, body);
        let body = framing::whole(&parts.headers, body);
        dates::complete(&mut parts.headers);
        sse::hide_keys(&mut parts.headers);
        let request = axum::http::Request::from_parts(parts, body);
        let mut response = match auth::signed(self.service.call(request)).await {
            Ok(mut response) => {
                read::take_quotes_off(&mut response);
                told.explain(response.map(Body::new), &id.0).await
            }
            Err(error) => {
                let error: s3s::StdError = error.into();
                tracing::error!(%error, request = id.0, "the S3 library failed");
                Failure::defect().into_response()
            }
        };
        response.headers_mut().entry(CONTENT_SECURITY_POLICY).or_insert(SANDBOX);
        if let Ok(value) = HeaderValue::from_str(&id.0) {
            response.headers_mut().insert("x-amz-request-id", value);
        }
        if let Some(page) = page
            && let Some(rule) = page.rule(&self.app).await
        {
            page.tell(&rule, response.headers_mut());
        }
        response
    }
}

/// Takes what is signed as S3 signs, whatever its path, and what pages of other sites may
/// ask for. It stands before what keeps such pages out: they cannot sign.
pub(crate) async fn layer(State(s3): State<S3>, mut request: Request, next: Next) -> Response {
    let in_host = s3.app.domains.bucket_of(request.headers()).is_some();
    let (signed, others) = (is_signed(&request), !in_host && is_of_others(request.uri().path()));
    let page = Asked::of(&s3.app.domains, &request);
    if request.method() == Method::OPTIONS && (signed || !others) {
        return cors::preflight(&s3.app, page).await;
    }
    let allowed = match page {
        Some(page) if !others => page.rule(&s3.app).await.is_some(),
        _ => false,
    };
    if signed && !allowed {
        request.extensions_mut().insert(Unguarded);
    }
    if in_host
        && !(signed || allowed)
        && let Err(failure) = s3.app.guard.check(request.method(), request.headers())
    {
        return failure.into_response();
    }
    if signed || allowed || in_host { s3.answer(request).await } else { next.run(request).await }
}

/// What no other door has, if it can be a bucket.
pub(crate) async fn rest(State(s3): State<S3>, request: Request) -> Response {
    let first = request.uri().path().split('/').nth(1).unwrap_or_default();
    if s3s::path::check_bucket_name(first) {
        s3.answer(request).await
    } else {
        unknown_route(request.uri().clone()).await.into_response()
    }
}

/// Paths that are not buckets.
fn is_of_others(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    first.is_empty() || first == "v1" || buckets::RESERVED.contains(&first)
}

fn is_form(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
    request.method() == Method::POST
        && kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"multipart/form-data"))
}

fn is_signed(request: &Request) -> bool {
    let header = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let by_header = header.is_some_and(|value| value.starts_with(b"AWS"));
    let query = request.uri().query().unwrap_or_default();
    by_header
        || query
            .split('&')
            .any(|pair| pair.starts_with("X-Amz-Signature=") || pair.starts_with("Signature="))
}

#[cfg(test)]
mod tests;
