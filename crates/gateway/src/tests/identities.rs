//! Who asks: what a proxy hands on, what comes late, and what a program may not do.

use std::io::{Read, Write};
use std::net::TcpStream;

use archipelago_api::{ErrorKind, Images, Ticket, User, Users, Volume, Volumes, path};
use archipelago_model::VolumeSize;
use archipelago_pool::{Named, NewUser, Origin, Role, Secret};

use super::harness::{Answer, Harness, full_stream};

const PASSWORD: &str = "correct horse";

/// A server with an administrator and bob.
fn server() -> Harness {
    let server = Harness::start();
    server.app.service.found_admin().unwrap();
    for (name, is_admin) in [("root", true), ("bob", false)] {
        let (name, password) = (name.parse().unwrap(), Secret::new(PASSWORD));
        let new = NewUser { name, password, is_admin, account: None };
        server.app.service.user_create(&new).unwrap();
    }
    server
}

fn header(token: &Secret) -> String {
    format!("X-Auth-Token: {}\r\n", token.expose())
}

fn token(server: &Harness, user: &str) -> String {
    let login = server.app.service.login_password(&Named::name(user), &Secret::new(PASSWORD), None);
    header(&login.unwrap().token)
}

/// A request of which the head was taken in, and nothing has come of the body.
fn begun(server: &Harness, method: &str, path: &str, head: &str, len: usize) -> TcpStream {
    let mut socket = server.connect();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\
         Expect: 100-continue\r\nContent-Length: {len}\r\n\r\n"
    )
    .unwrap();
    // Said once somebody reads the body: by then it was found who asks.
    let mut go_on = [0; 25];
    socket.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    socket
}

#[test]
fn who_is_put_out_while_a_body_comes_makes_nothing() {
    let server = server();
    let service = &server.app.service;
    let json = "Content-Type: application/json\r\n";
    let (bob, root) = (token(&server, "bob"), token(&server, "root"));
    let volumes = br#"{"names":["web"],"size":4096}"#;
    let shares = br#"{"resource":"volume:mine","with":[{"who":"root","rights":["read"]}]}"#;
    let users = br#"{"name":"eve","password":"correct horse","admin":true}"#;
    let image = full_stream(&[7; 4096]);
    let empty = Origin::Empty(VolumeSize::from_bytes(512).unwrap());
    service.volume_create(&["bob/mine".parse().unwrap()], &empty).unwrap();
    let all: [(&str, &str, &str, &[u8]); 4] = [
        (&bob, json, path::VOLUMES, volumes),
        (&bob, json, path::SHARES, shares),
        (&bob, "", "/v1/images/late?format=raw", &image),
        (&root, json, path::USERS, users),
    ];
    let begun: Vec<_> = all
        .iter()
        .map(|(who, kind, path, body)| {
            (begun(&server, "POST", path, &format!("{who}{kind}"), body.len()), body)
        })
        .collect();
    for name in ["bob", "root"] {
        service.user_enable(&Named::name(name), false).unwrap();
    }
    for (mut socket, body) in begun {
        socket.write_all(body).unwrap();
        Answer::read(&mut socket).error(401, ErrorKind::Unauthenticated);
    }
    let volumes: Volumes = server.get(path::VOLUMES).json(200);
    assert_eq!(volumes.volumes.len(), 1);
    assert!(server.get(path::IMAGES).json::<Images>(200).images.is_empty());
    assert!(server.get(path::USERS).json::<Users>(200).users.iter().all(|user| user.name != "eve"));
    assert!(service.all_grants(None, 10).unwrap().is_empty());
}

#[test]
fn who_has_another_role_when_a_body_has_come_is_asked_to_send_it_again() {
    let server = server();
    let head = format!("{}Content-Type: application/json\r\n", token(&server, "bob"));
    let body = br#"{"names":["web"],"size":4096}"#;
    let mut socket = begun(&server, "POST", path::VOLUMES, &head, body.len());
    let bob = Named::name("bob");
    server.app.service.member_set(&bob, &bob, Role::Reader).unwrap();
    socket.write_all(body).unwrap();
    Answer::read(&mut socket).error(503, ErrorKind::Unavailable);
}

#[test]
fn a_token_that_ends_while_a_credential_is_asked_for_gets_none() {
    let server = server();
    let head = format!("{}Content-Type: application/json\r\n", token(&server, "bob"));
    let bob = server.app.service.user(&Named::name("bob")).unwrap();
    let path = format!("/identity/v3/users/{}/application_credentials", hex::encode(bob.uuid));
    let body = br#"{"application_credential":{"name":"ci"}}"#;
    let mut socket = begun(&server, "POST", &path, &head, body.len());
    let service = &server.app.service;
    service.user_set_password(&Named::name("bob"), &Secret::new("battery staple")).unwrap();
    socket.write_all(body).unwrap();
    assert_eq!(Answer::read(&mut socket).status, 401);
    assert!(service.application_credentials(&Named::name("bob")).unwrap().is_empty());
}

#[test]
fn a_program_with_a_credential_changes_nobody_who_logs_in() {
    let server = server();
    let (service, root) = (&server.app.service, Named::name("root"));
    let ends_ms = service.now_ms() + 3_600_000;
    let name = "ci".parse().unwrap();
    let (credential, secret) =
        service.application_credential_create(&root, &root, &name, None, Some(ends_ms)).unwrap();
    let login =
        service.login_application_credential(&Named::uuid(credential.uuid), None, &secret).unwrap();
    let head = format!("{}Content-Type: application/json\r\n", header(&login.token));
    let ask =
        |method: &str, path: &str, body: &str| server.raw(method, path, &head, body.as_bytes());
    for (method, path, body) in [
        ("POST", path::USERS.to_owned(), r#"{"name":"eve","password":"correct horse"}"#),
        ("POST", path::user_password("bob"), r#"{"password":"battery staple"}"#),
        ("POST", path::user_enabled("bob"), r#"{"enabled":false}"#),
        ("POST", path::user_keys("bob"), "{}"),
        ("POST", path::members("bob"), r#"{"user":"root","role":"admin"}"#),
        ("DELETE", path::user("bob"), ""),
    ] {
        let said = ask(method, &path, body).error(403, ErrorKind::Forbidden);
        assert!(said.contains("application credential"), "{said}");
    }
    assert_eq!(ask("GET", &path::user("bob"), "").json::<User>(200).name, "bob");
    ask("POST", path::VOLUMES, r#"{"names":["web"],"size":4096}"#).json::<Volumes>(201);
    let ticket = r#"{"source":"volume:web","lifetime_ms":7200000}"#;
    assert_eq!(ask("POST", path::TICKETS, ticket).json::<Ticket>(201).expires_ms, ends_ms);
}

#[test]
fn what_a_proxy_hands_on_is_not_the_operators() {
    let server = server();
    server.get(path::VOLUMES).json::<Volumes>(200);
    for line in [
        "Via: 1.1 proxy",
        "X-Real-IP: 192.0.2.7",
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Server: store.example.org",
        "Forwarded: for=192.0.2.7",
        "Connection: X-Forwarded-For",
        "Connection: keep-alive, x-real-ip",
    ] {
        let answer = server.raw("GET", path::VOLUMES, &format!("{line}\r\n"), b"");
        assert_eq!(answer.status, 401, "{line}");
        // With a token everything is as ever.
        let head = format!("{line}\r\n{}", token(&server, "bob"));
        assert_eq!(server.raw("GET", path::VOLUMES, &head, b"").status, 200, "{line}");
        assert_eq!(server.raw("GET", path::HEALTH, &format!("{line}\r\n"), b"").status, 200);
    }
    let mut socket = server.connect();
    write!(socket, "GET {} HTTP/1.0\r\nHost: localhost\r\n\r\n", path::VOLUMES).unwrap();
    assert_eq!(Answer::read(&mut socket).status, 401);
}

#[test]
fn whom_a_volume_is_shared_with_is_not_told_what_its_owner_does_with_it() {
    let server = server();
    server.post(path::VOLUMES, r#"{"names":["web"],"size":4096}"#).json::<Volumes>(201);
    server.post(path::SNAPSHOTS, r#"{"members":["web@one"]}"#);
    let share = r#"{"resource":"volume:web","with":[{"who":"bob","rights":["read"]}]}"#;
    assert_eq!(server.post(path::SHARES, share).status, 200);
    let at = path::volume("admin/web");
    let seen: Volume = server.raw("GET", &at, &token(&server, "bob"), b"").json(200);
    assert_eq!((seen.attached, seen.epoch, seen.snapshots), (None, None, None));
    let own: Volume = server.get(&path::volume("web")).json(200);
    assert_eq!((own.attached, own.snapshots), (Some(0), Some(1)));
}
