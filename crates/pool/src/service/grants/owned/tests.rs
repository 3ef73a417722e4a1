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
