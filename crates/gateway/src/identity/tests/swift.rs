//! Swift v1, and the call of Keystone v2.

use serde_json::{Value, json};

use super::{PASSWORD, Site, header, refused};

#[test]
fn swift_gives_a_token_and_the_address_of_the_account() {
    let site = Site::start();
    for user in ["X-Auth-User: bob:bob", "X-Auth-User: bob", "X-Storage-User: bob:bob"] {
        let answer = site.get("/auth/v1.0", &format!("{user}\r\nX-Auth-Key: {PASSWORD}\r\n"));
        assert_eq!(answer.status, 200);
        let url = format!("http://localhost/v1/auth_{}", site.project);
        assert_eq!(header(&answer, "x-storage-url"), url);
        assert_eq!(header(&answer, "x-auth-token-expires"), "43200");
        let token = header(&answer, "x-auth-token");
        assert_eq!(header(&answer, "x-storage-token"), token);
        let users = site.get("/identity/v3/users", &format!("X-Auth-Token: {token}\r\n"));
        assert_eq!(users.status, 200);
    }
    for head in
        ["", "X-Auth-User: bob:bob\r\n", "X-Auth-User: admin:bob\r\nX-Auth-Key: correct horse\r\n"]
    {
        assert_eq!(site.get("/auth/v1.0", head).status, 401, "{head}");
    }
}

#[test]
fn kamaki_logs_in_with_a_token_or_a_password() {
    let site = Site::start();
    let path = "/identity/v2.0/tokens";
    let login = json!({"auth": {"passwordCredentials": {"username": "bob", "password": PASSWORD}}});
    let access: Value = site.post(path, "", &login).json(200);
    let token = access["access"]["token"]["id"].as_str().unwrap();
    assert_eq!(access["access"]["user"]["id"], site.bob);
    assert_eq!(access["access"]["token"]["tenant"]["id"], site.project);
    assert_eq!(access["access"]["serviceCatalog"][1]["endpoints"][0]["versionId"], "v1");
    let again: Value = site.post(path, "", &json!({"auth": {"token": {"id": token}}})).json(200);
    assert_eq!(again["access"]["token"]["id"], token);
    let lab = json!({"auth": {"token": {"id": token}, "tenantName": "lab"}});
    let lab: Value = site.post(path, "", &lab).json(200);
    assert_eq!(lab["access"]["token"]["tenant"]["name"], "lab");
    refused(&site.post(path, "", &json!({"auth": {"token": {"id": "x"}}})), 401);
    refused(&site.post(path, "", &json!({"auth": {}})), 400);
}
