//! What a folder notes of a store when it is made: urls, each in a file of its own.

use std::io;
use std::path::Path;

use archipelago_env::{Env, Mode};
use archipelago_format::FormatError;
use archipelago_format::pool_file::{POOL_FILE_BYTES_MAX, PoolFile};

use super::{failed, settle_store, write_whole};
use crate::error::{Error, ErrorKind};

/// A url that a store keeps.
pub(super) struct Note {
    pub file: &'static str,
    /// What is at the url.
    what: &'static str,
    /// Where it is without one.
    without: &'static str,
    /// The key of the configuration.
    key: &'static str,
}

impl Note {
    /// Where the segments are.
    pub const PLACE: Self =
        Self { file: "PLACE", what: "segments", without: "its folder 'pool'", key: "[pool] url" };

    /// Where the catalog is.
    pub const CATALOG: Self = Self {
        file: "CATALOG",
        what: "catalog",
        without: "its file catalog.sqlite",
        key: "[catalog] url",
    };

    /// Notes it, before the folder is a store; what an earlier try noted is void.
    pub fn write(&self, env: &Env, root: &Path, url: Option<&str>) -> Result<(), Error> {
        let wrong = |e| failed("write to", root, e);
        match url {
            // Also where there is none: a crash may have taken it away without a sync.
            None => match env.disk().remove_file(&root.join(self.file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(wrong(error)),
                _ => env.disk().sync_dir(root).map_err(wrong),
            },
            Some(url) => {
                let file = PoolFile::new(url).map_err(|error| {
                    Error::invalid(format!("{} is too long: {error}", self.key))
                })?;
                write_whole(env, root, self.file, &file.encode()).map_err(wrong)?;
                settle_store(env, root).map_err(wrong)
            }
        }
    }

    fn read(&self, env: &Env, root: &Path) -> Result<Option<String>, Error> {
        let path = root.join(self.file);
        let file = match env.disk().open(&path, Mode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, error)),
            Ok(file) => file,
        };
        let mut raw = [0; POOL_FILE_BYTES_MAX + 1];
        let len = file.read_at(0, &mut raw).map_err(|e| failed("read", &path, e))?;
        let file = PoolFile::decode(&raw[..len]).map_err(|error| {
            let newer = matches!(error, FormatError::Version { .. });
            let kind = if newer { ErrorKind::Invalid } else { ErrorKind::Damaged };
            let remedy =
                if newer { "use a newer archipelago" } else { "put it back from a backup" };
            Error::new(kind, format!("{}: {error}: {remedy}", path.display())).with_source(error)
        })?;
        Ok(Some(file.url().to_owned()))
    }

    /// What a store has; `wanted` must not be another.
    pub fn recorded(
        &self,
        env: &Env,
        root: &Path,
        wanted: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let recorded = self.read(env, root)?;
        let Self { what, key, .. } = self;
        match wanted {
            Some(url) if recorded.as_deref() != Some(url) => {
                let there = recorded.as_deref().unwrap_or(self.without);
                let is = if what.ends_with('s') { "are" } else { "is" };
                let its = if *what == "segments" { "pool" } else { "catalog" };
                Err(Error::invalid(format!(
                    "the {what} of the store in {} {is} in {there}, not in {url}: a store keeps its \
                     {its}; mend {key}, or choose another folder with --data",
                    root.display()
                )))
            }
            _ => Ok(recorded),
        }
    }
}
