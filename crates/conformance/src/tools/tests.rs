//! The list of programs, and the search for one.

use super::*;

#[test]
fn a_program_is_found_also_where_only_administrators_look() {
    assert!(find("sh").is_some());
    assert_eq!(find("no-such-program"), None);
    assert_eq!(find("/no/such/program"), None);
}

#[test]
fn every_program_has_a_package_and_stands_once() {
    let mut names: Vec<_> = TOOLS.iter().map(|tool| tool.program).collect();
    assert!(names.is_sorted());
    names.dedup();
    assert_eq!(names.len(), TOOLS.len());
    assert_eq!(package("nbdcopy"), Some("libnbd-bin"));
}
