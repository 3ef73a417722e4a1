//! What policies of S3 allow and deny besides what a request is about.

use serde_json::{Value, json};

use super::harness::{Answer, Harness};
use super::signed::{self, Key};

/// A bucket of ann's that locks and keeps versions, and eve, who is somebody else.
struct World {
    server: Harness,
    ann: Key,
    eve: Key,
}

impl World {
    fn new(statements: &[Value]) -> Self {
        let server = Harness::start();
        let [ann, eve] = ["ann", "eve"].map(|name| signed::user(&server, name));
        let world = Self { server, ann, eve };
        let locks = [("x-amz-bucket-object-lock-enabled", "true")];
        assert_eq!(world.ask(&world.ann, "PUT", ("/box", ""), &locks, b"").status, 200);
        let own = [("x-amz-bucket-object-lock-enabled", "false")];
        assert_eq!(world.ask(&world.eve, "PUT", ("/eves", ""), &own, b"").status, 200);
        world.say(statements);
        world
    }

    fn say(&self, statements: &[Value]) {
        let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let answer = self.ask(&self.ann, "PUT", ("/box", "policy="), &[], policy.as_bytes());
        assert_eq!(answer.status, 204, "{}", String::from_utf8_lossy(&answer.body));
    }

    fn ask(
        &self,
        who: &Key,
        method: &str,
        place: (&str, &str),
        head: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        signed::send(&self.server, who, method, place, head, body)
    }

    fn put(&self, who: &Key, head: &[(&str, &str)]) -> u16 {
        self.ask(who, "PUT", ("/box/o", ""), head, b"content").status
    }
}

fn statement(effect: &str, action: &str) -> Value {
    json!({
        "Effect": effect, "Principal": "*", "Action": action,
        "Resource": ["arn:aws:s3:::box", "arn:aws:s3:::box/*"],
    })
}

const FOR_EVER: [(&str, &str); 2] = [
    ("x-amz-object-lock-mode", "COMPLIANCE"),
    ("x-amz-object-lock-retain-until-date", "2120-01-01T00:00:00Z"),
];
const HELD: [(&str, &str); 1] = [("x-amz-object-lock-legal-hold", "ON")];
const PUBLIC: [(&str, &str); 1] = [("x-amz-acl", "public-read")];

#[test]
fn who_may_write_may_not_lock() {
    let world = World::new(&[statement("Allow", "s3:PutObject")]);
    assert_eq!(world.put(&world.eve, &FOR_EVER), 403);
    assert_eq!(world.put(&world.eve, &HELD), 403);
    assert_eq!(world.put(&world.eve, &[]), 200);
    assert_eq!(world.put(&world.ann, &HELD), 200);
    let allow = ["s3:PutObject", "s3:PutObjectLegalHold"].map(|one| statement("Allow", one));
    world.say(&allow);
    assert_eq!(world.put(&world.eve, &HELD), 200);
    assert_eq!(world.put(&world.eve, &FOR_EVER), 403);
}

#[test]
fn what_is_denied_is_denied_in_the_head_of_an_upload_too() {
    let deny = ["s3:PutObjectRetention", "s3:PutObjectLegalHold", "s3:PutObjectAcl"];
    let mut all: Vec<Value> = deny.iter().map(|one| statement("Deny", one)).collect();
    all.push(statement("Allow", "s3:PutObject"));
    let world = World::new(&all);
    for who in [&world.ann, &world.eve] {
        for head in [&FOR_EVER[..], &HELD, &PUBLIC] {
            assert_eq!(world.put(who, head), 403, "{head:?}");
        }
        assert_eq!(world.put(who, &[]), 200);
    }
    let lock = b"<Retention><Mode>COMPLIANCE</Mode>\
        <RetainUntilDate>2120-01-01T00:00:00Z</RetainUntilDate></Retention>";
    let place = ("/box/o", "retention=");
    assert_eq!(world.ask(&world.ann, "PUT", place, &[], lock).status, 403);
}

#[test]
fn a_right_to_what_is_newest_copies_nothing_older() {
    let world = World::new(&[statement("Allow", "s3:GetObject*")]);
    let put = |body: &[u8]| {
        let answer = world.ask(&world.ann, "PUT", ("/box/o", ""), &[], body);
        let version = |line: &str| line.strip_prefix("x-amz-version-id: ").map(str::to_owned);
        answer.head.lines().find_map(version).unwrap()
    };
    let (old, _) = (put(b"old secret"), put(b"new"));
    let from = format!("/box/o?versionId={old}");
    let copy = |from: &str| {
        world.ask(&world.eve, "PUT", ("/eves/o", ""), &[("x-amz-copy-source", from)], b"").status
    };
    let look = || {
        let place = ("/box/o", &*format!("attributes=&versionId={old}"));
        let what = [("x-amz-object-attributes", "ETag,ObjectSize")];
        world.ask(&world.eve, "GET", place, &what, b"").status
    };
    assert_eq!((copy(&from), look()), (200, 200));
    world.say(&[statement("Allow", "s3:GetObject"), statement("Allow", "s3:GetObjectAttributes")]);
    assert_eq!((copy(&from), look()), (403, 403));
    assert_eq!(copy("/box/o"), 200);
    world.say(&[statement("Allow", "s3:GetObject*"), statement("Deny", "s3:GetObjectVersion")]);
    assert_eq!(copy(&from), 403);
}
