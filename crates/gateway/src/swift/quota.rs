//! Quotas, which Swift's clients say as metadata.

use std::collections::BTreeMap;

use super::answer::Refusal;

/// What they are called behind `x-container-meta-` and `x-account-meta-`.
pub(super) const BYTES: &str = "quota-bytes";
pub(super) const COUNT: &str = "quota-count";

/// A new quota; `None` for no limit.
pub(super) type Quota = Option<u64>;

/// Takes a quota out of the metadata of a request; `None` when it says nothing of it.
pub(super) fn said(
    given: &mut BTreeMap<String, String>,
    removed: &mut BTreeMap<String, String>,
    name: &str,
) -> Result<Option<Quota>, Refusal> {
    let removed = removed.remove(name).is_some();
    match given.remove(name) {
        Some(text) if text.trim().is_empty() => Ok(Some(None)),
        Some(text) => match text.trim().parse::<u64>() {
            // No sum of sizes is larger: it is kept as a signed number.
            Ok(quota) if i64::try_from(quota).is_ok() => Ok(Some(Some(quota))),
            _ => Err(Refusal::invalid(format_args!("Invalid {name}: it is a number"))),
        },
        None => Ok(removed.then_some(None)),
    }
}
