//! Snapshots: cuts, differences, and travel between stores.

use std::collections::BTreeSet;

use archipelago_api::{
    CreateSnapshots, Diff, DiffQuery, ReceiveQuery, SendQuery, Snapshot, SnapshotQuery, Snapshots,
    Volume,
};
use archipelago_model::{SnapshotName, SnapshotPath, Source, VolumeName};
use archipelago_pool::Action;
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::volumes::source;
use super::{Failures, check_batch};
use crate::download::download;
use crate::extract::{Json, Path, Query, parse};
use crate::failure::Failure;
use crate::login::{Caller, Names};
use crate::server::Hangup;
use crate::upload::{Upload, upload};
use crate::{App, convert};

/// The snapshot of a path, if the caller may do this with it.
async fn path_of(
    app: &App,
    caller: &Caller,
    names: &Names,
    action: Action,
    (volume, snapshot): (String, String),
) -> Result<SnapshotPath, Failure> {
    let path = SnapshotPath { volume: parse(&volume)?, snapshot: parse(&snapshot)? };
    let path = names.full_path(path);
    caller.allow(app, action, &Source::Snapshot(path.clone())).await?;
    Ok(path)
}

/// Lists snapshots, of all volumes or of one.
#[utoipa::path(get, path = "/v1/snapshots", tag = "snapshots", params(SnapshotQuery),
    responses((status = 200, description = "By volume, oldest first", body = Snapshots), Failures))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<SnapshotQuery>,
) -> Result<JsonBody<Snapshots>, Failure> {
    let names = caller.names(&app).await?;
    let volume: Option<VolumeName> = query.volume.as_deref().map(parse).transpose()?;
    let volume = volume.map(|name| names.full(name));
    let (subject, of) = (caller.subject().cloned(), volume.clone());
    let listed = app.calls.call(&app.service, move |service| match &subject {
        None => service.snapshots(of.as_ref()),
        Some(subject) => service.snapshots_for(subject, of.as_ref()),
    });
    let snapshots = listed.await?;
    if let Some(name) = volume
        && snapshots.is_empty()
    {
        // A volume without snapshots, or none at all.
        caller.allow(&app, Action::Read, &Source::Volume(name.clone())).await?;
        app.calls.call(&app.service, move |service| service.volume(&name)).await?;
    }
    let snapshots = snapshots.into_iter().map(|one| convert::snapshot(one, &names));
    Ok(JsonBody(Snapshots { snapshots: snapshots.collect() }))
}

/// Takes snapshots of several volumes at one cut, all or none, also while they are written.
#[utoipa::path(post, path = "/v1/snapshots", tag = "snapshots", request_body = CreateSnapshots,
    responses((status = 201, description = "The new snapshots, as asked for", body = Snapshots), Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<CreateSnapshots>,
) -> Result<(StatusCode, JsonBody<Snapshots>), Failure> {
    check_batch("members", request.members.len())?;
    let names = caller.names(&app).await?;
    let full = |path: &String| Ok(names.full_path(parse(path)?));
    let members = request.members.iter().map(full).collect::<Result<Vec<_>, Failure>>()?;
    let volumes: BTreeSet<&VolumeName> = members.iter().map(|path| &path.volume).collect();
    for volume in volumes {
        caller.allow(&app, Action::Manage, &Source::Volume(volume.clone())).await?;
    }
    let snapshots =
        app.calls.call(&app.service, move |service| service.snapshot_create(&members)).await?;
    let snapshots = snapshots.into_iter().map(|one| convert::snapshot(one, &names)).collect();
    Ok((StatusCode::CREATED, JsonBody(Snapshots { snapshots })))
}

/// Shows one snapshot.
#[utoipa::path(get, path = "/v1/snapshots/{volume}/{snapshot}", tag = "snapshots",
    params(("volume" = String, Path, description = "The volume"),
        ("snapshot" = String, Path, description = "The snapshot's name there")),
    responses((status = 200, description = "The snapshot", body = Snapshot), Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<JsonBody<Snapshot>, Failure> {
    let names = caller.names(&app).await?;
    let path = path_of(&app, &caller, &names, Action::Read, path).await?;
    let snapshot = app.calls.call(&app.service, move |service| service.snapshot(&path)).await?;
    Ok(JsonBody(convert::snapshot(snapshot, &names)))
}

/// Removes a snapshot. Clones of it stay.
#[utoipa::path(delete, path = "/v1/snapshots/{volume}/{snapshot}", tag = "snapshots",
    params(("volume" = String, Path, description = "The volume"),
        ("snapshot" = String, Path, description = "The snapshot's name there")),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let names = caller.names(&app).await?;
    let path = path_of(&app, &caller, &names, Action::Remove, path).await?;
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
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<JsonBody<Volume>, Failure> {
    let names = caller.names(&app).await?;
    let path = path_of(&app, &caller, &names, Action::Manage, path).await?;
    let volume =
        app.calls.call(&app.service, move |service| service.snapshot_rollback(&path)).await?;
    Ok(JsonBody(convert::volume(volume, &names, &caller)))
}

/// Streams a snapshot for another store: all of it, or what changed since an older one.
#[utoipa::path(get, path = "/v1/snapshots/{volume}/{snapshot}/send", tag = "transfer",
    params(("volume" = String, Path, description = "The volume"),
        ("snapshot" = String, Path, description = "The snapshot's name there"), SendQuery),
    responses((status = 200, description = "A transfer stream; cut off when the service fails on the way",
        content_type = "application/vnd.archipelago.stream", body = Vec<u8>), Failures))]
pub(crate) async fn send(
    State(app): State<App>,
    caller: Caller,
    hangup: Hangup,
    Path(path): Path<(String, String)>,
    Query(query): Query<SendQuery>,
) -> Result<Response, Failure> {
    let names = caller.names(&app).await?;
    let path = path_of(&app, &caller, &names, Action::Read, path).await?;
    let since: Option<SnapshotName> = query.since.as_deref().map(parse).transpose()?;
    if let Some(snapshot) = since.clone() {
        let base = SnapshotPath { volume: path.volume.clone(), snapshot };
        caller.allow(&app, Action::Read, &Source::Snapshot(base)).await?;
    }
    download(&app, hangup, move |service, out| service.send(&path, since.as_ref(), out)).await
}

/// Takes in what `send` of another store gave.
#[utoipa::path(post, path = "/v1/receive", tag = "transfer", params(ReceiveQuery),
    request_body(content = Vec<u8>, content_type = "application/vnd.archipelago.stream",
        description = "A transfer stream"),
    responses((status = 201, description = "The snapshot, received and durable", body = Snapshot), Failures))]
pub(crate) async fn receive(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ReceiveQuery>,
    body: Upload,
) -> Result<(StatusCode, JsonBody<Snapshot>), Failure> {
    let names = caller.names(&app).await?;
    let target = names.full_path(parse(&query.target)?);
    caller.check_new(&target.volume)?;
    let subject = caller.subject().cloned();
    let snapshot = upload(&app, body, move |service, input| {
        service.receive_by(subject.as_ref(), &target, input)
    });
    let snapshot = snapshot.await?;
    Ok((StatusCode::CREATED, JsonBody(convert::snapshot(snapshot, &names))))
}

/// Says which byte ranges differ between two SOURCEs, from their maps alone.
#[utoipa::path(get, path = "/v1/diff", tag = "snapshots", params(DiffQuery),
    responses((status = 200, description = "Ascending and disjoint ranges", body = Diff), Failures))]
pub(crate) async fn diff(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<DiffQuery>,
) -> Result<JsonBody<Diff>, Failure> {
    let names = caller.names(&app).await?;
    let from = source(&app, &caller, &names, Action::Read, &query.from).await?;
    let to = source(&app, &caller, &names, Action::Read, &query.to).await?;
    let ranges = app.calls.long(&app.service, move |service| service.diff(&from, &to)).await?;
    Ok(JsonBody(convert::diff(ranges)))
}
