//! Containers of accounts, and how much they may hold.

use archipelago_api::{Container, ContainerQuery, Containers, ForkContainer, SetContainerQuota};
use archipelago_model::{AccountName, ContainerName};
use archipelago_pool::{DELETE_AT, Meta, Named, Object, Service};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;

use super::Failures;
use crate::extract::{Json, Path, Query, parse};
use crate::failure::Failure;
use crate::{App, convert, s3, swift};

/// Containers of one answer at most.
const PAGE_MAX: usize = 10_000;

fn named((account, name): &(String, String)) -> Result<(Named, ContainerName), Failure> {
    Ok((Named::name(parse::<AccountName>(account)?), parse(name)?))
}

fn find(
    service: &Service,
    account: &Named,
    name: &ContainerName,
) -> Result<Container, archipelago_pool::Error> {
    let account = service.account(account)?;
    Ok(convert::container(&account, service.container(account.id, name)?))
}

/// Lists the containers of an account.
#[utoipa::path(get, path = "/v1/accounts/{name}/containers", tag = "files",
    params(("name" = String, Path, description = "The account"), ContainerQuery),
    responses((status = 200, description = "By name", body = Containers), Failures))]
pub(crate) async fn list(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<ContainerQuery>,
) -> Result<JsonBody<Containers>, Failure> {
    let account = Named::name(parse::<AccountName>(&name)?);
    let listed = app.calls.call(&app.service, move |service| {
        let account = service.account(&account)?;
        let after = query.after.unwrap_or_default();
        let found = service.containers(account.id, &after, PAGE_MAX)?;
        Ok(found.into_iter().map(|one| convert::container(&account, one)).collect())
    });
    Ok(JsonBody(Containers { containers: listed.await? }))
}

/// Describes a container.
#[utoipa::path(get, path = "/v1/accounts/{name}/containers/{container}", tag = "files",
    params(("name" = String, Path, description = "The account"),
        ("container" = String, Path, description = "The container")),
    responses((status = 200, description = "The container", body = Container), Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<JsonBody<Container>, Failure> {
    let (account, name) = named(&path)?;
    let found = app.calls.call(&app.service, move |service| find(service, &account, &name));
    Ok(JsonBody(found.await?))
}

/// Makes a container.
#[utoipa::path(put, path = "/v1/accounts/{name}/containers/{container}", tag = "files",
    params(("name" = String, Path, description = "The account"),
        ("container" = String, Path, description = "The container")),
    responses((status = 201, description = "The container", body = Container), Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<(StatusCode, JsonBody<Container>), Failure> {
    let (account, name) = named(&path)?;
    let made = app.calls.call(&app.service, move |service| {
        let owner = service.account(&account)?;
        Ok(convert::container(&owner, service.container_create(owner.id, &name)?))
    });
    Ok((StatusCode::CREATED, JsonBody(made.await?)))
}

/// Removes a container that has no version of anything.
#[utoipa::path(delete, path = "/v1/accounts/{name}/containers/{container}", tag = "files",
    params(("name" = String, Path, description = "The account"),
        ("container" = String, Path, description = "The container")),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let (account, name) = named(&path)?;
    let removed = app.calls.call(&app.service, move |service| {
        let owner = service.account(&account)?;
        service.container_remove(service.container(owner.id, &name)?.id)
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a container with the newest versions that another has at this instant, and what is known
/// of them. No data moves. Lists of rights, locks, links and settings are those of the old one.
#[utoipa::path(post, path = "/v1/accounts/{name}/containers/{container}/fork", tag = "files",
    params(("name" = String, Path, description = "The account"),
        ("container" = String, Path, description = "The container that is forked")),
    request_body = ForkContainer,
    responses((status = 201, description = "The new container", body = Container), Failures))]
pub(crate) async fn fork(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    Json(request): Json<ForkContainer>,
) -> Result<(StatusCode, JsonBody<Container>), Failure> {
    let (account, name) = named(&path)?;
    let to: ContainerName = parse(&request.name)?;
    let made = app.calls.call(&app.service, move |service| {
        let owner = service.account(&account)?;
        let from = service.container(owner.id, &name)?;
        Ok(convert::container(&owner, service.container_fork(from.id, &to, &mut known)?))
    });
    Ok((StatusCode::CREATED, JsonBody(made.await?)))
}

/// What is known of an object in a fork: as it is, but for what doors keep of this very one (who
/// may read it, its identity, the upload that made it).
fn known(object: &Object) -> Meta {
    let mut meta = object.meta.clone();
    meta.settings.retain(|name, _| {
        [DELETE_AT, s3::STORAGE_CLASS].contains(&name.as_str()) || swift::describes_content(name)
    });
    meta
}

/// Sets how much a container may hold.
#[utoipa::path(post, path = "/v1/accounts/{name}/containers/{container}/quota", tag = "files",
    params(("name" = String, Path, description = "The account"),
        ("container" = String, Path, description = "The container")),
    request_body = SetContainerQuota,
    responses((status = 200, description = "The container", body = Container), Failures))]
pub(crate) async fn set_quota(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    Json(request): Json<SetContainerQuota>,
) -> Result<JsonBody<Container>, Failure> {
    let (account, name) = named(&path)?;
    let changed = app.calls.call(&app.service, move |service| {
        let owner = service.account(&account)?;
        let found = service.container(owner.id, &name)?;
        let changed = service.container_change(found.id, &mut |container| {
            container.quota_bytes = request.quota_bytes.unwrap_or(container.quota_bytes);
            container.quota_objects = request.quota_objects.unwrap_or(container.quota_objects);
            Ok(())
        })?;
        Ok(convert::container(&owner, changed))
    });
    Ok(JsonBody(changed.await?))
}
