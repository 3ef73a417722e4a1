//! Sharing: who else may do what, and the record of it.

use serde_json::{Value, json};

use crate::site::Site;

fn told(shares: &Value) -> Vec<Value> {
    let shares = shares["shares"].as_array().into_iter().flatten();
    shares.map(|one| json!([one["resource"], one["with"], one["right"]])).collect()
}

#[test]
fn what_is_shared_is_shown_ended_and_recorded() {
    let site = Site::start();
    site.feed(&["file", "put", "-", "papers/draft"], b"content");
    site.feed(&["user", "create", "bob"], b"correct horse\n");
    let made = site.json(&["share", "papers/draft", "bob:read,write", "--until", "7d"]);
    let file = "file 'papers/draft'";
    assert_eq!(told(&made), [json!([file, "bob", "read"]), json!([file, "bob", "write"])]);
    assert!(made["shares"][0]["expires_ms"].is_u64());
    site.run(&[
        "share",
        "container:papers",
        "--with",
        "account:bob",
        "--with",
        "everyone",
        "--read",
    ]);
    assert_eq!(told(&site.json(&["share", "ls"])).len(), 6);
    site.run(&["share", "rm", "papers/draft", "--with", "user:bob", "--right", "write"]);
    let left = site.json(&["share", "ls", "papers/draft"]);
    assert_eq!(told(&left), [json!([file, "bob", "read"])]);
    let log = site.json(&["audit", "--limit", "2"]);
    assert_eq!(log["rows"].as_array().map(Vec::len), Some(2));
    assert_eq!(log["rows"][0]["event"], "revoked");
}

#[test]
fn a_share_is_ended_in_the_words_that_made_it() {
    let site = Site::start();
    site.feed(&["file", "put", "-", "papers/draft"], b"content");
    for name in ["bob", "eve"] {
        site.feed(&["user", "create", name], b"correct horse\n");
    }
    site.run(&["share", "papers/draft", "bob:read,write", "eve:read,write"]);
    site.run(&["share", "rm", "papers/draft", "bob:read", "eve"]);
    let left = site.json(&["share", "ls", "papers/draft"]);
    assert_eq!(told(&left), [json!(["file 'papers/draft'", "bob", "write"])]);
    site.fails(&["share", "rm", "papers/draft", "bob:read"], 1);
    site.fails(&["share", "rm", "papers/draft", "bob", "--with", "bob"], 2);
    site.fails(&["share", "rm", "papers/draft", "bob:raed"], 2);
}

#[test]
fn what_is_not_there_to_be_shared_is_looked_for_where_it_would_be_listed() {
    let site = Site::start();
    for (resource, listing) in [
        ("volume:none", "`archipelago volume ls`"),
        ("image:none", "`archipelago image ls`"),
        ("container:none", "`archipelago container ls`"),
    ] {
        let said = site.fails(&["share", resource, "everyone:read"], 1);
        assert!(said.contains(listing), "{said}");
    }
    site.feed(&["file", "put", "-", "papers/draft"], b"content");
    for (who, word) in [
        ("nobody", "`archipelago user ls`"),
        ("account:none", "`archipelago account ls`"),
        ("group:admin/none", "X-Account-Group-"),
    ] {
        let said = site.fails(&["share", "papers/draft", "--with", who, "--read"], 1);
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn variables_are_printed_for_a_password_that_lets_in_and_for_no_other() {
    let site = Site::start();
    site.feed(&["user", "create", "bob"], b"correct horse\n");
    let told = site.feed(&["env", "bob"], b"correct horse\n");
    assert!(told.contains("OS_PASSWORD='correct horse'"), "{told}");
    std::fs::write(site.path("wrong"), "wrong horse\n").unwrap();
    let input = std::fs::File::open(site.path("wrong")).unwrap();
    let output = site.command(&["env", "bob"]).stdin(input).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("with this password") && said.contains("user passwd bob"), "{said}");
    assert!(output.stdout.is_empty());
}
