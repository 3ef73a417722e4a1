//! The local HTTP API (`/v1`), `/metrics`, `/healthz` and `/openapi.json` over
//! [`pool::Service`](archipelago_pool::Service).
//!
//! # What happens to a request
//! ```text
//! Server    a connection, if fewer than CONNECTIONS_MAX are open
//! guard     refuses what a web page of somebody else's may have sent
//! login     the operator, or a user with a token; whom a route is not for stays out
//! routes    parses names, query and JSON; every error is an api::Error
//! calls     runs the verb of the pool on a blocking thread, so many at once
//! upload    feeds an async body to a verb that reads; a broken body binds nothing
//! download  streams what a verb writes; a failure cuts the stream short
//! ```
//!
//! `identity` has other routes: the doors where clients of OpenStack and Swift log in.
//!
//! # Security
//! [`login`] finds out who asks. Without a token that is the operator, from the machine
//! itself and, unless the configuration says otherwise, from nowhere else; [`guard`] keeps web
//! pages out that run in a browser on the same machine. With one it is a user acting for an
//! account: what it may do is the pool's rule to say.
//!
//! # Architecture invariant
//! HTTP status codes exist only in this crate, and only [`failure`] maps the
//! kinds of errors to them.

mod access;
mod calls;
mod convert;
mod domains;
mod download;
mod extract;
mod failure;
pub mod fuzz;
mod guard;
mod identity;
mod login;
mod metrics;
mod openapi;
mod patience;
mod pithos;
mod routes;
mod s3;
mod server;
mod swift;
mod upload;

use std::sync::Arc;

use archipelago_pool::{Metric, Service};

pub use calls::BLOCKING_THREADS_MAX;
pub use domains::Domains;
pub use login::Login;
pub use openapi::document as openapi_document;
pub use server::{Server, Stop};

/// Gives figures of other parts of the daemon, for `/metrics`.
pub type MetricSource = Arc<dyn Fn() -> Vec<Metric> + Send + Sync>;

/// What every request needs.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) service: Arc<Service>,
    pub(crate) more_metrics: MetricSource,
    pub(crate) calls: Arc<calls::Calls>,
    pub(crate) metrics: Arc<metrics::HttpMetrics>,
    pub(crate) guard: Arc<guard::Guard>,
    pub(crate) login: Login,
    pub(crate) first: login::First,
    pub(crate) domains: Arc<Domains>,
    pub(crate) patience: patience::Patience,
}

#[cfg(test)]
mod tests;
