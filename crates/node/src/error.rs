//! Why `serve` did not start, or did not end well.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use archipelago_pool as pool;
use thiserror::Error;

/// Why `serve` did not start, or did not end well.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A file that the configuration needs.
    #[error("cannot read {what} '{path}': {source}", path = .path.display())]
    Read {
        /// What the file is.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration file is not one.
    #[error("in the configuration file '{path}': {message}", path = .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Line, key, and what is wrong.
        message: String,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(String),
    /// An address that other machines reach, without saying so.
    #[error(
        "{what} would listen on {address}, which other machines reach, without TLS unless \
         [tls] says so; use 127.0.0.1, or say --allow-remote (allow_remote = true)"
    )]
    Remote {
        /// HTTP or NBD.
        what: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The TLS settings.
    #[error("{0}; see [tls] in the configuration")]
    Tls(#[from] archipelago_block::TlsConfigError),
    /// The store did not open; in use by another process, damaged, no store at all...
    #[error(transparent)]
    Open(#[from] pool::Error),
    /// HTTP has no place to listen.
    #[error("HTTP cannot listen on {address}: {source}; choose another address with --http")]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// NBD has no place to listen.
    #[error("{0}; choose another address with --nbd")]
    Nbd(#[source] archipelago_block::ListenError),
    /// The system has no threads for us.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// The store was not closed cleanly. Nothing acknowledged is lost: the next
    /// start recovers it from the log.
    #[error("the store was not closed cleanly; the next start recovers it from its log: {0}")]
    Close(#[source] pool::Error),
}
