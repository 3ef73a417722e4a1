//! Volumes, and the export of anything.

use std::ops::Range;

use archipelago_api::{
    CreateVolumes, ErrorKind, ExportQuery, RemoveQuery, RenameVolume, ResizeVolume, Volume, Volumes,
};
use archipelago_model::{FileId, Source, VolumeName, VolumeSize};
use archipelago_pool::{Action, FileVersion, Origin, Service};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Failures, check_batch};
use crate::download::download;
use crate::extract::{Json, Path, Query, parse};
use crate::failure::Failure;
use crate::login::{Caller, Names};
use crate::server::Hangup;
use crate::{App, convert};

/// Lists all volumes that the caller sees.
#[utoipa::path(get, path = "/v1/volumes", tag = "volumes",
    responses((status = 200, description = "All volumes", body = Volumes), Failures))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
) -> Result<JsonBody<Volumes>, Failure> {
    let subject = caller.subject().cloned();
    let listed = app.calls.call(&app.service, move |service| match &subject {
        None => service.volumes(),
        Some(subject) => service.volumes_for(subject),
    });
    let (volumes, names) = (listed.await?, caller.names(&app).await?);
    let volumes = volumes.into_iter().map(|one| convert::volume(one, &names, &caller));
    Ok(JsonBody(Volumes { volumes: volumes.collect() }))
}

/// Makes volumes, all or none: empty ones, or clones in O(1).
#[utoipa::path(post, path = "/v1/volumes", tag = "volumes", request_body = CreateVolumes,
    responses((status = 201, description = "The new volumes, as asked for", body = Volumes), Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<CreateVolumes>,
) -> Result<(StatusCode, JsonBody<Volumes>), Failure> {
    check_batch("names", request.names.len())?;
    let said = caller.names(&app).await?;
    let full = |name: &String| {
        let name = said.full(parse::<VolumeName>(name)?);
        caller.check_new(&name).map(|()| name)
    };
    let names = request.names.iter().map(full).collect::<Result<Vec<_>, Failure>>()?;
    let size = request.size.map(size_of).transpose()?;
    let from = match request.from.as_deref() {
        None => None,
        Some(from) => Some(source(&app, &caller, &said, Action::Clone, from).await?),
    };
    let origin = match (from, size) {
        (Some(source), size) if request.raw => Origin::Raw { source, size },
        (Some(source), size) => Origin::Clone { source, size },
        (None, Some(size)) => Origin::Empty(size),
        (None, None) => {
            return Err(Failure::invalid(
                "give the `size` of the volume, or the SOURCE `from` which to clone it",
            ));
        }
    };
    let subject = caller.subject().cloned();
    // The disk in a file may have to be unpacked first, which takes as long as it is.
    let waits = matches!(&origin, Origin::Clone { source, .. } if source.is_file());
    let make = move |service: &Service| service.volume_create_by(subject.as_ref(), &names, &origin);
    let made = match waits {
        true => app.calls.long(&app.service, make).await?,
        false => app.calls.call(&app.service, make).await?,
    };
    let volumes = made.into_iter().map(|one| convert::volume(one, &said, &caller));
    Ok((StatusCode::CREATED, JsonBody(Volumes { volumes: volumes.collect() })))
}

/// What a text of the caller names, if it may do this with it.
pub(super) async fn source(
    app: &App,
    caller: &Caller,
    names: &Names,
    action: Action,
    text: &str,
) -> Result<Source, Failure> {
    let source = names.full_source(parse(text)?);
    caller.allow(app, action, &source).await?;
    Ok(source)
}

/// The volume of a path, if the caller may do this with it.
async fn volume_of(
    app: &App,
    caller: &Caller,
    names: &Names,
    action: Action,
    text: &str,
) -> Result<VolumeName, Failure> {
    let name = names.full(parse::<VolumeName>(text)?);
    caller.allow(app, action, &Source::Volume(name.clone())).await?;
    Ok(name)
}

/// Shows one volume.
#[utoipa::path(get, path = "/v1/volumes/{name}", tag = "volumes",
    params(("name" = String, Path, description = "The volume")),
    responses((status = 200, description = "The volume", body = Volume), Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<JsonBody<Volume>, Failure> {
    let names = caller.names(&app).await?;
    let name = volume_of(&app, &caller, &names, Action::Read, &name).await?;
    let volume = app.calls.call(&app.service, move |service| service.volume(&name)).await?;
    Ok(JsonBody(convert::volume(volume, &names, &caller)))
}

/// Removes a volume. What others share of it stays.
#[utoipa::path(delete, path = "/v1/volumes/{name}", tag = "volumes",
    params(("name" = String, Path, description = "The volume"), RemoveQuery),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, Failure> {
    let names = caller.names(&app).await?;
    let name = volume_of(&app, &caller, &names, Action::Remove, &name).await?;
    app.calls.call(&app.service, move |service| service.volume_remove(&name, query.force)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a volume another name; its id, its snapshots and its clients stay.
#[utoipa::path(post, path = "/v1/volumes/{name}/rename", tag = "volumes",
    params(("name" = String, Path, description = "The volume")), request_body = RenameVolume,
    responses((status = 200, description = "The volume under its new name", body = Volume), Failures))]
pub(crate) async fn rename(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Json(request): Json<RenameVolume>,
) -> Result<JsonBody<Volume>, Failure> {
    let names = caller.names(&app).await?;
    let from = volume_of(&app, &caller, &names, Action::Manage, &name).await?;
    let to = names.full(parse::<VolumeName>(&request.to)?);
    caller.check_new(&to)?;
    let volume =
        app.calls.call(&app.service, move |service| service.volume_rename(&from, &to)).await?;
    Ok(JsonBody(convert::volume(volume, &names, &caller)))
}

/// Grows or shrinks a volume. What is cut off is gone; growth reads as zeros.
#[utoipa::path(post, path = "/v1/volumes/{name}/resize", tag = "volumes",
    params(("name" = String, Path, description = "The volume")), request_body = ResizeVolume,
    responses((status = 200, description = "The volume with its new size", body = Volume), Failures))]
pub(crate) async fn resize(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Json(request): Json<ResizeVolume>,
) -> Result<JsonBody<Volume>, Failure> {
    let names = caller.names(&app).await?;
    let name = volume_of(&app, &caller, &names, Action::Manage, &name).await?;
    let size = size_of(request.size)?;
    let volume =
        app.calls.call(&app.service, move |service| service.volume_resize(&name, size)).await?;
    Ok(JsonBody(convert::volume(volume, &names, &caller)))
}

/// Streams the bytes of anything: an image, a volume as it is now, a snapshot, a file.
#[utoipa::path(get, path = "/v1/export", tag = "transfer", params(ExportQuery),
    responses((status = 200, description = "A transfer stream; cut off when the service fails on the way",
        content_type = "application/vnd.archipelago.stream", body = Vec<u8>), Failures))]
pub(crate) async fn export(
    State(app): State<App>,
    caller: Caller,
    hangup: Hangup,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Failure> {
    let names = caller.names(&app).await?;
    let source = source(&app, &caller, &names, Action::Read, &query.source).await?;
    if query.version.is_none() && query.ranges.is_none() {
        return download(&app, hangup, move |service, out| match query.disk {
            true => service.export_disk(&source, out),
            false => service.export(&source, out),
        })
        .await;
    }
    let Source::File(container, object) = source else {
        return Err(Failure::invalid(
            "versions and ranges are those of files of the first account; name one, as file:",
        ));
    };
    // Who may read what has the name now was not told of what had it before.
    if !caller.is_operator() {
        return Err(Failure::new(
            ErrorKind::Forbidden,
            "versions and ranges are for the operator; read files by S3, Swift or Pithos",
        ));
    }
    if query.disk {
        return Err(Failure::invalid(
            "versions and ranges are of the bytes of a file, not its disk",
        ));
    }
    let ranges = query.ranges.as_deref().map(ranges_of).transpose()?.unwrap_or_default();
    let id = query.version.map(FileId::new);
    download(&app, hangup, move |service, out| {
        let which = FileVersion { container: &container, object: &object, id };
        service.export_ranges(which, &ranges, out)
    })
    .await
}

/// `0-4096,8192-12288`; the pool checks the numbers.
fn ranges_of(text: &str) -> Result<Vec<Range<u64>>, Failure> {
    let one = |range: &str| {
        let (start, end) = range.split_once('-')?;
        Some(start.parse().ok()?..end.parse().ok()?)
    };
    let all: Option<Vec<Range<u64>>> = text.split(',').map(one).collect();
    all.ok_or_else(|| Failure::invalid("ranges are written 0-4096,8192-12288"))
}

fn size_of(bytes: u64) -> Result<VolumeSize, Failure> {
    VolumeSize::from_bytes(bytes).map_err(|error| Failure::invalid(error.to_string()))
}
