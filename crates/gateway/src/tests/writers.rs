//! Objects that belong to the account that wrote them, in a bucket of another one, at every door.

use archipelago_pool::{
    Grant, Grantee, Identity, Member, Named, NewUser, Right, Role, Secret, Shared,
};

use super::harness::{Answer, Harness};
use super::signed::{self, Key};

const PASSWORD: &str = "correct horse";

struct Person {
    identity: Identity,
    token: String,
    key: Key,
}

impl Person {
    fn new(server: &Harness, name: &str) -> Self {
        let new = NewUser {
            name: name.parse().unwrap(),
            password: Secret::new(PASSWORD),
            is_admin: false,
            account: None,
        };
        let _: Member = server.app.service.user_create(&new).unwrap();
        Self::of(server, name, name)
    }

    /// While it acts for this account.
    fn of(server: &Harness, name: &str, account: &str) -> Self {
        let (named, account) = (Named::name(name), Named::name(account));
        let service = &server.app.service;
        let login = service.login_password(&named, &Secret::new(PASSWORD), Some(&account)).unwrap();
        let (key, secret) = service.key_create(&named, &account).unwrap();
        Self {
            identity: login.session.identity,
            token: format!("X-Auth-Token: {}\r\n", login.token.expose()),
            key: Key { id: key.id, secret: secret.expose().to_owned() },
        }
    }
}

/// A bucket of olga's, into which bob may write, and which eve may read.
struct World {
    server: Harness,
    olga: Person,
    bob: Person,
    eve: Person,
}

/// What the store does with it in front of S3's, Swift's and Pithos' doors.
type Statuses = [u16; 3];

impl World {
    fn new() -> Self {
        let server = Harness::start();
        let [olga, bob, eve] = ["olga", "bob", "eve"].map(|name| Person::new(&server, name));
        let world = Self { server, olga, bob, eve };
        assert_eq!(world.s3(&world.olga, "PUT", ("/box", ""), &[], "").status, 200);
        let service = &world.server.app.service;
        let home = service.bucket(None, &"box".parse().unwrap()).unwrap();
        let account = |person: &Person| Grantee::Account(person.identity.account.id);
        let grants = [
            Grant::new(account(&world.bob), Right::Write),
            Grant::new(account(&world.eve), Right::Read),
        ];
        let mut change = |all: &mut Vec<Grant>| {
            all.extend(grants.clone());
            Ok(())
        };
        service.grants_change("olga", &Shared::Container(home.id), &mut change).unwrap();
        world
    }

    fn s3(
        &self,
        who: &Person,
        method: &str,
        place: (&str, &str),
        head: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        signed::send(&self.server, &who.key, method, place, head, body.as_bytes())
    }

    fn put(&self, who: &Person, name: &str, list: Option<&str>) -> u16 {
        let head: Vec<_> = list.map(|list| ("x-amz-acl", list)).into_iter().collect();
        self.s3(who, "PUT", (&format!("/box/{name}"), ""), &head, "content").status
    }

    fn each(&self, who: &Person, method: &str, name: &str) -> Statuses {
        let owner = hex::encode(self.olga.identity.account.uuid);
        let swift = format!("/object/v1/AUTH_{owner}/box/{name}");
        let pithos = format!("{}/{owner}/box/{name}", crate::pithos::PREFIX);
        [
            self.s3(who, method, (&format!("/box/{name}"), ""), &[], "").status,
            self.server.raw(method, &swift, &who.token, b"").status,
            self.server.raw(method, &pithos, &who.token, b"").status,
        ]
    }

    fn read(&self, who: &Person, name: &str) -> Statuses {
        self.each(who, "GET", name)
    }

    fn text(&self, who: &Person, place: (&str, &str)) -> String {
        let answer = self.s3(who, "GET", place, &[], "");
        assert_eq!(answer.status, 200, "{place:?}");
        String::from_utf8(answer.body).unwrap()
    }

    fn say(&self, ownership: &str) -> Answer {
        let document = format!(
            "<OwnershipControls><Rule><ObjectOwnership>{ownership}</ObjectOwnership></Rule>\
             </OwnershipControls>"
        );
        self.s3(&self.olga, "PUT", ("/box", "ownershipControls="), &[], &document)
    }
}

fn id(person: &Person) -> String {
    format!("<ID>{}</ID>", hex::encode(person.identity.account.uuid))
}

const ALL: Statuses = [200; 3];
const NONE: Statuses = [403; 3];

#[test]
fn who_wrote_it_reads_it_at_every_door_and_nobody_else_does() {
    let world = World::new();
    assert_eq!(world.put(&world.bob, "o", None), 200);
    assert_eq!(world.put(&world.olga, "own", None), 200);
    assert_eq!(world.read(&world.bob, "o"), ALL);
    assert_eq!(world.read(&world.olga, "o"), NONE);
    // A grant of olga's says nothing of what is not hers.
    assert_eq!(world.read(&world.eve, "o"), NONE);
    assert_eq!(world.read(&world.eve, "own"), ALL);
    assert_eq!(world.read(&world.bob, "own"), NONE);
    // Neither does a copy, nor a list, nor a policy of hers.
    let source = [("x-amz-copy-source", "/box/o")];
    assert_eq!(world.s3(&world.olga, "PUT", ("/box/taken", ""), &source, "").status, 403);
    let list = [("x-amz-acl", "public-read")];
    assert_eq!(world.s3(&world.olga, "PUT", ("/box/o", "acl="), &list, "").status, 403);
    let policy = |effect: &str| {
        let text = format!(
            "{{\"Statement\":{{\"Effect\":\"{effect}\",\"Principal\":\"*\",\
             \"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::box/*\"}}}}"
        );
        world.s3(&world.olga, "PUT", ("/box", "policy="), &[], &text).status
    };
    assert_eq!(policy("Allow"), 204);
    assert_eq!(world.read(&world.eve, "o")[0], 403);
    assert_eq!(world.read(&world.bob, "own")[0], 200);
    // But what she denies is denied.
    assert_eq!(policy("Deny"), 204);
    assert_eq!(world.read(&world.bob, "o"), [403, 200, 200]);
}

#[test]
fn the_owner_of_the_bucket_lists_and_removes_it() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        assert_eq!(world.put(&world.bob, name, None), 200);
    }
    world.put(&world.olga, "own", None);
    let (olga, bob) = (id(&world.olga), id(&world.bob));
    for query in ["", "fetch-owner=true&list-type=2", "versions="] {
        let text = world.text(&world.olga, ("/box", query));
        assert_eq!((text.matches(&bob).count(), text.matches(&olga).count()), (3, 1), "{query}");
    }
    let owner = hex::encode(world.olga.identity.account.uuid);
    let swift = format!("/object/v1/AUTH_{owner}/box");
    let listed = world.server.raw("GET", &swift, &world.olga.token, b"");
    assert_eq!(String::from_utf8(listed.body).unwrap(), "a\nb\nc\nown\n");
    assert_eq!(world.s3(&world.olga, "DELETE", ("/box/a", ""), &[], "").status, 204);
    let place = format!("{swift}/b");
    assert_eq!(world.server.raw("DELETE", &place, &world.olga.token, b"").status, 204);
    let place = format!("{}/{owner}/box/c", crate::pithos::PREFIX);
    assert_eq!(world.server.raw("DELETE", &place, &world.olga.token, b"").status, 204);
    let home = world.server.app.service.bucket(None, &"box".parse().unwrap()).unwrap();
    assert_eq!((home.objects, home.bytes), (1, 7));
}

#[test]
fn what_the_door_of_swift_alone_allows_is_not_enough() {
    let world = World::new();
    world.put(&world.bob, "o", None);
    world.put(&world.olga, "own", None);
    let owner = hex::encode(world.olga.identity.account.uuid);
    let site = format!("/object/v1/AUTH_{owner}/box");
    let head = format!("{}X-Container-Read: .r:*\r\n", world.olga.token);
    assert_eq!(world.server.raw("POST", &site, &head, b"").status, 204);
    let anybody = |name| world.server.get(&format!("{site}/{name}")).status;
    assert_eq!((anybody("own"), anybody("o")), (200, 401));
    // Nor does a manifest lead to it.
    let head = format!("{}X-Object-Manifest: box/o\r\n", world.olga.token);
    assert_eq!(world.server.raw("PUT", &format!("{site}/all"), &head, b"").status, 201);
    let asked = |token: &str| world.server.raw("GET", &format!("{site}/all"), token, b"").status;
    assert_eq!(asked(&world.olga.token), 403);
    let segments = r#"[{"path":"/box/o"}]"#;
    let place = format!("{site}/static?multipart-manifest=put");
    let made = world.server.raw("PUT", &place, &world.olga.token, segments.as_bytes()).status;
    assert_eq!(made, 201);
    let whole = world.server.raw("GET", &format!("{site}/static"), &world.olga.token, b"");
    assert!(whole.status != 200 || whole.body.is_empty(), "{}", whole.head);
}

#[test]
fn a_writer_may_let_the_owner_of_the_bucket_read() {
    let world = World::new();
    for (list, read, list_of_it) in [
        ("private", NONE, 403),
        ("bucket-owner-read", ALL, 403),
        ("bucket-owner-full-control", ALL, 200),
    ] {
        assert_eq!(world.put(&world.bob, "o", Some(list)), 200);
        assert_eq!(world.read(&world.olga, "o"), read, "{list}");
        let asked = world.s3(&world.olga, "GET", ("/box/o", "acl="), &[], "").status;
        assert_eq!(asked, list_of_it, "{list}");
    }
    let text = world.text(&world.bob, ("/box/o", "acl="));
    assert!(text.contains(&format!("<Owner><DisplayName>bob</DisplayName>{}", id(&world.bob))));
    assert!(text.contains(&id(&world.olga)), "{text}");
    let public = [("x-amz-acl", "public-read")];
    assert_eq!(world.s3(&world.bob, "PUT", ("/box/o", "acl="), &public, "").status, 200);
    assert_eq!(world.read(&world.eve, "o"), ALL);
}

#[test]
fn the_owner_of_the_bucket_can_say_that_all_of_it_is_its() {
    let world = World::new();
    world.put(&world.bob, "o", None);
    assert_eq!(world.say("BucketOwnerEnforced").status, 200);
    assert_eq!(world.read(&world.olga, "o"), ALL);
    assert_eq!(world.read(&world.bob, "o"), NONE);
    // What olga shares counts now.
    assert_eq!(world.read(&world.eve, "o"), ALL);
    for list in ["private", "public-read", "bucket-owner-read"] {
        assert_eq!(world.put(&world.bob, "new", Some(list)), 400, "{list}");
        let head = [("x-amz-acl", list)];
        let put = |place| world.s3(&world.olga, "PUT", place, &head, "").status;
        assert_eq!((put(("/box/o", "acl=")), put(("/box", "acl="))), (400, 400), "{list}");
    }
    assert_eq!(world.put(&world.bob, "new", Some("bucket-owner-full-control")), 200);
    assert_eq!(world.put(&world.bob, "plain", None), 200);
    assert_eq!(world.read(&world.olga, "plain"), ALL);
    assert_eq!(world.say("Nobody").status, 400);
    assert_eq!(world.say("ObjectWriter").status, 200);
    // What came meanwhile stays the owner's, what was the writer's is that again.
    assert_eq!(world.read(&world.olga, "o"), NONE);
    assert_eq!(world.read(&world.olga, "plain"), ALL);
}

#[test]
fn a_list_that_would_not_count_keeps_ownership_from_being_enforced() {
    let world = World::new();
    let list = |list| world.s3(&world.olga, "PUT", ("/box", "acl="), &[("x-amz-acl", list)], "");
    assert_eq!(list("public-read").status, 200);
    let refused = world.say("BucketOwnerEnforced");
    assert_eq!(refused.status, 400);
    let text = String::from_utf8(refused.body).unwrap();
    assert!(text.contains("InvalidBucketAclWithObjectOwnership"), "{text}");
    let head = [("x-amz-acl", "public-read"), ("x-amz-object-ownership", "BucketOwnerEnforced")];
    assert_eq!(world.s3(&world.olga, "PUT", ("/second", ""), &head, "").status, 400);
    assert_eq!(world.s3(&world.olga, "HEAD", ("/second", ""), &[], "").status, 404);
}

#[test]
fn what_is_preferred_is_the_owners_if_the_writer_says_so() {
    let world = World::new();
    assert_eq!(world.say("BucketOwnerPreferred").status, 200);
    world.put(&world.bob, "given", Some("bucket-owner-full-control"));
    world.put(&world.bob, "kept", Some("private"));
    assert_eq!((world.read(&world.olga, "given"), world.read(&world.bob, "given")), (ALL, NONE));
    assert_eq!((world.read(&world.olga, "kept"), world.read(&world.bob, "kept")), (NONE, ALL));
}

#[test]
fn who_only_writes_for_an_account_says_nothing_of_others_but_the_buckets_owner() {
    let world = World::new();
    Person::new(&world.server, "max");
    let service = &world.server.app.service;
    service.member_set(&Named::name("max"), &Named::name("bob"), Role::Member).unwrap();
    let max = Person::of(&world.server, "max", "bob");
    assert_eq!(world.put(&max, "o", None), 200);
    assert_eq!(world.read(&world.bob, "o"), ALL);
    assert_eq!(world.put(&max, "o", Some("public-read")), 403);
    assert_eq!(world.put(&max, "o", Some("bucket-owner-read")), 200);
    assert_eq!(world.read(&world.olga, "o"), ALL);
}

#[test]
fn an_upload_shows_who_began_it_and_whose_it_will_be() {
    let world = World::new();
    for (list, owner) in [(None, &world.bob), (Some("bucket-owner-full-control"), &world.olga)] {
        let head: Vec<_> = list.map(|list| ("x-amz-acl", list)).into_iter().collect();
        assert_eq!(world.say("BucketOwnerPreferred").status, 200);
        let begun = world.s3(&world.bob, "POST", ("/box/o", "uploads="), &head, "");
        let text = String::from_utf8(begun.body).unwrap();
        let upload = between(&text, "<UploadId>", "</UploadId>");
        let place = format!("partNumber=1&uploadId={upload}");
        let part = world.s3(&world.bob, "PUT", ("/box/o", &place), &[], "part");
        let etag = between(&part.head, "etag: ", "\r\n").to_owned();
        let query = format!("uploadId={upload}");
        for text in [
            world.text(&world.bob, ("/box/o", &query)),
            world.text(&world.olga, ("/box", "uploads=")),
        ] {
            let shown = |tag: &str| {
                let person = between(&text, &format!("<{tag}>"), &format!("</{tag}>"));
                between(person, "<ID>", "</ID>").to_owned()
            };
            assert_eq!(shown("Owner"), hex::encode(owner.identity.account.uuid));
            assert_eq!(shown("Initiator"), hex::encode(world.bob.identity.account.uuid));
        }
        let document = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
             </CompleteMultipartUpload>"
        );
        let done = world.s3(&world.bob, "POST", ("/box/o", &query), &[], &document);
        assert_eq!(done.status, 200);
        assert_eq!(world.read(owner, "o"), ALL);
        let kept = world.server.app.service.bucket(None, &"box".parse().unwrap()).unwrap();
        let which = archipelago_pool::Which::Latest;
        let object = world.server.app.service.object(kept.id, &"o".parse().unwrap(), which);
        assert!(!object.unwrap().meta.settings.contains_key("s3.initiator"));
    }
}

#[test]
fn buckets_of_other_doors_and_from_before_are_all_their_owners() {
    let world = World::new();
    let service = &world.server.app.service;
    let home = service.bucket(None, &"box".parse().unwrap()).unwrap();
    // As one that was made before, or by Swift.
    let mut change = |container: &mut archipelago_pool::Container| {
        container.settings.clear();
        Ok(())
    };
    service.container_change(home.id, &mut change).unwrap();
    assert_eq!(world.put(&world.bob, "o", None), 200);
    assert_eq!((world.read(&world.olga, "o"), world.read(&world.bob, "o")), (ALL, NONE));
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {text}"));
    rest.split_once(end).unwrap().0
}
