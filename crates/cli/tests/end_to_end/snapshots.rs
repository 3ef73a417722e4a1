//! Snapshots: cuts, differences, streams through files and pipes.

use std::process::Stdio;

use crate::site::{Site, disk, read};

/// A site with volume `web` of one imported disk, and its snapshot `web@a`.
fn site_with_snapshot() -> Site {
    let site = Site::start();
    let file = site.write("disk.raw", &disk());
    site.run(&["image", "import", &file]);
    site.run(&["volume", "create", "web", "--from", "image:disk"]);
    site.run(&["snapshot", "create", "web@a"]);
    site
}

#[test]
fn a_cut_over_several_volumes_is_one_command() {
    let site = Site::start();
    site.run(&["volume", "create", "a", "b", "--size", "1M"]);
    let said = site.run(&["snapshot", "create", "a@s", "b@s"]);
    assert_eq!(said, "created snapshot a@s: 1 MiB\ncreated snapshot b@s: 1 MiB\n");
    let only = site.json(&["snapshot", "ls", "b"]);
    assert_eq!(only["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(only["snapshots"][0]["volume"], "b");
}

#[test]
fn a_snapshot_travels_through_a_pipe() {
    let site = site_with_snapshot();
    let mut send =
        site.command(&["snapshot", "send", "web@a"]).stdout(Stdio::piped()).spawn().unwrap();
    let received = site
        .command(&["snapshot", "receive", "copy@a"])
        .stdin(send.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(received.status.success(), "{}", String::from_utf8_lossy(&received.stderr));
    assert!(send.wait().unwrap().success());
    let export = site.file("copy.raw");
    site.run(&["image", "export", "volume:copy", &export]);
    assert!(read(&site.path("copy.raw")) == disk());
}

#[test]
fn a_difference_to_an_older_snapshot_is_small() {
    let site = site_with_snapshot();
    site.run(&["snapshot", "create", "web@b"]);
    let full = site.json(&["snapshot", "send", "web@b", "-o", &site.file("full")]);
    let more =
        site.json(&["snapshot", "send", "web@b", "--since", "web@a", "-o", &site.file("more")]);
    assert_eq!(more["since"], "a");
    assert!(full["stream_bytes"].as_u64().unwrap() > 2 << 20);
    assert!(more["stream_bytes"].as_u64().unwrap() < 1024);
    assert_eq!(read(&site.path("more")).len() as u64, more["stream_bytes"].as_u64().unwrap());
    site.fails(&["snapshot", "send", "web@b", "--since", "db@a", "-o", &site.file("no")], 2);
}

#[test]
fn a_send_that_fails_leaves_no_file() {
    let site = site_with_snapshot();
    let said = site.fails(&["snapshot", "send", "web@zz", "-o", &site.file("none")], 1);
    assert!(said.contains("web@zz"), "{said}");
    assert!(!site.path("none").exists());
}

#[test]
fn a_reader_that_leaves_in_the_middle_makes_send_fail() {
    let site = site_with_snapshot();
    let mut send = site
        .command(&["snapshot", "send", "web@a"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(send.stdout.take());
    let output = send.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("standard output"), "{said}");
}

#[test]
fn a_file_that_is_no_stream_is_refused() {
    let site = Site::start();
    let file = site.write("junk", &vec![7; 100_000]);
    let said = site.fails(&["snapshot", "receive", "web@a", &file], 1);
    assert!(said.contains("not a transfer stream"), "{said}");
    assert!(said.contains("web@a"), "{said}");
}

#[test]
fn differences_are_exact_in_json_and_short_in_words() {
    let site = site_with_snapshot();
    let none = site.json(&["snapshot", "diff", "image:disk", "web@a"]);
    assert_eq!(none["changed"], 0);
    site.run(&["volume", "create", "empty", "--size", "8M"]);
    let all = site.json(&["snapshot", "diff", "empty", "web"]);
    let sum: u64 =
        all["ranges"].as_array().unwrap().iter().map(|range| range["len"].as_u64().unwrap()).sum();
    assert_eq!(all["changed"], sum);
    let words = site.run(&["snapshot", "diff", "empty", "web"]);
    assert!(words.starts_with("OFFSET") || words.contains("BYTES  NOW"), "{words}");
}

#[test]
fn a_rollback_says_where_the_volume_is_now() {
    let site = site_with_snapshot();
    let said = site.run(&["snapshot", "rollback", "web@a"]);
    assert_eq!(said, "volume web is again as at web@a: 8 MiB\n");
}
