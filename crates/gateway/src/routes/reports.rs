//! Space, status, health, metrics, and the description of all this.

use archipelago_api::{Health, Status, Usage, VERSION};
use axum::Extension;
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Version};
use axum::response::{IntoResponse, Response};

use super::Failures;
use crate::failure::Failure;
use crate::login::{self, Door, Peer};
use crate::{App, convert, metrics as prometheus, openapi as description};

/// Says where the bytes are: per pool and per resource.
#[utoipa::path(get, path = "/v1/df", tag = "reports",
    responses((status = 200, description = "Every byte explained", body = Usage), Failures))]
pub(crate) async fn usage(State(app): State<App>) -> Result<JsonBody<Usage>, Failure> {
    let usage = app.calls.call(&app.service, |service| service.usage()).await?;
    Ok(JsonBody(convert::usage(usage)))
}

/// Says what the service is doing.
#[utoipa::path(get, path = "/v1/status", tag = "reports",
    responses((status = 200, description = "Counts and figures", body = Status), Failures))]
pub(crate) async fn status(State(app): State<App>) -> Result<JsonBody<Status>, Failure> {
    let status = app.calls.call(&app.service, |service| Ok(service.status())).await?;
    Ok(JsonBody(convert::status(status)))
}

/// Answers while the service can reach its store. A standing problem that a restart would not
/// mend, as a full disk, is still answered with 200; it is named to the operator and
/// administrators.
#[utoipa::path(get, path = "/healthz", tag = "reports",
    responses((status = 200, description = "It works", body = Health), Failures))]
pub(crate) async fn health(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    version: Version,
    headers: HeaderMap,
) -> Result<JsonBody<Health>, Failure> {
    let status = app.calls.call(&app.service, |service| Ok(service.status())).await?;
    let word = if status.problem.is_none() { "ok" } else { "degraded" };
    let door = Door { peer: peer.map(|Extension(peer)| peer), version, headers: &headers };
    // It may name what is somebody's, and paths of this machine.
    let problem = match status.problem {
        Some(problem) if login::is_operators(&app, door).await => Some(problem),
        _ => None,
    };
    let health = Health { status: word.to_owned(), problem, api_version: VERSION };
    Ok(JsonBody(health))
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "reports",
    responses((status = 200, description = "Prometheus text format",
        content_type = "text/plain", body = String), Failures))]
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, Failure> {
    let mut others = app.calls.call(&app.service, |service| Ok(service.metrics())).await?;
    others.extend((app.more_metrics)());
    let text = prometheus::text(others, &app.metrics, app.calls.transfers_running());
    Ok(([(CONTENT_TYPE, prometheus::CONTENT_TYPE)], text).into_response())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "reports",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json",
        body = Object), Failures))]
pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], description::document()).into_response()
}
