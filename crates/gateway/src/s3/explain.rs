//! What the library and this door refuse with a code alone gets a sentence that says what is
//! wrong and what to do, before it leaves; and each refusal is one line of the log, at a level that
//! says whose fault it is.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::listing::{is_beyond_xml, legible};
use crate::failure::Failure;
use crate::patience::Fate;

/// Answers with an error are documents of less than this.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Answers that repeat what was sent have less than this: a thousand keys, and a mistake with each.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Of a request, what its answer may have to be explained with.
pub(super) struct Told {
    /// How many bytes it said that it has.
    length: Option<u64>,
    /// More than this is read of no document.
    document_max: u64,
    fate: Fate,
    /// Whether its answer may be what somebody stored.
    shows_content: bool,
}

impl Told {
    pub(super) fn of(request: &Request, document_max: usize) -> Self {
        let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let length = length.and_then(|text| text.parse().ok());
        let fate = request.extensions().get::<Fate>().cloned().unwrap_or_default();
        let shows_content = request.method() == Method::GET;
        Self { length, document_max: document_max as u64, fate, shows_content }
    }

    /// Completes an answer, if it is an error.
    pub(super) async fn explain(self, response: Response, request: &str) -> Response {
        let is_error = response.status().is_client_error() || response.status().is_server_error();
        let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind != Some(b"application/xml") {
            return response;
        }
        if !is_error {
            return if self.shows_content { response } else { in_xml(response).await };
        }
        let (mut parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, ERROR_BYTES_MAX).await else {
            return Response::from_parts(parts, Body::empty());
        };
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some(code) = self.clients_own(&text) {
            parts.status = StatusCode::BAD_REQUEST;
            text = text.replace("InternalError", code);
        }
        let text = completed(&text, request);
        let code = between(&text, "<Code>", "</Code>").unwrap_or_default();
        match code {
            "InternalError" => tracing::error!(request, "a request of S3 failed"),
            _ => tracing::debug!(status = %parts.status, code, request, "S3 refused a request"),
        }
        parts.headers.remove(CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(text))
    }

    /// What the library calls a failure, without a word, when it could not read a document to its
    /// end.
    fn clients_own(&self, text: &str) -> Option<&'static str> {
        if !text.contains("<Code>InternalError</Code>") || text.contains("<Message>") {
            return None;
        }
        match self.length {
            _ if self.fate.is_stalled() => Some("RequestTimeout"),
            _ if self.fate.is_broken() => Some("IncompleteBody"),
            Some(length) if length > self.document_max => Some("MaxMessageLengthExceeded"),
            _ => None,
        }
    }
}

/// A document of the library, which repeats keys and texts of requests as they came, also those that
/// make it no XML: a mark stands for each such character, as in listings.
async fn in_xml(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        tracing::error!("a document of S3 could not be looked through");
        return Failure::defect().into_response();
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains(is_beyond_xml) => {
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(legible(text)))
        }
        _ => Response::from_parts(parts, Body::from(bytes)),
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end)?.0)
}

/// An error with its sentence and the id of its request, where they were missing.
fn completed(text: &str, request: &str) -> String {
    let mut text = text.to_owned();
    let code = between(&text, "<Code>", "</Code>").unwrap_or_default();
    let said = between(&text, "<Message>", "</Message>");
    match (said, sentence(code)) {
        (None, Some(sentence)) => {
            text = text.replacen("</Code>", &format!("</Code><Message>{sentence}</Message>"), 1);
        }
        // The words of the library do not say what to do.
        (Some(said), Some(sentence)) if code == "RequestTimeTooSkewed" => {
            text = text.replacen(said, sentence, 1);
        }
        _ => {}
    }
    if !text.contains("<RequestId>") {
        text = text.replacen("</Error>", &format!("<RequestId>{request}</RequestId></Error>"), 1);
    }
    text
}

/// What a code means, and the remedy. Nothing in it needs an escape.
fn sentence(code: &str) -> Option<&'static str> {
    of_names(code).or_else(|| of_signatures(code)).or_else(|| of_settings(code)).or_else(|| {
        Some(match code {
            "BadDigest" => "The content is not what its checksum says. Send it again.",
            "EntityTooLarge" => "That is larger than an object may be.",
            "EntityTooSmall" => "A part is too small: all but the last have 5 MiB at least.",
            "IncompleteBody" => "Less came than was announced; nothing was kept. Send it again.",
            "InternalError" => {
                "The store failed on this request. Try again; its log says why, by the request id."
            }
            "InvalidDigest" => "A checksum of the request is not of the length that it must have.",
            "InvalidPart" => {
                "A part was not uploaded, or its ETag is another one. ListParts shows those there are."
            }
            "InvalidPartOrder" => "Parts are named in ascending order, each once.",
            "InvalidRange" => "The range lies behind the end of the object.",
            "MalformedXML" => "The document is not well formed, or not what this request takes.",
            "MaxMessageLengthExceeded" => {
                "The document of the request is too large: it has 4 MiB at most."
            }
            "MissingContentLength" => "The request needs a header Content-Length.",
            "NotImplemented" => "This store does not have that function of S3.",
            "PreconditionFailed" => {
                "A condition of the request does not hold for what is there now."
            }
            "RequestTimeout" => "Nothing came for too long; nothing was kept. Send it again.",
            "SlowDown" => "The store has too much to do. Try again in a moment.",
            _ => return None,
        })
    })
}

fn of_names(code: &str) -> Option<&'static str> {
    Some(match code {
        "BucketAlreadyExists" => {
            "The name is taken: names of buckets are the same for all accounts. Choose another one."
        }
        "BucketAlreadyOwnedByYou" => {
            "The bucket is there and yours, but without the object lock that was asked for."
        }
        "BucketNotEmpty" => "The bucket holds objects, versions or uploads. Remove these first.",
        "InvalidBucketName" => {
            "The name of a bucket has 3 to 63 characters: lower-case letters, digits, dots and \
             hyphens, a letter or digit at either end, and is no IP address."
        }
        "KeyTooLongError" => "A key has 1024 bytes of UTF-8 at most.",
        "MethodNotAllowed" => {
            "That cannot be done with this resource. A version that says that the object was \
             removed has no content: it can only be deleted."
        }
        "NoSuchBucket" => "There is no bucket of that name.",
        "NoSuchKey" => "There is no object of that key.",
        "NoSuchUpload" => "There is no upload of that id: it was completed or aborted, or ended.",
        "NoSuchVersion" => {
            "The object has no version of that id. ListObjectVersions shows those there are."
        }
        _ => return None,
    })
}

fn of_signatures(code: &str) -> Option<&'static str> {
    Some(match code {
        "AccessDenied" => {
            "The one who signed the request may not do that; an unsigned request may do what \
             everybody may."
        }
        "AuthorizationHeaderMalformed" => {
            "The header Authorization is not one of AWS4-HMAC-SHA256."
        }
        "ExpiredToken" => "What the request was signed with holds no more. Sign it anew.",
        "InvalidAccessKeyId" => "There is no access key of that id, or no more.",
        "MissingSecurityHeader" => "A header that a signed request needs is missing.",
        "RequestTimeTooSkewed" => {
            "The time of the request and that of the server differ by more than 15 minutes. Set \
             the clock."
        }
        "SignatureDoesNotMatch" => {
            "The signature is not that of this request. Check the secret key, and that nothing on \
             the way changes the request, such as its Host."
        }
        "XAmzContentSHA256Mismatch" => {
            "The content is not what x-amz-content-sha256 says; nothing was kept."
        }
        _ => return None,
    })
}

fn of_settings(code: &str) -> Option<&'static str> {
    Some(match code {
        "MalformedACLError" => "The list of rights is not one that S3 describes.",
        "NoSuchBucketPolicy" => "The bucket has no policy.",
        "NoSuchCORSConfiguration" => "The bucket has no rules of CORS.",
        "NoSuchLifecycleConfiguration" => "The bucket has no lifecycle.",
        "NoSuchObjectLockConfiguration" => "The version of the object has no lock.",
        "NoSuchTagSet" => "The bucket has no tags.",
        "NoSuchWebsiteConfiguration" => "The bucket is no web site.",
        "ObjectLockConfigurationNotFoundError" => {
            "The bucket has no object lock. It is made with one, or gets it while versions are kept."
        }
        "OwnershipControlsNotFoundError" => "The bucket has no rule about ownership.",
        "ServerSideEncryptionConfigurationNotFoundError" => "Nothing is encrypted here.",
        "UnresolvableGrantByEmailAddress" => {
            "There is no user of that address: here a grantee is named by id."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
