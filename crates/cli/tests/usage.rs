//! The built program, without a server: exit statuses, errors, generated texts.

use std::process::{Command, Output, Stdio};

fn archipelago(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_archipelago"))
        .args(args)
        // Port 1 is nobody's: what asks a server fails at once.
        .env("ARCHIPELAGO_ENDPOINT", "http://127.0.0.1:1")
        .stdin(Stdio::null())
        .output()
        .expect("the program is built and runs")
}

fn status(args: &[&str]) -> i32 {
    archipelago(args).status.code().expect("no signal ended it")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

#[test]
fn malformed_arguments_are_usage() {
    let malformed: &[&[&str]] = &[
        &[],
        &["volume"],
        &["volume", "conjure"],
        &["volume", "create", "web", "--size", "10X"],
        &["volume", "create", "web", "--size", "100"],
        &["volume", "create", "web", "--size", "65T"],
        &["volume", "create", "web", "--from", "tape:web"],
        &["volume", "create", "web", "--from", "snapshot:web"],
        &["volume", "create", "../web", "--size", "1G"],
        &["volume", "create", "--size", "1G"],
        &["snapshot", "create", "web"],
        &["snapshot", "diff", "web@a@b", "web"],
        &["file", "stat", "no-slash"],
        &["image", "export", "web", "f", "--format", "vmdk"],
        &["volume", "ls", "--endpoint", "localhost"],
        &["scrub", "--rate", "0"],
        &["image", "import", "-"],
    ];
    for args in malformed {
        assert_eq!(status(args), 2, "{args:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_a_failure_with_a_remedy() {
    let output = archipelago(&["volume", "ls"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("no server answers at http://127.0.0.1:1"), "{text}");
    assert!(text.contains("is `archipelago serve` running?"), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn errors_are_json_for_programs() {
    for (args, kind) in [
        (&["volume", "ls", "--json"][..], "unreachable"),
        (&["--json", "volume", "create", "web", "--size", "10X"], "usage"),
        (&["--json", "image", "import", "-"], "usage"),
    ] {
        let text = stderr(&archipelago(args));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["error"]["kind"], kind, "{text}");
        assert!(!json["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn help_and_version_are_no_errors() {
    assert_eq!(status(&["--help"]), 0);
    assert_eq!(status(&["volume", "create", "--help"]), 0);
    let version = archipelago(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert!(version.stdout.starts_with(b"archipelago "));
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = archipelago(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("archipelago") && script.contains("snapshot"), "{shell}");
    }
}

#[test]
fn every_verb_gets_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let man = dir.path().join("made/man1");
    let output = archipelago(&["man", man.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for page in ["archipelago.1", "archipelago-volume-create.1", "archipelago-image-import.1"] {
        let text = std::fs::read_to_string(man.join(page)).unwrap();
        assert!(text.contains("archipelago"), "{page}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_archipelago"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_archipelago"))
        .args(["completions", "bash"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("standard output"), "{}", stderr(&output));
}

#[test]
fn an_existing_file_is_left_alone_before_any_server_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.raw");
    std::fs::write(&path, b"mine").unwrap();
    let path_text = path.to_str().unwrap();
    for args in [
        &["image", "export", "web", path_text][..],
        &["file", "get", "c/o", path_text],
        &["snapshot", "send", "web@a", "-o", path_text],
    ] {
        let output = archipelago(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains("--force"), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn an_address_that_is_none_is_usage() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    assert_eq!(status(&["serve", "--data", data, "--http", "nowhere"]), 2);
    assert_eq!(status(&["serve", "--data", data, "--http", "0.0.0.0:0"]), 2);
}
