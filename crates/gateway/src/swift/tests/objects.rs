//! Facts about containers and objects.

use archipelago_pool::{Meta, Named, Place, Secret, Update, UpdateContent};
use serde_json::Value;

use super::{PASSWORD, Site, header, is};

#[test]
fn an_object_comes_back_as_it_was_put() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box", &ann, b""), 202);
    let head = format!("{ann}X-Object-Meta-Color: Blue\r\nContent-Type: text/x\r\n");
    let put = site.ask("PUT", "/box/a%20b/%C3%BC", &head, b"0123456789");
    is(&put, 201);
    assert_eq!(header(&put, "etag"), Some("781e5e245d69b566979b86e28d23f2c7"));
    let got = site.ask("GET", "/box/a%20b/%C3%BC", &ann, b"");
    is(&got, 200);
    assert_eq!(got.body, b"0123456789");
    assert_eq!(header(&got, "x-object-meta-color"), Some("blue"));
    assert_eq!(header(&got, "content-type"), Some("text/x"));
    assert!(header(&got, "x-trans-id").unwrap().starts_with("tx"));
    let part = site.ask("GET", "/box/a%20b/%C3%BC", &format!("{ann}Range: bytes=2-4\r\n"), b"");
    is(&part, 206);
    assert_eq!(
        (part.body.as_slice(), header(&part, "content-range")),
        (&b"234"[..], Some("bytes 2-4/10"))
    );
    let two = site.ask("GET", "/box/a%20b/%C3%BC", &format!("{ann}Range: bytes=0-1,-2\r\n"), b"");
    is(&two, 206);
    assert_eq!(header(&two, "content-length"), Some(two.body.len().to_string().as_str()));
    let text = String::from_utf8(two.body).unwrap();
    assert!(text.contains("\r\n\r\n01\r\n") && text.contains("\r\n\r\n89\r\n"), "{text}");
    is(&site.ask("GET", "/box/a%20b/%C3%BC", &format!("{ann}Range: bytes=10-\r\n"), b""), 416);
    let same = format!("{ann}If-None-Match: \"781e5e245d69b566979b86e28d23f2c7\"\r\n");
    is(&site.ask("GET", "/box/a%20b/%C3%BC", &same, b""), 304);
    is(&site.ask("GET", "/box/a%20b/%C3%BC", &format!("{ann}If-Match: x\r\n"), b""), 412);
    is(&site.ask("DELETE", "/box/a%20b/%C3%BC", &ann, b""), 204);
    is(&site.ask("DELETE", "/box/a%20b/%C3%BC", &ann, b""), 404);
    is(&site.ask("DELETE", "/box", &ann, b""), 204);
}

#[test]
fn a_removal_keeps_to_its_conditions() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/o", &ann, b"0123456789"), 201);
    let remove = |head: &str| site.ask("DELETE", "/box/o", &format!("{ann}{head}\r\n"), b"");
    let md5 = "781e5e245d69b566979b86e28d23f2c7";
    is(&remove("If-Match: x"), 412);
    is(&remove("If-None-Match: *"), 412);
    is(&remove(&format!("If-None-Match: x, \"{md5}\"")), 412);
    is(&remove("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT"), 412);
    assert_eq!(site.ask("GET", "/box/o", &ann, b"").body, b"0123456789");
    is(&remove(&format!("If-Match: \"{md5}\"\r\nIf-None-Match: x")), 204);
    // What is not there is not found first of all.
    is(&remove("If-Match: *"), 404);
    // Where versions are kept, a removal of nothing would be noted.
    is(&site.ask("POST", "/box", &format!("{ann}X-Versions-Enabled: true\r\n"), b""), 204);
    is(&remove("If-Match: *"), 412);
    let versions = site.ask("GET", "/box?versions", &ann, b"");
    assert_eq!(versions.body, b"[]");
}

#[test]
fn a_removal_with_segments_keeps_to_its_conditions() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/part", &ann, b"0123456789"), 201);
    let list = br#"[{"path": "/box/part"}]"#;
    is(&site.ask("PUT", "/box/o?multipart-manifest=put", &ann, list), 201);
    let etag = site.ask("HEAD", "/box/o", &ann, b"");
    let etag = header(&etag, "etag").unwrap();
    let remove = |head: String| site.ask("DELETE", "/box/o?multipart-manifest=delete", &head, b"");
    is(&remove(format!("{ann}If-Match: x\r\n")), 412);
    is(&remove(format!("{ann}If-None-Match: {etag}\r\n")), 412);
    is(&site.ask("HEAD", "/box/part", &ann, b""), 200);
    is(&remove(format!("{ann}If-Match: {etag}\r\n")), 200);
    is(&site.ask("HEAD", "/box/part", &ann, b""), 404);
    is(&site.ask("HEAD", "/box/o", &ann, b""), 404);
}

#[test]
fn what_is_not_what_it_says_is_not_kept() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/a", &ann, b"old"), 201);
    is(&site.ask("PUT", "/box/a", &format!("{ann}ETag: {}\r\n", "0".repeat(32)), b"new"), 422);
    is(&site.ask("PUT", "/box/a", &format!("{ann}If-None-Match: *\r\n"), b"new"), 412);
    is(&site.ask("PUT", "/none/a", &ann, b"new"), 404);
    is(&site.ask("PUT", &format!("/box/{}", "n".repeat(1025)), &ann, b"new"), 400);
    is(&site.ask("PUT", &format!("/{}", "n".repeat(257)), &ann, b""), 400);
    is(&site.ask("GET", "/box/%ff", &ann, b""), 412);
    is(&site.ask("GET", "/box/%00", &ann, b""), 412);
    let long = format!("{ann}X-Object-Meta-A: {}\r\n", "v".repeat(257));
    is(&site.ask("PUT", "/box/a", &long, b"new"), 400);
    is(&site.ask("PUT", "/box?extract-archive=tar", &ann, b""), 400);
    assert_eq!(site.ask("GET", "/box/a", &ann, b"").body, b"old");
    is(&site.ask("DELETE", "/box", &ann, b""), 409);
}

#[test]
fn metadata_is_replaced_by_a_post_and_objects_end_when_they_should() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/a.txt", &format!("{ann}X-Object-Meta-A: 1\r\n"), b"x"), 201);
    is(&site.ask("POST", "/box/a.txt", &format!("{ann}X-Object-Meta-B: 2\r\n"), b""), 202);
    let shown = site.ask("HEAD", "/box/a.txt", &ann, b"");
    assert_eq!(header(&shown, "x-object-meta-a"), None);
    assert_eq!(header(&shown, "x-object-meta-b"), Some("2"));
    assert_eq!(header(&shown, "content-type"), Some("text/plain"));
    let soon = site.server.app.service.now_ms() / 1000 + 2;
    is(&site.ask("POST", "/box/a.txt", &format!("{ann}X-Delete-At: {soon}\r\n"), b""), 202);
    is(&site.ask("POST", "/box/a.txt", &format!("{ann}X-Delete-At: 1\r\n"), b""), 400);
    is(&site.ask("GET", "/box/a.txt", &ann, b""), 200);
    while site.server.app.service.now_ms() / 1000 < soon {
        site.server.get("/healthz");
    }
    is(&site.ask("GET", "/box/a.txt", &ann, b""), 404);
    is(&site.ask("POST", "/box/a.txt", &ann, b""), 404);
    is(&site.ask("PUT", "/box/a.txt", &format!("{ann}If-None-Match: *\r\n"), b"y"), 201);
    let soon = site.server.app.service.now_ms() / 1000 + 1;
    is(&site.ask("POST", "/box/a.txt", &format!("{ann}X-Delete-At: {soon}\r\n"), b""), 202);
    while site.server.app.service.now_ms() / 1000 < soon {
        site.server.get("/healthz");
    }
    is(&site.ask("DELETE", "/box/a.txt", &ann, b""), 404);
    is(&site.ask("DELETE", "/box", &ann, b""), 204);
}

#[test]
fn listings_are_what_was_asked_for() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    for name in ["a", "b/", "b/1", "b/2/x", "c"] {
        is(&site.ask("PUT", &format!("/box/{name}"), &ann, b"x"), 201);
    }
    let list = |query: &str| {
        let answer = site.ask("GET", &format!("/box?{query}"), &ann, b"");
        String::from_utf8(answer.body).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(list(""), "a b/ b/1 b/2/x c");
    assert_eq!(list("delimiter=/"), "a b/ c");
    assert_eq!(list("delimiter=/&reverse=true"), "c b/ a");
    assert_eq!(list("delimiter=/&prefix=b/"), "b/ b/1 b/2/");
    assert_eq!(list("delimiter=/&marker=b/"), "c");
    assert_eq!(list("delimiter=/&marker=b/1"), "b/ c");
    assert_eq!(list("path=b"), "b/1");
    assert_eq!(list("path="), "a b/ c");
    assert_eq!(list("marker=a&end_marker=c"), "b/ b/1 b/2/x");
    assert_eq!(list("marker=c&end_marker=a&reverse=on"), "b/2/x b/1 b/");
    assert_eq!(list("limit=2&reverse=1"), "c b/2/x");
    assert_eq!(list("limit=0"), "");
    is(&site.ask("GET", "/box?limit=10001", &ann, b""), 412);
    is(&site.ask("GET", "/box", &format!("{ann}Accept: image/png\r\n"), b""), 406);
    let json: Vec<Value> = site.ask("GET", "/box?format=json&delimiter=/", &ann, b"").json(200);
    assert_eq!(json[0]["hash"], "9dd4e461268c8034f5c8564e155c67a6");
    assert_eq!((&json[0]["bytes"], &json[1]["subdir"]), (&Value::from(1), &Value::from("b/")));
    let xml = site.ask("GET", "/box?format=xml&limit=1", &ann, b"");
    let text = String::from_utf8(xml.body).unwrap();
    assert!(text.contains("<container name=\"box\"><object><name>a</name>"), "{text}");
    let account = site.ask("HEAD", "", &ann, b"");
    assert_eq!(header(&account, "x-account-object-count"), Some("5"));
    assert_eq!(header(&account, "x-account-bytes-used"), Some("5"));
    let json: Vec<Value> = site.ask("GET", "?format=json", &ann, b"").json(200);
    assert_eq!((&json[0]["name"], &json[0]["count"]), (&Value::from("box"), &Value::from(5)));
}

#[test]
fn copies_take_metadata_with_them() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/a", &format!("{ann}X-Object-Meta-A: 1\r\n"), b"content"), 201);
    let head = format!("{ann}Destination: box/b\r\nX-Object-Meta-B: 2\r\n");
    let copied = site.ask("COPY", "/box/a", &head, b"");
    is(&copied, 201);
    assert_eq!(header(&copied, "x-copied-from"), Some("box/a"));
    let shown = site.ask("GET", "/box/b", &ann, b"");
    assert_eq!(shown.body, b"content");
    assert_eq!(header(&shown, "x-object-meta-a"), Some("1"));
    assert_eq!(header(&shown, "x-object-meta-b"), Some("2"));
    let fresh = format!("{ann}X-Copy-From: /box/a\r\nX-Fresh-Metadata: true\r\n");
    is(&site.ask("PUT", "/box/c", &fresh, b""), 201);
    assert_eq!(header(&site.ask("HEAD", "/box/c", &ann, b""), "x-object-meta-a"), None);
    is(&site.ask("COPY", "/box/none", &head, b""), 404);
    is(&site.ask("COPY", "/box/a", &format!("{ann}Destination: nowhere\r\n"), b""), 412);
}

#[test]
fn versions_are_kept_and_removed_for_good_only_by_their_id() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &format!("{ann}X-Versions-Enabled: true\r\n"), b""), 201);
    let first = site.ask("PUT", "/box/a", &ann, b"one");
    let first = header(&first, "x-object-version-id").unwrap().to_owned();
    is(&site.ask("PUT", "/box/a", &ann, b"two"), 201);
    is(&site.ask("DELETE", "/box/a", &ann, b""), 204);
    is(&site.ask("GET", "/box/a", &ann, b""), 404);
    let old = site.ask("GET", &format!("/box/a?version-id={first}"), &ann, b"");
    assert_eq!(old.body, b"one");
    let json: Vec<Value> = site.ask("GET", "/box?versions&format=json", &ann, b"").json(200);
    assert_eq!(json.len(), 3);
    assert_eq!(
        (&json[0]["is_latest"], &json[2]["version_id"]),
        (&true.into(), &first.as_str().into())
    );
    let list = |query: &str| -> Vec<Value> {
        let path = format!("/box?versions&format=json&{query}");
        let rows: Vec<Value> = site.ask("GET", &path, &ann, b"").json(200);
        rows.into_iter().map(|row| row["version_id"].clone()).collect()
    };
    let all = list("");
    assert_eq!(list("reverse=on"), all.iter().rev().cloned().collect::<Vec<_>>());
    let middle = all[1].as_str().unwrap();
    assert_eq!(list(&format!("marker=a&version_marker={middle}")), all[2..]);
    assert_eq!(list(&format!("marker=a&version_marker={middle}&reverse=on")), all[..1]);
    assert_eq!(list("limit=2"), all[..2]);
    assert!(list("marker=a").is_empty());
    let none = site.ask("DELETE", "/box/none", &ann, b"");
    is(&none, 404);
    let marker = header(&none, "x-object-version-id").unwrap();
    is(&site.ask("DELETE", &format!("/box/none?version-id={marker}"), &ann, b""), 204);
    is(&site.ask("DELETE", "/box", &ann, b""), 409);
    is(&site.ask("PUT", &format!("/box/a?version-id={first}"), &ann, b""), 201);
    assert_eq!(site.ask("GET", "/box/a", &ann, b"").body, b"one");
    is(&site.ask("DELETE", &format!("/box/a?version-id={first}"), &ann, b""), 204);
    is(&site.ask("GET", &format!("/box/a?version-id={first}"), &ann, b""), 404);
}

#[test]
fn what_another_door_locks_is_locked_here() {
    use archipelago_pool::{Named, Which};
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &format!("{ann}X-Versions-Enabled: true\r\n"), b""), 201);
    let put = site.ask("PUT", "/box/a", &ann, b"one");
    let id = header(&put, "x-object-version-id").unwrap().to_owned();
    let service = &site.server.app.service;
    let account = service.account(&Named::name("ann")).unwrap().id;
    let container = service.container(account, &"box".parse().unwrap()).unwrap().id;
    let lock = |on: &str| {
        let which = Which::Latest;
        let done = service.object_change(container, &"a".parse().unwrap(), which, &mut |object| {
            let mut meta = object.meta.clone();
            meta.settings.insert("s3.lock.hold".to_owned(), on.to_owned());
            Ok(meta)
        });
        done.unwrap();
    };
    lock("ON");
    is(&site.ask("POST", "/box/a", &format!("{ann}X-Object-Meta-A: b\r\n"), b""), 202);
    is(&site.ask("DELETE", &format!("/box/a?version-id={id}"), &ann, b""), 403);
    lock("OFF");
    is(&site.ask("DELETE", &format!("/box/a?version-id={id}"), &ann, b""), 204);
}

#[test]
fn an_object_without_an_md5_shows_no_etag() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/a", &ann, b"0123"), 201);
    let service = &site.server.app.service;
    let login = service.login_password(&Named::name("ann"), &Secret::new(PASSWORD), None).unwrap();
    let home =
        service.container(login.session.identity.account.id, &"box".parse().unwrap()).unwrap();
    let update = Update {
        container: home.id,
        name: &"a".parse().unwrap(),
        place: Place::End,
        content: UpdateContent::Bytes { input: &mut &b"45"[..], size: Some(2) },
        size: None,
        create: false,
        owner: None,
        decide: Box::new(|_| Ok(Meta::default())),
    };
    service.object_update(update).unwrap();
    for method in ["HEAD", "GET"] {
        let shown = site.ask(method, "/box/a", &ann, b"");
        is(&shown, 200);
        assert_eq!(header(&shown, "etag"), None, "{}", shown.head);
    }
    let copied = site.ask("PUT", "/box/b", &format!("{ann}X-Copy-From: box/a\r\n"), b"");
    is(&copied, 201);
    assert_eq!(header(&copied, "etag"), None, "{}", copied.head);
    let listed = site.ask("GET", "/box?format=json", &ann, b"");
    let listed: Value = serde_json::from_slice(&listed.body).unwrap();
    assert_eq!((&listed[0]["hash"], &listed[0]["bytes"]), (&Value::from(""), &Value::from(6)));
    // The listing is all that somebody needs to make a manifest.
    let manifest = br#"[{"path": "box/a", "etag": "", "size_bytes": 6}]"#;
    is(&site.ask("PUT", "/box/m?multipart-manifest=put", &ann, manifest), 201);
    assert_eq!(site.ask("GET", "/box/m", &ann, b"").body, b"012345");
}

#[test]
fn a_removal_of_what_ends_then_leaves_what_does_not() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    let at = site.server.app.service.now_ms() / 1000 + 3600;
    is(&site.ask("PUT", "/box/a", &format!("{ann}X-Delete-At: {at}\r\n"), b"new"), 201);
    is(&site.ask("DELETE", "/box/a", &format!("{ann}X-If-Delete-At: {}\r\n", at + 1), b""), 412);
    is(&site.ask("GET", "/box/a", &ann, b""), 200);
    is(&site.ask("DELETE", "/box/a", &format!("{ann}X-If-Delete-At: {at}\r\n"), b""), 204);
}

#[test]
fn a_container_that_is_refused_is_not_made() {
    let site = Site::start();
    let ann = site.token("ann");
    let both = format!("{ann}X-Versions-Enabled: true\r\nX-Versions-Location: old\r\n");
    is(&site.ask("PUT", "/box", &both, b""), 400);
    is(&site.ask("HEAD", "/box", &ann, b""), 404);
}
