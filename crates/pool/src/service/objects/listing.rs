//! Pages of listings: by name, with what has a delimiter shown as one.
//!
//! What lies behind a shown prefix is skipped by a seek, not read: a page costs in
//! proportion to what it shows.

use archipelago_model::FileId;

use super::super::Service;
use crate::catalog::file::{self, From, ObjectRow};
use crate::catalog::upload;
use crate::error::Error;
use crate::object::{Listing, Object, PAGE_BYTES_MAX, Page, Upload};

/// Names on a page at most.
const PAGE_MAX: usize = 10_000;
/// Rows read from the catalog at once at most, each with up to 150 KB of what is known of it; few
/// where a delimiter may hide all but the first.
const ROWS: usize = 64;
const ROWS_MIN: usize = 4;

impl Service {
    /// The newest versions of a container.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn objects(&self, container: u64, listing: &Listing) -> Result<Page<Object>, Error> {
        self.core
            .catalog
            .read(|tx| page(listing, &|from, limit| Ok(file::newest(tx, container, from, limit)?)))
    }

    /// All versions of a container.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn versions(&self, container: u64, listing: &Listing) -> Result<Page<Object>, Error> {
        self.core.catalog.read(|tx| {
            page(listing, &|from, limit| Ok(file::versions(tx, container, from, limit)?))
        })
    }

    /// The uploads in parts of a container; [`Listing::after_version`] is not used, the
    /// upload is told by its identity.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn uploads(
        &self,
        container: u64,
        listing: &Listing,
        after_upload: Option<&str>,
    ) -> Result<Page<Upload>, Error> {
        self.core.catalog.read(|tx| {
            let id = after_upload.map(|uuid| upload::id_of(tx, uuid)).transpose()?.flatten();
            let (mut object, mut id) = match start(listing) {
                From::At(name) => (name, 0),
                From::Behind(name) | From::Older(name, _) => (name, id.unwrap_or(i64::MAX as u64)),
            };
            let mut gathered = Gathered::new(listing);
            'chunks: loop {
                let rows = upload::list(tx, container, &object, id, ROWS)?;
                if rows.is_empty() {
                    return Ok(gathered.end());
                }
                for row in rows {
                    (object, id) = (row.upload.object.to_string(), row.id);
                    let bytes = row.upload.held_bytes();
                    match gathered.add(&object, None, (row.upload, bytes)) {
                        None => {}
                        Some(Stop::End) => return Ok(gathered.end()),
                        Some(Stop::Prefix(prefix)) => {
                            let Some(next) = successor(&prefix) else { return Ok(gathered.end()) };
                            (object, id) = (next, 0);
                            continue 'chunks;
                        }
                    }
                }
            }
        })
    }
}

fn start(listing: &Listing) -> From {
    if let (Some(name), Some(version)) = (&listing.after, listing.after_version) {
        return From::Older(name.clone(), version);
    }
    match &listing.after {
        Some(after) if *after >= listing.prefix => {
            // A page that ended with a prefix goes on behind all that it stands for.
            match &listing.delimiter {
                Some(delimiter)
                    if !delimiter.is_empty()
                        && after.starts_with(&listing.prefix)
                        && after[listing.prefix.len()..].ends_with(delimiter.as_str())
                        && after[listing.prefix.len()..].find(delimiter.as_str())
                            == Some(after.len() - listing.prefix.len() - delimiter.len()) =>
                {
                    successor(after).map_or_else(|| From::Behind(after.clone()), From::At)
                }
                _ => From::Behind(after.clone()),
            }
        }
        _ => From::At(listing.prefix.clone()),
    }
}

/// Rows behind a place, at most so many.
type Rows<'a> = dyn Fn(&From, usize) -> Result<Vec<ObjectRow>, Error> + 'a;

fn page(listing: &Listing, rows: &Rows<'_>) -> Result<Page<Object>, Error> {
    let mut gathered = Gathered::new(listing);
    let mut from = start(listing);
    let few = match listing.delimiter.as_deref() {
        None | Some("") => ROWS,
        Some(_) => ROWS_MIN,
    };
    let mut limit = few;
    'chunks: loop {
        let chunk = rows(&from, limit)?;
        let full = chunk.len() == limit;
        limit = (limit * 2).min(ROWS);
        for row in chunk {
            let (name, id) = (row.object.name.to_string(), row.object.id);
            let bytes = row.object.held_bytes();
            match gathered.add(&name, Some(id), (row.object, bytes)) {
                None => from = From::Older(name, id),
                Some(Stop::End) => return Ok(gathered.end()),
                Some(Stop::Prefix(prefix)) => {
                    let Some(next) = successor(&prefix) else { return Ok(gathered.end()) };
                    from = From::At(next);
                    limit = few;
                    continue 'chunks;
                }
            }
        }
        if !full {
            return Ok(gathered.end());
        }
    }
}

/// Why a page takes no more of a chunk.
enum Stop {
    /// It is full, or names no longer begin with the prefix.
    End,
    /// The names behind this one with the same prefix are shown.
    Prefix(String),
}

struct Gathered<'a, T> {
    listing: &'a Listing,
    limit: usize,
    items: Vec<T>,
    /// What they take.
    bytes: usize,
    prefixes: Vec<String>,
    last: Option<(String, Option<FileId>)>,
    more: bool,
}

impl<'a, T> Gathered<'a, T> {
    fn new(listing: &'a Listing) -> Self {
        let limit = listing.limit.min(PAGE_MAX);
        let (items, prefixes) = (Vec::new(), Vec::new());
        Self { listing, limit, items, bytes: 0, prefixes, last: None, more: false }
    }

    /// Takes an item, with how many bytes it takes.
    fn add(&mut self, name: &str, id: Option<FileId>, (item, bytes): (T, usize)) -> Option<Stop> {
        let Some(rest) = name.strip_prefix(self.listing.prefix.as_str()) else {
            return Some(Stop::End);
        };
        let delimiter = self.listing.delimiter.as_deref().filter(|text| !text.is_empty());
        let cut = delimiter.and_then(|text| rest.find(text).map(|at| at + text.len()));
        let prefix = cut.map(|cut| name[..self.listing.prefix.len() + cut].to_owned());
        if prefix.is_some() && prefix.as_ref() == self.prefixes.last() {
            return prefix.map(Stop::Prefix);
        }
        let count = self.items.len() + self.prefixes.len();
        if count >= self.limit || self.bytes >= PAGE_BYTES_MAX {
            self.more = true;
            return Some(Stop::End);
        }
        match prefix {
            Some(prefix) => {
                self.last = Some((prefix.clone(), None));
                self.prefixes.push(prefix.clone());
                Some(Stop::Prefix(prefix))
            }
            None => {
                self.last = Some((name.to_owned(), id));
                self.items.push(item);
                self.bytes += bytes;
                None
            }
        }
    }

    fn end(self) -> Page<T> {
        let next = if self.more { self.last } else { None };
        Page { items: self.items, prefixes: self.prefixes, next }
    }
}

/// The least text that is greater than all that begin with this one.
pub(in crate::service) fn successor(text: &str) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            char::MAX => None,
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
