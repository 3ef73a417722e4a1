//! Files: any size, any name, never over what exists.

use crate::site::{Site, read};

#[test]
fn a_file_of_any_size_comes_back() {
    let site = Site::start();
    for size in [0, 1, 511, 4096, 100_001] {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
        let file = site.write("in", &bytes);
        let name = format!("c/size/{size}");
        let stored = site.json(&["file", "put", &file, &name]);
        assert_eq!(stored["size"], size);
        assert_eq!(stored["object"], format!("size/{size}"));
        let out = format!("out{size}");
        site.run(&["file", "get", &name, &site.file(&out)]);
        assert!(read(&site.path(&out)) == bytes, "{size}");
    }
}

#[test]
fn names_of_any_kind_come_back_as_they_were() {
    let site = Site::start();
    let file = site.write("in", b"x");
    for object in ["a b", "Gr\u{fc}\u{df}e", "100%", "a//b", "a?b#c", "../up", "a@b:c", "."] {
        let name = format!("c/{object}");
        site.run(&["file", "put", &file, &name]);
        assert_eq!(site.json(&["file", "stat", &name])["object"], object);
        site.run(&["file", "get", &name, &site.file("out"), "--force"]);
        site.run(&["file", "rm", &name]);
    }
    assert_eq!(site.json(&["file", "ls"])["files"], serde_json::json!([]));
}

#[test]
fn listings_take_a_container_and_a_prefix() {
    let site = Site::start();
    for name in ["a/x/1", "a/x/2", "a/y", "b/x/1"] {
        site.feed(&["file", "put", "-", name], b"content");
    }
    let count = |args: &[&str]| site.json(args)["files"].as_array().unwrap().len();
    assert_eq!(count(&["file", "ls"]), 4);
    assert_eq!(count(&["file", "ls", "a"]), 3);
    assert_eq!(count(&["file", "ls", "a", "--prefix", "x/"]), 2);
}

#[test]
fn a_local_file_is_replaced_only_when_forced() {
    let site = Site::start();
    site.feed(&["file", "put", "-", "c/o"], b"theirs");
    let file = site.write("mine", b"mine");
    assert!(site.fails(&["file", "get", "c/o", &file], 1).contains("--force"));
    assert_eq!(read(&site.path("mine")), b"mine");
    site.run(&["file", "get", "c/o", &file, "--force"]);
    assert_eq!(read(&site.path("mine")), b"theirs");
}

#[test]
fn a_container_holds_no_more_than_its_quota_and_the_error_says_what_to_do() {
    let site = Site::start();
    site.feed(&["file", "put", "-", "c/o"], &[7; 600]);
    let set = site.json(&["container", "quota", "c", "1000", "--objects", "2"]);
    assert_eq!((&set["quota_bytes"], &set["quota_objects"]), (&1000.into(), &2.into()));
    let big = site.write("big", &[8; 500]);
    let error = site.fails(&["file", "put", &big, "c/p"], 1);
    for word in ["container 'c'", "1000 B", "600 B", "archipelago container quota c SIZE"] {
        assert!(error.contains(word), "{error}");
    }
    let set = site.json(&["container", "quota", "c", "none"]);
    assert_eq!((&set["quota_bytes"], &set["quota_objects"]), (&().into(), &2.into()));
    site.run(&["file", "put", &big, "c/p"]);
    assert!(site.fails(&["file", "put", &big, "c/q"], 1).contains("--objects"), "objects");
    let shown = site.json(&["container", "show", "c"]);
    assert_eq!((&shown["objects"], &shown["used_bytes"]), (&2.into(), &1100.into()));
    assert_eq!(site.json(&["container", "ls"])["containers"][0], shown);
}

#[test]
fn containers_are_made_and_removed_of_any_account() {
    let site = Site::start();
    site.run(&["account", "create", "lab"]);
    site.run(&["container", "create", "logs", "data", "--account", "lab"]);
    assert!(site.fails(&["container", "create", "logs", "--account", "lab"], 1).contains("logs"));
    let listed = site.json(&["container", "ls", "--account", "lab"]);
    assert_eq!(listed["containers"].as_array().unwrap().len(), 2);
    assert!(site.fails(&["account", "rm", "lab"], 1).contains("containers"));
    site.run(&["container", "rm", "logs", "data", "--account", "lab"]);
    site.run(&["account", "rm", "lab"]);
    site.feed(&["file", "append", "-", "c/o"], b"made by an append");
    assert!(site.fails(&["container", "rm", "c"], 1).contains("objects"));
    assert!(site.fails(&["file", "get", "c/o", "-"], 2).contains("'-'"));
}

#[test]
fn an_account_holds_no_more_than_its_quota() {
    let site = Site::start();
    site.feed(&["file", "put", "-", "c/o"], &[7; 600]);
    assert_eq!(site.json(&["account", "quota", "admin", "1000"])["used_bytes"], 600);
    let big = site.write("big", &[8; 500]);
    for name in ["c/p", "new/p"] {
        let error = site.fails(&["file", "put", &big, name], 1);
        assert!(error.contains("archipelago account quota admin SIZE"), "{error}");
    }
    site.run(&["account", "quota", "admin", "none"]);
    site.run(&["file", "put", &big, "new/p"]);
    assert_eq!(site.json(&["account", "show", "admin"])["used_bytes"], 1100);
}

#[test]
fn a_file_that_is_not_there_is_said_on_either_side() {
    let site = Site::start();
    assert!(site.fails(&["file", "put", &site.file("none"), "c/o"], 1).contains("none"));
    assert!(site.fails(&["file", "get", "c/o", &site.file("out")], 1).contains("c/o"));
    assert!(!site.path("out").exists());
}

#[test]
fn a_file_is_appended_to_written_over_and_cut_off() {
    let site = Site::start();
    let local = site.write("in", b"first");
    site.run(&["file", "put", &local, "c/log"]);
    let said = site.feed(&["file", "append", "-", "c/log"], b", second");
    assert!(said.contains("appended 8 B to c/log at byte 5; it has 13 B now"), "{said}");
    assert_eq!(site.json(&["file", "append", &local, "c/log"])["offset"], 13);
    let said = site.feed(&["file", "write", "-", "c/log", "--at", "0"], b"F");
    assert!(said.contains("wrote 1 B to c/log at byte 0; it has 18 B now"), "{said}");
    assert_eq!(site.json(&["file", "truncate", "c/log", "13"])["file"]["size"], 13);
    site.run(&["file", "get", "c/log", &site.file("out")]);
    assert_eq!(read(&site.path("out")), b"First, second");
    site.feed(&["file", "append", "-", "c/made"], b"new");
    assert_eq!(site.json(&["file", "stat", "c/made"])["size"], 3);
    site.run(&["file", "append", &local, "new/file"]);
    assert_eq!(site.json(&["file", "stat", "new/file"])["size"], 5);
    let none = site.fails(&["file", "truncate", "none/file", "14"], 1);
    assert!(none.contains("container 'none'") && none.contains("container ls"), "{none}");
    assert!(site.fails(&["file", "write", &local, "c/log", "--at", "14"], 1).contains("beyond"));
    assert!(site.fails(&["file", "truncate", "c/none", "14"], 1).contains("c/none"));
}

#[test]
fn a_whole_container_is_forked_and_each_goes_its_own_way() {
    let site = Site::start();
    for name in ["a", "b/c"] {
        site.feed(&["file", "put", "-", &format!("data/{name}")], b"before");
    }
    let made = site.json(&["fork", "data", "exp-42"]);
    assert_eq!((&made["objects"], &made["used_bytes"]), (&2.into(), &12.into()));
    site.feed(&["file", "put", "-", "exp-42/a"], b"changed");
    site.feed(&["file", "put", "-", "data/b/c"], b"changed, too");
    for (name, bytes) in [("data/a", "before"), ("exp-42/b/c", "before"), ("exp-42/a", "changed")] {
        site.run(&["file", "get", name, &site.file("out"), "--force"]);
        assert_eq!(read(&site.path("out")), bytes.as_bytes(), "{name}");
    }
    assert!(site.fails(&["fork", "data", "exp-42"], 1).contains("exists already"));
    assert!(site.fails(&["fork", "none", "new"], 1).contains("container 'none'"));
}
