//! What is derived from the machine's own settings.

use super::*;

#[test]
fn backports_are_added_for_the_release_alone() {
    let targets = "http://a/debian/ bookworm main\nhttp://a/debian/ bookworm-updates main\n";
    let lines = sources(targets, "bookworm");
    let suites: Vec<_> = lines.lines().map(|line| line.rsplit(' ').nth(1).unwrap()).collect();
    assert_eq!(suites, ["bookworm", "bookworm-backports", "bookworm-updates"]);
}

#[test]
fn the_codename_is_read() {
    assert_eq!(codename("NAME=x\nVERSION_CODENAME=trixie\n"), Some("trixie"));
    assert_eq!(codename("NAME=x\n"), None);
}

#[test]
fn the_newest_kernel_is_chosen() {
    let meta = "Package: m\nDepends: linux-image-6.12-cloud-amd64 (= 6.12)\n\n\
                Package: m\nDepends: linux-image-6.1-cloud-amd64 (= 6.1)\n";
    assert_eq!(kernel_package(meta), Some("linux-image-6.12-cloud-amd64"));
    assert_eq!(kernel_package(""), None);
}

#[test]
fn a_failed_program_says_its_last_words() {
    let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
    assert!(error.to_string().contains("why"), "{error}");
}
