//! The list may only become shorter.

use super::*;

fn messages(list: &str, lines: &[usize]) -> Vec<String> {
    let long: Vec<Long> = lines
        .iter()
        .map(|lines| Long { path: "a.rs".into(), line: 1, function: "f".into(), lines: *lines })
        .collect();
    check(list, &long).into_iter().map(|finding| finding.message).collect()
}

#[test]
fn a_long_function_that_is_not_listed_is_found() {
    assert_eq!(messages("# none\n", &[71]), ["fn f has 71 lines"]);
}

#[test]
fn a_listed_function_passes_at_its_length_only() {
    assert!(messages("a.rs f 90\n", &[90]).is_empty());
    assert_eq!(messages("a.rs f 90\n", &[91]), ["fn f grew from 90 to 91 lines"]);
    assert_eq!(messages("a.rs f 90\n", &[80]), ["fn f shrank: list it with 80"]);
}

#[test]
fn a_row_that_is_no_longer_needed_must_go() {
    assert_eq!(messages("a.rs f 90\n", &[]), ["a.rs: fn f is short now: remove the row"]);
}

#[test]
fn a_row_that_cannot_be_read_is_found() {
    assert_eq!(messages("a.rs f\n", &[]), ["is not `path function lines`"]);
}
