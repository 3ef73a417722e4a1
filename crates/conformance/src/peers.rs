//! Servers of others, each on a port of its own of this machine: to be used by the store in tests, and
//! to be compared with it in benchmarks.

pub mod ceph;
pub mod postgres;
pub mod unkind;

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::program::program;
use crate::wait_for;

/// A server that does not answer after this is taken for broken.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A port that nobody has just now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until somebody listens.
pub fn await_port(port: &str) -> Result<()> {
    let address = format!("127.0.0.1:{port}");
    let there = wait_for(READY_WITHIN, || TcpStream::connect(&address).ok());
    ensure!(there.is_some(), "nobody listens at {address}");
    Ok(())
}

/// A program with arguments that is waited for.
pub fn call(name: &str, arguments: &[&str]) -> Result<String> {
    Ok(program(name)?.args(arguments).run()?.text())
}
