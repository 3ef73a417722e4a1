//! Images: import, list, remove.

use std::io::Read;

use archipelago_model::{ImageId, ImageName, SECTOR_BYTES, VolumeSize};

use super::Service;
use super::grants::{check_maker, check_new};
use super::transfer::Incoming;
use crate::catalog::image::ImageRow;
use crate::catalog::{image, state};
use crate::error::Error;
use crate::grant::Subject;
use crate::resource::{Image, NewImage};

/// Longest text kept with an image, in bytes: names of formats and systems.
const TEXT_BYTES_MAX: usize = 256;

impl Service {
    /// Makes an image from a full transfer stream of its content.
    ///
    /// # Errors
    /// `AlreadyExists`, `Invalid` (the stream); nothing is changed then.
    pub fn image_import(&self, spec: &NewImage, input: &mut dyn Read) -> Result<Image, Error> {
        self.image_import_by(None, spec, input)
    }

    /// As [`Self::image_import`], for somebody who has to be let make it still when it has come.
    ///
    /// # Errors
    /// As that; `Unauthenticated`, `Forbidden`.
    pub fn image_import_by(
        &self,
        subject: Option<&Subject>,
        spec: &NewImage,
        input: &mut dyn Read,
    ) -> Result<Image, Error> {
        let core = &self.core;
        let label = format!("image '{}'", spec.name);
        check_spec(spec)?;
        // Told before the bytes come, and again when the name is bound.
        core.catalog.read(|tx| {
            check_new(tx, spec.name.owner(), &label)?;
            match image::find(tx, &spec.name)? {
                Some(_) => Err(Error::already_exists(&label)),
                None => Ok(()),
            }
        })?;
        let incoming = Incoming::full(input).map_err(|error| error.on(&label))?;
        let whole = incoming.size().checked_next_multiple_of(SECTOR_BYTES);
        let size = VolumeSize::from_bytes(whole.unwrap_or(u64::MAX))
            .map_err(|error| Error::invalid(error.to_string()).on(&label))?;
        let ingested = core.ingest(incoming).map_err(|error| error.on(&label))?;
        core.bind(ingested, size.bytes(), |tx, root| {
            check_maker(tx, subject, spec.name.owner(), &label)?;
            check_new(tx, spec.name.owner(), &label)?;
            let image = Image {
                id: ImageId::new(state::take_id(tx)?),
                name: spec.name.clone(),
                format: spec.format.clone(),
                os: spec.os.clone(),
                size,
                source_bytes: spec.source_bytes,
                sha256: spec.sha256.clone(),
                created_ms: core.now_ms(),
            };
            let row = ImageRow { image, root };
            if image::insert(tx, &row)? {
                Ok(row.image)
            } else {
                Err(Error::already_exists(&label))
            }
        })
    }

    /// All images, by name.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn images(&self) -> Result<Vec<Image>, Error> {
        let rows = self.core.catalog.read(image::list)?;
        Ok(rows.into_iter().map(|row| row.image).collect())
    }

    /// One image.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn image(&self, name: &ImageName) -> Result<Image, Error> {
        match self.core.catalog.read(|tx| image::find(tx, name))? {
            Some(row) => Ok(row.image),
            None => Err(Error::not_found(format_args!("image '{name}'"), "image ls")),
        }
    }

    /// Removes an image. Clones and open devices are unaffected.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn image_remove(&self, name: &ImageName) -> Result<(), Error> {
        if self.core.catalog.write(|tx| image::remove(tx, name))? {
            Ok(())
        } else {
            Err(Error::not_found(format_args!("image '{name}'"), "image ls"))
        }
    }
}

fn check_spec(spec: &NewImage) -> Result<(), Error> {
    for (what, text) in [("format", Some(&spec.format)), ("system", spec.os.as_ref())] {
        if text.is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(Error::invalid(format!(
                "the {what} of image '{}' is longer than {TEXT_BYTES_MAX} bytes; shorten it",
                spec.name
            )));
        }
    }
    check_sha256(spec.sha256.as_deref())
}

/// Refuses what is no SHA-256 in hexadecimal digits.
pub(super) fn check_sha256(sha256: Option<&str>) -> Result<(), Error> {
    match sha256 {
        Some(text) if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Err(Error::invalid("a SHA-256 is 64 hexadecimal digits; this one is not"))
        }
        _ => Ok(()),
    }
}
