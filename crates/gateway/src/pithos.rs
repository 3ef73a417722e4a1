//! The door of Pithos: `/pithos/object-store/v1/<account>/container/object`, what kamaki and
//! other clients of Synnefo speak.
//!
//! ```text
//! ask       what a request says: place, query, headers
//! caller    who asks and what they may
//! top, account, container, listing, filter, past   what is known of them, now and at a time
//! object    GET, HEAD                      put, copy, post, remove: the other methods
//! hashmap   a file as the hashes of its blocks; blocks: they themselves
//! meta      headers that are kept          versions: which is meant, and all of them
//! sharing   with whom an object is shared, and its public link; shared: names that are
//! ```
//!
//! The same containers and objects as those of S3 and Swift, but an ETag here is the hash of
//! the hashes of an object's blocks, where theirs is its MD5. So this door has a prefix of its
//! own.

mod account;
mod ask;
mod blocks;
mod caller;
mod container;
mod copy;
mod filter;
mod hashmap;
mod listing;
mod meta;
mod object;
mod past;
mod post;
mod put;
mod remove;
mod shared;
mod sharing;
mod top;
mod versions;

use std::sync::Arc;

use archipelago_pool::Service;
use axum::Router;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use crate::App;
use crate::failure::Failure;
use crate::server::Hangup;
use crate::swift::answer::Refusal;
use crate::swift::call;
use crate::upload::Upload;
use ask::{Ask, Level};

/// Where this door is.
pub(crate) const PREFIX: &str = "/pithos/object-store/v1";

/// Objects that one request copies, moves or removes at most: each is a transaction of its own.
const TREE_MAX: usize = 100_000;

/// The routes; they are no part of the native API and its document.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(PREFIX, any(serve))
        .route("/pithos/object-store/v1/", any(serve))
        .route("/pithos/object-store/v1/{*rest}", any(serve))
}

async fn serve(State(app): State<App>, hangup: Hangup, request: Request) -> Response {
    let answered = match Ask::new(&request, app.service.now_ms()) {
        Ok(ask) => answer(&app, hangup, Arc::new(ask), request).await,
        Err(refusal) => Err(refusal),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(
    app: &App,
    hangup: Hangup,
    ask: Arc<Ask>,
    request: Request,
) -> Result<Response, Refusal> {
    let method = ask.method.as_str().to_owned();
    match (ask.level(), method.as_str()) {
        (Level::Top, "GET") => top::show(app, ask).await,
        (Level::Container, "POST") if blocks::is_meant(&ask) => {
            blocks::put(app, ask, body(request).await).await
        }
        (Level::Object, "GET") if ask.has_param("hashmap") => hashmap::show(app, hangup, ask).await,
        (Level::Object, "GET" | "HEAD") => object::show(app, hangup, ask).await,
        (Level::Object, "PUT") if copy::is_meant(&ask) => long(app, ask, copy::copy).await,
        (Level::Object, "COPY" | "MOVE") => long(app, ask, copy::copy).await,
        (Level::Object, "PUT") if ask.has_param("hashmap") => {
            hashmap::put(app, ask, body(request).await).await
        }
        (Level::Object, "PUT") => put::put(app, ask, body(request).await).await,
        (Level::Object, "POST") if post::is_update(&ask) => {
            post::update(app, ask, body(request).await).await
        }
        (_, "GET" | "DELETE") => long(app, ask, short).await,
        _ => call(app, move |service| short(service, &ask)).await,
    }
}

async fn body(request: Request) -> Upload {
    match Upload::from_request(request, &()).await {
        Ok(upload) => upload,
        Err(never) => match never {},
    }
}

/// What may take as long as a transfer.
async fn long(
    app: &App,
    ask: Arc<Ask>,
    verb: fn(&Service, &Ask) -> Result<Response, Refusal>,
) -> Result<Response, Refusal> {
    let permit = app.calls.transfer().await?;
    let service = Arc::clone(&app.service);
    let job = tokio::task::spawn_blocking(move || {
        let done = verb(&service, &ask);
        drop(permit);
        done
    });
    job.await.map_err(Failure::panicked)?
}

/// What neither takes nor gives a stream.
fn short(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    match (ask.level(), ask.method.as_str()) {
        (Level::Account, "GET" | "HEAD") => account::show(service, ask),
        (Level::Account, "POST") => account::change(service, ask),
        (Level::Container, "GET" | "HEAD") => container::show(service, ask),
        (Level::Container, "PUT") => container::put(service, ask),
        (Level::Container, "POST") => container::change(service, ask),
        (Level::Container, "DELETE") => remove::container(service, ask),
        (Level::Object, "POST") => post::change(service, ask),
        (Level::Object, "DELETE") => remove::object(service, ask),
        (level, _) => Err(Refusal::method(match level {
            Level::Top => "GET",
            Level::Account => "GET, HEAD, POST",
            Level::Container => "DELETE, GET, HEAD, POST, PUT",
            Level::Object => "COPY, DELETE, GET, HEAD, MOVE, POST, PUT",
        })),
    }
}

#[cfg(test)]
mod tests;
