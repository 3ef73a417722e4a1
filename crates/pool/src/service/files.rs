//! Files: put, list, remove.

use std::io::Read;

use archipelago_model::{ContainerName, FileId, ObjectName, Source};

use super::Service;
use super::images::check_sha256;
use super::transfer::Incoming;
use crate::catalog::file::FileRow;
use crate::catalog::{Tx, file, state};
use crate::core::shown;
use crate::error::Error;
use crate::resource::File;

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
        let ingested = core.ingest(incoming).map_err(|error| error.on(&label))?;
        core.bind(ingested, size, |tx, root| {
            let file = File {
                id: FileId::new(state::take_id(tx)?),
                container: container.clone(),
                object: object.clone(),
                size,
                sha256: sha256.clone(),
                created_ms: core.now_ms(),
            };
            let row = FileRow { file, root };
            file::put(tx, &row, state::take_id(tx)?)?;
            Ok(row.file)
        })
    }

    /// The files of one container, or of all: by container and name.
    ///
    /// # Errors
    /// `NotFound` (the container).
    pub fn files(&self, container: Option<&ContainerName>) -> Result<Vec<File>, Error> {
        let rows = self.core.catalog.read(|tx| -> Result<_, Error> {
            match container {
                None => Ok(file::list(tx)?),
                Some(name) => file::list_of(tx, name)?
                    .ok_or_else(|| Error::not_found(format_args!("container '{name}'"), "file ls")),
            }
        })?;
        Ok(rows.into_iter().map(|row| row.file).collect())
    }

    /// One file.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn file(&self, container: &ContainerName, object: &ObjectName) -> Result<File, Error> {
        Ok(self.core.catalog.read(|tx| file_row(tx, container, object))?.file)
    }

    /// Removes a file. Clones and open devices are unaffected.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn file_remove(&self, container: &ContainerName, object: &ObjectName) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let row = file_row(tx, container, object)?;
            Ok(file::remove(tx, row.file.id)?)
        })
    }
}

fn file_row(tx: &Tx<'_>, container: &ContainerName, object: &ObjectName) -> Result<FileRow, Error> {
    file::find(tx, container, object)?
        .ok_or_else(|| Error::not_found(label(container, object), "file ls"))
}

fn label(container: &ContainerName, object: &ObjectName) -> String {
    shown(&Source::File(container.clone(), object.clone()))
}
