//! Facts about who may do what.

use archipelago_pool::{Grant, Grantee, Hmac, Named, Right, Shared};

use super::{Site, header, is};

#[test]
fn who_may_not_cannot_tell_what_exists_from_what_does_not() {
    let site = Site::start();
    let (ann, bob) = (site.token("ann"), site.token("bob"));
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/thing", &ann, b"secret"), 201);
    let nowhere = "/object/v1/AUTH_00000000000000000000000000000000";
    for head in [bob.as_str(), ""] {
        let status = if head.is_empty() { 401 } else { 403 };
        for path in ["", "/box", "/none", "/box/thing", "/box/none", "/none/none"] {
            let there = site.ask("GET", path, head, b"");
            let absent = site.server.raw("GET", &format!("{nowhere}{path}"), head, b"");
            is(&there, status);
            is(&absent, status);
            assert_eq!(there.body, absent.body);
            assert_eq!(header(&there, "x-timestamp"), None);
        }
        for method in ["PUT", "POST", "DELETE"] {
            for path in ["/box", "/none", "/box/thing", "/none/none"] {
                is(&site.ask(method, path, head, b""), status);
            }
        }
    }
    is(&site.ask("GET", "", "X-Auth-Token: nonsense\r\n", b""), 401);
    assert_eq!(site.ask("GET", "/box/thing", &ann, b"").body, b"secret");
}

#[test]
fn a_reader_reads_a_member_writes_and_an_administrator_says_who_else() {
    let site = Site::start();
    let (ann, carl, dora) = (site.token("ann"), site.token("carl"), site.token("dora"));
    is(&site.ask("PUT", "/box", &dora, b""), 201);
    is(&site.ask("PUT", "/box/thing", &dora, b"x"), 201);
    is(&site.ask("GET", "/box/thing", &carl, b""), 200);
    is(&site.ask("GET", "/box", &carl, b""), 200);
    is(&site.ask("GET", "", &carl, b""), 200);
    for (method, path) in
        [("PUT", "/other"), ("POST", "/box"), ("DELETE", "/box"), ("PUT", "/box/a"), ("POST", "")]
    {
        is(&site.ask(method, path, &carl, b""), 403);
    }
    let public = format!("{dora}X-Container-Read: .r:*\r\n");
    is(&site.ask("POST", "/box", &public, b""), 403);
    is(&site.ask("POST", "", &format!("{dora}X-Account-Meta-Temp-URL-Key: k\r\n"), b""), 403);
    is(&site.ask("POST", "/box", &format!("{ann}X-Container-Read: .r:*\r\n"), b""), 204);
    is(&site.ask("GET", "/box/thing", "", b""), 200);
    is(&site.ask("GET", "/box", "", b""), 401);
}

#[test]
fn lists_let_in_whom_they_name_and_are_seen_by_administrators_only() {
    let site = Site::start();
    let (ann, bob, dora) = (site.token("ann"), site.token("bob"), site.token("dora"));
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/thing", &ann, b"x"), 201);
    let read = |list: &str| {
        is(&site.ask("POST", "/box", &format!("{ann}X-Container-Read: {list}\r\n"), b""), 204);
        site.ask("GET", "/box/thing", &bob, b"").status
    };
    for list in ["bob:bob", "*:bob", "bob:*", "bob", ".r:*,x:y", "*:*"] {
        assert_eq!(read(list), 200, "{list}");
    }
    for list in ["ann:bob", "bob:ann", "*:ann", ".r:-*", "*", "", ".rlistings", ".r:.example.com"] {
        assert_eq!(read(list), 403, "{list}");
    }
    is(&site.ask("PUT", "/box/other", &bob, b"x"), 403);
    let write = format!("{ann}X-Container-Write: bob:bob\r\n");
    is(&site.ask("POST", "/box", &write, b""), 204);
    is(&site.ask("PUT", "/box/other", &bob, b"x"), 201);
    is(&site.ask("DELETE", "/box", &bob, b""), 403);
    let shown = site.ask("HEAD", "/box", &ann, b"");
    assert_eq!(header(&shown, "x-container-write"), Some("bob:bob"));
    assert_eq!(header(&site.ask("HEAD", "/box", &dora, b""), "x-container-write"), None);
    for bad in ["X-Container-Write: .r:*", "X-Container-Read: .unknown:x", "X-Container-Read: .r:"]
    {
        is(&site.ask("POST", "/box", &format!("{ann}{bad}\r\n"), b""), 400);
    }
}

#[test]
fn a_copy_reads_only_what_its_caller_may_read() {
    let site = Site::start();
    let (ann, bob) = (site.token("ann"), site.token("bob"));
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/thing", &ann, b"secret"), 201);
    is(&site.server.raw("PUT", &format!("{}/mine", site.bob), &bob, b""), 201);
    let account = site.ann.rsplit('/').next().unwrap();
    let head = format!("{bob}X-Copy-From: box/thing\r\nX-Copy-From-Account: {account}\r\n");
    let to = format!("{}/mine/copy", site.bob);
    is(&site.server.raw("PUT", &to, &head, b""), 403);
    // A manifest is no way round.
    let head = format!("{bob}X-Object-Manifest: box/th\r\n");
    is(&site.server.raw("PUT", &to, &head, b""), 201);
    is(&site.server.raw("GET", &to, &bob, b""), 404);
}

#[test]
fn a_signed_url_allows_what_was_signed_and_nothing_else() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/thing", &format!("{ann}X-Object-Meta-A: b\r\n"), b"x"), 201);
    is(&site.ask("PUT", "/box/other", &ann, b"y"), 201);
    is(&site.ask("POST", "", &format!("{ann}X-Account-Meta-Temp-URL-Key: key\r\n"), b""), 204);
    let ends = site.server.app.service.now_ms() / 1000 + 60;
    let url = |method: &str, path: &str, ends: u64, key: &str| {
        let text = format!("{method}\n{ends}\n{}{path}", site.ann);
        let sig = hex::encode(Hmac::Sha256.sign(key.as_bytes(), text.as_bytes()));
        format!("?temp_url_sig={sig}&temp_url_expires={ends}")
    };
    let good = url("GET", "/box/thing", ends, "key");
    let answer = site.ask("GET", &format!("/box/thing{good}"), "", b"");
    is(&answer, 200);
    assert_eq!(header(&answer, "x-object-meta-a"), None);
    assert!(header(&answer, "content-disposition").unwrap().starts_with("attachment"));
    is(&site.ask("HEAD", &format!("/box/thing{good}"), "", b""), 200);
    for (method, path, query) in [
        ("GET", "/box/other", good.clone()),
        ("GET", "/box", good.clone()),
        ("PUT", "/box/thing", good.clone()),
        ("DELETE", "/box/thing", good.clone()),
        ("GET", "/box/thing", url("GET", "/box/thing", ends, "wrong")),
        ("GET", "/box/thing", url("GET", "/box/thing", 1, "key")),
        ("GET", "/box/thing", "?temp_url_sig=00&temp_url_expires=9999999999".to_owned()),
        ("GET", "/box/thing", format!("{good}&temp_url_ip_range=0.0.0.0/0")),
    ] {
        is(&site.ask(method, &format!("{path}{query}"), "", b""), 401);
    }
    let put = url("PUT", "/box/new", ends, "key");
    is(&site.ask("PUT", &format!("/box/new{put}"), "", b"z"), 201);
    for head in ["X-Object-Manifest: box/th\r\n", "X-Copy-From: box/thing\r\n"] {
        is(&site.ask("PUT", &format!("/box/new{put}"), head, b""), 400);
    }
    is(&site.ask("PUT", &format!("/box/new{put}&multipart-manifest=put"), "", b"[]"), 400);
}

#[test]
fn lists_and_signed_urls_show_what_is_there_now_and_no_old_versions() {
    let site = Site::start();
    let (ann, bob) = (site.token("ann"), site.token("bob"));
    let head = format!(
        "{ann}X-Versions-Enabled: true\r\nX-Container-Read: *:*,.r:*,.rlistings\r\n\
         X-Container-Write: *:*\r\nX-Container-Meta-Temp-URL-Key: key\r\n"
    );
    is(&site.ask("PUT", "/box", &head, b""), 201);
    let old = site.ask("PUT", "/box/a", &ann, b"old");
    let id = header(&old, "x-object-version-id").unwrap();
    is(&site.ask("PUT", "/box/a", &ann, b"new"), 201);
    assert_eq!(site.ask("GET", "/box/a", &bob, b"").body, b"new");
    let path = format!("/box/a?version-id={id}");
    assert_eq!(site.ask("GET", &path, &ann, b"").body, b"old");
    for (method, path) in
        [("GET", path.as_str()), ("DELETE", &path), ("PUT", &path), ("GET", "/box?versions")]
    {
        is(&site.ask(method, path, &bob, b""), 403);
        is(&site.ask(method, path, "", b""), 401);
    }
    let copy = format!("{bob}Destination: box/b\r\n");
    is(&site.ask("COPY", &path, &copy, b""), 403);
    let text = format!("GET\n9999999999\n{}/box/a", site.ann);
    let sig = hex::encode(Hmac::Sha1.sign(b"key", text.as_bytes()));
    let signed = format!("{path}&temp_url_sig={sig}&temp_url_expires=9999999999");
    assert_eq!(site.ask("GET", &signed, "", b"").body, b"new");
}

#[test]
fn a_guest_may_do_what_lists_say_and_nothing_else() {
    let site = Site::start();
    let (ann, gina) = (site.token("ann"), site.token("gina"));
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/thing", &ann, b"x"), 201);
    for path in ["", "/box", "/box/thing", "/none"] {
        is(&site.ask("GET", path, &gina, b""), 403);
        is(&site.ask("PUT", path, &gina, b""), 403);
    }
    is(&site.ask("POST", "/box", &format!("{ann}X-Container-Read: ann:gina\r\n"), b""), 204);
    is(&site.ask("GET", "/box/thing", &gina, b""), 200);
    is(&site.ask("PUT", "/box/thing", &gina, b""), 403);
    is(&site.ask("GET", "", &gina, b""), 403);
}

#[test]
fn a_list_of_an_account_gives_each_level_what_it_says_until_it_is_taken_back() {
    let site = Site::start();
    let (ann, bob) = (site.token("ann"), site.token("bob"));
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    let give = |head: &str, list: &str| {
        site.ask("POST", "", &format!("{head}X-Account-Access-Control: {list}\r\n"), b"")
    };
    let can = |method: &str, path: &str, head: &str| {
        let status = site.ask(method, path, &format!("{bob}{head}"), b"").status;
        assert!(status == 403 || status < 300, "{status}");
        status < 300
    };
    let meta = "X-Account-Meta-A: b\r\n";
    let tries = || {
        [
            can("GET", "", ""),
            can("PUT", "/other", ""),
            can("POST", "", meta),
            can("POST", "", "X-Account-Access-Control: {\"admin\":[\"bob:bob\"]}\r\n"),
        ]
    };
    assert_eq!(tries(), [false; 4]);
    is(&give(&ann, "{\"read-only\":[\"bob:bob\"]}"), 204);
    assert_eq!(tries(), [true, false, false, false]);
    is(&give(&ann, "{\"read-write\":[\"bob:bob\"]}"), 204);
    assert_eq!(tries(), [true, true, false, false]);
    let shown = site.ask("HEAD", "", &bob, b"");
    assert_eq!(header(&shown, "x-account-access-control"), None);
    is(&give(&ann, "{\"admin\":[\"bob:bob\"]}"), 204);
    assert_eq!(tries(), [true; 4]);
    is(&give(&ann, "{}"), 204);
    assert_eq!(tries(), [false; 4]);
    for wrong in ["yes", "{\"king\":[\"bob\"]}", "{\"admin\":\"bob\"}"] {
        is(&give(&ann, wrong), 400);
    }
    let dora = site.token("dora");
    is(&give(&dora, "{\"admin\":[\"ann:dora\"]}"), 403);
}

#[test]
fn who_may_only_write_says_no_end_and_nobody_ends_a_version_by_a_list() {
    let site = Site::start();
    let (ann, bob) = (site.token("ann"), site.token("bob"));
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/thing", &ann, b"x"), 201);
    let service = &site.server.app.service;
    let home = service.account(&Named::name("ann")).unwrap().id;
    let home = service.container(home, &"box".parse().unwrap()).unwrap().id;
    let bob_is = Grantee::User(service.user(&Named::name("bob")).unwrap().id);
    let thing = Shared::Path(home, "thing".to_owned());
    let grant = Grant::new(bob_is, Right::Write);
    let share = &mut |grants: &mut Vec<Grant>| {
        grants.push(grant.clone());
        Ok(())
    };
    service.grants_change("ann", &thing, share).unwrap();
    let ending = format!("{bob}X-Delete-After: 60\r\n");
    is(&site.ask("POST", "/box/thing", &bob, b""), 202);
    for method in ["POST", "PUT"] {
        is(&site.ask(method, "/box/thing", &ending, b""), 403);
    }
    // A list lets remove, but no version for good.
    is(&site.ask("POST", "/box", &format!("{ann}X-Container-Write: bob:bob\r\n"), b""), 204);
    is(&site.ask("POST", "/box/thing", &ending, b""), 202);
    is(&site.ask("POST", "/box", &format!("{ann}X-Versions-Enabled: true\r\n"), b""), 204);
    is(&site.ask("POST", "/box/thing", &ending, b""), 403);
    is(&site.ask("PUT", "/box/thing", &ending, b""), 201);
}

#[test]
fn a_list_of_all_of_an_account_does_not_mean_its_guests() {
    let site = Site::start();
    let (bob, dora, gina) = (site.token("bob"), site.token("dora"), site.token("gina"));
    let path = |name: &str| format!("{}{name}", site.bob);
    is(&site.server.raw("PUT", &path("/box"), &bob, b""), 201);
    is(&site.server.raw("PUT", &path("/box/thing"), &bob, b"x"), 201);
    for (list, of_guest) in [("ann", 403), ("ann:*", 403), ("ann:gina", 200), ("*:*", 200)] {
        let head = format!("{bob}X-Container-Read: {list},ann:dora\r\n");
        is(&site.server.raw("POST", &path("/box"), &head, b""), 204);
        is(&site.server.raw("GET", &path("/box/thing"), &dora, b""), 200);
        is(&site.server.raw("GET", &path("/box/thing"), &gina, b""), of_guest);
    }
}
