//! Facts about symbolic links, and about containers that keep what is replaced in another.

use super::{Site, header, is};

fn link(head: &str, target: &str) -> String {
    format!("{head}X-Symlink-Target: {target}\r\n")
}

#[test]
fn a_link_is_read_as_its_target_and_shown_as_itself_on_demand() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/a%20b", &ann, b"text"), 201);
    is(&site.ask("PUT", "/box/link", &link(&ann, "box/a%20b"), b""), 201);
    let read = site.ask("GET", "/box/link", &ann, b"");
    assert_eq!(read.body, b"text");
    assert!(header(&read, "content-location").unwrap().ends_with("/box/a%20b"));
    let part = site.ask("GET", "/box/link", &format!("{ann}Range: bytes=1-2\r\n"), b"");
    assert_eq!(part.body, b"ex");
    let own = site.ask("GET", "/box/link?symlink=get", &ann, b"");
    assert_eq!(
        (own.body.as_slice(), header(&own, "x-symlink-target")),
        (&b""[..], Some("box/a%20b"))
    );
    is(&site.ask("DELETE", "/box/link", &ann, b""), 204);
    assert_eq!(site.ask("GET", "/box/a%20b", &ann, b"").body, b"text");
}

#[test]
fn links_that_lead_nowhere_in_circles_or_to_something_else_are_refused_when_read() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/a", &link(&ann, "box/b"), b""), 201);
    is(&site.ask("GET", "/box/a", &ann, b""), 404);
    is(&site.ask("PUT", "/box/b", &link(&ann, "box/a"), b""), 201);
    is(&site.ask("GET", "/box/a", &ann, b""), 409);
    is(&site.ask("PUT", "/box/self", &link(&ann, "box/self"), b""), 400);
    is(&site.ask("PUT", "/box/full", &link(&ann, "box/a"), b"x"), 400);
    is(&site.ask("PUT", "/box/odd", &link(&ann, "box"), b""), 412);
    is(&site.ask("PUT", "/box/t", &ann, b"one"), 201);
    let pinned = format!("{}X-Symlink-Target-Etag: {}\r\n", link(&ann, "box/t"), "0".repeat(32));
    is(&site.ask("PUT", "/box/pinned", &pinned, b""), 409);
    let etag = "f97c5d29941bfb1b2fdab0874906ab82";
    let pinned = format!("{}X-Symlink-Target-Etag: {etag}\r\n", link(&ann, "box/t"));
    is(&site.ask("PUT", "/box/pinned", &pinned, b""), 201);
    assert_eq!(site.ask("GET", "/box/pinned", &ann, b"").body, b"one");
    is(&site.ask("PUT", "/box/t", &ann, b"two"), 201);
    is(&site.ask("GET", "/box/pinned", &ann, b""), 409);
}

#[test]
fn a_link_opens_nothing_that_its_reader_may_not_read() {
    let site = Site::start();
    let (ann, bob) = (site.token("ann"), site.token("bob"));
    for container in ["/open", "/shut"] {
        is(&site.ask("PUT", container, &ann, b""), 201);
    }
    is(&site.ask("PUT", "/shut/secret", &ann, b"secret"), 201);
    is(&site.ask("PUT", "/open/link", &link(&ann, "shut/secret"), b""), 201);
    is(&site.ask("POST", "/open", &format!("{ann}X-Container-Read: .r:*,bob:bob\r\n"), b""), 204);
    for (head, status) in [(bob.as_str(), 403), ("", 401)] {
        is(&site.ask("GET", "/open/link", head, b""), status);
        is(&site.ask("HEAD", "/open/link", head, b""), status);
    }
    // Nor one that leads into the account from outside.
    let theirs = |method: &str, path: &str, head: &str| {
        site.server.raw(method, &format!("{}{path}", site.bob), head, b"")
    };
    is(&theirs("PUT", "/box", &bob), 201);
    let account = site.ann.rsplit('/').next().unwrap();
    let across = format!("{}X-Symlink-Target-Account: {account}\r\n", link(&bob, "shut/secret"));
    is(&theirs("PUT", "/box/link", &across), 201);
    is(&theirs("GET", "/box/link", &bob), 403);
    let pinned = format!("{across}X-Symlink-Target-Etag: 5ebe2294ecd0e0f08eab7690d2a6ee69\r\n");
    is(&theirs("PUT", "/box/pinned", &pinned), 403);
    let copy = format!("{bob}X-Copy-From: box/link\r\n");
    is(&theirs("PUT", "/box/copy", &copy), 403);
    // A manifest whose segment is a link neither.
    let manifest = format!("{bob}X-Object-Manifest: box/lin\r\n");
    is(&theirs("PUT", "/box/manifest", &manifest), 201);
    is(&theirs("GET", "/box/manifest", &bob), 403);
}

#[test]
fn what_is_replaced_goes_to_another_container_and_comes_back_when_that_is_wanted() {
    let site = Site::start();
    let ann = site.token("ann");
    for container in ["/old", "/log"] {
        is(&site.ask("PUT", container, &ann, b""), 201);
    }
    is(&site.ask("PUT", "/box", &format!("{ann}X-Versions-Location: old\r\n"), b""), 201);
    for text in [&b"one"[..], b"two", b"three"] {
        is(&site.ask("PUT", "/box/f", &ann, text), 201);
    }
    let kept = site.ask("GET", "/old", &ann, b"").body;
    let kept = String::from_utf8(kept).unwrap();
    assert!(kept.lines().count() == 2 && kept.starts_with("001f/"), "{kept}");
    for text in [&b"two"[..], b"one"] {
        is(&site.ask("DELETE", "/box/f", &ann, b""), 204);
        assert_eq!(site.ask("GET", "/box/f", &ann, b"").body, text);
    }
    is(&site.ask("GET", "/old", &ann, b""), 204);
    is(&site.ask("POST", "/box", &format!("{ann}X-History-Location: log\r\n"), b""), 204);
    is(&site.ask("DELETE", "/box/f", &ann, b""), 204);
    is(&site.ask("GET", "/box/f", &ann, b""), 404);
    let log = String::from_utf8(site.ask("GET", "/log", &ann, b"").body).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    // Where it cannot be kept, nothing is replaced.
    is(&site.ask("PUT", "/box/g", &ann, b"one"), 201);
    is(&site.ask("POST", "/box", &format!("{ann}X-History-Location: none\r\n"), b""), 204);
    is(&site.ask("PUT", "/box/g", &ann, b"two"), 409);
    assert_eq!(site.ask("GET", "/box/g", &ann, b"").body, b"one");
}
