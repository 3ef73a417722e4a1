//! Facts about the simulated disk: mainly that it really loses what was not synced.

use std::collections::BTreeSet;

use super::*;
use crate::SimHandle;

use archipelago_env::Env;

/// Enough that each fate that the dice can give is met.
const SEEDS: u64 = 200;

fn world(seed: u64) -> (Env, SimHandle) {
    let (env, handle) = crate::env(seed);
    env.disk().create_dir_all(Path::new("/d")).unwrap();
    (env, handle)
}

fn create(env: &Env, path: &str) -> Arc<dyn File> {
    env.disk().open(Path::new(path), Mode::CreateNew).unwrap()
}

fn create_durable(env: &Env, path: &str) -> Arc<dyn File> {
    let file = create(env, path);
    file.sync_data().unwrap();
    env.disk().sync_dir(Path::new(path).parent().unwrap()).unwrap();
    file
}

fn write(file: &Arc<dyn File>, offset: u64, bytes: &[u8]) {
    file.write_all_at(offset, &[IoSlice::new(bytes)]).unwrap();
}

fn content(env: &Env, path: &str) -> Vec<u8> {
    let file = env.disk().open(Path::new(path), Mode::Read).unwrap();
    let mut bytes = vec![0xee; file.len().unwrap() as usize];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

fn names(env: &Env, dir: &str) -> Vec<String> {
    env.disk().list(Path::new(dir)).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().unwrap().kind()
}

/// What comes of `deed` and a crash, for many seeds.
fn outcomes<T: Ord>(deed: impl Fn(&Env), look: impl Fn(&Env) -> T) -> BTreeSet<T> {
    let outcome = |seed| {
        let (env, handle) = world(seed);
        deed(&env);
        look(&handle.crash())
    };
    (0..SEEDS).map(outcome).collect()
}

#[test]
fn synced_bytes_are_never_lost() {
    let deed = |env: &Env| {
        let file = create_durable(env, "/d/f");
        write(&file, 0, &[7; 2000]);
        file.sync_data().unwrap();
    };
    assert_eq!(outcomes(deed, |env| content(env, "/d/f")), BTreeSet::from([vec![7; 2000]]));
}

#[test]
fn bytes_that_were_not_synced_are_old_or_new_sector_by_sector() {
    let deed = |env: &Env| {
        let file = create_durable(env, "/d/f");
        write(&file, 0, &[1; 2048]);
        file.sync_data().unwrap();
        write(&file, 0, &[2; 2048]);
    };
    let mut seen = BTreeSet::new();
    for bytes in outcomes(deed, |env| content(env, "/d/f")) {
        assert_eq!(bytes.len(), 2048);
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        for (sector, value) in bytes.chunks(512).zip(&sectors) {
            assert!(sector.iter().all(|byte| byte == value), "a sector is torn");
        }
        seen.insert(sectors);
    }
    assert!(seen.contains(&vec![1; 4]) && seen.contains(&vec![2; 4]));
    assert!(seen.len() > 8, "{seen:?}");
}

#[test]
fn an_older_write_may_win_over_a_newer_one() {
    let deed = |env: &Env| {
        let file = create_durable(env, "/d/f");
        write(&file, 0, b"1");
        file.sync_data().unwrap();
        write(&file, 0, b"2");
        write(&file, 0, b"3");
    };
    let expected = [b"1", b"2", b"3"].map(|text| text.to_vec());
    assert_eq!(outcomes(deed, |env| content(env, "/d/f")), BTreeSet::from(expected));
}

#[test]
fn a_length_may_be_kept_without_its_bytes_and_may_be_lost() {
    let deed = |env: &Env| write(&create_durable(env, "/d/f"), 0, b"abc");
    let expected = [b"".to_vec(), b"\0\0\0".to_vec(), b"abc".to_vec()];
    assert_eq!(outcomes(deed, |env| content(env, "/d/f")), BTreeSet::from(expected));
}

#[test]
fn a_cut_that_was_not_synced_may_not_have_happened() {
    let deed = |env: &Env| {
        let file = create_durable(env, "/d/f");
        write(&file, 0, b"abcdef");
        file.sync_data().unwrap();
        file.set_len(3).unwrap();
    };
    let expected = [b"abc".to_vec(), b"abcdef".to_vec()];
    assert_eq!(outcomes(deed, |env| content(env, "/d/f")), BTreeSet::from(expected));
}

#[test]
fn allocated_room_reads_as_zeros_when_it_was_synced() {
    let deed = |env: &Env| {
        let file = create_durable(env, "/d/f");
        file.allocate(0, 1024).unwrap();
        file.sync_data().unwrap();
        write(&file, 0, &[1; 512]);
    };
    let mut written = vec![1; 512];
    written.resize(1024, 0);
    let expected = [vec![0; 1024], written];
    assert_eq!(outcomes(deed, |env| content(env, "/d/f")), BTreeSet::from(expected));
}

#[test]
fn a_new_name_may_be_lost_until_its_directory_is_synced() {
    let deed = |env: &Env| create(env, "/d/f").sync_data().unwrap();
    let expected = [vec![], vec!["f".to_owned()]];
    assert_eq!(outcomes(deed, |env| names(env, "/d")), BTreeSet::from(expected));
    let deed = |env: &Env| drop(create_durable(env, "/d/f"));
    assert_eq!(outcomes(deed, |env| names(env, "/d")), BTreeSet::from([vec!["f".to_owned()]]));
}

#[test]
fn a_removed_file_may_come_back_with_its_bytes_until_its_directory_is_synced() {
    let removed = |env: &Env| {
        let file = create_durable(env, "/d/f");
        write(&file, 0, b"abc");
        file.sync_data().unwrap();
        env.disk().remove_file(Path::new("/d/f")).unwrap();
    };
    let look = |env: &Env| if names(env, "/d").is_empty() { vec![] } else { content(env, "/d/f") };
    assert_eq!(outcomes(removed, look), BTreeSet::from([vec![], b"abc".to_vec()]));
    let synced = |env: &Env| {
        removed(env);
        env.disk().sync_dir(Path::new("/d")).unwrap();
    };
    assert_eq!(outcomes(synced, look), BTreeSet::from([vec![]]));
}

#[test]
fn a_rename_has_happened_or_not_and_never_loses_both() {
    let renamed = |env: &Env| {
        for (path, bytes) in [("/d/new", b"new"), ("/d/f", b"old")] {
            let file = create_durable(env, path);
            write(&file, 0, bytes);
            file.sync_data().unwrap();
        }
        env.disk().rename(Path::new("/d/new"), Path::new("/d/f")).unwrap();
    };
    let look = |env: &Env| (names(env, "/d").len(), content(env, "/d/f"));
    let (before, after) = ((2, b"old".to_vec()), (1, b"new".to_vec()));
    assert_eq!(outcomes(renamed, look), BTreeSet::from([before, after.clone()]));
    let synced = |env: &Env| {
        renamed(env);
        env.disk().sync_dir(Path::new("/d")).unwrap();
    };
    assert_eq!(outcomes(synced, look), BTreeSet::from([after]));
}

#[test]
fn a_file_that_nobody_removed_is_never_lost_to_a_new_one_of_its_name() {
    let deed = |env: &Env| {
        let file = create_durable(env, "/d/f");
        write(&file, 0, b"abc");
        file.sync_data().unwrap();
        env.disk().rename(Path::new("/d/f"), Path::new("/d/g")).unwrap();
        create(env, "/d/f");
    };
    let kept = |env: &Env| {
        names(env, "/d").iter().any(|name| content(env, &format!("/d/{name}")) == b"abc")
    };
    assert_eq!(outcomes(deed, kept), BTreeSet::from([true]));
}

#[test]
fn directories_are_durable_when_they_are_made() {
    let deed = |env: &Env| env.disk().create_dir_all(Path::new("/d/a/b")).unwrap();
    assert_eq!(outcomes(deed, |env| names(env, "/d/a")), BTreeSet::from([vec!["b".to_owned()]]));
}

#[test]
fn a_sync_that_failed_loses_bytes_that_a_later_one_does_not_bring_back() {
    let outcome = |seed| {
        let (env, handle) = world(seed);
        let file = create_durable(&env, "/d/f");
        write(&file, 0, b"abc");
        handle.inject(Fault::once(DiskOp::SyncData, Failure::Io));
        file.sync_data().unwrap_err();
        assert_eq!(content(&env, "/d/f"), b"abc", "it is still read");
        file.sync_data().unwrap();
        content(&handle.crash(), "/d/f")
    };
    let outcomes: BTreeSet<Vec<u8>> = (0..SEEDS).map(outcome).collect();
    let expected = [b"".to_vec(), b"\0\0\0".to_vec(), b"abc".to_vec()];
    assert_eq!(outcomes, BTreeSet::from(expected));
}

#[test]
fn a_write_that_failed_has_written_some_first_part() {
    let outcome = |seed| {
        let (env, handle) = world(seed);
        let file = create_durable(&env, "/d/f");
        handle.inject(Fault::once(DiskOp::Write, Failure::Io).after(1));
        write(&file, 0, b"---");
        let error = file.write_all_at(0, &[IoSlice::new(b"a"), IoSlice::new(b"bc")]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
        content(&env, "/d/f")
    };
    let outcomes: BTreeSet<Vec<u8>> = (0..SEEDS).map(outcome).collect();
    let expected = [b"---", b"a--", b"ab-", b"abc"].map(|text| text.to_vec());
    assert_eq!(outcomes, BTreeSet::from(expected));
}

#[test]
fn without_power_nothing_works_and_the_old_world_stays_dead() {
    let (env, handle) = world(0);
    let file = create_durable(&env, "/d/f");
    handle.inject(Fault::power_off_after(1));
    write(&file, 0, b"abc");
    assert!(file.sync_data().is_err() && handle.is_off());
    assert!(file.len().is_err() && env.disk().list(Path::new("/d")).is_err());
    let next = handle.crash();
    assert!(file.len().is_err() && env.disk().list(Path::new("/d")).is_err());
    assert_eq!(names(&next, "/d"), ["f"]);
    drop(file);
}

#[test]
fn power_may_fail_while_a_file_is_made() {
    let outcome = |seed| {
        let (env, handle) = world(seed);
        handle.inject(Fault::power_off_after(0));
        assert!(env.disk().open(Path::new("/d/f"), Mode::CreateNew).is_err());
        names(&handle.crash(), "/d").len()
    };
    assert_eq!((0..SEEDS).map(outcome).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1]));
}

#[test]
fn changes_are_counted_and_looks_are_not() {
    let (env, handle) = world(0);
    let before = handle.changes();
    let file = create(&env, "/d/f");
    write(&file, 0, b"abc");
    file.sync_data().unwrap();
    content(&env, "/d/f");
    names(&env, "/d");
    assert_eq!(handle.changes() - before, 3);
}

#[test]
fn the_room_is_limited_and_comes_back_when_no_crash_can_want_it() {
    let (env, handle) = world(0);
    handle.set_room(10 * BLOCK);
    let file = create_durable(&env, "/d/f");
    file.allocate(0, 8 * BLOCK).unwrap();
    file.sync_data().unwrap();
    let other = create_durable(&env, "/d/g");
    assert_eq!(kind(other.allocate(0, 3 * BLOCK)), io::ErrorKind::StorageFull);
    write(&file, 7 * BLOCK, &[1; BLOCK as usize]);
    file.set_len(1).unwrap();
    assert_eq!(kind(other.allocate(0, 3 * BLOCK)), io::ErrorKind::StorageFull);
    file.sync_data().unwrap();
    other.allocate(0, 9 * BLOCK).unwrap();
    assert_eq!(env.disk().space(Path::new("/d")).unwrap(), Space { total: 10 * BLOCK, free: 0 });
    env.disk().remove_file(Path::new("/d/g")).unwrap();
    env.disk().sync_dir(Path::new("/d")).unwrap();
    assert_eq!(env.disk().space(Path::new("/d")).unwrap().free, 0, "it is still open");
    drop(other);
    assert_eq!(env.disk().space(Path::new("/d")).unwrap().free, 9 * BLOCK);
}

#[test]
fn a_flipped_bit_is_read_before_and_after_a_crash() {
    let (env, handle) = world(0);
    let file = create_durable(&env, "/d/f");
    write(&file, 0, b"abc");
    file.sync_data().unwrap();
    handle.flip(Path::new("/d/f"), 1, 0x20).unwrap();
    assert_eq!(content(&env, "/d/f"), b"aBc");
    assert_eq!(content(&handle.crash(), "/d/f"), b"aBc");
    assert_eq!(kind(handle.flip(Path::new("/d/f"), 3, 1)), io::ErrorKind::NotFound);
}

#[test]
fn a_lock_is_held_until_it_is_dropped_or_power_fails() {
    let (env, handle) = world(0);
    let path = Path::new("/d/LOCK");
    let held = env.disk().lock(path).unwrap();
    assert_eq!(kind(env.disk().lock(path)), io::ErrorKind::WouldBlock);
    drop(held);
    let held = env.disk().lock(path).unwrap();
    let next = handle.crash();
    let held_next = next.disk().lock(path).unwrap();
    drop(held);
    assert_eq!(kind(next.disk().lock(path)), io::ErrorKind::WouldBlock);
    drop(held_next);
}

#[test]
fn slow_operations_take_their_time_and_succeed() {
    let (env, handle) = world(0);
    let now = || env.clock().unix_ms();
    handle.slow(crate::Slow { after: 1, times: 3, longest: Duration::from_secs(30) });
    let begin = now();
    create(&env, "/d/f");
    for _ in 0..10 {
        env.disk().space(Path::new("/d")).unwrap();
    }
    let taken = now() - begin;
    assert!((1..=90_000).contains(&taken), "{taken}");
    env.disk().space(Path::new("/d")).unwrap();
    assert_eq!(now() - begin, taken);
}

#[test]
fn two_hosts_share_a_disk_and_its_locks() {
    let (env, handle) = world(0);
    let path = Path::new("/d/LOCK");
    let other = handle.other_host();
    create(&env, "/d/f");
    assert!(other.disk().open(Path::new("/d/f"), Mode::Read).is_ok());
    let held = env.disk().lock(path).unwrap();
    assert_eq!(kind(other.disk().lock(path)), io::ErrorKind::WouldBlock);
    drop(held);
    assert!(other.disk().lock(path).is_ok());
}

#[test]
fn errors_are_those_of_a_real_filesystem() {
    let (env, _) = world(0);
    let disk = env.disk();
    create(&env, "/d/f");
    let open = |path: &str, mode| disk.open(Path::new(path), mode);
    assert_eq!(kind(open("/d/f", Mode::CreateNew)), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(open("/d/g", Mode::Write)), io::ErrorKind::NotFound);
    assert_eq!(kind(open("/e/f", Mode::CreateNew)), io::ErrorKind::NotFound);
    assert_eq!(kind(open("/d/f/g", Mode::Read)), io::ErrorKind::NotADirectory);
    assert_eq!(kind(disk.create_dir_all(Path::new("/d/f"))), io::ErrorKind::NotADirectory);
    assert_eq!(kind(disk.remove_file(Path::new("/d/g"))), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.list(Path::new("/e"))), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.space(Path::new("/e"))), io::ErrorKind::NotFound);
    let read_only = open("/d/f", Mode::Read).unwrap();
    assert!(read_only.write_all_at(0, &[IoSlice::new(b"x")]).is_err());
}
