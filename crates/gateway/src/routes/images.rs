//! Images.

use archipelago_api::{Image, Images, ImportQuery};
use archipelago_model::{ImageName, Source};
use archipelago_pool::{Action, NewImage, Service};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Failures, check_sha256};
use crate::extract::{Path, Query, parse};
use crate::failure::Failure;
use crate::login::{Caller, Names};
use crate::upload::{Upload, upload};
use crate::{App, convert};

/// Lists the images that the caller sees, and for the operator the files that are disk images.
#[utoipa::path(get, path = "/v1/images", tag = "images",
    responses((status = 200, description = "All images", body = Images), Failures))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
) -> Result<JsonBody<Images>, Failure> {
    let subject = caller.subject().cloned();
    // The files are those of the first account.
    let with_files = caller.is_operator();
    let both = move |service: &Service| {
        let images = match &subject {
            None => service.images()?,
            Some(subject) => service.images_for(subject)?,
        };
        Ok((images, if with_files { service.disk_files(None)? } else { Vec::new() }))
    };
    let (images, files) = app.calls.call(&app.service, both).await?;
    let names = caller.names(&app).await?;
    Ok(JsonBody(Images {
        images: images.into_iter().map(|one| convert::image(one, &names)).collect(),
        recognised: files.iter().map(convert::image_file).collect(),
    }))
}

/// The image of a path, if the caller may do this with it.
async fn image_of(
    app: &App,
    caller: &Caller,
    names: &Names,
    action: Action,
    text: &str,
) -> Result<ImageName, Failure> {
    let name = names.full(parse::<ImageName>(text)?);
    caller.allow(app, action, &Source::Image(name.clone())).await?;
    Ok(name)
}

/// Shows one image.
#[utoipa::path(get, path = "/v1/images/{name}", tag = "images",
    params(("name" = String, Path, description = "The image")),
    responses((status = 200, description = "The image", body = Image), Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<JsonBody<Image>, Failure> {
    let names = caller.names(&app).await?;
    let name = image_of(&app, &caller, &names, Action::Read, &name).await?;
    let image = app.calls.call(&app.service, move |service| service.image(&name)).await?;
    Ok(JsonBody(convert::image(image, &names)))
}

/// Removes an image. Volumes cloned from it stay.
#[utoipa::path(delete, path = "/v1/images/{name}", tag = "images",
    params(("name" = String, Path, description = "The image")),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    let names = caller.names(&app).await?;
    let name = image_of(&app, &caller, &names, Action::Remove, &name).await?;
    app.calls.call(&app.service, move |service| service.image_remove(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Imports a disk, already decoded to a transfer stream by the client.
#[utoipa::path(post, path = "/v1/images/{name}", tag = "images",
    params(("name" = String, Path, description = "The image"), ImportQuery),
    request_body(content = Vec<u8>, content_type = "application/vnd.archipelago.stream",
        description = "A transfer stream"),
    responses((status = 201, description = "The image, deduplicated and durable", body = Image), Failures))]
pub(crate) async fn import(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<ImportQuery>,
    body: Upload,
) -> Result<(StatusCode, JsonBody<Image>), Failure> {
    check_sha256(query.sha256.as_deref())?;
    let names = caller.names(&app).await?;
    let name = names.full(parse::<ImageName>(&name)?);
    caller.check_new(&name)?;
    let spec = NewImage {
        name,
        format: query.format,
        os: query.os,
        source_bytes: query.source_bytes,
        sha256: query.sha256,
    };
    let subject = caller.subject().cloned();
    let image = upload(&app, body, move |service, input| {
        service.image_import_by(subject.as_ref(), &spec, input)
    });
    let image = image.await?;
    Ok((StatusCode::CREATED, JsonBody(convert::image(image, &names))))
}
