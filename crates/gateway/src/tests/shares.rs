//! Sharing by the native API.

use archipelago_api::{AuditLog, EndShareQuery, ErrorKind, ShareQuery, Shares, path};
use archipelago_pool::{Named, NewUser, Secret};

use super::harness::{Harness, full_stream};

fn site() -> Harness {
    let server = Harness::start();
    let service = &server.app.service;
    service.found_admin().unwrap();
    for name in ["olga", "bob"] {
        let (name, password) = (name.parse().unwrap(), Secret::new("correct horse"));
        service.user_create(&NewUser { name, password, is_admin: false, account: None }).unwrap();
    }
    let stream = full_stream(b"content");
    server.raw("PUT", &path::file_put("docs", "a", None), "", &stream);
    server
}

fn told(shares: &Shares) -> Vec<(&str, &str, &str)> {
    let shares = shares.shares.iter();
    shares.map(|one| (&*one.resource, &*one.with, &*one.right)).collect()
}

fn all(server: &Harness, query: &ShareQuery) -> Shares {
    server.get(&path::shares(query)).json(200)
}

#[test]
fn what_is_shared_is_listed_ends_and_is_recorded() {
    let server = site();
    let body = r#"{"resource":"docs/a","with":[{"who":"bob","rights":["read","write"]},
        {"who":"everyone","rights":["read"]}],"lifetime_ms":3600000}"#;
    let made: Shares = server.post(path::SHARES, body).json(200);
    let file = "file 'docs/a'";
    let wanted = [(file, "bob", "read"), (file, "bob", "write"), (file, "everyone", "read")];
    assert_eq!(told(&made), wanted);
    assert!(made.shares.iter().all(|one| one.by == "operator" && one.expires_ms.is_some()));
    let of_it = ShareQuery { resource: Some("docs/a".to_owned()), account: None };
    assert_eq!(all(&server, &of_it), made);
    assert_eq!(all(&server, &ShareQuery::default()), made);
    let end = |with: Option<&str>, right: Option<&str>| {
        let (with, right) = (with.map(str::to_owned), right.map(str::to_owned));
        let query = EndShareQuery { resource: "docs/a".to_owned(), account: None, with, right };
        server.delete(&path::shares_end(&query))
    };
    assert_eq!(end(Some("bob"), Some("write")).status, 204);
    end(Some("bob"), Some("write")).error(404, ErrorKind::NotFound);
    assert_eq!(told(&all(&server, &of_it)), [wanted[0], wanted[2]]);
    assert_eq!(end(None, None).status, 204);
    assert_eq!(told(&all(&server, &of_it)), []);
    let log: AuditLog = server.get(path::AUDIT).json(200);
    let events: Vec<&str> = log.rows.iter().map(|row| &*row.event).collect();
    assert_eq!(events, ["revoked", "revoked", "revoked", "granted", "granted", "granted"]);
}

#[test]
fn all_that_is_said_of_a_share_is_done_or_nothing() {
    let server = site();
    let refused = |body: &str, status, kind| {
        server.post(path::SHARES, body).error(status, kind);
        assert!(all(&server, &ShareQuery::default()).shares.is_empty(), "{body}");
    };
    let (none, invalid) = (ErrorKind::NotFound, ErrorKind::Invalid);
    let bob = r#""with":[{"who":"bob","rights":["read"]}"#;
    refused(&format!(r#"{{"resource":"docs/none",{bob}]}}"#), 404, none);
    refused(&format!(r#"{{"resource":"nowhere/a",{bob}]}}"#), 404, none);
    refused(
        &format!(r#"{{"resource":"docs/a",{bob},{{"who":"eve","rights":["read"]}}]}}"#),
        404,
        none,
    );
    refused(&format!(r#"{{"resource":"docs",{bob}]}}"#), 400, invalid);
    refused(r#"{"resource":"docs/a","with":[{"who":"bob","rights":["own"]}]}"#, 400, invalid);
    refused(r#"{"resource":"docs/a","with":[{"who":"bob","rights":["list"]}]}"#, 400, invalid);
    refused(r#"{"resource":"docs/a","with":[{"who":"bob","rights":[]}]}"#, 400, invalid);
    refused(r#"{"resource":"docs/a","with":[]}"#, 400, invalid);
}

#[test]
fn containers_of_others_folders_and_disks_are_shared_too() {
    let server = site();
    let service = &server.app.service;
    let olga = service.account(&Named::name("olga")).unwrap();
    service.container_create(olga.id, &"papers".parse().unwrap()).unwrap();
    server
        .post(path::VOLUMES, r#"{"names":["web"],"size":1048576}"#)
        .json::<serde_json::Value>(201);
    server.post(path::SNAPSHOTS, r#"{"members":["web@one"]}"#).json::<serde_json::Value>(201);
    let share = |resource: &str, account: &str, right: &str| -> Shares {
        let body = format!(
            r#"{{"resource":"{resource}","account":"{account}",
                "with":[{{"who":"bob","rights":["{right}"]}}]}}"#
        );
        server.post(path::SHARES, &body).json(200)
    };
    let container = "container 'olga/papers'";
    let wanted = [(container, "bob", "read"), (container, "bob", "list")];
    assert_eq!(told(&share("container:papers", "olga", "read")), wanted);
    let folder = share("papers/drafts/", "olga", "write");
    assert_eq!(told(&folder), [("file 'olga/papers/drafts/'", "bob", "write")]);
    let volume = share("volume:web", "admin", "clone");
    assert_eq!(told(&volume), [("volume 'web'", "bob", "clone")]);
    let snapshot = share("snapshots/web@one", "admin", "read");
    assert_eq!(told(&snapshot), [("snapshot 'web@one'", "bob", "read")]);
}
