//! Facts about whose volumes and images are.

use archipelago_model::VolumeSize;

use super::*;
use crate::grant::{Grantee, Right};
use crate::identity::{Identity, Member, NewUser, Secret};
use crate::resource::Origin;
use crate::testing::Bench;

/// A store with accounts `admin`, `olga` and `bob`.
fn bench() -> (Bench, Identity) {
    let bench = Bench::new();
    bench.service.found_admin().unwrap();
    let make = |name: &str| -> Identity {
        let (name, password) = (name.parse().unwrap(), Secret::new("correct horse"));
        let new = NewUser { name, password, is_admin: false, account: None };
        let Member { user, account, role } = bench.service.user_create(&new).unwrap();
        Identity { user, account, role }
    };
    make("olga");
    let bob = make("bob");
    (bench, bob)
}

fn empty(bench: &Bench, name: &str) -> Result<Vec<Volume>, Error> {
    let size = VolumeSize::from_bytes(4096).unwrap();
    bench.service.volume_create(&[name.parse().unwrap()], &Origin::Empty(size))
}

fn kind(result: Result<impl Sized, Error>) -> ErrorKind {
    result.err().unwrap().kind()
}

#[test]
fn a_volume_is_of_an_account_that_there_is_and_is_named_in_one_way() {
    let (bench, _) = bench();
    empty(&bench, "web").unwrap();
    empty(&bench, "olga/web").unwrap();
    assert_eq!(kind(empty(&bench, "nobody/web")), ErrorKind::NotFound);
    assert_eq!(kind(empty(&bench, "admin/web")), ErrorKind::Invalid);
    let rename = |from: &str, to: &str| {
        bench.service.volume_rename(&from.parse().unwrap(), &to.parse().unwrap())
    };
    assert_eq!(kind(rename("olga/web", "bob/web")), ErrorKind::Invalid);
    assert_eq!(kind(rename("web", "olga/mine")), ErrorKind::Invalid);
    rename("olga/web", "olga/mine").unwrap();
    assert_eq!(bench.service.check().unwrap(), []);
}

#[test]
fn an_account_stays_while_it_owns_a_volume() {
    let (bench, _) = bench();
    empty(&bench, "olga/web").unwrap();
    let olga = Named::name("olga");
    // What begins alike is not its own.
    assert!(bench.service.account_remove(&Named::name("bob")).is_ok());
    assert_eq!(kind(bench.service.account_remove(&olga)), ErrorKind::InUse);
    bench.service.volume_remove(&"olga/web".parse().unwrap(), false).unwrap();
    bench.service.account_remove(&olga).unwrap();
}

#[test]
fn a_volume_of_an_account_that_is_gone_is_a_finding() {
    let (bench, _) = bench();
    empty(&bench, "olga/web").unwrap();
    let id = bench.service.volume(&"olga/web".parse().unwrap()).unwrap().id;
    let gone = "gone/web".parse().unwrap();
    bench.service.core.catalog.write(|tx| volume::rename(tx, id, &gone)).unwrap();
    let found = bench.service.check().unwrap();
    assert!(found.iter().any(|one| one.what.contains("'gone/web' is of an account")), "{found:?}");
}

#[test]
fn only_snapshots_of_the_first_account_are_files() {
    let (bench, _) = bench();
    for name in ["web", "olga/web"] {
        empty(&bench, name).unwrap();
        bench.service.snapshot_create(&[format!("{name}@one").parse().unwrap()]).unwrap();
    }
    let files = || -> Vec<String> {
        let files = bench.service.files(None).unwrap();
        files.into_iter().map(|file| file.object.to_string()).collect()
    };
    assert_eq!(files(), ["web@one"]);
    let to = "olga/mine".parse().unwrap();
    bench.service.volume_rename(&"olga/web".parse().unwrap(), &to).unwrap();
    assert_eq!(files(), ["web@one"]);
    bench.service.volume_remove(&to, true).unwrap();
    assert_eq!(files(), ["web@one"]);
    assert_eq!(bench.service.check().unwrap(), []);
}

/// Between being let in and the transaction somebody may take the right away, or give the name to
/// something else.
#[test]
fn the_right_to_clone_is_asked_in_the_transaction_that_clones() {
    let (bench, bob) = bench();
    empty(&bench, "olga/web").unwrap();
    let subject = bench.service.subject(Some(&bob)).unwrap();
    let source: Source = "volume:olga/web".parse().unwrap();
    let origin = Origin::Clone { source: source.clone(), size: None };
    let clone = |name: &str| {
        bench.service.volume_create_by(Some(&subject), &[name.parse().unwrap()], &origin)
    };
    assert_eq!(kind(clone("bob/a")), ErrorKind::NotFound);
    let say = |right: Right| {
        let shared = bench.service.shared(&Named::name("olga"), "volume:olga/web").unwrap();
        let mut set = |all: &mut Vec<Grant>| {
            *all = vec![Grant::new(Grantee::User(bob.user.id), right)];
            Ok(())
        };
        bench.service.grants_change("olga", &shared, &mut set).unwrap();
    };
    say(Right::Read);
    assert_eq!(kind(clone("bob/a")), ErrorKind::Forbidden);
    say(Right::Clone);
    clone("bob/a").unwrap();
    // Also while it is open, which is another way through the engine.
    let _open = bench.service.open_device("olga/web").unwrap();
    clone("bob/b").unwrap();
    say(Right::Write);
    assert_eq!(kind(clone("bob/c")), ErrorKind::NotFound);
}

#[test]
fn what_the_rule_answers_of_something_is_of_its_owner() {
    let (bench, bob) = bench();
    empty(&bench, "bob/web").unwrap();
    empty(&bench, "web").unwrap();
    let subject = bench.service.subject(Some(&bob)).unwrap();
    let may = |text: &str| {
        let shared = bench.service.shared(&Named::name("admin"), text).unwrap();
        bench.service.may(&subject, Action::Remove, &shared).unwrap().allowed
    };
    assert!(may("volume:bob/web") && !may("volume:web"));
    let seen: Vec<String> =
        bench.service.volumes_for(&subject).unwrap().iter().map(|v| v.name.to_string()).collect();
    assert_eq!(seen, ["bob/web"]);
    assert!(bench.service.volumes_for(&Subject::anybody()).unwrap().is_empty());
}

/// Does something while a transaction of ours is under way, and gives the name `olga/web` to the
/// volume `olga/other` before it can come to its own.
fn amid_a_swap<T: Send>(bench: &Bench, verb: impl FnOnce(&Service) -> T + Send) -> T {
    let service = &*bench.service;
    std::thread::scope(|scope| {
        let catalog = &service.core.catalog;
        catalog
            .write(|tx| {
                let done = scope.spawn(|| verb(service));
                while catalog.waiting() == 0 && !done.is_finished() {
                    std::thread::yield_now();
                }
                let id = |name: &str| volume::find(tx, &name.parse().unwrap()).unwrap().unwrap().id;
                let (web, other) = (id("olga/web"), id("olga/other"));
                volume::rename(tx, web, &"olga/old".parse().unwrap())?;
                volume::rename(tx, other, &"olga/web".parse().unwrap())?;
                Ok::<_, Error>(done)
            })
            .unwrap()
            .join()
            .unwrap()
    })
}

#[test]
fn what_is_cloned_is_what_has_the_name_that_was_asked_for() {
    let (bench, bob) = bench();
    empty(&bench, "olga/web").unwrap();
    empty(&bench, "olga/other").unwrap();
    let shared = bench.service.shared(&Named::name("olga"), "volume:olga/other").unwrap();
    let mut set = |all: &mut Vec<Grant>| {
        *all = vec![Grant::new(Grantee::User(bob.user.id), Right::Clone)];
        Ok(())
    };
    bench.service.grants_change("olga", &shared, &mut set).unwrap();
    let subject = bench.service.subject(Some(&bob)).unwrap();
    bench.put("olga/web", 0, &[7; 4096]);
    let _open = bench.device("olga/web");
    let source = "volume:olga/web".parse().unwrap();
    let origin = Origin::Clone { source, size: None };
    let name = "bob/mine".parse().unwrap();
    let cloned = amid_a_swap(&bench, |service| {
        service.volume_create_by(Some(&subject), &[name], &origin).map(drop)
    });
    assert_eq!(kind(cloned), ErrorKind::Unavailable);
}

#[test]
fn what_is_put_back_is_the_volume_that_was_kept_alone() {
    let (bench, _) = bench();
    for name in ["olga/web", "olga/other"] {
        empty(&bench, name).unwrap();
        bench.snapshot(&format!("{name}@one")).unwrap();
    }
    let open = bench.device("olga/other");
    let rolled = amid_a_swap(&bench, |service| {
        service.snapshot_rollback(&"olga/web@one".parse().unwrap()).map(drop)
    });
    assert_eq!(kind(rolled), ErrorKind::Unavailable);
    open.flush().unwrap();
}

/// Between the begin of what somebody sends and its end it may have lost its place.
#[test]
fn what_has_come_is_made_by_who_may_make_it_still() {
    let (bench, bob) = bench();
    let subject = bench.service.subject(Some(&bob)).unwrap();
    let spec = |name: &str| crate::NewImage {
        name: name.parse().unwrap(),
        format: "raw".to_owned(),
        os: None,
        source_bytes: None,
        sha256: None,
    };
    let stream = crate::testing::stream(&[7; 4096]);
    let import = |name: &str| {
        bench.service.image_import_by(Some(&subject), &spec(name), &mut &stream[..]).map(drop)
    };
    import("bob/one").unwrap();
    assert_eq!(kind(import("olga/one")), ErrorKind::Forbidden);
    let account = Named::name("bob");
    bench.service.member_set(&account, &account, crate::Role::Reader).unwrap();
    assert_eq!(kind(import("bob/two")), ErrorKind::Forbidden);
    bench.service.user_enable(&Named::name("bob"), false).unwrap();
    assert_eq!(kind(import("bob/two")), ErrorKind::Unauthenticated);
    let mut sent = Vec::new();
    empty(&bench, "web").unwrap();
    bench.snapshot("web@one").unwrap();
    bench.service.send(&"web@one".parse().unwrap(), None, &mut sent).unwrap();
    let target = "bob/web@one".parse().unwrap();
    let received = bench.service.receive_by(Some(&subject), &target, &mut &sent[..]);
    assert_eq!(kind(received), ErrorKind::Unauthenticated);
    let bobs = bench.service.images().unwrap();
    assert_eq!(bobs.len(), 1);
}

#[test]
fn what_an_account_shares_is_listed_also_beside_a_grant_on_what_is_gone() {
    let (bench, bob) = bench();
    for name in ["olga/web", "web"] {
        empty(&bench, name).unwrap();
        bench.snapshot(&format!("{name}@one")).unwrap();
    }
    let share = |owner: &str, text: &str| {
        let shared = bench.service.shared(&Named::name(owner), text).unwrap();
        let mut set = |all: &mut Vec<Grant>| {
            *all = vec![Grant::new(Grantee::User(bob.user.id), Right::Read)];
            Ok(())
        };
        bench.service.grants_change(owner, &shared, &mut set).unwrap();
    };
    for (owner, text) in
        [("olga", "volume:olga/web"), ("olga", "snapshot:olga/web@one"), ("admin", "volume:web")]
    {
        share(owner, text);
    }
    let gone = Shared::Volume(archipelago_model::VolumeId::new(4000));
    let orphan = Grant::new(Grantee::User(bob.user.id), Right::Read);
    bench.service.core.catalog.write(|tx| grant::insert(tx, 4001, &gone, &orphan)).unwrap();
    let of = |owner: &str| -> Vec<String> {
        let id = bench.service.account(&Named::name(owner)).unwrap().id;
        let all = bench.service.grants_of(id, 10).unwrap();
        all.into_iter().map(|(_, name, _)| name).collect()
    };
    assert_eq!(of("olga"), ["snapshot 'olga/web@one'", "volume 'olga/web'"]);
    assert_eq!(of("admin"), ["volume 'web'"]);
    assert!(of("bob").is_empty());
    assert_eq!(bench.service.all_grants(None, 10).unwrap().len(), 3);
}
