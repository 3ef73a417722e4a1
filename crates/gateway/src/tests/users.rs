//! Users, accounts and keys over the native API.

use archipelago_api::{Account, ErrorKind, Key, Keys, User, Users, path};

use archipelago_pool::Named;

use super::harness::Harness;

#[test]
fn a_user_lives_through_all_its_verbs() {
    let server = Harness::start();
    server.app.service.found_admin().unwrap();
    let bob: User =
        server.post(path::USERS, r#"{"name":"bob","password":"correct horse"}"#).json(200);
    assert_eq!((bob.accounts[0].account.as_str(), bob.accounts[0].role.as_str()), ("bob", "admin"));
    server
        .post(path::USERS, r#"{"name":"bob","password":"correct horse"}"#)
        .error(409, ErrorKind::AlreadyExists);
    server.post(path::USERS, r#"{"name":"eve","password":"short"}"#).error(400, ErrorKind::Invalid);
    server
        .post(path::USERS, r#"{"name":"a b","password":"correct horse"}"#)
        .error(400, ErrorKind::Invalid);
    let role = r#"{"name":"eve","password":"correct horse","role":"king"}"#;
    server.post(path::USERS, role).error(400, ErrorKind::Invalid);

    let lab: Account = server.post(path::ACCOUNTS, r#"{"name":"lab","quota_bytes":7}"#).json(200);
    assert_eq!(lab.quota_bytes, Some(7));
    let quota = server.post(&path::account_quota("lab"), r#"{"quota_bytes":null}"#);
    assert_eq!(quota.json::<Account>(200).quota_bytes, None);
    server.app.service.account_set_quota(&Named::name("lab"), Some(7)).unwrap();
    let lab: Account = server.get(&path::account("lab")).json(200);
    assert_eq!((lab.used_bytes, lab.quota_bytes), (0, Some(7)));
    let joined: User =
        server.post(&path::members("lab"), r#"{"user":"bob","role":"reader"}"#).json(200);
    assert_eq!(joined.accounts.len(), 2);

    let key: Key = server.post(&path::user_keys("bob"), r#"{"account":"lab"}"#).json(200);
    assert!(key.secret.is_some());
    let keys: Keys = server.get(&path::user_keys("bob")).json(200);
    assert_eq!((keys.keys[0].id.as_str(), &keys.keys[0].secret), (key.id.as_str(), &None));
    assert_eq!(server.delete(&path::key(&key.id)).status, 204);
    server.delete(&path::key(&key.id)).error(404, ErrorKind::NotFound);

    assert_eq!(server.delete(&path::member("lab", "bob")).status, 204);
    let off: User = server.post(&path::user_enabled("bob"), r#"{"enabled":false}"#).json(200);
    assert!(!off.enabled);
    let new = server.post(&path::user_password("bob"), r#"{"password":"battery staple"}"#);
    assert_eq!(new.json::<User>(200).accounts.len(), 1);
    assert_eq!(server.delete(&path::user("bob")).status, 204);
    server.get(&path::user("bob")).error(404, ErrorKind::NotFound);
    server.delete(&path::user("admin")).error(409, ErrorKind::InUse);
    assert_eq!(server.delete(&path::account("bob")).status, 204);
    assert_eq!(server.get(path::USERS).json::<Users>(200).users.len(), 1);
}
