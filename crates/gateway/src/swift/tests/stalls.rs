//! Clients that begin an upload and send nothing more.

use std::io::Write;
use std::time::Duration;

use super::{Site, is};
use crate::patience::{Patience, STALLED};
use crate::tests::harness::{Answer, Harness};

#[test]
fn an_upload_that_stalls_is_given_up_and_makes_nothing() {
    let body = Duration::from_millis(200);
    let site = Site::on(Harness::with_patience(Patience { body, ..Patience::default() }));
    let token = site.token("ann");
    is(&site.ask("PUT", "/c", &token, b""), 201);
    for framed in ["Content-Length: 1000\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n5\r\nhe"] {
        let mut socket = site.server.connect();
        let head = format!("PUT {}/c/o HTTP/1.1\r\nHost: localhost\r\n{token}", site.ann);
        write!(socket, "{head}Connection: close\r\n{framed}").unwrap();
        let answer = Answer::read(&mut socket);
        is(&answer, 408);
        assert!(String::from_utf8_lossy(&answer.body).contains(STALLED));
    }
    site.server.await_no_transfer();
    is(&site.ask("GET", "/c/o", &token, b""), 404);
}
