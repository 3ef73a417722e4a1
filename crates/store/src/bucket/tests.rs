//! Facts about buckets, with the library's own in memory and a server that fails on purpose.

mod server;

use std::num::NonZeroU64;
use std::time::Duration;

use archipelago_env::Clock;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use tempfile::TempDir;

use self::server::{Fails, Server, Verb};
use super::*;
use crate::conformance;
use crate::layer::{Patience, Retrying};
use crate::testing::slept;

const OWNER: &str = "0123";

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

fn open(server: &Server, staging: &Path) -> Result<BucketStore, StoreError> {
    let cut = Cut { whole_max: 1 << 20, part_bytes: 256 << 10 };
    limited(&Env::real(), server, cut, Rates::default(), staging)
}

fn limited(
    env: &Env,
    server: &Server,
    cut: Cut,
    rates: Rates,
    staging: &Path,
) -> Result<BucketStore, StoreError> {
    let limits = Some(Limits::new(env.clone(), rates));
    let objects = Objects::new(Arc::new(server.clone()), "a/b", cut, limits)?;
    BucketStore::over(env, objects, OWNER, staging)
}

fn store() -> (TempDir, Server, BucketStore) {
    let (staging, server) = (tempfile::tempdir().unwrap(), Server::default());
    let store = open(&server, staging.path()).unwrap();
    (staging, server, store)
}

fn sealed(store: &BucketStore, segment: u64, bytes: &[u8]) -> Result<(), StoreError> {
    let writer = store.create(id(segment), bytes.len() as u64)?;
    writer.write_at(0, &[IoSlice::new(bytes)])?;
    writer.seal(bytes.len() as u64)
}

fn all(store: &BucketStore, segment: u64) -> Vec<u8> {
    let mut bytes = vec![0; store.len(id(segment)).unwrap() as usize];
    assert_eq!(store.read_at(id(segment), 0, &mut bytes).unwrap(), bytes.len());
    bytes
}

#[test]
fn a_bucket_conforms() {
    let mut dirs = Vec::new();
    conformance::check(|| {
        let (dir, _, store) = store();
        dirs.push(dir);
        Arc::new(store)
    });
}

#[test]
fn a_bucket_whose_server_fails_all_the_time_conforms_behind_retries() {
    let patience = Patience {
        tries_max: 64,
        first_pause: Duration::from_micros(10),
        pause_max: Duration::from_millis(1),
        ..Patience::default()
    };
    for fails in [Fails::Before, Fails::After] {
        let mut dirs = Vec::new();
        conformance::check(|| {
            let (dir, server, store) = store();
            dirs.push(dir);
            server.fail_often(fails);
            Arc::new(Retrying::new(Arc::new(store), Env::real(), patience))
        });
    }
}

#[test]
fn a_server_that_overwrites_conforms() {
    let mut dirs = Vec::new();
    conformance::check(|| {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::default());
        server.overwrite();
        let store = open(&server, dir.path()).unwrap();
        dirs.push(dir);
        Arc::new(store)
    });
}

#[test]
fn what_is_sealed_is_one_object_and_staged_no_more() {
    let (staging, server, store) = store();
    sealed(&store, 0x12_3456_789a, b"bytes").unwrap();
    assert_eq!(server.names(), ["a/b/owner", "a/b/segments/123456789a"]);
    assert_eq!(store.staged(), []);
    assert!(!staging.path().join("segments/1234567/123456789a.seg").exists());
}

#[test]
fn what_is_open_needs_no_server() {
    let (_staging, server, store) = store();
    server.fail_from(0, Fails::Before);
    let writer = store.create(id(1), 4096).unwrap();
    writer.write_at(0, &[IoSlice::new(b"kept")]).unwrap();
    writer.sync().unwrap();
    let mut read = [0; 4];
    store.read_at(id(1), 0, &mut read).unwrap();
    assert_eq!(&read, b"kept");
}

#[test]
fn a_seal_that_got_no_answer_is_made_again_by_the_same_writer() {
    for fails in [Fails::Before, Fails::After] {
        let (_staging, server, store) = store();
        let writer = store.create(id(1), 4096).unwrap();
        writer.write_at(0, &[IoSlice::new(b"kept")]).unwrap();
        server.fail_once(Verb::Put, fails);
        assert!(writer.seal(4).unwrap_err().is_transient());
        assert!(writer.write_at(0, &[IoSlice::new(b"late")]).is_err());
        assert_eq!(store.staged(), [id(1)]);
        assert_eq!(all(&store, 1), b"kept");
        writer.seal(4).unwrap();
        assert_eq!(store.staged(), []);
        assert_eq!(all(&store, 1), b"kept");
    }
}

#[test]
fn a_crash_at_any_request_of_a_seal_loses_nothing() {
    // A whole one and one in parts.
    for len in [5000, (1 << 20) + 5] {
        let bytes: Vec<u8> = (0..len).map(|n: usize| (n ^ (n >> 9)) as u8).collect();
        for fails in [Fails::Before, Fails::After] {
            for after in 0.. {
                let (staging, server, store) = store();
                server.fail_from(after, fails);
                let done = sealed(&store, 1, &bytes).is_ok();
                drop(store);
                server.heal();
                let store = open(&server, staging.path()).unwrap();
                assert_eq!(store.list_from(id(1)).unwrap(), [id(1)]);
                assert_eq!(all(&store, 1), bytes);
                if done {
                    break;
                }
                store.reopen(id(1)).unwrap().seal(len as u64).unwrap();
                assert_eq!(store.staged(), []);
                assert_eq!(all(&store, 1), bytes);
            }
        }
    }
}

#[test]
fn a_crash_before_the_staged_file_goes_leaves_two_that_become_one() {
    let (staging, server, store) = store();
    sealed(&store, 1, b"bytes").unwrap();
    drop(store);
    let beside = DirectoryStore::open(&Env::real(), staging.path()).unwrap();
    let writer = beside.create(id(1), 5).unwrap();
    writer.write_at(0, &[IoSlice::new(b"bytes")]).unwrap();
    writer.seal(5).unwrap();
    let store = open(&server, staging.path()).unwrap();
    assert_eq!(store.list_from(id(1)).unwrap(), [id(1)]);
    store.reopen(id(1)).unwrap().seal(5).unwrap();
    assert_eq!(store.staged(), []);
    assert_eq!(all(&store, 1), b"bytes");
}

#[test]
fn removing_what_is_staged_and_there_removes_both() {
    let (_staging, server, store) = store();
    let writer = store.create(id(1), 4096).unwrap();
    server.fail_once(Verb::Put, Fails::After);
    writer.seal(0).unwrap_err();
    store.remove(id(1)).unwrap();
    assert_eq!(server.names(), ["a/b/owner"]);
    assert_eq!(store.list_from(id(1)).unwrap(), []);
}

#[test]
fn other_bytes_under_the_id_are_never_overwritten() {
    for overwrites in [false, true] {
        for foreign in [&b"other"[..], b"longer than that"] {
            let (staging, server) = (tempfile::tempdir().unwrap(), Server::default());
            if overwrites {
                server.overwrite();
            }
            let store = open(&server, staging.path()).unwrap();
            server.put("a/b/segments/0000000001", foreign);
            let error = sealed(&store, 1, b"bytes").unwrap_err();
            assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
            assert_eq!(server.get("a/b/segments/0000000001"), foreign);
            assert_eq!(all(&store, 1), b"bytes");
        }
    }
}

#[test]
fn a_large_segment_is_put_in_parts_and_not_over_another_one() {
    let (_staging, server, store) = store();
    let bytes = vec![7; (1 << 20) + 300_000];
    sealed(&store, 1, &bytes).unwrap();
    assert_eq!(all(&store, 1), bytes);
    assert_eq!(server.parts(), 6);
    server.put("a/b/segments/0000000002", b"other");
    let error = sealed(&store, 2, &bytes).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
}

#[test]
fn a_large_segment_that_fails_leaves_no_parts() {
    let (_staging, server, store) = store();
    server.fail_once(Verb::Part, Fails::Before);
    sealed(&store, 1, &vec![7; 2 << 20]).unwrap_err();
    assert_eq!(server.uploads_under_way(), 0);
}

#[test]
fn a_prefix_has_one_owner() {
    let (staging, server, _store) = store();
    let bucket: Arc<dyn ObjectStore> = Arc::new(server);
    let again = |prefix: &str, owner: &str| {
        let rates = Rates::default();
        BucketStore::open(&Env::real(), Arc::clone(&bucket), prefix, owner, staging.path(), rates)
    };
    again("a/b", OWNER).unwrap();
    let error = again("a/b", "4567").err().unwrap().to_string();
    assert!(error.contains("another prefix") && error.contains(OWNER), "{error}");
    again("a/c", "4567").unwrap();
    again("", "89ab").unwrap();
}

#[test]
fn a_sealed_segment_is_not_written_otherwise() {
    let (_staging, server, store) = store();
    sealed(&store, 1, b"bytes").unwrap();
    let writer = store.reopen(id(1)).unwrap();
    writer.write_at(1, &[IoSlice::new(b"yt")]).unwrap();
    writer.write_at(1, &[IoSlice::new(b"yT")]).unwrap_err();
    writer.write_at(4, &[IoSlice::new(b"s!")]).unwrap_err();
    writer.seal(6).unwrap_err();
    writer.seal(5).unwrap();
    assert_eq!(server.get("a/b/segments/0000000001"), b"bytes");
}

#[test]
fn a_rate_is_of_what_the_bucket_is_asked_for() {
    let (clock, env) = slept();
    let (staging, server) = (tempfile::tempdir().unwrap(), Server::default());
    let rates = Rates {
        read_bytes: NonZeroU64::new(1000),
        written_bytes: NonZeroU64::new(1000),
        calls: None,
    };
    let cut = Cut { whole_max: 1 << 20, part_bytes: 256 << 10 };
    let store = limited(&env, &server, cut, rates, staging.path()).unwrap();
    let begun = clock.monotonic();
    let writer = store.create(id(1), 10_000).unwrap();
    writer.write_at(0, &[IoSlice::new(&[1; 10_000])]).unwrap();
    for _ in 0..100 {
        writer.sync().unwrap();
        store.read_at(id(1), 0, &mut [0; 10_000]).unwrap();
    }
    // What is here costs nothing of it.
    assert_eq!(clock.monotonic(), begun);
    writer.seal(10_000).unwrap();
    sealed(&store, 2, b"x").unwrap();
    assert!(clock.monotonic() - begun >= Duration::from_millis(9500));
}

#[test]
fn what_is_not_a_segment_is_not_listed() {
    let (_staging, server, store) = store();
    sealed(&store, 0xab, b"x").unwrap();
    for name in ["00000000AC", "ad", "0000000000", "00000000ae.seg", "00000000af/0000000001x"] {
        server.put(&format!("a/b/segments/{name}"), b"");
    }
    server.put("a/b/segments-not/00000000b0", b"");
    assert_eq!(store.list_from(id(1)).unwrap(), [id(0xab)]);
}

#[test]
fn the_room_is_that_of_the_staging() {
    let (_staging, _server, store) = store();
    assert!(store.space().unwrap().total > 0);
}

#[test]
fn a_store_may_be_used_and_dropped_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (_staging, _server, store) = store();
        sealed(&store, 1, b"bytes").unwrap();
        assert_eq!(all(&store, 1), b"bytes");
        drop(store);
    });
}

#[test]
fn the_librarys_own_memory_is_a_bucket() {
    let staging = tempfile::tempdir().unwrap();
    let bucket = Arc::new(InMemory::new());
    let (env, rates) = (Env::real(), Rates::default());
    let store = BucketStore::open(&env, bucket.clone(), "", OWNER, staging.path(), rates).unwrap();
    sealed(&store, 1, b"bytes").unwrap();
    let key = object_store::path::Path::from("segments/0000000001");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(bucket.head(&key)).unwrap().size, 5);
}
