//! Where the catalog of a folder's store is.

use std::io;
use std::path::{Path, PathBuf};

use archipelago_env::{Env, Mode};

use super::Folder;
use crate::catalog::{At, Catalog, Settings};
use crate::error::{Error, ErrorKind};
use crate::place;

/// Where a host has its name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Where the catalog of a store is.
pub(crate) enum Home {
    /// In a file.
    File(PathBuf),
    /// On a server; and who we are to it.
    Server(Box<Settings>, String),
}

impl Home {
    /// The same, as the catalog takes it.
    pub fn at<'a>(&'a self, env: &'a Env) -> At<'a> {
        match self {
            Self::File(path) => At::File(&**env.disk(), path),
            Self::Server(settings, holder) => At::Server(env, settings, holder),
        }
    }
}

impl Folder {
    /// Where the catalog is, without making it.
    pub fn home(&self, env: &Env) -> Result<Home, Error> {
        match &self.catalog {
            None => Ok(Home::File(self.catalog_path())),
            Some(url) => self.home_at(env, url),
        }
    }

    /// The same, of a catalog at a url.
    pub fn home_at(&self, env: &Env, url: &str) -> Result<Home, Error> {
        // The folder is locked: who had the catalog under this name before is gone.
        let holder = format!(
            "folder {} of host {}, machine {}",
            self.root.display(),
            host_name(env),
            place::machine(env)
        );
        Ok(Home::Server(Box::new(Settings::parse(url)?), holder))
    }
}

/// For people who are told of it.
fn host_name(env: &Env) -> String {
    let read = || -> io::Result<String> {
        let mut bytes = [0; 64];
        let len = env.disk().open(Path::new(HOST_NAME), Mode::Read)?.read_at(0, &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..len]).trim().to_owned())
    };
    read().unwrap_or_default()
}

/// Whether a url is one of a catalog, before it is repeated in any message.
pub(super) fn check(url: &str) -> Result<(), Error> {
    Settings::parse(url).map(drop)
}

/// Whether a catalog can be made there: asked before a store is made that can have no other.
pub(super) fn reach(env: &Env, url: &str) -> Result<(), Error> {
    match Catalog::is_blank(At::Server(env, &Settings::parse(url)?, ""))? {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::InUse,
            format!(
                "{url} has tables already, so that no store can be made there: choose another \
                 schema or database in [catalog] url"
            ),
        )),
    }
}
