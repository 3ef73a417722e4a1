//! Facts about the doors where programs of others log in.

mod keystone;
mod swift;

use archipelago_pool::{FirstAdmin, Named, NewUser, Role, Secret};
use serde_json::{Value, json};

use crate::tests::harness::{Answer, Harness};

pub(super) const PASSWORD: &str = "correct horse";

/// A server with its first administrator, and `bob` who has an account of his own.
pub(super) struct Site {
    pub(super) server: Harness,
    pub(super) first: FirstAdmin,
    pub(super) bob: String,
    pub(super) project: String,
}

impl Site {
    pub(super) fn start() -> Self {
        let server = Harness::start();
        let service = &server.app.service;
        let first = service.found_admin().unwrap().unwrap();
        let made = service
            .user_create(&NewUser {
                name: "bob".parse().unwrap(),
                password: Secret::new(PASSWORD),
                is_admin: false,
                account: None,
            })
            .unwrap();
        let (bob, project) = (hex::encode(made.user.uuid), hex::encode(made.account.uuid));
        service.account_create(&"lab".parse().unwrap(), None).unwrap();
        service.member_set(&Named::name("bob"), &Named::name("lab"), Role::Reader).unwrap();
        Self { server, first, bob, project }
    }

    pub(super) fn post(&self, path: &str, head: &str, body: &Value) -> Answer {
        let head = format!("Content-Type: application/json\r\n{head}");
        self.server.raw("POST", path, &head, body.to_string().as_bytes())
    }

    /// Logs in by password.
    pub(super) fn log_in(&self, user: &str, password: &str, scope: Option<Value>) -> Answer {
        let user = json!({"name": user, "domain": {"id": "default"}, "password": password});
        let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": user}}});
        if let Some(scope) = scope {
            auth["scope"] = scope;
        }
        self.post("/identity/v3/auth/tokens", "", &json!({"auth": auth}))
    }

    /// Bob's token as a header line.
    pub(super) fn bob(&self) -> String {
        as_header(&self.log_in("bob", PASSWORD, None))
    }

    pub(super) fn admin(&self) -> String {
        as_header(&self.log_in("admin", self.first.password.expose(), None))
    }

    pub(super) fn get(&self, path: &str, head: &str) -> Answer {
        self.server.raw("GET", path, head, b"")
    }
}

/// The token that an answer gave, as the header of the next request.
pub(super) fn as_header(answer: &Answer) -> String {
    format!("X-Auth-Token: {}\r\n", header(answer, "x-subject-token"))
}

#[track_caller]
pub(super) fn header(answer: &Answer, name: &str) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name}: {}", answer.head)).to_owned()
}

#[track_caller]
pub(super) fn refused(answer: &Answer, status: u16) -> String {
    let body: Value = answer.json(status);
    assert_eq!(body["error"]["code"], status);
    assert!(body["error"]["title"].is_string());
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_login_that_is_long_is_not_read() {
    let server = crate::tests::harness::Harness::start();
    let long = format!("{{\"auth\": {{\"x\": \"{}\"}}}}", "y".repeat(super::BODY_BYTES_MAX));
    let head = "Content-Type: application/json\r\n";
    for path in ["/identity/v3/auth/tokens", "/identity/v2.0/tokens"] {
        assert_eq!(server.raw("POST", path, head, long.as_bytes()).status, 413, "{path}");
    }
}
