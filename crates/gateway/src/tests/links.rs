//! Public links: who has one reads the file, and nobody else learns anything.

use archipelago_api::{AuditLog, ErrorKind, Link, Links, path};

use super::harness::{Answer, Harness, full_stream};

const CONTENT: &[u8] = b"<script>alert(1)</script>";

fn published(server: &Harness, life: &str) -> Link {
    let stream = full_stream(CONTENT);
    server.raw("PUT", &path::file_put("docs", "d/a b.html", None), "", &stream);
    server.post(&path::links("docs", "d/a b.html"), life).json(200)
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[test]
fn a_link_shows_the_file_and_runs_nothing() {
    let server = Harness::start();
    let link = published(&server, r#"{"lifetime_ms":3600000}"#);
    assert!(link.path.ends_with("/a%20b.html"), "{}", link.path);
    let got = server.get(&link.path);
    assert_eq!((got.status, got.body.as_slice()), (200, CONTENT));
    assert_eq!(header(&got, "content-security-policy"), Some("default-src 'none'; sandbox"));
    assert_eq!(header(&got, "x-content-type-options"), Some("nosniff"));
    let saved = header(&got, "content-disposition").unwrap();
    assert_eq!(saved, "attachment; filename*=utf-8''a%20b.html");
    let names: Vec<&str> =
        got.head.lines().filter_map(|line| line.split_once(':')).map(|l| l.0).collect();
    assert!(
        !names.iter().any(|name| name.to_ascii_lowercase().starts_with("x-object")),
        "{names:?}"
    );
    // What stands behind the id is for whoever saves it.
    let id = link.path.split('/').nth(2).unwrap();
    assert_eq!(server.get(&format!("/public/{id}")).status, 200);
    let head = server.raw("HEAD", &link.path, "", b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(header(&head, "content-length"), Some("25"));
}

#[test]
fn a_link_takes_ranges_and_conditions_and_no_other_method() {
    let server = Harness::start();
    let link = published(&server, "{}");
    let part = server.raw("GET", &link.path, "range: bytes=1-6\r\n", b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"script"[..]));
    assert_eq!(server.raw("GET", &link.path, "range: bytes=99-\r\n", b"").status, 416);
    let since = "if-modified-since: Fri, 01 Jan 2100 00:00:00 GMT\r\n";
    assert_eq!(server.raw("GET", &link.path, since, b"").status, 304);
    let tag = header(&part, "etag").unwrap();
    let known = format!("if-none-match: {tag}\r\n");
    assert_eq!(server.raw("GET", &link.path, &known, b"").status, 304);
    assert_eq!(server.raw("GET", &link.path, "if-match: \"no\"\r\n", b"").status, 412);
    for method in ["PUT", "POST", "DELETE"] {
        assert_eq!(server.raw(method, &link.path, "", b"").status, 405, "{method}");
    }
}

#[test]
fn an_ended_link_looks_as_one_that_never_was() {
    let server = Harness::start();
    let link = published(&server, "{}");
    let links = path::links("docs", "d/a b.html");
    let found: Links = server.get(&links).json(200);
    assert_eq!(found.links, std::slice::from_ref(&link));
    assert_eq!(server.get(&link.path).status, 200);
    assert_eq!(server.delete(&links).status, 204);
    let (ended, never) = (server.get(&link.path), server.get("/public/aaaaaaaaaaaaaaaaaaaaaaaa"));
    assert_eq!((ended.status, &ended.body), (404, &never.body));
    assert_eq!(never.status, 404);
    let log: AuditLog = server.get(path::AUDIT).json(200);
    let events: Vec<&str> = log.rows.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(events, ["link-used", "link-ended", "link-made"]);
    let id = link.path.split('/').nth(2).unwrap();
    assert!(!format!("{log:?}").contains(id), "the record has no secrets");
}

#[test]
fn what_is_not_there_gets_no_link() {
    let server = Harness::start();
    let missing = server.post(&path::links("docs", "nothing"), "{}");
    missing.error(404, ErrorKind::NotFound);
    published(&server, "{}");
    server.post(&path::links("docs", "nothing"), "{}").error(404, ErrorKind::NotFound);
    let over = server.post(&path::links("docs", "d/a b.html"), r#"{"lifetime_ms":0}"#);
    over.error(400, ErrorKind::Invalid);
}

#[test]
fn a_lifetime_that_is_no_time_is_refused() {
    let server = Harness::start();
    published(&server, "{}");
    let links = path::links("docs", "d/a b.html");
    for ms in ["0", "3153600000001", "18446744073709551615"] {
        let asked = format!(r#"{{"lifetime_ms":{ms}}}"#);
        let said = server.post(&links, &asked).error(400, ErrorKind::Invalid);
        assert!(said.contains("a hundred years"), "{said}");
    }
    assert_eq!(server.get(&links).json::<Links>(200).links.len(), 1);
}
