//! Scrubbing and checking.

use archipelago_api::{Check, Scrub, StartScrub};
use archipelago_pool::{Error, ScrubOptions, ScrubState, Service};
use axum::Json as JsonBody;
use axum::extract::State;

use super::Failures;
use crate::extract::Json;
use crate::failure::Failure;
use crate::{App, convert};

/// Begins a scrub in the background: every stored byte is read and verified.
#[utoipa::path(post, path = "/v1/scrub", tag = "trust", request_body = StartScrub,
    responses((status = 200, description = "It is under way", body = Scrub), Failures))]
pub(crate) async fn start(
    State(app): State<App>,
    Json(request): Json<StartScrub>,
) -> Result<JsonBody<Scrub>, Failure> {
    if request.rate == Some(0) {
        return Err(Failure::invalid(
            "a rate is at least one byte a second; leave it out for none",
        ));
    }
    let options = ScrubOptions { rate: request.rate, restart: request.restart };
    answer(app, move |service| service.scrub(options)).await
}

/// Says how far the scrub is, and what is damaged with all that it touches.
#[utoipa::path(get, path = "/v1/scrub", tag = "trust",
    responses((status = 200, description = "How far it is", body = Scrub), Failures))]
pub(crate) async fn show(State(app): State<App>) -> Result<JsonBody<Scrub>, Failure> {
    answer(app, Service::scrub_state).await
}

/// Stops the scrub; the next one goes on from there.
#[utoipa::path(delete, path = "/v1/scrub", tag = "trust",
    responses((status = 200, description = "It is stopped", body = Scrub), Failures))]
pub(crate) async fn stop(State(app): State<App>) -> Result<JsonBody<Scrub>, Failure> {
    answer(app, Service::scrub_stop).await
}

async fn answer(
    app: App,
    verb: impl FnOnce(&Service) -> Result<ScrubState, Error> + Send + 'static,
) -> Result<JsonBody<Scrub>, Failure> {
    let scrub = app.calls.call(&app.service, move |service| {
        let state = verb(service)?;
        Ok(convert::scrub(state, service.damages()?))
    });
    Ok(JsonBody(scrub.await?))
}

/// Compares catalog, files, footers, maps, index and leases with each other.
#[utoipa::path(post, path = "/v1/check", tag = "trust",
    responses((status = 200, description = "What was found", body = Check), Failures))]
pub(crate) async fn check(State(app): State<App>) -> Result<JsonBody<Check>, Failure> {
    let findings = app.calls.call(&app.service, Service::check).await?;
    Ok(JsonBody(Check { findings: findings.iter().map(convert::finding).collect() }))
}
