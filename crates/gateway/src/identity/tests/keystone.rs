//! Keystone.

use serde_json::{Value, json};

use super::super::views;
use super::{PASSWORD, Site, as_header, header, refused};

const TOKENS: &str = "/identity/v3/auth/tokens";

#[test]
fn versions_are_found_without_a_login() {
    let site = Site::start();
    let versions: Value = site.get("/identity", "").json(300);
    assert_eq!(versions["versions"]["values"][0]["id"], "v3.14");
    let version: Value = site.get("/identity/v3/", "").json(200);
    let link = version["version"]["links"][0]["href"].as_str().unwrap();
    assert_eq!(link, "http://localhost/identity/v3/");
    let head = "X-Forwarded-Proto: https\r\n";
    let version: Value = site.get("/identity/v3", head).json(200);
    assert_eq!(version["version"]["links"][0]["href"], "https://localhost/identity/v3/");
}

#[test]
fn a_password_gives_a_token_with_the_services_of_the_account() {
    let site = Site::start();
    let answer = site.log_in("bob", PASSWORD, None);
    let body: Value = answer.json(201);
    let token = &body["token"];
    assert_eq!(token["user"]["id"], site.bob);
    assert_eq!(token["project"]["name"], "bob");
    assert_eq!(token["roles"][0]["name"], "admin");
    assert_eq!(token["methods"], json!(["password"]));
    let store = &token["catalog"][1];
    assert_eq!(store["type"], "object-store");
    let url = format!("http://localhost/object/v1/AUTH_{}", site.project);
    assert_eq!(store["endpoints"][0]["url"], url);
    let ends = token["expires_at"].as_str().unwrap();
    assert!(ends.len() == 27 && ends.ends_with('Z'), "{ends}");

    let me = as_header(&answer);
    let subject = format!("{me}X-Subject-Token: {}\r\n", header(&answer, "x-subject-token"));
    let shown: Value = site.get(TOKENS, &subject).json(200);
    assert_eq!(shown["token"]["expires_at"], token["expires_at"]);
    assert_eq!(site.server.raw("HEAD", TOKENS, &subject, b"").status, 200);
    let short: Value = site.get(&format!("{TOKENS}?nocatalog"), &subject).json(200);
    assert!(short["token"].get("catalog").is_none());
    assert_eq!(site.server.raw("DELETE", TOKENS, &subject, b"").status, 204);
    refused(&site.get(TOKENS, &subject), 401);
}

#[test]
fn every_failed_login_gets_the_same_401() {
    let site = Site::start();
    let scope =
        |name: &str| Some(json!({"project": {"name": name, "domain": {"name": "Default"}}}));
    let foreign = json!({"project": {"name": "bob", "domain": {"name": "Elsewhere"}}});
    let failures = [
        site.log_in("bob", "wrong", None),
        site.log_in("nobody", PASSWORD, None),
        site.log_in("bob", PASSWORD, scope("admin")),
        site.log_in("bob", PASSWORD, scope("nowhere")),
        site.log_in("bob", PASSWORD, Some(foreign)),
        site.get("/identity/v3/users", ""),
        site.get("/identity/v3/users", "X-Auth-Token: nonsense\r\n"),
    ];
    let messages: Vec<String> = failures.iter().map(|answer| refused(answer, 401)).collect();
    assert!(messages.iter().all(|message| *message == messages[0]), "{messages:?}");
    assert!(failures[0].head.contains("www-authenticate: keystone"));
}

#[test]
fn a_malformed_login_is_told_what_it_lacks() {
    let site = Site::start();
    let auth = |identity: Value| site.post(TOKENS, "", &json!({"auth": {"identity": identity}}));
    refused(&auth(json!({"methods": ["password"]})), 400);
    refused(&auth(json!({"methods": ["totp"]})), 400);
    refused(&auth(json!({"methods": ["password"], "password": {"user": {"password": "x"}}})), 400);
    refused(&site.post(TOKENS, "", &json!({})), 400);
    refused(&site.server.raw("POST", TOKENS, "Content-Type: text/plain\r\n", b"{}"), 400);
    refused(&site.log_in("bob", PASSWORD, Some(json!({"system": {"all": true}}))), 400);
}

#[test]
fn guessing_is_answered_with_429() {
    let site = Site::start();
    for _ in 0..5 {
        refused(&site.log_in("bob", "wrong", None), 401);
    }
    refused(&site.log_in("bob", PASSWORD, None), 429);
}

#[test]
fn a_token_gives_one_for_another_account() {
    let site = Site::start();
    let first = site.log_in("bob", PASSWORD, None);
    let auth = json!({"auth": {
        "identity": {"methods": ["token"], "token": {"id": header(&first, "x-subject-token")}},
        "scope": {"project": {"name": "lab", "domain": {"id": "default"}}},
    }});
    let second: Value = site.post(TOKENS, "", &auth).json(201);
    assert_eq!(second["token"]["project"]["name"], "lab");
    assert_eq!(second["token"]["roles"], json!([{"id": "reader", "name": "reader"}]));
    assert_eq!(second["token"]["methods"], json!(["token"]));
}

#[test]
fn users_see_themselves_and_administrators_see_all() {
    let site = Site::start();
    let (bob, admin) = (site.bob(), site.admin());
    let names = |path: &str, head: &str, noun: &str| {
        let body: Value = site.get(path, head).json(200);
        let rows = body[noun].as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("/identity/v3/users", &bob, "users"), ["bob"]);
    assert_eq!(names("/identity/v3/users", &admin, "users"), ["admin", "bob"]);
    assert_eq!(names("/identity/v3/users?name=bob", &admin, "users"), ["bob"]);
    assert_eq!(names("/identity/v3/projects", &bob, "projects"), ["bob", "lab"]);
    assert_eq!(names("/identity/v3/auth/projects", &bob, "projects"), ["bob", "lab"]);
    assert_eq!(names("/identity/v3/projects?name=admin", &bob, "projects"), [""; 0]);
    assert_eq!(names("/identity/v3/projects", &admin, "projects"), ["admin", "bob", "lab"]);
    let own = format!("/identity/v3/users/{}/projects", site.bob);
    assert_eq!(names(&own, &bob, "projects"), ["bob", "lab"]);

    let other = site.get(&format!("/identity/v3/users/{}", site.bob), &admin);
    assert_eq!(other.json::<Value>(200)["user"]["name"], "bob");
    // Clients try a name as an id first.
    for path in ["users/admin", "users/bob", "projects/bob", "nothing/of/this"] {
        refused(&site.get(&format!("/identity/v3/{path}"), &bob), 404);
    }
    let project: Value =
        site.get(&format!("/identity/v3/projects/{}", site.project), &bob).json(200);
    assert_eq!(project["project"]["id"], site.project);

    let roles: Value = site.get("/identity/v3/role_assignments?include_names=true", &bob).json(200);
    assert_eq!(roles["role_assignments"].as_array().unwrap().len(), 2);
    assert_eq!(roles["role_assignments"][0]["scope"]["project"]["name"], "bob");
    let roles: Value = site.get("/identity/v3/role_assignments", &admin).json(200);
    assert_eq!(roles["role_assignments"].as_array().unwrap().len(), 3);
    assert_eq!(names("/identity/v3/domains", &bob, "domains"), ["Default"]);
    assert_eq!(names("/identity/v3/roles?name=reader", &bob, "roles"), ["reader"]);
    assert_eq!(site.get("/identity/v3/domains/default", &bob).status, 200);
    refused(&site.get("/identity/v3/roles/king", &bob), 404);
    let catalog: Value = site.get("/identity/v3/auth/catalog", &bob).json(200);
    assert_eq!(catalog["catalog"][0]["type"], "identity");
}

#[test]
fn an_application_credential_logs_in_and_makes_no_others() {
    let site = Site::start();
    let bob = site.bob();
    let path = format!("/identity/v3/users/{}/application_credentials", site.bob);
    let wish = |more: Value| {
        let mut wish = json!({"name": "ci"});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"application_credential": wish})
    };
    for more in [
        json!({"unrestricted": true}),
        json!({"roles": [{"name": "reader"}]}),
        json!({"access_rules": [{"path": "/x"}]}),
        json!({"expires_at": "tomorrow"}),
    ] {
        refused(&site.post(&path, &bob, &wish(more)), 400);
    }
    let more = json!({"roles": [{"name": "admin"}], "expires_at": "2999-01-01T00:00:00"});
    let made: Value = site.post(&path, &bob, &wish(more)).json(201);
    let one = &made["application_credential"];
    assert_eq!(one["expires_at"], "2999-01-01T00:00:00.000000Z");
    refused(&site.post(&path, &bob, &wish(json!({}))), 409);

    let auth = json!({"auth": {"identity": {
        "methods": ["application_credential"],
        "application_credential": {"id": one["id"], "secret": one["secret"]},
    }}});
    let answer = site.post(TOKENS, "", &auth);
    assert_eq!(answer.json::<Value>(201)["token"]["methods"], json!(["application_credential"]));
    let program = as_header(&answer);
    let listed: Value = site.get(&path, &program).json(200);
    assert_eq!(listed["application_credentials"][0]["name"], "ci");
    assert!(listed["application_credentials"][0].get("secret").is_none());
    assert_eq!(listed["application_credentials"][0]["roles"][0]["name"], "admin");
    let other = json!({"application_credential": {"name": "other"}});
    refused(&site.post(&path, &program, &other), 403);
    let keys = format!("/identity/v3/users/{}/credentials/OS-EC2", site.bob);
    refused(&site.post(&keys, &program, &json!({})), 403);

    let this = format!("{path}/{}", one["id"].as_str().unwrap());
    assert_eq!(site.get(&this, &bob).status, 200);
    assert_eq!(site.server.raw("DELETE", &this, &bob, b"").status, 204);
    refused(&site.get(&this, &bob), 404);
    refused(&site.get(&path, &program), 401);
    let foreign = format!("/identity/v3/users/{}/application_credentials", "0".repeat(32));
    refused(&site.get(&foreign, &bob), 403);
}

#[test]
fn s3_keys_are_made_listed_without_secrets_and_removed() {
    let site = Site::start();
    let bob = site.bob();
    let path = format!("/identity/v3/users/{}/credentials/OS-EC2", site.bob);
    let made: Value = site.post(&path, &bob, &json!({"tenant_id": site.project})).json(201);
    let access = made["credential"]["access"].as_str().unwrap();
    let (secret, identity) = site.server.app.service.key_secret(access).unwrap();
    assert_eq!(made["credential"]["secret"], secret.expose());
    assert_eq!(identity.account.name.as_str(), "bob");
    let listed: Value = site.get(&path, &bob).json(200);
    assert_eq!(listed["credentials"][0]["access"], access);
    assert!(listed["credentials"][0]["secret"].is_null());
    let this = format!("{path}/{access}");
    assert_eq!(site.server.raw("DELETE", &this, &bob, b"").status, 204);
    refused(&site.get(&this, &bob), 404);
}

#[test]
fn a_page_of_another_site_does_not_get_in() {
    let site = Site::start();
    let answer = site.post(TOKENS, "Origin: http://evil.example\r\n", &json!({}));
    assert_eq!(answer.status, 403);
    let head = "X-Auth-User: bob\r\nX-Auth-Key: x\r\nSec-Fetch-Site: cross-site\r\n";
    assert_eq!(site.get("/auth/v1.0", head).status, 403);
    assert_eq!(site.get("/identity", "Host: evil.example\r\n").status, 403);
}

#[test]
fn times_are_read_as_they_are_written() {
    assert_eq!(views::time(1_764_259_200_123), "2025-11-27T16:00:00.123000Z");
    assert_eq!(views::parse_time("2025-11-27T16:00:00.123000Z"), Some(1_764_259_200_123));
    assert_eq!(views::parse_time("2025-11-27T16:00:00"), Some(1_764_259_200_000));
    assert_eq!(views::parse_time("soon"), None);
    assert!(views::time(u64::MAX).starts_with("9999-"));
}
