//! Clients that send nothing any more are given up, and what they had begun is not there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use archipelago_api::{Files, path};
use archipelago_env::Env;

use super::harness::{Answer, Harness};
use crate::calls::{Line, TRANSFERS_MAX};
use crate::patience::{Pace, Patience};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(3600);

fn patient(head: Duration, body: Duration, pipe: Duration) -> Harness {
    Harness::with_patience(Patience { head, body, pipe, slow: LONG })
}

/// The head of a request with a body of a thousand bytes, and one of these.
fn begun(server: &Harness, method: &str, path: &str, head: &str) -> TcpStream {
    let mut socket = server.connect();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\
         Content-Length: 1000\r\n\r\nx"
    )
    .unwrap();
    socket
}

#[test]
fn a_head_that_comes_byte_by_byte_is_given_up() {
    let server = patient(SHORT, LONG, LONG);
    let (mut socket, env) = (server.connect(), Env::real());
    let clock = env.clock();
    for byte in b"GET /healthz HTTP/1.1\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a')) {
        // Each byte comes sooner than the limit; all of them do not.
        clock.sleep(SHORT / 20);
        if socket.write_all(&[*byte]).is_err() {
            return;
        }
    }
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let server = patient(SHORT, LONG, LONG);
    let mut rest = Vec::new();
    let _ = server.connect().read_to_end(&mut rest);
    assert!(rest.is_empty());
}

#[test]
fn a_body_of_the_native_api_that_stalls_is_told_so_and_makes_nothing() {
    let server = patient(LONG, LONG, SHORT);
    let mut socket = begun(&server, "PUT", &path::file_put("c", "o", None), "");
    let answer = Answer::read(&mut socket);
    assert_eq!(answer.status, 400, "{}", answer.head);
    assert!(String::from_utf8_lossy(&answer.body).contains("nothing came for"));
    server.await_no_transfer();
    assert!(server.get(&path::files(None, None)).json::<Files>(200).files.is_empty());
    let mut socket = begun(&server, "POST", path::VOLUMES, "Content-Type: application/json\r\n");
    assert_eq!(Answer::read(&mut socket).status, 400);
}

#[test]
fn a_document_for_s3_that_stalls_is_a_timeout_of_its_client() {
    let server = patient(LONG, SHORT, LONG);
    let mut socket = begun(&server, "POST", "/box?delete", "");
    let answer = Answer::read(&mut socket);
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 400, "{text}");
    assert!(text.contains("<Code>RequestTimeout</Code><Message>"), "{text}");
}

#[test]
fn a_login_that_stalls_is_given_up() {
    let server = patient(LONG, SHORT, LONG);
    let head = "Content-Type: application/json\r\n";
    let mut socket = begun(&server, "POST", "/identity/v3/auth/tokens", head);
    let status = Answer::read(&mut socket).status;
    assert!((400..500).contains(&status), "{status}");
}

#[test]
fn clients_that_send_byte_by_byte_lose_their_places_to_those_who_wait() {
    let slow = Patience { head: LONG, body: LONG, pipe: LONG, slow: SHORT };
    let (server, env) = (Harness::with_patience(slow), Env::real());
    let begin =
        |name: usize| begun(&server, "PUT", &path::file_put("c", &name.to_string(), None), "");
    let mut slow: Vec<TcpStream> = (0..TRANSFERS_MAX).map(begin).collect();
    while server.app.calls.transfers_running() < TRANSFERS_MAX {
        env.clock().sleep(SHORT / 20);
    }
    let mut quick = server.connect();
    let put = path::file_put("c", "quick", None);
    write!(
        quick,
        "PUT {put} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nwhat"
    )
    .unwrap();
    quick.set_nonblocking(true).unwrap();
    let mut answer = Vec::new();
    while answer.is_empty() {
        env.clock().sleep(SHORT / 20);
        for socket in &mut slow {
            let _ = socket.write_all(b"x");
        }
        let mut piece = [0; 64];
        answer.extend(quick.read(&mut piece).map_or(&[][..], |len| &piece[..len]));
    }
    // What it says is no transfer stream; it had its turn.
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_slow_client_keeps_its_place_while_nobody_waits() {
    let patience = Patience { slow: SHORT, ..Patience::default() };
    let mut pace = Pace::new(patience, Line::default());
    assert!(!pace.is_lost(SHORT, 1));
}
