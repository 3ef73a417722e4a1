//! The server from outside, byte by byte and by the clients that people use.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod clients;
mod handshake;
mod hostile;
mod memory;
mod requests;
mod status;
mod stopping;
mod tls;
