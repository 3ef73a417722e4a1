//! A daemon that does not sync what it should: the kernel answers one of its
//! system calls with success and does nothing. A campaign that finds nothing
//! wrong with such a daemon would find nothing at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::program::program;

/// Which system call does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Careless {
    /// `fdatasync`: bytes of the log, of cold segments and of the catalog.
    Data,
    /// `fsync`: names in directories.
    Names,
}

impl Careless {
    /// What a daemon is started under, built in `folder`.
    pub fn wrapper(self, folder: &Path) -> Result<(PathBuf, &'static str)> {
        let (source, wrapper) = (folder.join("careless.c"), folder.join("careless"));
        fs::write(&source, include_str!("careless.c"))?;
        program("gcc")?.args(["-O1", "-Wall", "-o"]).args([&wrapper, &source]).run()?;
        let call = match self {
            Self::Data => "fdatasync",
            Self::Names => "fsync",
        };
        Ok((wrapper, call))
    }
}
