//! Pools, and which of them resources are to be in: the operator's.

use archipelago_api::{
    AddPool, DrainPool, LosePool, MirrorPool, Placement, Pool, Pools, SetPlacement,
};
use archipelago_model::{AccountName, ContainerName, PoolName, VolumeName};
use archipelago_pool::Named;
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;

use super::Failures;
use crate::extract::{Json, Path, parse};
use crate::failure::Failure;
use crate::{App, convert};

fn pool_of(request: &SetPlacement) -> Result<Option<PoolName>, Failure> {
    request.pool.as_deref().map(parse).transpose()
}

/// Lists the pools.
#[utoipa::path(get, path = "/v1/pools", tag = "pools",
    responses((status = 200, description = "The first one first", body = Pools), Failures))]
pub(crate) async fn list(State(app): State<App>) -> Result<JsonBody<Pools>, Failure> {
    let pools = app.calls.call(&app.service, |service| service.pools()).await?;
    Ok(JsonBody(Pools { pools: pools.into_iter().map(convert::pool).collect() }))
}

/// Makes an empty place a pool of the store.
#[utoipa::path(post, path = "/v1/pools", tag = "pools", request_body = AddPool,
    responses((status = 201, description = "The pool", body = Pool), Failures))]
pub(crate) async fn add(
    State(app): State<App>,
    Json(request): Json<AddPool>,
) -> Result<(StatusCode, JsonBody<Pool>), Failure> {
    let name: PoolName = parse(&request.name)?;
    let added =
        app.calls.call(&app.service, move |service| service.pool_add(&name, &request.url)).await?;
    Ok((StatusCode::CREATED, JsonBody(convert::pool(added))))
}

/// Shows one pool.
#[utoipa::path(get, path = "/v1/pools/{name}", tag = "pools",
    params(("name" = String, Path, description = "The pool")),
    responses((status = 200, description = "The pool", body = Pool), Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<JsonBody<Pool>, Failure> {
    let name: PoolName = parse(&name)?;
    let pool = app.calls.call(&app.service, move |service| service.pool(&name)).await?;
    Ok(JsonBody(convert::pool(pool)))
}

/// Gives a pool up in which nothing is.
#[utoipa::path(delete, path = "/v1/pools/{name}", tag = "pools",
    params(("name" = String, Path, description = "The pool")),
    responses((status = 204, description = "It is no pool any more"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    let name: PoolName = parse(&name)?;
    app.calls.call(&app.service, move |service| service.pool_remove(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has everything of a pool go to another one, in the background.
#[utoipa::path(post, path = "/v1/pools/{name}/drain", tag = "pools", request_body = DrainPool,
    params(("name" = String, Path, description = "The pool")),
    responses((status = 200, description = "The pool as it is now", body = Pool), Failures))]
pub(crate) async fn drain(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<DrainPool>,
) -> Result<JsonBody<Pool>, Failure> {
    let name: PoolName = parse(&name)?;
    let to: Option<PoolName> = request.to.as_deref().map(parse).transpose()?;
    let drained = app.calls.call(&app.service, move |s| s.pool_drain(&name, to.as_ref())).await?;
    Ok(JsonBody(convert::pool(drained)))
}

/// Takes a pool into use again that was drained. What has left it stays where it is.
#[utoipa::path(delete, path = "/v1/pools/{name}/drain", tag = "pools",
    params(("name" = String, Path, description = "The pool")),
    responses((status = 200, description = "The pool", body = Pool), Failures))]
pub(crate) async fn take_into_use(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<JsonBody<Pool>, Failure> {
    let name: PoolName = parse(&name)?;
    let pool = app.calls.call(&app.service, move |service| service.pool_use(&name)).await?;
    Ok(JsonBody(convert::pool(pool)))
}

/// Has each sealed segment of a pool be in another one, too, in the background from now on.
#[utoipa::path(post, path = "/v1/pools/{name}/mirror", tag = "pools", request_body = MirrorPool,
    params(("name" = String, Path, description = "The pool")),
    responses((status = 200, description = "The pool as it is now", body = Pool), Failures))]
pub(crate) async fn mirror(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<MirrorPool>,
) -> Result<JsonBody<Pool>, Failure> {
    let (name, to): (PoolName, PoolName) = (parse(&name)?, parse(&request.to)?);
    let mirrored = app.calls.call(&app.service, move |s| s.pool_mirror(&name, &to)).await?;
    Ok(JsonBody(convert::pool(mirrored)))
}

/// Has what is in a pool be nowhere else any more. Its second copies go in the background.
#[utoipa::path(delete, path = "/v1/pools/{name}/mirror", tag = "pools",
    params(("name" = String, Path, description = "The pool")),
    responses((status = 200, description = "The pool as it is now", body = Pool), Failures))]
pub(crate) async fn unmirror(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<JsonBody<Pool>, Failure> {
    let name: PoolName = parse(&name)?;
    let pool = app.calls.call(&app.service, move |service| service.pool_unmirror(&name)).await?;
    Ok(JsonBody(convert::pool(pool)))
}

/// Gives up a pool that is lost for ever: second copies take the place of what was in it.
#[utoipa::path(post, path = "/v1/pools/{name}/lost", tag = "pools", request_body = LosePool,
    params(("name" = String, Path, description = "The pool")),
    responses((status = 204, description = "It is no pool any more"), Failures))]
pub(crate) async fn lose(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<LosePool>,
) -> Result<StatusCode, Failure> {
    let name: PoolName = parse(&name)?;
    app.calls.call(&app.service, move |service| service.pool_lost(&name, request.force)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells where a volume is, and is to be.
#[utoipa::path(get, path = "/v1/volumes/{name}/placement", tag = "pools",
    params(("name" = String, Path, description = "The volume")),
    responses((status = 200, description = "Where it is", body = Placement), Failures))]
pub(crate) async fn volume(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<JsonBody<Placement>, Failure> {
    let name: VolumeName = parse(&name)?;
    let found = app.calls.call(&app.service, move |service| service.volume_placement(&name));
    Ok(JsonBody(convert::placement(found.await?)))
}

/// Says in which pool a volume and its snapshots are to be. They move there in the background,
/// and clients go on.
#[utoipa::path(post, path = "/v1/volumes/{name}/placement", tag = "pools",
    params(("name" = String, Path, description = "The volume")), request_body = SetPlacement,
    responses((status = 200, description = "Where it is now", body = Placement), Failures))]
pub(crate) async fn place_volume(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<SetPlacement>,
) -> Result<JsonBody<Placement>, Failure> {
    let (name, pool): (VolumeName, _) = (parse(&name)?, pool_of(&request)?);
    let placed = app.calls.call(&app.service, move |s| s.volume_place(&name, pool.as_ref()));
    Ok(JsonBody(convert::placement(placed.await?)))
}

/// Tells where a container is to be.
#[utoipa::path(get, path = "/v1/accounts/{name}/containers/{container}/placement", tag = "pools",
    params(("name" = String, Path, description = "The account"),
        ("container" = String, Path, description = "The container")),
    responses((status = 200, description = "Where it is to be", body = Placement), Failures))]
pub(crate) async fn container(
    State(app): State<App>,
    Path((account, name)): Path<(String, String)>,
) -> Result<JsonBody<Placement>, Failure> {
    let (account, name) = (Named::name(parse::<AccountName>(&account)?), parse(&name)?);
    let found = app.calls.call(&app.service, move |service| {
        service.container_placement(service.account(&account)?.id, &name)
    });
    Ok(JsonBody(convert::placement(found.await?)))
}

/// Says in which pool a container is to be. What comes goes there at once, what is there moves in
/// the background.
#[utoipa::path(post, path = "/v1/accounts/{name}/containers/{container}/placement", tag = "pools",
    params(("name" = String, Path, description = "The account"),
        ("container" = String, Path, description = "The container")),
    request_body = SetPlacement,
    responses((status = 200, description = "Where it is to be", body = Placement), Failures))]
pub(crate) async fn place_container(
    State(app): State<App>,
    Path((account, name)): Path<(String, String)>,
    Json(request): Json<SetPlacement>,
) -> Result<JsonBody<Placement>, Failure> {
    let account = Named::name(parse::<AccountName>(&account)?);
    let (name, pool): (ContainerName, _) = (parse(&name)?, pool_of(&request)?);
    let placed = app.calls.call(&app.service, move |service| {
        service.container_place(service.account(&account)?.id, &name, pool.as_ref())
    });
    Ok(JsonBody(convert::placement(placed.await?)))
}

/// Tells where the containers of an account are to be that say nothing themselves.
#[utoipa::path(get, path = "/v1/accounts/{name}/placement", tag = "pools",
    params(("name" = String, Path, description = "The account")),
    responses((status = 200, description = "Where they are to be", body = Placement), Failures))]
pub(crate) async fn account(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<JsonBody<Placement>, Failure> {
    let name = Named::name(parse::<AccountName>(&name)?);
    let found = app
        .calls
        .call(&app.service, move |service| service.account_placement(service.account(&name)?.id));
    Ok(JsonBody(convert::placement(found.await?)))
}

/// Says where the containers of an account are to be that say nothing themselves.
#[utoipa::path(post, path = "/v1/accounts/{name}/placement", tag = "pools",
    params(("name" = String, Path, description = "The account")), request_body = SetPlacement,
    responses((status = 200, description = "Where they are to be", body = Placement), Failures))]
pub(crate) async fn place_account(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<SetPlacement>,
) -> Result<JsonBody<Placement>, Failure> {
    let (name, pool) = (Named::name(parse::<AccountName>(&name)?), pool_of(&request)?);
    let placed = app.calls.call(&app.service, move |service| {
        service.account_place(service.account(&name)?.id, pool.as_ref())
    });
    Ok(JsonBody(convert::placement(placed.await?)))
}
