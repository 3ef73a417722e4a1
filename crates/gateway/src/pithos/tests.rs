//! Facts about the door of Pithos.

use std::io::Write;

use archipelago_pool::{Container, DELETE_AT, Meta, Named, NewUser, Object, Role, Secret, Which};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::PREFIX;
use crate::tests::harness::{Answer, Harness, noise};

mod bounds;
mod locks;
mod sharing;

const PASSWORD: &str = "correct horse";
const BLOCK: usize = 4 << 20;

/// A server on which `ann` and `bob` have accounts of their own, and Ann has a container `c`, in
/// which `dora` may write, too.
struct Site {
    server: Harness,
    uuids: [String; 2],
}

impl Site {
    fn start() -> Self {
        let server = Harness::start();
        let uuids = ["ann", "bob"].map(|name| {
            let new = NewUser {
                name: name.parse().unwrap(),
                password: Secret::new(PASSWORD),
                is_admin: false,
                account: None,
            };
            hex::encode(server.app.service.user_create(&new).unwrap().account.uuid)
        });
        let dora = NewUser {
            name: "dora".parse().unwrap(),
            password: Secret::new(PASSWORD),
            is_admin: false,
            account: Some((Named::name("ann"), Role::Member)),
        };
        server.app.service.user_create(&dora).unwrap();
        let site = Self { server, uuids };
        is(&site.ask("PUT", "/c", "", b""), 201);
        site
    }

    fn token(&self, user: &str) -> String {
        let service = &self.server.app.service;
        let login = service.login_password(&Named::name(user), &Secret::new(PASSWORD), None);
        format!("X-Auth-Token: {}\r\n", login.unwrap().token.expose())
    }

    /// Ann asks for something of hers.
    fn ask(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        self.by("ann", method, &format!("{}{path}", self.uuids[0]), head, body)
    }

    fn by(&self, user: &str, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        let head = format!("{}{head}", self.token(user));
        self.server.raw(method, &format!("{PREFIX}/{path}"), &head, body)
    }

    fn put(&self, name: &str, body: &[u8]) -> Answer {
        let answer = self.ask("PUT", &format!("/c/{name}"), "Content-Type: text/plain\r\n", body);
        is(&answer, 201);
        answer
    }

    fn get(&self, name: &str) -> Vec<u8> {
        let answer = self.ask("GET", &format!("/c/{name}"), "", b"");
        is(&answer, 200);
        answer.body
    }

    /// Changes what is known of an object of Ann's, as other doors do.
    fn change(&self, name: &str, change: &dyn Fn(&mut Meta)) {
        let service = &self.server.app.service;
        let mut changed = |object: &Object| {
            let mut meta = object.meta.clone();
            change(&mut meta);
            Ok(meta)
        };
        let name = name.parse().unwrap();
        service.object_change(self.container().id, &name, Which::Latest, &mut changed).unwrap();
    }

    /// Lets an object have ended.
    fn end(&self, name: &str) {
        self.change(name, &|meta| {
            drop(meta.settings.insert(DELETE_AT.to_owned(), "1".to_owned()));
        });
    }

    fn container(&self) -> Container {
        let service = &self.server.app.service;
        let account = service.account(&Named::Uuid(self.uuids[0].clone())).unwrap().id;
        service.container(account, &"c".parse().unwrap()).unwrap()
    }

    fn names(&self, query: &str) -> Vec<String> {
        let answer = self.ask("GET", &format!("/c{query}"), "", b"");
        String::from_utf8(answer.body).unwrap().lines().map(str::to_owned).collect()
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[track_caller]
fn is(answer: &Answer, status: u16) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{}\n{text}", answer.head);
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

fn list(bytes: &[u8]) -> Vec<u8> {
    let hashes: Vec<String> = bytes.chunks(BLOCK).map(sha256).collect();
    json!({"hashes": hashes, "bytes": bytes.len()}).to_string().into_bytes()
}

#[test]
fn the_etag_is_the_hash_of_the_content_and_swift_shows_its_md5() {
    let site = Site::start();
    let put = site.put("o", b"content");
    assert_eq!(header(&put, "etag"), Some(&*sha256(b"content")));
    let head = site.ask("HEAD", "/c/o", "", b"");
    assert_eq!(header(&head, "etag"), header(&head, "x-object-hash"));
    let path = format!("/object/v1/AUTH_{}/c/o", site.uuids[0]);
    let swift = site.server.raw("HEAD", &path, &site.token("ann"), b"");
    let md5 = hex::encode(<md5::Md5 as md5::Digest>::digest(b"content"));
    assert_eq!(header(&swift, "etag"), Some(&*md5));
}

#[test]
fn a_container_says_how_blocks_are_hashed() {
    let site = Site::start();
    let head = site.ask("HEAD", "/c", "", b"");
    is(&head, 204);
    assert_eq!(header(&head, "x-container-block-size"), Some("4194304"));
    assert_eq!(header(&head, "x-container-block-hash"), Some("sha256"));
    assert_eq!(header(&head, "x-container-policy-versioning"), Some("auto"));
}

#[test]
fn a_file_is_put_by_its_hashes_once_its_blocks_came_and_again_without_any() {
    let site = Site::start();
    let bytes = noise(BLOCK + 1000, 3);
    let json = "Content-Type: application/json\r\n";
    let path = "/c/o?hashmap=True&format=json";
    let missing = site.ask("PUT", path, json, &list(&bytes));
    is(&missing, 409);
    let missing: Vec<String> = serde_json::from_slice(&missing.body).unwrap();
    assert_eq!(missing, bytes.chunks(BLOCK).map(sha256).collect::<Vec<_>>());
    for block in bytes.chunks(BLOCK) {
        let head = "Content-Type: application/octet-stream\r\n";
        let sent = site.ask("POST", "/c?update&format=json", head, block);
        is(&sent, 202);
        assert_eq!(sent.body, json!([sha256(block)]).to_string().into_bytes());
    }
    is(&site.ask("PUT", path, json, &list(&bytes)), 201);
    assert_eq!(site.get("o"), bytes);
    is(&site.ask("PUT", "/c/p?hashmap&format=json", json, &list(&bytes)), 201);
    let shown = site.ask("GET", "/c/p?hashmap&format=json", "", b"");
    let shown: Value = serde_json::from_slice(&shown.body).unwrap();
    assert_eq!(shown["hashes"], json!(missing));
    assert_eq!(shown["bytes"], json!(bytes.len()));
    // To another account they are as unknown as any.
    let theirs = format!("{}/d", site.uuids[1]);
    is(&site.by("bob", "PUT", &theirs, "", b""), 201);
    let stolen = format!("{theirs}/o?hashmap&format=json");
    let answer = site.by("bob", "PUT", &stolen, json, &list(&bytes));
    is(&answer, 409);
    assert_eq!(serde_json::from_slice::<Vec<String>>(&answer.body).unwrap(), missing);
}

#[test]
fn hashes_that_are_not_those_of_the_size_are_refused() {
    let site = Site::start();
    let body = json!({"hashes": [], "bytes": 5}).to_string();
    is(&site.ask("PUT", "/c/o?hashmap&format=json", "", body.as_bytes()), 400);
    is(&site.ask("PUT", "/c/o?hashmap&format=json", "", b"{\"hashes\": [1]}"), 400);
}

#[test]
fn nobody_sees_the_account_of_somebody_else() {
    let site = Site::start();
    site.put("o", b"secret");
    for path in ["", "/c", "/c/o", "/none"] {
        let path = format!("{}{path}", site.uuids[0]);
        is(&site.by("bob", "GET", &path, "", b""), 403);
        is(&site.server.raw("GET", &format!("{PREFIX}/{path}"), "", b""), 401);
    }
}

#[test]
fn what_is_not_all_there_of_a_range_is_refused() {
    let site = Site::start();
    site.put("o", b"0123456789");
    let get = |range: &str| site.ask("GET", "/c/o", &format!("Range: bytes={range}\r\n"), b"");
    assert_eq!(get("2-4").body, b"234");
    assert_eq!(get("7-").body, b"789");
    assert_eq!(get("-3").body, b"789");
    for beyond in ["5-10", "10-", "-11"] {
        is(&get(beyond), 416);
    }
    let two = get("0-1,8-9");
    is(&two, 206);
    assert!(header(&two, "content-type").unwrap().starts_with("multipart/byteranges"));
}

#[test]
fn every_change_is_a_version_and_the_past_can_be_seen_and_purged() {
    let site = Site::start();
    let first = site.put("o", b"first");
    let version = header(&first, "x-object-version").unwrap().to_owned();
    site.put("o", b"second");
    is(&site.ask("POST", "/c/o", "X-Object-Meta-Colour: gr%C3%BCn\r\n", b""), 202);
    let old = site.ask("GET", &format!("/c/o?version={version}"), "", b"");
    assert_eq!(old.body, b"first");
    let all = site.ask("GET", "/c/o?version=list&format=json", "", b"");
    let all: Value = serde_json::from_slice(&all.body).unwrap();
    assert_eq!(all["versions"].as_array().unwrap().len(), 3);
    let head = site.ask("HEAD", "/c/o", "", b"");
    assert_eq!(header(&head, "x-object-meta-colour"), Some("gr%c3%bcn"));
    assert_eq!(header(&head, "x-object-uuid"), header(&first, "x-object-uuid"));
    let before = &all["versions"][2][1];
    is(&site.ask("DELETE", "/c/o", "", b""), 204);
    assert_eq!(site.names(""), Vec::<String>::new());
    assert_eq!(site.names(&format!("?until={before}")), ["o"]);
    is(&site.ask("GET", "/c/o", "", b""), 404);
    is(&site.ask("DELETE", "/c?until=99999999999", "", b""), 204);
    is(&site.ask("GET", &format!("/c/o?version={version}"), "", b""), 404);
    is(&site.ask("DELETE", "/c", "", b""), 204);
}

#[test]
fn a_move_keeps_the_identity_and_a_copy_does_not() {
    let site = Site::start();
    let first = site.put("o", b"content");
    let uuid = header(&first, "x-object-uuid").map(str::to_owned);
    let copy = site.ask("COPY", "/c/o", "Destination: /c/copy\r\n", b"");
    is(&copy, 201);
    assert_ne!(header(&copy, "x-object-uuid"), uuid.as_deref());
    let moved = site.ask("MOVE", "/c/o", "Destination: /c/moved\r\n", b"");
    is(&moved, 201);
    assert_eq!(header(&moved, "x-object-uuid"), uuid.as_deref());
    assert_eq!(site.names(""), ["copy", "moved"]);
    assert_eq!(site.get("moved"), b"content");
    is(&site.ask("MOVE", "/c/moved", "Destination: /c/x\r\nIf-Match: no\r\n", b""), 412);
    is(&site.ask("PUT", "/c/back", "X-Move-From: /c/moved\r\n", b""), 201);
    assert_eq!(site.names(""), ["back", "copy"]);
}

#[test]
fn trees_are_copied_moved_and_removed_by_a_delimiter() {
    let site = Site::start();
    for name in ["d", "d/a", "d/b/c", "e"] {
        site.put(name, name.as_bytes());
    }
    is(&site.ask("COPY", "/c/d?delimiter=/", "Destination: /c/f\r\n", b""), 201);
    assert_eq!(site.names("?prefix=f"), ["f", "f/a", "f/b/c"]);
    assert_eq!(site.get("f/b/c"), b"d/b/c");
    is(&site.ask("MOVE", "/c/d?delimiter=/", "Destination: /c/g\r\n", b""), 201);
    is(&site.ask("DELETE", "/c/f?delimiter=/", "", b""), 204);
    assert_eq!(site.names(""), ["e", "g", "g/a", "g/b/c"]);
    assert_eq!(site.names("?path=g"), ["g/a"]);
    is(&site.ask("DELETE", "/c?delimiter=/", "", b""), 204);
    assert_eq!(site.names(""), Vec::<String>::new());
}

#[test]
fn bytes_are_changed_in_place_appended_cut_off_and_taken_from_others() {
    let site = Site::start();
    site.put("o", b"0123456789");
    site.put("other", b"abcdef");
    let post = |head: &str, body: &[u8]| site.ask("POST", "/c/o", head, body);
    is(&post("Content-Range: bytes 2-4/*\r\n", b"xyz"), 204);
    assert_eq!(site.get("o"), b"01xyz56789");
    is(&post("Content-Range: bytes */*\r\n", b"+"), 204);
    assert_eq!(site.get("o"), b"01xyz56789+");
    is(&post("Content-Range: bytes 0-1/*\r\nX-Object-Bytes: 4\r\n", b"AB"), 204);
    assert_eq!(site.get("o"), b"ABxy");
    is(&post("Content-Range: bytes 4-/*\r\nX-Source-Object: /c/other\r\n", b""), 204);
    assert_eq!(site.get("o"), b"ABxyabcdef");
    is(&post("Content-Range: bytes 11-/*\r\n", b"x"), 416);
    is(&post("Content-Range: bytes 0-1/*\r\n", b"x"), 400);
    is(&post("Content-Range: nonsense\r\n", b"x"), 400);
    let head = site.ask("HEAD", "/c/o", "", b"");
    assert_eq!(header(&head, "etag"), Some(&*sha256(b"ABxyabcdef")));
    assert_eq!(header(&head, "content-type"), Some("text/plain"));
}

#[test]
fn listings_show_metadata_and_are_filtered_by_them() {
    let site = Site::start();
    for (name, colour) in [("a", "red"), ("b", "blue"), ("c", "")] {
        let head = format!("X-Object-Meta-Colour: {colour}\r\n");
        is(&site.ask("PUT", &format!("/c/{name}"), &head, b"x"), 201);
    }
    assert_eq!(site.names("?meta=colour"), ["a", "b"]);
    assert_eq!(site.names("?meta=!colour"), ["c"]);
    assert_eq!(site.names("?meta=colour%3Dred"), ["a"]);
    assert_eq!(site.names("?meta=colour%21%3Dred"), ["b"]);
    let rows = site.ask("GET", "/c?format=json", "", b"");
    let rows: Value = serde_json::from_slice(&rows.body).unwrap();
    assert_eq!(rows[0]["x_object_hash"], json!(sha256(b"x")));
    assert_eq!(rows[0]["x_object_meta"]["colour"], json!("red"));
    let head = site.ask("HEAD", "/c", "", b"");
    assert_eq!(header(&head, "x-container-object-meta"), Some("colour"));
}

#[test]
fn preconditions_are_asked_of_what_is_there() {
    let site = Site::start();
    site.put("o", b"content");
    let put = |head: &str| site.ask("PUT", "/c/o", head, b"content");
    is(&put("If-None-Match: *\r\n"), 412);
    is(&put("If-Match: something\r\n"), 412);
    is(&put(&format!("If-Match: {}\r\n", sha256(b"content"))), 201);
    is(&put("ETag: 0123\r\n"), 422);
    let head = format!("If-None-Match: {}\r\n", sha256(b"content"));
    is(&site.ask("GET", "/c/o", &head, b""), 304);
}

#[test]
fn a_refused_change_of_an_account_changes_nothing() {
    let site = Site::start();
    let post = |head: &str| site.ask("POST", "", head, b"");
    let head = "X-Account-Meta-Place: Athens\r\nX-Account-Group-Friends: bob\r\n";
    is(&post(&format!("{head}X-Account-Group-Zeros: nobody\r\n")), 400);
    let known = site.ask("HEAD", "", "", b"");
    assert_eq!(header(&known, "x-account-meta-place"), None);
    assert_eq!(header(&known, "x-account-group-friends"), None);
    is(&post(head), 202);
    // A group without members goes, with the rest or not at all.
    let head = "X-Account-Meta-Place: Patras\r\nX-Account-Group-Friends: \r\n";
    is(&post(&format!("{head}X-Account-Group-Zeros: nobody\r\n")), 400);
    assert_eq!(header(&site.ask("HEAD", "", "", b""), "x-account-group-friends"), Some("bob"));
    is(&post(head), 202);
    let known = site.ask("HEAD", "", "", b"");
    assert_eq!(header(&known, "x-account-meta-place"), Some("patras"));
    assert_eq!(header(&known, "x-account-group-friends"), None);
}

#[test]
fn a_refused_publication_changes_nothing() {
    let site = Site::start();
    is(&site.ask("PUT", "/c/o", "X-Object-Manifest: c/p\r\n", b""), 201);
    let head = "X-Object-Public: true\r\nX-Object-Sharing: read=*\r\n";
    let meta = format!("{head}X-Object-Meta-Colour: red\r\n");
    is(&site.ask("POST", "/c/o?update", &meta, b""), 400);
    is(&site.ask("POST", "/c/o?update", head, b""), 400);
    let known = site.ask("HEAD", "/c/o", "", b"");
    assert_eq!(header(&known, "x-object-meta-colour"), None);
    assert_eq!(header(&known, "x-object-sharing"), None);
    assert_eq!(header(&known, "x-object-public"), None);
}

#[test]
fn conditions_of_a_removal_are_asked_of_what_it_takes() {
    let site = Site::start();
    site.put("o", b"content");
    let remove = |path: &str, head: &str| site.ask("DELETE", path, head, b"");
    let hash = sha256(b"content");
    is(&remove("/c/o", "If-Match: something\r\n"), 412);
    is(&remove("/c/o", "If-None-Match: *\r\n"), 412);
    is(&remove("/c/o", &format!("If-None-Match: {hash}\r\n")), 412);
    is(&remove("/c/o", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT\r\n"), 412);
    is(&remove("/c/o?until=99999999999", "If-Match: something\r\n"), 400);
    assert_eq!(site.get("o"), b"content");
    // Of what nobody hashed nobody knows whether it is another one.
    site.resize("p", 100 << 20);
    is(&remove("/c/p", &format!("If-Match: {hash}\r\n")), 412);
    is(&remove("/c/p", &format!("If-None-Match: {hash}\r\n")), 412);
    is(&remove("/c/p", "If-Match: *\r\n"), 204);
    // A folder of which nothing is there itself.
    site.put("d/o", b"x");
    is(&remove("/c/d?delimiter=/", "If-Match: *\r\n"), 412);
    is(&remove("/c/d?delimiter=/", ""), 204);
    is(&remove("/c/o", &format!("If-Match: \"{hash}\"\r\n")), 204);
    is(&remove("/c/o", "If-Match: *\r\n"), 404);
}

#[test]
fn conditions_of_an_update_are_asked_of_what_it_changes() {
    let site = Site::start();
    site.put("o", b"0123456789");
    let seen = format!("If-Match: {}\r\n", sha256(b"0123456789"));
    let path = format!("{PREFIX}/{}/c/o", site.uuids[0]);
    let mut socket = site.server.connect();
    let head = format!("{}{seen}Content-Range: bytes 0-3/*\r\n", site.token("ann"));
    let start = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    write!(socket, "POST {path} {start}{head}Content-Length: 4\r\n\r\nab").unwrap();
    while site.server.app.calls.transfers_running() == 0 {
        std::thread::yield_now();
    }
    // Another one comes first.
    site.put("o", b"other bytes");
    socket.write_all(b"cd").unwrap();
    is(&Answer::read(&mut socket), 412);
    assert_eq!(site.get("o"), b"other bytes");
    let post = |head: &str| site.ask("POST", "/c/o", head, b"+");
    is(&post(&format!("{seen}Content-Range: bytes */*\r\n")), 412);
    let now = format!("If-Match: {}\r\n", sha256(b"other bytes"));
    is(&post(&format!("{now}Content-Range: bytes */*\r\n")), 204);
}

#[test]
fn a_manifest_shows_what_begins_as_it_says() {
    let site = Site::start();
    site.put("part/1", b"one ");
    site.put("part/2", b"two");
    is(&site.ask("PUT", "/c/whole", "X-Object-Manifest: c/part/\r\n", b""), 201);
    assert_eq!(site.get("whole"), b"one two");
}

#[test]
fn what_other_doors_cannot_show_is_refused() {
    let site = Site::start();
    for head in ["X-Object-Meta-A: x%0Ay\r\n", "X-Object-Meta-A%20B: x\r\n"] {
        is(&site.ask("PUT", "/c/o", head, b"x"), 400);
    }
    let said = "attachment; filename=\"100%25.txt\"";
    let head = format!("Content-Disposition: {said}\r\nX-Object-Meta-Colour: gr%C3%BCn\r\n");
    is(&site.ask("PUT", "/c/o", &head, b"x"), 201);
    assert_eq!(header(&site.ask("HEAD", "/c/o", "", b""), "content-disposition"), Some(said));
    let path = format!("/object/v1/AUTH_{}/c/o", site.uuids[0]);
    let swift = site.server.raw("HEAD", &path, &site.token("ann"), b"");
    assert_eq!(header(&swift, "content-disposition"), Some(said));
}

#[test]
fn groups_are_said_by_who_looks_after_the_account() {
    let site = Site::start();
    let account = site.uuids[0].clone();
    let post = |user: &str, head: &str| site.by(user, "POST", &account, head, b"");
    is(&post("dora", "X-Account-Group-Friends: dora\r\n"), 403);
    is(&post("dora", "X-Account-Meta-Place: Athens\r\n"), 202);
    is(&post("ann", "X-Account-Group-Friends: dora\r\n"), 202);
}

#[test]
fn a_tree_is_copied_without_what_has_ended() {
    let site = Site::start();
    for name in ["d", "d/a", "d/b", "d/c"] {
        site.put(name, name.as_bytes());
    }
    site.end("d/b");
    is(&site.ask("COPY", "/c/d?delimiter=/", "Destination: /c/f\r\n", b""), 201);
    assert_eq!(site.names("?prefix=f"), ["f", "f/a", "f/c"]);
}

#[test]
fn groups_and_metadata_of_an_account_are_kept() {
    let site = Site::start();
    let head = "X-Account-Group-Friends: bob\r\nX-Account-Meta-Place: Athens\r\n";
    is(&site.ask("POST", "", head, b""), 202);
    let head = site.ask("HEAD", "", "", b"");
    assert_eq!(header(&head, "x-account-group-friends"), Some("bob"));
    assert_eq!(header(&head, "x-account-meta-place"), Some("athens"));
    assert_eq!(header(&head, "x-account-container-count"), Some("1"));
}
