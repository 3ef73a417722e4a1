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

/// What a removal would take, as clients know it.
pub(crate) struct Taken {
    /// ETags that tell it.
    pub etags: Vec<String>,
    /// Whether it may have been shown with another one, which nobody knows here.
    pub has_others: bool,
    pub changed_ms: u64,
}

/// Whether a request says on what its removal depends.
pub(crate) fn is_said(said: &HeaderMap) -> bool {
    [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE].iter().any(|name| said.contains_key(name))
}

/// Checks them against what a removal would take, if anything is there. Where nobody knows whether
/// they hold, they do not: what goes does not come back.
pub(crate) fn check_removal(said: &HeaderMap, taken: Option<&Taken>) -> Result<(), Refusal> {
    let matches = |list: &str| match taken {
        None => false,
        Some(taken) => {
            names(list, None) || taken.etags.iter().any(|etag| names(list, Some(bare(etag))))
        }
    };
    let may_match = |list: &str| matches(list) || taken.is_some_and(|taken| taken.has_others);
    let text = |name: &str| header(said, name);
    let since = text(IF_UNMODIFIED_SINCE.as_str()).and_then(parse_date);
    let is_newer = |since: i64, taken: &Taken| {
        i64::try_from(taken.changed_ms.div_ceil(1000)).unwrap_or(i64::MAX) > since
    };
    let failed = text(IF_MATCH.as_str()).is_some_and(|list| !matches(list))
        || text(IF_NONE_MATCH.as_str()).is_some_and(may_match)
        || since.zip(taken).is_some_and(|(since, taken)| is_newer(since, taken));
    match failed {
        true => Err(Refusal::precondition("A precondition failed; nothing was removed.")),
        false => Ok(()),
    }
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
