//! Hashes, ranges and differences over the native API.

use archipelago_api::{ComposeQuery, ComposedFile, ErrorKind, File, PutQuery, StoredBlocks, path};

use super::harness::{Harness, full_stream};

fn put(server: &Harness, bytes: &[u8]) -> File {
    server.raw("PUT", &path::file_put("c", "o", None), "", &full_stream(bytes)).json(201)
}

#[test]
fn hashes_name_the_version_that_they_are_of() {
    let server = Harness::start();
    let file = put(&server, b"content");
    let answer = server.get(&path::file_blocks("c", "o"));
    assert_eq!((answer.status, answer.body.len()), (200, 16));
    for line in [
        format!("x-archipelago-file-version: {}\r\n", file.id),
        "x-archipelago-file-size: 7\r\n".to_owned(),
        "x-archipelago-file-hash: ed7002b439e9ac84".to_owned(),
    ] {
        assert!(answer.head.contains(&line), "{}", answer.head);
    }
    let ask = format!(r#"{{"version":{},"grain":4096,"ranges":[[0,7]]}}"#, file.id);
    assert_eq!(server.post(&path::file_blocks("c", "o"), &ask).body.len(), 8);
    for wrong in ["[[1,7]]", "[[0,8]]", "[[0,0]]", "[[0,7],[0,7]]"] {
        let ask = format!(r#"{{"version":{},"grain":4096,"ranges":{wrong}}}"#, file.id);
        server.post(&path::file_blocks("c", "o"), &ask).error(400, ErrorKind::Invalid);
    }
    put(&server, b"another");
    server.post(&path::file_blocks("c", "o"), &ask).error(404, ErrorKind::NotFound);
    server.get(&path::file_blocks("c", "none")).error(404, ErrorKind::NotFound);
}

#[test]
fn ranges_are_those_of_a_version_of_a_file() {
    let server = Harness::start();
    let file = put(&server, &[7; 10_000]);
    let ranges = |version, ranges: &[_]| path::export_ranges("file:c/o", version, ranges);
    let some = server.get(&ranges(file.id, std::slice::from_ref(&(4096..8192))));
    assert_eq!(some.status, 200);
    // Header, a record, its bytes, the end.
    assert_eq!(some.body.len(), 64 + 32 + 4096 + 64);
    server.get(&ranges(file.id, std::slice::from_ref(&(1..10)))).error(400, ErrorKind::Invalid);
    server.get(&ranges(file.id + 1, &[])).error(404, ErrorKind::NotFound);
    for wrong in
        ["source=file:c/o&ranges=a-b", "source=image:x&version=1", "source=file:c/o&ranges=0"]
    {
        server.get(&format!("/v1/export?{wrong}")).error(400, ErrorKind::Invalid);
    }
}

#[test]
fn a_difference_says_its_base_and_its_hash() {
    let server = Harness::start();
    let file = put(&server, b"content");
    let hash = Some("ab".repeat(32));
    for query in [
        PutQuery { base: Some(file.id), ..PutQuery::default() },
        PutQuery { hash: hash.clone(), ..PutQuery::default() },
        // What comes is no difference.
        PutQuery { base: Some(file.id), hash, sha256: None },
    ] {
        let path = path::file_put_delta("c", "o", &query);
        server.raw("PUT", &path, "", &full_stream(b"new")).error(400, ErrorKind::Invalid);
    }
    assert_eq!(server.get(&path::file("c", "o")).json::<File>(200).id, file.id);
}

#[test]
fn a_file_is_made_of_blocks_that_came_before() {
    let server = Harness::start();
    let stored: StoredBlocks = server.raw("POST", path::BLOCKS, "", b"block").json(200);
    let hash = hex::decode(&stored.hashes[0]).unwrap();
    let path = path::compose("new", "o", &ComposeQuery { size: 5, sha256: None });
    let made: ComposedFile = server.raw("POST", &path, "", &hash).json(200);
    assert_eq!(made.file.unwrap().size, 5);
    let missing: ComposedFile = server.raw("POST", &path, "", &[9; 32]).json(200);
    assert_eq!((missing.file, missing.missing), (None, vec![0]));
    server.raw("POST", &path, "", &hash[1..]).error(400, ErrorKind::Invalid);
    server.raw("POST", &path, "", &[hash.clone(), hash].concat()).error(400, ErrorKind::Invalid);
}
