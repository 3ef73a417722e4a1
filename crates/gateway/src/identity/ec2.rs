//! S3 keys, which Keystone calls OS-EC2 credentials. Secrets are told once, when a key is made.

use archipelago_pool::{AccessKey, Named};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::Body;
use super::{Base, Caller, Refusal, views};
use crate::App;

#[derive(Deserialize)]
pub(super) struct Request {
    tenant_id: Option<String>,
}

async fn all(app: &App, user: String) -> Result<Vec<AccessKey>, Refusal> {
    let user = Named::Uuid(user);
    Ok(app.calls.call(&app.service, move |service| service.keys_of(&user)).await?)
}

/// One key of this user.
async fn one(app: &App, user: String, key: &str) -> Result<AccessKey, Refusal> {
    let found = all(app, user).await?.into_iter().find(|one| one.id == key);
    found.ok_or_else(|| {
        Refusal::not_found(format_args!("the user has no key '{}'", key.escape_default()))
    })
}

/// Makes one.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Path(id): Path<String>,
    Body(request): Body<Request>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    caller.check_is(&id)?;
    caller.check_may_make()?;
    let account = request.tenant_id.map_or_else(|| caller.account(), Named::Uuid);
    let user = Named::Uuid(id);
    let made = app.calls.call(&app.service, move |service| service.key_create(&user, &account));
    let (key, secret) = made.await?;
    let view = views::ec2(&base, &key, Some(secret.expose()));
    Ok((StatusCode::CREATED, Json(json!({"credential": view}))))
}

/// Those of a user, without secrets.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    caller.check_is(&id)?;
    let path = format!("users/{id}/credentials/OS-EC2");
    let keys = all(&app, id).await?;
    let rows = keys.iter().map(|key| views::ec2(&base, key, None)).collect();
    Ok(views::list(&base, &path, "credentials", rows))
}

/// One of a user, without its secret.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    caller.check_is(&id)?;
    let key = one(&app, id, &key).await?;
    Ok(Json(json!({"credential": views::ec2(&base, &key, None)})))
}

/// Removes one of a user.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    caller.check_is(&id)?;
    caller.check_may_make()?;
    let key = one(&app, id, &key).await?;
    app.calls.call(&app.service, move |service| service.key_remove(&key.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
