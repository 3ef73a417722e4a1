//! `archipelago file`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use archipelago_model::size::parse_bytes;
use archipelago_model::{ContainerName, NameError, ObjectName};
use clap::Subcommand;
use thiserror::Error;

#[derive(Subcommand, Debug)]
pub enum File {
    /// Store a local file; a file of that name gets this content
    ///
    /// Of a file that is in the store already only what differs is sent. A large new one goes in
    /// several requests at once; interrupted and run again, it goes on.
    #[command(after_help = "\
Examples:
  archipelago file put debian.qcow2 images/debian.qcow2
  tar c results | archipelago file put - runs/2026/results.tar")]
    Put {
        /// The local file; - is stdin, which is first spooled to a temporary file
        #[arg(value_name = "LOCAL|-")]
        local: PathBuf,
        /// Where to put it; the object's name may hold slashes
        #[arg(value_name = "CONT/OBJ")]
        file: FilePath,
    },
    /// Add a local file, or standard input, to the end of a file
    ///
    /// Any number of clients may append to one file at once: what each brings is there as a
    /// whole, or not at all. A file that is not there is made.
    #[command(after_help = "\
Examples:
  archipelago file append today.log logs/2026.log
  journalctl -o json | archipelago file append - logs/journal.json")]
    Append {
        /// The local file; - is stdin
        #[arg(value_name = "LOCAL|-")]
        local: PathBuf,
        /// The file to append to
        #[arg(value_name = "CONT/OBJ")]
        file: FilePath,
    },
    /// Write a local file, or standard input, over a part of a file
    ///
    /// It may reach beyond the end, but not begin there: make the file longer first. Any number
    /// of clients may write to one file at once, in any places; each write is atomic.
    #[command(after_help = "\
Examples:
  archipelago file write header.bin images/disk.raw --at 0
  archipelago file write - runs/results.dat --at 64M < part7")]
    Write {
        /// The local file; - is stdin
        #[arg(value_name = "LOCAL|-")]
        local: PathBuf,
        /// The file to write to
        #[arg(value_name = "CONT/OBJ")]
        file: FilePath,
        /// Where it begins in the file, in bytes; K, M, G and T are powers of 1024
        #[arg(long, value_name = "OFFSET", value_parser = parse_bytes)]
        at: u64,
    },
    /// Cut a file off, or make it longer with zeros
    #[command(after_help = "Example:\n  archipelago file truncate runs/results.dat 128M")]
    Truncate {
        /// The file
        #[arg(value_name = "CONT/OBJ")]
        file: FilePath,
        /// How long it is afterwards, in bytes; K, M, G and T are powers of 1024
        #[arg(value_name = "SIZE", value_parser = parse_bytes)]
        size: u64,
    },
    /// Fetch a file
    ///
    /// The local file appears under its name when it is complete and its
    /// checksum is right, and not before. A large one comes in several requests at once;
    /// interrupted and run again, it goes on. Over a file that exists (--force) only what differs
    /// is fetched.
    #[command(after_help = "\
Examples:
  archipelago file get runs/2026/results.tar results.tar
  archipelago file get images/disk.raw disk.raw --force")]
    Get {
        /// The file
        #[arg(value_name = "CONT/OBJ")]
        file: FilePath,
        /// The local file to write
        #[arg(value_name = "LOCAL")]
        local: PathBuf,
        /// Replace the local file if it exists
        #[arg(long)]
        force: bool,
    },
    /// List files
    #[command(after_help = "\
Examples:
  archipelago file ls
  archipelago file ls runs --prefix 2026/")]
    Ls {
        /// Only those of this container
        #[arg(value_name = "CONT")]
        container: Option<ContainerName>,
        /// Only those whose name begins with this
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
    },
    /// Show one file
    #[command(after_help = "Example:\n  archipelago file stat images/debian.qcow2")]
    Stat {
        /// The file
        #[arg(value_name = "CONT/OBJ")]
        file: FilePath,
    },
    /// Make a public link: whoever has it may read the file, without a login
    ///
    /// The link shows whatever the name has, until the file is removed, the link expires or
    /// `unpublish` ends it.
    #[command(after_help = "\
Examples:
  archipelago file publish papers/draft.pdf
  archipelago file publish papers/draft.pdf --expires 7d")]
    Publish {
        /// The file
        #[arg(value_name = "CONT/OBJ")]
        file: FilePath,
        /// When it ends: 30m, 12h or 7d from now; otherwise never by itself
        #[arg(long, value_name = "TIME")]
        expires: Option<Lifetime>,
    },
    /// End all public links of a file, at once
    #[command(after_help = "Example:\n  archipelago file unpublish papers/draft.pdf")]
    Unpublish {
        /// The file
        #[arg(value_name = "CONT/OBJ")]
        file: FilePath,
    },
    /// Show the public links of a file
    #[command(after_help = "Example:\n  archipelago file links papers/draft.pdf")]
    Links {
        /// The file
        #[arg(value_name = "CONT/OBJ")]
        file: FilePath,
    },
    /// Remove files; volumes cloned from them stay as they are
    #[command(after_help = "Example:\n  archipelago file rm images/debian.qcow2")]
    Rm {
        /// The files
        #[arg(required = true, value_name = "CONT/OBJ")]
        files: Vec<FilePath>,
    },
}

/// How long something lasts: `30m`, `12h`, `7d`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// In ms.
    pub ms: u64,
}

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
        let shown = text.escape_debug();
        let parts = units.into_iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, ms)));
        let (digits, unit_ms) = parts
            .filter(|(digits, _)| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(|| {
                format!("'{shown}' is no time: write a number and s, m, h or d, as 7d")
            })?;
        // A number that is too long for one is too much as well.
        let number: Option<u64> = digits.parse().ok();
        match number.and_then(|number| number.checked_mul(unit_ms)) {
            Some(0) => Err(format!("'{shown}' is over at once: write a longer time, as 7d")),
            Some(ms) if ms <= archipelago_api::LIFETIME_MS_MAX => Ok(Self { ms }),
            _ => Err(format!(
                "'{shown}' is too long: 36500d (a hundred years) at most; without a time it does \
                 not end by itself"
            )),
        }
    }
}

/// `CONTAINER/OBJECT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilePath {
    pub container: ContainerName,
    pub object: ObjectName,
}

/// Why a `CONTAINER/OBJECT` was refused.
#[derive(Debug, Error)]
pub enum FilePathError {
    #[error("'{0}' is not a file of the store: write CONTAINER/OBJECT")]
    Slash(String),
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for FilePath {
    type Err = FilePathError;

    fn from_str(text: &str) -> Result<Self, FilePathError> {
        // The SOURCE form is taken too, so that one can be pasted.
        let path = text.strip_prefix("file:").unwrap_or(text);
        let (container, object) = path
            .split_once('/')
            .ok_or_else(|| FilePathError::Slash(text.escape_default().to_string()))?;
        Ok(Self { container: container.parse()?, object: object.parse()? })
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.object)
    }
}
