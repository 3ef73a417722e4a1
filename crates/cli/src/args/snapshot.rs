//! `archipelago snapshot`.

use std::path::PathBuf;
use std::str::FromStr;

use archipelago_model::{SnapshotName, SnapshotPath, Source, SourceError, VolumeName};
use clap::Subcommand;

#[derive(Subcommand, Debug)]
pub enum Snapshot {
    /// Take a snapshot of a volume, also while it is in use
    ///
    /// Several are taken at one cut: no write is in one and missing in another
    /// that was made after it. All are taken, or none.
    #[command(after_help = "\
Examples:
  archipelago snapshot create web@before
  archipelago snapshot create web@nightly db@nightly")]
    Create {
        /// The snapshots, as VOL@SNAP
        #[arg(required = true, value_name = "VOL@SNAP")]
        snapshots: Vec<SnapshotPath>,
    },
    /// List snapshots
    #[command(after_help = "Example:\n  archipelago snapshot ls web")]
    Ls {
        /// Only those of this volume
        #[arg(value_name = "VOL")]
        volume: Option<VolumeName>,
    },
    /// Show one snapshot
    #[command(after_help = "Example:\n  archipelago snapshot show web@before")]
    Show {
        /// The snapshot
        #[arg(value_name = "VOL@SNAP")]
        snapshot: SnapshotPath,
    },
    /// Remove snapshots; clones of them stay as they are
    #[command(after_help = "Example:\n  archipelago snapshot rm web@before")]
    Rm {
        /// The snapshots
        #[arg(required = true, value_name = "VOL@SNAP")]
        snapshots: Vec<SnapshotPath>,
    },
    /// Put a volume back to what it was; refused while it is attached
    #[command(after_help = "Example:\n  archipelago snapshot rollback web@before")]
    Rollback {
        /// The snapshot to go back to
        #[arg(value_name = "VOL@SNAP")]
        snapshot: SnapshotPath,
    },
    /// List the byte ranges that differ, from the maps alone
    #[command(after_help = "\
Examples:
  archipelago snapshot diff web@before web
  archipelago snapshot diff image:debian-12 web@before")]
    Diff {
        /// The older one: VOL@SNAP, a volume's name, or a SOURCE
        #[arg(value_name = "A")]
        from: Reference,
        /// The newer one: VOL@SNAP, a volume's name, or a SOURCE
        #[arg(value_name = "B")]
        to: Reference,
    },
    /// Write a snapshot as a stream, in full or as the difference to an older one
    #[command(after_help = "\
Examples:
  archipelago snapshot send web@monday -o web-monday.arch
  archipelago snapshot send web@tuesday --since monday | ssh backup archipelago snapshot receive web@tuesday")]
    Send {
        /// The snapshot
        #[arg(value_name = "VOL@SNAP")]
        snapshot: SnapshotPath,
        /// Only what changed since this older snapshot of the same volume (SNAP or VOL@SNAP)
        #[arg(long, value_name = "SNAP")]
        since: Option<Since>,
        /// Write to a file instead of stdout; it appears when it is complete
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Replace the file if it exists
        #[arg(long, requires = "output")]
        force: bool,
    },
    /// Make a snapshot from a stream that `snapshot send` wrote
    ///
    /// A full stream makes the volume too. A difference needs the volume to be
    /// exactly at the snapshot that the difference is to.
    #[command(after_help = "\
Examples:
  archipelago snapshot receive web@monday web-monday.arch
  archipelago snapshot receive web@tuesday < web-tuesday.arch")]
    Receive {
        /// The snapshot to make
        #[arg(value_name = "VOL@SNAP")]
        snapshot: SnapshotPath,
        /// The stream; - is stdin
        #[arg(value_name = "FILE|-", default_value = "-")]
        file: PathBuf,
    },
}

/// A SOURCE in which `VOL@SNAP` is a snapshot and a bare name is a volume's.
/// No name holds a colon or an at-sign, so there is no ambiguity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference(pub Source);

impl FromStr for Reference {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        // A file's name may hold an at-sign, after its kind's colon.
        if text.contains(':') {
            Ok(Self(text.parse()?))
        } else if text.contains('@') {
            Ok(Self(Source::Snapshot(text.parse()?)))
        } else {
            Ok(Self(Source::Volume(text.parse()?)))
        }
    }
}

/// An older snapshot: its name, or its path, whose volume has to be the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Since {
    pub volume: Option<VolumeName>,
    pub snapshot: SnapshotName,
}

impl FromStr for Since {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text.contains('@') {
            let path: SnapshotPath = text.parse()?;
            return Ok(Self { volume: Some(path.volume), snapshot: path.snapshot });
        }
        Ok(Self { volume: None, snapshot: text.parse()? })
    }
}
