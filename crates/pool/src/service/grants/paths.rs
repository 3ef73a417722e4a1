//! What is shared by its name: who may do what with a page of names, which names are shared
//! at all, and with whom a new version is.

use std::collections::BTreeMap;
use std::sync::Arc;

use archipelago_model::{AccountId, ObjectName};

use super::super::Service;
use super::super::objects::content_row;
use super::links::publish;
use super::{PAGE_MAX, PublicLink, replace};
use crate::catalog::{Tx, container, file, grant, link};
use crate::error::{Error, ErrorKind};
use crate::grant::{Grant, Publish, Share, Shared, Subject};
use crate::object::{Container, Object, Which};

/// Folders that one request remembers: when there are more, it forgets them all and asks anew.
const FOLDERS_MAX: usize = 10_000;

/// The grants of a name: which name or folder has them, and they themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameGrants {
    /// The name itself, or a folder above it.
    pub path: Arc<str>,
    /// All that stand.
    pub grants: Arc<Vec<Grant>>,
}

/// Which names are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// Those that are shared with somebody, also as one of everybody.
    With(&'a Subject),
    /// Those that are shared with anybody.
    Shared,
    /// Those that have public links.
    Public,
}

impl Service {
    /// The grants that names of a container have, each its own, or else those of the closest
    /// folder above it that has any; all as of one moment. A folder is an object that says so
    /// by its type.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn grants_of_names(
        &self,
        container: u64,
        names: &[&ObjectName],
    ) -> Result<Vec<Option<NameGrants>>, Error> {
        let mut folders = Folders::new(container, self.core.now_ms());
        self.core.catalog.read(|tx| {
            if !grant::any_path(tx, container)? {
                return Ok(vec![None; names.len()]);
            }
            names.iter().map(|name| folders.closest(tx, name)).collect()
        })
    }

    /// One link of each name that has any that stands: the oldest of those that do not end by
    /// themselves, or else the oldest.
    ///
    /// # Errors
    /// The catalog or the key of the store cannot be read.
    pub fn links_of_names(
        &self,
        container: u64,
        names: &[&ObjectName],
    ) -> Result<Vec<Option<PublicLink>>, Error> {
        let now = self.core.now_ms();
        let any = self.core.catalog.read(|tx| link::objects(tx, container, now, "", 1))?;
        if any.is_empty() {
            return Ok(names.iter().map(|_| None).collect());
        }
        let of = |name: &&ObjectName| -> Result<Option<PublicLink>, Error> {
            let mut links = self.links(container, name)?;
            links.sort_by_key(|link| (link.expires_ms.is_some(), link.created_ms));
            Ok(links.into_iter().next())
        };
        names.iter().map(of).collect()
    }

    /// Names in a container that have grants or links, behind `after`, in their order; a page at
    /// most. Folders among them stand for what is below; whether a name may be read is
    /// [`Service::may`]'s to say.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn paths_shared(
        &self,
        of: Roots<'_>,
        container: u64,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let (limit, now) = (limit.min(PAGE_MAX), self.core.now_ms());
        self.core.catalog.read(|tx| match of {
            Roots::Shared => Ok(grant::paths(tx, container, None, now, after, limit)?),
            Roots::Public => Ok(link::objects(tx, container, now, after, limit)?),
            Roots::With(subject) => {
                let mut all = Vec::new();
                for grantee in subject.grantees() {
                    all.extend(grant::paths(tx, container, Some(grantee), now, after, limit)?);
                }
                all.sort_unstable();
                all.dedup();
                all.truncate(limit);
                Ok(all)
            }
        })
    }

    /// Containers of an account in which anything is shared or has a public link: by name.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn containers_shared(
        &self,
        owner: AccountId,
        (shared, public): (bool, bool),
    ) -> Result<Vec<Container>, Error> {
        let now = self.core.now_ms();
        self.core.catalog.read(|tx| {
            let mut ids = Vec::new();
            if shared {
                ids.extend(grant::containers_with_any(tx, owner, now)?);
            }
            if public {
                ids.extend(link::containers(tx, owner, now)?);
            }
            by_name(tx, ids)
        })
    }

    /// Shares an object that is there with some, and with nobody else, and does what is said of its
    /// public links. `check` is asked of it.
    ///
    /// # Errors
    /// `NotFound` (the object, a grantee); those of `check`; `Invalid` (too many grants or links).
    pub fn object_share(
        &self,
        container: u64,
        name: &ObjectName,
        (with, public): (Option<&Share>, Option<&Publish>),
        check: &dyn Fn(&Object) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let now = self.core.now_ms();
        self.core.catalog.write(|tx| {
            check(&content_row(tx, container, name, Which::Latest, now)?.object)?;
            with.map_or(Ok(()), |with| put(tx, now, container, name, with))?;
            public.map_or(Ok(()), |said| publish(tx, now, said))
        })
    }
}

/// Containers by their ids, in the order of their names, without settings and grants.
pub(super) fn by_name(tx: &Tx<'_>, mut ids: Vec<u64>) -> Result<Vec<Container>, Error> {
    ids.sort_unstable();
    ids.dedup();
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(container::listed(tx, id)?);
    }
    found.sort_by(|a: &Container, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Shares and publishes what a new version says is to be.
pub(in crate::service) fn share(
    tx: &Tx<'_>,
    now_ms: u64,
    container: u64,
    object: &Object,
) -> Result<(), Error> {
    if let Some(with) = &object.meta.share {
        put(tx, now_ms, container, &object.name, with)?;
    }
    match &object.meta.publish {
        Some(said) if (said.container, &said.object) == (container, &object.name) => {
            publish(tx, now_ms, said)
        }
        Some(_) => Err(Error::new(ErrorKind::Internal, "a link was made for another name")),
        None => Ok(()),
    }
}

fn put(
    tx: &Tx<'_>,
    now_ms: u64,
    container: u64,
    name: &ObjectName,
    with: &Share,
) -> Result<(), Error> {
    let shared = Shared::Path(container, name.to_string());
    let old = grant::of(tx, &shared)?;
    let new = with.over(&old, now_ms);
    replace(tx, &with.by, now_ms, &shared, &old, new).map(drop)
}

/// The grants of a name, or of the closest folder above it that has any that stand.
pub(super) fn closest(
    tx: &Tx<'_>,
    container: u64,
    name: &ObjectName,
    now_ms: u64,
) -> Result<Option<NameGrants>, Error> {
    if !grant::any_path(tx, container)? {
        return Ok(None);
    }
    Folders::new(container, now_ms).closest(tx, name)
}

/// Folders of a container, with the grants that stand of each.
struct Folders {
    container: u64,
    now_ms: u64,
    seen: BTreeMap<String, Option<NameGrants>>,
}

impl Folders {
    const fn new(container: u64, now_ms: u64) -> Self {
        Self { container, now_ms, seen: BTreeMap::new() }
    }

    fn closest(&mut self, tx: &Tx<'_>, name: &ObjectName) -> Result<Option<NameGrants>, Error> {
        if let Some(own) = self.of(tx, name.as_str())? {
            return Ok(Some(own));
        }
        // A name has 1024 bytes at most, and so 1023 folders above it.
        for (at, _) in name.as_str().rmatch_indices('/') {
            // With the slash it says itself that it means all below.
            let with_slash = &name.as_str()[..=at];
            if with_slash != name.as_str()
                && let Some(found) = self.folder(tx, with_slash)?
            {
                return Ok(Some(found));
            }
            if let Some(found) = self.folder(tx, &name.as_str()[..at])? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The grants of a folder for what is below it.
    fn folder(&mut self, tx: &Tx<'_>, path: &str) -> Result<Option<NameGrants>, Error> {
        if let Some(seen) = self.seen.get(path) {
            return Ok(seen.clone());
        }
        let found = match self.of(tx, path)? {
            Some(found) if path.ends_with('/') || is_folder(tx, self.container, path)? => {
                Some(found)
            }
            _ => None,
        };
        if self.seen.len() >= FOLDERS_MAX {
            self.seen.clear();
        }
        self.seen.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    fn of(&self, tx: &Tx<'_>, path: &str) -> Result<Option<NameGrants>, Error> {
        let mut grants = grant::of(tx, &Shared::Path(self.container, path.to_owned()))?;
        grants.retain(|grant| grant.expires_ms.is_none_or(|end| end > self.now_ms));
        let (path, grants) = (Arc::from(path), Arc::new(grants));
        Ok((!grants.is_empty()).then_some(NameGrants { path, grants }))
    }
}

/// Whether what has this name says that it is a folder: as Pithos and clients of Swift have it.
fn is_folder(tx: &Tx<'_>, container: u64, path: &str) -> Result<bool, Error> {
    let Ok(name) = path.parse() else { return Ok(false) };
    let row = file::version(tx, container, &name, Which::Latest)?;
    Ok(row.is_some_and(|row| {
        let header = row.object.meta.headers.get("content-type");
        let kind = header.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        matches!(kind, "application/directory" | "application/folder")
    }))
}
