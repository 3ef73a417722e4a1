//! Uploads and downloads, whole and broken.

use std::io::{Read, Write};
use std::net::Shutdown;

use archipelago_api::{
    ErrorKind, File, Files, Image, Images, ImportQuery, Snapshot, Volumes, path,
};
use archipelago_pool as pool;
use axum::Router;
use axum::extract::State;
use axum::routing::get;

use super::harness::{Answer, Harness, content_of, full_stream, noise};
use crate::App;
use crate::download::download;
use crate::failure::Failure;
use crate::server::Hangup;

const MIB: usize = 1 << 20;

fn import(server: &Harness, name: &str, stream: &[u8]) -> Answer {
    let query = ImportQuery { format: "raw".into(), ..Default::default() };
    server.raw("POST", &path::image_import(name, &query), "", stream)
}

fn images(server: &Harness) -> usize {
    server.get(path::IMAGES).json::<Images>(200).images.len()
}

#[test]
fn what_was_imported_is_exported_byte_for_byte() {
    let server = Harness::start();
    let content = noise(5 * MIB, 1);
    let query = ImportQuery {
        format: "qcow2".into(),
        os: Some("Debian 12".into()),
        source_bytes: Some(7),
        sha256: Some("a".repeat(64)),
    };
    let target = path::image_import("i", &query);
    let image: Image = server.raw("POST", &target, "", &full_stream(&content)).json(201);
    assert_eq!((image.size, image.format.as_str()), (content.len() as u64, "qcow2"));
    assert_eq!((image.os, image.source_bytes), (query.os, query.source_bytes));
    let answer = server.get(&path::export("image:i"));
    assert_eq!((answer.status, answer.whole), (200, true));
    assert!(answer.head.contains(archipelago_api::STREAM_CONTENT_TYPE));
    assert!(content_of(&answer.body) == content);
    assert_eq!(server.delete(&path::image("i")).status, 204);
    server.get(&path::image("i")).error(404, ErrorKind::NotFound);
}

#[test]
fn a_chunked_upload_is_as_good_as_one_of_known_length() {
    let server = Harness::start();
    let stream = full_stream(&noise(300_032, 2));
    let query = ImportQuery { format: "raw".into(), ..Default::default() };
    let mut socket = server.connect();
    write!(
        socket,
        "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        path::image_import("i", &query)
    )
    .unwrap();
    for piece in stream.chunks(77_777) {
        write!(socket, "{:x}\r\n", piece.len()).unwrap();
        socket.write_all(piece).unwrap();
        socket.write_all(b"\r\n").unwrap();
    }
    socket.write_all(b"0\r\n\r\n").unwrap();
    Answer::read(&mut socket).json::<Image>(201);
}

#[test]
fn an_upload_whose_client_goes_away_binds_nothing_and_leaves_nothing_running() {
    let server = Harness::start();
    let stream = full_stream(&noise(4 * MIB, 3));
    let query = ImportQuery { format: "raw".into(), ..Default::default() };
    let mut socket = server.connect();
    write!(
        socket,
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        path::image_import("i", &query),
        stream.len()
    )
    .unwrap();
    socket.write_all(&stream[..stream.len() - 1]).unwrap();
    drop(socket);
    server.await_no_transfer();
    assert_eq!(images(&server), 0);
}

#[test]
fn a_stream_that_ends_early_is_refused_and_binds_nothing() {
    let server = Harness::start();
    let stream = full_stream(&noise(MIB, 4));
    for len in [0, 10, 64, stream.len() / 2, stream.len() - 1] {
        import(&server, "i", &stream[..len]).error(400, ErrorKind::Invalid);
    }
    let mut flipped = stream.clone();
    flipped[stream.len() / 2] ^= 1;
    import(&server, "i", &flipped).error(400, ErrorKind::Invalid);
    let mut longer = stream;
    longer.push(0);
    import(&server, "i", &longer).error(400, ErrorKind::Invalid);
    assert_eq!(images(&server), 0);
}

#[test]
fn a_refused_upload_is_answered_before_its_body_is_asked_for() {
    let server = Harness::start();
    import(&server, "i", &full_stream(&noise(4096, 5))).json::<Image>(201);
    let query = ImportQuery { format: "raw".into(), ..Default::default() };
    let mut socket = server.connect();
    write!(
        socket,
        "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n",
        path::image_import("i", &query)
    )
    .unwrap();
    Answer::read(&mut socket).error(409, ErrorKind::AlreadyExists);
}

/// What the client sends next would be taken for the body that it was not asked for.
#[test]
fn a_connection_ends_with_an_upload_that_is_refused_before_its_body_is_asked_for() {
    let server = Harness::start();
    import(&server, "i", &full_stream(&noise(4096, 5))).json::<Image>(201);
    let query = ImportQuery { format: "raw".into(), ..Default::default() };
    for path in [path::image_import("i", &query), "/v1/nothing".to_owned(), "/box/key".to_owned()] {
        let mut socket = server.connect();
        write!(
            socket,
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
             Content-Length: 1000000\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

#[test]
fn a_refused_upload_is_answered_also_when_its_body_comes_anyway() {
    let server = Harness::start();
    import(&server, "i", &full_stream(&noise(4096, 6))).json::<Image>(201);
    let stream = full_stream(&noise(32 * MIB, 7));
    import(&server, "i", &stream).error(409, ErrorKind::AlreadyExists);
}

#[test]
fn a_download_that_cannot_begin_is_an_ordinary_error() {
    let server = Harness::start();
    server.get(&path::export("image:none")).error(404, ErrorKind::NotFound);
    server.get(&path::export("nonsense")).error(400, ErrorKind::Invalid);
    server.get(&path::snapshot_send("v", "s", None)).error(404, ErrorKind::NotFound);
}

#[test]
fn a_download_whose_client_goes_away_leaves_nothing_running() {
    let server = Harness::start();
    import(&server, "i", &full_stream(&noise(32 * MIB, 8))).json::<Image>(201);
    let mut socket = server.connect();
    write!(socket, "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path::export("image:i")).unwrap();
    let mut first = [0; 1000];
    socket.read_exact(&mut first).unwrap();
    assert_eq!(server.app.calls.transfers_running(), 1);
    socket.shutdown(Shutdown::Both).unwrap();
    drop(socket);
    server.await_no_transfer();
}

async fn broken(
    State(app): State<App>,
    hangup: Hangup,
) -> Result<axum::response::Response, Failure> {
    let verb = |_: &pool::Service, out: &mut dyn Write| {
        out.write_all(&vec![7; 4 * MIB]).expect("the client listens");
        Err(pool::Error::new(pool::ErrorKind::Damaged, "a chunk is damaged"))
    };
    download(&app, hangup, verb).await
}

async fn panicking(
    State(app): State<App>,
    hangup: Hangup,
) -> Result<axum::response::Response, Failure> {
    download(&app, hangup, |_, _| panic!("on purpose")).await
}

#[test]
fn a_download_that_fails_on_the_way_is_cut_off() {
    let server = Harness::with_router(|app| Router::new().route("/", get(broken)).with_state(app));
    let answer = server.get("/");
    assert_eq!((answer.status, answer.whole), (200, false));
    // What was written before goes out: a stream says there why it ends.
    assert_eq!(answer.body.len(), 4 * MIB);
    server.await_no_transfer();
}

#[test]
fn a_verb_that_panics_is_an_internal_error_and_frees_its_place() {
    let server =
        Harness::with_router(|app| Router::new().route("/", get(panicking)).with_state(app));
    server.get("/").error(500, ErrorKind::Internal);
    server.await_no_transfer();
}

#[test]
fn a_stop_lets_a_running_download_finish() {
    let mut server = Harness::start();
    let content = noise(8 * MIB, 9);
    import(&server, "i", &full_stream(&content)).json::<Image>(201);
    let mut socket = server.connect();
    write!(socket, "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path::export("image:i")).unwrap();
    let mut first = [0; 1];
    socket.peek(&mut first).unwrap();
    server.stop.stop();
    let answer = Answer::read(&mut socket);
    assert!(answer.whole && content_of(&answer.body) == content);
    server.finish();
}

#[test]
fn a_file_is_removed_only_as_the_version_that_is_meant() {
    let server = Harness::start();
    let content = full_stream(b"content");
    let put =
        || server.raw("PUT", &path::file_put("c", "o", None), "", &content).json::<File>(201).id;
    let (old, new) = (put(), put());
    let message = server.delete(&path::file_version("c", "o", old)).error(409, ErrorKind::InUse);
    assert!(message.contains("another version"), "{message}");
    assert_eq!(server.get(&path::file("c", "o")).json::<File>(200).id, new);
    assert_eq!(server.delete(&path::file_version("c", "o", new)).status, 204);
    server.delete(&path::file_version("c", "o", new)).error(404, ErrorKind::NotFound);
}

#[test]
fn a_file_is_put_described_listed_and_removed() {
    let server = Harness::start();
    let content = noise(100_001, 10);
    let sha = "0".repeat(64);
    let put = path::file_put("c", "a b/\u{e9}", Some(&sha));
    let file: File = server.raw("PUT", &put, "", &full_stream(&content)).json(201);
    assert_eq!((file.size, file.object.as_str()), (100_001, "a b/\u{e9}"));
    let shown: File = server.get(&path::file("c", "a b/\u{e9}")).json(200);
    assert_eq!(shown.sha256.as_ref(), Some(&sha));
    let list = |container, prefix| {
        server.get(&path::files(container, prefix)).json::<Files>(200).files.len()
    };
    assert_eq!(list(Some("c"), Some("a b/")), 1);
    assert_eq!(list(None, Some("x")), 0);
    let answer = server.get(&path::export("file:c/a b/\u{e9}"));
    assert!(content_of(&answer.body) == content);
    assert_eq!(server.delete(&path::file("c", "a b/\u{e9}")).status, 204);
    assert_eq!(list(None, None), 0);
    let bad = path::file_put("c", "o", Some("xyz"));
    server.raw("PUT", &bad, "", &full_stream(b"")).error(400, ErrorKind::Invalid);
}

#[test]
fn files_are_listed_in_pages_that_go_on_where_the_last_one_ended() {
    let server = Harness::start();
    for name in ["a/1", "a/x/1", "a/x/2", "b/1", "b/x/3"] {
        let (container, object) = name.split_once('/').unwrap();
        let put = path::file_put(container, object, None);
        server.raw("PUT", &put, "", &full_stream(b"1")).json::<File>(201);
    }
    let all = |container, prefix, limit| {
        let (mut names, mut after, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let route = path::files_page(container, prefix, after.as_deref(), limit);
            let page = server.get(&route).json::<Files>(200);
            assert!(page.files.len() <= limit);
            names.extend(page.files.iter().map(|f| format!("{}/{}", f.container, f.object)));
            pages += 1;
            after = page.next;
            if after.is_none() {
                return (names.join(" "), pages);
            }
        }
    };
    assert_eq!(all(None, None, 2), ("a/1 a/x/1 a/x/2 b/1 b/x/3".to_owned(), 3));
    assert_eq!(all(None, Some("x/"), 1), ("a/x/1 a/x/2 b/x/3".to_owned(), 4));
    assert_eq!(all(Some("b"), None, 10), ("b/1 b/x/3".to_owned(), 1));
    let route = path::files_page(None, None, Some("no slash"), 1);
    server.get(&route).error(400, ErrorKind::Invalid);
    let route = path::files_page(Some("none"), None, None, 1);
    server.get(&route).error(404, ErrorKind::NotFound);
}

#[test]
fn a_snapshot_travels_to_another_store_in_full_and_as_a_difference() {
    let (here, there) = (Harness::start(), Harness::start());
    import(&here, "i", &full_stream(&noise(MIB, 11))).json::<Image>(201);
    here.post(path::VOLUMES, r#"{"names":["v"],"from":"image:i"}"#).json::<Volumes>(201);
    let snapshot = |members: &str| {
        let body = format!(r#"{{"members":["{members}"]}}"#);
        assert_eq!(here.post(path::SNAPSHOTS, &body).status, 201);
    };
    snapshot("v@1");
    snapshot("v@2");
    let full = here.get(&path::snapshot_send("v", "1", None));
    assert!(full.status == 200 && full.whole);
    let received: Snapshot = there.raw("POST", &path::receive("w@1"), "", &full.body).json(201);
    let sent: Snapshot = here.get(&path::snapshot("v", "1")).json(200);
    assert_eq!((received.uuid, received.size), (sent.uuid, sent.size));
    let difference = here.get(&path::snapshot_send("v", "2", Some("1")));
    assert!(difference.body.len() < 1000, "nothing changed in between");
    there.raw("POST", &path::receive("w@2"), "", &difference.body).json::<Snapshot>(201);
}
