//! The host daemon: configuration, start, signals, shutdown.
//!
//! [`serve`] opens the pool, serves it over NBD and HTTP, and returns once it
//! was told to stop and everything is durable. Nothing here knows a route, a
//! protocol or a map: it puts the parts together and takes them apart again.
//!
//! Order matters. The pool is opened first: it holds the lock of the folder,
//! so that a second daemon says "in use", not "port taken". It is closed last,
//! when neither server has a call under way.

mod config;
mod error;
mod exports;
mod log;
pub mod offline;
mod ready;
mod run;

use std::path::PathBuf;

pub use config::LogFormat;
pub use error::ServeError;
pub use run::serve;

/// The folder of the store when none is given.
pub const DEFAULT_DATA: &str = "./archipelago-data";
/// Where NBD listens when nothing is given.
pub const DEFAULT_NBD_ADDRESS: &str = "127.0.0.1:10809";

/// What the command line says. `None` and empty: the configuration file
/// decides, then the default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServeOptions {
    /// The configuration file (TOML); none is looked for when not given.
    pub config: Option<PathBuf>,
    /// The folder of the store; made when missing.
    pub data: Option<PathBuf>,
    /// Where HTTP listens: `ADDRESS:PORT`; port 0 is any free one.
    pub http: Option<String>,
    /// Domains with a bucket of S3 in front.
    pub s3_domains: Vec<String>,
    /// Domains with an account of Swift in front.
    pub swift_domains: Vec<String>,
    /// Where NBD listens: `ADDRESS:PORT` or `unix:PATH` each.
    pub nbd: Vec<String>,
    /// Listen also on addresses that other machines reach.
    pub allow_remote: bool,
    /// How log lines look.
    pub log_format: Option<LogFormat>,
    /// Which log lines to write, as `info` or `info,archipelago_engine=debug`.
    pub log_filter: Option<String>,
}
