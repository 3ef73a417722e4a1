//! The routes: each path with its methods, and the layers round them all.

pub(crate) mod accounts;
pub(crate) mod collection;
pub(crate) mod containers;
pub(crate) mod deltas;
pub(crate) mod disks;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod links;
pub(crate) mod pools;
pub(crate) mod reports;
pub(crate) mod shares;
pub(crate) mod snapshots;
pub(crate) mod tickets;
pub(crate) mod trust;
pub(crate) mod users;
pub(crate) mod volumes;

use archipelago_api::{BATCH_ITEMS_MAX, Error, ErrorKind, JSON_BYTES_MAX, VERSION, path};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{MethodRouter, any, delete, get, post};
use utoipa::IntoResponses;

use crate::failure::Failure;
use crate::login::{self, For};
use crate::{App, guard, identity, metrics, pithos, s3, swift};

/// Every route and whom it is for. The OpenAPI document describes just these; a test compares.
pub(crate) fn table() -> Vec<(&'static str, For, MethodRouter<App>)> {
    vec![
        (path::VOLUMES, For::Users, get(volumes::list).post(volumes::create)),
        (path::VOLUME, For::Users, get(volumes::show).delete(volumes::remove)),
        (path::VOLUME_RENAME, For::Users, post(volumes::rename)),
        (path::VOLUME_RESIZE, For::Users, post(volumes::resize)),
        (path::SNAPSHOTS, For::Users, get(snapshots::list).post(snapshots::create)),
        (path::SNAPSHOT, For::Users, get(snapshots::show).delete(snapshots::remove)),
        (path::SNAPSHOT_ROLLBACK, For::Users, post(snapshots::rollback)),
        (path::SNAPSHOT_SEND, For::Users, get(snapshots::send)),
        (path::RECEIVE, For::Users, post(snapshots::receive)),
        (path::DIFF, For::Users, get(snapshots::diff)),
        (path::IMAGES, For::Users, get(images::list)),
        (path::IMAGE, For::Users, delete(images::remove).get(images::show).post(images::import)),
        (path::EXPORT, For::Users, get(volumes::export)),
        (path::DISK, For::Users, get(disks::show)),
        (path::BLOCKS, For::Operator, post(deltas::store)),
        (path::FILE_BLOCKS, For::Operator, get(deltas::blocks).post(deltas::grains)),
        (path::COMPOSE, For::Operator, post(deltas::compose)),
        (path::FILES, For::Operator, get(files::list)),
        (
            path::FILE,
            For::Operator,
            get(files::stat).put(files::put).patch(files::update).delete(files::remove),
        ),
        (path::LINKS, For::Operator, get(links::list).post(links::create).delete(links::end)),
        (path::SHARES, For::Users, get(shares::list).post(shares::create).delete(shares::end)),
        (path::TICKETS, For::Users, post(tickets::create)),
        (path::AUDIT, For::Operator, get(links::audit)),
        (path::USERS, For::Directory, get(users::list).post(users::create)),
        (path::USER, For::Directory, get(users::show).delete(users::remove)),
        (path::USER_PASSWORD, For::Directory, post(users::set_password)),
        (path::USER_ENABLED, For::Directory, post(users::set_enabled)),
        (path::USER_KEYS, For::Directory, get(users::keys).post(users::create_key)),
        (path::KEY, For::Directory, delete(users::remove_key)),
        (path::ACCOUNTS, For::Directory, get(accounts::list).post(accounts::create)),
        (path::ACCOUNT, For::Directory, get(accounts::show).delete(accounts::remove)),
        (path::ACCOUNT_QUOTA, For::Operator, post(accounts::set_quota)),
        (path::CONTAINERS, For::Operator, get(containers::list)),
        (
            path::CONTAINER,
            For::Operator,
            get(containers::show).put(containers::create).delete(containers::remove),
        ),
        (path::CONTAINER_QUOTA, For::Operator, post(containers::set_quota)),
        (path::CONTAINER_FORK, For::Operator, post(containers::fork)),
        (path::MEMBERS, For::Directory, post(accounts::join)),
        (path::MEMBER, For::Directory, delete(accounts::leave)),
        (path::POOLS, For::Operator, get(pools::list).post(pools::add)),
        (path::POOL, For::Operator, get(pools::show).delete(pools::remove)),
        (path::POOL_DRAIN, For::Operator, post(pools::drain).delete(pools::take_into_use)),
        (path::POOL_MIRROR, For::Operator, post(pools::mirror).delete(pools::unmirror)),
        (path::POOL_LOST, For::Operator, post(pools::lose)),
        (path::VOLUME_PLACEMENT, For::Operator, get(pools::volume).post(pools::place_volume)),
        (path::ACCOUNT_PLACEMENT, For::Operator, get(pools::account).post(pools::place_account)),
        (
            path::CONTAINER_PLACEMENT,
            For::Operator,
            get(pools::container).post(pools::place_container),
        ),
        (path::USAGE, For::Operator, get(reports::usage)),
        (path::GC, For::Operator, post(collection::collect)),
        (path::SCRUB, For::Operator, get(trust::show).post(trust::start).delete(trust::stop)),
        (path::CHECK, For::Operator, post(trust::check)),
        (path::STATUS, For::Operator, get(reports::status)),
        (path::HEALTH, For::Anybody, get(reports::health)),
        (path::METRICS, For::Operator, get(reports::metrics)),
        (path::OPENAPI, For::Anybody, get(reports::openapi)),
    ]
}

/// All of it, ready to serve.
pub(crate) fn router(app: App) -> Router {
    let door = s3::S3::new(&app);
    let mut router = Router::new();
    for (path, whom, methods) in table() {
        let login = from_fn_with_state((app.clone(), whom), login::layer);
        router = router.route(path, methods.route_layer(login));
    }
    router
        .merge(identity::router())
        .merge(swift::router())
        .merge(pithos::router())
        .route("/v1", any(swift::rest))
        .route("/v1/", any(swift::rest))
        .route("/v1/{*rest}", any(swift::rest))
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        // What has no path here may be a bucket.
        .fallback_service(any(s3::rest).with_state(door.clone()))
        .layer(from_fn_with_state(app.clone(), swift::layer))
        .layer(from_fn_with_state(app.clone(), guard::layer))
        .layer(from_fn_with_state(door, s3::layer))
        .layer(from_fn_with_state(app.clone(), metrics::layer))
        .layer(map_response(add_headers))
        .with_state(app)
}

/// What users stored is no page of this service: a browser gives it an origin of its own, whose
/// requests the guard refuses.
pub(crate) const SANDBOX: HeaderValue =
    HeaderValue::from_static("sandbox allow-scripts allow-forms allow-popups allow-downloads");

async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        HeaderName::from_static(archipelago_api::VERSION_HEADER),
        HeaderValue::from(VERSION),
    );
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// There is no such thing, in words of the native API.
pub(crate) async fn unknown_route(uri: Uri) -> Failure {
    Failure::new(
        ErrorKind::NotFound,
        format!(
            "there is nothing at '{}'; {} lists all routes of this service",
            uri.path().escape_default(),
            path::OPENAPI
        ),
    )
}

async fn unknown_method(method: Method, uri: Uri) -> Failure {
    Failure::new(
        ErrorKind::MethodNotAllowed,
        format!(
            "'{}' does not take {method}; {} lists what it takes",
            uri.path().escape_default(),
            path::OPENAPI
        ),
    )
}

/// One transaction makes a whole batch, so that its size is limited.
fn check_batch(what: &str, len: usize) -> Result<(), Failure> {
    if (1..=BATCH_ITEMS_MAX).contains(&len) {
        Ok(())
    } else {
        Err(Failure::invalid(format!("give 1 to {BATCH_ITEMS_MAX} {what}, not {len}")))
    }
}

/// SHA-256 as the API wants it.
fn check_sha256(sha256: Option<&str>) -> Result<(), Failure> {
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match sha256 {
        Some(text) if !is_hex(text) => {
            Err(Failure::invalid("sha256 is 64 hexadecimal digits, as sha256sum prints them"))
        }
        _ => Ok(()),
    }
}

/// How every route may fail, for the OpenAPI document. `failure` decides which.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only its description is used, by the OpenAPI document")]
pub(crate) enum Failures {
    /// The request makes no sense as it stands: `invalid`.
    #[response(status = 400)]
    Invalid(Error),
    /// There is no token where one is needed, or one that does not count: `unauthenticated`.
    #[response(status = 401)]
    Unauthenticated(Error),
    /// Sent by a web page, for another host, or by somebody who may not do this: `forbidden`; or
    /// to something read-only: `read_only`.
    #[response(status = 403)]
    Forbidden(Error),
    /// What it names does not exist: `not_found`.
    #[response(status = 404)]
    NotFound(Error),
    /// The route has no such method: `method_not_allowed`.
    #[response(status = 405)]
    MethodNotAllowed(Error),
    /// The state of things forbids it: `already_exists`, `in_use`, `fenced`.
    #[response(status = 409)]
    Conflict(Error),
    /// The JSON body is too large: `too_large`; or a container or an account holds what it may:
    /// `quota_exceeded`.
    #[response(status = 413)]
    TooLarge(Error),
    /// A defect or an error of the disk: `internal`; bytes that fail
    /// verification: `damaged`.
    #[response(status = 500)]
    Internal(Error),
    /// Busy, starting or stopping: `unavailable`.
    #[response(status = 503)]
    Unavailable(Error),
    /// The pool is full: `no_space`.
    #[response(status = 507)]
    NoSpace(Error),
}
