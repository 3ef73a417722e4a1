//! The NBD server: named exports over TCP and UNIX sockets, with or without TLS.
//!
//! Architecture invariants:
//! * **NBD's numbers** (error codes, flags, magics) exist in this crate only;
//! * **`proto` does no I/O**: it turns bytes into values and values into bytes;
//! * **every request is answered exactly once**, which `reply::Token` enforces;
//! * what is served is behind the [`Exports`] and [`Export`] traits: this crate
//!   knows no maps, chunks or catalogs.
//!
//! A connection is one thread (`session`), which reads many requests with one
//! system call, executes them as one batch (`dispatch`) and answers them with one
//! system call. What may take long goes to a few helper threads of that connection.

mod buffers;
mod counters;
mod crew;
mod dispatch;
mod export;
mod failure;
pub mod fuzz;
mod handshake;
mod hub;
mod inbox;
mod limits;
mod link;
mod listen;
mod meta;
mod pace;
mod proto;
mod reads;
mod reply;
mod sectors;
mod server;
mod session;
mod stream;
mod tls;
mod writes;

pub use counters::{CommandCounts, Counts};
pub use export::{
    ChangedRange, Client, Export, ExportError, ExportErrorKind, Exports, StatusRange, Write,
};
pub use limits::Limits;
pub use listen::{Listen, ListenError};
pub use server::NbdServer;
pub use tls::{TlsConfig, TlsConfigError, TlsMode};

/// Unit tests see the in-memory export that the tests from outside use, which names this crate.
#[cfg(test)]
extern crate self as archipelago_block;

#[cfg(test)]
#[allow(dead_code, reason = "each kind of test uses a part of it")]
#[path = "../tests/nbd/memory.rs"]
mod memory;
