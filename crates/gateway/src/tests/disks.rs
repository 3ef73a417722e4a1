//! Disks as files over the native API.

use archipelago_api::{ErrorKind, path};

use super::harness::{Harness, full_stream, noise};

#[test]
fn a_disk_is_a_file_with_ranges_a_tag_and_two_formats() {
    let server = Harness::start();
    let content = noise(200_000, 1);
    server.raw("PUT", &path::file_put("c", "o", None), "", &full_stream(&content));
    let raw = "/v1/disk?source=file:c/o";
    let whole = server.get(raw);
    assert!(whole.status == 200 && whole.body == content, "{}", whole.head);
    assert!(whole.head.contains("accept-ranges: bytes"), "{}", whole.head);
    let tag = whole.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let some = server.raw("GET", raw, "Range: bytes=100-299\r\n", b"");
    assert!(some.status == 206 && some.body == content[100..300]);
    assert!(some.head.contains("content-range: bytes 100-299/200000"), "{}", some.head);
    let head = format!("If-Range: {tag}\r\nRange: bytes=-5\r\n");
    assert_eq!(server.raw("GET", raw, &head, b"").body, content[199_995..]);
    let head = "If-Range: \"other\"\r\nRange: bytes=-5\r\n";
    assert_eq!(server.raw("GET", raw, head, b"").status, 200);
    assert_eq!(server.raw("GET", raw, "If-Match: \"other\"\r\n", b"").status, 412);
    assert_eq!(server.raw("GET", raw, "Range: bytes=200000-\r\n", b"").status, 416);
    let head = server.raw("HEAD", raw, "", b"");
    assert!(head.status == 200 && head.head.contains("content-length: 200000"), "{}", head.head);
    let qcow2 = server.get("/v1/disk?source=file:c/o&format=qcow2");
    assert!(qcow2.body.starts_with(b"QFI\xfb"));
    assert!(qcow2.body[5 << 16..].starts_with(&content));
}

#[test]
fn what_is_no_disk_is_told() {
    let server = Harness::start();
    server.raw("PUT", &path::file_put("c", "empty", None), "", &full_stream(b""));
    server.get("/v1/disk?source=file:c/empty&format=qcow2").error(400, ErrorKind::Invalid);
    assert_eq!(server.get("/v1/disk?source=file:c/empty").status, 200);
    server.get("/v1/disk?source=file:c/empty&format=vmdk").error(400, ErrorKind::Invalid);
    server.get("/v1/disk?source=volume:none").error(404, ErrorKind::NotFound);
    server.get("/v1/disk?source=none").error(400, ErrorKind::Invalid);
}
