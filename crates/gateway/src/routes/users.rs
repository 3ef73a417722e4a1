//! Users and their S3 keys.

use archipelago_api::{CreateKey, CreateUser, Key, Keys, SetEnabled, SetPassword, User, Users};
use archipelago_model::{AccountName, UserName};
use archipelago_pool::{Error, Named, NewUser, Role, Secret, Service};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;

use super::Failures;
use crate::extract::{Json, Path, parse};
use crate::failure::Failure;
use crate::{App, convert};

fn user_named(name: &str) -> Result<Named, Failure> {
    Ok(Named::name(parse::<UserName>(name)?))
}

fn shown(service: &Service, user: &Named) -> Result<User, Error> {
    let members = service.members_of_user(user)?;
    Ok(convert::user(&service.user(user)?, &members))
}

/// Lists the users.
#[utoipa::path(get, path = "/v1/users", tag = "users",
    responses((status = 200, description = "By name, without their accounts", body = Users), Failures))]
pub(crate) async fn list(State(app): State<App>) -> Result<JsonBody<Users>, Failure> {
    let users = app.calls.call(&app.service, Service::users).await?;
    let users = users.iter().map(|user| convert::user(user, &[])).collect();
    Ok(JsonBody(Users { users }))
}

/// Makes a user, in an account or with one of its own.
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = CreateUser,
    responses((status = 200, description = "The user", body = User), Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    Json(request): Json<CreateUser>,
) -> Result<JsonBody<User>, Failure> {
    let role = request.role.as_deref().map(parse::<Role>).transpose()?;
    let account = request.account.as_deref().map(parse::<AccountName>).transpose()?;
    if account.is_none() && role.is_some() {
        return Err(Failure::invalid("a role is for an account that the user joins; name it"));
    }
    let account = account.map(|name| (Named::name(name), role.unwrap_or(Role::Member)));
    let new = NewUser {
        name: parse(&request.name)?,
        password: Secret::new(request.password.0),
        is_admin: request.admin,
        account,
    };
    let made = app.calls.login(&app.service, move |service| service.user_create(&new)).await?;
    Ok(JsonBody(convert::user(&made.user, std::slice::from_ref(&made))))
}

/// Describes a user.
#[utoipa::path(get, path = "/v1/users/{name}", tag = "users",
    params(("name" = String, Path, description = "The user")),
    responses((status = 200, description = "The user", body = User), Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<JsonBody<User>, Failure> {
    let user = user_named(&name)?;
    let user = app.calls.call(&app.service, move |service| shown(service, &user)).await?;
    Ok(JsonBody(user))
}

/// Removes a user with its keys. What its accounts own stays.
#[utoipa::path(delete, path = "/v1/users/{name}", tag = "users",
    params(("name" = String, Path, description = "The user")),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    let user = user_named(&name)?;
    app.calls.call(&app.service, move |service| service.user_remove(&user)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes a user's password; all its tokens end.
#[utoipa::path(post, path = "/v1/users/{name}/password", tag = "users",
    params(("name" = String, Path, description = "The user")), request_body = SetPassword,
    responses((status = 200, description = "The user", body = User), Failures))]
pub(crate) async fn set_password(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<SetPassword>,
) -> Result<JsonBody<User>, Failure> {
    let (user, password) = (user_named(&name)?, Secret::new(request.password.0));
    let changed = app.calls.login(&app.service, move |service| {
        service.user_set_password(&user, &password)?;
        shown(service, &user)
    });
    Ok(JsonBody(changed.await?))
}

/// Lets a user log in, or not; when not, all its tokens end.
#[utoipa::path(post, path = "/v1/users/{name}/enabled", tag = "users",
    params(("name" = String, Path, description = "The user")), request_body = SetEnabled,
    responses((status = 200, description = "The user", body = User), Failures))]
pub(crate) async fn set_enabled(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<SetEnabled>,
) -> Result<JsonBody<User>, Failure> {
    let user = user_named(&name)?;
    let changed = app.calls.call(&app.service, move |service| {
        service.user_enable(&user, request.enabled)?;
        shown(service, &user)
    });
    Ok(JsonBody(changed.await?))
}

/// Lists the S3 keys of a user.
#[utoipa::path(get, path = "/v1/users/{name}/keys", tag = "users",
    params(("name" = String, Path, description = "The user")),
    responses((status = 200, description = "The oldest first, without secrets", body = Keys), Failures))]
pub(crate) async fn keys(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<JsonBody<Keys>, Failure> {
    let user = user_named(&name)?;
    let keys = app.calls.call(&app.service, move |service| service.keys_of(&user)).await?;
    let keys = keys.into_iter().map(|key| convert::key(key, None)).collect();
    Ok(JsonBody(Keys { keys }))
}

/// Makes an S3 key for a user; its secret is told now and never again.
#[utoipa::path(post, path = "/v1/users/{name}/keys", tag = "users",
    params(("name" = String, Path, description = "The user")), request_body = CreateKey,
    responses((status = 200, description = "The key, with its secret", body = Key), Failures))]
pub(crate) async fn create_key(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<CreateKey>,
) -> Result<JsonBody<Key>, Failure> {
    let user = user_named(&name)?;
    let account = request.account.as_deref().map(parse::<AccountName>).transpose()?;
    let made = app.calls.call(&app.service, move |service| {
        let account = match account {
            Some(name) => Named::name(name),
            None => first_account(service, &user)?,
        };
        service.key_create(&user, &account)
    });
    let (key, secret) = made.await?;
    Ok(JsonBody(convert::key(key, Some(&secret))))
}

fn first_account(service: &Service, user: &Named) -> Result<Named, Error> {
    let members = service.members_of_user(user)?;
    members.first().map(|member| Named::uuid(member.account.uuid)).ok_or_else(|| {
        Error::new(
            archipelago_pool::ErrorKind::Invalid,
            format!("user '{user}' is in no account; `archipelago user join` puts it in one"),
        )
    })
}

/// Removes an S3 key. Requests signed with it fail from now on.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "users",
    params(("id" = String, Path, description = "The public part of the key")),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove_key(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    app.calls.call(&app.service, move |service| service.key_remove(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
