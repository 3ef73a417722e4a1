//! Application credentials.

use archipelago_model::CredentialName;
use archipelago_pool::{ApplicationCredential, Named, Role};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{Body, Query};
use super::tokens::Hidden;
use super::{Base, Caller, Refusal, views, wanted};
use crate::App;
use crate::extract::parse;

#[derive(Deserialize)]
pub(super) struct Filter {
    name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Request {
    application_credential: New,
}

#[derive(Deserialize)]
struct New {
    name: String,
    secret: Option<Hidden>,
    expires_at: Option<String>,
    #[serde(default)]
    unrestricted: bool,
    roles: Option<Vec<WantedRole>>,
    access_rules: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct WantedRole {
    id: Option<String>,
    name: Option<String>,
}

impl New {
    /// Refuses what would give more than was asked for.
    fn check(&self, role: Role) -> Result<(), Refusal> {
        if self.unrestricted {
            return Err(Refusal::invalid(
                "an application credential that makes others is not possible; leave out \
                 `unrestricted`",
            ));
        }
        if self.access_rules.as_ref().is_some_and(|rules| !rules.is_empty()) {
            return Err(Refusal::invalid("access rules are not possible; leave them out"));
        }
        let has = |wanted: &WantedRole| {
            wanted.id.as_deref().or(wanted.name.as_deref()) == Some(role.name())
        };
        if self.roles.as_ref().is_some_and(|roles| !roles.is_empty() && !roles.iter().any(has)) {
            return Err(Refusal::invalid(format!(
                "an application credential has the role of its user, which is {role}; leave out \
                 `roles`, or make a user with less"
            )));
        }
        Ok(())
    }
}

/// Those of a user, each with what it may do: nothing any more, where the user has left.
async fn all(
    app: &App,
    user: String,
) -> Result<Vec<(ApplicationCredential, Option<Role>)>, Refusal> {
    let user = Named::Uuid(user);
    let list = app.calls.call(&app.service, move |service| {
        let members = service.members_of_user(&user)?;
        let role = |one: &ApplicationCredential| {
            let member = members.iter().find(|member| member.account.id == one.account.id);
            let role = member.map(|member| member.role);
            if one.user.is_admin { Some(Role::Admin) } else { role }
        };
        let all = service.application_credentials(&user)?;
        Ok(all.into_iter().map(|one| (role(&one), one)).map(|(role, one)| (one, role)).collect())
    });
    Ok(list.await?)
}

/// Makes one, for the caller in the account of its token.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Path(id): Path<String>,
    Body(Request { application_credential: new }): Body<Request>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let identity = &caller.0.identity;
    if hex::encode(identity.user.uuid) != id {
        return Err(Refusal::forbidden("users make application credentials for themselves only"));
    }
    caller.check_may_make()?;
    new.check(identity.role)?;
    let name: CredentialName = parse(&new.name)?;
    let expires_ms =
        match &new.expires_at {
            None => None,
            Some(text) => Some(views::parse_time(text).ok_or_else(|| {
                Refusal::invalid("expires_at is a time like 2030-12-31T23:59:59Z")
            })?),
        };
    let (user, account) = (Named::Uuid(id), caller.account());
    let secret = new.secret.map(|hidden| hidden.0);
    let made = app.calls.login(&app.service, move |service| {
        service.application_credential_create(&user, &account, &name, secret, expires_ms)
    });
    let (one, secret) = made.await?;
    let view = views::credential(&base, &one, Some(identity.role), Some(secret.expose()));
    Ok((StatusCode::CREATED, Json(json!({"application_credential": view}))))
}

/// Those of a user.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Path(id): Path<String>,
    Query(filter): Query<Filter>,
) -> Result<Json<Value>, Refusal> {
    caller.check_is(&id)?;
    let path = format!("users/{id}/application_credentials");
    let rows = all(&app, id)
        .await?
        .iter()
        .filter(|(one, _)| wanted(filter.name.as_deref(), one.name.as_str()))
        .map(|(one, role)| views::credential(&base, one, *role, None))
        .collect();
    Ok(views::list(&base, &path, "application_credentials", rows))
}

/// One of a user.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Path((id, credential)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    caller.check_is(&id)?;
    let all = all(&app, id).await?;
    let found = all.iter().find(|(one, _)| hex::encode(one.uuid) == credential);
    let (one, role) = found.ok_or_else(|| {
        let shown = credential.escape_default();
        Refusal::not_found(format_args!("there is no application credential of id '{shown}'"))
    })?;
    let view = views::credential(&base, one, *role, None);
    Ok(Json(json!({"application_credential": view})))
}

/// Removes one of a user.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((id, credential)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    caller.check_is(&id)?;
    caller.check_may_make()?;
    let user = Named::Uuid(id);
    let removed = app.calls.call(&app.service, move |service| {
        service.application_credential_remove(&user, &credential)
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}
