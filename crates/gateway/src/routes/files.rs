//! Files. Their content is read through `/v1/export`.

use archipelago_api::{
    File, FileQuery, Files, PutQuery, RemoveFileQuery, UpdateQuery, UpdatedFile,
};
use archipelago_model::{ContainerName, FileId, ObjectName};
use archipelago_pool::{BlockHash, DeltaPut, FileRange, Place, Service};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Failures, check_sha256};
use crate::extract::{Path, Query, parse};
use crate::failure::Failure;
use crate::upload::{Upload, upload};
use crate::{App, convert};

/// Files on a page at most.
const PAGE_MAX: usize = 10_000;

fn names_of((container, object): (String, String)) -> Result<(ContainerName, ObjectName), Failure> {
    Ok((parse(&container)?, parse(&object)?))
}

/// Where a page goes on: a container and, behind the first slash, an object.
fn place_of(text: &str) -> Result<(ContainerName, ObjectName), Failure> {
    let (container, object) = text
        .split_once('/')
        .ok_or_else(|| Failure::invalid("`after` is CONTAINER/OBJECT, the `next` of a page"))?;
    Ok((parse(container)?, parse(object)?))
}

/// Lists files, of all containers or of one; in pages, where a limit is given.
#[utoipa::path(get, path = "/v1/files", tag = "files", params(FileQuery),
    responses((status = 200, description = "By container and name", body = Files), Failures))]
pub(crate) async fn list(
    State(app): State<App>,
    Query(query): Query<FileQuery>,
) -> Result<JsonBody<Files>, Failure> {
    let container: Option<ContainerName> = query.container.as_deref().map(parse).transpose()?;
    let after = query.after.as_deref().map(place_of).transpose()?;
    let range = FileRange { container, prefix: query.prefix.unwrap_or_default(), after };
    let limit = query.limit.map(|limit| limit.clamp(1, PAGE_MAX));
    let list = move |service: &Service| match limit {
        Some(limit) => service.files_page(&range, limit),
        None => service.files_at_once(&range),
    };
    let files = app.calls.call(&app.service, list).await?;
    let full = limit.is_some_and(|limit| files.len() == limit);
    let last = files.last().filter(|_| full);
    let next = last.map(|file| format!("{}/{}", file.container, file.object));
    Ok(JsonBody(Files { files: files.into_iter().map(convert::file).collect(), next }))
}

/// Describes one file.
#[utoipa::path(get, path = "/v1/files/{container}/{object}", tag = "files",
    params(("container" = String, Path, description = "The container"),
        ("object" = String, Path, description = "The object; its slashes stand as they are")),
    responses((status = 200, description = "The file", body = File), Failures))]
pub(crate) async fn stat(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<JsonBody<File>, Failure> {
    let (container, object) = names_of(path)?;
    let both = move |service: &Service| {
        let disk = service.disk_file(&container, &object)?;
        Ok((service.file(&container, &object)?, disk))
    };
    let (file, disk) = app.calls.call(&app.service, both).await?;
    Ok(JsonBody(File { disk: disk.as_ref().map(convert::disk), ..convert::file(file) }))
}

/// Removes a file. Volumes cloned from it stay.
#[utoipa::path(delete, path = "/v1/files/{container}/{object}", tag = "files",
    params(("container" = String, Path, description = "The container"),
        ("object" = String, Path, description = "The object; its slashes stand as they are"),
        RemoveFileQuery),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    Query(query): Query<RemoveFileQuery>,
) -> Result<StatusCode, Failure> {
    let (container, object) = names_of(path)?;
    let version = query.version.map(FileId::new);
    let remove = move |service: &Service| service.file_remove_if(&container, &object, version);
    app.calls.call(&app.service, remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a file, replacing an older one at the moment the new one is complete; whole, or as a
/// difference to a version that is there.
#[utoipa::path(put, path = "/v1/files/{container}/{object}", tag = "files",
    params(("container" = String, Path, description = "The container; made when missing"),
        ("object" = String, Path, description = "The object; its slashes stand as they are"), PutQuery),
    request_body(content = Vec<u8>, content_type = "application/vnd.archipelago.stream",
        description = "A transfer stream"),
    responses((status = 201, description = "The file, durable", body = File), Failures))]
pub(crate) async fn put(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    Query(query): Query<PutQuery>,
    body: Upload,
) -> Result<(StatusCode, JsonBody<File>), Failure> {
    check_sha256(query.sha256.as_deref())?;
    let (container, object) = names_of(path)?;
    let difference = match (query.base, query.hash) {
        (None, None) => None,
        (Some(base), Some(hash)) => Some((FileId::new(base), parse::<BlockHash>(&hash)?)),
        _ => return Err(Failure::invalid("a difference has a base and a hash; say both")),
    };
    let file = upload(&app, body, move |service, input| match difference {
        None => service.file_put(&container, &object, query.sha256, input),
        Some((base, hash)) => {
            let (container, object) = (&container, &object);
            let put = DeltaPut { container, object, base, hash, sha256: query.sha256 };
            service.file_put_delta(&put, input)
        }
    })
    .await?;
    Ok((StatusCode::CREATED, JsonBody(convert::file(file))))
}

/// Writes over a part of a file, or appends to it, and sets its size: one new version. Any number
/// of clients may do that to one file at once. A file that is not there is made, unless a size is
/// given.
#[utoipa::path(patch, path = "/v1/files/{container}/{object}", tag = "files",
    params(("container" = String, Path, description = "The container; made when missing, unless a size is given"),
        ("object" = String, Path, description = "The object; its slashes stand as they are"), UpdateQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "The bytes; none, when only the size changes"),
    responses((status = 200, description = "The new version, durable", body = UpdatedFile), Failures))]
pub(crate) async fn update(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    Query(query): Query<UpdateQuery>,
    body: Upload,
) -> Result<JsonBody<UpdatedFile>, Failure> {
    let (container, object) = names_of(path)?;
    let length = body.length();
    let done = upload(&app, body, move |service, input| {
        let place = query.offset.map_or(Place::End, Place::At);
        service.file_update(&container, &object, place, query.size, length, input)
    })
    .await?;
    Ok(JsonBody(convert::updated(done)))
}
