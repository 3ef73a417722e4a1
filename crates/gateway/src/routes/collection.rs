//! Garbage collection on request.

use std::time::Duration;

use archipelago_api::{Collect, Collected};
use archipelago_pool::Collection;
use axum::Json as JsonBody;
use axum::extract::State;

use super::Failures;
use crate::extract::Json;
use crate::failure::Failure;
use crate::{App, convert};

/// Nothing more is begun after so long: the client asks again, and can say how far it
/// is. One piece of work ends within seconds.
const BUDGET: Duration = Duration::from_secs(5);

/// Frees what nobody names and moves together what is left; guests go on meanwhile.
#[utoipa::path(post, path = "/v1/gc", tag = "reports", request_body = Collect,
    responses((status = 200, description = "What was done so far", body = Collected), Failures))]
pub(crate) async fn collect(
    State(app): State<App>,
    Json(request): Json<Collect>,
) -> Result<JsonBody<Collected>, Failure> {
    let wanted = Collection { thorough: true, now: request.now, budget: Some(BUDGET) };
    let done = app.calls.call(&app.service, move |service| service.collect(wanted)).await?;
    Ok(JsonBody(convert::collected(&done)))
}
