//! Files: put, list, remove.

use std::io::Read;

use archipelago_engine::Ingested;
use archipelago_model::{ContainerName, FileId, ObjectName, Source};

use super::Service;
use super::images::check_sha256;
use super::objects::{Content, Place, Update, UpdateContent, make, successor};
use super::transfer::Incoming;
use crate::catalog::file::{FileRow, ObjectRow};
use crate::catalog::{Tx, container, file, quota, snapshot_file, state};
use crate::core::{Core, OPERATOR, shown};
use crate::error::{Error, ErrorKind};
use crate::identity::Named;
use crate::object::{Container, Meta, Object, Stretch, Versioning, Which};
use crate::resource::File;
use crate::seal::refuse_clear;

/// Files that are listed at once at most: some 30 MB of them.
pub const FILES_AT_ONCE_MAX: usize = 100_000;
/// Containers that are looked at together.
const HOMES: usize = 256;

/// Which files of the first account to list, by container and name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileRange {
    /// Only those of this container.
    pub container: Option<ContainerName>,
    /// Only those whose name begins with this.
    pub prefix: String,
    /// Only those behind this one.
    pub after: Option<(ContainerName, ObjectName)>,
}

/// What an update of a file did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdatedFile {
    /// The version that it made.
    pub file: File,
    /// Where it began.
    pub at: u64,
}

impl Service {
    /// Makes a file, or replaces it at once, from a full transfer stream.
    ///
    /// # Errors
    /// `Invalid` (the stream, the digest); nothing is changed then.
    pub fn file_put(
        &self,
        container: &ContainerName,
        object: &ObjectName,
        sha256: Option<String>,
        input: &mut dyn Read,
    ) -> Result<File, Error> {
        let core = &self.core;
        let label = label(container, object);
        check_sha256(sha256.as_deref())?;
        let incoming = Incoming::full(input).map_err(|error| error.on(&label))?;
        let size = incoming.size();
        core.may_put_file(container, object, size)?;
        let ingested = core.ingest(incoming).map_err(|error| error.on(&label))?;
        core.bind_file(ingested, size, container, object, sha256.as_ref())
    }

    /// Updates a file with the `length` bytes that `input` gives, and sets its `size`. One that is
    /// not there is made, unless it is to have a size. See [`Self::object_update`].
    ///
    /// # Errors
    /// `NotFound` (the container, the file), `Invalid` (beyond the end, too long); those of the input.
    pub fn file_update(
        &self,
        container: &ContainerName,
        object: &ObjectName,
        place: Place,
        size: Option<u64>,
        length: Option<u64>,
        input: &mut dyn Read,
    ) -> Result<UpdatedFile, Error> {
        let home = match size {
            // As a put does, unless there is no room for what comes. It stays when the update fails
            // for another reason: nobody minds an empty one.
            None => {
                self.core.may_be_in(container, object, length.unwrap_or(0))?;
                self.container_made(container)?
            }
            Some(_) => self.container(OPERATOR, container)?,
        };
        let update = Update {
            container: home.id,
            name: object,
            place,
            content: UpdateContent::Bytes { input, size: length },
            size,
            // Nobody means one that has only zeros.
            create: size.is_none(),
            owner: None,
            decide: Box::new(|now| {
                // The lock is that of the version before; a new one gets what its container gives.
                Ok(now.map_or_else(Meta::default, |now| now.meta.clone().unlocked()))
            }),
        };
        let done =
            self.object_update(update).map_err(|error| error.on(label(container, object)))?;
        let Object { id, size, created_ms, .. } = done.object;
        let (container, object) = (container.clone(), object.clone());
        let file = File { id, container, object, size, sha256: None, created_ms };
        Ok(UpdatedFile { file, at: done.at })
    }

    /// A container, which is made if there is none.
    pub(super) fn container_made(&self, name: &ContainerName) -> Result<Container, Error> {
        match self.container(OPERATOR, name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match self.container_create(OPERATOR, name) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        self.container(OPERATOR, name)
                    }
                    made => made,
                }
            }
            found => found,
        }
    }

    /// What a file holds that is sealed, open; `None` of what is not, and of what is no file.
    pub(super) fn sealed_file(&self, source: &Source) -> Result<Option<Content>, Error> {
        let (owner, container, object) = match source {
            Source::File(container, object) => (OPERATOR, container, object),
            Source::FileOf(owner, container, object) => {
                let none = |_| Error::not_found(shown(source), "file ls");
                (self.account(&Named::name(owner)).map_err(none)?.id, container, object)
            }
            Source::Volume(_) | Source::Snapshot(_) | Source::Image(_) => return Ok(None),
        };
        let now_ms = self.core.now_ms();
        let row = self
            .core
            .catalog
            .read(|tx| file::find(tx, owner, container, object, now_ms))?
            .ok_or_else(|| Error::not_found(shown(source), "file ls"))?;
        if row.seal.is_none() {
            return Ok(None);
        }
        let home = self.container(owner, container)?;
        self.object_open(home.id, object, Which::Latest).map(Some)
    }

    /// The files of one container, or of all: by container and name, all at once.
    ///
    /// # Errors
    /// `NotFound` (the container); `Invalid` where there are more than [`FILES_AT_ONCE_MAX`].
    pub fn files(&self, container: Option<&ContainerName>) -> Result<Vec<File>, Error> {
        let range = FileRange { container: container.cloned(), ..FileRange::default() };
        self.files_at_once(&range)
    }

    /// The files of a range, all at once.
    ///
    /// # Errors
    /// As [`Self::files`].
    pub fn files_at_once(&self, range: &FileRange) -> Result<Vec<File>, Error> {
        let files = self.files_page(range, FILES_AT_ONCE_MAX + 1)?;
        if files.len() > FILES_AT_ONCE_MAX {
            return Err(Error::invalid(format!(
                "there are more than {FILES_AT_ONCE_MAX} files: ask for pages, with `limit` and \
                 `after`, or for one container or prefix"
            )));
        }
        Ok(files)
    }

    /// The first files of a range, `limit` at most.
    ///
    /// # Errors
    /// `NotFound` (the container).
    pub fn files_page(&self, range: &FileRange, limit: usize) -> Result<Vec<File>, Error> {
        self.core.catalog.read(|tx| {
            let mut files = Vec::new();
            let mut homes = match &range.container {
                Some(name) => match container::find(tx, OPERATOR, name)? {
                    Some(home) => vec![home],
                    None => {
                        let what = format_args!("container '{name}'");
                        return Err(Error::not_found(what, "container ls"));
                    }
                },
                None => first_homes(tx, range)?,
            };
            while let Some(last) = homes.last().map(|home| home.name.clone()) {
                for home in homes {
                    let Some(stretch) = range.within(&home.name) else { continue };
                    let left = limit - files.len();
                    let rows = file::list_newest(tx, home.id, &stretch, left)?;
                    files.extend(rows.into_iter().map(|row| row.file));
                    if files.len() == limit {
                        return Ok(files);
                    }
                }
                homes = match range.container {
                    Some(_) => Vec::new(),
                    None => container::list(tx, OPERATOR, last.as_str(), HOMES)?,
                };
            }
            Ok(files)
        })
    }

    /// One file.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn file(&self, container: &ContainerName, object: &ObjectName) -> Result<File, Error> {
        Ok(self.core.catalog.read(|tx| self.core.file_row(tx, container, object))?.file)
    }

    /// Removes a file. Clones and open devices are unaffected.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn file_remove(&self, container: &ContainerName, object: &ObjectName) -> Result<(), Error> {
        self.file_remove_if(container, object, None)
    }

    /// The same, if the newest version is still this one.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when another version is the newest.
    pub fn file_remove_if(
        &self,
        container: &ContainerName,
        object: &ObjectName,
        version: Option<FileId>,
    ) -> Result<(), Error> {
        self.core.catalog.read(|tx| self.core.file_row(tx, container, object))?;
        let home = self.container(OPERATOR, container)?;
        let check = |old: Option<&Object>| match version {
            Some(version) if old.is_none_or(|old| old.id != version) => {
                Err(Error::in_use(format!(
                    "file '{container}/{object}' has another version than {version} by now, and \
                     stays; look at it again before you remove it"
                )))
            }
            _ => Ok(()),
        };
        self.object_remove(home.id, object, Which::Latest, &check).map(drop)
    }
}

/// The containers that a range begins with.
fn first_homes(tx: &Tx<'_>, range: &FileRange) -> Result<Vec<Container>, Error> {
    if let Some((name, _)) = &range.after {
        let mut homes: Vec<Container> = container::find(tx, OPERATOR, name)?.into_iter().collect();
        homes.extend(container::list(tx, OPERATOR, name.as_str(), HOMES)?);
        return Ok(homes);
    }
    Ok(container::list(tx, OPERATOR, "", HOMES)?)
}

impl FileRange {
    /// The names in one container; `None` when there cannot be any.
    fn within(&self, home: &ContainerName) -> Option<Stretch> {
        let below = if self.prefix.is_empty() { None } else { successor(&self.prefix) };
        let whole = Stretch { from: self.prefix.clone(), inclusive: true, below, reverse: false };
        match &self.after {
            Some((container, _)) if home < container => None,
            Some((container, object))
                if home == container && object.as_str() >= self.prefix.as_str() =>
            {
                Some(Stretch { from: object.to_string(), inclusive: false, ..whole })
            }
            _ => Some(whole),
        }
    }
}

impl Core {
    /// Whether a container may be made for a file of so many bytes, if there is none.
    fn may_be_in(
        &self,
        container: &ContainerName,
        object: &ObjectName,
        size: u64,
    ) -> Result<(), Error> {
        match self.catalog.read(|tx| container::find(tx, OPERATOR, container))? {
            Some(_) => Ok(()),
            None => self.may_put_file(container, object, size),
        }
    }

    /// Whether a file of so many bytes may be put, before it is sent in vain.
    pub(super) fn may_put_file(
        &self,
        container: &ContainerName,
        object: &ObjectName,
        size: u64,
    ) -> Result<(), Error> {
        self.catalog.read(|tx| match container::find(tx, OPERATOR, container)? {
            Some(home) => {
                refuse_clear(&home)?;
                Ok(file::may_put(tx, &home, object, size).map(drop)?)
            }
            None => {
                snapshot_file::refuse_name(OPERATOR, container)?;
                Ok(quota::ask_without(tx, OPERATOR, size).map(drop)?)
            }
        })
    }

    /// Binds what was stored as the newest version of a file; makes its container if there is
    /// none.
    pub(super) fn bind_file(
        &self,
        ingested: Ingested,
        size: u64,
        container: &ContainerName,
        object: &ObjectName,
        sha256: Option<&String>,
    ) -> Result<File, Error> {
        self.bind(ingested, size, |tx, root| {
            let (now, sha256) = (self.now_ms(), sha256.cloned());
            let home = match container::find(tx, OPERATOR, container)? {
                Some(home) => home,
                None => make(tx, OPERATOR, container, now)?,
            };
            refuse_clear(&home)?;
            let new = Object {
                id: FileId::new(state::take_id(tx)?),
                name: object.clone(),
                versioned: home.versioning == Versioning::Enabled,
                latest: true,
                marker: false,
                size,
                etag: None,
                meta: Meta::default(),
                created_ms: now,
                seal: None,
                owner: None,
            };
            let (container, name) = (container.clone(), object.clone());
            let file = File { id: new.id, container, object: name, size, sha256, created_ms: now };
            let sha256 = file.sha256.clone();
            let row = ObjectRow { container: home.id, object: new, sha256, root };
            file::put(tx, &row, self.ended_ms())?;
            Ok(file)
        })
    }

    fn file_row(
        &self,
        tx: &Tx<'_>,
        container: &ContainerName,
        object: &ObjectName,
    ) -> Result<FileRow, Error> {
        file::find(tx, OPERATOR, container, object, self.now_ms())?
            .ok_or_else(|| Error::not_found(label(container, object), "file ls"))
    }
}

fn label(container: &ContainerName, object: &ObjectName) -> String {
    shown(&Source::File(container.clone(), object.clone()))
}
