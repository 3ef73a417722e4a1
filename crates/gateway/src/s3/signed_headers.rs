//! What a signature covers. The library checks that what is named as signed is as it was signed, and
//! obeys whatever else comes along: with a URL for one object anybody could copy other objects of
//! whoever signed it, or let everybody read. So each header of S3's has to be signed, as with AWS.
//!
//! Version 2 of signatures covers all headers of S3, but neither the host nor newer words of queries,
//! and in a header it holds for ever. So it is taken in forms, whose policy says what they are for
//! and when they end, and in URLs, which end, too, with no word in the query that it does not cover.

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, HeaderValue, Uri};
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

/// Refuses what the signature of a request, which was found right, does not cover. `form`: it is
/// in the fields of one. Which of several signatures counts is asked in the order of the library.
///
/// # Errors
/// `AccessDenied`; `InvalidRequest` for signatures of version 2, `InvalidArgument` for two of them.
pub(super) fn check(form: bool, uri: &Uri, headers: &HeaderMap) -> S3Result<()> {
    let names = headers.keys().map(|name| name.as_str());
    let mut ours = names.filter(|name| name.starts_with(OURS) && !COVERED.contains(name));
    if form {
        // It covers the fields of the form, and none of these.
        return ours.next().map_or(Ok(()), |name| Err(not_signed(name)));
    }
    let query = Query::of(uri);
    let authorization = headers.get(AUTHORIZATION);
    if authorization.is_some() && (query.has("Signature") || query.has("X-Amz-Signature")) {
        return Err(s3_error!(InvalidArgument, "Only one auth mechanism allowed"));
    }
    if query.has("Signature") {
        return if query.names().all(|name| BY_TWO.contains(&name)) {
            Ok(())
        } else {
            Err(by_two())
        };
    }
    let signed = match authorization {
        // Without a list nothing counts as signed.
        None => query.one("X-Amz-SignedHeaders").unwrap_or_default().to_owned(),
        Some(value) => in_header(value).ok_or_else(by_two)?,
    };
    let is_signed = |name: &str| signed.split(';').any(|one| one.eq_ignore_ascii_case(name));
    match ours.find(|name| !is_signed(name)) {
        Some(name) => Err(not_signed(name)),
        // Which may be where the bucket is.
        None if !is_signed(HOST.as_str()) => Err(not_signed(HOST.as_str())),
        None => Ok(()),
    }
}

fn by_two() -> S3Error {
    s3_error!(
        InvalidRequest,
        "The authorization mechanism you have provided is not supported. Please use \
         AWS4-HMAC-SHA256."
    )
}

fn not_signed(name: &str) -> S3Error {
    let text = format!("There were headers present in the request which were not signed: {name}");
    S3Error::with_message(S3ErrorCode::AccessDenied, text)
}

/// What is in the query of a request.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &Uri) -> Self {
        Self(serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    fn has(&self, wanted: &str) -> bool {
        self.names().any(|name| name == wanted)
    }

    /// What is said once.
    fn one(&self, wanted: &str) -> Option<&str> {
        let mut all = self.0.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value);
        all.next().filter(|_| all.next().is_none()).map(String::as_str)
    }
}

/// The list in a header of version 4.
fn in_header(value: &HeaderValue) -> Option<String> {
    let fields = value.to_str().ok()?.trim_start().strip_prefix(FOUR)?;
    let mut lists = fields.split(',').filter_map(|field| field.trim().strip_prefix(LIST));
    Some(lists.next().filter(|_| lists.next().is_none()).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests;
