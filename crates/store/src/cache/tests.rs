use std::io::{ErrorKind, IoSlice};
use std::path::PathBuf;
use std::sync::Barrier;

use archipelago_env::Mode;
use tempfile::TempDir;

use super::*;
use crate::layer::{Cached, Effect, Failure, Fault, Faulty, Metered, Op};
use crate::testing::{IllDisk, Ills, slept};
use crate::{MemoryStore, Store};

const PAGE: usize = PAGE_BYTES as usize;
const STORE: [u8; 16] = [5; 16];
/// No multiple of a page.
const LEN: usize = 20 * PAGE + 1234;

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

fn content(segment: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u64 * 31 + (at as u64 >> 9) + segment * 77) as u8).collect()
}

/// A far pool whose requests are counted, and what is needed to open its cache again.
struct Rig {
    dir: TempDir,
    env: Env,
    disk: IllDisk,
    faults: Faulty,
    pool: Arc<Metered>,
    bytes: u64,
    token: Option<[u8; 16]>,
    next: SegmentId,
}

impl Rig {
    fn new() -> Self {
        let faults = Faulty::new(Arc::new(MemoryStore::new()));
        let disk = IllDisk::default();
        Self {
            dir: TempDir::new().unwrap(),
            env: disk.under(&slept().1),
            disk,
            pool: Arc::new(Metered::new(Arc::new(faults.clone()))),
            faults,
            bytes: CACHE_BYTES_MIN,
            token: None,
            next: SegmentId::MAX,
        }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn try_open(&self) -> Result<Arc<HostCache>, String> {
        HostCache::open(&self.env, &self.folder(), STORE, self.bytes, self.token)
    }

    fn open(&mut self) -> (Arc<HostCache>, Cached) {
        let cache = self.try_open().unwrap();
        self.token = Some(cache.token());
        cache.set_far(PoolId::FIRST, true);
        cache.begin(self.next).unwrap();
        let store = Cached::new(Arc::clone(&self.pool) as Arc<dyn Store>, Arc::clone(&cache));
        (cache, store)
    }

    fn seal(&self, segment: u64, len: usize) {
        let writer = self.pool.create(id(segment), len as u64).unwrap();
        writer.write_at(0, &[IoSlice::new(&content(segment, len))]).unwrap();
        writer.seal(len as u64).unwrap();
    }

    /// Reads that the pool was asked for since the last call.
    fn reads(&self, before: &mut u64) -> u64 {
        let now = self.pool.counts().reads;
        now - std::mem::replace(before, now)
    }

    fn flip(&self, file: &str, offset: u64) {
        let file = self.env.disk().open(&self.folder().join(file), Mode::Write).unwrap();
        let mut byte = [0];
        file.read_at(offset, &mut byte).unwrap();
        file.write_all_at(offset, &[IoSlice::new(&[byte[0] ^ 1])]).unwrap();
    }
}

fn read(store: &Cached, segment: u64, at: usize, len: usize) -> Vec<u8> {
    let mut out = vec![0xee; len];
    let got = store.read_sealed(id(segment), at as u64, &mut out).unwrap();
    out.truncate(got);
    out
}

fn is_right(store: &Cached, segment: u64, at: usize, len: usize) {
    let whole = content(segment, LEN);
    let end = (at + len).min(LEN);
    assert_eq!(read(store, segment, at, len), whole[at.min(LEN)..end], "{segment} {at} {len}");
}

#[test]
fn what_was_read_once_is_read_from_the_disk_of_the_host() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    let mut before = 0;
    for (at, len) in [(0, 10), (PAGE - 5, 10), (5 * PAGE, PAGE), (LEN - 7, 100), (LEN, 9)] {
        is_right(&store, 1, at, len);
    }
    assert!(rig.reads(&mut before) > 0);
    for (at, len) in [(0, 10), (PAGE - 5, 10), (5 * PAGE + 9, 100), (LEN - 1234, 5000), (LEN, 9)] {
        is_right(&store, 1, at, len);
    }
    assert_eq!(rig.reads(&mut before), 0);
    let figures = cache.figures();
    assert_eq!((figures.misses, figures.bytes), (4, 4 * PAGE_BYTES));
    assert_eq!(figures.mismatches + figures.errors + figures.evictions, 0);
}

#[test]
fn neighbours_that_are_missing_are_one_request() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (_, store) = rig.open();
    let mut before = 0;
    is_right(&store, 1, 3 * PAGE, 10);
    assert_eq!(rig.reads(&mut before), 1);
    is_right(&store, 1, PAGE, 6 * PAGE);
    assert_eq!(rig.reads(&mut before), 1, "with a page between them that is there");
    is_right(&store, 1, 0, LEN);
    assert!(rig.reads(&mut before) <= 3, "at most 1 MiB each");
}

#[test]
fn read_at_asks_the_pool_and_keeps_nothing() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, PAGE);
    let mut before = rig.pool.counts().reads;
    let mut out = vec![0; PAGE];
    store.read_at(id(1), 0, &mut out).unwrap();
    store.read_at(id(1), 5 * PAGE_BYTES, &mut out).unwrap();
    store.len(id(1)).unwrap();
    assert_eq!(rig.reads(&mut before), 2);
    assert_eq!(cache.figures().bytes, PAGE_BYTES);
}

#[test]
fn a_pool_that_is_not_far_is_read_past_the_cache() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    cache.set_far(PoolId::FIRST, false);
    is_right(&store, 1, 0, PAGE);
    assert_eq!(
        cache.figures(),
        CacheFigures { bytes_max: cache.figures().bytes_max, ..Default::default() }
    );
}

#[test]
fn nothing_is_served_or_kept_before_it_begins() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, PAGE);
    drop((cache, store));
    let cache = rig.try_open().unwrap();
    cache.set_far(PoolId::FIRST, true);
    let store = Cached::new(Arc::clone(&rig.pool) as Arc<dyn Store>, Arc::clone(&cache));
    let mut before = rig.pool.counts().reads;
    is_right(&store, 1, 0, PAGE);
    is_right(&store, 1, PAGE, PAGE);
    assert_eq!(rig.reads(&mut before), 2);
    assert_eq!(cache.figures().bytes, PAGE_BYTES);
}

#[test]
fn after_a_restart_it_is_still_warm_and_knows_lengths() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let opened = rig.open();
    is_right(&opened.1, 1, 0, LEN);
    drop(opened);
    let (cache, store) = rig.open();
    let before = rig.pool.counts();
    is_right(&store, 1, 0, LEN);
    assert_eq!(store.sealed_len(id(1)).unwrap(), LEN as u64);
    assert_eq!(rig.pool.counts(), before);
    assert_eq!(cache.figures().hits, 21);
}

#[test]
fn a_page_that_is_torn_or_rotten_is_a_miss_and_never_read() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, 4 * PAGE);
    rig.flip("cache-pages", 100);
    rig.flip("cache-pages", 3 * PAGE_BYTES - 1);
    let mut before = rig.pool.counts().reads;
    is_right(&store, 1, 0, 4 * PAGE);
    assert_eq!(rig.reads(&mut before), 1);
    assert_eq!(cache.figures().mismatches, 2);
    is_right(&store, 1, 0, 4 * PAGE);
    assert_eq!(rig.reads(&mut before), 0);
    drop((cache, store));
    // A record, and pages that a crash cut off.
    rig.flip("cache-index", 4096 + 33);
    let pages = rig.env.disk().open(&rig.folder().join("cache-pages"), Mode::Write).unwrap();
    pages.set_len(3 * PAGE_BYTES + 5).unwrap();
    let (_, store) = rig.open();
    is_right(&store, 1, 0, LEN);
}

#[test]
fn a_full_cache_lets_go_of_pages_and_stays_within_its_bytes() {
    let mut rig = Rig::new();
    for segment in 1..=20 {
        rig.seal(segment, LEN);
    }
    let (cache, store) = rig.open();
    for segment in 1..=20 {
        is_right(&store, segment, 0, LEN);
    }
    let figures = cache.figures();
    assert!(figures.evictions > 0 && figures.bytes <= CACHE_BYTES_MIN, "{figures:?}");
    for file in ["cache-pages", "cache-index"] {
        let file = rig.env.disk().open(&rig.folder().join(file), Mode::Read).unwrap();
        assert!(file.len().unwrap() <= CACHE_BYTES_MIN);
    }
    for segment in 1..=20 {
        is_right(&store, segment, 7 * PAGE - 100, 2 * PAGE);
    }
    drop((cache, store));
    let (cache, store) = rig.open();
    assert!(cache.figures().bytes + 8 * PAGE_BYTES >= figures.bytes, "{:?}", cache.figures());
    for segment in 1..=20 {
        is_right(&store, segment, 0, LEN);
    }
}

#[test]
fn a_cache_that_is_made_smaller_or_larger_goes_on_with_what_it_has() {
    let mut rig = Rig::new();
    rig.bytes = 4 * CACHE_BYTES_MIN;
    for segment in 1..=30 {
        rig.seal(segment, LEN);
    }
    let (_, store) = rig.open();
    for segment in 1..=30 {
        is_right(&store, segment, 0, LEN);
    }
    drop(store);
    for bytes in [CACHE_BYTES_MIN, 2 * CACHE_BYTES_MIN] {
        rig.bytes = bytes;
        let (cache, store) = rig.open();
        let kept = cache.figures().bytes;
        assert!(kept > CACHE_BYTES_MIN / 2 && kept <= bytes, "{kept}");
        for segment in 1..=30 {
            is_right(&store, segment, 0, LEN);
        }
    }
}

#[test]
fn many_readers_of_one_page_make_one_request() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    rig.faults.inject(Fault { times: 1, ..Fault::always(Op::Read, Effect::Hang) });
    // The first one hangs until the faults are healed, and fails then: so do all who waited.
    std::thread::scope(|scope| {
        let reads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| store.read_sealed(id(1), 10, &mut [0; 100]))).collect();
        while cache.figures().misses < 8 {
            std::thread::yield_now();
        }
        rig.faults.heal();
        let answers = reads.into_iter().map(|read| read.join().unwrap());
        let failed = answers.filter(Result::is_err).count();
        assert_eq!(failed, 8);
    });
    assert_eq!(rig.pool.counts().reads, 1);
    is_right(&store, 1, 10, 100);
    assert_eq!(rig.pool.counts().reads, 2);
}

#[test]
fn readers_at_once_read_what_is_there() {
    let mut rig = Rig::new();
    for segment in 1..=20 {
        rig.seal(segment, LEN);
    }
    let (cache, store) = rig.open();
    let (all, store) = (Barrier::new(8), &store);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let all = &all;
            scope.spawn(move || {
                all.wait();
                let mut state = thread + 1;
                for _ in 0..300 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (segment, at) = (1 + (state >> 33) % 20, (state >> 40) as usize % LEN);
                    is_right(store, segment, at, 1 + (state >> 50) as usize * 10);
                }
            });
        }
    });
    let figures = cache.figures();
    assert!(figures.hits > 0 && figures.evictions > 0 && figures.mismatches == 0, "{figures:?}");
    assert!(cache.state.lock().flights.is_empty());
}

#[test]
fn an_error_of_the_pool_is_told_and_nothing_is_kept() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    rig.faults.inject(Fault::once(Op::Read, Effect::Fail(Failure::Unavailable)));
    let error = store.read_sealed(id(1), 0, &mut [0; 10]).unwrap_err();
    assert!(error.is_transient());
    assert!(matches!(
        store.read_sealed(id(2), 0, &mut [0; 10]),
        Err(StoreError::NotFound { segment }) if segment == id(2)
    ));
    assert_eq!(cache.figures().bytes, 0);
    is_right(&store, 1, 0, 10);
}

#[test]
fn a_pool_that_is_away_is_not_missed_for_what_is_kept() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (_, store) = rig.open();
    is_right(&store, 1, 0, PAGE);
    for op in [Op::Read, Op::Len] {
        rig.faults.inject(Fault::always(op, Effect::Fail(Failure::Unavailable)));
    }
    is_right(&store, 1, 5, 100);
    assert!(store.read_sealed(id(1), 2 * PAGE_BYTES, &mut [0; 10]).is_err());
}

#[test]
fn bytes_that_the_pool_gave_wrong_once_go_when_they_are_doubted() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    rig.faults.inject(Fault::once(Op::Read, Effect::Flip { offset: 50, mask: 1 }));
    assert_ne!(read(&store, 1, 0, 100), content(1, 100));
    assert_ne!(read(&store, 1, 0, 100), content(1, 100), "it is kept");
    assert!(cache.doubt(id(1)));
    assert!(!cache.doubt(id(1)));
    is_right(&store, 1, 0, 100);
}

#[test]
fn a_full_disk_keeps_no_more_and_what_is_kept_is_read() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, PAGE);
    rig.disk.set(Ills { writes: Some(ErrorKind::StorageFull), ..Ills::default() });
    is_right(&store, 1, 5 * PAGE, 3 * PAGE);
    let mut before = rig.pool.counts().reads;
    is_right(&store, 1, 0, PAGE);
    assert_eq!(rig.reads(&mut before), 0);
    is_right(&store, 1, 5 * PAGE, 3 * PAGE);
    assert_eq!(rig.reads(&mut before), 1);
    let (figures, problem) = (cache.figures(), cache.problem().unwrap());
    assert_eq!((figures.errors, figures.bytes), (1, PAGE_BYTES), "one write was tried");
    assert!(problem.contains("disk of the cache"), "{problem}");
    rig.disk.set(Ills::default());
    is_right(&store, 1, 5 * PAGE, 3 * PAGE);
    assert_eq!(cache.figures().bytes, PAGE_BYTES, "it is left alone for a while");
    rig.env.clock().sleep(aside::PAUSE);
    is_right(&store, 1, 5 * PAGE, 3 * PAGE);
    assert_eq!(cache.figures().bytes, 4 * PAGE_BYTES);
    assert_eq!(cache.problem(), None);
}

#[test]
fn a_disk_that_fails_is_left_alone_and_the_pool_is_read() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, 2 * PAGE);
    rig.disk.set(Ills { reads: Some(ErrorKind::Other), ..Ills::default() });
    is_right(&store, 1, 0, 10);
    is_right(&store, 1, 0, 10);
    is_right(&store, 1, PAGE, 10);
    assert_eq!(cache.figures().errors, 1);
    assert!(cache.problem().is_some());
    rig.disk.set(Ills::default());
    rig.env.clock().sleep(aside::PAUSE);
    is_right(&store, 1, PAGE, 10);
    is_right(&store, 1, 0, 10);
    is_right(&store, 1, 0, 10);
    assert_eq!(cache.problem(), None);
}

#[test]
fn a_cache_takes_no_room_that_others_need() {
    let mut rig = Rig::new();
    for segment in 1..=20 {
        rig.seal(segment, LEN);
    }
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, PAGE);
    rig.disk.set(Ills { free: Some(100 << 20), ..Ills::default() });
    for segment in 1..=20 {
        is_right(&store, segment, 0, LEN);
    }
    let figures = cache.figures();
    let first = u64::from(GROWTH.min(cache.capacity)) * PAGE_BYTES;
    assert!(figures.bytes <= first, "{figures:?}");
    if u64::from(cache.capacity) * PAGE_BYTES > first {
        assert!(cache.problem().is_some());
    }
}

#[test]
fn a_cache_without_any_room_keeps_nothing_and_reads_all_the_same() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    rig.disk.set(Ills { growth: Some(ErrorKind::StorageFull), ..Ills::default() });
    is_right(&store, 1, 0, LEN);
    is_right(&store, 1, 0, LEN);
    assert_eq!(cache.figures().bytes, 0);
    assert!(cache.problem().unwrap().contains("stays at 0 bytes"));
    rig.disk.set(Ills::default());
    rig.env.clock().sleep(aside::PAUSE);
    is_right(&store, 1, 0, LEN);
    assert_eq!(cache.figures().bytes, 21 * PAGE_BYTES);
    assert_eq!(cache.problem(), None);
}

#[test]
fn two_processes_do_not_share_a_cache() {
    let mut rig = Rig::new();
    let opened = rig.open();
    let refused = rig.try_open().err().unwrap();
    assert!(refused.contains("another archipelago"), "{refused}");
    drop(opened);
    rig.try_open().unwrap();
}

#[test]
fn the_cache_of_another_store_is_refused_and_left_as_it_is() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let opened = rig.open();
    is_right(&opened.1, 1, 0, PAGE);
    drop(opened);
    let other = HostCache::open(&rig.env, &rig.folder(), [6; 16], rig.bytes, rig.token);
    let refused = other.err().unwrap();
    assert!(refused.contains("another store"), "{refused}");
    let (cache, _) = rig.open();
    assert_eq!(cache.figures().bytes, PAGE_BYTES);
}

#[test]
fn a_folder_with_something_else_in_it_is_refused() {
    let rig = Rig::new();
    rig.env.disk().create_dir_all(&rig.folder()).unwrap();
    rig.env.disk().open(&rig.folder().join("letters"), Mode::CreateNew).unwrap();
    let refused = rig.try_open().err().unwrap();
    assert!(refused.contains("letters"), "{refused}");
    assert!(rig.env.disk().open(&rig.folder().join("letters"), Mode::Read).is_ok());
}

#[test]
fn an_index_that_is_no_index_is_refused() {
    let mut rig = Rig::new();
    drop(rig.open());
    rig.flip("cache-index", 3);
    let refused = rig.try_open().err().unwrap();
    assert!(refused.contains("cache-index"), "{refused}");
}

#[test]
fn a_cache_that_did_not_see_an_opening_of_its_store_is_made_anew() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, PAGE);
    let token = cache.token();
    drop((cache, store));
    for trusted in [None, Some([1; 16])] {
        rig.token = trusted;
        let (cache, _) = rig.open();
        assert_ne!(cache.token(), token);
        assert_eq!(cache.figures().bytes, 0);
    }
}

#[test]
fn pages_of_a_segment_that_is_not_made_yet_are_taken_back_for_ever() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    rig.seal(7, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, PAGE);
    is_right(&store, 7, 0, 3 * PAGE);
    drop((cache, store));
    // An old copy of the data folder is put back, and the id is given again.
    rig.next = id(7);
    let (cache, _) = rig.open();
    assert_eq!(cache.figures().bytes, PAGE_BYTES);
    drop(cache);
    rig.next = SegmentId::MAX;
    let (cache, _) = rig.open();
    assert_eq!(cache.figures().bytes, PAGE_BYTES);
}

#[test]
fn what_is_kept_of_a_segment_that_is_written_again_is_taken_back_for_ever() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    rig.seal(2, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, LEN);
    is_right(&store, 2, 0, PAGE);
    store.reopen(id(1)).unwrap();
    assert_eq!(cache.figures().bytes, PAGE_BYTES);
    drop((cache, store));
    let (cache, _) = rig.open();
    assert_eq!(cache.figures().bytes, PAGE_BYTES);
}

#[test]
fn a_segment_is_not_written_again_while_its_pages_cannot_be_taken_back() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, PAGE);
    let broken = Some(ErrorKind::Other);
    rig.disk.set(Ills { syncs: broken, removals: broken, ..Ills::default() });
    let error = store.reopen(id(1)).err().unwrap();
    assert!(error.to_string().contains("the cache on the host's disk"), "{error}");
    // Where all of it can be removed, it is.
    is_right(&store, 1, 0, PAGE);
    rig.disk.set(Ills::default());
    let opened = (cache, store);
    drop(opened);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, PAGE);
    rig.disk.set(Ills { syncs: broken, ..Ills::default() });
    store.reopen(id(1)).unwrap();
    rig.disk.set(Ills::default());
    drop((cache, store));
    let (cache, _) = rig.open();
    assert_eq!(cache.figures().bytes, 0);
}

#[test]
fn what_is_removed_makes_room() {
    let mut rig = Rig::new();
    rig.seal(1, LEN);
    let (cache, store) = rig.open();
    is_right(&store, 1, 0, LEN);
    store.remove(id(1)).unwrap();
    assert_eq!(cache.figures().bytes, 0);
    assert!(store.read_sealed(id(1), 0, &mut [0; 1]).is_err());
}
