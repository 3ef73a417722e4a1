//! `POST /identity/v2.0/tokens`, the one call of Keystone v2 that is left: kamaki makes it,
//! with a token that it has or with a password.

use archipelago_pool::{Login, Named, Session};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::Body;
use super::tokens::Hidden;
use super::{Base, Refusal, views};
use crate::App;

#[derive(Deserialize)]
pub(super) struct Request {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "passwordCredentials")]
    password: Option<Password>,
    token: Option<Token>,
    #[serde(rename = "tenantName")]
    tenant_name: Option<String>,
    #[serde(rename = "tenantId")]
    tenant_id: Option<String>,
}

#[derive(Deserialize)]
struct Password {
    username: String,
    password: Hidden,
}

#[derive(Deserialize)]
struct Token {
    id: Hidden,
}

/// Logs in, or says what a token stands for. A token for another account is a new one.
pub(super) async fn create(
    State(app): State<App>,
    base: Base,
    Body(Request { auth }): Body<Request>,
) -> Result<Json<Value>, Refusal> {
    let account = match (auth.tenant_id, auth.tenant_name) {
        (Some(id), _) if !id.is_empty() => Some(Named::Uuid(id)),
        (_, Some(name)) if !name.is_empty() => Some(Named::Name(name)),
        _ => None,
    };
    let login = match (auth.password, auth.token) {
        (Some(part), _) => {
            let (user, password) = (Named::Name(part.username), part.password.0);
            let login = app.calls.login(&app.service, move |service| {
                service.login_password(&user, &password, account.as_ref())
            });
            login.await?
        }
        (None, Some(token)) => {
            let token = token.id.0;
            let login = app.calls.call(&app.service, move |service| match account {
                None => Ok(Login { session: service.session(&token)?, token }),
                Some(account) => service.login_token(&token, Some(&account)),
            });
            login.await?
        }
        (None, None) => {
            return Err(Refusal::invalid("auth needs passwordCredentials or token"));
        }
    };
    Ok(Json(access(&base, &login.session, login.token.expose())))
}

fn access(base: &Base, session: &Session, token: &str) -> Value {
    let identity = &session.identity;
    let (user, account) = (&identity.user, &identity.account);
    let project = json!({
        "id": hex::encode(account.uuid),
        "name": account.name.as_str(),
        "enabled": true,
        "description": "",
    });
    json!({"access": {
        "token": {
            "id": token,
            "issued_at": views::time(session.created_ms),
            "expires": views::time(session.expires_ms),
            "tenant": project,
        },
        "user": {
            "id": hex::encode(user.uuid),
            "name": user.name.as_str(),
            "username": user.name.as_str(),
            "roles": views::roles(identity.role),
            "roles_links": [],
        },
        "serviceCatalog": views::catalog_2(base, account),
        "metadata": {"is_admin": 0, "roles": []},
    }})
}
