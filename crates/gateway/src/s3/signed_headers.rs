//! What a signature covers. The library checks that what is named as signed is as it was signed, and
//! obeys whatever else comes along: with a URL for one object anybody could copy other objects of
//! whoever signed it, or let everybody read. So each header of S3's has to be signed, as with AWS.
//!
//! Version 2 of signatures covers all headers of S3, but neither the host nor newer words of queries,
//! and in a header it holds for ever. So it is taken in forms, whose policy says what they are for
//! and when they end, and in URLs, which end, too, with no word in the query that it does not cover.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

const OURS: &str = "x-amz-";
/// Need not be signed. The first is in what is signed, by its own line; of a URL it can only narrow
/// what is taken. The second is in the text that is signed, or, beside a URL, ignored.
const COVERED: [&str; 2] = ["x-amz-content-sha256", "x-amz-date"];
const FOUR: &str = "AWS4-HMAC-SHA256";
/// What may be in the query of a URL that is signed by version 2: its own words, and those of
/// requests for objects that it covers.
const BY_TWO: [&str; 12] = [
    "AWSAccessKeyId",
    "Signature",
    "Expires",
    "versionId",
    "uploadId",
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];
const LIST: &str = "SignedHeaders=";

/// Refuses what the signature of a request, which was found right, does not cover.
///
/// # Errors
/// `AccessDenied`; `InvalidRequest` for signatures of version 2.
pub(super) fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> S3Result<()> {
    let names = headers.keys().map(|name| name.as_str());
    let mut ours = names.filter(|name| name.starts_with(OURS) && !COVERED.contains(name));
    if is_form(method, headers) {
        // Its signature covers the fields of the form, and none of them.
        return match ours.next() {
            Some(name) => Err(not_signed(name)),
            None => Ok(()),
        };
    }
    let signed = match (in_query(uri), in_header(headers)) {
        (Some(list), None) | (None, Some(list)) => list,
        (Some(_), Some(_)) => {
            return Err(s3_error!(InvalidArgument, "Only one auth mechanism allowed"));
        }
        (None, None) if is_url_by_two(uri) && !headers.contains_key(AUTHORIZATION) => return Ok(()),
        (None, None) => {
            return Err(s3_error!(
                InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use \
                 AWS4-HMAC-SHA256."
            ));
        }
    };
    let is_signed = |name: &str| signed.split(';').any(|one| one.eq_ignore_ascii_case(name));
    match ours.find(|name| !is_signed(name)) {
        Some(name) => Err(not_signed(name)),
        // Which may be where the bucket is.
        None if !is_signed(HOST.as_str()) => Err(not_signed(HOST.as_str())),
        None => Ok(()),
    }
}

fn not_signed(name: &str) -> S3Error {
    let text = format!("There were headers present in the request which were not signed: {name}");
    S3Error::with_message(S3ErrorCode::AccessDenied, text)
}

fn is_form(method: &Method, headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let form = b"multipart/form-data";
    method == Method::POST && kind.get(..form.len()).is_some_and(|k| k.eq_ignore_ascii_case(form))
}

/// Whether a URL is signed by version 2, and asks for nothing that this does not cover.
fn is_url_by_two(uri: &Uri) -> bool {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    let names = || pairs.iter().map(|(name, _)| name.as_str());
    ["Signature", "Expires"].iter().all(|own| names().any(|name| name == *own))
        && names().all(|name| BY_TWO.contains(&name))
}

/// The list in a signed URL.
fn in_query(uri: &Uri) -> Option<String> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).ok()?;
    let one = |wanted: &str| {
        let mut all = pairs.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value);
        all.next().filter(|_| all.next().is_none()).cloned()
    };
    one("X-Amz-Signature")?;
    // Without the list nothing counts as signed.
    Some(one("X-Amz-SignedHeaders").unwrap_or_default())
}

/// The list in a header. One of version 2 has none.
fn in_header(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim_start();
    let fields = value.strip_prefix(FOUR)?;
    let mut lists = fields.split(',').filter_map(|field| field.trim().strip_prefix(LIST));
    Some(lists.next().filter(|_| lists.next().is_none()).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests;
