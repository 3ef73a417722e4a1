//! The door of OpenStack Swift: `/object/v1/AUTH_<account uuid>/container/object`, and the same
//! without `/object`, where many programs expect it. Neither the native API nor S3 can mean
//! that: no path of the one begins so, and a bucket's name has three characters at least.
//!
//! ```text
//! ask       what a request says: place, query, headers; names are checked here
//! access    who asks and what they may; acl: lists of who may, kept of containers
//! tempurl   requests that a signature lets in, without a token
//! account, container, listing                what is known of them, and pages of names
//! object    GET, HEAD (conditions, ranges)   put, copy, post, remove: the other methods
//! segments  objects made of others: slo, dlo bulk: many removals at once
//! answer    responses and refusals as Swift writes them
//! web       containers as web sites
//! info      what this door can do, with its limits
//! ```
//!
//! Who is not in an account, and on no list of it, gets the same answer whether the account or
//! the container exists or not.

mod access;
mod account;
mod account_acl;
mod acl;
pub(crate) mod answer;
pub(crate) mod ask;
mod bulk;
pub(crate) mod conditions;
mod container;
mod copy;
mod dlo;
mod entries;
mod info;
mod link;
pub(crate) mod listing;
pub(crate) mod meta;
pub(crate) mod object;
mod post;
mod public;
mod put;
mod quota;
mod ranges;
mod remove;
pub(crate) mod segments;
mod slo;
mod tempurl;
mod versions;
mod web;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};

use archipelago_pool::Service;
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{CONNECTION, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};

use crate::App;
use crate::routes::{SANDBOX, unknown_route};
use crate::server::Hangup;
use crate::upload::Upload;
pub(crate) use acl::grants_of;
use answer::Refusal;
use ask::{Ask, Level, Placed};
pub(crate) use public::{check_public, is_manifest, public_path};

/// The one range that a header asks for, of something of so many bytes: `None` for all of it,
/// `Some(None)` when that lies behind its end. Of several ranges all of it is given.
pub(crate) fn one_range(header: &str, size: u64) -> Option<Option<(u64, u64)>> {
    match ranges::wanted(Some(header), size) {
        ranges::Wanted::All => None,
        ranges::Wanted::Nothing => Some(None),
        ranges::Wanted::Some(found) => match found.as_slice() {
            [one] => Some(Some(*one)),
            _ => None,
        },
    }
}

/// Settings that say what the content of an object is, which whatever has that content keeps.
const OF_CONTENT: [&str; 3] = [dlo::SETTING, meta::SLO_SIZE, meta::SLO_ETAG];

/// Whether a setting of an object says what its content is, and not whose it is, who may have it
/// or how long.
pub(crate) fn describes_content(setting: &str) -> bool {
    OF_CONTENT.into_iter().chain(link::SETTINGS).any(|name| name == setting)
}

/// The routes; they are no part of the native API and its document.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/info", get(info::show))
        .route("/object/info", get(info::show))
        .route("/public/{*rest}", any(public::show))
        .route("/object", any(serve))
        .route("/object/", any(serve))
        .route("/object/{*rest}", any(serve))
}

/// What the native API has no route for: `/v1/AUTH_...` is an account, and where no name is at
/// all, one of an account is missing.
pub(crate) async fn rest(state: State<App>, hangup: Hangup, request: Request) -> Response {
    let path = request.uri().path();
    match path.starts_with("/v1/AUTH_") || path.contains("//") || path.len() <= "/v1/".len() {
        true => serve(state, hangup, request).await,
        false => unknown_route(request.uri().clone()).await.into_response(),
    }
}

/// Takes what a host says is in an account, whatever its path.
pub(crate) async fn layer(
    state: State<App>,
    hangup: Hangup,
    mut request: Request,
    next: Next,
) -> Response {
    match state.domains.swift_place(request.headers()) {
        Some(place) => {
            request.extensions_mut().insert(Placed(place));
            serve(state, hangup, request).await
        }
        None => next.run(request).await,
    }
}

async fn serve(State(app): State<App>, hangup: Hangup, request: Request) -> Response {
    let now_ms = app.service.now_ms();
    let kept = request.headers().get(CONNECTION).filter(|word| *word == "keep-alive").cloned();
    let answered = match Ask::new(&request, now_ms) {
        Ok(ask) => answer(&app, hangup, Arc::new(ask), request).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    // It is so in any case; programs written for Swift look for the word when they said it.
    if let Some(kept) = kept {
        response.headers_mut().insert(CONNECTION, kept);
    }
    // Somebody's page must not act as one of this service.
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, SANDBOX);
    if let Ok(id) = HeaderValue::from_str(&transaction(now_ms)) {
        response.headers_mut().insert("x-trans-id", id.clone());
        response.headers_mut().insert("x-openstack-request-id", id);
    }
    response
}

/// Tells requests apart in reports of errors; nothing depends on it. It does not tell how many
/// requests others make.
fn transaction(now_ms: u64) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let number = KEY.hash_one(COUNT.fetch_add(1, Relaxed));
    format!("tx{number:021x}-{:010x}", now_ms / 1000)
}

async fn answer(
    app: &App,
    hangup: Hangup,
    ask: Arc<Ask>,
    request: Request,
) -> Result<Response, Refusal> {
    refuse_unknown(&ask)?;
    if bulk::is_meant(&ask) {
        return bulk::remove(app, ask, request.into_body()).await;
    }
    match (ask.level(), ask.method.as_str()) {
        (Level::Object, "PUT") if slo::is_meant(&ask) => {
            slo::put(app, ask, request.into_body()).await
        }
        (Level::Object, "PUT") => {
            let upload = match Upload::from_request(request, &()).await {
                Ok(upload) => upload,
                Err(never) => match never {},
            };
            put::put(app, ask, upload).await
        }
        (Level::Object, "GET" | "HEAD") => match web_page(app, &hangup, &ask).await? {
            Some(page) => Ok(page),
            None => object::show(app, hangup, ask).await,
        },
        (Level::Object, "COPY") => copy::copy(app, ask).await,
        _ => match web_page(app, &hangup, &ask).await? {
            Some(page) => Ok(page),
            None => call(app, move |service| short(service, &ask)).await,
        },
    }
}

async fn web_page(app: &App, hangup: &Hangup, ask: &Arc<Ask>) -> Result<Option<Response>, Refusal> {
    if web::is_meant(ask) { web::show(app, hangup, ask).await } else { Ok(None) }
}

/// What would be taken for something else if it were ignored: a link for an empty object, an
/// archive for a container.
fn refuse_unknown(ask: &Ask) -> Result<(), Refusal> {
    let header = ["x-container-sync-to"]
        .into_iter()
        .find(|name| ask.header(name).is_some_and(|value| !value.is_empty()));
    let param = ["extract-archive"].into_iter().find(|name| ask.has_param(name));
    match header.or(param).filter(|_| !reads(&ask.method)) {
        Some(name) => Err(Refusal::invalid(format_args!("{name} is not supported; see /info"))),
        None => Ok(()),
    }
}

/// What neither takes nor gives a stream.
fn short(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    match (ask.level(), ask.method.as_str()) {
        (Level::Account, "GET" | "HEAD") => account::show(service, ask),
        (Level::Account, "POST") => account::change(service, ask),
        (Level::Account, "PUT" | "DELETE") => account::refuse(service, ask),
        (Level::Container, "GET" | "HEAD") => container::show(service, ask),
        (Level::Container, "PUT") => container::put(service, ask),
        (Level::Container, "POST") => container::change(service, ask),
        (Level::Container, "DELETE") => container::remove(service, ask),
        (Level::Object, "POST") => post::post(service, ask),
        (Level::Object, "DELETE") => remove::remove(service, ask),
        (level, _) => Err(Refusal::method(match level {
            Level::Account => "GET, HEAD, POST",
            Level::Container => "DELETE, GET, HEAD, POST, PUT",
            Level::Object => "COPY, DELETE, GET, HEAD, POST, PUT",
        })),
    }
}

/// Runs what asks the catalog.
pub(crate) async fn call<T, F>(app: &App, verb: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: FnOnce(&Service) -> Result<T, Refusal> + Send + 'static,
{
    app.calls.call(&app.service, move |service| Ok(verb(service))).await?
}

/// A body that is held in memory, of so many bytes at most.
pub(crate) async fn small_body(body: Body, limit: usize) -> Result<axum::body::Bytes, Refusal> {
    axum::body::to_bytes(body, limit)
        .await
        .map_err(|_| Refusal::too_large(format!("a body of this kind has {limit} bytes at most")))
}

/// Whether a method only reads.
pub(crate) fn reads(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD")
}

#[cfg(test)]
mod tests;
