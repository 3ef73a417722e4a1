//! SOURCE: the one grammar that names anything that can be cloned or read.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::name::{
    AccountName, ContainerName, ImageName, NameError, ObjectName, SnapshotName, VolumeName,
};

/// Why a SOURCE was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SourceError {
    /// No known kind before the colon.
    #[error(
        "'{0}' is not a SOURCE: write image:NAME, volume:NAME, snapshot:VOL@SNAP \
         or file:CONTAINER/OBJECT"
    )]
    Kind(String),
    /// `VOL@SNAP` was expected.
    #[error("'{0}' is not a snapshot: write VOL@SNAP")]
    Snapshot(String),
    /// A part is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// `VOL@SNAP`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SnapshotPath {
    /// The volume it was taken of.
    pub volume: VolumeName,
    /// Its name within that volume.
    pub snapshot: SnapshotName,
}

impl FromStr for SnapshotPath {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (volume, snapshot) = text
            .split_once('@')
            .ok_or_else(|| SourceError::Snapshot(text.escape_default().to_string()))?;
        Ok(Self { volume: volume.parse()?, snapshot: snapshot.parse()? })
    }
}

impl fmt::Display for SnapshotPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.volume, self.snapshot)
    }
}

/// Anything that a map can be taken from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// `image:NAME`
    Image(ImageName),
    /// `volume:NAME`
    Volume(VolumeName),
    /// `snapshot:VOL@SNAP`
    Snapshot(SnapshotPath),
    /// `file:CONTAINER/OBJECT`, of the first account
    File(ContainerName, ObjectName),
    /// `file:/ACCOUNT/CONTAINER/OBJECT`: no container has an empty name
    FileOf(AccountName, ContainerName, ObjectName),
}

impl Source {
    /// Whether it is a file, of whichever account.
    pub const fn is_file(&self) -> bool {
        matches!(self, Self::File(..) | Self::FileOf(..))
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let unknown =
            || SourceError::Kind(text.chars().take(64).flat_map(char::escape_default).collect());
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        match kind {
            "image" => Ok(Self::Image(rest.parse()?)),
            "volume" => Ok(Self::Volume(rest.parse()?)),
            "snapshot" => Ok(Self::Snapshot(rest.parse()?)),
            "file" if rest.starts_with('/') => {
                let mut parts = rest[1..].splitn(3, '/');
                let mut part = || parts.next().ok_or_else(unknown);
                Ok(Self::FileOf(part()?.parse()?, part()?.parse()?, part()?.parse()?))
            }
            "file" => {
                let (container, object) = rest.split_once('/').ok_or_else(unknown)?;
                Ok(Self::File(container.parse()?, object.parse()?))
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(name) => write!(f, "image:{name}"),
            Self::Volume(name) => write!(f, "volume:{name}"),
            Self::Snapshot(path) => write!(f, "snapshot:{path}"),
            Self::File(container, object) => write!(f, "file:{container}/{object}"),
            Self::FileOf(account, container, object) => {
                write!(f, "file:/{account}/{container}/{object}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
