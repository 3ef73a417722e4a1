//! Tickets for NBD exports.

use archipelago_api::{CreateTicket, Hidden, Ticket};
use archipelago_model::Source;
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;

use super::Failures;
use crate::App;
use crate::extract::{Json, parse};
use crate::failure::Failure;
use crate::login::Caller;

/// How long a ticket holds unless somebody says otherwise, in ms: as a token does.
const LIFETIME_MS: u64 = 12 * 60 * 60 * 1000;

/// Makes an NBD export name with a ticket, by which the caller opens a volume, a snapshot or an
/// image. It gives no right: the rule is asked again whenever it is shown.
#[utoipa::path(post, path = "/v1/tickets", tag = "sharing", request_body = CreateTicket,
    responses((status = 201, description = "The name; it cannot be had again", body = Ticket),
        Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<CreateTicket>,
) -> Result<(StatusCode, JsonBody<Ticket>), Failure> {
    let Some(subject) = caller.subject().cloned() else {
        return Err(Failure::invalid(
            "a ticket is for a user: ask with a token. The operator opens exports by their names",
        ));
    };
    let by = caller.credential();
    let source: Source = caller.names(&app).await?.full_source(parse(&request.source)?);
    let lifetime_ms = request.lifetime_ms.unwrap_or(LIFETIME_MS);
    let made = app
        .calls
        .call(&app.service, move |service| service.ticket(&subject, by, &source, lifetime_ms))
        .await?;
    let ticket = Ticket {
        export: Hidden(made.export.expose().to_owned()),
        read_only: made.read_only,
        expires_ms: made.expires_ms,
    };
    Ok((StatusCode::CREATED, JsonBody(ticket)))
}
