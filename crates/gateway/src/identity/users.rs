//! Users, as far as the caller may see them.

use archipelago_pool::{Named, User};
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::Query;
use super::{Base, Caller, Refusal, views, wanted};
use crate::App;

#[derive(Deserialize)]
pub(super) struct Filter {
    name: Option<String>,
}

/// The caller, or for administrators everybody.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Query(filter): Query<Filter>,
) -> Result<Json<Value>, Refusal> {
    let identity = &caller.0.identity;
    let users: Vec<User> = if identity.is_admin() {
        app.calls.call(&app.service, |service| service.users()).await?
    } else {
        vec![identity.user.clone()]
    };
    let rows = users
        .iter()
        .filter(|user| wanted(filter.name.as_deref(), user.name.as_str()))
        .map(|user| views::user(&base, user))
        .collect();
    Ok(views::list(&base, "users", "users", rows))
}

/// One, by id.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let identity = &caller.0.identity;
    if hex::encode(identity.user.uuid) == id {
        return Ok(Json(json!({"user": views::user(&base, &identity.user)})));
    }
    // Others are not there for whoever may not see them: clients try names as ids.
    let none =
        || Refusal::not_found(format_args!("there is no user of id '{}'", id.escape_default()));
    if !identity.is_admin() {
        return Err(none());
    }
    let named = Named::Uuid(id.clone());
    let user = app.calls.call(&app.service, move |service| service.user(&named)).await;
    let user = user.map_err(|failure| match failure.kind() {
        archipelago_api::ErrorKind::NotFound => none(),
        _ => failure.into(),
    })?;
    Ok(Json(json!({"user": views::user(&base, &user)})))
}
