//! Tests of the search for the holder of a lock.

use super::in_table;

const TABLE: &str = "1: POSIX  ADVISORY  WRITE 11 fe:00:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 22 fe:00:88 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 33 fe:00:88 0 EOF\n\
                     garbage\n";

#[test]
fn the_holder_is_found_by_the_inode() {
    assert_eq!(in_table(TABLE, 88), Some(22));
}

#[test]
fn other_kinds_of_locks_do_not_count() {
    assert_eq!(in_table(TABLE, 77), None);
    assert_eq!(in_table(TABLE, 99), None);
}
