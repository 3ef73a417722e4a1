//! Errors as Keystone writes them.

use std::fmt;

use archipelago_api::ErrorKind;
use archipelago_pool as pool;
use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Failure;
use crate::failure::status_of;

/// `{"error": {"code": 404, "title": "Not Found", "message": "..."}}`
pub(crate) struct Refusal(Failure);

impl Refusal {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self(Failure::invalid(message))
    }

    pub(super) fn not_found(message: impl fmt::Display) -> Self {
        Self(Failure::new(ErrorKind::NotFound, message.to_string()))
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self(Failure::new(ErrorKind::Forbidden, message))
    }

    /// The same answer as to a wrong password.
    pub(super) fn unauthenticated() -> Self {
        pool::Error::unauthenticated().into()
    }

    pub(super) fn status(&self) -> StatusCode {
        status_of(self.0.kind())
    }

    pub(super) fn message(&self) -> &str {
        self.0.message()
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<pool::Error> for Refusal {
    fn from(error: pool::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = json!({"error": {
            "code": status.as_u16(),
            "title": status.canonical_reason().unwrap_or_default(),
            "message": self.message(),
        }});
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Keystone uri=\"/identity/v3\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
