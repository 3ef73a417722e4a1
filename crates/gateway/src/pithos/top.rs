//! `GET` of what has no account: a login as Swift v1 has it, or who shares with me.

use std::sync::Arc;

use archipelago_pool::{Named, Secret};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::ask::Ask;
use super::listing::{self, Format};
use super::{PREFIX, caller};
use crate::App;
use crate::swift::answer::{self, Refusal, set};
use crate::swift::call;

pub(super) async fn show(app: &App, ask: Arc<Ask>) -> Result<Response, Refusal> {
    if let (Some(user), Some(key)) = (ask.header("x-auth-user"), ask.header("x-auth-key")) {
        return log_in(app, &user, key).await;
    }
    call(app, move |service| {
        caller::identity(service, &ask)?;
        Ok(listing::render(Format::of(&ask)?, "accounts", &[], HeaderMap::new()))
    })
    .await
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
