//! The OpenAPI document of everything that is served.

use std::sync::OnceLock;

use archipelago_api::{Error, ErrorKind};
use utoipa::OpenApi;

use crate::routes::{
    accounts, collection, containers, deltas, disks, files, images, links, pools, reports, shares,
    snapshots, tickets, trust, users, volumes,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Archipelago",
        version = "1",
        description = "One store behind files, images, volumes and snapshots. Sizes are bytes, \
            times are milliseconds since 1970-01-01 UTC. Bulk data travels as transfer streams \
            (docs/FORMAT.md). Every error has an Error as its body. A token of Keystone or \
            Swift (/identity, /auth/v1.0) in X-Auth-Token, or as Authorization: Bearer, says who \
            asks, and names are then those of its account: NAME of its own, ACCOUNT/NAME of \
            others. Without one it is the operator, from the machine itself, and nobody from \
            elsewhere unless the configuration says so. The service refuses Host headers that do \
            not name it and requests that a browser marks as cross-site.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        volumes::list,
        volumes::create,
        volumes::show,
        volumes::remove,
        volumes::rename,
        volumes::resize,
        volumes::export,
        snapshots::list,
        snapshots::create,
        snapshots::show,
        snapshots::remove,
        snapshots::rollback,
        snapshots::send,
        snapshots::receive,
        snapshots::diff,
        images::list,
        images::show,
        images::remove,
        images::import,
        disks::show,
        deltas::blocks,
        deltas::grains,
        deltas::compose,
        deltas::store,
        files::list,
        files::stat,
        files::remove,
        files::put,
        files::update,
        links::list,
        links::create,
        links::end,
        shares::list,
        shares::create,
        shares::end,
        tickets::create,
        links::audit,
        users::list,
        users::create,
        users::show,
        users::remove,
        users::set_password,
        users::set_enabled,
        users::keys,
        users::create_key,
        users::remove_key,
        accounts::list,
        accounts::create,
        accounts::show,
        accounts::remove,
        accounts::set_quota,
        containers::list,
        containers::show,
        containers::create,
        containers::remove,
        containers::set_quota,
        containers::fork,
        accounts::join,
        accounts::leave,
        pools::list,
        pools::add,
        pools::show,
        pools::remove,
        pools::drain,
        pools::take_into_use,
        pools::mirror,
        pools::unmirror,
        pools::lose,
        pools::volume,
        pools::place_volume,
        pools::container,
        pools::place_container,
        pools::account,
        pools::place_account,
        collection::collect,
        trust::start,
        trust::show,
        trust::stop,
        trust::check,
        reports::usage,
        reports::status,
        reports::health,
        reports::metrics,
        reports::openapi,
    ),
    components(schemas(Error, ErrorKind)),
    tags(
        (name = "volumes", description = "Disks that guests write"),
        (name = "snapshots", description = "Volumes as they were"),
        (name = "images", description = "Disks to start from"),
        (name = "files", description = "Objects in containers"),
        (name = "sharing", description = "Who else may do what, and the record of it"),
        (name = "users", description = "Who may log in, and S3 keys"),
        (name = "pools", description = "Places for data, and what is to be in which"),
        (name = "transfer", description = "Bulk data, out and in"),
        (name = "trust", description = "Scrubbing and checking"),
        (name = "reports", description = "Space, status, health"),
    )
)]
struct Document;

/// The document as JSON text.
pub fn document() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        serde_json::to_string_pretty(&Document::openapi())
            .expect("the document has string keys only, so that JSON can hold it")
    })
}
