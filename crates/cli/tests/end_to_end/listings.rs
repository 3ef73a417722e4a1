//! Listings and reports: shapes, closed pipes, endpoints.

use std::process::Stdio;

use crate::site::Site;

#[test]
fn an_empty_store_lists_nothing_in_the_right_shape() {
    let site = Site::start();
    for (args, key) in [
        (["volume", "ls"], "volumes"),
        (["snapshot", "ls"], "snapshots"),
        (["image", "ls"], "images"),
        (["file", "ls"], "files"),
    ] {
        assert_eq!(site.json(&args)[key], serde_json::json!([]), "{args:?}");
        assert_eq!(site.run(&args).lines().count(), 1, "{args:?}");
    }
}

#[test]
fn usage_accounts_for_every_resource() {
    let site = Site::start();
    site.run(&["volume", "create", "a", "--size", "1G"]);
    let usage = site.json(&["df"]);
    for figure in ["logical", "unique", "compressed", "physical"] {
        assert!(usage[figure].is_u64(), "{figure}");
    }
    assert_eq!(usage["resources"][0]["source"], "volume:a");
    assert!(site.run(&["df"]).contains("volume:a  1 GiB"));
}

#[test]
fn status_counts_what_there_is() {
    let site = Site::start();
    site.run(&["volume", "create", "a", "b", "--size", "1M"]);
    let status = site.json(&["status"]);
    assert_eq!(status["volumes"], 2);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(site.run(&["status"]).contains("volumes    2"));
}

#[test]
fn a_listing_whose_reader_has_enough_is_no_failure() {
    let site = Site::start();
    let mut child = site
        .command(&["volume", "ls"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_endpoint_option_wins_over_the_environment() {
    let site = Site::start();
    let said = site.fails(&["volume", "ls", "--endpoint", "http://127.0.0.1:1"], 1);
    assert!(said.contains("http://127.0.0.1:1"), "{said}");
}

#[test]
fn a_second_daemon_on_the_same_folder_says_who_has_it() {
    let site = Site::start();
    let data = site.file("data");
    let any = "127.0.0.1:0";
    let said = site.fails(&["serve", "--data", &data, "--http", any, "--nbd", any, "--json"], 1);
    let last = said.lines().last().unwrap();
    let error: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(error["error"]["kind"], "daemon");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("another archipelago"), "{message}");
}
