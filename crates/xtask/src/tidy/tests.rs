//! The tree against its rules, and the rules about all files.

use super::*;

#[test]
fn the_tree_is_tidy() {
    let found = check(&crate::root()).unwrap();
    let errors: Vec<String> =
        found.iter().filter(|finding| !finding.warning).map(Finding::to_string).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn a_tracked_file_of_more_than_a_mebibyte_is_found() {
    assert_eq!(too_big("a.bin", FILE_BYTES_MAX), None);
    assert!(too_big("a.bin", FILE_BYTES_MAX + 1).is_some());
}

#[test]
fn this_file_is_among_the_files_of_the_tree() {
    let files = files(&crate::root()).unwrap();
    assert!(files.iter().any(|path| path == "crates/xtask/src/tidy/tests.rs"));
    assert!(files.iter().all(|path| !path.starts_with("target/")));
}
