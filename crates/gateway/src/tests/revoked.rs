//! Rights that end while a body comes.

use std::io::Write;
use std::time::Duration;

use archipelago_env::Env;
use archipelago_pool::{Named, Secret};

use super::harness::{Answer, Harness};
use super::signed::{self, Key, UNSIGNED};

/// Longer than what is taken for at once.
const LONG: Duration = Duration::from_millis(1100);

/// Eve, who has an account of her own, and what each door calls the object `o` in `box` there.
struct Site {
    server: Harness,
    key: Key,
    uuid: String,
}

impl Site {
    fn start() -> Self {
        let server = Harness::start();
        let key = signed::user(&server, "eve");
        let uuid = hex::encode(server.app.service.account(&Named::name("eve")).unwrap().uuid);
        let site = Self { server, key, uuid };
        let made = signed::send(&site.server, &site.key, "PUT", ("/box", ""), &[], b"");
        assert_eq!(made.status, 200, "{}", made.head);
        site
    }

    fn token(&self) -> String {
        let (eve, password) = (Named::name("eve"), Secret::new("correct horse"));
        let login = self.server.app.service.login_password(&eve, &password, None).unwrap();
        format!("X-Auth-Token: {}\r\n", login.token.expose())
    }

    /// Puts two bytes at one door; `between` happens when one of them has come.
    fn put(&self, door: &str, between: impl FnOnce()) -> Answer {
        let (path, head) = match door {
            "s3" => {
                let time = signed::now(&self.server);
                let said = [("x-amz-content-sha256", UNSIGNED), ("x-amz-date", &*time)];
                let lines = signed::sign(&self.key, &time, "PUT", ("/box/o", ""), &said);
                ("/box/o".to_owned(), lines)
            }
            "swift" => (format!("/object/v1/AUTH_{}/box/o", self.uuid), self.token()),
            _ => (format!("{}/{}/box/o", crate::pithos::PREFIX, self.uuid), self.token()),
        };
        let mut socket = self.server.connect();
        let first = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        write!(socket, "{first}{head}Content-Length: 2\r\n\r\nx").unwrap();
        Env::real().clock().sleep(LONG);
        between();
        socket.write_all(b"y").unwrap();
        Answer::read(&mut socket)
    }

    fn is_there(&self) -> bool {
        let service = &self.server.app.service;
        let account = service.account(&Named::name("eve")).unwrap().id;
        let home = service.container(account, &"box".parse().unwrap()).unwrap();
        home.objects > 0
    }
}

#[test]
fn who_is_disabled_while_a_body_comes_has_put_nothing_at_any_door() {
    let site = Site::start();
    let eve = Named::name("eve");
    for door in ["s3", "swift", "pithos"] {
        let disable = || site.server.app.service.user_enable(&eve, false).unwrap();
        let answer = site.put(door, disable);
        assert!(matches!(answer.status, 401 | 403), "{door}: {}", answer.head);
        assert!(!site.is_there(), "{door}");
        site.server.app.service.user_enable(&eve, true).unwrap();
    }
}

#[test]
fn a_body_that_takes_long_is_kept_where_nothing_ended() {
    let site = Site::start();
    for door in ["s3", "swift", "pithos"] {
        let answer = site.put(door, || {});
        assert!(matches!(answer.status, 200 | 201), "{door}: {}", answer.head);
        assert!(site.is_there(), "{door}");
    }
}

#[test]
fn a_key_that_is_removed_while_a_body_comes_has_put_nothing() {
    let site = Site::start();
    let remove = || site.server.app.service.key_remove(&site.key.id).unwrap();
    let answer = site.put("s3", remove);
    assert_eq!(answer.status, 403, "{}", answer.head);
    assert!(!site.is_there());
}
