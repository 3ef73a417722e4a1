//! Errors on the wire: the one place that turns kinds into HTTP status codes.

use std::error::Error as _;
use std::fmt::Write as _;

use archipelago_api::{Error, ErrorKind};
use archipelago_pool as pool;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Why a request failed, as its client will see it.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Error);

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Error { kind, message: message.into() })
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn stopping() -> Self {
        Self::new(ErrorKind::Unavailable, "the service is stopping; try again once it is back")
    }

    /// A verb panicked: a defect. What it did not bind is not there.
    pub(crate) fn panicked(error: tokio::task::JoinError) -> Self {
        tracing::error!(%error, "a request ended by a panic");
        Self::defect()
    }

    /// The same, where it was logged before.
    pub(crate) fn defect() -> Self {
        Self::new(
            ErrorKind::Internal,
            "the service failed on this request by a defect of its own; its log says where",
        )
    }

    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl From<pool::Error> for Failure {
    fn from(error: pool::Error) -> Self {
        let kind = kind_of(error.kind());
        if status_of(kind).is_server_error() && kind != ErrorKind::NoSpace {
            tracing::error!(error = %error, cause = causes(&error), "request failed");
        }
        Self::new(kind, error.to_string())
    }
}

/// The chain of sources, for the log only: it may name what clients need not know.
fn causes(error: &pool::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let separator = if text.is_empty() { "" } else { ": " };
        write!(text, "{separator}{cause}").expect("writing to a String never fails");
        source = cause.source();
    }
    text
}

const fn kind_of(kind: pool::ErrorKind) -> ErrorKind {
    match kind {
        pool::ErrorKind::NotFound => ErrorKind::NotFound,
        pool::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        pool::ErrorKind::Invalid => ErrorKind::Invalid,
        pool::ErrorKind::Unauthenticated => ErrorKind::Unauthenticated,
        pool::ErrorKind::Forbidden => ErrorKind::Forbidden,
        pool::ErrorKind::Throttled => ErrorKind::Throttled,
        pool::ErrorKind::InUse => ErrorKind::InUse,
        pool::ErrorKind::NoSpace => ErrorKind::NoSpace,
        pool::ErrorKind::QuotaExceeded => ErrorKind::QuotaExceeded,
        pool::ErrorKind::ReadOnly => ErrorKind::ReadOnly,
        pool::ErrorKind::Fenced => ErrorKind::Fenced,
        pool::ErrorKind::Damaged => ErrorKind::Damaged,
        pool::ErrorKind::Unavailable => ErrorKind::Unavailable,
        pool::ErrorKind::Internal => ErrorKind::Internal,
    }
}

pub(crate) const fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden | ErrorKind::ReadOnly => StatusCode::FORBIDDEN,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::AlreadyExists | ErrorKind::InUse | ErrorKind::Fenced => StatusCode::CONFLICT,
        ErrorKind::TooLarge | ErrorKind::QuotaExceeded => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Damaged | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (status_of(self.0.kind), Json(self.0)).into_response()
    }
}
