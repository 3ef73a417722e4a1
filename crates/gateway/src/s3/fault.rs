//! Errors of the pool as those of S3. What a verb was refused by a question of this door
//! (a condition, a right) keeps its own error.

use std::sync::Arc;

use archipelago_api::ErrorKind;
use archipelago_pool::Error;
use parking_lot::Mutex;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::failure::Failure;
use crate::patience::tells_of_stall;

/// What a name that is not found was to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    Bucket,
    Key,
    Upload,
}

impl Missing {
    /// In the words that people find explained elsewhere.
    fn said(self) -> (S3ErrorCode, &'static str) {
        match self {
            Self::Bucket => (S3ErrorCode::NoSuchBucket, "The specified bucket does not exist"),
            Self::Key => (S3ErrorCode::NoSuchKey, "The specified key does not exist."),
            Self::Upload => (
                S3ErrorCode::NoSuchUpload,
                "The specified upload does not exist. It may have been aborted or completed.",
            ),
        }
    }
}

/// Keeps the error that a question inside a verb answered with. Copies keep the same one: some
/// questions are asked in other threads.
#[derive(Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<S3Error>>>);

impl Refusal {
    /// For the pool, which only has to know that the answer is no.
    pub(super) fn refuse(&self, error: S3Error) -> Error {
        *self.0.lock() = Some(error);
        Error::new(archipelago_pool::ErrorKind::Invalid, "refused")
    }

    /// The same, of a result. What was answered before does not count any more.
    pub(super) fn ask<T>(&self, answer: S3Result<T>) -> Result<T, Error> {
        *self.0.lock() = None;
        answer.map_err(|error| self.refuse(error))
    }

    /// Tells refusals from failures, once the verb is over.
    pub(super) fn settle<T>(self, result: Result<T, Error>) -> Result<S3Result<T>, Error> {
        match (result, self.0.lock().take()) {
            (Ok(value), _) => Ok(Ok(value)),
            (Err(_), Some(refused)) => Ok(Err(refused)),
            (Err(error), None) => Err(error),
        }
    }
}

/// A failure of the gateway or the pool.
pub(super) fn fault(failure: &Failure, missing: Missing) -> S3Error {
    if failure.kind() == ErrorKind::NotFound {
        let (code, message) = missing.said();
        return S3Error::with_message(code, message);
    }
    if failure.kind() == ErrorKind::QuotaExceeded {
        return over_quota();
    }
    let message = failure.message().to_owned();
    let code = match failure.kind() {
        ErrorKind::AlreadyExists => S3ErrorCode::BucketAlreadyExists,
        ErrorKind::InUse => S3ErrorCode::BucketNotEmpty,
        ErrorKind::Invalid => S3ErrorCode::InvalidArgument,
        ErrorKind::TooLarge => S3ErrorCode::EntityTooLarge,
        ErrorKind::Forbidden | ErrorKind::Unauthenticated | ErrorKind::ReadOnly => {
            S3ErrorCode::AccessDenied
        }
        ErrorKind::MethodNotAllowed => S3ErrorCode::MethodNotAllowed,
        ErrorKind::NoSpace | ErrorKind::Throttled | ErrorKind::Unavailable => S3ErrorCode::SlowDown,
        ErrorKind::NotFound
        | ErrorKind::QuotaExceeded
        | ErrorKind::Fenced
        | ErrorKind::Damaged
        | ErrorKind::Internal => {
            tracing::error!(%message, "a request of S3 failed");
            S3ErrorCode::InternalError
        }
    };
    S3Error::with_message(code, message)
}

/// Without figures: who may write into somebody's bucket need not know what else there is.
fn over_quota() -> S3Error {
    let text = "The bucket or its account holds as much as it may.";
    let mut error = S3Error::with_message(S3ErrorCode::Custom("QuotaExceeded".into()), text);
    error.set_status_code(axum::http::StatusCode::FORBIDDEN);
    error
}

/// What a body says that was signed as another one.
pub(super) const OTHER_CONTENT: &str = "Sha256Mismatch";

/// An upload whose body was not what it should be. What the library found wrong with its framing is
/// known by its words alone, which tests hold.
pub(super) fn broken(failure: &Failure, missing: Missing) -> S3Error {
    if failure.kind() != ErrorKind::Invalid {
        return fault(failure, missing);
    }
    let message = failure.message();
    let code = match () {
        () if message.contains(OTHER_CONTENT) => return other_content(),
        () if message.contains("SignatureMismatch") => S3ErrorCode::SignatureDoesNotMatch,
        () if tells_of_stall(message) => S3ErrorCode::RequestTimeout,
        () => {
            return S3Error::with_message(S3ErrorCode::IncompleteBody, message.to_owned());
        }
    };
    S3Error::new(code)
}

/// The library does not know the code.
fn other_content() -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()));
    error.set_status_code(axum::http::StatusCode::BAD_REQUEST);
    error
}

/// Nobody says whether it is the name or the right that is missing.
pub(super) fn denied() -> S3Error {
    s3_error!(AccessDenied, "Access Denied")
}
