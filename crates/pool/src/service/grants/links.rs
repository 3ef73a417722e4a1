//! Public links: whoever has one may read a file, without a login.
//!
//! An id is 160 random bits. The catalog has a keyed hash of it, by which it is found, and the
//! id sealed, for the owner who asks again: a thief of the catalog has neither.

use archipelago_model::{ContainerName, ObjectName};

use super::super::Service;
use super::{label, record};
use crate::audit::AuditEvent;
use crate::catalog::link::{self, LinkRow};
use crate::catalog::{Tx, file};
use crate::core::OPERATOR;
use crate::error::{Error, ErrorKind};
use crate::grant::{Publish, Shared};
use crate::identity::{Keys, Secret};
use crate::object::{Container, Object, Which};
use crate::service::objects::{Content, container_of};

/// Links of one file: all of them are read at once.
pub const LINKS_MAX: usize = 100;

/// Random bytes of an id: 32 characters.
const ID_BYTES: usize = 20;

/// A link. Whoever knows its id may read the file.
#[derive(Clone, Debug)]
pub struct PublicLink {
    /// What stands in its URL.
    pub id: Secret,
    /// Who made it.
    pub by: String,
    /// When, in ms since 1970.
    pub created_ms: u64,
    /// When it ends, in ms since 1970; `None` for when it is ended.
    pub expires_ms: Option<u64>,
}

impl Service {
    /// Says that a name is to have a public link, or none: to be done with the version that is
    /// put, or by [`Self::object_share`]. A name that has one keeps it.
    ///
    /// # Errors
    /// The key of the store cannot be read.
    pub fn publish(
        &self,
        by: &str,
        container: u64,
        name: &ObjectName,
        public: bool,
    ) -> Result<Publish, Error> {
        let made = match public {
            true => Some(self.sealed_id(container, name)?),
            false => None,
        };
        let made = made.map(|(_, hash, sealed)| (hash, sealed));
        Ok(Publish { by: by.to_owned(), container, object: name.clone(), made })
    }

    /// A new id, its hash, and how it is kept.
    fn sealed_id(
        &self,
        container: u64,
        name: &ObjectName,
    ) -> Result<(Secret, String, String), Error> {
        let (keys, id) = (self.keys()?, self.random_text::<ID_BYTES>());
        let owner = sealed_for(container, name);
        let sealed = keys
            .seal(&**self.core.env.random(), &owner, &id)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the id of the link is not sealed"))?;
        Ok((id.clone(), hash(&keys, id.expose()), sealed))
    }

    /// Makes a link to a file: to whatever its name has, until the name has nothing.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` (too many links, an end in the past); those of `check`.
    pub fn link_create(
        &self,
        by: &str,
        container: u64,
        name: &ObjectName,
        expires_ms: Option<u64>,
        check: &dyn Fn(&Object) -> Result<(), Error>,
    ) -> Result<PublicLink, Error> {
        let now = self.core.now_ms();
        if expires_ms.is_some_and(|end| end <= now) {
            return Err(Error::invalid("the link would have ended already; give a later time"));
        }
        let (id, hash, sealed) = self.sealed_id(container, name)?;
        let row = LinkRow {
            hash,
            sealed,
            container,
            object: name.clone(),
            by: by.to_owned(),
            created_ms: now,
            expires_ms,
        };
        self.core.catalog.write(|tx| {
            let found = file::version(tx, container, name, Which::Latest)?;
            let object = found.map(|row| row.object).filter(|object| !object.marker);
            let Some(object) = object else {
                let label = label(tx, &Shared::Path(container, name.to_string()))?;
                return Err(Error::not_found(&label, "file ls"));
            };
            check(&object)?;
            make(tx, now, &row)
        })?;
        Ok(PublicLink { id, by: row.by, created_ms: now, expires_ms })
    }

    /// The links of a file that have not ended: the oldest first.
    ///
    /// # Errors
    /// The catalog or the key of the store cannot be read.
    pub fn links(&self, container: u64, name: &ObjectName) -> Result<Vec<PublicLink>, Error> {
        let now = self.core.now_ms();
        let mut rows = self.core.catalog.read(|tx| link::of(tx, container, name))?;
        rows.retain(|row| row.expires_ms.is_none_or(|end| end > now));
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys()?;
        let owner = sealed_for(container, name);
        // Those that another secret.key sealed work no more either.
        let shown = rows.into_iter().filter_map(|row| {
            let id = keys.open(&owner, &row.sealed)?;
            let LinkRow { by, created_ms, expires_ms, .. } = row;
            Some(PublicLink { id, by, created_ms, expires_ms })
        });
        Ok(shown.collect())
    }

    /// Ends all links of a file, from the next request on. Their number.
    ///
    /// # Errors
    /// `NotFound` (the container).
    pub fn links_end(&self, by: &str, container: u64, name: &ObjectName) -> Result<usize, Error> {
        let now = self.core.now_ms();
        self.core.catalog.write(|tx| end_all(tx, now, by, container, name))
    }

    /// Opens what a link is to, and records that it was used.
    ///
    /// # Errors
    /// `NotFound`, and nothing more, whether there never was such a link, it has ended, or
    /// what it was to is gone.
    pub fn link_open(&self, id: &str) -> Result<Content, Error> {
        let gone = || Error::new(ErrorKind::NotFound, "there is nothing here");
        let (hash, now) = (hash(&*self.keys()?, id), self.core.now_ms());
        let row = self.core.catalog.read(|tx| link::find(tx, &hash))?.ok_or_else(gone)?;
        if row.expires_ms.is_some_and(|end| end <= now) {
            return Err(gone());
        }
        let content = match self.object_open(row.container, &row.object, Which::Latest) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(gone()),
            opened => opened?,
        };
        let home = self.core.catalog.read(|tx| container_of(tx, row.container))?;
        // Who made the link did not write this.
        if home.writer_of(content.object()).is_some() {
            return Err(gone());
        }
        let resource = format!("file '{}/{}'", home.name, row.object.as_str().escape_debug());
        self.audit_use(AuditEvent::LinkUsed, "anybody", &resource, &format!("by {}", row.by));
        Ok(content)
    }

    /// A container of the account of the command line.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn container_of_operator(&self, name: &ContainerName) -> Result<Container, Error> {
        self.container(OPERATOR, name)
    }
}

fn make(tx: &Tx<'_>, now_ms: u64, row: &LinkRow) -> Result<(), Error> {
    let label = label(tx, &Shared::Path(row.container, row.object.to_string()))?;
    if link::of(tx, row.container, &row.object)?.len() >= LINKS_MAX {
        return Err(Error::invalid(format!(
            "{label} has {LINKS_MAX} links already; end some first"
        )));
    }
    link::insert(tx, row)?;
    let until = row.expires_ms.map(|end| format!("until {end}")).unwrap_or_default();
    record(tx, now_ms, &row.by, AuditEvent::LinkMade, &label, until)
}

fn end_all(
    tx: &Tx<'_>,
    now_ms: u64,
    by: &str,
    container: u64,
    name: &ObjectName,
) -> Result<usize, Error> {
    let label = label(tx, &Shared::Path(container, name.to_string()))?;
    let count = link::of(tx, container, name)?.len();
    if count > 0 {
        link::clear(tx, container, name.as_str())?;
        record(tx, now_ms, by, AuditEvent::LinkEnded, &label, format!("{count} links"))?;
    }
    Ok(count)
}

/// Does what was said of the links of a name that is there.
pub(super) fn publish(tx: &Tx<'_>, now_ms: u64, said: &Publish) -> Result<(), Error> {
    let Publish { by, container, object, made } = said;
    let Some((hash, sealed)) = made else {
        return end_all(tx, now_ms, by, *container, object).map(drop);
    };
    let links = link::of(tx, *container, object)?;
    if links.iter().any(|link| link.expires_ms.is_none_or(|end| end > now_ms)) {
        return Ok(());
    }
    let row = LinkRow {
        hash: hash.clone(),
        sealed: sealed.clone(),
        container: *container,
        object: object.clone(),
        by: by.clone(),
        created_ms: now_ms,
        expires_ms: None,
    };
    make(tx, now_ms, &row)
}

fn hash(keys: &Keys, id: &str) -> String {
    // A token begins otherwise, so that none is ever a link.
    keys.token_hash(&format!("public link {id}"))
}

fn sealed_for(container: u64, name: &ObjectName) -> String {
    format!("public link {container}/{name}")
}
