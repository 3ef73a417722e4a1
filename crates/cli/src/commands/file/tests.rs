use super::*;

fn file(object: &str) -> api::File {
    api::File {
        id: 1,
        container: "runs".to_owned(),
        object: object.to_owned(),
        size: 5,
        sha256: None,
        created_ms: 0,
        disk: None,
    }
}

#[test]
fn a_files_name_stands_last_as_it_may_hold_anything() {
    let expected = "\
SIZE  CREATED               FILE
 5 B  1970-01-01T00:00:00Z  runs/2026/a b.tar";
    assert_eq!(table(&[file("2026/a b.tar")]), expected);
}

#[test]
fn a_hostile_name_is_escaped() {
    assert_eq!(name(&file("\u{1b}[2J")), "runs/\\u{1b}[2J");
}
