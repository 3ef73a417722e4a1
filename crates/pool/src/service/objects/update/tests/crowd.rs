//! Facts about many writers of one object at once, against an array that does what they did in
//! the order of their versions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use archipelago_model::FileId;
use parking_lot::Mutex;

use super::*;
use crate::Collection;

const WRITERS: u64 = 8;
const EACH: u64 = 25;

/// What a writer did.
#[derive(Clone, Debug)]
enum Did {
    Put(Vec<u8>),
    Write(u64, Vec<u8>),
    Append(Vec<u8>),
    Resize(usize),
    Remove,
}

impl Did {
    fn to(&self, state: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut state = state.unwrap_or_default();
        match self {
            Self::Put(bytes) => state.clone_from(bytes),
            Self::Write(at, bytes) => {
                let at = *at as usize;
                assert!(at <= state.len(), "a write behind the end was done");
                state.resize(state.len().max(at + bytes.len()), 0);
                state[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Append(bytes) => state.extend_from_slice(bytes),
            Self::Resize(size) => state.resize(*size, 0),
            Self::Remove => return None,
        }
        Some(state)
    }
}

/// The `n`th thing that a writer tries; what it did, with the id of the version.
fn act(home: &Home, seed: u64) -> Option<(FileId, Did)> {
    let draw = noise(seed + 1000, 16);
    let number = |at: usize| u64::from(u16::from_le_bytes([draw[at], draw[at + 1]]));
    let lens = [
        number(2) % 700,
        number(2) % 9000,
        512 * (number(2) % 20),
        INLINE_BYTES,
        INLINE_BYTES + 16_384 + number(2),
    ];
    let bytes = noise(seed, lens[draw[4] as usize % lens.len()] as usize);
    let at = [number(6), number(6) / 512 * 512, number(6) % 2048][draw[8] as usize % 3];
    match draw[0] % 20 {
        0 => home.try_put("x", &bytes, &|_| Ok(())).ok().map(|done| (done.id, Did::Put(bytes))),
        1 => {
            let done = home.remove("x", Which::Latest);
            done.object.filter(|_| done.made_marker).map(|marker| (marker.id, Did::Remove))
        }
        2 | 3 => home.resize(at).ok().map(|done| (done.object.id, Did::Resize(at as usize))),
        4..12 => match home.write_at(Place::At(at), &bytes) {
            Ok(done) => Some((done.object.id, Did::Write(at, bytes))),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                None
            }
        },
        _ => {
            let done = home.write_at(Place::End, &bytes).unwrap();
            Some((done.object.id, Did::Append(bytes)))
        }
    }
}

/// Lets writers loose on one object; what they did, in the order of the versions.
fn crowd(home: &Home) -> BTreeMap<FileId, Did> {
    let all = Mutex::new(BTreeMap::new());
    let start = Barrier::new(WRITERS as usize);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (all, start) = (&all, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..EACH {
                    if let Some((id, did)) = act(home, writer * EACH + n) {
                        assert!(all.lock().insert(id, did).is_none(), "two versions of one id");
                    }
                }
            });
        }
    });
    all.into_inner()
}

fn check_versions(home: &Home, did: &BTreeMap<FileId, Did>) {
    let mut state = None;
    for (id, did) in did {
        state = did.to(state);
        let shown = home.get("x", Which::Version(*id)).ok();
        assert!(shown == state, "version {id:?} is not what {did:?} makes of the one before");
    }
    assert!(home.get("x", Which::Latest).ok() == state);
    home.counters();
}

#[test]
fn each_version_is_what_its_update_made_of_the_one_before() {
    let mut home = Home::new();
    home.versioning(Versioning::Enabled);
    let did = crowd(&home);
    check_versions(&home, &did);
    home.bench.crash();
    check_versions(&home, &did);
}

#[test]
fn where_no_versions_are_kept_the_last_has_all() {
    let home = Home::new();
    // A removal has no id here; it is put among the others by what it removed.
    let did = {
        let all = Mutex::new(BTreeMap::new());
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (home, all) = (&home, &all);
                scope.spawn(move || {
                    for n in 0..EACH {
                        let seed = writer * EACH + n;
                        if noise(seed + 1000, 16)[0] % 20 != 1
                            && let Some((id, did)) = act(home, seed)
                        {
                            all.lock().insert(id, did);
                        }
                    }
                });
            }
        });
        all.into_inner()
    };
    let state = did.values().fold(None, |state, did| did.to(state));
    assert!(home.get("x", Which::Latest).ok() == state);
    assert_eq!(home.counters(), (1, state.map_or(0, |bytes| bytes.len() as u64), 0));
}

#[test]
fn the_collector_and_readers_go_beside_writers() {
    let home = Home::new();
    home.versioning(Versioning::Enabled);
    let (ended, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = Mutex::new(Vec::new());
    let did = std::thread::scope(|scope| {
        scope.spawn(|| {
            let all = Collection { thorough: true, now: true, budget: None };
            while !ended.load(Ordering::Acquire) {
                home.service().collect(all).unwrap();
            }
        });
        scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                let name = named("x");
                if let Ok(content) = home.service().object_open(home.id, &name, Which::Latest) {
                    let mut bytes = Vec::new();
                    content.range(0, u64::MAX).read_to_end(&mut bytes).unwrap();
                    seen.lock().push((content.object().id, blake3_of(&bytes)));
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let did = crowd(&home);
        ended.store(true, Ordering::Release);
        did
    });
    check_versions(&home, &did);
    for (id, hash) in seen.into_inner() {
        let bytes = home.get("x", Which::Version(id)).unwrap();
        assert_eq!(blake3_of(&bytes), hash, "a reader saw something else of {id:?}");
    }
    assert!(reads.into_inner() > 0);
}

fn blake3_of(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

#[test]
fn one_that_is_refused_leaves_the_others_alone() {
    let home = Home::new();
    let start = Arc::new(Barrier::new(16));
    std::thread::scope(|scope| {
        for n in 0..16_u8 {
            let (home, start) = (&home, Arc::clone(&start));
            scope.spawn(move || {
                let name = named("x");
                let mut asked = 0;
                start.wait();
                for _ in 0..10 {
                    let bytes = [n; 3];
                    let mut input = &bytes[..];
                    let content = UpdateContent::Bytes { input: &mut input, size: None };
                    let decide: Box<Decide> = Box::new(move |_| {
                        asked += 1;
                        // Not at once, but when its turn comes.
                        if n % 4 == 0 && asked > 1 {
                            return Err(Error::new(ErrorKind::InUse, "not this one"));
                        }
                        Ok(Meta::default())
                    });
                    let update = Update { content, decide, ..update(home, &name, Place::End) };
                    let done = home.service().object_update(update);
                    assert_eq!(done.is_err(), n % 4 == 0);
                }
            });
        }
    });
    let mut wanted: Vec<[u8; 3]> =
        (0..16).filter(|n| n % 4 != 0).flat_map(|n| [[n; 3]; 10]).collect();
    let mut shown: Vec<[u8; 3]> =
        home.now().chunks_exact(3).map(|three| three.try_into().unwrap()).collect();
    wanted.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, wanted);
    assert_eq!(home.counters(), (1, 360, 0));
}

#[test]
fn lanes_are_gone_when_nobody_is_in_them() {
    let home = Home::new();
    crowd(&home);
    assert!(home.service().core.updates.is_empty());
}
