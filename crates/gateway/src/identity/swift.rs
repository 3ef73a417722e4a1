//! `GET /auth/v1.0`: how clients of Swift log in without Keystone.

use archipelago_pool::{Named, Secret};
use axum::extract::State;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::caller::header;
use super::tokens::secret_value;
use super::{Base, Refusal, views};
use crate::App;
use crate::failure::Failure;

/// Logs in by `X-Auth-User: account:user`, or `user` for its first account, and `X-Auth-Key`.
pub(super) async fn log_in(State(app): State<App>, base: Base, headers: HeaderMap) -> Response {
    match answer(&app, &base, &headers).await {
        Ok(response) => response,
        Err(refusal) => {
            // Swift's own errors are text.
            let text = format!("{}\n", refusal.message());
            let mut response = (refusal.status(), text).into_response();
            if refusal.status() == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static("Swift realm=\"archipelago\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

async fn answer(app: &App, base: &Base, headers: &HeaderMap) -> Result<Response, Refusal> {
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| header(headers, name));
    let user = first(["x-auth-user", "x-storage-user"]).ok_or_else(Refusal::unauthenticated)?;
    let key = first(["x-auth-key", "x-storage-pass"]).ok_or_else(Refusal::unauthenticated)?;
    let (account, user) = match user.split_once(':') {
        Some((account, user)) => (Some(Named::name(account)), Named::name(user)),
        None => (None, Named::name(user)),
    };
    let password = Secret::new(key);
    let login = app.calls.login(&app.service, move |service| {
        service.login_password(&user, &password, account.as_ref())
    });
    let login = login.await?;
    let session = &login.session;
    let url = views::swift_store(base, &session.identity.account);
    let url = HeaderValue::from_str(&url).map_err(|_| Refusal::from(Failure::defect()))?;
    let seconds = session.expires_ms.saturating_sub(session.created_ms) / 1000;
    let token = secret_value(&login.token)?;
    let mut response = StatusCode::OK.into_response();
    let out = response.headers_mut();
    out.insert("x-auth-token", token.clone());
    out.insert("x-storage-token", token);
    out.insert("x-storage-url", url);
    out.insert("x-auth-token-expires", HeaderValue::from(seconds));
    Ok(response)
}
