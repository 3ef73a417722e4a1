//! Links, the names of crates, the hash of the format.

use super::*;

fn missing(path: &str, text: &str, there: &[&str]) -> Vec<String> {
    let exists = |file: &Path| there.iter().any(|name| Path::new(name) == file);
    links(path, text, exists).into_iter().map(|finding| finding.message).collect()
}

#[test]
fn a_link_to_a_missing_file_is_found() {
    let text = "[a](a.md) [b](../README.md#top) [`c`](c.md)\n";
    assert!(missing("docs/x.md", text, &["docs/a.md", "README.md", "docs/c.md"]).is_empty());
    assert_eq!(missing("docs/x.md", text, &["docs/a.md", "README.md"]), ["c.md does not exist"]);
}

#[test]
fn links_to_the_web_and_within_the_page_are_not_followed() {
    assert!(
        missing("x.md", "[a](https://example.org/) [b](#part) [c](mailto:a@b)", &[]).is_empty()
    );
}

#[test]
fn code_holds_no_links() {
    assert!(missing("x.md", "`a[i](b)`\n```\n[x](y.md)\n```\n", &[]).is_empty());
}

#[test]
fn a_link_out_of_the_tree_is_found() {
    assert_eq!(missing("x.md", "[a](../b.md)", &["b.md"]), ["../b.md does not exist"]);
}

#[test]
fn every_crate_is_on_the_map() {
    let files = ["crates/pool/Cargo.toml".to_owned(), "crates/env/Cargo.toml".to_owned()];
    assert!(crates("`pool` uses env.", &files).is_empty());
    assert_eq!(crates("The pool and its environment.", &files).len(), 1);
}

#[test]
fn the_document_of_the_format_is_tied_to_its_source() {
    assert_eq!(format_hash("# Format\nformat-source-hash: abc\n", "abc"), None);
    assert!(format_hash("format-source-hash: abc\n", "abd").is_some());
    assert!(format_hash("# Format\n", "abc").is_some());
}

#[test]
fn blessing_rewrites_the_line_or_adds_it() {
    assert_eq!(bless("a\nformat-source-hash: x\nb\n", "y"), "a\nformat-source-hash: y\nb\n");
    assert_eq!(bless("a\n", "y"), "a\n\nformat-source-hash: y\n");
}

const LIMITS: &str = "### Limits\n\n| `A_MAX`, `Limits::x`, `B_MAX` (`y`) | 1, 2, 3 | pool, cli | what |\n\nSettings\n| `C_MAX` | 1 | pool | |\n";

#[test]
fn limits_are_constants_of_a_crate_that_is_named_beside_them() {
    let there = |name: &str, at: &str| matches!((name, at), ("A_MAX", "pool") | ("B_MAX", "cli"));
    assert_eq!(limits(LIMITS, there), []);
}

#[test]
fn a_limit_that_no_crate_has_is_found() {
    let found = limits(LIMITS, |name, at| (name, at) == ("B_MAX", "cli"));
    let what = "no constant A_MAX in the crates that this line names";
    assert_eq!(found, [Finding::new(ARCHITECTURE, 3, what)]);
}
