//! Accounts, which Keystone calls projects, and who is in them.

use archipelago_pool::{Account, Member, Named};
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

/// The accounts that the caller may use.
async fn usable(app: &App, caller: &Caller) -> Result<Vec<Account>, Refusal> {
    let identity = &caller.0.identity;
    let (admin, user) = (identity.is_admin(), Named::uuid(identity.user.uuid));
    let accounts = app.calls.call(&app.service, move |service| {
        if admin { service.accounts() } else { accounts_of(service, &user) }
    });
    Ok(accounts.await?)
}

fn accounts_of(
    service: &archipelago_pool::Service,
    user: &Named,
) -> Result<Vec<Account>, archipelago_pool::Error> {
    let members = service.members_of_user(user)?;
    Ok(members.into_iter().map(|member| member.account).collect())
}

fn shown(base: &Base, accounts: &[Account], name: Option<&str>) -> Vec<Value> {
    accounts
        .iter()
        .filter(|account| wanted(name, account.name.as_str()))
        .map(|account| views::project(base, account))
        .collect()
}

/// All that the caller may use.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Query(filter): Query<Filter>,
) -> Result<Json<Value>, Refusal> {
    let accounts = usable(&app, &caller).await?;
    let rows = shown(&base, &accounts, filter.name.as_deref());
    Ok(views::list(&base, "projects", "projects", rows))
}

/// Those that the caller may log in to.
pub(super) async fn mine(
    State(app): State<App>,
    caller: Caller,
    base: Base,
) -> Result<Json<Value>, Refusal> {
    let rows = shown(&base, &usable(&app, &caller).await?, None);
    Ok(views::list(&base, "auth/projects", "projects", rows))
}

/// Those of a user.
pub(super) async fn of_user(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    caller.check_is(&id)?;
    let user = Named::Uuid(id.clone());
    let accounts = app.calls.call(&app.service, move |service| accounts_of(service, &user)).await?;
    let rows = shown(&base, &accounts, None);
    Ok(views::list(&base, &format!("users/{id}/projects"), "projects", rows))
}

/// One, by id.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let accounts = usable(&app, &caller).await?;
    let account = accounts.iter().find(|account| hex::encode(account.uuid) == id);
    let account = account.ok_or_else(|| {
        Refusal::not_found(format_args!("there is no project of id '{}'", id.escape_default()))
    })?;
    Ok(Json(json!({"project": views::project(&base, account)})))
}

#[derive(Deserialize)]
pub(super) struct Assignments {
    #[serde(rename = "user.id")]
    user: Option<String>,
    #[serde(rename = "scope.project.id")]
    project: Option<String>,
    #[serde(rename = "role.id")]
    role: Option<String>,
    include_names: Option<String>,
}

/// Who may do what: the caller's own, or for administrators everybody's.
pub(super) async fn role_assignments(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Query(filter): Query<Assignments>,
) -> Result<Json<Value>, Refusal> {
    let identity = &caller.0.identity;
    let (admin, user) = (identity.is_admin(), Named::uuid(identity.user.uuid));
    let members = app.calls.call(&app.service, move |service| {
        if admin { service.members() } else { service.members_of_user(&user) }
    });
    // `include_names` alone, `=1` and `=true` all say yes.
    let names = filter.include_names.as_deref().is_some_and(|v| !matches!(v, "0" | "false"));
    let rows = members
        .await?
        .iter()
        .filter(|one| wanted(filter.user.as_deref(), &hex::encode(one.user.uuid)))
        .filter(|one| wanted(filter.project.as_deref(), &hex::encode(one.account.uuid)))
        .filter(|one| wanted(filter.role.as_deref(), one.role.name()))
        .map(|one| assignment(&base, one, names))
        .collect();
    Ok(views::list(&base, "role_assignments", "role_assignments", rows))
}

fn assignment(Base(base): &Base, one: &Member, names: bool) -> Value {
    let (user, project) = (hex::encode(one.user.uuid), hex::encode(one.account.uuid));
    let role = one.role.name();
    let link = format!("{base}/identity/v3/projects/{project}/users/{user}/roles/{role}");
    let mut view = json!({
        "links": {"assignment": link},
        "role": {"id": role},
        "user": {"id": user},
        "scope": {"project": {"id": project}},
    });
    if names {
        view["role"]["name"] = json!(role);
        for (part, name) in [("user", one.user.name.as_str()), ("scope", one.account.name.as_str())]
        {
            let part =
                if part == "scope" { &mut view["scope"]["project"] } else { &mut view[part] };
            part["name"] = json!(name);
            part["domain"] = views::domain();
        }
    }
    view
}
