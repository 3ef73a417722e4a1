//! Documents of S3 that are refused before any of them is read.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::harness::{Answer, Harness};
use super::signed::{self, Key};

const MIB: usize = 1 << 20;

struct Site {
    server: Harness,
    ann: Key,
    bob: Key,
}

impl Site {
    /// With a bucket of Ann's.
    fn start() -> Self {
        let server = Harness::start();
        let (ann, bob) = (signed::user(&server, "ann"), signed::user(&server, "bob"));
        let site = Self { server, ann, bob };
        assert_eq!(
            signed::send(&site.server, &site.ann, "PUT", ("/box", ""), &[], b"").status,
            200
        );
        site
    }

    /// Begins a request with a document of which nothing comes.
    fn begin(
        &self,
        key: Option<&Key>,
        method: &str,
        path: &str,
        query: &str,
        length: usize,
    ) -> TcpStream {
        let lines = key.map(|key| {
            let time = signed::now(&self.server);
            let head = [("x-amz-content-sha256", signed::UNSIGNED), ("x-amz-date", &*time)];
            signed::sign(key, &time, method, (path, query), &head)
        });
        let mut socket = self.server.connect();
        write!(
            socket,
            "{method} {path}?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\
             Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n",
            lines.unwrap_or_default()
        )
        .unwrap();
        socket
    }

    #[track_caller]
    fn refused(&self, mut socket: TcpStream, status: u16, code: &str) {
        let answer = Answer::read(&mut socket);
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
    }
}

#[test]
fn whoever_may_not_is_told_so_before_the_document_is_read() {
    let site = Site::start();
    for (method, path, query) in [
        ("PUT", "/box", "policy="),
        ("PUT", "/box", "acl="),
        ("PUT", "/box", "cors="),
        ("PUT", "/box", "lifecycle="),
        ("PUT", "/box", "tagging="),
        ("PUT", "/box", "versioning="),
        ("PUT", "/box", "encryption="),
        ("PUT", "/box", "ownershipControls="),
        ("PUT", "/box", "publicAccessBlock="),
        ("PUT", "/box", "object-lock="),
        ("PUT", "/box/o", "acl="),
        ("PUT", "/box/o", "tagging="),
        ("PUT", "/box/o", "retention="),
        ("PUT", "/box/o", "legal-hold="),
        ("POST", "/box/o", "uploadId=1"),
    ] {
        for key in [None, Some(&site.bob)] {
            let socket = site.begin(key, method, path, query, 3 * MIB);
            site.refused(socket, 403, "AccessDenied");
        }
    }
    site.refused(site.begin(None, "PUT", "/new", "", 3 * MIB), 403, "AccessDenied");
    let other = site.begin(Some(&site.ann), "PUT", "/none", "policy=", 3 * MIB);
    site.refused(other, 404, "NoSuchBucket");
}

#[test]
fn a_stranger_sends_no_long_list_of_what_to_remove() {
    let site = Site::start();
    site.refused(site.begin(None, "POST", "/box", "delete=", MIB), 400, "MaxMessageLengthExceeded");
    let none = site.begin(None, "POST", "/none", "delete=", MIB);
    site.refused(none, 404, "NoSuchBucket");
}

#[test]
fn a_document_that_is_longer_than_any_is_not_read() {
    let site = Site::start();
    let socket = site.begin(Some(&site.ann), "POST", "/box", "delete=", 5 * MIB);
    site.refused(socket, 400, "MaxMessageLengthExceeded");
}

/// Whether the server wants to read what was begun; else it refuses it.
fn is_read(socket: &mut TcpStream) -> bool {
    let mut begin = [0; 12];
    socket.read_exact(&mut begin).unwrap();
    match &begin {
        b"HTTP/1.1 100" => true,
        b"HTTP/1.1 503" => false,
        other => panic!("{}", String::from_utf8_lossy(other)),
    }
}

#[test]
fn long_documents_are_held_until_there_is_no_room_and_leave_it_with_their_request() {
    let site = Site::start();
    let list = || site.begin(Some(&site.ann), "POST", "/box", "delete=", 4 * MIB);
    let mut held: Vec<TcpStream> = (0..8).map(|_| list()).collect();
    assert!(held.iter_mut().all(is_read));
    assert!(!is_read(&mut list()));
    // A short one needs no room.
    let body = b"<Delete><Object><Key>a</Key></Object></Delete>";
    let answer = signed::send(&site.server, &site.ann, "POST", ("/box", "delete="), &[], body);
    assert_eq!(answer.status, 200);
    drop(held);
    while !is_read(&mut list()) {
        std::thread::yield_now();
    }
}
