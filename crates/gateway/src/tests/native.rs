//! The native API with a login: what each caller sees and may do, compared with the decision.

use std::collections::BTreeMap;

use archipelago_api::{
    AuditLog, ErrorKind, Images, Shares, Snapshots, Volume as ApiVolume, Volumes, path,
};
use archipelago_pool::{
    Action, Grant, Grantee, Identity, Layer, Named, NewUser, Right, Role, Rules, Secret, Shared,
    Subject, decide,
};

use super::harness::{Answer, Harness, full_stream, noise};
use crate::Login;

const PASSWORD: &str = "correct horse";
const WHO: [&str; 4] = ["olga", "bob", "gus", "eve"];

/// Resources of olga, as others call them.
const RESOURCES: [&str; 4] =
    ["image:olga/deb", "volume:olga/web", "snapshot:olga/web@s", "file:/olga/box/file"];

struct Person {
    identity: Identity,
    token: String,
}

/// Olga has an image, a volume with a snapshot, and a file; gus is in her group of friends.
struct World {
    server: Harness,
    people: BTreeMap<&'static str, Person>,
    group: u64,
}

impl World {
    fn new(login: Login) -> Self {
        let server = Harness::with_login(login);
        let service = &server.app.service;
        let first = service.found_admin().unwrap().unwrap();
        let mut people = BTreeMap::new();
        for name in WHO {
            let (label, password) = (name.parse().unwrap(), Secret::new(PASSWORD));
            let new = NewUser { name: label, password, is_admin: false, account: None };
            service.user_create(&new).unwrap();
            people.insert(name, person(&server, name, PASSWORD));
        }
        people.insert("admin", person(&server, "admin", first.password.expose()));
        let (olga, friends) = (Named::name("olga"), "friends".parse().unwrap());
        service.group_set(&olga, &friends, &["gus".parse().unwrap()]).unwrap();
        let Grantee::Group(group) = service.grantee(&olga, "@friends").unwrap() else { panic!() };
        let world = Self { server, people, group };
        world.fill();
        world
    }

    fn fill(&self) {
        let image = full_stream(&noise(8192, 7));
        self.ask("olga", "POST", "/v1/images/deb?format=raw", &image).done(201);
        let body = br#"{"names":["web"],"from":"image:deb"}"#;
        self.ask("olga", "POST", path::VOLUMES, body).done(201);
        self.ask("olga", "POST", path::SNAPSHOTS, br#"{"members":["web@s"]}"#).done(201);
        let service = &self.server.app.service;
        let account = self.people["olga"].identity.account.id;
        service.bucket_create(account, &"box".parse().unwrap()).unwrap();
        let account = hex::encode(self.people["olga"].identity.account.uuid);
        let at = format!("/object/v1/AUTH_{account}/box/file");
        self.ask("olga", "PUT", &at, &[7; 1024]).done(201);
    }

    fn ask(&self, who: &str, method: &str, path: &str, body: &[u8]) -> Answer {
        let json =
            if body.first() == Some(&b'{') { "Content-Type: application/json\r\n" } else { "" };
        let head = format!("{}{json}", self.people[who].token);
        self.server.raw(method, path, &head, body)
    }

    fn subject(&self, who: &str) -> Subject {
        let identity = Some(self.people[who].identity.clone());
        let groups = if who == "gus" { vec![self.group] } else { Vec::new() };
        Subject { identity, groups }
    }

    fn shared(&self, resource: &str) -> Shared {
        self.server.app.service.shared(&Named::name("olga"), resource).unwrap()
    }

    fn say(&self, resource: &str, grants: &[Grant]) {
        let mut set = |all: &mut Vec<Grant>| {
            *all = grants.to_vec();
            Ok(())
        };
        let shared = self.shared(resource);
        self.server.app.service.grants_change("olga", &shared, &mut set).unwrap();
    }

    fn decides(&self, who: &str, action: Action, grants: &[Grant]) -> bool {
        let rules = Rules {
            owner: self.people["olga"].identity.account.id,
            writer: None,
            of_container: false,
            layers: vec![(Layer::Resource, grants.to_vec())],
            ignores_public: false,
            now_ms: self.server.app.service.now_ms(),
        };
        decide(&self.subject(who), action, &rules).allowed
    }

    /// Whether the door lets it be read, by every way there is.
    fn reads(&self, who: &str, resource: &str) -> bool {
        let mut ways = vec![path::export(resource), format!("/v1/disk?source={resource}")];
        match resource.split_once(':').unwrap() {
            ("image", name) => ways.push(path::image(name)),
            ("volume", name) => ways.push(path::volume(name)),
            ("snapshot", name) => {
                let (volume, snapshot) = name.split_once('@').unwrap();
                ways.push(path::snapshot(volume, snapshot));
                ways.push(path::snapshot_send(volume, snapshot, None));
            }
            _ => {}
        }
        ways.push(path::diff(resource, resource));
        let answers = ways.iter().map(|way| match self.ask(who, "GET", way, b"").status {
            200 => true,
            404 => false,
            status => panic!("{who} {way}: {status}"),
        });
        let answers: Vec<bool> = answers.collect();
        assert!(answers.iter().all(|one| *one == answers[0]), "{who} {ways:?}: {answers:?}");
        answers[0]
    }

    fn clones(&self, who: &str, resource: &str) -> bool {
        let body = format!(r#"{{"names":["copy"],"from":"{resource}"}}"#);
        let answer = self.ask(who, "POST", path::VOLUMES, body.as_bytes());
        match answer.status {
            201 => {
                self.ask(who, "DELETE", &path::volume("copy"), b"").done(204);
                true
            }
            403 | 404 => false,
            status => panic!("{who} {resource}: {status}\n{}", answer.head),
        }
    }
}

impl Answer {
    #[track_caller]
    fn done(&self, status: u16) {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
    }
}

fn person(server: &Harness, name: &str, password: &str) -> Person {
    let login = server.app.service.login_password(&Named::name(name), &Secret::new(password), None);
    let login = login.unwrap();
    let token = format!("X-Auth-Token: {}\r\n", login.token.expose());
    Person { identity: login.session.identity, token }
}

#[test]
fn reads_and_clones_are_let_in_as_the_decision_says_and_refused_once_revoked() {
    let world = World::new(Login::Always);
    let bob = &world.people["bob"].identity;
    let grantees = [
        Grantee::User(bob.user.id),
        Grantee::UserIn(bob.user.id, bob.account.id),
        Grantee::Account(bob.account.id),
        Grantee::Group(world.group),
        Grantee::SignedIn,
        Grantee::Everyone,
    ];
    let mut cases = vec![Vec::new()];
    for grantee in grantees {
        for right in [Right::Read, Right::Clone] {
            cases.push(vec![Grant::new(grantee, right)]);
        }
    }
    cases.push(vec![Grant { expires_ms: Some(1), ..Grant::new(grantees[0], Right::Clone) }]);
    // Revoked: what was said before is not there any more.
    cases.push(Vec::new());
    let mut wrong = Vec::new();
    for resource in RESOURCES {
        for grants in &cases {
            world.say(resource, grants);
            for who in WHO {
                // Who may read a file may keep it.
                let clone = if resource.starts_with("file") { Action::Read } else { Action::Clone };
                let wanted =
                    (world.decides(who, Action::Read, grants), world.decides(who, clone, grants));
                let got = (world.reads(who, resource), world.clones(who, resource));
                if got != wanted {
                    wrong.push(format!("{resource} {grants:?} {who}: {got:?}, not {wanted:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_one_may_not_see_is_answered_as_what_does_not_exist() {
    let world = World::new(Login::Always);
    let of = |name: &str, answer: Answer| {
        let text = answer.error(404, ErrorKind::NotFound);
        text.replace(&format!("/{name}"), "/NAME")
    };
    for (there, not) in [("web", "wob"), ("deb", "dob")] {
        for to in [path::volume as fn(&str) -> String, path::image] {
            for method in ["GET", "DELETE"] {
                let ask = |name: &str| {
                    let path = to(&format!("olga/{name}"));
                    let path = if method == "DELETE" { path + "?force=true" } else { path };
                    of(name, world.ask("eve", method, &path, b""))
                };
                assert_eq!(ask(there), ask(not));
            }
        }
    }
    let file = |name: &str| {
        of(name, world.ask("eve", "GET", &path::export(&format!("file:/olga/box/{name}")), b""))
    };
    assert_eq!(file("file"), file("none"));
    let account = |name: &str| {
        let answer = world.ask("eve", "GET", &path::volume(&format!("{name}/web")), b"");
        answer.error(404, ErrorKind::NotFound).replace(name, "NAME")
    };
    assert_eq!(account("olga"), account("nobody"));
}

#[test]
fn accounts_have_names_of_their_own_and_say_those_of_others_in_full() {
    let world = World::new(Login::Remote);
    let make = |who: &str, name: &str| {
        let body = format!(r#"{{"names":["{name}"],"size":4096}}"#);
        world.ask(who, "POST", path::VOLUMES, body.as_bytes())
    };
    // Nobody learns from a conflict what others have.
    make("bob", "web").done(201);
    make("bob", "web").error(409, ErrorKind::AlreadyExists);
    make("bob", "olga/mine").error(403, ErrorKind::Forbidden);
    make("admin", "web").done(201);
    let names = |who: Option<&str>| -> Vec<String> {
        let listed: Volumes = match who {
            Some(who) => world.ask(who, "GET", path::VOLUMES, b"").json(200),
            None => world.server.get(path::VOLUMES).json(200),
        };
        listed.volumes.into_iter().map(|one| one.name).collect()
    };
    let everything = ["bob/web", "olga/web", "web"];
    assert_eq!(names(None), everything);
    assert_eq!(names(Some("admin")), everything);
    assert_eq!(names(Some("bob")), ["web"]);
    let everyone = |right| Grant::new(Grantee::Everyone, right);
    world.say("volume:olga/web", &[everyone(Right::Read)]);
    world.say("volume:web", &[everyone(Right::Clone)]);
    assert_eq!(names(Some("bob")), ["web", "olga/web", "admin/web"]);
    // The first account's name may be said, too, and the own one.
    let shown: ApiVolume = world.ask("bob", "GET", &path::volume("admin/web"), b"").json(200);
    assert_eq!((shown.name.as_str(), shown.size), ("admin/web", 4096));
    let shown: ApiVolume = world.server.get(&path::volume("admin/web")).json(200);
    assert_eq!(shown.name, "web");
    let shown: ApiVolume = world.ask("bob", "GET", &path::volume("bob/web"), b"").json(200);
    assert_eq!(shown.name, "web");
    // Whence something comes is for its owner.
    let shown: ApiVolume = world.ask("olga", "GET", &path::volume("web"), b"").json(200);
    assert_eq!(shown.parent.as_deref(), Some("image:deb"));
    let shown: ApiVolume = world.ask("bob", "GET", &path::volume("olga/web"), b"").json(200);
    assert_eq!(shown.parent, None);
    let shown: ApiVolume = world.server.get(&path::volume("olga/web")).json(200);
    assert_eq!(shown.parent.as_deref(), Some("image:olga/deb"));
}

#[test]
fn who_may_read_or_clone_changes_nothing() {
    let world = World::new(Login::Always);
    let bob = Grantee::User(world.people["bob"].identity.user.id);
    for resource in ["image:olga/deb", "volume:olga/web", "snapshot:olga/web@s"] {
        world.say(resource, &[Grant::new(bob, Right::Clone)]);
    }
    let refused = |method: &str, path: &str, body: &[u8]| {
        world.ask("bob", method, path, body).error(403, ErrorKind::Forbidden);
    };
    refused("DELETE", &path::volume_remove("olga/web", true), b"");
    refused("POST", &path::volume_rename("olga/web"), br#"{"to":"mine"}"#);
    refused("POST", &path::volume_resize("olga/web"), br#"{"size":1048576}"#);
    refused("DELETE", &path::image("olga/deb"), b"");
    refused("DELETE", &path::snapshot("olga/web", "s"), b"");
    refused("POST", &path::snapshot_rollback("olga/web", "s"), b"");
    refused("POST", path::SNAPSHOTS, br#"{"members":["olga/web@mine"]}"#);
    let body = br#"{"resource":"image:olga/deb","with":[{"who":"eve","rights":["read"]}]}"#;
    world.ask("bob", "POST", path::SHARES, body).error(404, ErrorKind::NotFound);
    let listed: Snapshots = world.ask("bob", "GET", path::SNAPSHOTS, b"").json(200);
    assert_eq!(listed.snapshots.len(), 1);
    let listed: Images = world.ask("bob", "GET", path::IMAGES, b"").json(200);
    assert_eq!(listed.images[0].name, "olga/deb");
    let mut log: AuditLog = world.ask("admin", "GET", path::AUDIT, b"").json(200);
    log.rows.retain(|row| row.event == "refused");
    let seen = |resource: &str, detail: &str| {
        log.rows.iter().any(|row| {
            row.actor == "bob" && row.resource == resource && row.detail.starts_with(detail)
        })
    };
    assert!(seen("volume 'olga/web'", "remove:"), "{:?}", log.rows);
    assert!(seen("volume 'olga/web'", "manage:"), "{:?}", log.rows);
    assert!(seen("image 'olga/deb'", "say who may:"), "{:?}", log.rows);
}

#[test]
fn a_role_is_what_it_is_at_the_other_doors() {
    let world = &World::new(Login::Always);
    let (olga, bob) = (Named::name("olga"), Named::name("bob"));
    let as_bob_in_olga = |role| {
        let service = &world.server.app.service;
        service.member_set(&bob, &olga, role).unwrap();
        let login = service.login_password(&bob, &Secret::new(PASSWORD), Some(&olga)).unwrap();
        let token = login.token.expose().to_owned();
        move |method: &str, path: &str, body: &[u8]| {
            let head =
                format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
            world.server.raw(method, path, &head, body).status
        }
    };
    let new = br#"{"names":["more"],"size":4096}"#;
    let share = br#"{"resource":"image:deb","with":[{"who":"eve","rights":["read"]}]}"#;
    let all = |role| {
        let ask = as_bob_in_olga(role);
        [
            ask("GET", &path::volume("web"), b""),
            ask("POST", path::VOLUMES, new),
            ask("DELETE", &path::volume("more"), b""),
            ask("POST", path::SHARES, share),
        ]
    };
    assert_eq!(all(Role::Guest), [404, 403, 404, 404]);
    assert_eq!(all(Role::Reader), [200, 403, 403, 403]);
    assert_eq!(all(Role::Member), [200, 201, 204, 403]);
    assert_eq!(all(Role::Admin), [200, 201, 204, 200]);
}

#[test]
fn who_shares_is_recorded_and_sees_only_what_its_account_shares() {
    let world = World::new(Login::Always);
    let body = br#"{"resource":"image:deb","with":[{"who":"bob","rights":["clone"]}]}"#;
    let made: Shares = world.ask("olga", "POST", path::SHARES, body).json(200);
    assert_eq!((&*made.shares[0].resource, &*made.shares[0].by), ("image 'olga/deb'", "olga"));
    let listed = |who: &str| -> Shares { world.ask(who, "GET", path::SHARES, b"").json(200) };
    assert_eq!(listed("olga"), made);
    assert_eq!(listed("bob").shares, []);
    assert_eq!(listed("admin"), made);
    let of_others = format!("{}?account=olga", path::SHARES);
    world.ask("bob", "GET", &of_others, b"").error(403, ErrorKind::Forbidden);
    assert!(world.clones("bob", "image:olga/deb"));
    world.ask("olga", "DELETE", &format!("{}?resource=image:deb", path::SHARES), b"").done(204);
    assert!(!world.clones("bob", "image:olga/deb"));
}

#[test]
fn what_is_the_operators_is_for_administrators_only() {
    let world = World::new(Login::Always);
    for (method, path) in [
        ("GET", path::USAGE),
        ("GET", path::STATUS),
        ("GET", path::METRICS),
        ("GET", path::AUDIT),
        ("GET", path::USERS),
        ("GET", path::FILES),
        ("POST", path::CHECK),
    ] {
        world.ask("olga", method, path, b"").error(403, ErrorKind::Forbidden);
        assert!(world.ask("admin", method, path, b"").status < 300, "{path}");
        world.server.raw(method, path, "", b"").error(401, ErrorKind::Unauthenticated);
    }
    assert_eq!(world.server.get(path::HEALTH).status, 200);
    assert_eq!(world.server.get(path::OPENAPI).status, 200);
}

#[test]
fn without_a_token_it_is_the_operator_only_from_the_machine_itself() {
    let server = Harness::start();
    let with = |head: &str| server.raw("GET", path::VOLUMES, head, b"");
    assert_eq!(with("").status, 200);
    for head in [
        // What a proxy hands on comes from elsewhere.
        "X-Forwarded-For: 192.0.2.7\r\n",
        "Forwarded: for=192.0.2.7\r\n",
        // Whoever says a token wants to be somebody.
        "X-Auth-Token: \r\n",
        "X-Auth-Token: arctnothing\r\n",
        "Authorization: Bearer arctnothing\r\n",
        "Authorization: Basic b2xnYTpvbGdh\r\n",
    ] {
        with(head).error(401, ErrorKind::Unauthenticated);
    }
    let always = Harness::with_login(Login::Always);
    always.get(path::VOLUMES).error(401, ErrorKind::Unauthenticated);
    let never = Harness::with_login(Login::Never);
    let answer = never.raw("GET", path::VOLUMES, "X-Forwarded-For: 192.0.2.7\r\n", b"");
    assert_eq!(answer.status, 200);
}

#[test]
fn a_token_that_ended_is_refused_at_once() {
    let world = World::new(Login::Always);
    world.ask("bob", "GET", path::VOLUMES, b"").done(200);
    world.server.app.service.user_enable(&Named::name("bob"), false).unwrap();
    world.ask("bob", "GET", path::VOLUMES, b"").error(401, ErrorKind::Unauthenticated);
}
