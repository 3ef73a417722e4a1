//! Volumes: what each verb prints and refuses.

use crate::site::Site;

#[test]
fn several_volumes_are_made_at_once() {
    let site = Site::start();
    let said = site.run(&["volume", "create", "a", "b", "--size", "1G"]);
    assert_eq!(said, "created volume a: 1 GiB\ncreated volume b: 1 GiB\n");
    let listed = site.json(&["volume", "ls"]);
    assert_eq!(listed["volumes"][1]["name"], "b");
    assert_eq!(listed["volumes"][1]["size"], 1 << 30);
}

#[test]
fn a_clone_names_its_parent() {
    let site = Site::start();
    site.run(&["volume", "create", "a", "--size", "1M"]);
    let made = site.json(&["volume", "create", "b", "--from", "volume:a", "--size", "2M"]);
    assert_eq!(made["volumes"][0]["parent"], "volume:a");
    assert_eq!(site.json(&["volume", "show", "b"])["size"], 2 << 20);
}

#[test]
fn a_rename_keeps_the_id() {
    let site = Site::start();
    let made = site.json(&["volume", "create", "a", "--size", "1M"]);
    let renamed = site.json(&["volume", "rename", "a", "b"]);
    assert_eq!(renamed["id"], made["volumes"][0]["id"]);
    assert_eq!(renamed["name"], "b");
}

#[test]
fn shrinking_wants_to_be_said() {
    let site = Site::start();
    site.run(&["volume", "create", "a", "--size", "2M"]);
    let said = site.fails(&["volume", "resize", "a", "1M"], 2);
    assert!(said.contains("archipelago volume resize a 1048576 --shrink"), "{said}");
    assert_eq!(site.json(&["volume", "show", "a"])["size"], 2 << 20);
    site.run(&["volume", "resize", "a", "1M", "--shrink"]);
    assert_eq!(site.json(&["volume", "show", "a"])["size"], 1 << 20);
    assert_eq!(
        site.run(&["volume", "resize", "a", "4M"]),
        "resized volume a from 1 MiB to 4 MiB\n"
    );
}

#[test]
fn one_that_cannot_be_removed_does_not_keep_the_others() {
    let site = Site::start();
    site.run(&["volume", "create", "a", "b", "--size", "1M"]);
    let output = site.output(&["volume", "rm", "a", "missing", "b", "gone", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let removed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(removed["removed"], serde_json::json!(["a", "b"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 2, "{said}");
    for line in said.lines() {
        let error: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(error["error"]["kind"], "not_found");
    }
}

#[test]
fn quiet_confirms_nothing_but_shows_what_is_asked_for() {
    let site = Site::start();
    assert_eq!(site.run(&["volume", "create", "a", "--size", "1M", "--quiet"]), "");
    assert!(site.run(&["volume", "ls", "--quiet"]).contains("a  "));
}
