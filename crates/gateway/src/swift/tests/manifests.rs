//! Facts about objects that are made of others, and about many removals at once.

use archipelago_pool::{
    CopySource, Meta, Named, Object, Place, Put, Sealing, Update, UpdateContent, Which,
};
use serde_json::{Value, json};

use super::{Site, header, is};
use crate::swift::dlo::SEGMENT_LINKS_MAX;
use crate::tests::harness::noise;

#[test]
fn a_dynamic_manifest_shows_what_begins_so() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/parts", &ann, b""), 201);
    for (name, body) in [("big/1", "one"), ("big/2", "two"), ("bigger", "no")] {
        is(&site.ask("PUT", &format!("/parts/{name}"), &ann, body.as_bytes()), 201);
    }
    is(&site.ask("PUT", "/box/big", &format!("{ann}X-Object-Manifest: parts/big/\r\n"), b""), 201);
    let shown = site.ask("HEAD", "/box/big", &ann, b"");
    assert_eq!(header(&shown, "content-length"), Some("6"));
    assert_eq!(header(&shown, "x-object-manifest"), Some("parts/big/"));
    assert_eq!(site.ask("GET", "/box/big", &ann, b"").body, b"onetwo");
    let part = site.ask("GET", "/box/big", &format!("{ann}Range: bytes=2-3\r\n"), b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"et"[..]));
    is(&site.ask("COPY", "/box/big", &format!("{ann}Destination: box/flat\r\n"), b""), 201);
    is(&site.ask("DELETE", "/parts/big/1", &ann, b""), 204);
    assert_eq!(site.ask("GET", "/box/flat", &ann, b"").body, b"onetwo");
    is(&site.ask("PUT", "/box/bad", &format!("{ann}X-Object-Manifest: parts\r\n"), b""), 400);
}

#[test]
fn a_static_manifest_is_checked_and_shows_its_segments() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    let (one, two) = (noise(300_000, 1), noise(5_000, 2));
    is(&site.ask("PUT", "/box/1", &ann, &one), 201);
    is(&site.ask("PUT", "/box/2", &ann, &two), 201);
    let put = |name: &str, manifest: &Value| {
        let path = format!("/box/{name}?multipart-manifest=put");
        site.ask("PUT", &path, &ann, manifest.to_string().as_bytes())
    };
    let manifest = json!([
        {"path": "/box/1", "size_bytes": 300_000},
        {"path": "box/2", "range": "10-19"},
        {"data": "YWJj"},
    ]);
    is(&put("big", &manifest), 201);
    let whole = [one.as_slice(), &two[10..20], b"abc"].concat();
    let got = site.ask("GET", "/box/big", &ann, b"");
    assert!(got.body == whole && header(&got, "x-static-large-object") == Some("true"));
    let part = site.ask("GET", "/box/big?part-number=2", &ann, b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &two[10..20]));
    assert_eq!(header(&part, "x-parts-count"), Some("3"));
    for (number, status) in [("0", 400), ("x", 400), ("4", 416)] {
        is(&site.ask("GET", &format!("/box/big?part-number={number}"), &ann, b""), status);
    }
    is(&put("outer", &json!([{"path": "box/big"}, {"path": "box/2"}])), 201);
    assert!(site.ask("GET", "/box/outer", &ann, b"").body == [whole.as_slice(), &two].concat());
    let json: Vec<Value> = site.ask("GET", "/box?format=json&prefix=big", &ann, b"").json(200);
    assert_eq!(json[0]["bytes"], 300_013);
    let kept: Vec<Value> = site.ask("GET", "/box/big?multipart-manifest=get", &ann, b"").json(200);
    assert_eq!((&kept[0]["name"], &kept[1]["range"]), (&json!("/box/1"), &json!("10-19")));
    let again: Value =
        site.ask("GET", "/box/big?multipart-manifest=get&format=raw", &ann, b"").json(200);
    is(&put("again", &again), 201);
    assert!(site.ask("GET", "/box/again", &ann, b"").body == whole);
    for bad in [
        json!([{"path": "box/1", "size_bytes": 1}]),
        json!([{"path": "box/1", "etag": "00"}]),
        json!([{"path": "box/none"}]),
        json!([{"path": "box/2", "range": "9999-"}]),
        json!([{"data": "YWJj"}]),
        json!([]),
        json!({"path": "box/1"}),
        json!([{"path": "box/1", "size_bytes": -1}]),
        json!([{"path": "nothing"}]),
    ] {
        assert_eq!(put("bad", &bad).status, 400, "{bad}");
    }
    is(&put("big", &json!([{"path": "box/big"}])), 400);
    // A segment that is another one now is not shown as what it was.
    is(&site.ask("PUT", "/box/1", &ann, b"changed"), 201);
    is(&site.ask("GET", "/box/big", &ann, b""), 409);
    let gone = site.ask("DELETE", "/box/outer?multipart-manifest=delete", &ann, b"");
    is(&gone, 200);
    assert_eq!(site.ask("GET", "/box", &ann, b"").body, b"again\n");
}

#[test]
fn a_dynamic_manifest_follows_so_many_links_and_no_more() {
    let site = Site::start();
    let ann = site.token("ann");
    for container in ["/box", "/parts"] {
        is(&site.ask("PUT", container, &ann, b""), 201);
    }
    is(&site.ask("PUT", "/box/whole", &ann, b"x"), 201);
    is(&site.ask("PUT", "/parts/0", &format!("{ann}X-Symlink-Target: box/whole\r\n"), b""), 201);
    let manifest = format!("{ann}X-Object-Manifest: parts/0\r\n");
    is(&site.ask("PUT", "/box/big", &manifest, b""), 201);
    let service = &site.server.app.service;
    let accounts = service.accounts().unwrap();
    let account = accounts.iter().find(|account| account.name.as_str() == "ann").unwrap().id;
    let parts = service.container(account, &"parts".parse().unwrap()).unwrap().id;
    let link = CopySource { container: parts, name: "0".parse().unwrap(), which: Which::Latest };
    let copy = |number: usize| {
        let name = format!("0{number}").parse().unwrap();
        let finish = &mut |object: &Object| Ok(object.meta.clone());
        service.object_copy(&link, parts, &name, finish, &|_| Ok(())).unwrap();
    };
    (1..SEGMENT_LINKS_MAX).for_each(copy);
    let shown = site.ask("HEAD", "/box/big", &ann, b"");
    assert_eq!(header(&shown, "content-length"), Some(&*SEGMENT_LINKS_MAX.to_string()));
    copy(SEGMENT_LINKS_MAX);
    is(&site.ask("HEAD", "/box/big", &ann, b""), 409);
}

#[test]
fn a_manifest_goes_to_another_account_that_has_the_same_updated_segment() {
    let site = Site::start();
    let (ann, root) = (site.token("ann"), site.token("root"));
    let theirs = |method: &str, path: &str, head: &str| {
        site.server.raw(method, &format!("{}{path}", site.bob), head, b"")
    };
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&theirs("PUT", "/box", &root), 201);
    is(&site.ask("PUT", "/box/1", &ann, b"abc"), 201);
    let service = &site.server.app.service;
    let accounts = service.accounts().unwrap();
    let account = accounts.iter().find(|account| account.name.as_str() == "ann").unwrap().id;
    let home = service.container(account, &"box".parse().unwrap()).unwrap().id;
    let update = Update {
        container: home,
        name: &"1".parse().unwrap(),
        place: Place::End,
        content: UpdateContent::Bytes { input: &mut &b"def"[..], size: None },
        size: None,
        create: false,
        owner: None,
        decide: Box::new(|_| Ok(Meta::default())),
    };
    service.object_update(update).unwrap();
    let manifest = json!([{"path": "/box/1"}]).to_string();
    is(&site.ask("PUT", "/box/big?multipart-manifest=put", &ann, manifest.as_bytes()), 201);
    let (here, there) = (site.ann.rsplit('/').next(), site.bob.rsplit('/').next());
    let link =
        format!("{root}X-Symlink-Target: box/1\r\nX-Symlink-Target-Account: {}\r\n", here.unwrap());
    is(&theirs("PUT", "/box/1", &link), 201);
    let to = format!("{root}Destination: box/big\r\nDestination-Account: {}\r\n", there.unwrap());
    is(&site.ask("COPY", "/box/big?multipart-manifest=get", &to, b""), 201);
    assert_eq!(theirs("GET", "/box/big", &root).body, b"abcdef");
}

#[test]
fn many_are_removed_at_once_each_with_its_own_right() {
    let site = Site::start();
    let (ann, carl) = (site.token("ann"), site.token("carl"));
    is(&site.ask("POST", "?bulk-delete", &site.token("bob"), b"/box/a\n"), 403);
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    for name in ["a", "b%20c"] {
        is(&site.ask("PUT", &format!("/box/{name}"), &ann, b"x"), 201);
    }
    let list = b"/box/a\n/box/b%20c\n\n/box/none\n/box\n";
    let json = |head: &str| -> Value {
        let head = format!("{head}Accept: application/json\r\n");
        site.ask("POST", "?bulk-delete", &head, list).json(200)
    };
    let denied = json(&carl);
    assert_eq!(
        (&denied["Number Deleted"], denied["Errors"].as_array().unwrap().len()),
        (&json!(0), 4)
    );
    // The list counts, not the rest of the path.
    let xml = format!("{ann}Accept: application/xml\r\n");
    let none = site.ask("DELETE", "/box/a?bulk-delete", &xml, b"/box/none");
    let text = String::from_utf8(none.body).unwrap();
    assert!(text.contains("<number_not_found>1</number_not_found>"), "{text}");
    let done = json(&ann);
    assert_eq!((&done["Number Deleted"], &done["Number Not Found"]), (&json!(3), &json!(1)));
    assert_eq!(done["Response Status"], "200 OK");
    is(&site.ask("HEAD", "/box", &ann, b""), 404);
}

#[test]
fn a_copy_of_what_is_sealed_is_sealed_also_of_a_range_and_of_what_a_manifest_stands_for() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    let service = &site.server.app.service;
    let account = service.account(&Named::name("ann")).unwrap().id;
    let home = service.container(account, &"box".parse().unwrap()).unwrap().id;
    let sealed = |name: &str| {
        let which = Which::Latest;
        service.object(home, &name.parse().unwrap(), which).unwrap().seal.is_some()
    };
    let (name, sealing) = ("seg/1".parse().unwrap(), &Sealing::Store);
    let to = Put { container: home, name: &name, size: Some(6), sealing, owner: None };
    service
        .object_put_as(&to, &mut &b"secret"[..], &mut |_| Ok(Meta::default()), &|_| Ok(()))
        .unwrap();
    is(&site.ask("PUT", "/box/all", &format!("{ann}X-Object-Manifest: box/seg/\r\n"), b""), 201);
    for (from, to, more) in
        [("seg/1", "whole", ""), ("seg/1", "range", "Range: bytes=1-3\r\n"), ("all", "joined", "")]
    {
        let head = format!("{ann}Destination: box/{to}\r\n{more}");
        is(&site.ask("COPY", &format!("/box/{from}"), &head, b""), 201);
        assert!(sealed(to), "{to}");
    }
    assert_eq!(site.ask("GET", "/box/range", &ann, b"").body, b"ecr");
    assert_eq!(site.ask("GET", "/box/joined", &ann, b"").body, b"secret");
    // What was in clear stays so.
    is(&site.ask("PUT", "/box/open", &ann, b"open"), 201);
    let head = format!("{ann}Destination: box/open2\r\nRange: bytes=0-1\r\n");
    is(&site.ask("COPY", "/box/open", &head, b""), 201);
    assert!(!sealed("open2"));
}
