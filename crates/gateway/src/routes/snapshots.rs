//! Snapshots: cuts, differences, and travel between stores.

use archipelago_api::{
    CreateSnapshots, Diff, DiffQuery, ReceiveQuery, SendQuery, Snapshot, SnapshotQuery, Snapshots,
    Volume,
};
use archipelago_model::{SnapshotName, SnapshotPath, Source, VolumeName};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Failures, check_batch};
use crate::download::download;
use crate::extract::{Json, Path, Query, parse};
use crate::failure::Failure;
use crate::server::Hangup;
use crate::upload::{Upload, upload};
use crate::{App, convert};

fn path_of((volume, snapshot): (String, String)) -> Result<SnapshotPath, Failure> {
    Ok(SnapshotPath { volume: parse(&volume)?, snapshot: parse(&snapshot)? })
}

/// Lists snapshots, of all volumes or of one.
#[utoipa::path(get, path = "/v1/snapshots", tag = "snapshots", params(SnapshotQuery),
    responses((status = 200, description = "By volume, oldest first", body = Snapshots), Failures))]
pub(crate) async fn list(
    State(app): State<App>,
    Query(query): Query<SnapshotQuery>,
) -> Result<JsonBody<Snapshots>, Failure> {
    let volume: Option<VolumeName> = query.volume.as_deref().map(parse).transpose()?;
    let snapshots =
        app.calls.call(&app.service, move |service| service.snapshots(volume.as_ref())).await?;
    Ok(JsonBody(Snapshots { snapshots: snapshots.into_iter().map(convert::snapshot).collect() }))
}

/// Takes snapshots of several volumes at one cut, all or none, also while they are written.
#[utoipa::path(post, path = "/v1/snapshots", tag = "snapshots", request_body = CreateSnapshots,
    responses((status = 201, description = "The new snapshots, as asked for", body = Snapshots), Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    Json(request): Json<CreateSnapshots>,
) -> Result<(StatusCode, JsonBody<Snapshots>), Failure> {
    check_batch("members", request.members.len())?;
    let members =
        request.members.iter().map(|path| parse(path)).collect::<Result<Vec<SnapshotPath>, _>>()?;
    let snapshots =
        app.calls.call(&app.service, move |service| service.snapshot_create(&members)).await?;
    let snapshots = snapshots.into_iter().map(convert::snapshot).collect();
    Ok((StatusCode::CREATED, JsonBody(Snapshots { snapshots })))
}

/// Shows one snapshot.
#[utoipa::path(get, path = "/v1/snapshots/{volume}/{snapshot}", tag = "snapshots",
    params(("volume" = String, Path, description = "The volume"),
        ("snapshot" = String, Path, description = "The snapshot's name there")),
    responses((status = 200, description = "The snapshot", body = Snapshot), Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<JsonBody<Snapshot>, Failure> {
    let path = path_of(path)?;
    let snapshot = app.calls.call(&app.service, move |service| service.snapshot(&path)).await?;
    Ok(JsonBody(convert::snapshot(snapshot)))
}

/// Removes a snapshot. Clones of it stay.
#[utoipa::path(delete, path = "/v1/snapshots/{volume}/{snapshot}", tag = "snapshots",
    params(("volume" = String, Path, description = "The volume"),
        ("snapshot" = String, Path, description = "The snapshot's name there")),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let path = path_of(path)?;
    app.calls.call(&app.service, move |service| service.snapshot_remove(&path)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the volume what it was at the snapshot. Refused while it is attached.
#[utoipa::path(post, path = "/v1/snapshots/{volume}/{snapshot}/rollback", tag = "snapshots",
    params(("volume" = String, Path, description = "The volume"),
        ("snapshot" = String, Path, description = "The snapshot's name there")),
    responses((status = 200, description = "The volume", body = Volume), Failures))]
pub(crate) async fn rollback(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<JsonBody<Volume>, Failure> {
    let path = path_of(path)?;
    let volume =
        app.calls.call(&app.service, move |service| service.snapshot_rollback(&path)).await?;
    Ok(JsonBody(convert::volume(volume)))
}

/// Streams a snapshot for another store: all of it, or what changed since an older one.
#[utoipa::path(get, path = "/v1/snapshots/{volume}/{snapshot}/send", tag = "transfer",
    params(("volume" = String, Path, description = "The volume"),
        ("snapshot" = String, Path, description = "The snapshot's name there"), SendQuery),
    responses((status = 200, description = "A transfer stream; cut off when the service fails on the way",
        content_type = "application/vnd.archipelago.stream", body = Vec<u8>), Failures))]
pub(crate) async fn send(
    State(app): State<App>,
    hangup: Hangup,
    Path(path): Path<(String, String)>,
    Query(query): Query<SendQuery>,
) -> Result<Response, Failure> {
    let path = path_of(path)?;
    let since: Option<SnapshotName> = query.since.as_deref().map(parse).transpose()?;
    download(&app, hangup, move |service, out| service.send(&path, since.as_ref(), out)).await
}

/// Takes in what `send` of another store gave.
#[utoipa::path(post, path = "/v1/receive", tag = "transfer", params(ReceiveQuery),
    request_body(content = Vec<u8>, content_type = "application/vnd.archipelago.stream",
        description = "A transfer stream"),
    responses((status = 201, description = "The snapshot, received and durable", body = Snapshot), Failures))]
pub(crate) async fn receive(
    State(app): State<App>,
    Query(query): Query<ReceiveQuery>,
    body: Upload,
) -> Result<(StatusCode, JsonBody<Snapshot>), Failure> {
    let target: SnapshotPath = parse(&query.target)?;
    let snapshot =
        upload(&app, body, move |service, input| service.receive(&target, input)).await?;
    Ok((StatusCode::CREATED, JsonBody(convert::snapshot(snapshot))))
}

/// Says which byte ranges differ between two SOURCEs, from their maps alone.
#[utoipa::path(get, path = "/v1/diff", tag = "snapshots", params(DiffQuery),
    responses((status = 200, description = "Ascending and disjoint ranges", body = Diff), Failures))]
pub(crate) async fn diff(
    State(app): State<App>,
    Query(query): Query<DiffQuery>,
) -> Result<JsonBody<Diff>, Failure> {
    let (from, to): (Source, Source) = (parse(&query.from)?, parse(&query.to)?);
    let ranges = app.calls.call(&app.service, move |service| service.diff(&from, &to)).await?;
    Ok(JsonBody(convert::diff(ranges)))
}
