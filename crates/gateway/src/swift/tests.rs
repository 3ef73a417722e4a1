//! Facts about the door of Swift.

mod access;
mod links;
mod manifests;
mod names;
mod objects;
mod parts;
mod quota;
mod stalls;

use archipelago_pool::{Named, NewUser, Role, Secret};

use crate::tests::harness::{Answer, Harness};

const PASSWORD: &str = "correct horse";

/// A server on which `ann` and `bob` have accounts of their own; `carl` reads Ann's and `dora`
/// writes there; `gina` is a guest of it.
pub(super) struct Site {
    pub(super) server: Harness,
    ann: String,
    bob: String,
}

impl Site {
    pub(super) fn start() -> Self {
        Self::on(Harness::start())
    }

    fn on(server: Harness) -> Self {
        let service = &server.app.service;
        let make = |name: &str, is_admin: bool, account: Option<(Named, Role)>| {
            let user = NewUser {
                name: name.parse().unwrap(),
                password: Secret::new(PASSWORD),
                is_admin,
                account,
            };
            hex::encode(service.user_create(&user).unwrap().account.uuid)
        };
        let ann = make("ann", false, None);
        let bob = make("bob", false, None);
        make("carl", false, Some((Named::name("ann"), Role::Reader)));
        make("dora", false, Some((Named::name("ann"), Role::Member)));
        make("gina", false, Some((Named::name("ann"), Role::Guest)));
        make("root", true, None);
        let (ann, bob) = (format!("/object/v1/AUTH_{ann}"), format!("/object/v1/AUTH_{bob}"));
        Self { server, ann, bob }
    }

    /// A line of a head with a token of this user.
    pub(super) fn token(&self, user: &str) -> String {
        let service = &self.server.app.service;
        let login =
            service.login_password(&Named::name(user), &Secret::new(PASSWORD), None).unwrap();
        format!("X-Auth-Token: {}\r\n", login.token.expose())
    }

    /// A request for something in Ann's account.
    pub(super) fn ask(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        self.server.raw(method, &format!("{}{path}", self.ann), head, body)
    }
}

/// A header of an answer, whose head is in lower case.
pub(super) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[track_caller]
pub(super) fn is(answer: &Answer, status: u16) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{}\n{text}", answer.head);
}
