//! `GET` of what has no account: a login as Swift v1 has it, or who shares with me.

use std::sync::Arc;

use archipelago_pool::{Account, Named, Secret};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::ask::Ask;
use super::listing::{self, Format, Row};
use super::{PREFIX, caller};
use crate::App;
use crate::swift::answer::{self, Refusal, set};
use crate::swift::call;

pub(super) async fn show(app: &App, ask: Arc<Ask>) -> Result<Response, Refusal> {
    if let (Some(user), Some(key)) = (ask.header("x-auth-user"), ask.header("x-auth-key")) {
        return log_in(app, &user, key).await;
    }
    call(app, move |service| {
        let identity = caller::identity(service, &ask)?;
        let subject = service.subject(Some(&identity))?;
        let walk = listing::walk(&ask)?;
        let mut rows = Vec::new();
        for id in service.accounts_sharing(&subject)? {
            let account = service.account_of(id)?;
            if account.enabled || identity.is_admin() {
                rows.push(row(&account));
            }
        }
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows.retain(|row| walk.marker.as_ref().is_none_or(|marker| row.name > *marker));
        rows.truncate(walk.limit);
        Ok(listing::render(Format::of(&ask)?, "accounts", &rows, HeaderMap::new()))
    })
    .await
}

/// An account that shares with whoever asks, by its uuid.
fn row(account: &Account) -> Row {
    let name = hex::encode(account.uuid);
    let fields = [("name".to_owned(), json!(name))].into_iter().collect();
    Row { element: "account", name, fields }
}

async fn log_in(app: &App, user: &str, key: String) -> Result<Response, Refusal> {
    let (account, user) = match user.split_once(':') {
        Some((account, user)) => (Some(Named::name(account)), Named::name(user)),
        None => (None, Named::name(user)),
    };
    let password = Secret::new(key);
    let login = app.calls.login(&app.service, move |service| {
        service.login_password(&user, &password, account.as_ref())
    });
    let login = login.await?;
    let mut headers = HeaderMap::new();
    set(&mut headers, "x-auth-token", login.token.expose());
    let account = hex::encode(login.session.identity.account.uuid);
    set(&mut headers, "x-storage-url", &format!("{PREFIX}/{account}"));
    Ok(answer::empty(StatusCode::NO_CONTENT, headers))
}
