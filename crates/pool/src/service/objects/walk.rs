//! Walks through names in either direction, between two ends: what Swift lists.

use archipelago_model::{AccountId, FileId};

use super::super::Service;
use super::listing::successor;
use crate::catalog::{CatalogError, Tx, container, file};
use crate::error::Error;
use crate::object::{Container, Object, PAGE_BYTES_MAX, Step, Stretch, Walk, Walked, Which};

/// Entries of one walk at most.
const PAGE_MAX: usize = 10_000;
/// Rows read at once at most; few at first and behind a prefix, which may be next to another.
const ROWS_MAX: usize = 256;
/// The same where all that is known of each is read, up to 150 KB.
const WHOLE_ROWS_MAX: usize = 64;
const ROWS_MIN: usize = 4;

impl Service {
    /// Containers of an account, without their settings and grants.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn container_walk(
        &self,
        account: AccountId,
        walk: &Walk,
    ) -> Result<Walked<Container>, Error> {
        let fetch = |tx: &Tx<'_>, stretch: &Stretch, limit: usize| {
            container::stretch(tx, account, stretch, limit)
        };
        let held = |found: &Container| found.name.as_str().len();
        let see = Seeing { name: &|found: &Container| found.name.as_str(), held: &held };
        self.core.catalog.read(|tx| steps(tx, walk, &see, (&fetch, ROWS_MAX)))
    }

    /// The newest versions of a container; of what is known of them, only what listings show:
    /// their types and what doors keep.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn object_walk(&self, container: u64, walk: &Walk) -> Result<Walked<Object>, Error> {
        let fetch = |tx: &Tx<'_>, stretch: &Stretch, limit: usize| {
            file::stretch(tx, container, stretch, limit)
        };
        self.core.catalog.read(|tx| steps(tx, walk, &OBJECTS, (&fetch, ROWS_MAX)))
    }
}

impl Service {
    /// The same with everything that is known of them.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn object_walk_whole(&self, container: u64, walk: &Walk) -> Result<Walked<Object>, Error> {
        let fetch = |tx: &Tx<'_>, stretch: &Stretch, limit: usize| {
            file::stretch_whole(tx, container, stretch, limit)
        };
        self.core.catalog.read(|tx| steps(tx, walk, &OBJECTS, (&fetch, WHOLE_ROWS_MAX)))
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
    ) -> Result<Walked<Object>, Error> {
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
                    let rest = beside(tx, container, (name, id), reverse, limit)?;
                    let more = held(&rest) >= PAGE_BYTES_MAX;
                    out.extend(rest.into_iter().map(Step::Item));
                    if more {
                        return Ok(Walked { steps: out, more });
                    }
                }
            }
            let fetch = |tx: &Tx<'_>, stretch: &Stretch, rows: usize| {
                let mut found = file::version_stretch(tx, container, stretch, rows)?;
                // Whole names only, or as much as ends the walk: it goes on behind the last.
                if found.len() == rows
                    && let Some(last) = found.last()
                {
                    let (name, id) = (last.name.to_string(), last.id);
                    found.extend(beside(tx, container, (&name, id), reverse, limit)?);
                }
                Ok(found)
            };
            let left = Walk { limit: limit - out.len(), ..walk.clone() };
            let rest = steps(tx, &left, &OBJECTS, (&fetch, ROWS_MAX))?;
            out.extend(rest.steps);
            Ok(Walked { steps: out, more: rest.more })
        })
    }
}

/// Versions of one object behind one of them, `limit` at most, and no more than fill a page.
fn beside(
    tx: &Tx<'_>,
    container: u64,
    (name, mut id): (&str, FileId),
    reverse: bool,
    limit: usize,
) -> Result<Vec<Object>, CatalogError> {
    let (mut out, mut bytes) = (Vec::new(), 0);
    while out.len() < limit && bytes < PAGE_BYTES_MAX {
        let rows = ROWS_MAX.min(limit - out.len());
        let found = file::beside(tx, container, name, id, reverse, rows)?;
        let full = found.len() == rows;
        bytes += held(&found);
        id = found.last().map_or(id, |last| last.id);
        out.extend(found);
        if !full {
            break;
        }
    }
    Ok(out)
}

fn held(objects: &[Object]) -> usize {
    objects.iter().map(Object::held_bytes).sum()
}

/// How a walk sees what it meets.
struct Seeing<'a, T> {
    name: &'a dyn Fn(&T) -> &str,
    /// What it takes in memory.
    held: &'a dyn Fn(&T) -> usize,
}

const OBJECTS: Seeing<'static, Object> =
    Seeing { name: &|found| found.name.as_str(), held: &Object::held_bytes };

/// Reads rows of a stretch of names.
type Fetch<'a, T> = dyn Fn(&Tx<'_>, &Stretch, usize) -> Result<Vec<T>, CatalogError> + 'a;

fn steps<T>(
    tx: &Tx<'_>,
    walk: &Walk,
    see: &Seeing<'_, T>,
    (fetch, rows_max): (&Fetch<'_, T>, usize),
) -> Result<Walked<T>, Error> {
    let limit = walk.limit.min(PAGE_MAX);
    let (mut out, mut bytes) = (Vec::new(), 0);
    let done = |steps, more| Ok(Walked { steps, more });
    let Some(mut left) = whole(walk) else { return done(out, false) };
    let mut rows = ROWS_MIN.max(if walk.delimiter.is_none() { rows_max.min(limit) } else { 0 });
    'chunks: while out.len() < limit && bytes < PAGE_BYTES_MAX {
        let chunk = fetch(tx, &left, rows)?;
        let full = chunk.len() >= rows;
        rows = (rows * 2).min(rows_max);
        for item in chunk {
            if out.len() == limit || bytes >= PAGE_BYTES_MAX {
                return done(out, true);
            }
            let name = (see.name)(&item).to_owned();
            if let Some(prefix) = shown_as(walk, &name) {
                if !walk.flat && walk.marker.as_ref() != Some(&prefix) {
                    out.push(Step::Prefix(prefix.clone()));
                }
                let Some(next) = behind(walk, left, prefix) else { return done(out, false) };
                left = next;
                rows = ROWS_MIN;
                continue 'chunks;
            }
            match walk.reverse {
                true => left.below = Some(name.clone()),
                false => (left.from, left.inclusive) = (name.clone(), false),
            }
            if !(walk.flat && name == walk.prefix) {
                bytes += (see.held)(&item);
                out.push(Step::Item(item));
            }
        }
        if !full {
            return done(out, false);
        }
    }
    done(out, true)
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
            // The name that is just the prefix is shown itself. What comes next to it: no name has
            // a NUL, and no database need know one.
            prefix.push('\u{1}');
        }
        left.below = Some(prefix);
    } else {
        (left.from, left.inclusive) = (successor(&prefix)?, true);
    }
    Some(left)
}

#[cfg(test)]
mod tests;
