//! `If-Match` and the like.

use axum::http::HeaderMap;
use axum::http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

use super::answer::{Refusal, parse_date};
use super::ask::header;

/// Checks them against what is there. `headers` go out with a refusal.
pub(crate) fn check(
    said: &HeaderMap,
    etag: Option<&str>,
    changed_ms: u64,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let failed = || Refusal::precondition("A precondition failed.");
    let etag = etag.map(bare);
    if let Some(list) = header(said, IF_MATCH.as_str())
        && !names(list, etag)
    {
        return Err(failed().with(of_refusal(headers)));
    }
    if let Some(list) = header(said, IF_NONE_MATCH.as_str())
        && names(list, etag)
    {
        return Err(Refusal::not_modified(of_refusal(headers)));
    }
    // As `Last-Modified` says it: up to the next second.
    let changed = i64::try_from(changed_ms.div_ceil(1000)).unwrap_or(i64::MAX);
    let date = |name: &str| header(said, name).and_then(parse_date);
    if let Some(since) = date(IF_UNMODIFIED_SINCE.as_str())
        && changed > since
    {
        return Err(failed().with(of_refusal(headers)));
    }
    if !said.contains_key(IF_NONE_MATCH)
        && let Some(since) = date(IF_MODIFIED_SINCE.as_str())
        && changed <= since
    {
        return Err(Refusal::not_modified(of_refusal(headers)));
    }
    Ok(())
}

/// Those that say which version it is, without those of a body that is not sent.
fn of_refusal(headers: &HeaderMap) -> HeaderMap {
    let mut out = headers.clone();
    for name in ["content-type", "content-encoding", "content-disposition", "content-length"] {
        out.remove(name);
    }
    out
}

fn names(list: &str, etag: Option<&str>) -> bool {
    list.split(',').map(str::trim).any(|item| item == "*" || etag == Some(bare(item)))
}

/// An ETag without its quotes.
pub(crate) fn bare(text: &str) -> &str {
    let text = text.trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    text.trim_matches('"')
}
