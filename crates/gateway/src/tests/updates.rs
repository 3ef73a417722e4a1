//! `PATCH` of a file: whole, broken, by many at once.

use std::io::Write;

use archipelago_api::{ErrorKind, File, UpdateQuery, UpdatedFile, path};

use super::harness::{Harness, content_of, full_stream, noise};

fn target(offset: Option<u64>, size: Option<u64>) -> String {
    path::file_update("c", "a/log", &UpdateQuery { offset, size })
}

fn with_file(content: &[u8]) -> Harness {
    let server = Harness::start();
    let put = path::file_put("c", "a/log", None);
    server.raw("PUT", &put, "", &full_stream(content)).json::<File>(201);
    server
}

fn content(server: &Harness) -> Vec<u8> {
    content_of(&server.get(&path::export("file:c/a/log")).body)
}

#[test]
fn bytes_are_written_appended_and_cut_off() {
    let server = with_file(b"first");
    let done: UpdatedFile = server.raw("PATCH", &target(None, None), "", b", second").json(200);
    assert_eq!((done.offset, done.file.size), (5, 13));
    server.raw("PATCH", &target(Some(0), None), "", b"F").json::<UpdatedFile>(200);
    assert_eq!(content(&server), b"First, second");
    let cut: UpdatedFile = server.raw("PATCH", &target(None, Some(5)), "", b"").json(200);
    assert_eq!(cut.file.size, 5);
    assert_eq!(content(&server), b"First");
    let error =
        server.raw("PATCH", &target(Some(6), None), "", b"x").error(400, ErrorKind::Invalid);
    assert!(error.contains("c/a/log") && error.contains("beyond the end"), "{error}");
    let found: File = server.get(&path::file("c", "a/log")).json(200);
    assert_eq!((found.size, found.sha256), (5, None));
}

#[test]
fn a_file_and_its_container_are_made_by_an_append_but_not_by_a_size() {
    let server = with_file(b"");
    let other = |size| path::file_update("c", "new", &UpdateQuery { offset: None, size });
    server.raw("PATCH", &other(Some(5)), "", b"").error(404, ErrorKind::NotFound);
    assert_eq!(server.raw("PATCH", &other(None), "", b"abc").json::<UpdatedFile>(200).file.size, 3);
    let nowhere = |size| path::file_update("nowhere", "new", &UpdateQuery { offset: None, size });
    server.raw("PATCH", &nowhere(Some(5)), "", b"").error(404, ErrorKind::NotFound);
    let made = server.raw("PATCH", &nowhere(None), "", b"abc");
    assert_eq!(made.json::<UpdatedFile>(200).file.size, 3);
}

#[test]
fn an_append_whose_client_goes_away_changes_nothing() {
    let server = with_file(b"all");
    for len in [1000, 4 << 20] {
        let mut socket = server.connect();
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n",
            target(None, None)
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(&noise(len - 1, 1)).unwrap();
        drop(socket);
        server.await_no_transfer();
    }
    assert_eq!(content(&server), b"all");
}

#[test]
fn all_that_is_appended_at_once_is_there() {
    let server = with_file(b"");
    std::thread::scope(|scope| {
        for n in 0..16_u8 {
            let server = &server;
            scope.spawn(move || {
                for len in [1, 700, 70_000] {
                    let body = vec![n + 1; len];
                    server.raw("PATCH", &target(None, None), "", &body).json::<UpdatedFile>(200);
                }
            });
        }
    });
    let content = content(&server);
    assert_eq!(content.len(), 16 * 70_701);
    for n in 0..16 {
        assert_eq!(content.iter().filter(|byte| **byte == n + 1).count(), 70_701);
    }
}
