//! Accounts and who is in them.

use archipelago_api::{Account, Accounts, CreateAccount, Join, SetQuota, User};
use archipelago_model::{AccountName, UserName};
use archipelago_pool::{self as pool, Named, Role, Service};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;

use super::Failures;
use crate::extract::{Json, Path, parse};
use crate::failure::Failure;
use crate::{App, convert};

fn account_named(name: &str) -> Result<Named, Failure> {
    Ok(Named::name(parse::<AccountName>(name)?))
}

fn described(service: &Service, account: pool::Account) -> Result<Account, pool::Error> {
    let used = service.account_usage(account.id)?;
    Ok(convert::account(account, used))
}

/// Lists the accounts.
#[utoipa::path(get, path = "/v1/accounts", tag = "users",
    responses((status = 200, description = "By name", body = Accounts), Failures))]
pub(crate) async fn list(State(app): State<App>) -> Result<JsonBody<Accounts>, Failure> {
    let listed = app.calls.call(&app.service, |service| {
        service.accounts()?.into_iter().map(|one| described(service, one)).collect()
    });
    Ok(JsonBody(Accounts { accounts: listed.await? }))
}

/// Makes an account without members.
#[utoipa::path(post, path = "/v1/accounts", tag = "users", request_body = CreateAccount,
    responses((status = 200, description = "The account", body = Account), Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    Json(request): Json<CreateAccount>,
) -> Result<JsonBody<Account>, Failure> {
    let name: AccountName = parse(&request.name)?;
    let made = app.calls.call(&app.service, move |service| {
        described(service, service.account_create(&name, request.quota_bytes)?)
    });
    Ok(JsonBody(made.await?))
}

/// Describes an account.
#[utoipa::path(get, path = "/v1/accounts/{name}", tag = "users",
    params(("name" = String, Path, description = "The account")),
    responses((status = 200, description = "The account", body = Account), Failures))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<JsonBody<Account>, Failure> {
    let account = account_named(&name)?;
    let found =
        app.calls.call(&app.service, move |service| described(service, service.account(&account)?));
    Ok(JsonBody(found.await?))
}

/// Removes an account that owns nothing; its users stay.
#[utoipa::path(delete, path = "/v1/accounts/{name}", tag = "users",
    params(("name" = String, Path, description = "The account")),
    responses((status = 204, description = "It is gone"), Failures))]
pub(crate) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    let account = account_named(&name)?;
    app.calls.call(&app.service, move |service| service.account_remove(&account)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets how much an account may hold.
#[utoipa::path(post, path = "/v1/accounts/{name}/quota", tag = "users",
    params(("name" = String, Path, description = "The account")), request_body = SetQuota,
    responses((status = 200, description = "The account", body = Account), Failures))]
pub(crate) async fn set_quota(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<SetQuota>,
) -> Result<JsonBody<Account>, Failure> {
    let account = account_named(&name)?;
    let changed = app.calls.call(&app.service, move |service| {
        service.account_set_quota(&account, request.quota_bytes)?;
        described(service, service.account(&account)?)
    });
    Ok(JsonBody(changed.await?))
}

/// Puts a user in an account, or gives it another role there.
#[utoipa::path(post, path = "/v1/accounts/{name}/members", tag = "users",
    params(("name" = String, Path, description = "The account")), request_body = Join,
    responses((status = 200, description = "The user", body = User), Failures))]
pub(crate) async fn join(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<Join>,
) -> Result<JsonBody<User>, Failure> {
    let account = account_named(&name)?;
    let user = Named::name(parse::<UserName>(&request.user)?);
    let role: Role = parse(&request.role)?;
    let joined = app.calls.call(&app.service, move |service| {
        service.member_set(&user, &account, role)?;
        Ok(convert::user(&service.user(&user)?, &service.members_of_user(&user)?))
    });
    Ok(JsonBody(joined.await?))
}

/// Takes a user out of an account, with its keys there.
#[utoipa::path(delete, path = "/v1/accounts/{name}/members/{user}", tag = "users",
    params(("name" = String, Path, description = "The account"),
        ("user" = String, Path, description = "The user")),
    responses((status = 204, description = "It is out"), Failures))]
pub(crate) async fn leave(
    State(app): State<App>,
    Path((name, user)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let (account, user) = (account_named(&name)?, Named::name(parse::<UserName>(&user)?));
    app.calls.call(&app.service, move |service| service.member_remove(&user, &account)).await?;
    Ok(StatusCode::NO_CONTENT)
}
