//! Facts about the simulated world as a whole, with the segment store in it.

use archipelago_model::{PoolId, SegmentId};
use archipelago_store::layer::Cached;
use archipelago_store::{
    CACHE_BYTES_MIN, DirectoryStore, HostCache, MemoryStore, Store, StoreError, conformance,
};
use std::io::IoSlice;

use super::*;

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

fn store(env: &Env) -> Result<DirectoryStore, StoreError> {
    DirectoryStore::open(env, Path::new("/pool"))
}

#[test]
fn the_directory_store_conforms_on_the_simulated_disk() {
    conformance::check(|| {
        let (env, handle) = env(1);
        handle.set_room(16 << 20);
        Arc::new(store(&env).unwrap())
    });
}

#[test]
fn the_directory_store_conforms_on_a_full_disk() {
    let (env, handle) = env(1);
    handle.set_room(1 << 20);
    conformance::check_full(&store(&env).unwrap());
}

#[test]
fn equal_seeds_give_equal_worlds() {
    let run = |seed| {
        let (env, handle) = env(seed);
        let disk = env.disk();
        let file = disk.open(Path::new("f"), archipelago_env::Mode::CreateNew).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        let mut bytes = vec![0; 100_000];
        env.random().fill(&mut bytes);
        file.write_all_at(0, &[IoSlice::new(&bytes)]).unwrap();
        let next = handle.crash();
        let kept = next.disk().open(Path::new("f"), archipelago_env::Mode::Read).unwrap();
        let len = kept.read_at(0, &mut bytes).unwrap();
        bytes.truncate(len);
        (env.clock().unix_ms(), bytes)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_sync_that_failed_makes_a_writer_useless() {
    let (env, handle) = env(1);
    let store = store(&env).unwrap();
    let writer = store.create(id(1), 4096).unwrap();
    writer.write_at(0, &[IoSlice::new(b"abc")]).unwrap();
    handle.inject(Fault::once(DiskOp::SyncData, Failure::Io));
    assert!(writer.sync().is_err());
    assert!(writer.sync().is_err(), "a second sync would be a lie");
    assert!(writer.write_at(0, &[IoSlice::new(b"abc")]).is_err());
    assert!(writer.seal(3).is_err());
}

#[test]
fn a_read_only_filesystem_is_told_apart() {
    let (env, handle) = env(1);
    let store = store(&env).unwrap();
    handle.inject(Fault::always(DiskOp::Create, Failure::ReadOnly));
    assert!(matches!(store.create(id(1), 0), Err(StoreError::ReadOnly { .. })));
}

/// Creates, fills, seals and removes segments; `told` hears of what is certain.
fn work(env: &Env, told: &mut Told) -> Result<(), StoreError> {
    let store = store(env)?;
    for raw in [4094, 4095, 4096, 4097] {
        told.created.push((id(raw), false));
        let writer = store.create(id(raw), 8192)?;
        told.created.last_mut().expect("pushed above").1 = true;
        writer.write_at(0, &[IoSlice::new(&[raw as u8; 3000])])?;
        if raw % 2 == 0 {
            writer.sync()?;
            told.synced.push(id(raw));
            writer.seal(3000)?;
            told.sealed.push(id(raw));
        }
    }
    told.removing = true;
    store.remove(id(4094))?;
    told.removed = true;
    // So that power also fails when the removal is certain.
    told.created.push((id(4098), false));
    store.create(id(4098), 0)?;
    Ok(())
}

#[derive(Default)]
struct Told {
    /// With whether the call returned.
    created: Vec<(SegmentId, bool)>,
    synced: Vec<SegmentId>,
    sealed: Vec<SegmentId>,
    removing: bool,
    removed: bool,
}

impl Told {
    fn check(&self, store: &dyn Store) -> Result<(), StoreError> {
        let listed = store.list_from(id(1))?;
        for (segment, certain) in &self.created {
            let first = *segment == id(4094);
            let there = listed.contains(segment);
            assert!(there || !certain || (first && self.removing), "{segment} was lost");
            assert!(!(there && first && self.removed), "{segment} came back");
        }
        assert!(listed.iter().all(|segment| self.created.iter().any(|(id, _)| id == segment)));
        for segment in self.synced.iter().filter(|segment| listed.contains(segment)) {
            let mut bytes = vec![0; 4000];
            let len = store.read_at(*segment, 0, &mut bytes)?;
            assert!(len >= 3000 && bytes[..3000] == [segment.get() as u8; 3000]);
        }
        for segment in self.sealed.iter().filter(|segment| listed.contains(segment)) {
            assert_eq!(store.len(*segment)?, 3000);
        }
        Ok(())
    }
}

#[test]
fn the_store_keeps_its_word_wherever_power_fails() {
    let (undisturbed, handle) = env(0);
    work(&undisturbed, &mut Told::default()).unwrap();
    let changes = handle.changes();
    for seed in 0..20 {
        for point in 0..changes {
            let (env, handle) = env(seed << 32 | point);
            handle.inject(Fault::power_off_after(point));
            let mut told = Told::default();
            work(&env, &mut told).unwrap_err();
            told.check(&store(&handle.crash()).unwrap()).unwrap();
        }
    }
}

#[test]
fn a_crash_drops_the_threads_that_have_not_run() {
    let (env, handle) = env(0);
    env.threads().spawn("t", Box::new(|| panic!("it must not run"))).unwrap();
    handle.crash();
    assert_eq!(handle.run_threads(), 0);
}

#[test]
fn a_seal_after_one_that_failed_is_durable() {
    for seed in 0..20 {
        let (env, handle) = env(seed);
        let writer = store(&env).unwrap().create(id(1), 4096).unwrap();
        writer.write_at(0, &[IoSlice::new(&[7; 3000])]).unwrap();
        writer.sync().unwrap();
        let env = handle.kill();
        let writer = store(&env).unwrap().reopen(id(1)).unwrap();
        handle.inject(Fault::once(DiskOp::SyncData, Failure::Io));
        assert!(writer.seal(512).is_err());
        let env = handle.kill();
        store(&env).unwrap().reopen(id(1)).unwrap().seal(512).unwrap();
        let env = handle.crash();
        assert_eq!(store(&env).unwrap().len(id(1)).unwrap(), 512, "seed {seed}");
    }
}

/// A page of the cache, and less than a segment.
const PAGE: u64 = 64 << 10;
const SEGMENT: u64 = 30 * PAGE + 777;

fn byte(segment: u64, at: u64) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16) ^ (segment * 37)) as u8
}

/// Reads so many ranges, each of which has to be right.
fn reads_right(env: &Env, store: &Cached, reads: u32) {
    for _ in 0..reads {
        let mut dice = [0; 12];
        env.random().fill(&mut dice);
        let number =
            |at: usize| u64::from(u32::from_le_bytes(dice[at..at + 4].try_into().unwrap()));
        let (segment, at) = (1 + number(0) % 12, number(4) % SEGMENT);
        let mut out = vec![0; 1 + number(8) as usize % (3 * PAGE as usize)];
        let got = store.read_sealed(id(segment), at, &mut out).unwrap();
        assert_eq!(got as u64, (SEGMENT - at).min(out.len() as u64));
        let expected = (at..).map(|at| byte(segment, at));
        assert!(out[..got].iter().copied().eq(expected.take(got)), "{segment} {at} {got}");
    }
}

#[test]
fn a_cache_that_power_cuts_tear_gives_no_wrong_byte() {
    let pool = Arc::new(MemoryStore::new());
    for segment in 1..=12 {
        let writer = pool.create(id(segment), SEGMENT).unwrap();
        let bytes: Vec<u8> = (0..SEGMENT).map(|at| byte(segment, at)).collect();
        writer.write_at(0, &[IoSlice::new(&bytes)]).unwrap();
        writer.seal(SEGMENT).unwrap();
    }
    let (mut torn, mut warm) = (0, 0);
    for seed in 0..12 {
        let (mut env, handle) = env(seed);
        let mut token = None;
        for life in 0..6 {
            let folder = Path::new("/cache");
            let cache = HostCache::open(&env, folder, [1; 16], CACHE_BYTES_MIN, token).unwrap();
            token = Some(cache.token());
            cache.set_far(PoolId::FIRST, true);
            cache.begin(SegmentId::MAX).unwrap();
            let store = Cached::new(pool.clone() as Arc<dyn Store>, Arc::clone(&cache));
            warm += u64::from(life > 0 && cache.figures().bytes > 0);
            reads_right(&env, &store, 60);
            // Amid a write, or between two.
            handle.inject(Fault::once(DiskOp::Write, Failure::Io));
            reads_right(&env, &store, 20);
            torn += cache.figures().mismatches;
            env = if life % 3 == 2 { handle.kill() } else { handle.crash() };
        }
    }
    assert!(torn > 0 && warm > 0, "{torn} pages were torn, {warm} lives began warm");
}
