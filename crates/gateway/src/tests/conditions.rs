//! What a request is made to depend on, and what a refused one leaves behind, at S3's door.

use super::harness::{Answer, Harness};
use super::signed::{self, Key};
use crate::swift::answer::http_date;

struct Site {
    server: Harness,
    key: Key,
}

impl Site {
    /// With a bucket.
    fn start() -> Self {
        let server = Harness::start();
        let key = signed::user(&server, "ann");
        let site = Self { server, key };
        assert_eq!(site.ask("PUT", "/box", &[], b"").status, 200);
        site
    }

    fn ask(&self, method: &str, path: &str, head: &[(&str, &str)], body: &[u8]) -> Answer {
        signed::send(&self.server, &self.key, method, (path, ""), head, body)
    }

    fn content(&self, path: &str) -> Vec<u8> {
        self.ask("GET", path, &[], b"").body
    }
}

/// The MD5 of `new`, quoted.
const NEW: &str = "\"22af645d1859cb5ca6da0c484f1f37ea\"";

#[test]
fn a_copy_keeps_to_the_conditions_on_what_it_replaces() {
    let site = Site::start();
    assert_eq!(site.ask("PUT", "/box/new", &[], b"new").status, 200);
    assert_eq!(site.ask("PUT", "/box/old", &[], b"old").status, 200);
    let copy = |to: &str, name: &str, value: &str| {
        let head = [("x-amz-copy-source", "/box/new"), (name, value)];
        site.ask("PUT", to, &head, b"").status
    };
    assert_eq!(copy("/box/old", "if-none-match", "*"), 412);
    assert_eq!(copy("/box/old", "if-match", NEW), 412);
    assert_eq!(copy("/box/none", "if-match", NEW), 404);
    assert_eq!(copy("/box/old", "if-match", "no tag"), 400);
    assert_eq!(site.content("/box/old"), b"old");
    assert_eq!(copy("/box/fresh", "if-none-match", "*"), 200);
    assert_eq!(copy("/box/new2", "if-none-match", NEW), 200);
    assert_eq!(site.content("/box/fresh"), b"new");
}

#[test]
fn a_download_goes_on_only_with_the_version_that_it_began_with() {
    let site = Site::start();
    assert_eq!(site.ask("PUT", "/box/o", &[], b"new").status, 200);
    let get = |validator: &str| {
        let answer =
            site.ask("GET", "/box/o", &[("range", "bytes=1-"), ("if-range", validator)], b"");
        (answer.status, answer.body)
    };
    assert_eq!(get(NEW), (206, b"ew".to_vec()));
    let home = site.server.app.service.bucket(None, &"box".parse().unwrap()).unwrap();
    let (o, newest) = ("o".parse().unwrap(), archipelago_pool::Which::Latest);
    let made = site.server.app.service.object(home.id, &o, newest).unwrap().created_ms;
    let time = http_date(made / 1000 * 1000);
    assert_eq!(get(&time).0, 206);
    for other in ["\"x\"", "W/\"x\"", "Mon, 01 Jan 2001 00:00:00 GMT", "what"] {
        assert_eq!(get(other), (200, b"new".to_vec()), "{other}");
    }
}

#[test]
fn an_empty_object_has_no_last_bytes() {
    let site = Site::start();
    assert_eq!(site.ask("PUT", "/box/o", &[], b"").status, 200);
    assert_eq!(site.ask("GET", "/box/o", &[("range", "bytes=-5")], b"").status, 416);
}

#[test]
fn a_bucket_that_is_refused_for_its_list_is_not_made() {
    let site = Site::start();
    assert_eq!(site.ask("PUT", "/other", &[("x-amz-acl", "bogus")], b"").status, 400);
    assert_eq!(site.ask("PUT", "/other", &[("x-amz-grant-read", "id=00")], b"").status, 400);
    assert_eq!(site.ask("HEAD", "/other", &[], b"").status, 404);
    assert_eq!(site.ask("PUT", "/other", &[("x-amz-acl", "public-read")], b"").status, 200);
    assert_eq!(site.server.get("/other?list-type=2").status, 200);
}

#[test]
fn a_page_of_another_site_cannot_look_signed() {
    let site = Site::start();
    assert_eq!(site.ask("PUT", "/open", &[("x-amz-acl", "public-read")], b"").status, 200);
    let page = "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n";
    let ask = |query: &str, head: &str| {
        site.server
            .raw("GET", &format!("/open?list-type=2{query}"), &format!("{page}{head}"), b"")
            .status
    };
    assert_eq!(ask("", ""), 403);
    for query in ["&AWSAccessKeyId=x", "&Signature=x", "&X-Amz-Signature=x"] {
        assert!((400..404).contains(&ask(query, "")), "{query}");
    }
    for header in ["AWS", "AWSx", "AWS x", "AWS4", "AWS4-HMAC-SHA256"] {
        let status = ask("", &format!("Authorization: {header}\r\n"));
        assert!((400..404).contains(&status), "{header}: {status}");
    }
}
