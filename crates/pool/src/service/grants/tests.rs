//! Facts about sharing: what is kept, what ends, what is recorded.

use archipelago_model::{AccountId, UserId};

use super::*;
use crate::catalog::audit;
use crate::grant::Share;
use crate::identity::{Identity, Member, Named, NewUser, Secret};
use crate::object::{Meta, Versioning};
use crate::testing::Bench;

struct World {
    bench: Bench,
    owner: Member,
    bob: Identity,
    container: Container,
}

fn make(bench: &Bench, name: &str) -> Member {
    let new = NewUser {
        name: name.parse().unwrap(),
        password: Secret::new("correct horse"),
        is_admin: false,
        account: None,
    };
    bench.service.user_create(&new).unwrap()
}

fn identity(member: &Member) -> Identity {
    let Member { user, account, role } = member.clone();
    Identity { user, account, role }
}

impl World {
    fn new() -> Self {
        let bench = Bench::new();
        bench.service.found_admin().unwrap();
        let (owner, bob) = (make(&bench, "olga"), identity(&make(&bench, "bob")));
        let name = "docs".parse().unwrap();
        let container = bench.service.container_create(owner.account.id, &name).unwrap();
        Self { bench, owner, bob, container }
    }

    fn put(&self, name: &str, content_type: &str) -> Object {
        let mut meta = Meta::default();
        meta.headers.insert("content-type".to_owned(), content_type.to_owned());
        let mut finish = |_: &_| Ok(meta.clone());
        let mut input = &b"x"[..];
        let name = name.parse().unwrap();
        let service = &self.bench.service;
        service
            .object_put(self.container.id, &name, None, &mut input, &mut finish, &|_| Ok(()))
            .unwrap()
    }

    fn path(&self, name: &str) -> Shared {
        Shared::Path(self.container.id, name.to_owned())
    }

    fn share(&self, shared: &Shared, grantee: Grantee, right: Right) -> Result<(), Error> {
        let mut add = |grants: &mut Vec<Grant>| {
            grants.push(Grant::new(grantee, right));
            Ok(())
        };
        self.bench.service.grants_change("olga", shared, &mut add).map(drop)
    }

    fn bob(&self) -> Grantee {
        Grantee::User(self.bob.user.id)
    }

    #[track_caller]
    fn bob_may(&self, action: Action, name: &str) -> bool {
        let subject = self.bench.service.subject(Some(&self.bob)).unwrap();
        self.bench.service.may(&subject, action, &self.path(name)).unwrap().allowed
    }

    fn record(&self) -> Vec<(AuditEvent, String, String)> {
        let rows = self.bench.service.audit_log(None, 100).unwrap();
        rows.into_iter().map(|row| (row.event, row.resource, row.detail)).collect()
    }
}

#[test]
fn what_is_granted_counts_at_once_and_what_is_revoked_no_more() {
    let world = World::new();
    world.put("a", "text/plain");
    assert!(!world.bob_may(Action::Read, "a"));
    world.share(&world.path("a"), world.bob(), Right::Read).unwrap();
    assert!(world.bob_may(Action::Read, "a") && !world.bob_may(Action::Write, "a"));
    let mut none = |grants: &mut Vec<Grant>| {
        grants.clear();
        Ok(())
    };
    world.bench.service.grants_change("olga", &world.path("a"), &mut none).unwrap();
    assert!(!world.bob_may(Action::Read, "a"));
}

#[test]
fn what_is_shared_is_shared_after_a_crash_and_recorded() {
    let mut world = World::new();
    world.put("a", "text/plain");
    world.share(&world.path("a"), world.bob(), Right::Read).unwrap();
    world.bench.crash();
    assert!(world.bob_may(Action::Read, "a"));
    let wanted = (AuditEvent::Granted, "file 'olga/docs/a'".to_owned(), "bob:read".to_owned());
    assert_eq!(world.record(), [wanted]);
}

#[test]
fn the_same_again_is_no_change() {
    let world = World::new();
    for _ in 0..3 {
        world.share(&world.path("a"), world.bob(), Right::Read).unwrap();
    }
    assert_eq!(world.bench.service.grants(&world.path("a")).unwrap().len(), 1);
    assert_eq!(world.record().len(), 1);
}

#[test]
fn a_folder_shares_what_is_below_and_the_closest_one_counts_alone() {
    let world = World::new();
    world.put("d", "application/directory");
    world.put("d/e", "application/folder; charset=x");
    world.put("plain", "text/plain");
    let carol = Grantee::Account(world.owner.account.id);
    world.share(&world.path("d"), world.bob(), Right::Write).unwrap();
    world.share(&world.path("d"), world.bob(), Right::Read).unwrap();
    world.share(&world.path("plain"), world.bob(), Right::Read).unwrap();
    for name in ["d", "d/x", "d/e", "d/e/f/g"] {
        assert!(
            world.bob_may(Action::Write, name) && !world.bob_may(Action::Remove, name),
            "{name}"
        );
    }
    assert!(!world.bob_may(Action::Read, "dd") && !world.bob_may(Action::Read, "plain/below"));
    world.share(&world.path("d/e"), world.bob(), Right::Read).unwrap();
    assert!(world.bob_may(Action::Read, "d/e/f") && !world.bob_may(Action::Write, "d/e/f"));
    world.share(&world.path("d/e/f"), carol, Right::Read).unwrap();
    assert!(!world.bob_may(Action::Read, "d/e/f"));
    let found = world.bench.service.path_grants(world.container.id, &"d/e/z".parse().unwrap());
    assert_eq!(&*found.unwrap().unwrap().path, "d/e");
}

#[test]
fn a_name_with_a_slash_at_its_end_shares_all_names_that_begin_so() {
    let world = World::new();
    world.share(&world.path("p/"), world.bob(), Right::Read).unwrap();
    assert!(world.bob_may(Action::Read, "p/q/r") && world.bob_may(Action::Read, "p/"));
    assert!(!world.bob_may(Action::Read, "p") && !world.bob_may(Action::Read, "px"));
}

#[test]
fn an_expired_grant_hides_no_folder() {
    let world = World::new();
    world.put("d", "application/directory");
    world.share(&world.path("d"), world.bob(), Right::Read).unwrap();
    let mut add = |grants: &mut Vec<Grant>| {
        grants.push(Grant { expires_ms: Some(1), ..Grant::new(Grantee::Everyone, Right::Write) });
        Ok(())
    };
    world.bench.service.grants_change("olga", &world.path("d/a"), &mut add).unwrap();
    assert!(world.bob_may(Action::Read, "d/a") && !world.bob_may(Action::Write, "d/a"));
}

#[test]
fn what_takes_the_name_of_something_removed_is_not_shared() {
    for versioning in [Versioning::Off, Versioning::Enabled] {
        let world = World::new();
        let service = &world.bench.service;
        let mut set = |container: &mut Container| {
            container.versioning = versioning;
            Ok(())
        };
        service.container_change(world.container.id, &mut set).unwrap();
        world.put("a", "text/plain");
        world.share(&world.path("a"), world.bob(), Right::Read).unwrap();
        world.put("a", "text/plain");
        assert!(world.bob_may(Action::Read, "a"), "a new version is still the same file");
        let name = "a".parse().unwrap();
        service.object_remove(world.container.id, &name, Which::Latest, &|_| Ok(())).unwrap();
        world.put("a", "text/plain");
        assert!(!world.bob_may(Action::Read, "a"), "{versioning:?}");
    }
}

#[test]
fn a_group_shares_with_who_is_in_it_now() {
    let world = World::new();
    let service = &world.bench.service;
    let (account, group) = (Named::name("olga"), "friends".parse().unwrap());
    service.group_set(&account, &group, &["bob".parse().unwrap()]).unwrap();
    let grantee = service.grantee(&Named::name("olga"), "@friends").unwrap();
    world.share(&world.path("a"), grantee, Right::Read).unwrap();
    assert!(world.bob_may(Action::Read, "a"));
    service.group_set(&account, &group, &[]).unwrap();
    assert!(!world.bob_may(Action::Read, "a"));
    service.group_remove(&account, &group).unwrap();
    assert!(service.grants(&world.path("a")).unwrap().is_empty());
}

#[test]
fn who_is_gone_has_no_grants_and_cannot_be_given_any() {
    let world = World::new();
    world.share(&world.path("a"), world.bob(), Right::Read).unwrap();
    world.bench.service.user_remove(&Named::name("bob")).unwrap();
    assert!(world.bench.service.grants(&world.path("a")).unwrap().is_empty());
    for grantee in [
        world.bob(),
        Grantee::User(UserId::new(9999)),
        Grantee::Account(AccountId::new(9999)),
        Grantee::Group(9999),
    ] {
        let error = world.share(&world.path("a"), grantee, Right::Read).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn grants_of_a_container_come_with_it_and_go_with_it() {
    let world = World::new();
    let service = &world.bench.service;
    let mut add = |container: &mut Container| {
        container.grants.push(Grant::new(Grantee::Everyone, Right::List));
        Ok(())
    };
    service.container_change_as("olga", world.container.id, &mut add).unwrap();
    let found = service.container(world.owner.account.id, &world.container.name).unwrap();
    assert_eq!((found.grants.len(), found.grants[0].by.as_str()), (1, "olga"));
    let shared = Shared::Container(world.container.id);
    assert!(service.may(&Subject::anybody(), Action::List, &shared).unwrap().allowed);
    world.share(&world.path("p/"), world.bob(), Right::Read).unwrap();
    service.container_remove(world.container.id).unwrap();
    assert!(service.all_grants(None, 100).unwrap().is_empty());
}

#[test]
fn what_cannot_be_given_is_refused() {
    let world = World::new();
    let bench = &world.bench;
    let volume = bench.create("web", 1 << 20);
    bench.snapshot("web@one").unwrap();
    for right in [Right::List, Right::ReadAcl, Right::WriteAcl] {
        let error = world.share(&Shared::Volume(volume.id), world.bob(), right).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let snapshot = bench.service.shared(&Named::name("admin"), "snapshots/web@one").unwrap();
    let error = world.share(&snapshot, world.bob(), Right::Write).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let mut many = |grants: &mut Vec<Grant>| {
        grants.resize(GRANTS_MAX + 1, Grant::new(Grantee::Everyone, Right::Read));
        Ok(())
    };
    let error = bench.service.grants_change("olga", &snapshot, &mut many).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn disks_are_shared_and_no_more_once_they_are_gone() {
    let world = World::new();
    let bench = &world.bench;
    bench.create("web", 1 << 20);
    bench.snapshot("web@one").unwrap();
    let subject = bench.service.subject(Some(&world.bob)).unwrap();
    for name in ["volume:web", "snapshots/web@one", "snapshot:web@one"] {
        let shared = bench.service.shared(&Named::name("admin"), name).unwrap();
        world.share(&shared, world.bob(), Right::Clone).unwrap();
        assert!(bench.service.may(&subject, Action::Clone, &shared).unwrap().allowed);
        assert!(!bench.service.may(&subject, Action::Write, &shared).unwrap().allowed);
    }
    bench.service.snapshot_remove(&"web@one".parse().unwrap()).unwrap();
    bench.service.volume_remove(&"web".parse().unwrap(), false).unwrap();
    assert!(bench.service.all_grants(None, 100).unwrap().is_empty());
    assert_eq!(
        bench.service.shared(&Named::name("admin"), "volume:web").unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn who_is_shared_with_finds_what_is() {
    let world = World::new();
    let service = &world.bench.service;
    world.share(&world.path("b"), world.bob(), Right::Read).unwrap();
    world.share(&world.path("a"), world.bob(), Right::Write).unwrap();
    world.share(&world.path("c"), Grantee::Everyone, Right::Read).unwrap();
    let bob = service.subject(Some(&world.bob)).unwrap();
    assert_eq!(service.accounts_sharing(&bob).unwrap(), [world.owner.account.id]);
    let containers = service.containers_sharing(&bob, world.owner.account.id).unwrap();
    assert_eq!(containers.len(), 1);
    let paths = |after, limit| {
        service.paths_shared(Roots::With(&bob), world.container.id, after, limit).unwrap()
    };
    assert_eq!(paths("", 10), ["a", "b", "c"]);
    assert_eq!(paths("a", 1), ["b"]);
    let owner = service.subject(Some(&identity(&world.owner))).unwrap();
    assert!(service.accounts_sharing(&owner).unwrap().is_empty());
    assert!(service.accounts_sharing(&Subject::anybody()).unwrap().is_empty());
}

#[test]
fn the_record_is_kept_in_bounds_and_uses_drive_out_no_changes() {
    // A hundred thousand rows, one by one: too many messages.
    crate::testing::on_files();
    let world = World::new();
    let (core, service) = (&world.bench.service.core, &world.bench.service);
    world.share(&world.path("a"), world.bob(), Right::Read).unwrap();
    let max = crate::catalog::audit::USES_MAX;
    core.catalog
        .write(|tx| -> Result<(), Error> {
            for n in 0..max + 5 {
                record(tx, n, "eve", AuditEvent::Refused, "file 'x'", "read".to_owned())?;
            }
            Ok(())
        })
        .unwrap();
    let count = |class: &str| {
        let rows = core.catalog.read(|tx| audit::page(tx, None, usize::MAX)).unwrap();
        rows.into_iter().filter(|row| row.event.is_change() == (class == "change")).count() as u64
    };
    assert_eq!((count("use"), count("change")), (max, 1));
    assert_eq!(service.audit_log(None, 1).unwrap()[0].at_ms, max + 4);
}

#[test]
fn a_link_opens_until_it_is_ended_or_its_file_is_gone() {
    let world = World::new();
    let (service, id, name) = (&world.bench.service, world.container.id, "a".parse().unwrap());
    let make = |end| service.link_create("olga", id, &name, end, &|_| Ok(()));
    assert_eq!(make(None).unwrap_err().kind(), ErrorKind::NotFound);
    world.put("a", "text/plain");
    assert_eq!(make(Some(1)).unwrap_err().kind(), ErrorKind::Invalid);
    let link = make(None).unwrap();
    assert_eq!(link.id.expose().len(), 32);
    let open = |link: &PublicLink| service.link_open(link.id.expose());
    assert_eq!(open(&link).unwrap().object().size, 1);
    world.put("a", "text/html");
    assert_eq!(open(&link).unwrap().object().meta.headers["content-type"], "text/html");
    let shown = service.links(id, &name).unwrap();
    assert_eq!(shown[0].id.expose(), link.id.expose());

    assert_eq!(service.links_end("olga", id, &name).unwrap(), 1);
    let said = |error: Error| (error.kind(), error.message().to_owned());
    let ended = said(open(&link).map(drop).unwrap_err());
    assert_eq!(ended, said(service.link_open("never").map(drop).unwrap_err()));

    let link = make(None).unwrap();
    service.object_remove(id, &name, Which::Latest, &|_| Ok(())).unwrap();
    assert_eq!(ended, said(open(&link).map(drop).unwrap_err()));
    world.put("a", "text/plain");
    assert!(open(&link).is_err() && service.links(id, &name).unwrap().is_empty());
    let events: Vec<AuditEvent> = world.record().into_iter().map(|(event, _, _)| event).collect();
    let used = AuditEvent::LinkUsed;
    assert_eq!(events, [used, AuditEvent::LinkMade, AuditEvent::LinkEnded, AuditEvent::LinkMade]);
}

#[test]
fn a_link_is_over_when_it_says_and_the_catalog_tells_no_id() {
    let world = World::new();
    let (service, id, name) = (&world.bench.service, world.container.id, "a".parse().unwrap());
    world.put("a", "text/plain");
    let end = service.now_ms() + 3_600_000;
    let link = service.link_create("olga", id, &name, Some(end), &|_| Ok(())).unwrap();
    service.link_open(link.id.expose()).unwrap();
    let row = &service.core.catalog.read(crate::catalog::link::list).unwrap()[0];
    assert!(!format!("{row:?}").contains(link.id.expose()));
    service
        .core
        .catalog
        .write(|tx| -> Result<(), Error> {
            crate::catalog::link::clear(tx, id, "a")?;
            let over = crate::catalog::link::LinkRow { expires_ms: Some(1), ..row.clone() };
            Ok(crate::catalog::link::insert(tx, &over)?)
        })
        .unwrap();
    assert_eq!(
        service.link_open(link.id.expose()).map(drop).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(service.links(id, &name).unwrap().is_empty());
    service.object_remove(id, &name, Which::Latest, &|_| Ok(())).unwrap();
    service.container_remove(id).unwrap();
}

#[test]
fn a_version_is_shared_in_the_transaction_that_puts_it_or_not_put() {
    let world = World::new();
    let service = &world.bench.service;
    let put = |readers: Vec<Grantee>| {
        let share = Share { by: "olga".to_owned(), readers, writers: Vec::new() };
        let share = Some(Box::new(share));
        let meta = Meta { share, ..Meta::default() };
        let mut finish = |_: &_| Ok(meta.clone());
        let (name, mut input) = ("a".parse().unwrap(), &b"x"[..]);
        service.object_put(world.container.id, &name, None, &mut input, &mut finish, &|_| Ok(()))
    };
    let error = put(vec![Grantee::User(UserId::new(9999))]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let name = "a".parse().unwrap();
    assert!(service.object_or_marker(world.container.id, &name, Which::Latest).unwrap().is_none());
    put(vec![world.bob()]).unwrap();
    assert!(world.bob_may(Action::Read, "a"));
    put(Vec::new()).unwrap();
    assert!(!world.bob_may(Action::Read, "a"));
    let events: Vec<AuditEvent> = world.record().into_iter().map(|(event, _, _)| event).collect();
    assert_eq!(events, [AuditEvent::Revoked, AuditEvent::Granted]);
}

#[test]
fn who_reads_a_snapshot_reads_the_file_that_it_is() {
    let world = World::new();
    let bench = &world.bench;
    bench.create("web", 1 << 20);
    bench.snapshot("web@one").unwrap();
    let home = bench.service.container_of_operator(&"snapshots".parse().unwrap()).unwrap();
    let file = Shared::Path(home.id, "web@one".to_owned());
    let subject = bench.service.subject(Some(&world.bob)).unwrap();
    let may = |action| bench.service.may(&subject, action, &file).unwrap().allowed;
    assert!(!may(Action::Read));
    world
        .share(
            &bench.service.shared(&Named::name("admin"), "snapshot:web@one").unwrap(),
            world.bob(),
            Right::Read,
        )
        .unwrap();
    assert!(may(Action::Read) && !may(Action::Write) && !may(Action::Remove));
}

#[test]
fn grants_of_many_names_are_those_of_each() {
    let world = World::new();
    let service = &world.bench.service;
    world.put("d", "application/directory");
    world.share(&world.path("d"), world.bob(), Right::Read).unwrap();
    world.share(&world.path("d/e/"), world.bob(), Right::Write).unwrap();
    world.share(&world.path("x"), world.bob(), Right::Read).unwrap();
    let names: Vec<ObjectName> = ["d", "d/a", "d/e/f", "d/e/", "x", "x/y", "z"]
        .into_iter()
        .map(|name| name.parse().unwrap())
        .collect();
    let names: Vec<&ObjectName> = names.iter().collect();
    let found = service.grants_of_names(world.container.id, &names).unwrap();
    let found: Vec<Option<&str>> =
        found.iter().map(|found| found.as_ref().map(|found| &*found.path)).collect();
    assert_eq!(found, [Some("d"), Some("d"), Some("d/e/"), Some("d/e/"), Some("x"), None, None]);
    let one = service.path_grants(world.container.id, names[2]).unwrap().unwrap();
    assert_eq!(&*one.path, "d/e/");
}
