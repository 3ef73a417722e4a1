//! Facts about moves between pools.

use std::fs;
use std::path::PathBuf;

use archipelago_model::{PoolId, PoolName, SegmentId};
use archipelago_store::Spread;

use crate::catalog::segment::{self, Known, State};
use crate::core::FIRST_SEGMENT;
use crate::service::Moved;
use crate::testing::{Bench, MIB, noise, stream, vol};
use crate::{Collection, ErrorKind, PoolState, Service, Stored};

const NOW: Collection = Collection { thorough: true, now: true, budget: None };

fn pool(name: &str) -> PoolName {
    name.parse().unwrap()
}

impl Bench {
    fn place_of(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn add(&self, name: &str) {
        let url = format!("file://{}", self.place_of(name).display());
        self.service.pool_add(&pool(name), &url).unwrap();
    }

    fn spread(&self) -> &Spread {
        &self.service.core.pools.spread
    }

    fn id_of(&self, name: &str) -> PoolId {
        let rows = self.service.core.catalog.read(crate::catalog::place::list).unwrap();
        rows.into_iter().find(|row| row.name.as_str() == name).unwrap().id
    }

    /// Segments in a pool itself, whatever anybody says.
    fn segments_in(&self, name: &str) -> Vec<SegmentId> {
        self.spread().member(self.id_of(name)).unwrap().list_from(FIRST_SEGMENT).unwrap()
    }

    fn known(&self) -> Vec<Known> {
        self.service.core.catalog.read(segment::list).unwrap()
    }

    fn move_all(&self) -> Moved {
        self.service.move_due().unwrap()
    }

    /// Bytes of a volume by pool.
    fn placed(&self, volume: &str) -> Vec<(String, bool)> {
        let placement = self.service.volume_placement(&vol(volume)).unwrap();
        placement.stored.into_iter().map(|(pool, n)| (pool.to_string(), n > 0)).collect()
    }

    fn check_clean(&self) {
        let found = self.service.check().unwrap();
        assert!(found.is_empty(), "{found:?}");
    }
}

/// A volume whose data is in cold and hot segments that no recovery reads again.
fn world() -> (Bench, Vec<u8>) {
    let bench = Bench::new();
    let mut bytes = noise(1, 12 * MIB as usize);
    bench.import("base", &stream(&bytes)).unwrap();
    bench.clone_as("web", "image:base", None).unwrap();
    let new = noise(2, 5 * MIB as usize);
    bench.put("web", 0, &new);
    bytes[..new.len()].copy_from_slice(&new);
    bench.snapshot("web@before").unwrap();
    bench.service.collect(Collection { thorough: true, now: false, budget: None }).unwrap();
    (bench, bytes)
}

#[test]
fn a_volume_moves_with_all_that_its_map_names_and_reads_the_same() {
    let (mut bench, bytes) = world();
    bench.add("second");
    let placement = bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    assert_eq!(placement.pool, Some(pool("second")));
    let done = bench.move_all();
    assert!(done.segments >= 2 && done.left == 0, "{done:?}");
    assert_eq!(bench.placed("web"), [("second".to_owned(), true)]);
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    // Each segment is in one pool, and the catalog knows in which.
    let (first, second) = (bench.segments_in("default"), bench.segments_in("second"));
    // Some were written there by the compaction that took others apart.
    assert!(done.segments <= second.len() as u64);
    assert!(second.iter().all(|id| !first.contains(id)));
    let of_second = bench.known().into_iter().filter(|one| one.pool != PoolId::FIRST);
    assert_eq!(of_second.map(|one| one.id).collect::<Vec<_>>(), second);
    bench.check_clean();
    bench.reopen();
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    assert!(bench.get("web@before", 0, bytes.len()) == bytes);
    // And back.
    bench.service.volume_place(&vol("web"), Some(&pool("default"))).unwrap();
    bench.move_all();
    assert_eq!(bench.segments_in("second"), []);
    assert_eq!(bench.placed("web"), [("default".to_owned(), true)]);
    bench.crash();
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    bench.check_clean();
}

#[test]
fn a_volume_moves_under_writes() {
    let (bench, mut bytes) = world();
    bench.add("second");
    let device = bench.device("web");
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                bench.move_all();
                bench.service.collect(NOW).unwrap();
            }
        });
        for seed in 0..40 {
            let (at, new) = ((seed * 7 % 11) * MIB, noise(100 + seed, MIB as usize));
            device.write(&[crate::Write::Data { offset: at, bytes: &new }]).unwrap();
            device.flush().unwrap();
            bytes[at as usize..at as usize + new.len()].copy_from_slice(&new);
            assert!(bench.get("web", 0, bytes.len()) == bytes);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        mover.join().unwrap();
    });
    drop(device);
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    bench.check_clean();
}

#[test]
fn shared_segments_move_once_and_stay_with_one_who_wants_them() {
    let (bench, bytes) = world();
    bench.add("second");
    bench.add("third");
    bench.clone_as("twin", "snapshot:web@before", None).unwrap();
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    bench.move_all();
    let there = bench.segments_in("second");
    bench.service.volume_place(&vol("twin"), Some(&pool("third"))).unwrap();
    assert_eq!(bench.move_all().segments, 0);
    assert_eq!(bench.segments_in("second"), there);
    assert!(bench.get("twin", 0, bytes.len()) == bytes);
}

#[test]
fn what_is_put_into_a_container_goes_to_its_pool_and_what_was_there_follows() {
    let bench = Bench::new();
    bench.add("second");
    let account = crate::core::OPERATOR;
    let home = bench.service.container_create(account, &"c".parse().unwrap()).unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let finish = &mut |_: &Stored| Ok(crate::Meta::default());
        let (name, mut input) = (name.parse().unwrap(), bytes);
        let size = Some(bytes.len() as u64);
        bench.service.object_put(home.id, &name, size, &mut input, finish, &|_| Ok(())).unwrap();
    };
    let (old, new) = (noise(1, 3 * MIB as usize), noise(2, 3 * MIB as usize));
    put("old", &old);
    assert_eq!(bench.segments_in("second"), []);
    bench.service.container_place(account, &home.name, Some(&pool("second"))).unwrap();
    put("new", &new);
    let direct = bench.segments_in("second");
    assert!(!direct.is_empty());
    bench.service.collect(NOW).unwrap();
    bench.move_all();
    assert!(bench.segments_in("second").len() > direct.len());
    assert!(bench.get("file:c/old", 0, old.len()) == old);
    assert!(bench.get("file:c/new", 0, new.len()) == new);
    bench.check_clean();
}

#[test]
fn an_account_says_for_its_containers_which_say_nothing() {
    let bench = Bench::new();
    bench.add("second");
    let account = bench.service.account_create(&"lab".parse().unwrap(), None).unwrap().id;
    bench.service.account_place(account, Some(&pool("second"))).unwrap();
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    let a = bench.service.container_create(account, &a).unwrap().id;
    bench.service.container_create(account, &b).unwrap();
    bench.service.container_place(account, &b, Some(&pool("default"))).unwrap();
    let b = bench.service.container(account, &b).unwrap().id;
    assert_eq!(bench.service.core.pool_for(a).unwrap(), bench.id_of("second"));
    assert_eq!(bench.service.core.pool_for(b).unwrap(), PoolId::FIRST);
}

#[test]
fn a_drained_pool_is_empty_after_a_collection_and_may_be_removed() {
    let (mut bench, bytes) = world();
    bench.add("second");
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    bench.move_all();
    // Something that nobody names any more is in it, too.
    bench.put("web", 0, &noise(3, 5 * MIB as usize));
    bench.service.snapshot_remove(&"web@before".parse().unwrap()).unwrap();
    let refused = bench.service.pool_remove(&pool("second")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    bench.service.pool_drain(&pool("second"), None).unwrap();
    bench.service.collect(NOW).unwrap();
    bench.move_all();
    bench.service.collect(NOW).unwrap();
    assert_eq!(bench.segments_in("second"), []);
    // A volume still says that it wants to be there.
    let refused = bench.service.pool_remove(&pool("second")).unwrap_err();
    assert!(refused.message().contains("are to be in it"), "{refused}");
    bench.service.volume_place(&vol("web"), None).unwrap();
    bench.service.pool_remove(&pool("second")).unwrap();
    assert!(!bench.place_of("second").join("owner").exists());
    assert_eq!(bench.service.pools().unwrap().len(), 1);
    bench.reopen();
    let (new, at) = (noise(3, 5 * MIB as usize), 5 * MIB as usize);
    assert!(bench.get("web", 0, at) == new);
    assert!(bench.get("web", at as u64, bytes.len() - at) == bytes[at..]);
    bench.check_clean();
}

#[test]
fn what_a_pool_keeps_is_compacted_in_it() {
    let (bench, bytes) = world();
    bench.add("second");
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    bench.move_all();
    bench.service.image_remove(&"base".parse().unwrap()).unwrap();
    bench.service.snapshot_remove(&"web@before".parse().unwrap()).unwrap();
    let half = noise(4, 9 * MIB as usize);
    bench.put("web", 0, &half);
    let before = bench.segments_in("second");
    bench.service.collect(NOW).unwrap();
    let after = bench.segments_in("second");
    assert!(after.iter().any(|id| !before.contains(id)), "nothing new was written there");
    let rest = bytes.len() - half.len();
    assert!(bench.get("web", half.len() as u64, rest) == bytes[half.len()..]);
    bench.check_clean();
}

#[test]
fn a_copy_that_a_crash_left_is_removed_on_either_side() {
    let (mut bench, bytes) = world();
    bench.add("second");
    let second = bench.id_of("second");
    // After the copy, before the transaction; and after it, before the removal.
    let cold: Vec<SegmentId> = bench
        .known()
        .iter()
        .filter(|one| one.state == State::Sealed && one.kind == segment::Kind::Cold)
        .map(|one| one.id)
        .collect();
    let go = &mut |_| std::ops::ControlFlow::Continue(());
    let copied = bench.spread().copy(cold[0], second, go).unwrap().unwrap();
    std::mem::forget(copied);
    bench.spread().copy(cold[1], second, go).unwrap().unwrap().settle();
    let moved = |tx: &crate::catalog::Tx<'_>| segment::relocate(tx, cold[1], PoolId::FIRST, second);
    assert!(bench.service.core.catalog.write(moved).unwrap());
    bench.crash();
    assert_eq!(bench.segments_in("second"), [cold[0], cold[1]]);
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    assert_eq!(bench.move_all().strays, 2);
    assert_eq!(bench.segments_in("second"), [cold[1]]);
    assert!(!bench.segments_in("default").contains(&cold[1]));
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    bench.check_clean();
}

#[test]
fn a_catalog_that_is_older_than_a_move_finds_what_moved() {
    let (mut bench, bytes) = world();
    bench.add("second");
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    bench.move_all();
    let back = |tx: &crate::catalog::Tx<'_>| {
        let all = segment::elsewhere(tx)?;
        all.into_iter().try_for_each(|(id, _)| segment::found_in(tx, id, PoolId::FIRST))
    };
    bench.service.core.catalog.write(back).unwrap();
    bench.crash();
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    bench.move_all();
    let second = bench.id_of("second");
    assert!(!bench.segments_in("second").is_empty());
    let noted = bench.service.core.catalog.read(segment::elsewhere).unwrap();
    assert!(!noted.is_empty() && noted.iter().all(|(_, at)| *at == second));
    bench.check_clean();
}

#[test]
fn a_pool_that_is_away_keeps_nothing_else_from_going_on_and_comes_back() {
    let (mut bench, bytes) = world();
    bench.add("second");
    bench.create("other", 4 * MIB);
    bench.put("other", 0, &noise(7, MIB as usize));
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    bench.move_all();
    bench.service.close().unwrap();
    let (path, aside) = (bench.place_of("second"), bench.place_of("aside"));
    fs::rename(&path, &aside).unwrap();
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    let away = bench.service.pool(&pool("second")).unwrap();
    assert!(matches!(away.state, PoolState::Away { .. }), "{away:?}");
    assert!(bench.get("other", 0, MIB as usize) == noise(7, MIB as usize));
    bench.put("other", MIB, &noise(8, MIB as usize));
    let refused = bench.service.open_device("web").and_then(|d| d.read(0, &mut [0; 4096]));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    // A container that wants to be there takes nothing, and says why.
    let account = crate::core::OPERATOR;
    let home = bench.service.container_create(account, &"c".parse().unwrap()).unwrap();
    bench.service.container_place(account, &home.name, Some(&pool("second"))).unwrap();
    let refused = bench.service.core.pool_for(home.id).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    fs::rename(&aside, &path).unwrap();
    bench.move_all();
    assert_eq!(bench.service.pool(&pool("second")).unwrap().state, PoolState::Open);
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    bench.check_clean();
}

#[test]
fn the_same_place_is_never_two_pools_and_a_name_is_taken_once() {
    let bench = Bench::new();
    bench.add("second");
    let url = |name: &str| format!("file://{}", bench.place_of(name).display());
    let twice = bench.service.pool_add(&pool("third"), &url("second")).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Invalid);
    let taken = bench.service.pool_add(&pool("second"), &url("third")).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    assert!(!bench.place_of("third").exists());
    for wrong in ["file:///", "ftp://x/y", "file:///a?b=c", "nonsense"] {
        let refused = bench.service.pool_add(&pool("third"), wrong).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{wrong}: {refused}");
    }
    let first = bench.service.pool_remove(&pool("default")).unwrap_err();
    assert_eq!(first.kind(), ErrorKind::Invalid);
    assert_eq!(
        bench.service.pool_drain(&pool("default"), None).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn a_lost_catalog_is_rebuilt_from_all_pools() {
    let (mut bench, bytes) = world();
    bench.add("second");
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    bench.move_all();
    bench.service.close().unwrap();
    let data = bench.dir.path().join("data");
    crate::testing::lose_catalog(&data);
    let rebuilt = Service::rebuild(&data, &archipelago_env::Env::real(), false).unwrap();
    assert_eq!(rebuilt.volumes, 1);
    bench.service = crate::testing::open(&data).unwrap();
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    let second = bench.id_of("second");
    let noted = bench.service.core.catalog.read(segment::elsewhere).unwrap();
    assert!(!noted.is_empty() && noted.iter().all(|(_, at)| *at == second));
    bench.check_clean();
}

#[test]
fn a_segment_that_rotted_or_cannot_be_read_is_not_moved_and_the_others_are() {
    one_stays_and_the_others_move(|path| {
        let mut raw = fs::read(path).unwrap();
        raw[100_000] ^= 1;
        fs::write(path, raw).unwrap();
    });
    // A folder in its place is opened, measured, and fails to be read.
    one_stays_and_the_others_move(|path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    });
}

fn one_stays_and_the_others_move(harm: impl FnOnce(&std::path::Path)) {
    let (mut bench, bytes) = world();
    bench.add("second");
    let known = bench.known();
    let rotten = known.iter().find(|one| one.kind == segment::Kind::Cold).unwrap().id;
    let path = bench.dir.path().join(format!("data/pool/segments/0000000/{rotten}.seg"));
    harm(&path);
    // No handle is open on it any more.
    bench.crash();
    bench.clone_as("all", "image:base", None).unwrap();
    bench.service.volume_place(&vol("all"), Some(&pool("second"))).unwrap();
    let done = bench.move_all();
    assert!(done.segments > 0 && done.left == 1, "{done:?}");
    assert!(path.exists());
    assert!(!bench.segments_in("second").contains(&rotten));
    let told = bench.service.pool(&pool("default")).unwrap().problem.unwrap();
    assert!(told.contains(&rotten.to_string()), "{told}");
    let behind = 10 * MIB as usize;
    assert!(bench.get("web", behind as u64, MIB as usize) == bytes[behind..behind + MIB as usize]);
}

#[test]
fn a_move_takes_nothing_of_others_with_it() {
    let bench = Bench::new();
    let (mine, other) = (noise(1, MIB as usize), noise(2, MIB as usize));
    for (name, bytes) in [("web", &mine), ("other", &other)] {
        bench.create(name, MIB);
        for at in (0..MIB as usize).step_by(65536) {
            bench.put(name, at as u64, &bytes[at..at + 65536]);
        }
    }
    bench.snapshot("web@s").unwrap();
    bench.snapshot("other@s").unwrap();
    bench.service.collect(Collection { thorough: true, now: true, budget: None }).unwrap();
    bench.add("second");
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    let done = bench.move_all();
    assert_eq!(done.left, 0);
    assert_eq!(bench.placed("other"), [("default".to_owned(), true)]);
    assert_eq!(bench.placed("web"), [("second".to_owned(), true)]);
    assert!(bench.service.volume_placement(&vol("web")).unwrap().settled);
    assert!(bench.get("web", 0, mine.len()) == mine && bench.get("other", 0, other.len()) == other);
    bench.service.collect(Collection { thorough: true, now: true, budget: None }).unwrap();
    assert_eq!(bench.move_all().segments, 0);
    // What comes later goes there when it leaves the log, and not by way of the first pool.
    let later = noise(3, MIB as usize);
    bench.put("web", 0, &later);
    bench.put("other", 0, &later[..4096]);
    bench.service.collect(Collection { thorough: true, now: true, budget: None }).unwrap();
    bench.move_all();
    assert_eq!(bench.placed("web"), [("second".to_owned(), true)]);
    assert!(bench.get("web", 0, later.len()) == later);
    bench.check_clean();
}

#[test]
fn flushed_writes_under_a_pool_that_was_away_at_the_start_are_kept_and_never_passed_over() {
    let (mut bench, _) = world();
    bench.add("second");
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    bench.move_all();
    let new = noise(9, MIB as usize);
    bench.put("web", 0, &new);
    bench.service.abandon();
    let (path, aside) = (bench.place_of("second"), bench.place_of("aside"));
    fs::rename(&path, &aside).unwrap();
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    // Neither a writer nor a clone or a snapshot gets the state before them.
    let refused = [
        bench.service.open_device("web").and_then(|d| d.read(0, &mut [0; 4096])),
        bench.clone_as("copy", "volume:web", None).map(drop),
        bench.snapshot("web@late"),
    ];
    for one in refused {
        assert_eq!(one.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    fs::rename(&aside, &path).unwrap();
    bench.move_all();
    // Whoever persists what recovery found does so under the last term.
    bench.service.step(true).unwrap();
    assert!(bench.get("web", 0, new.len()) == new);
    bench.crash();
    assert!(bench.get("web", 0, new.len()) == new);
    bench.check_clean();
}

#[test]
fn nothing_is_taken_apart_for_a_pool_that_does_not_answer() {
    let bench = Bench::new();
    let (mine, other) = (noise(1, MIB as usize), noise(2, MIB as usize));
    for (name, bytes) in [("web", &mine), ("other", &other)] {
        bench.create(name, MIB);
        for at in (0..MIB as usize).step_by(65536) {
            bench.put(name, at as u64, &bytes[at..at + 65536]);
        }
        bench.snapshot(&format!("{name}@s")).unwrap();
    }
    bench.service.collect(NOW).unwrap();
    bench.add("second");
    let (path, aside) = (bench.place_of("second"), bench.place_of("aside"));
    fs::rename(&path, &aside).unwrap();
    bench.service.volume_place(&vol("web"), Some(&pool("second"))).unwrap();
    let _ = bench.service.collect(NOW).unwrap();
    let again = bench.service.collect(NOW).unwrap();
    assert_eq!((again.compacted, again.more), (0, false), "{again:?}");
    fs::rename(&aside, &path).unwrap();
    bench.move_all();
    assert_eq!(bench.placed("web"), [("second".to_owned(), true)]);
    assert_eq!(bench.placed("other"), [("default".to_owned(), true)]);
    assert!(bench.get("web", 0, mine.len()) == mine && bench.get("other", 0, other.len()) == other);
}
