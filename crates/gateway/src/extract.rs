//! Extractors whose refusals are errors of this API: JSON, and sentences.

use archipelago_api::{ErrorKind, JSON_BYTES_MAX};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::App;
use crate::failure::Failure;
use crate::login::Caller;

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        // A web page can make a browser send text or forms anywhere; JSON it
        // cannot send without asking first, which `guard` refuses.
        if !is_json(request.headers()) {
            return Err(Failure::invalid(
                "the body must be JSON: send `Content-Type: application/json`",
            ));
        }
        let caller = request.extensions().get::<Caller>().cloned();
        let bytes = Bytes::from_request(request, app).await.map_err(body_failure)?;
        // The head may have come long before: who sent it may be nobody by now.
        if let Some(caller) = caller {
            caller.check_still(app).await?;
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Failure::invalid(format!("the JSON body is not what is expected: {error}"))
        })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|mime| mime.trim().eq_ignore_ascii_case("application/json"))
}

fn body_failure(rejection: BytesRejection) -> Failure {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Failure::new(
            ErrorKind::TooLarge,
            format!("a JSON body has at most {JSON_BYTES_MAX} bytes; split the request"),
        )
    } else {
        Failure::invalid(format!("the body did not arrive: {rejection}"))
    }
}

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| {
                Failure::invalid(format!("in the query: {}", rejection.body_text()))
            })
    }
}

/// The variable parts of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| {
                Failure::invalid(format!("in the path: {}", rejection.body_text()))
            })
    }
}

/// Checks a name or SOURCE.
pub(crate) fn parse<T>(text: &str) -> Result<T, Failure>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error: T::Err| Failure::invalid(error.to_string()))
}
