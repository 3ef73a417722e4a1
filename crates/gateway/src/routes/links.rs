//! Public links to files, and the record of sharing.

use archipelago_api::{AuditLog, AuditQuery, AuditRow, CreateLink, LIFETIME_MS_MAX, Link, Links};
use archipelago_model::{ContainerName, ObjectName};
use archipelago_pool::{Error, PublicLink, Service};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;

use super::Failures;
use crate::App;
use crate::extract::{Json, Path, Query, parse};
use crate::failure::Failure;
use crate::swift;

/// Lines of one answer at most, unless fewer are asked for.
const ROWS_MAX: usize = 1000;

/// Who is recorded: only the operator and administrators come here.
const OPERATOR: &str = "operator";

fn named((container, object): &(String, String)) -> Result<(ContainerName, ObjectName), Failure> {
    Ok((parse(container)?, parse(object)?))
}

fn home(service: &Service, container: &ContainerName) -> Result<u64, Error> {
    Ok(service.container_of_operator(container)?.id)
}

fn shown(link: &PublicLink, object: &ObjectName) -> Link {
    Link {
        path: swift::public_path(link.id.expose(), object),
        by: link.by.clone(),
        created_ms: link.created_ms,
        expires_ms: link.expires_ms,
    }
}

/// Lists the public links of a file.
#[utoipa::path(get, path = "/v1/links/{container}/{object}", tag = "files",
    params(("container" = String, Path, description = "The container"),
        ("object" = String, Path, description = "The object")),
    responses((status = 200, description = "The oldest first", body = Links), Failures))]
pub(crate) async fn list(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<JsonBody<Links>, Failure> {
    let (container, object) = named(&path)?;
    let listed = app.calls.call(&app.service, move |service| {
        let links = service.links(home(service, &container)?, &object)?;
        Ok(links.iter().map(|link| shown(link, &object)).collect())
    });
    Ok(JsonBody(Links { links: listed.await? }))
}

/// Makes a public link: whoever has it may read the file.
#[utoipa::path(post, path = "/v1/links/{container}/{object}", tag = "files",
    params(("container" = String, Path, description = "The container"),
        ("object" = String, Path, description = "The object")),
    request_body = CreateLink,
    responses((status = 200, description = "The link", body = Link), Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    Json(request): Json<CreateLink>,
) -> Result<JsonBody<Link>, Failure> {
    let (container, object) = named(&path)?;
    let lifetime = lifetime(request.lifetime_ms)?;
    let made = app.calls.call(&app.service, move |service| {
        let end = lifetime.map(|ms| service.now_ms().saturating_add(ms));
        let container = home(service, &container)?;
        let link = service.link_create(OPERATOR, container, &object, end, &swift::check_public)?;
        Ok(shown(&link, &object))
    });
    Ok(JsonBody(made.await?))
}

/// How long something lasts, if that makes sense.
pub(super) fn lifetime(ms: Option<u64>) -> Result<Option<u64>, Failure> {
    match ms {
        Some(ms) if !(1..=LIFETIME_MS_MAX).contains(&ms) => Err(Failure::invalid(format!(
            "lifetime_ms is 1 to {LIFETIME_MS_MAX} (a hundred years); without one it does not end \
             by itself"
        ))),
        ms => Ok(ms),
    }
}

/// Ends all public links of a file.
#[utoipa::path(delete, path = "/v1/links/{container}/{object}", tag = "files",
    params(("container" = String, Path, description = "The container"),
        ("object" = String, Path, description = "The object")),
    responses((status = 204, description = "It has none now"), Failures))]
pub(crate) async fn end(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let (container, object) = named(&path)?;
    let ended = app.calls.call(&app.service, move |service| {
        service.links_end(OPERATOR, home(service, &container)?, &object)
    });
    ended.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the record of sharing: what was granted, revoked and published, what was refused, and
/// which links were used.
#[utoipa::path(get, path = "/v1/audit", tag = "sharing", params(AuditQuery),
    responses((status = 200, description = "The newest first", body = AuditLog), Failures))]
pub(crate) async fn audit(
    State(app): State<App>,
    Query(query): Query<AuditQuery>,
) -> Result<JsonBody<AuditLog>, Failure> {
    let limit = query.limit.map_or(ROWS_MAX, |limit| (limit as usize).min(ROWS_MAX));
    let read = app.calls.call(&app.service, move |service| service.audit_log(query.before, limit));
    let rows = read.await?.into_iter().map(|row| AuditRow {
        id: row.id,
        at_ms: row.at_ms,
        actor: row.actor,
        event: row.event.name().to_owned(),
        resource: row.resource,
        detail: row.detail,
        count: row.count,
    });
    Ok(JsonBody(AuditLog { rows: rows.collect() }))
}
