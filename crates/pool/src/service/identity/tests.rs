//! Facts about users, accounts and what belongs to them.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::identity::{FirstAdmin, NewUser};
use crate::testing::Bench;

pub(super) const PASSWORD: &str = "correct horse";

pub(super) fn named(name: &str) -> Named {
    Named::name(name)
}

/// A store with its first administrator.
pub(super) fn founded() -> (Bench, FirstAdmin) {
    let bench = Bench::new();
    let first = bench.service.found_admin().unwrap().unwrap();
    (bench, first)
}

pub(super) fn new_user(name: &str, account: Option<(&str, Role)>) -> NewUser {
    NewUser {
        name: name.parse().unwrap(),
        password: Secret::new(PASSWORD),
        is_admin: false,
        account: account.map(|(account, role)| (named(account), role)),
    }
}

pub(super) fn make(bench: &Bench, name: &str) -> Member {
    bench.service.user_create(&new_user(name, None)).unwrap()
}

#[track_caller]
fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn the_first_administrator_is_made_once() {
    let (mut bench, first) = founded();
    assert_eq!((first.user.as_str(), first.account.name.as_str()), ("admin", "admin"));
    assert_eq!((first.access_key.len(), first.secret_key.expose().len()), (20, 40));
    assert!(bench.service.user(&named("admin")).unwrap().is_admin);
    bench.service.login_password(&named("admin"), &first.password, None).unwrap();
    assert!(bench.service.found_admin().unwrap().is_none());
    bench.crash();
    assert!(bench.service.found_admin().unwrap().is_none());
    bench.service.login_password(&named("admin"), &first.password, None).unwrap();
    let (secret, identity) = bench.service.key_secret(&first.access_key).unwrap();
    assert_eq!(secret.expose(), first.secret_key.expose());
    assert!(identity.is_admin());
}

#[test]
fn the_key_of_the_store_is_a_file_that_only_its_owner_may_read() {
    let (bench, _) = founded();
    let path = bench.dir.path().join("data/secret.key");
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 32);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn neither_passwords_nor_secrets_nor_tokens_are_in_the_catalog_or_the_pool() {
    let (bench, first) = founded();
    let login = bench.service.login_password(&named("admin"), &first.password, None).unwrap();
    bench.service.core.back_up().unwrap();
    let key = std::fs::read(bench.dir.path().join("data/secret.key")).unwrap();
    bench.service.close().unwrap();
    let mut files = vec![bench.dir.path().join("data")];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        read += 1;
        let secrets = [&first.password, &first.secret_key, &login.token];
        for secret in secrets.map(|secret| secret.expose().as_bytes()) {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{path:?}");
        }
        let is_key = path.ends_with("secret.key");
        assert_eq!(bytes.windows(32).any(|part| part == key), is_key, "{path:?}");
    }
    assert!(read > 3);
}

#[test]
fn a_user_gets_an_account_of_its_own_or_joins_one() {
    let (bench, _) = founded();
    let bob = make(&bench, "bob");
    assert_eq!((bob.account.name.as_str(), bob.role), ("bob", Role::Admin));
    let eve = bench.service.user_create(&new_user("eve", Some(("bob", Role::Reader)))).unwrap();
    assert_eq!(eve.account.id, bob.account.id);
    let members = bench.service.members_of_account(&Named::uuid(bob.account.uuid)).unwrap();
    let members: Vec<_> = members.iter().map(|m| (m.user.name.as_str(), m.role)).collect();
    assert_eq!(members, [("bob", Role::Admin), ("eve", Role::Reader)]);
    assert_eq!(kind(bench.service.user_create(&new_user("bob", None))), ErrorKind::AlreadyExists);
    let nowhere = new_user("joe", Some(("nowhere", Role::Member)));
    assert_eq!(kind(bench.service.user_create(&nowhere)), ErrorKind::NotFound);
    assert_eq!(kind(bench.service.user(&named("joe"))), ErrorKind::NotFound);
    bench.service.member_set(&named("eve"), &named("bob"), Role::Member).unwrap();
    assert_eq!(bench.service.members_of_user(&named("eve")).unwrap()[0].role, Role::Member);
}

#[test]
fn leaving_an_account_ends_what_the_user_had_there() {
    let (bench, _) = founded();
    make(&bench, "bob");
    let (key, _) = bench.service.key_create(&named("bob"), &named("bob")).unwrap();
    let login = bench.service.login_password(&named("bob"), &Secret::new(PASSWORD), None).unwrap();
    bench.service.member_remove(&named("bob"), &named("bob")).unwrap();
    assert_eq!(kind(bench.service.key_secret(&key.id)), ErrorKind::Unauthenticated);
    assert_eq!(kind(bench.service.authenticate(&login.token)), ErrorKind::Unauthenticated);
    let again = bench.service.member_remove(&named("bob"), &named("bob"));
    assert_eq!(kind(again), ErrorKind::NotFound);
    let other = bench.service.key_create(&named("bob"), &named("admin"));
    assert_eq!(kind(other), ErrorKind::Invalid);
}

#[test]
fn the_last_administrator_stays() {
    let (bench, _) = founded();
    assert_eq!(kind(bench.service.user_remove(&named("admin"))), ErrorKind::InUse);
    assert_eq!(kind(bench.service.user_enable(&named("admin"), false)), ErrorKind::InUse);
    let second = NewUser { is_admin: true, ..new_user("root", None) };
    bench.service.user_create(&second).unwrap();
    bench.service.user_enable(&named("root"), false).unwrap();
    assert_eq!(kind(bench.service.user_remove(&named("admin"))), ErrorKind::InUse);
    bench.service.user_enable(&named("root"), true).unwrap();
    bench.service.user_remove(&named("admin")).unwrap();
}

#[test]
fn keys_are_listed_without_secrets_and_end_when_removed_or_disabled() {
    let (bench, _) = founded();
    make(&bench, "bob");
    let (key, secret) = bench.service.key_create(&named("bob"), &named("bob")).unwrap();
    assert_eq!(bench.service.keys_of(&named("bob")).unwrap(), std::slice::from_ref(&key));
    let (again, identity) = bench.service.key_secret(&key.id).unwrap();
    assert_eq!((again.expose(), identity.role), (secret.expose(), Role::Admin));
    bench.service.user_enable(&named("bob"), false).unwrap();
    assert_eq!(kind(bench.service.key_secret(&key.id)), ErrorKind::Unauthenticated);
    bench.service.user_enable(&named("bob"), true).unwrap();
    bench.service.account_enable(&named("bob"), false).unwrap();
    assert_eq!(kind(bench.service.key_secret(&key.id)), ErrorKind::Unauthenticated);
    bench.service.account_enable(&named("bob"), true).unwrap();
    bench.service.key_secret(&key.id).unwrap();
    bench.service.key_remove(&key.id).unwrap();
    assert_eq!(kind(bench.service.key_secret(&key.id)), ErrorKind::Unauthenticated);
    assert_eq!(kind(bench.service.key_remove(&key.id)), ErrorKind::NotFound);
}

#[test]
fn a_user_has_so_many_keys_and_no_more() {
    let (bench, _) = founded();
    for _ in 1..keys::KEYS_MAX {
        bench.service.key_create(&named("admin"), &named("admin")).unwrap();
    }
    let one_more = bench.service.key_create(&named("admin"), &named("admin"));
    assert_eq!(kind(one_more), ErrorKind::Invalid);
}

#[test]
fn another_secret_key_is_told_apart_from_a_wrong_one() {
    let (mut bench, first) = founded();
    let path = bench.dir.path().join("data/secret.key");
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bench.reopen();
    let error = bench.service.key_secret(&first.access_key).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.message().contains("secret.key"), "{error}");
    let found = bench.service.check().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, crate::FindingKind::SecretKey);
    assert_eq!(found[0].resource, format!("key:{}", first.access_key));
    // Passwords do not depend on it.
    bench.service.login_password(&named("admin"), &first.password, None).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(bench.service.check().unwrap()[0].what, "there is no secret.key");
    assert!(!path.exists(), "a check makes nothing");
    std::fs::write(&path, &kept[1..]).unwrap();
    bench.reopen();
    assert_eq!(kind(bench.service.key_secret(&first.access_key)), ErrorKind::Damaged);
    std::fs::write(&path, kept).unwrap();
    bench.reopen();
    bench.service.key_secret(&first.access_key).unwrap();
}

#[test]
fn groups_have_the_members_that_were_set_last() {
    let (bench, _) = founded();
    make(&bench, "bob");
    make(&bench, "eve");
    let lab = "lab".parse().unwrap();
    let names = |list: &[&str]| list.iter().map(|n| n.parse().unwrap()).collect::<Vec<_>>();
    let set = |list: &[&str]| bench.service.group_set(&named("admin"), &lab, &names(list));
    set(&["bob", "eve", "bob"]).unwrap();
    assert_eq!(bench.service.groups(&named("admin")).unwrap()[0].members, names(&["bob", "eve"]));
    assert_eq!(kind(set(&["bob", "nobody"])), ErrorKind::NotFound);
    set(&["eve"]).unwrap();
    let groups = bench.service.groups(&named("admin")).unwrap();
    assert_eq!((groups.len(), &groups[0].members), (1, &names(&["eve"])));
    bench.service.user_remove(&named("eve")).unwrap();
    assert_eq!(bench.service.groups(&named("admin")).unwrap()[0].members, []);
    assert_eq!(bench.service.groups(&named("bob")).unwrap(), []);
    bench.service.group_remove(&named("admin"), &lab).unwrap();
    assert_eq!(kind(bench.service.group_remove(&named("admin"), &lab)), ErrorKind::NotFound);
}

#[test]
fn an_account_goes_with_what_identity_has_of_it_and_its_users_stay() {
    let (bench, _) = founded();
    make(&bench, "bob");
    bench.service.key_create(&named("bob"), &named("bob")).unwrap();
    bench
        .service
        .group_set(&named("bob"), &"all".parse().unwrap(), &["bob".parse().unwrap()])
        .unwrap();
    bench.service.account_set_quota(&named("bob"), Some(1 << 30)).unwrap();
    assert_eq!(bench.service.account(&named("bob")).unwrap().quota_bytes, Some(1 << 30));
    bench.service.account_remove(&named("bob")).unwrap();
    assert_eq!(kind(bench.service.account(&named("bob"))), ErrorKind::NotFound);
    assert!(bench.service.members_of_user(&named("bob")).unwrap().is_empty());
    assert_eq!(bench.service.check().unwrap(), []);
}

#[test]
fn an_account_that_owns_something_stays_with_all_that_it_has() {
    let (bench, _) = founded();
    let bob = make(&bench, "bob");
    let (key, _) = bench.service.key_create(&named("bob"), &named("bob")).unwrap();
    // As the table of containers will.
    let tamper = |sql: &str| crate::testing::tamper(&bench.dir.path().join("data"), sql);
    tamper("CREATE TABLE owned (account_id BIGINT NOT NULL REFERENCES account (id))");
    tamper(&format!("INSERT INTO owned VALUES ({})", bob.account.id));
    assert_eq!(kind(bench.service.account_remove(&named("bob"))), ErrorKind::InUse);
    bench.service.key_secret(&key.id).unwrap();
    tamper("DELETE FROM owned");
    bench.service.account_remove(&named("bob")).unwrap();
}

#[test]
fn users_keys_and_groups_survive_the_loss_of_the_catalog_and_tokens_do_not() {
    let (mut bench, first) = founded();
    make(&bench, "bob");
    bench
        .service
        .group_set(&named("bob"), &"all".parse().unwrap(), &["admin".parse().unwrap()])
        .unwrap();
    let name = "ci".parse().unwrap();
    let (credential, secret) = bench
        .service
        .application_credential_create(&named("bob"), &named("bob"), &name, None, None)
        .unwrap();
    let login = bench.service.login_password(&named("admin"), &first.password, None).unwrap();
    bench.service.core.back_up().unwrap();
    bench.service.close().unwrap();
    let data = bench.dir.path().join("data");
    crate::testing::lose_catalog(&data);
    Service::rebuild(&data, &archipelago_env::Env::real(), false).unwrap();
    bench.service = crate::testing::open(&data).unwrap();
    let service = &bench.service;
    assert!(service.found_admin().unwrap().is_none());
    service.key_secret(&first.access_key).unwrap();
    let uuid = Named::uuid(credential.uuid);
    service.login_application_credential(&uuid, None, &secret).unwrap();
    assert_eq!(service.groups(&named("bob")).unwrap()[0].members.len(), 1);
    assert_eq!(kind(service.authenticate(&login.token)), ErrorKind::Unauthenticated);
    assert_eq!(service.check().unwrap(), []);
}
