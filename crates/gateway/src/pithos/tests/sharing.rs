//! Facts about `X-Object-Sharing`, `X-Object-Public`, and who sees what.

use archipelago_pool::{AuditEvent, Grant, Grantee, Named, NewUser, Right, Role, Secret, Shared};
use serde_json::{Value, json};

use super::{PASSWORD, PREFIX, Site, header, is, sha256};
use crate::tests::harness::Answer;

impl Site {
    fn user(&self, name: &str) -> String {
        hex::encode(self.server.app.service.user(&Named::name(name)).unwrap().uuid)
    }

    /// Ann says who else may do what with something of hers.
    fn share(&self, name: &str, sharing: &str) -> Answer {
        let head = format!("X-Object-Sharing: {sharing}\r\n");
        self.ask("POST", &format!("/c/{name}?update"), &head, b"")
    }

    /// Bob asks for something of Ann's.
    fn bob(&self, method: &str, path: &str) -> Answer {
        self.bob_with(method, path, "", b"")
    }

    fn bob_with(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        self.by("bob", method, &format!("{}{path}", self.uuids[0]), head, body)
    }

    fn folder(&self, name: &str) {
        let head = "Content-Type: application/directory\r\n";
        is(&self.ask("PUT", &format!("/c/{name}"), head, b""), 201);
    }
}

fn lines(answer: &Answer) -> Vec<&str> {
    std::str::from_utf8(&answer.body).unwrap().lines().collect()
}

#[test]
fn what_is_shared_is_read_from_the_next_request_on_and_no_more_once_it_is_not() {
    let site = Site::start();
    let bob = site.user("bob");
    let first = site.put("o", b"content");
    is(&site.bob("GET", "/c/o"), 403);
    is(&site.share("o", &format!("read={bob}")), 202);
    let got = site.bob("GET", "/c/o");
    is(&got, 200);
    assert_eq!(got.body, b"content");
    assert_eq!(header(&got, "x-object-allowed-to"), Some("read"));
    is(&site.bob("GET", "/c/o?hashmap&format=json"), 200);
    let head = site.ask("HEAD", "/c/o", "", b"");
    assert_eq!(header(&head, "x-object-sharing"), Some(&*format!("read={bob}")));
    // Sharing makes no version.
    assert_eq!(header(&head, "x-object-version"), header(&first, "x-object-version"));
    for (method, head) in [
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "X-Object-Meta-A: b\r\n"),
        ("MOVE", "Destination: /d/o\r\n"),
    ] {
        is(&site.bob_with(method, "/c/o", head, b"x"), 403);
    }
    is(&site.share("o", ""), 202);
    is(&site.bob("GET", "/c/o"), 403);
    assert_eq!(header(&site.ask("HEAD", "/c/o", "", b""), "x-object-sharing"), None);
}

#[test]
fn who_may_write_changes_content_and_says_nothing_of_who_may() {
    let site = Site::start();
    let bob = site.user("bob");
    site.put("o", b"0123");
    is(&site.share("o", &format!("write={bob}")), 202);
    let put = site.bob_with("PUT", "/c/o", "Content-Type: text/plain\r\n", b"4567");
    is(&put, 201);
    is(&site.bob_with("POST", "/c/o", "Content-Range: bytes 0-0/*\r\n", b"A"), 204);
    is(&site.bob_with("POST", "/c/o?update", "X-Object-Meta-A: b\r\n", b""), 202);
    let got = site.bob("GET", "/c/o");
    assert_eq!((&*got.body, header(&got, "x-object-allowed-to")), (&b"A567"[..], Some("write")));
    let head = site.ask("HEAD", "/c/o", "", b"");
    assert_eq!(header(&head, "x-object-modified-by"), Some(&*bob));
    assert_eq!(header(&head, "x-object-sharing"), Some(&*format!("write={bob}")));
    for head in ["X-Object-Sharing: read=*\r\n", "X-Object-Public: true\r\n"] {
        is(&site.bob_with("POST", "/c/o?update", head, b""), 403);
        is(&site.bob_with("PUT", "/c/o", head, b"x"), 403);
    }
    is(&site.bob("DELETE", "/c/o"), 403);
    is(&site.bob("PUT", "/c/other"), 403);
}

#[test]
fn folders_share_what_is_below_and_the_closest_counts_alone() {
    let site = Site::start();
    let bob = site.user("bob");
    site.folder("d");
    site.put("d/o", b"1");
    site.put("d/e/o", b"2");
    site.put("plain", b"");
    site.put("plain/o", b"3");
    is(&site.share("d", &format!("write={bob}")), 202);
    is(&site.share("plain", &format!("read={bob}")), 202);
    for name in ["d", "d/o", "d/e/o"] {
        is(&site.bob("GET", &format!("/c/{name}")), 200);
    }
    is(&site.bob("GET", "/c/plain/o"), 403);
    is(&site.bob("PUT", "/c/d/new"), 201);
    is(&site.bob("DELETE", "/c/d/new"), 403);
    let head = site.ask("HEAD", "/c/d/e/o", "", b"");
    assert_eq!(header(&head, "x-object-sharing"), Some(&*format!("write={bob}")));
    assert_eq!(header(&head, "x-object-shared-by"), Some(&*format!("{}/c/d", site.uuids[0])));
    let ann = site.user("ann");
    is(&site.share("d/o", &format!("read={ann}")), 202);
    is(&site.bob("GET", "/c/d/o"), 403);
}

#[test]
fn groups_share_with_who_is_in_them_and_everybody_is_who_has_logged_in() {
    let site = Site::start();
    is(&site.ask("POST", "", "X-Account-Group-Friends: bob\r\n", b""), 202);
    site.put("o", b"x");
    let group = format!("{}:friends", site.uuids[0]);
    is(&site.share("o", &format!("read={group}")), 202);
    is(&site.bob("GET", "/c/o"), 200);
    let shown = site.ask("HEAD", "/c/o", "", b"");
    assert_eq!(header(&shown, "x-object-sharing"), Some(&*format!("read={group}")));
    is(&site.ask("POST", "", "X-Account-Group-Friends: ann\r\n", b""), 202);
    is(&site.bob("GET", "/c/o"), 403);
    is(&site.share("o", "read=*"), 202);
    is(&site.bob("GET", "/c/o"), 200);
    let path = format!("{PREFIX}/{}/c/o", site.uuids[0]);
    is(&site.server.raw("GET", &path, "", b""), 401);
}

#[test]
fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let site = Site::start();
    let bob = site.user("bob");
    is(&site.by("bob", "POST", &site.uuids[1], "X-Account-Group-Bobs: ann\r\n", b""), 202);
    site.put("o", b"x");
    is(&site.share("o", &format!("read={bob}")), 202);
    let theirs = format!("read={}:bobs", site.uuids[1]);
    for sharing in ["read=nobody", "read=", "own=ann", "read", "read=a:b", "read=a/b", &theirs] {
        is(&site.share("o", sharing), 400);
    }
    is(&site.ask("PUT", "/c/o", "X-Object-Sharing: read=nobody\r\n", b"new"), 400);
    is(&site.share("none", "read=*"), 404);
    assert_eq!(site.bob("GET", "/c/o").body, b"x");
}

#[test]
fn a_put_shares_in_one_with_its_content() {
    let site = Site::start();
    let bob = site.user("bob");
    let head = format!("X-Object-Sharing: read={bob}\r\nX-Object-Public: true\r\n");
    is(&site.ask("PUT", "/c/o", &head, b"one"), 201);
    assert_eq!(site.bob("GET", "/c/o").body, b"one");
    let body = json!({"hashes": [sha256(b"one")], "bytes": 3}).to_string();
    let head = format!("X-Object-Sharing: write={bob}\r\n");
    is(&site.ask("PUT", "/c/p?hashmap&format=json", &head, body.as_bytes()), 201);
    let got = site.bob("GET", "/c/p");
    assert_eq!(header(&got, "x-object-allowed-to"), Some("write"));
    let copy = format!("Destination: /c/q\r\nX-Object-Sharing: read={bob}\r\n");
    is(&site.ask("COPY", "/c/o", &copy, b""), 201);
    is(&site.bob("GET", "/c/q"), 200);
    is(&site.ask("COPY", "/c/o", "Destination: /c/r\r\n", b""), 201);
    is(&site.bob("GET", "/c/r"), 403);
    is(&site.ask("PUT", "/c/o", "X-Object-Sharing: \r\n", b"two"), 201);
    is(&site.bob("GET", "/c/o"), 403);
}

#[test]
fn a_public_link_works_without_a_login_until_it_is_ended() {
    let site = Site::start();
    site.put("d/o", b"content");
    is(&site.ask("POST", "/c/d/o?update", "X-Object-Public: true\r\n", b""), 202);
    let path = header(&site.ask("HEAD", "/c/d/o", "", b""), "x-object-public").unwrap().to_owned();
    let rows = site.ask("GET", "/c?public&format=json", "", b"");
    let rows: Value = serde_json::from_slice(&rows.body).unwrap();
    let path_shown = rows[0]["x_object_public"].as_str().unwrap().to_ascii_lowercase();
    assert_eq!((rows.as_array().unwrap().len(), path_shown), (1, path));
    let path = rows[0]["x_object_public"].as_str().unwrap().to_owned();
    assert_eq!(site.server.get(&path).body, b"content");
    is(&site.ask("POST", "/c/d/o?update", "X-Object-Public: true\r\n", b""), 202);
    assert_eq!(site.server.get(&path).body, b"content");
    is(&site.ask("POST", "/c/d/o?update", "X-Object-Public: false\r\n", b""), 202);
    is(&site.server.get(&path), 404);
    assert_eq!(header(&site.ask("HEAD", "/c/d/o", "", b""), "x-object-public"), None);
    is(&site.ask("POST", "/c/d/o?update", "X-Object-Public: perhaps\r\n", b""), 400);
}

#[test]
fn who_is_shared_with_finds_that_and_nothing_else() {
    let site = Site::start();
    let bob = site.user("bob");
    for name in ["a", "b", "d/x", "d/y", "d-1", "secret"] {
        site.put(name, name.as_bytes());
    }
    site.folder("d");
    is(&site.ask("PUT", "/private", "", b""), 201);
    is(&site.by("bob", "GET", "", "", b""), 204);
    is(&site.bob("GET", ""), 403);
    is(&site.bob("GET", "/c"), 403);
    is(&site.share("b", &format!("read={bob}")), 202);
    is(&site.share("d", &format!("read={bob}")), 202);
    is(&site.share("d-1", &format!("write={bob}")), 202);

    let top = site.by("bob", "GET", "?format=json", "", b"");
    assert_eq!(
        serde_json::from_slice::<Value>(&top.body).unwrap(),
        json!([{"name": site.uuids[0]}])
    );
    assert_eq!(lines(&site.bob("GET", "")), ["c"]);
    assert_eq!(lines(&site.bob("GET", "/c")), ["b", "d", "d-1", "d/x", "d/y"]);
    assert_eq!(lines(&site.bob("GET", "/c?delimiter=/")), ["b", "d", "d-1", "d/"]);
    assert_eq!(lines(&site.bob("GET", "/c?path=d")), ["d/x", "d/y"]);
    assert_eq!(lines(&site.bob("GET", "/c?prefix=d/&limit=1")), ["d/x"]);
    assert_eq!(lines(&site.bob("GET", "/c?prefix=d-1")), ["d-1"]);
    assert_eq!(lines(&site.bob("GET", "/c?marker=d&limit=2")), ["d-1", "d/x"]);
    assert_eq!(lines(&site.bob("GET", "/c?marker=d/x")), ["d/y"]);
    assert_eq!(site.names("?shared"), ["b", "d", "d-1", "d/x", "d/y"]);
    assert_eq!(lines(&site.ask("GET", "?shared", "", b"")), ["c"]);

    let rows = site.bob("GET", "/c?format=json&prefix=d-1");
    let rows: Value = serde_json::from_slice(&rows.body).unwrap();
    assert_eq!(rows[0]["x_object_allowed_to"], json!("write"));
    assert_eq!(rows[0]["x_object_sharing"], json!(format!("write={bob}")));
    let head = site.bob("HEAD", "/c");
    is(&head, 204);
    assert_eq!(header(&head, "x-container-block-size"), Some("4194304"));
    assert_eq!(header(&head, "x-container-object-count"), None);
    for path in ["/c?until=99999999999", "/c?public", "?until=99999999999", "?public", "/private"] {
        is(&site.bob("GET", path), 403);
    }
}

#[test]
fn of_names_that_are_not_shared_nobody_learns_whether_they_are_there() {
    let site = Site::start();
    let bob = site.user("bob");
    let old = site.put("o", b"old");
    site.put("o", b"new");
    site.put("secret/1", b"x");
    is(&site.share("o", &format!("write={bob}")), 202);
    let version = header(&old, "x-object-version").unwrap();
    for path in [
        "/c/secret/1",
        "/c/none",
        "/none/o",
        "/c/o?version=list",
        "/c/o?version=1",
        &format!("/c/o?version={version}"),
        "/c/o?until=99999999999",
    ] {
        let answer = site.bob("GET", path);
        is(&answer, 403);
        assert_eq!(answer.body, site.bob("GET", "/c/none").body, "{path}");
    }
    // Nor by what a manifest stands for, which names blocks or copies come from.
    for prefix in ["c/secret/", "c/none/", "none/x"] {
        let head = format!("X-Object-Manifest: {prefix}\r\n");
        is(&site.bob_with("PUT", "/c/o", &head, b""), 201);
        is(&site.bob("GET", "/c/o"), 403);
    }
    is(&site.by("bob", "PUT", &format!("{}/d", site.uuids[1]), "", b""), 201);
    for source in ["/c/secret/1", "/c/none", "/none/x"] {
        let head = format!("X-Copy-From: {source}\r\nX-Source-Account: {}\r\n", site.uuids[0]);
        is(&site.by("bob", "PUT", &format!("{}/d/o", site.uuids[1]), &head, b""), 403);
        let head = format!("Content-Range: bytes */*\r\nX-Source-Object: {source}\r\n");
        is(&site.bob_with("POST", "/c/o", &head, b""), 403);
    }
}

#[test]
fn who_may_read_may_copy_into_its_own_account() {
    let site = Site::start();
    let bob = site.user("bob");
    site.folder("d");
    site.put("d/o", b"content");
    site.put("d/hidden", b"x");
    is(&site.share("d", &format!("read={bob}")), 202);
    is(&site.share("d/hidden", &format!("read={}", site.user("ann"))), 202);
    is(&site.by("bob", "PUT", &format!("{}/mine", site.uuids[1]), "", b""), 201);
    let head = format!("Destination: /mine/d\r\nDestination-Account: {}\r\n", site.uuids[1]);
    is(&site.bob_with("COPY", "/c/d?delimiter=/", &head, b""), 201);
    let mine = site.by("bob", "GET", &format!("{}/mine", site.uuids[1]), "", b"");
    assert_eq!(lines(&mine), ["d", "d/o"]);
    is(&site.bob_with("MOVE", "/c/d/o", &head, b""), 403);
    is(&site.share("d", ""), 202);
    is(&site.by("bob", "GET", &format!("{}/mine/d/o", site.uuids[1]), "", b""), 200);
}

#[test]
fn what_was_refused_and_what_was_changed_is_recorded() {
    let site = Site::start();
    site.put("o", b"x");
    is(&site.bob("GET", "/c/o"), 403);
    is(&site.share("o", &format!("read={}", site.user("bob"))), 202);
    let log = site.server.app.service.audit_log(None, 10).unwrap();
    let log: Vec<_> =
        log.iter().map(|row| (row.event, &*row.actor, &*row.resource, &*row.detail)).collect();
    let refused = "read: nobody has granted it";
    let wanted = [
        (AuditEvent::Refused, "bob", "file 'ann/c/o'", refused),
        (AuditEvent::Granted, "ann", "file 'ann/c/o'", "bob:read"),
    ];
    assert_eq!(log, wanted);
}

#[test]
fn who_may_but_write_learns_nothing_of_the_content() {
    let site = Site::start();
    site.put("o", b"content");
    let service = &site.server.app.service;
    let account = service.account(&Named::name("ann")).unwrap();
    let home = service.container(account.id, &"c".parse().unwrap()).unwrap();
    let bob = Grantee::User(service.user(&Named::name("bob")).unwrap().id);
    let mut write = |grants: &mut Vec<Grant>| {
        grants.push(Grant::new(bob, Right::Write));
        Ok(())
    };
    let shared = Shared::Path(home.id, "o".to_owned());
    service.grants_change("ann", &shared, &mut write).unwrap();
    let posted = site.bob_with("POST", "/c/o?update", "X-Object-Meta-A: b\r\n", b"");
    is(&posted, 202);
    assert!(!posted.head.contains(&sha256(b"content")), "{}", posted.head);
    for path in ["/c/o", "/c/o?hashmap&format=json"] {
        is(&site.bob("GET", path), 403);
    }
    assert_eq!(lines(&site.bob("GET", "/c")), Vec::<&str>::new());
}

#[test]
fn a_guest_makes_no_file_of_blocks_of_the_account() {
    let site = Site::start();
    let gina = NewUser {
        name: "gina".parse().unwrap(),
        password: Secret::new(PASSWORD),
        is_admin: false,
        account: Some((Named::name("ann"), Role::Guest)),
    };
    site.server.app.service.user_create(&gina).unwrap();
    site.put("secret", b"content");
    site.put("drop", b"");
    is(&site.share("drop", &format!("write={}", site.user("gina"))), 202);
    let body = json!({ "hashes": [sha256(b"content")], "bytes": 7 }).to_string();
    let path = format!("{}/c/drop?hashmap&format=json", site.uuids[0]);
    is(&site.by("gina", "PUT", &path, "", body.as_bytes()), 403);
    is(&site.by("ann", "PUT", &path, "", body.as_bytes()), 201);
}
