//! `archipelago container`.

use std::str::FromStr;

use archipelago_model::size::parse_bytes;
use archipelago_model::{AccountName, ContainerName, SizeError};
use clap::{Args, Subcommand};

/// Whose a container is.
#[derive(Args, Debug)]
pub struct Owner {
    /// The account that owns it; that of the files of the command line if nothing is said
    #[arg(long, value_name = "ACCOUNT", default_value = "admin")]
    pub account: AccountName,
}

#[derive(Subcommand, Debug)]
pub enum Container {
    /// List containers with what they hold and may hold
    #[command(after_help = "\
Examples:
  archipelago container ls
  archipelago container ls --account lab --json")]
    Ls {
        #[command(flatten)]
        owner: Owner,
    },
    /// Show one container
    #[command(after_help = "Example:\n  archipelago container show images")]
    Show {
        /// The container
        #[arg(value_name = "CONT")]
        name: ContainerName,
        #[command(flatten)]
        owner: Owner,
    },
    /// Make containers
    #[command(after_help = "\
Examples:
  archipelago container create images
  archipelago container create logs --account lab")]
    Create {
        /// The containers
        #[arg(value_name = "CONT", required = true)]
        names: Vec<ContainerName>,
        #[command(flatten)]
        owner: Owner,
    },
    /// Remove containers that are empty, of old versions too
    #[command(after_help = "Example:\n  archipelago container rm logs --account lab")]
    Rm {
        /// The containers
        #[arg(value_name = "CONT", required = true)]
        names: Vec<ContainerName>,
        #[command(flatten)]
        owner: Owner,
    },
    /// Have a container be in another pool: what comes goes there, what is there follows
    #[command(after_help = "\
Examples:
  archipelago container move images --to far
  archipelago container move logs --to none --account lab")]
    Move {
        /// The container
        #[arg(value_name = "CONT")]
        name: ContainerName,
        #[command(flatten)]
        target: super::pool::Target,
        #[command(flatten)]
        owner: Owner,
    },
    /// Set how much a container may hold
    ///
    /// The sizes of all versions count, and those of parts of unfinished uploads; of objects,
    /// the newest versions. What is held already stays, also when it is more.
    #[command(after_help = "\
Examples:
  archipelago container quota images 500G
  archipelago container quota images none
  archipelago container quota logs 1T --objects 100000 --account lab
  archipelago container quota logs --objects none --account lab")]
    Quota {
        /// The container
        #[arg(value_name = "CONT")]
        name: ContainerName,
        /// How many bytes
        #[arg(value_name = "SIZE|none", required_unless_present = "objects")]
        size: Option<BytesQuota>,
        /// How many objects
        #[arg(long, value_name = "COUNT|none")]
        objects: Option<ObjectsQuota>,
        #[command(flatten)]
        owner: Owner,
    },
}

/// `10G` or `none`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BytesQuota(pub Option<u64>);

impl FromStr for BytesQuota {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        if text == "none" { Ok(Self(None)) } else { parse_bytes(text).map(Some).map(Self) }
    }
}

/// `1000` or `none`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectsQuota(pub Option<u64>);

impl FromStr for ObjectsQuota {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}
