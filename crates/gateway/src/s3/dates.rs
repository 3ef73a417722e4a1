//! When a request was signed: `x-amz-date`, or `Date` where the client says no more than that.
//! The library wants the first. Both go into a signature as the same text, so that the one can be
//! made of the other; what comes of it is as old, as late and as forged as before.

use axum::http::header::{AUTHORIZATION, DATE};
use axum::http::{HeaderMap, HeaderValue};

use crate::swift::answer::parse_date;

const AMZ_DATE: &str = "x-amz-date";
/// Digits of a date and a time, and the letters `T` and `Z`.
const ISO_BYTES: usize = 16;

/// Says in `x-amz-date` what `Date` says, where a signature needs it and it can be read. What
/// cannot be read, or is said twice, is left to be refused.
pub(super) fn complete(headers: &mut HeaderMap) {
    let signed = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let by_four = signed.is_some_and(|value| value.starts_with(b"AWS4-"));
    if !by_four || headers.contains_key(AMZ_DATE) {
        return;
    }
    let mut dates = headers.get_all(DATE).iter();
    let (Some(date), None) = (dates.next(), dates.next()) else { return };
    let said = date.to_str().ok().and_then(iso).and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(value) = said {
        headers.insert(AMZ_DATE, value);
    }
}

/// `20250131T000000Z`, of a date as HTTP or e-mail has it, or of the same.
fn iso(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() == ISO_BYTES && text.ends_with('Z') {
        return Some(text.to_owned());
    }
    // Years before have a sign, which nobody signs.
    let seconds = parse_date(text).filter(|seconds| *seconds >= 0)?;
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(time.strftime("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests;
