//! Volumes, and the export of anything.

use std::ops::Range;

use archipelago_api::{
    CreateVolumes, ExportQuery, RemoveQuery, RenameVolume, ResizeVolume, Volume, Volumes,
};
use archipelago_model::{FileId, Source, VolumeName, VolumeSize};
use archipelago_pool::{FileVersion, Origin};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Failures, check_batch};
use crate::download::download;
use crate::extract::{Json, Path, Query, parse};
use crate::failure::Failure;
use crate::server::Hangup;
use crate::{App, convert};

/// Lists all volumes, by name.
#[utoipa::path(get, path = "/v1/volumes", tag = "volumes",
    responses((status = 200, description = "All volumes", body = Volumes), Failures))]
pub(crate) async fn list(State(app): State<App>) -> Result<JsonBody<Volumes>, Failure> {
    let volumes = app.calls.call(&app.service, |service| service.volumes()).await?;
    Ok(JsonBody(Volumes { volumes: volumes.into_iter().map(convert::volume).collect() }))
}

/// Makes volumes, all or none: empty ones, or clones in O(1).
#[utoipa::path(post, path = "/v1/volumes", tag = "volumes", request_body = CreateVolumes,
    responses((status = 201, description = "The new volumes, as asked for", body = Volumes), Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    Json(request): Json<CreateVolumes>,
) -> Result<(StatusCode, JsonBody<Volumes>), Failure> {
    check_batch("names", request.names.len())?;
    let names =
        request.names.iter().map(|name| parse(name)).collect::<Result<Vec<VolumeName>, _>>()?;
    let size = request.size.map(size_of).transpose()?;
    let origin = match (request.from, size) {
        (Some(from), size) if request.raw => Origin::Raw { source: parse(&from)?, size },
        (Some(from), size) => Origin::Clone { source: parse(&from)?, size },
        (None, Some(size)) => Origin::Empty(size),
        (None, None) => {
            return Err(Failure::invalid(
                "give the `size` of the volume, or the SOURCE `from` which to clone it",
            ));
        }
    };
    let volumes =
        app.calls.call(&app.service, move |service| service.volume_create(&names, &origin)).await?;
    let volumes = volumes.into_iter().map(convert::volume).collect();
    Ok((StatusCode::CREATED, JsonBody(Volumes { volumes })))
}

/// Shows one volume.
#[utoipa::path(get, path = "/v1/volumes/{name}", tag = "volumes",
    params(("name" = String, Path, description = "The volume")),
    responses((status = 200, description = "The volume", body = Volume), Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<JsonBody<Volume>, Failure> {
    let name: VolumeName = parse(&name)?;
    let volume = app.calls.call(&app.service, move |service| service.volume(&name)).await?;
    Ok(JsonBody(convert::volume(volume)))
}

/// Removes a volume. What others share of it stays.
#[utoipa::path(delete, path = "/v1/volumes/{name}", tag = "volumes",
    params(("name" = String, Path, description = "The volume"), RemoveQuery),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, Failure> {
    let name: VolumeName = parse(&name)?;
    app.calls.call(&app.service, move |service| service.volume_remove(&name, query.force)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a volume another name; its id, its snapshots and its clients stay.
#[utoipa::path(post, path = "/v1/volumes/{name}/rename", tag = "volumes",
    params(("name" = String, Path, description = "The volume")), request_body = RenameVolume,
    responses((status = 200, description = "The volume under its new name", body = Volume), Failures))]
pub(crate) async fn rename(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<RenameVolume>,
) -> Result<JsonBody<Volume>, Failure> {
    let (from, to): (VolumeName, VolumeName) = (parse(&name)?, parse(&request.to)?);
    let volume =
        app.calls.call(&app.service, move |service| service.volume_rename(&from, &to)).await?;
    Ok(JsonBody(convert::volume(volume)))
}

/// Grows or shrinks a volume. What is cut off is gone; growth reads as zeros.
#[utoipa::path(post, path = "/v1/volumes/{name}/resize", tag = "volumes",
    params(("name" = String, Path, description = "The volume")), request_body = ResizeVolume,
    responses((status = 200, description = "The volume with its new size", body = Volume), Failures))]
pub(crate) async fn resize(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<ResizeVolume>,
) -> Result<JsonBody<Volume>, Failure> {
    let name: VolumeName = parse(&name)?;
    let size = size_of(request.size)?;
    let volume =
        app.calls.call(&app.service, move |service| service.volume_resize(&name, size)).await?;
    Ok(JsonBody(convert::volume(volume)))
}

/// Streams the bytes of anything: an image, a volume as it is now, a snapshot, a file.
#[utoipa::path(get, path = "/v1/export", tag = "transfer", params(ExportQuery),
    responses((status = 200, description = "A transfer stream; cut off when the service fails on the way",
        content_type = "application/vnd.archipelago.stream", body = Vec<u8>), Failures))]
pub(crate) async fn export(
    State(app): State<App>,
    hangup: Hangup,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Failure> {
    let source: Source = parse(&query.source)?;
    if query.version.is_none() && query.ranges.is_none() {
        return download(&app, hangup, move |service, out| match query.disk {
            true => service.export_disk(&source, out),
            false => service.export(&source, out),
        })
        .await;
    }
    let Source::File(container, object) = source else {
        return Err(Failure::invalid("versions and ranges are those of files; name a file:"));
    };
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
