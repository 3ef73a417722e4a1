//! Quotas, which Swift's clients say as metadata.

use std::collections::BTreeMap;

use axum::http::HeaderMap;

use super::answer::Refusal;
use super::meta;

/// What they are called behind `x-container-meta-` and `x-account-meta-`.
pub(super) const BYTES: &str = "quota-bytes";
pub(super) const COUNT: &str = "quota-count";

/// A new quota; `None` for no limit.
pub(super) type Quota = Option<u64>;

/// What else Swift calls the quotas of an account. Of these only the bytes of all of it are kept.
const OF_ACCOUNT: &str = "x-account-quota-";
const OF_ACCOUNT_REMOVED: &str = "x-remove-account-quota-";

/// What a request says of how much an account may hold, by either name of it.
pub(super) struct OfAccount {
    said: Option<Quota>,
    /// The first of those that are not kept.
    unknown: Option<String>,
}

impl OfAccount {
    /// Takes it out of the metadata of a request, and out of its other headers.
    pub fn new(
        headers: &HeaderMap,
        given: &mut BTreeMap<String, String>,
        removed: &mut BTreeMap<String, String>,
    ) -> Result<Self, Refusal> {
        let bytes = "bytes";
        let as_meta = said(given, removed, BYTES)?;
        let mut given = meta::given(headers, OF_ACCOUNT)?;
        let mut removed = meta::given(headers, OF_ACCOUNT_REMOVED)?;
        let said = said(&mut given, &mut removed, bytes)?.or(as_meta);
        let unknown = given.into_keys().chain(removed.into_keys()).next();
        Ok(Self { said, unknown })
    }

    /// Whether it says anything: then whoever asks has to be an administrator of the store.
    pub const fn is_said(&self) -> bool {
        self.said.is_some() || self.unknown.is_some()
    }

    /// The quota of bytes, `None` when it says nothing of it.
    ///
    /// # Errors
    /// For a quota that is not kept: whoever sets one relies on it.
    pub fn bytes(self) -> Result<Option<Quota>, Refusal> {
        match self.unknown {
            Some(name) => Err(Refusal::invalid(format_args!(
                "No quota {name} of accounts is kept: X-Account-Quota-Bytes is"
            ))),
            None => Ok(self.said),
        }
    }
}

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
