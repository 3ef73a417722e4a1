//! Facts about buckets, with the library's own in memory and a server that fails on purpose.

mod server;

use std::num::NonZeroU64;
use std::time::Duration;

use archipelago_env::Clock;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use tempfile::TempDir;

use self::server::{Fails, Server, Verb};
use super::driver::Allowance;
use super::*;
use crate::conformance;
use crate::layer::{Patience, Retrying};
use crate::testing::slept;

const OWNER: &str = "0123";

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

fn open(server: &Server, staging: &Path) -> Result<BucketStore, StoreError> {
    limited(&slept().1, server, small(), Rates::default(), staging)
}

fn small() -> Cut {
    Cut { whole_max: 1 << 20, part_bytes: 256 << 10, allowance: Allowance::default() }
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
    // Nobody has to seal it again: of one that the catalog knows nobody would.
    assert_eq!(store.staged(), []);
    assert_eq!(store.list_from(id(1)).unwrap(), [id(1)]);
    assert_eq!(
        DirectoryStore::open(&Env::real(), staging.path()).unwrap().list_from(id(1)).unwrap(),
        []
    );
    store.reopen(id(1)).unwrap().seal(5).unwrap();
    assert_eq!(all(&store, 1), b"bytes");
}

#[test]
fn what_is_staged_with_other_bytes_than_the_bucket_has_stays() {
    let (staging, server, store) = store();
    for (segment, bytes) in [(1, &b"bytes"[..]), (2, b"longer than there"), (3, b"nothing there")] {
        let writer = store.create(id(segment), 100).unwrap();
        writer.write_at(0, &[IoSlice::new(bytes)]).unwrap();
        writer.sync().unwrap();
    }
    drop(store);
    server.put("a/b/segments/0000000001", &[7; 100]);
    server.put("a/b/segments/0000000002", b"other");
    let store = open(&server, staging.path()).unwrap();
    assert_eq!(store.staged(), [id(1), id(2), id(3)]);
    assert_eq!(all(&store, 1)[..5], *b"bytes");
}

#[test]
fn the_first_look_is_made_again_while_nobody_answers() {
    let (clock, env) = slept();
    for verb in [Verb::List, Verb::Get, Verb::Put] {
        let (staging, server) = (tempfile::tempdir().unwrap(), Server::default());
        server.fail_once(verb, Fails::Before);
        let before = clock.monotonic();
        limited(&env, &server, small(), Rates::default(), staging.path()).unwrap();
        assert!(clock.monotonic() > before);
    }
    // It has an end.
    let (staging, server) = (tempfile::tempdir().unwrap(), Server::default());
    server.fail_from(0, Fails::Before);
    let error = limited(&env, &server, small(), Rates::default(), staging.path()).err().unwrap();
    assert!(error.is_transient(), "{error:?}");
}

/// A world in which another store takes the prefix while we wait.
struct Rival(Server);

impl Clock for Rival {
    fn unix_ms(&self) -> u64 {
        0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {
        self.0.put("a/b/owner", b"archipelago pool 1\nstore 4567\n");
    }
}

#[test]
fn of_two_who_take_a_prefix_at_once_of_a_server_that_overwrites_one_has_it() {
    let (staging, server) = (tempfile::tempdir().unwrap(), Server::default());
    server.overwrite();
    let real = Env::real();
    let clock = Arc::new(Rival(server.clone()));
    let (random, disk, threads) = (real.random(), real.disk(), real.threads());
    let env = Env::new(clock, Arc::clone(random), Arc::clone(disk), Arc::clone(threads));
    let error = limited(&env, &server, small(), Rates::default(), staging.path()).err().unwrap();
    assert!(error.to_string().contains("4567"), "{error}");
}

#[test]
fn what_is_sealed_first_does_not_wait_for_what_is_not() {
    let (_staging, server, store) = store();
    for segment in 1..=3 {
        server.hold(&format!("a/b/segments/{}", id(segment)));
    }
    std::thread::scope(|scope| {
        for segment in 1..=3 {
            let store = &store;
            scope.spawn(move || sealed(store, segment, b"bulk").unwrap());
        }
        while server.holding() < UPLOADS_MAX {
            std::thread::yield_now();
        }
        let writer = store.create(id(4), 5).unwrap();
        writer.write_at(0, &[IoSlice::new(b"first")]).unwrap();
        writer.seal_first(5).unwrap();
        assert_eq!(server.get("a/b/segments/0000000004"), b"first");
        assert_eq!(server.holding(), UPLOADS_MAX);
        server.release();
    });
    assert_eq!(store.staged(), []);
}

#[test]
fn a_request_has_the_time_that_its_bytes_take() {
    let allowance = Allowance::default();
    assert_eq!(allowance.of(0), Duration::from_secs(30));
    // So three at once share 200 KB/s, with something to spare.
    assert_eq!(allowance.of(32 << 20), Duration::from_secs(30 + 512));
}

#[test]
fn a_server_that_takes_bytes_and_does_not_answer_is_not_waited_for_longer() {
    let (staging, server) = (tempfile::tempdir().unwrap(), Server::default());
    let allowance = Allowance { base: Duration::from_millis(200), bytes_per_second: 1 << 30 };
    let cut = Cut { allowance, ..small() };
    let store = limited(&slept().1, &server, cut, Rates::default(), staging.path()).unwrap();
    server.hold("a/b/segments/0000000001");
    let error = sealed(&store, 1, b"bytes").unwrap_err();
    assert!(error.is_transient() && format!("{error:?}").contains("no answer"), "{error:?}");
    server.release();
    assert_eq!(all(&store, 1), b"bytes");
}

#[test]
fn that_an_object_is_missing_is_not_taken_from_who_cannot_say_what_is() {
    let (staging, server, store) = store();
    sealed(&store, 1, b"bytes").unwrap();
    drop(store);
    let store = open(&server, staging.path()).unwrap();
    server.hide_once();
    assert_eq!(store.len(id(1)).unwrap(), 5);
    server.hide_once();
    assert!(matches!(store.len(id(2)), Err(StoreError::NotFound { .. })));
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
            // Who made the second one gives it up: that is not the first one.
            let store = if overwrites { store } else { open(&server, staging.path()).unwrap() };
            store.remove(id(1)).unwrap();
            assert_eq!(server.get("a/b/segments/0000000001"), foreign);
            assert_eq!(store.staged(), []);
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
fn an_upload_is_aborted_when_no_part_is_under_way_and_once_more_later() {
    let (_staging, server, store) = store();
    server.slow_parts();
    server.fail_once(Verb::Part, Fails::Before);
    let bytes = vec![7; 2 << 20];
    let writer = store.create(id(1), 2 << 20).unwrap();
    writer.write_at(0, &[IoSlice::new(&bytes)]).unwrap();
    writer.seal(2 << 20).unwrap_err();
    assert_eq!((server.aborts(), server.late_parts()), (1, 0));
    writer.seal(2 << 20).unwrap();
    assert_eq!((server.aborts(), server.late_parts()), (2, 0));
    assert_eq!(server.uploads_under_way(), 0);
    sealed(&store, 2, b"x").unwrap();
    assert_eq!(server.aborts(), 2);
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
    let store = limited(&env, &server, small(), rates, staging.path()).unwrap();
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
