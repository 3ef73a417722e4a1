//! Facts about sorting errors.

use super::*;

fn sorted(kind: io::ErrorKind) -> StoreError {
    StoreError::from_io(SegmentId::new(10), "write", kind.into())
}

#[test]
fn a_full_disk_and_an_exceeded_quota_are_no_space() {
    assert!(matches!(sorted(io::ErrorKind::StorageFull), StoreError::NoSpace { .. }));
    assert!(matches!(sorted(io::ErrorKind::QuotaExceeded), StoreError::NoSpace { .. }));
}

#[test]
fn a_read_only_filesystem_has_its_own_error() {
    assert!(matches!(sorted(io::ErrorKind::ReadOnlyFilesystem), StoreError::ReadOnly { .. }));
}

#[test]
fn anything_else_keeps_what_the_system_said() {
    let error = sorted(io::ErrorKind::TimedOut);
    assert!(
        matches!(&error, StoreError::Io { source, .. } if source.kind() == io::ErrorKind::TimedOut)
    );
}

#[test]
fn a_message_names_the_segment_and_the_deed() {
    assert_eq!(
        sorted(io::ErrorKind::StorageFull).to_string(),
        "cannot write segment 000000000a: the disk or the quota is full"
    );
    assert_eq!(
        StoreError::from_io(None, "list", io::ErrorKind::TimedOut.into()).to_string(),
        "cannot list segments"
    );
}
