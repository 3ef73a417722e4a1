//! A folder and a container, one way either way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::Value;

use crate::site::{Site, read};

/// What a report says was done: verbs and names.
fn actions(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("it is text").to_owned();
    let all = report["actions"].as_array().expect("there is a list");
    all.iter().map(|one| (text(&one["action"]), text(&one["name"]))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(verb, name)| ((*verb).to_owned(), (*name).to_owned())).collect()
}

#[test]
fn a_folder_becomes_a_part_of_a_container_and_comes_back() {
    let site = Site::start();
    fs::create_dir_all(site.path("tree/sub/deep")).unwrap();
    for (name, bytes) in [("a", "1"), ("sub/b", ""), ("sub/deep/Gr\u{fc}\u{df}e", "three")] {
        fs::write(site.path("tree").join(name), bytes).unwrap();
    }
    symlink("/etc/passwd", site.path("tree/link")).unwrap();
    site.feed(&["file", "put", "-", "c/elsewhere"], b"not of the prefix");
    let told = site.json(&["sync", "tree", "c:p/", "--dry-run"]);
    assert_eq!(actions(&told).len(), 4);
    assert_eq!(site.json(&["file", "ls", "c", "--prefix", "p/"])["files"], serde_json::json!([]));
    let done = site.json(&["sync", "tree", "c:p/"]);
    let sent =
        [("send", "a"), ("skip", "link"), ("send", "sub/b"), ("send", "sub/deep/Gr\u{fc}\u{df}e")];
    assert_eq!(actions(&done), pairs(&sent));
    let again = site.json(&["sync", "tree", "c:p"]);
    assert_eq!((&again["same"], actions(&again)), (&3.into(), pairs(&[("skip", "link")])));
    site.json(&["sync", "c:p/", "copy"]);
    for name in ["a", "sub/b", "sub/deep/Gr\u{fc}\u{df}e"] {
        assert_eq!(read(&site.path("copy").join(name)), read(&site.path("tree").join(name)));
    }
    assert!(!site.path("copy/elsewhere").exists());
    assert_eq!(site.json(&["sync", "c:p/", "copy"])["same"], 3);
    // What was changed here without another length comes again.
    fs::write(site.path("copy/a"), "2").unwrap();
    let done = site.json(&["sync", "c:p/", "copy"]);
    assert_eq!(actions(&done), pairs(&[("fetch", "a")]));
    assert_eq!(read(&site.path("copy/a")), b"1");
}

#[test]
fn what_the_source_has_not_is_removed_only_when_asked_for() {
    let site = Site::start();
    fs::create_dir_all(site.path("tree/gone")).unwrap();
    fs::write(site.path("tree/a"), "a").unwrap();
    fs::write(site.path("tree/gone/b"), "b").unwrap();
    site.run(&["sync", "tree", "c:"]);
    fs::remove_dir_all(site.path("tree/gone")).unwrap();
    assert_eq!(actions(&site.json(&["sync", "tree", "c:"])), []);
    site.run(&["sync", "c:", "copy"]);
    let dry = site.json(&["sync", "tree", "c:", "--delete", "--dry-run"]);
    assert_eq!(actions(&dry), pairs(&[("remove", "gone/b")]));
    assert_eq!(actions(&site.json(&["sync", "tree", "c:", "--delete"])), actions(&dry));
    assert_eq!(site.json(&["container", "show", "c"])["objects"], 1);
    fs::write(site.path("copy/mine"), "mine").unwrap();
    site.run(&["sync", "c:", "copy"]);
    assert!(site.path("copy/gone/b").exists() && site.path("copy/mine").exists());
    site.run(&["sync", "c:", "copy", "--delete"]);
    assert!(!site.path("copy/gone").exists() && !site.path("copy/mine").exists());
    assert!(site.path("copy/a").exists());
}

#[test]
fn a_name_that_leads_out_of_the_folder_is_told_and_not_followed() {
    let site = Site::start();
    for name in ["../out", "/abs", "a//b", "ok", "link/x", "dir/..", "."] {
        site.feed(&["file", "put", "-", &format!("c/{name}")], b"x");
    }
    fs::create_dir_all(site.path("home")).unwrap();
    fs::create_dir_all(site.path("other")).unwrap();
    symlink(site.path("other"), site.path("home/link")).unwrap();
    fs::write(site.path("home/mine"), "mine").unwrap();
    let output = site.output(&["sync", "c:", "home", "--delete", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["failed"], 6);
    assert_eq!(read(&site.path("home/ok")), b"x");
    assert!(!site.path("out").exists() && !site.path("other/x").exists());
    // Nothing is removed when something failed.
    assert!(site.path("home/mine").exists());
}

#[test]
fn snapshots_come_home_by_what_changed() {
    let site = Site::start();
    let local = site.write("disk", &crate::site::disk());
    site.run(&["image", "import", &local, "base", "--format", "raw"]);
    site.run(&["volume", "create", "web", "--from", "image:base"]);
    site.run(&["snapshot", "create", "web@one"]);
    let first = site.json(&["sync", "snapshots:", "home"]);
    assert_eq!(actions(&first), pairs(&[("fetch", "web@one")]));
    assert_eq!(read(&site.path("home/web@one")), crate::site::disk());
    assert_eq!(site.json(&["sync", "snapshots:", "home"])["moved"], 0);
}

#[test]
fn what_is_no_folder_and_container_is_usage() {
    let site = Site::start();
    for args in [["sync", "a:", "b:"], ["sync", "./a", "b"]] {
        site.fails(&args, 2);
    }
    assert!(site.fails(&["sync", "./none", "c:"], 1).contains("none"));
    assert!(site.fails(&["sync", "none:", "home"], 1).contains("container 'none'"));
    assert!(!site.path("home").exists());
}

#[test]
fn a_source_without_a_file_empties_nothing() {
    let site = Site::start();
    fs::create_dir_all(site.path("tree")).unwrap();
    fs::create_dir_all(site.path("empty")).unwrap();
    fs::write(site.path("tree/a"), "a").unwrap();
    site.run(&["sync", "tree", "c:"]);
    assert!(site.fails(&["sync", "--delete", "c:typo/", "tree"], 1).contains("has no file"));
    assert!(site.fails(&["sync", "--delete", "empty", "c:"], 1).contains("has no file"));
    assert!(site.path("tree/a").exists());
    assert_eq!(site.json(&["container", "show", "c"])["objects"], 1);
}

#[test]
fn what_became_empty_or_zeros_is_told_to_be_fetched() {
    let site = Site::start();
    fs::create_dir_all(site.path("tree")).unwrap();
    fs::write(site.path("tree/empty"), "").unwrap();
    fs::write(site.path("tree/zeros"), [0; 4]).unwrap();
    site.run(&["sync", "tree", "c:"]);
    fs::create_dir_all(site.path("copy")).unwrap();
    fs::write(site.path("copy/empty"), "full").unwrap();
    fs::write(site.path("copy/zeros"), "full").unwrap();
    let done = site.json(&["sync", "c:", "copy"]);
    assert_eq!(actions(&done), pairs(&[("fetch", "empty"), ("fetch", "zeros")]));
    assert_eq!(site.json(&["sync", "c:", "copy"])["same"], 2);
}

#[test]
fn a_file_that_is_replaced_keeps_who_may_read_it() {
    let site = Site::start();
    site.feed(&["file", "put", "-", "c/small"], b"new");
    fs::write(site.path("old"), "old").unwrap();
    fs::set_permissions(site.path("old"), fs::Permissions::from_mode(0o600)).unwrap();
    site.run(&["file", "get", "--force", "c/small", &site.file("old")]);
    assert_eq!(read(&site.path("old")), b"new");
    assert_eq!(fs::metadata(site.path("old")).unwrap().mode() & 0o777, 0o600);
}
