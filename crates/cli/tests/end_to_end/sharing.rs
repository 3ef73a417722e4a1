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
