//! The doors where programs of others log in: Keystone v3 (`openstack`, openstacksdk,
//! gophercloud), the one call of Keystone v2 that kamaki makes, and Swift v1.
//!
//! ```text
//! caller    who asks, by X-Auth-Token; where we are, by Host
//! refusal   errors as Keystone writes them
//! tokens    POST, GET, HEAD, DELETE /identity/v3/auth/tokens
//! v2        POST /identity/v2.0/tokens         swift  GET /auth/v1.0
//! projects, users, credentials, ec2, directory what a user may see and make
//! views     all these as JSON
//! ```
//!
//! Projects are accounts, OS-EC2 credentials are S3 keys, and there is one domain. Ids are the
//! uuids, so that a name never stands for an id: clients ask with either and expect 404.

mod caller;
mod credentials;
mod directory;
mod ec2;
mod projects;
mod refusal;
mod swift;
mod tokens;
mod users;
mod v2;
mod views;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::routing::{get, post};

use crate::App;
use crate::failure::Failure;
use caller::{Base, Caller};
use refusal::Refusal;

/// Rows in an answer are all that there are: at most this many are sent, and who wants others
/// asks by name.
const ROWS_MAX: usize = 10_000;

/// Bytes of a request: it is read before anybody knows who sends it.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The routes; they are no part of the native API and its document.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/identity", get(views::versions))
        .route("/identity/", get(views::versions))
        .route("/identity/v3", get(views::version))
        .route("/identity/v3/", get(views::version))
        .route(
            "/identity/v3/auth/tokens",
            post(tokens::create).get(tokens::show).delete(tokens::revoke),
        )
        .route("/identity/v3/auth/catalog", get(tokens::catalog))
        .route("/identity/v3/auth/projects", get(projects::mine))
        .route("/identity/v3/projects", get(projects::list))
        .route("/identity/v3/projects/{id}", get(projects::show))
        .route("/identity/v3/users", get(users::list))
        .route("/identity/v3/users/{id}", get(users::show))
        .route("/identity/v3/users/{id}/projects", get(projects::of_user))
        .route("/identity/v3/domains", get(directory::domains))
        .route("/identity/v3/domains/{id}", get(directory::show_domain))
        .route("/identity/v3/roles", get(directory::roles))
        .route("/identity/v3/roles/{id}", get(directory::show_role))
        .route("/identity/v3/role_assignments", get(projects::role_assignments))
        .route(
            "/identity/v3/users/{id}/application_credentials",
            get(credentials::list).post(credentials::create),
        )
        .route(
            "/identity/v3/users/{id}/application_credentials/{credential}",
            get(credentials::show).delete(credentials::remove),
        )
        .route("/identity/v3/users/{id}/credentials/OS-EC2", get(ec2::list).post(ec2::create))
        .route(
            "/identity/v3/users/{id}/credentials/OS-EC2/{key}",
            get(ec2::show).delete(ec2::remove),
        )
        .route("/identity/v2.0/tokens", post(v2::create))
        .route("/identity/{*rest}", get(unknown).post(unknown).delete(unknown).put(unknown))
        .route("/auth/v1.0", get(swift::log_in))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::not_found(format_args!("nothing of this API is at '{}'", uri.path().escape_default()))
}

/// Whether a query that names something wants this one.
fn wanted(name: Option<&str>, has: &str) -> bool {
    name.is_none_or(|name| name == has)
}

#[cfg(test)]
mod tests;
