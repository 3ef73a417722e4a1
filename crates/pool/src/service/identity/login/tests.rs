//! Facts about logins and tokens.

use std::sync::Arc;

use super::super::tests::{PASSWORD, founded, make, named};
use super::*;
use crate::identity::Role;
use crate::testing::{Bench, Hands, config};

fn password() -> Secret {
    Secret::new(PASSWORD)
}

#[track_caller]
fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// A store whose time a test moves, with user `bob`.
fn timed() -> (Bench, Arc<Hands>) {
    let (mut bench, _) = founded();
    bench.service.close().unwrap();
    let hands = Arc::new(Hands::default());
    let data = bench.dir.path().join("data");
    bench.service = Service::open(&data, hands.env(), config()).unwrap();
    make(&bench, "bob");
    (bench, hands)
}

#[test]
fn a_token_stands_for_its_user_until_it_is_revoked_also_after_a_crash() {
    let (mut bench, _) = founded();
    let bob = make(&bench, "bob");
    let login = bench.service.login_password(&named("bob"), &password(), None).unwrap();
    let by_uuid = Named::uuid(bob.user.uuid);
    bench.service.login_password(&by_uuid, &password(), Some(&named("bob"))).unwrap();
    bench.crash();
    let identity = bench.service.authenticate(&login.token).unwrap();
    assert_eq!((&identity.user, &identity.account), (&bob.user, &bob.account));
    assert_eq!((identity.role, identity.is_admin()), (Role::Admin, false));
    bench.service.revoke(&login.token).unwrap();
    assert_eq!(kind(bench.service.authenticate(&login.token)), ErrorKind::Unauthenticated);
    assert_eq!(kind(bench.service.revoke(&login.token)), ErrorKind::NotFound);
}

#[test]
fn every_failure_says_the_same() {
    let (bench, _) = founded();
    make(&bench, "bob");
    make(&bench, "eve");
    make(&bench, "off");
    bench.service.user_enable(&named("off"), false).unwrap();
    let login = |user: &str, password: &str, account: Option<&str>| {
        let account = account.map(named);
        let password = Secret::new(password);
        bench.service.login_password(&named(user), &password, account.as_ref()).unwrap_err()
    };
    let failures = [
        login("bob", "wrong", None),
        login("nobody", PASSWORD, None),
        login("", "", None),
        login("bob", &"x".repeat(5000), None),
        login("off", PASSWORD, None),
        login("bob", PASSWORD, Some("eve")),
        login("bob", PASSWORD, Some("nowhere")),
        bench.service.authenticate(&Secret::new("")).unwrap_err(),
        bench.service.authenticate(&Secret::new("x".repeat(5000))).unwrap_err(),
        bench.service.key_secret("ARNONE").unwrap_err(),
    ];
    for failure in &failures {
        assert_eq!(failure.kind(), ErrorKind::Unauthenticated);
        assert_eq!(failure.message(), failures[0].message());
    }
}

#[test]
fn an_administrator_may_come_into_every_account() {
    let (bench, first) = founded();
    make(&bench, "bob");
    let into = named("bob");
    let login =
        bench.service.login_password(&named("admin"), &first.password, Some(&into)).unwrap();
    assert_eq!(login.session.identity.account.name.as_str(), "bob");
    assert_eq!(login.session.identity.role, Role::Admin);
}

#[test]
fn guessing_is_refused_for_a_while_whoever_exists() {
    let (bench, hands) = timed();
    for name in ["bob", "nobody"] {
        let user = named(name);
        for _ in 0..5 {
            let wrong = bench.service.login_password(&user, &Secret::new("wrong"), None);
            assert_eq!(kind(wrong), ErrorKind::Unauthenticated);
        }
        let right = bench.service.login_password(&user, &password(), None).unwrap_err();
        assert_eq!(right.kind(), ErrorKind::Throttled);
        assert!(right.message().ends_with("try again in 1 s"), "{right}");
    }
    hands.forward(1000);
    bench.service.login_password(&named("bob"), &password(), None).unwrap();
}

#[test]
fn a_new_password_ends_the_tokens_and_the_old_password() {
    let (bench, _) = founded();
    make(&bench, "bob");
    let login = bench.service.login_password(&named("bob"), &password(), None).unwrap();
    let new = Secret::new("battery staple");
    bench.service.user_set_password(&named("bob"), &new).unwrap();
    assert_eq!(kind(bench.service.authenticate(&login.token)), ErrorKind::Unauthenticated);
    let old = bench.service.login_password(&named("bob"), &password(), None);
    assert_eq!(kind(old), ErrorKind::Unauthenticated);
    bench.service.login_password(&named("bob"), &new, None).unwrap();
    let short = bench.service.user_set_password(&named("bob"), &Secret::new("short"));
    assert_eq!(kind(short), ErrorKind::Invalid);
}

#[test]
fn tokens_expire_and_leave_the_catalog() {
    let (bench, hands) = timed();
    let log_in = || bench.service.login_password(&named("bob"), &password(), None).unwrap();
    let first = log_in();
    assert_eq!(first.session.expires_ms - first.session.created_ms, TOKEN_MS);
    hands.forward(TOKEN_MS - 1);
    bench.service.authenticate(&first.token).unwrap();
    hands.forward(1);
    assert_eq!(kind(bench.service.authenticate(&first.token)), ErrorKind::Unauthenticated);
    log_in();
    assert_eq!(kind(bench.service.revoke(&first.token)), ErrorKind::NotFound);
}

#[test]
fn a_token_gives_another_that_lives_no_longer() {
    let (bench, hands) = timed();
    bench.service.account_create(&"lab".parse().unwrap(), None).unwrap();
    let first = bench.service.login_password(&named("bob"), &password(), None).unwrap();
    let into = |account: &str| bench.service.login_token(&first.token, Some(&named(account)));
    assert_eq!(kind(into("lab")), ErrorKind::Unauthenticated);
    bench.service.member_set(&named("bob"), &named("lab"), Role::Reader).unwrap();
    hands.forward(1000);
    let second = into("lab").unwrap();
    assert_eq!(second.session.expires_ms, first.session.expires_ms);
    assert_eq!(second.session.identity.role, Role::Reader);
    assert_eq!(kind(into("nowhere")), ErrorKind::Unauthenticated);
}

#[test]
fn an_application_credential_is_for_one_account_and_ends_with_its_tokens() {
    let (bench, hands) = timed();
    bench.service.account_create(&"lab".parse().unwrap(), None).unwrap();
    bench.service.member_set(&named("bob"), &named("lab"), Role::Member).unwrap();
    let (bob, lab) = (named("bob"), named("lab"));
    let create = |name: &str, expires_ms| {
        let name = name.parse().unwrap();
        bench.service.application_credential_create(&bob, &lab, &name, None, expires_ms)
    };
    let (ci, secret) = create("ci", None).unwrap();
    assert_eq!(kind(create("ci", None)), ErrorKind::AlreadyExists);
    let log_in = |named: &Named, user: Option<&Named>| {
        bench.service.login_application_credential(named, user, &secret)
    };
    let login = log_in(&Named::uuid(ci.uuid), None).unwrap();
    assert!(login.session.credential == Some(ci.uuid));
    assert_eq!(login.session.identity.account.name.as_str(), "lab");
    log_in(&named("ci"), Some(&bob)).unwrap();
    assert_eq!(kind(log_in(&named("ci"), None)), ErrorKind::Unauthenticated);
    let elsewhere = bench.service.login_token(&login.token, Some(&bob));
    assert_eq!(kind(elsewhere), ErrorKind::Unauthenticated);
    bench.service.login_token(&login.token, None).unwrap();
    let uuid = hex::encode(ci.uuid);
    let other = bench.service.application_credential_remove(&named("admin"), &uuid);
    assert_eq!(kind(other), ErrorKind::NotFound);
    bench.service.application_credential_remove(&bob, &uuid).unwrap();
    assert_eq!(kind(bench.service.authenticate(&login.token)), ErrorKind::Unauthenticated);
    let end = bench.service.now_ms() + 5000;
    let (short, secret) = create("short", Some(end)).unwrap();
    let short = Named::uuid(short.uuid);
    let login = bench.service.login_application_credential(&short, None, &secret).unwrap();
    assert_eq!(login.session.expires_ms, end);
    hands.forward(5000);
    let late = bench.service.login_application_credential(&short, None, &secret);
    assert_eq!(kind(late), ErrorKind::Unauthenticated);
}

#[test]
fn logins_are_no_reason_for_a_backup() {
    let (bench, first) = founded();
    let before = bench.service.core.catalog.changes();
    let login = bench.service.login_password(&named("admin"), &first.password, None).unwrap();
    bench.service.revoke(&login.token).unwrap();
    assert_eq!(bench.service.core.catalog.changes(), before);
}
