//! The client against a server that is known to be right.

use std::fs::File;

use super::*;
use crate::program::{Background, program};
use crate::wait_for;

/// nbdkit's memory plugin on a free port.
fn server(folder: &std::path::Path) -> (Background, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = File::create(folder.join("log")).unwrap();
    let arguments = ["-f", "-i", "127.0.0.1", "-p", &port.to_string(), "-e", "vol", "memory", "1M"];
    let process = program("nbdkit").unwrap().args(arguments).background(&log).unwrap();
    let server = format!("127.0.0.1:{port}");
    let up = wait_for(Duration::from_secs(10), || TcpStream::connect(&server).ok());
    up.expect("nbdkit listens");
    (process, server)
}

#[test]
fn what_is_written_is_read_back_and_errors_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (_process, server) = server(folder.path());
    let mut client = Client::connect(&server, "vol").unwrap();
    assert_eq!(client.size(), 1 << 20);
    let (one, two) = ([1; 4096], [2; 8192]);
    client.all(&[Request::write(0, &one), Request::write(4096, &two).durable()]).unwrap();
    client.flush().unwrap();
    client.all(&[Request::plain(Kind::Zero, 4096, 4096)]).unwrap();
    assert_eq!(client.read(0, 4096).unwrap(), one);
    assert_eq!(client.read(4096, 4096).unwrap(), [0; 4096]);
    assert_eq!(client.read(8192, 4096).unwrap(), [2; 4096]);
    let beyond = client.all(&[Request::write(1 << 20, &one)]);
    assert!(matches!(beyond, Err(Failure::Refused(_))), "{beyond:?}");
}
