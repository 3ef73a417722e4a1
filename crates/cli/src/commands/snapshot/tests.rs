use super::*;

#[test]
fn snapshots_are_shown_as_they_are_written() {
    let snapshot = api::Snapshot {
        id: 1,
        uuid: "00".repeat(16),
        volume: "web".to_owned(),
        name: "before".to_owned(),
        size: 1 << 20,
        created_ms: 0,
    };
    let expected = "\
SNAPSHOT     SIZE  CREATED
web@before  1 MiB  1970-01-01T00:00:00Z";
    assert_eq!(table(&[snapshot]), expected);
}

#[test]
fn differences_end_with_their_sum() {
    let range = |offset, len, zero| api::DiffRange { offset, len, zero };
    let diff = api::Diff {
        ranges: vec![range(0, 4096, false), range(1 << 20, 8192, true)],
        changed: 12288,
    };
    let expected = " OFFSET  BYTES  NOW
      0   4096  data
1048576   8192  zero
12 KiB changed in 2 ranges";
    assert_eq!(differences(&diff), expected);
}

#[test]
fn no_difference_is_said_in_one_line() {
    let diff = api::Diff { ranges: Vec::new(), changed: 0 };
    assert_eq!(differences(&diff), "0 B changed in 0 ranges");
}
