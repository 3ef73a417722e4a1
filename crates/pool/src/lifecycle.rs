//! Rules by which what is in a container ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::object::Object;

/// A day, in ms. Rules count days from midnight to midnight, UTC.
pub const DAY_MS: u64 = 24 * 3600 * 1000;

/// Rules of a container at most: what S3 has.
pub const RULES_MAX: usize = 1000;

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Its name among the rules of the container.
    pub id: String,
    /// Whether it does anything.
    pub enabled: bool,
    /// What it is about.
    pub filter: Filter,
    /// When the newest version of an object ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Expiration>,
    /// When older versions end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noncurrent: Option<Noncurrent>,
    /// How old, in days, an upload gets that nobody ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_days: Option<u32>,
}

/// Which objects: those that all of it is true of.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Their names begin with this.
    pub prefix: String,
    /// They have these labels.
    pub tags: BTreeMap<String, String>,
    /// They have more bytes.
    pub larger_than: Option<u64>,
    /// They have fewer bytes.
    pub smaller_than: Option<u64>,
}

/// When the newest version of an object ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expiration {
    /// So many days after it came, to an archive: after it was replaced.
    Days(u32),
    /// At this time, in ms since 1970.
    Date(u64),
    /// A mark that an object was removed, once nothing is below it.
    LoneMarker,
}

/// When a version ends that is not the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Noncurrent {
    /// So many days after a newer one came.
    pub days: u32,
    /// So many of those that are not the newest stay, the newest of them.
    pub keep: u32,
}

/// When an object will end, and by which rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// In ms since 1970.
    pub at_ms: u64,
    /// Its name.
    pub rule: String,
}

impl Filter {
    fn holds(&self, object: &Object) -> bool {
        object.name.as_str().starts_with(&self.prefix)
            && self.tags.iter().all(|(key, value)| object.meta.tags.get(key) == Some(value))
            && self.larger_than.is_none_or(|than| object.size > than)
            && self.smaller_than.is_none_or(|than| object.size < than)
    }
}

/// The end of so many days: with real ones, the midnight behind it.
fn days_after(start_ms: u64, days: u32, day_ms: u64) -> u64 {
    let end = start_ms.saturating_add(u64::from(days).saturating_mul(day_ms));
    if day_ms == DAY_MS { end.next_multiple_of(DAY_MS) } else { end }
}

/// What is known of a version besides itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// When a newer one came; `None` of the newest.
    pub replaced_ms: Option<u64>,
    /// How many are newer than it, without the newest.
    pub newer: u32,
    /// Whether it is the only one of its name.
    pub alone: bool,
}

impl Rule {
    /// When it ends the newest version.
    fn end_of_newest(&self, object: &Object, alone: bool, day_ms: u64) -> Option<u64> {
        let expiration = self.expiration.filter(|_| self.enabled && self.filter.holds(object))?;
        match (expiration, object.marker) {
            // What says that an object was removed ends only when it is all there is.
            (_, true) if !alone => None,
            (Expiration::Days(days), _) => Some(days_after(object.here_since_ms(), days, day_ms)),
            (Expiration::Date(at), _) => Some(at),
            (Expiration::LoneMarker, true) => Some(0),
            (Expiration::LoneMarker, false) => None,
        }
    }

    fn end_of_older(&self, object: &Object, place: Place, day_ms: u64) -> Option<u64> {
        let noncurrent = self.noncurrent.filter(|_| self.enabled && self.filter.holds(object))?;
        let replaced = place.replaced_ms.filter(|_| place.newer >= noncurrent.keep)?;
        Some(days_after(replaced, noncurrent.days, day_ms))
    }

    /// When it gives up an upload of this name that began then.
    pub(crate) fn end_of_upload(&self, name: &str, began_ms: u64, day_ms: u64) -> Option<u64> {
        let days = self.abort_days.filter(|_| self.enabled)?;
        name.starts_with(&self.filter.prefix).then(|| days_after(began_ms, days, day_ms))
    }
}

/// Whether a version has ended by one of these rules.
pub(crate) fn has_ended(
    rules: &[Rule],
    object: &Object,
    place: Place,
    now_ms: u64,
    day_ms: u64,
) -> bool {
    let end = |rule: &Rule| match object.latest {
        true => rule.end_of_newest(object, place.alone, day_ms),
        false => rule.end_of_older(object, place, day_ms),
    };
    rules.iter().filter_map(end).any(|at| at <= now_ms)
}

/// When the newest version of an object will end, by the first rule to end it.
pub(crate) fn ending(rules: &[Rule], object: &Object) -> Option<Ending> {
    if object.marker || !object.latest {
        return None;
    }
    let end = |rule: &Rule| {
        let at_ms = rule.end_of_newest(object, false, DAY_MS)?;
        Some(Ending { at_ms, rule: rule.id.clone() })
    };
    rules.iter().filter_map(end).min_by_key(|ending| ending.at_ms)
}

#[cfg(test)]
mod tests;
