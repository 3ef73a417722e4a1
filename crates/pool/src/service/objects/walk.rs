//! Walks through names in either direction, between two ends: what Swift lists.

use archipelago_model::AccountId;

use super::super::Service;
use super::listing::successor;
use crate::catalog::{CatalogError, Tx, container, file};
use crate::error::Error;
use crate::object::{Container, Object, Step, Stretch, Walk, Which};

/// Entries of one walk at most.
const PAGE_MAX: usize = 10_000;
/// Rows read at once at most; few at first and behind a prefix, which may be next to another.
const ROWS_MAX: usize = 256;
const ROWS_MIN: usize = 4;

impl Service {
    /// Containers of an account.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn container_walk(
        &self,
        account: AccountId,
        walk: &Walk,
    ) -> Result<Vec<Step<Container>>, Error> {
        let fetch = |tx: &Tx<'_>, stretch: &Stretch, limit: usize| {
            container::stretch(tx, account, stretch, limit)
        };
        self.core
            .catalog
            .read(|tx| steps(tx, walk, &|found: &Container| found.name.as_str(), &fetch))
    }

    /// The newest versions of a container; of what is known of them, only what listings show:
    /// their types and what doors keep.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn object_walk(&self, container: u64, walk: &Walk) -> Result<Vec<Step<Object>>, Error> {
        let fetch = |tx: &Tx<'_>, stretch: &Stretch, limit: usize| {
            file::stretch(tx, container, stretch, limit)
        };
        self.core.catalog.read(|tx| steps(tx, walk, &|found: &Object| found.name.as_str(), &fetch))
    }
}

impl Service {
    /// The same with everything that is known of them.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn object_walk_whole(
        &self,
        container: u64,
        walk: &Walk,
    ) -> Result<Vec<Step<Object>>, Error> {
        let fetch = |tx: &Tx<'_>, stretch: &Stretch, limit: usize| {
            file::stretch_whole(tx, container, stretch, limit)
        };
        self.core.catalog.read(|tx| steps(tx, walk, &|found: &Object| found.name.as_str(), &fetch))
    }

    /// The same of all versions: of one name the newest first, or last in reverse. `after`:
    /// of the name that is the marker, those behind this one, too.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn version_walk(
        &self,
        container: u64,
        walk: &Walk,
        after: Option<Which>,
    ) -> Result<Vec<Step<Object>>, Error> {
        let limit = walk.limit.min(PAGE_MAX);
        let reverse = walk.reverse;
        self.core.catalog.read(|tx| {
            let mut out = Vec::new();
            if let (Some(name), Some(after)) = (&walk.marker, after) {
                let id = match after {
                    Which::Version(id) => Some(id),
                    other => match name.parse() {
                        Ok(name) => {
                            file::version(tx, container, &name, other)?.map(|row| row.object.id)
                        }
                        Err(_) => None,
                    },
                };
                if let Some(id) = id {
                    let rest = file::beside(tx, container, name, id, reverse, limit)?;
                    out.extend(rest.into_iter().map(Step::Item));
                }
            }
            let fetch = |tx: &Tx<'_>, stretch: &Stretch, rows: usize| {
                let mut found = file::version_stretch(tx, container, stretch, rows)?;
                // Whole names only: the walk goes on behind the last.
                if found.len() == rows
                    && let Some(last) = found.last()
                {
                    let (name, id) = (last.name.to_string(), last.id);
                    found.extend(file::beside(tx, container, &name, id, reverse, limit)?);
                }
                Ok(found)
            };
            let left = Walk { limit: limit - out.len(), ..walk.clone() };
            out.extend(steps(tx, &left, &|found: &Object| found.name.as_str(), &fetch)?);
            Ok(out)
        })
    }
}

/// Reads rows of a stretch of names.
type Fetch<'a, T> = dyn Fn(&Tx<'_>, &Stretch, usize) -> Result<Vec<T>, CatalogError> + 'a;

fn steps<T>(
    tx: &Tx<'_>,
    walk: &Walk,
    name_of: &dyn Fn(&T) -> &str,
    fetch: &Fetch<'_, T>,
) -> Result<Vec<Step<T>>, Error> {
    let limit = walk.limit.min(PAGE_MAX);
    let mut out = Vec::new();
    let Some(mut left) = whole(walk) else { return Ok(out) };
    let mut rows = ROWS_MIN.max(if walk.delimiter.is_none() { ROWS_MAX.min(limit) } else { 0 });
    'chunks: while out.len() < limit {
        let chunk = fetch(tx, &left, rows)?;
        let full = chunk.len() >= rows;
        rows = (rows * 2).min(ROWS_MAX);
        for item in chunk {
            if out.len() == limit {
                return Ok(out);
            }
            let name = name_of(&item).to_owned();
            if let Some(prefix) = shown_as(walk, &name) {
                if !walk.flat && walk.marker.as_ref() != Some(&prefix) {
                    out.push(Step::Prefix(prefix.clone()));
                }
                let Some(next) = behind(walk, left, prefix) else { return Ok(out) };
                left = next;
                rows = ROWS_MIN;
                continue 'chunks;
            }
            match walk.reverse {
                true => left.below = Some(name.clone()),
                false => (left.from, left.inclusive) = (name.clone(), false),
            }
            if !(walk.flat && name == walk.prefix) {
                out.push(Step::Item(item));
            }
        }
        if !full {
            break;
        }
    }
    Ok(out)
}

/// The names that a walk may see; `None` when there cannot be any.
fn whole(walk: &Walk) -> Option<Stretch> {
    let (low, high) = match walk.reverse {
        true => (&walk.end, &walk.marker),
        false => (&walk.marker, &walk.end),
    };
    let (from, reverse) = (walk.prefix.clone(), walk.reverse);
    let mut stretch = Stretch { from, inclusive: true, below: None, reverse };
    if let Some(low) = low
        && *low >= walk.prefix
    {
        (stretch.from, stretch.inclusive) = (low.clone(), false);
    }
    let prefix_end = if walk.prefix.is_empty() { None } else { successor(&walk.prefix) };
    stretch.below = match (prefix_end, high.clone()) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    let empty = stretch.below.as_ref().is_some_and(|below| *below <= stretch.from);
    (!empty).then_some(stretch)
}

/// The prefix that stands for a name.
fn shown_as(walk: &Walk, name: &str) -> Option<String> {
    let delimiter = walk.delimiter.as_deref().filter(|text| !text.is_empty())?;
    let rest = name.strip_prefix(walk.prefix.as_str())?;
    let end = rest.find(delimiter)? + delimiter.len();
    if walk.flat && end == rest.len() {
        return None;
    }
    Some(name[..walk.prefix.len() + end].to_owned())
}

/// What is left behind a prefix.
fn behind(walk: &Walk, mut left: Stretch, mut prefix: String) -> Option<Stretch> {
    if walk.reverse {
        if walk.flat {
            // The name that is just the prefix is shown itself.
            prefix.push('\0');
        }
        left.below = Some(prefix);
    } else {
        (left.from, left.inclusive) = (successor(&prefix)?, true);
    }
    Some(left)
}

#[cfg(test)]
mod tests;
