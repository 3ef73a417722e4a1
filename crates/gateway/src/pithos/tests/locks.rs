//! Facts about what is locked, and a past that has to stay.

use archipelago_pool::{DefaultLock, HELD, LOCK_HOLD, LOCK_UNTIL};

use super::*;

impl Site {
    fn change_container(&self, change: &dyn Fn(&mut Container)) {
        let service = &self.server.app.service;
        let mut changed = |container: &mut Container| {
            change(container);
            Ok(())
        };
        service.container_change(self.container().id, &mut changed).unwrap();
    }

    fn hold(&self, name: &str) {
        self.change(name, &|meta| {
            meta.settings.insert(LOCK_UNTIL.to_owned(), u64::MAX.to_string());
            meta.settings.insert(LOCK_HOLD.to_owned(), HELD.to_owned());
        });
    }

    fn versions(&self, name: &str) -> usize {
        let all = self.ask("GET", &format!("/c/{name}?version=list&format=json"), "", b"");
        let all: Value = serde_json::from_slice(&all.body).unwrap();
        all["versions"].as_array().unwrap().len()
    }
}

#[test]
fn a_container_that_keeps_a_locked_version_keeps_all() {
    let site = Site::start();
    for bytes in [&b"1"[..], b"2", b"3"] {
        site.put("a", bytes);
        site.put("o", bytes);
    }
    site.hold("o");
    is(&site.ask("DELETE", "/c", "", b""), 409);
    for name in ["a", "o"] {
        is(&site.ask("DELETE", &format!("/c/{name}"), "", b""), 204);
    }
    is(&site.ask("DELETE", "/c", "", b""), 409);
    assert_eq!((site.versions("a"), site.versions("o")), (3, 3));
    is(&site.ask("DELETE", "/c?until=99999999999", "", b""), 204);
    assert_eq!(site.versions("o"), 1);
    is(&site.ask("GET", "/c/o", "", b""), 404);
}

#[test]
fn a_change_gives_the_lock_of_the_container_and_not_that_of_the_version_before() {
    let site = Site::start();
    let lock = DefaultLock { mode: "COMPLIANCE".to_owned(), days: 1 };
    site.change_container(&|container| DefaultLock::put(Some(&lock), container));
    site.put("o", b"content");
    let newest = || {
        let service = &site.server.app.service;
        service.object(site.container().id, &"o".parse().unwrap(), Which::Latest).unwrap()
    };
    for range in ["", "Content-Range: bytes */*\r\n"] {
        site.hold("o");
        let before = newest().id;
        let answer = site.ask("POST", "/c/o", range, b"");
        assert!((202..=204).contains(&answer.status), "{}", answer.head);
        let now = newest();
        assert_ne!(now.id, before);
        assert_eq!(now.locked_until_ms(), Some(now.created_ms + 24 * 3600 * 1000));
        assert!(!now.is_held());
    }
}

#[test]
fn a_container_with_an_archive_keeps_no_versions() {
    let site = Site::start();
    is(&site.ask("PUT", "/d", "X-Container-Policy-Versioning: none\r\n", b""), 201);
    let path = format!("/object/v1/AUTH_{}/d", site.uuids[0]);
    let head = format!("{}X-Versions-Location: c\r\n", site.token("ann"));
    is(&site.server.raw("POST", &path, &head, b""), 204);
    is(&site.ask("POST", "/d", "X-Container-Policy-Versioning: auto\r\n", b""), 409);
}
