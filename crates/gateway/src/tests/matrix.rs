//! Who may do what at which door: a table of grants and lists, and for each of them what the
//! doors of S3, Swift and Pithos answer to whom, compared with what the decision itself says.

use std::collections::BTreeMap;

use archipelago_pool::{
    Action, Grant, Grantee, Identity, Layer, Named, NewUser, Right, Rules, Secret, Shared, Subject,
    decide,
};

use super::harness::{Answer, Harness};
use super::signed::{self, Key};

const PASSWORD: &str = "correct horse";
const FILE: &str = "d/file";
/// Another file, which nobody shares: who lists the container sees it.
const OTHER: &str = "other";

const DOORS: [Door; 3] = [Door::S3, Door::Swift, Door::Pithos];
const ACTIONS: [Action; 4] = [Action::Read, Action::Write, Action::List, Action::Remove];
/// The owner, somebody with whom things are shared, one in a group, one with whom nothing is
/// shared by name, and one without a login.
const WHO: [Option<&str>; 5] = [Some("olga"), Some("bob"), Some("gus"), Some("eve"), None];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Door {
    S3,
    Swift,
    Pithos,
}

/// With whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum To {
    Bob,
    BobAtHome,
    BobsAccount,
    Friends,
    SignedIn,
    Everyone,
}

/// Where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum On {
    File,
    Folder,
    Container,
}

/// What is said, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Case {
    Nothing,
    Grant(On, To, Right),
    Expired(On, To, Right),
    Revoked(On, To, Right),
    /// `X-Object-Sharing`.
    Pithos(&'static str),
    /// `X-Container-Read` or `-Write`.
    Swift(&'static str, &'static str),
    /// A canned list, of the object or of the bucket.
    S3Object(&'static str),
    S3Bucket(&'static str),
}

const CASES: [Case; 23] = [
    Case::Nothing,
    Case::Grant(On::File, To::Bob, Right::Read),
    Case::Grant(On::File, To::BobAtHome, Right::Read),
    Case::Grant(On::File, To::BobsAccount, Right::Read),
    Case::Grant(On::File, To::Friends, Right::Read),
    Case::Grant(On::File, To::SignedIn, Right::Read),
    Case::Grant(On::File, To::Everyone, Right::Read),
    Case::Grant(On::File, To::Bob, Right::Write),
    Case::Grant(On::File, To::Bob, Right::Clone),
    Case::Grant(On::Folder, To::Friends, Right::Read),
    Case::Grant(On::Folder, To::Bob, Right::Write),
    Case::Grant(On::Container, To::Bob, Right::Read),
    Case::Grant(On::Container, To::Everyone, Right::List),
    Case::Grant(On::Container, To::Friends, Right::Write),
    Case::Expired(On::File, To::Bob, Right::Read),
    Case::Revoked(On::File, To::Bob, Right::Read),
    Case::Revoked(On::Container, To::Friends, Right::Write),
    Case::Pithos("write=bob"),
    Case::Swift("X-Container-Read", "bob:bob"),
    Case::Swift("X-Container-Write", "*:bob"),
    Case::S3Object("public-read"),
    Case::S3Object("authenticated-read"),
    Case::S3Bucket("public-read-write"),
];

struct Person {
    identity: Identity,
    token: String,
    key: Key,
}

struct World {
    server: Harness,
    people: BTreeMap<&'static str, Person>,
    group: Grantee,
    container: u64,
}

impl World {
    fn new() -> Self {
        let server = Harness::start();
        let service = &server.app.service;
        let mut people = BTreeMap::new();
        for name in WHO.into_iter().flatten() {
            let (label, password) = (name.parse().unwrap(), Secret::new(PASSWORD));
            let new = NewUser { name: label, password, is_admin: false, account: None };
            service.user_create(&new).unwrap();
            let named = Named::name(name);
            let login = service.login_password(&named, &Secret::new(PASSWORD), None).unwrap();
            let (key, secret) = service.key_create(&named, &named).unwrap();
            let person = Person {
                identity: login.session.identity,
                token: format!("X-Auth-Token: {}\r\n", login.token.expose()),
                key: Key { id: key.id, secret: secret.expose().to_owned() },
            };
            people.insert(name, person);
        }
        let olga = Named::name("olga");
        service.group_set(&olga, &"friends".parse().unwrap(), &["gus".parse().unwrap()]).unwrap();
        let group = service.grantee(&olga, "@friends").unwrap();
        let owner = people["olga"].identity.account.id;
        let container = service.bucket_create(owner, &"shared-box".parse().unwrap()).unwrap().id;
        Self { server, people, group, container }
    }

    fn request(
        &self,
        door: Door,
        who: Option<&str>,
        method: &str,
        (name, query): (&str, &str),
        head: &[(&str, &str)],
    ) -> Answer {
        let person = who.map(|who| &self.people[who]);
        let owner = hex::encode(self.people["olga"].identity.account.uuid);
        let at = match door {
            Door::S3 => "/shared-box".to_owned(),
            Door::Swift => format!("/object/v1/AUTH_{owner}/shared-box"),
            Door::Pithos => format!("{}/{owner}/shared-box", crate::pithos::PREFIX),
        };
        let slash = if name.is_empty() { "" } else { "/" };
        let is_content = method == "PUT" && query.is_empty();
        let (path, body) = (format!("{at}{slash}{name}"), if is_content { "new" } else { "" });
        if let (Door::S3, Some(person)) = (door, person) {
            let place = (path.as_str(), query);
            return signed::send(&self.server, &person.key, method, place, head, body.as_bytes());
        }
        let mut lines: String =
            head.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        lines.extend(person.map(|person| person.token.clone()));
        let mark = if query.is_empty() { "" } else { "?" };
        self.server.raw(method, &format!("{path}{mark}{query}"), &lines, body.as_bytes())
    }

    /// What is there before anybody asks.
    fn put_all(&self) {
        let folder = [("content-type", "application/directory")];
        for (name, head) in [("d", &folder[..]), (FILE, &[]), (OTHER, &[])] {
            let answer = self.request(Door::Swift, Some("olga"), "PUT", (name, ""), head);
            assert_eq!(answer.status, 201, "{}", answer.head);
        }
    }

    fn grantee(&self, to: To) -> Grantee {
        let bob = &self.people["bob"].identity;
        match to {
            To::Bob => Grantee::User(bob.user.id),
            To::BobAtHome => Grantee::UserIn(bob.user.id, bob.account.id),
            To::BobsAccount => Grantee::Account(bob.account.id),
            To::Friends => self.group,
            To::SignedIn => Grantee::SignedIn,
            To::Everyone => Grantee::Everyone,
        }
    }

    fn change(&self, on: On, grants: Vec<Grant>) {
        let shared = match on {
            On::File => Shared::Path(self.container, FILE.to_owned()),
            On::Folder => Shared::Path(self.container, "d".to_owned()),
            On::Container => Shared::Container(self.container),
        };
        let mut set = |all: &mut Vec<Grant>| {
            all.clone_from(&grants);
            Ok(())
        };
        self.server.app.service.grants_change("olga", &shared, &mut set).unwrap();
    }

    fn say(&self, case: Case) {
        let ok = |door, method: &str, place, head: &[(&str, &str)]| {
            let answer = self.request(door, Some("olga"), method, place, head);
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(answer.status < 300, "{case:?}: {}\n{text}", answer.head);
        };
        let grant = |to, right| Grant::new(self.grantee(to), right);
        match case {
            Case::Nothing => {}
            Case::Grant(on, to, right) => self.change(on, vec![grant(to, right)]),
            Case::Expired(on, to, right) => {
                self.change(on, vec![Grant { expires_ms: Some(1), ..grant(to, right) }]);
            }
            Case::Revoked(on, to, right) => {
                self.change(on, vec![grant(to, right)]);
                self.change(on, Vec::new());
            }
            Case::Pithos(sharing) => {
                ok(Door::Pithos, "POST", (FILE, "update"), &[("X-Object-Sharing", sharing)]);
            }
            Case::Swift(header, list) => ok(Door::Swift, "POST", ("", ""), &[(header, list)]),
            Case::S3Object(list) => ok(Door::S3, "PUT", (FILE, "acl="), &[("x-amz-acl", list)]),
            Case::S3Bucket(list) => ok(Door::S3, "PUT", ("", "acl="), &[("x-amz-acl", list)]),
        }
    }

    fn unsay(&self, case: Case) {
        match case {
            Case::Grant(on, ..) | Case::Expired(on, ..) => self.change(on, Vec::new()),
            Case::Swift(header, _) => {
                self.request(Door::Swift, Some("olga"), "POST", ("", ""), &[(header, "")]);
            }
            Case::S3Bucket(_) => {
                let private = [("x-amz-acl", "private")];
                self.request(Door::S3, Some("olga"), "PUT", ("", "acl="), &private);
            }
            Case::Nothing | Case::Revoked(..) | Case::Pithos(_) | Case::S3Object(_) => {}
        }
        // What was said of the file goes with it.
        self.request(Door::Swift, Some("olga"), "DELETE", (FILE, ""), &[]);
        self.put_all();
    }

    /// What the words of a case mean, in grants, written down by hand.
    fn layers(&self, case: Case) -> Vec<(Layer, Vec<Grant>)> {
        let on = |on: On| match on {
            On::File => Layer::Path(FILE.to_owned()),
            On::Folder => Layer::Path("d".to_owned()),
            On::Container => Layer::Container,
        };
        let grants = |to, rights: &[Right]| {
            rights.iter().map(|right| Grant::new(self.grantee(to), *right)).collect()
        };
        let layer = match case {
            Case::Nothing | Case::Expired(..) | Case::Revoked(..) => return Vec::new(),
            Case::Grant(place, to, right) => (on(place), grants(to, &[right])),
            Case::Pithos(_) => (on(On::File), grants(To::Bob, &[Right::Read, Right::Write])),
            Case::Swift("X-Container-Read", _) => {
                (Layer::Container, grants(To::BobAtHome, &[Right::Read, Right::List]))
            }
            Case::Swift(..) => (Layer::Container, grants(To::BobAtHome, &[Right::Write])),
            Case::S3Object("public-read") => (Layer::Version, grants(To::Everyone, &[Right::Read])),
            Case::S3Object(_) => (Layer::Version, grants(To::SignedIn, &[Right::Read])),
            Case::S3Bucket(_) => {
                (Layer::Container, grants(To::Everyone, &[Right::List, Right::Write]))
            }
        };
        vec![layer]
    }

    fn decides(&self, case: Case, who: Option<&str>, action: Action) -> bool {
        let subject = match who {
            None => Subject::anybody(),
            Some(who) => {
                let groups = if who == "gus" { vec![self.group] } else { Vec::new() };
                let groups = groups.into_iter().filter_map(|group| match group {
                    Grantee::Group(id) => Some(id),
                    _ => None,
                });
                let identity = Some(self.people[who].identity.clone());
                Subject { identity, groups: groups.collect() }
            }
        };
        let rules = Rules {
            writer: None,
            owner: self.people["olga"].identity.account.id,
            of_container: action == Action::List,
            layers: self.layers(case),
            ignores_public: false,
            now_ms: self.server.app.service.now_ms(),
        };
        decide(&subject, action, &rules).allowed
    }

    fn answers(&self, door: Door, who: Option<&str>, action: Action) -> bool {
        let (method, place) = match (action, door) {
            (Action::Read, _) => ("GET", (FILE, "")),
            (Action::Write, _) => ("PUT", (FILE, "")),
            (Action::Remove, _) => ("DELETE", (FILE, "")),
            (_, Door::S3) => ("GET", ("", "list-type=2")),
            _ => ("GET", ("", "")),
        };
        let answer = self.request(door, who, method, place, &[]);
        match answer.status {
            401 | 403 => false,
            // Pithos shows a part of a container to whom a part is shared with.
            200..300 if action == Action::List => {
                String::from_utf8_lossy(&answer.body).contains(OTHER)
            }
            200..300 => true,
            status => panic!("{door:?} {who:?} {action:?}: {status}\n{}", answer.head),
        }
    }
}

#[test]
fn every_door_answers_as_the_decision_says() {
    let world = World::new();
    world.put_all();
    let mut wrong = Vec::new();
    for case in CASES {
        world.say(case);
        for door in DOORS {
            for who in WHO {
                for action in ACTIONS {
                    // Nobody is anybody there: what is public has a link.
                    let hidden = door == Door::Pithos && who.is_none();
                    let wanted = !hidden && world.decides(case, who, action);
                    if world.answers(door, who, action) != wanted {
                        wrong.push(format!("{case:?} {door:?} {who:?} {action:?}: not {wanted}"));
                    }
                    if wanted && matches!(action, Action::Write | Action::Remove) {
                        world.put_all();
                        world.say(case);
                    }
                }
            }
        }
        world.unsay(case);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl World {
    /// Bob copies the file into a container of his own, by the door's own way.
    fn bob_copies(&self, door: Door) -> u16 {
        let (bob, source) = (&self.people["bob"], format!("/shared-box/{FILE}"));
        let account = hex::encode(bob.identity.account.uuid);
        let answer = match door {
            Door::S3 => {
                let place = ("/bobs-box/copy", "");
                let head = [("x-amz-copy-source", &*source)];
                signed::send(&self.server, &bob.key, "PUT", place, &head, b"")
            }
            Door::Swift => {
                let account = format!("AUTH_{account}");
                let head = [("Destination", "bobs-box/copy"), ("Destination-Account", &*account)];
                self.request(door, Some("bob"), "COPY", (FILE, ""), &head)
            }
            Door::Pithos => {
                let head = [("Destination", "/bobs-box/copy"), ("Destination-Account", &*account)];
                self.request(door, Some("bob"), "COPY", (FILE, ""), &head)
            }
        };
        answer.status
    }
}

#[test]
fn who_may_read_or_clone_copies_by_every_door_and_nobody_else() {
    let world = World::new();
    world.put_all();
    let service = &world.server.app.service;
    let bob = world.people["bob"].identity.account.id;
    service.bucket_create(bob, &"bobs-box".parse().unwrap()).unwrap();
    for (rights, may) in [
        (&[][..], false),
        (&[Right::Write], false),
        (&[Right::Read], true),
        (&[Right::Clone], true),
        (&[], false),
    ] {
        let grants = rights.iter().map(|right| Grant::new(world.grantee(To::Bob), *right));
        world.change(On::File, grants.collect());
        for door in DOORS {
            let status = world.bob_copies(door);
            let done = if may { status == 200 || status == 201 } else { status == 403 };
            assert!(done, "{door:?} {rights:?}: {status}");
        }
    }
}

#[test]
fn who_is_refused_is_in_the_record_whatever_the_door() {
    let world = World::new();
    world.put_all();
    for door in DOORS {
        assert!(!world.answers(door, Some("eve"), Action::Read));
        assert!(!world.answers(door, Some("eve"), Action::List));
    }
    let log = world.server.app.service.audit_log(None, 100).unwrap();
    let mut log: Vec<_> = log
        .iter()
        .map(|row| (&*row.actor, row.event.name(), &*row.resource, &*row.detail, row.count))
        .collect();
    log.sort_unstable();
    let (read, list) = ("read: nobody has granted it", "list: nobody has granted it");
    let wanted = [
        ("eve", "refused", "container 'olga/shared-box'", list, 3),
        ("eve", "refused", "file 'olga/shared-box/d/file'", read, 3),
    ];
    assert_eq!(log, wanted);
}

#[test]
fn who_is_but_a_member_says_nothing_of_rights_by_s3() {
    let world = World::new();
    world.put_all();
    let service = &world.server.app.service;
    let olga = Named::name("olga");
    service.member_set(&Named::name("bob"), &olga, archipelago_pool::Role::Member).unwrap();
    let (key, secret) = service.key_create(&Named::name("bob"), &olga).unwrap();
    let key = Key { id: key.id, secret: secret.expose().to_owned() };
    let ask = |place, list| {
        let head = [("x-amz-acl", list)];
        signed::send(&world.server, &key, "PUT", place, &head, b"").status
    };
    assert_eq!(ask(("/shared-box", "acl="), "public-read"), 403);
    assert_eq!(ask(("/shared-box/other", "acl="), "public-read"), 403);
    assert_eq!(ask(("/shared-box", "policy="), "private"), 403);
    assert_eq!(ask(("/shared-box/other", ""), "public-read"), 403);
    // What clients say without being asked is no word about anybody.
    assert_eq!(ask(("/shared-box/other", ""), "private"), 200);
}
