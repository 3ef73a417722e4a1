//! Facts about appends: what they change besides the bytes.

use std::collections::BTreeMap;

use archipelago_pool::{Container, Meta, Object, Which};

use crate::tests::harness::{Answer, Harness};

/// A server with a bucket in which everybody may write and nobody may read, and an object.
struct Open {
    server: Harness,
    bucket: Container,
}

impl Open {
    fn start() -> Self {
        let server = Harness::start();
        let service = &server.app.service;
        service.found_admin().unwrap();
        let name = "box".parse().unwrap();
        let account = service.accounts().unwrap()[0].id;
        let bucket = service.container_create(account, &name).unwrap();
        let list = "{\"grants\":[[\"Everybody\",\"Write\"]],\"hides_owner\":false}";
        let change = &mut |container: &mut Container| {
            container.settings.insert("s3.acl".to_owned(), list.to_owned());
            Ok(())
        };
        service.container_change(bucket.id, change).unwrap();
        let known = Meta { user: words("said", "before"), ..Meta::default() };
        let finish = &mut |_: &archipelago_pool::Stored| Ok(known.clone());
        let key = "k".parse().unwrap();
        let mut bytes = &b"secret"[..];
        service.object_put(bucket.id, &key, Some(6), &mut bytes, finish, &|_| Ok(())).unwrap();
        Self { server, bucket }
    }

    fn append(&self, key: &str, offset: u64, head: &str) -> Answer {
        let head = format!("x-amz-write-offset-bytes: {offset}\r\n{head}");
        self.server.raw("PUT", &format!("/box/{key}"), &head, b"+")
    }

    fn object(&self, key: &str) -> Object {
        let service = &self.server.app.service;
        service.object(self.bucket.id, &key.parse().unwrap(), Which::Latest).unwrap()
    }
}

fn words(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

#[test]
fn who_may_only_write_opens_no_object_to_readers_by_an_append() {
    let open = Open::start();
    for (offset, head) in [
        (6, "x-amz-acl: public-read\r\n"),
        (7, "x-amz-grant-read: uri=http://acs.amazonaws.com/groups/global/AllUsers\r\n"),
    ] {
        assert_eq!(open.append("k", offset, head).status, 403);
    }
    assert_eq!(open.append("new", 0, "x-amz-acl: public-read\r\n").status, 403);
    assert_eq!(open.object("k").size, 6);
    assert_eq!(open.server.get("/box/k").status, 403);
}

#[test]
fn an_append_leaves_what_is_known_of_the_object() {
    let open = Open::start();
    let head = "x-amz-meta-said: now\r\ncontent-type: text/html\r\n";
    assert_eq!(open.append("k", 6, head).status, 200);
    let known = open.object("k").meta;
    assert_eq!(known, Meta { user: words("said", "before"), ..Meta::default() });
}

#[test]
fn an_append_that_makes_an_object_has_what_it_says() {
    let open = Open::start();
    assert_eq!(open.append("new", 0, "x-amz-meta-said: now\r\n").status, 200);
    assert_eq!(open.object("new").meta.user, words("said", "now"));
}
