//! Who asks, and under which address.

use archipelago_pool::{Named, Secret, Session};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Refusal;
use crate::App;
use crate::extract;

pub(super) const AUTH_TOKEN: &str = "x-auth-token";
pub(super) const SUBJECT_TOKEN: &str = "x-subject-token";

/// Whoever has the token in `X-Auth-Token`.
pub(crate) struct Caller(pub(super) Session);

impl Caller {
    /// Whether this is about the caller, or the caller may look at everybody.
    pub(super) fn check_is(&self, user_id: &str) -> Result<(), Refusal> {
        let identity = &self.0.identity;
        if identity.is_admin() || hex::encode(identity.user.uuid) == user_id {
            Ok(())
        } else {
            Err(Refusal::forbidden("only the user itself and administrators may do this"))
        }
    }

    /// Whether the caller may make and remove what logs in: not by what was made so.
    pub(super) fn check_may_make(&self) -> Result<(), Refusal> {
        if self.0.credential.is_some() {
            return Err(Refusal::forbidden(
                "a token of an application credential may not make or remove credentials; log \
                 in with the password",
            ));
        }
        Ok(())
    }

    /// The caller's account.
    pub(super) fn account(&self) -> Named {
        Named::uuid(self.0.identity.account.uuid)
    }
}

/// By which token it was found who asks.
#[derive(Clone)]
struct Asked(Secret);

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let token = header(&parts.headers, AUTH_TOKEN).ok_or_else(Refusal::unauthenticated)?;
        let token = Secret::new(token);
        parts.extensions.insert(Asked(token.clone()));
        Ok(Self(app.calls.ask(&app.service, move |service| service.session(&token)).await?))
    }
}

/// `http://127.0.0.1:7480`: what the client called us, which `guard` has checked.
pub(crate) struct Base(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Base {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let host = header(&parts.headers, HOST.as_str()).unwrap_or("localhost");
        // A proxy in front of us that adds TLS says so; a client that says so only misleads
        // itself.
        let tls = header(&parts.headers, "x-forwarded-proto") == Some("https");
        Ok(Self(format!("{}://{host}", if tls { "https" } else { "http" })))
    }
}

/// A header that is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A JSON body.
pub(crate) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequest<App> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let asked = request.extensions().get::<Asked>().cloned();
        let extract::Json(value) = extract::Json::from_request(request, app).await?;
        // The head may have come long before: who sent it may be nobody by now.
        if let Some(Asked(token)) = asked {
            app.calls.ask(&app.service, move |service| service.session(&token)).await?;
        }
        Ok(Self(value))
    }
}

/// The query string.
pub(crate) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let extract::Query(value) = extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}
