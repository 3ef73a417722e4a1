//! Facts about names and errors. What needs a cluster is in `conformance/tests/pools.rs`.

use super::*;

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

#[test]
fn names_are_of_one_width_so_that_their_order_is_that_of_ids() {
    assert_eq!(object_of(id(0x12_3456_789a)).to_str().unwrap(), "segment.123456789a");
    assert_eq!(index_of(shard_of(id(0x12_3456_789a))).to_str().unwrap(), "index.0123456");
    assert_eq!(index_of(shard_of(SegmentId::MAX)).to_bytes().len(), "index.0000000".len());
    assert_eq!(segment_named("0000000001"), Some(id(1)));
    for odd in ["1", "0000000000", "00000000AB", "", "0000000001x"] {
        assert_eq!(segment_named(odd), None, "{odd}");
    }
}

#[test]
fn a_configuration_that_is_missing_is_told() {
    let settings = RadosSettings {
        config: "/nowhere/ceph.conf".into(),
        user: "admin".to_owned(),
        pool: "pool".to_owned(),
        namespace: String::new(),
    };
    let error = RadosStore::open(&Env::real(), &settings, "store", "host").err().unwrap();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
    // On a machine without the library it is that which is missing.
    let said = error.to_string();
    assert!(said.contains("/nowhere/ceph.conf") || said.contains("librados2"), "{said}");
}

#[test]
fn a_name_with_a_zero_byte_is_refused() {
    assert!(text("the pool", "a\0b").unwrap_err().to_string().contains("the pool"));
}

#[test]
fn errors_are_sorted_by_what_helps() {
    let some = Some(id(7));
    assert!(matches!(sort(some, "read", Errno::NOT_FOUND), StoreError::NotFound { .. }));
    assert!(matches!(sort(some, "make", Errno::EXISTS), StoreError::AlreadyExists { .. }));
    assert!(matches!(sort(some, "write", Errno::CANCELLED), StoreError::Fenced { .. }));
    assert!(matches!(sort(some, "write", Errno::SHUT_DOWN), StoreError::Fenced { .. }));
    assert!(matches!(sort(some, "write", Errno::QUOTA), StoreError::NoSpace { .. }));
    assert!(matches!(sort(None, "list", Errno::NO_ACCESS), StoreError::Denied { .. }));
    assert!(sort(None, "list", Errno::TIMED_OUT).is_transient());
    assert!(!sort(some, "read", Errno::INVALID).is_transient());
}
