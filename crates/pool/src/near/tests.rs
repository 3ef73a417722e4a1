use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::testing::{Bench, MIB, config, noise, stream, vol};
use crate::{CACHE_BYTES_MIN, Config, Service};

/// A chunk cache that holds nothing, so that each read is of a pool or of its cache.
fn cached(folder: Option<&Path>) -> Config {
    let folder = folder.map(Path::to_owned);
    let host_cache = HostCacheConfig { bytes: 2 * CACHE_BYTES_MIN, folder, directories: true };
    Config { host_cache, chunk_cache_bytes: 0, ..config() }
}

fn opened(dir: TempDir, config: Config) -> Bench {
    let service = Service::open(&dir.path().join("data"), Env::real(), config).unwrap();
    Bench { dir, service }
}

/// Closes, and opens with other settings.
fn reopened(bench: Bench, config: Config) -> Bench {
    bench.service.close().unwrap();
    let Bench { dir, service } = bench;
    drop(service);
    opened(dir, config)
}

/// The figures, as `/metrics` shows them.
fn figures(bench: &Bench) -> CacheFigures {
    let metrics = bench.service.metrics();
    let get = |name: &str| {
        let name = format!("archipelago_host_cache_{name}");
        metrics.iter().find(|metric| metric.name == name).unwrap().value as u64
    };
    CacheFigures {
        hits: get("hits_total"),
        misses: get("misses_total"),
        requests: get("requests_total"),
        fetched_bytes: get("fetched_bytes_total"),
        evictions: get("evictions_total"),
        mismatches: get("mismatches_total"),
        errors: get("errors_total"),
        bytes: get("bytes"),
        bytes_max: get("max_bytes"),
    }
}

/// A volume in a far pool.
fn world(config: Config) -> (Bench, Vec<u8>) {
    let bench = opened(TempDir::new().unwrap(), config);
    let bytes = noise(1, 6 * MIB as usize);
    bench.import("base", &stream(&bytes)).unwrap();
    bench.clone_as("web", "image:base", None).unwrap();
    let url = format!("file://{}", bench.dir.path().join("far").display());
    let far = "far".parse().unwrap();
    bench.service.pool_add(&far, &url).unwrap();
    bench.service.volume_place(&vol("web"), Some(&far)).unwrap();
    let moved = bench.service.move_due().unwrap();
    assert!(moved.segments > 0 && moved.left == 0, "{moved:?}");
    (bench, bytes)
}

fn reads(bench: &Bench, volume: &str, bytes: &[u8]) {
    assert!(bench.get(volume, 0, bytes.len()) == bytes, "{volume}");
}

#[test]
fn a_second_clone_and_a_restart_ask_a_far_pool_for_nothing() {
    let (bench, bytes) = world(cached(None));
    reads(&bench, "web", &bytes);
    let cold = figures(&bench);
    assert!(cold.requests > 0 && cold.fetched_bytes >= 6 * MIB, "{cold:?}");
    bench.clone_as("twin", "image:base", None).unwrap();
    reads(&bench, "twin", &bytes);
    assert_eq!(figures(&bench).requests, cold.requests);
    assert!(figures(&bench).hits > cold.hits);
    let bench = reopened(bench, cached(None));
    reads(&bench, "twin", &bytes);
    reads(&bench, "web", &bytes);
    let warm = figures(&bench);
    assert_eq!((warm.requests, warm.mismatches), (0, 0), "{warm:?}");
}

#[test]
fn a_far_pool_is_verified_itself() {
    let (bench, bytes) = world(cached(None));
    reads(&bench, "web", &bytes);
    let (far, before) = (bench.dir.path().join("far/segments/0000000"), figures(&bench));
    let file = fs::read_dir(far).unwrap().next().unwrap().unwrap().path();
    let mut rotten = fs::read(&file).unwrap();
    rotten[9000] ^= 1;
    fs::write(&file, rotten).unwrap();
    bench.service.scrub(crate::ScrubOptions::default()).unwrap();
    while bench.service.scrub_state().unwrap().running {
        std::thread::yield_now();
    }
    assert!(bench.service.scrub_state().unwrap().damages > 0);
    assert_eq!(figures(&bench).bytes, before.bytes, "it fills nothing");
    reads(&bench, "web", &bytes);
}

#[test]
fn a_pool_on_this_host_is_read_past_the_cache() {
    let mut near = cached(None);
    near.host_cache.directories = false;
    let (bench, bytes) = world(near);
    reads(&bench, "web", &bytes);
    assert_eq!((figures(&bench).misses, figures(&bench).bytes), (0, 0));
}

#[test]
fn an_opening_without_the_cache_ends_it() {
    let (bench, bytes) = world(cached(None));
    reads(&bench, "web", &bytes);
    let kept = figures(&bench).bytes;
    let bench = reopened(bench, cached(None));
    assert!(figures(&bench).bytes >= kept);
    let bench = reopened(bench, config());
    assert!(!bench.service.metrics().iter().any(|metric| metric.name.contains("host_cache")));
    assert!(!bench.dir.path().join("data/CACHE").exists());
    let bench = reopened(bench, cached(None));
    assert!(figures(&bench).bytes < MIB, "but for what the background has looked at by now");
    reads(&bench, "web", &bytes);
}

#[test]
fn another_folder_is_another_cache_and_the_old_one_is_not_believed_again() {
    let (bench, bytes) = world(cached(None));
    reads(&bench, "web", &bytes);
    let other = bench.dir.path().join("ssd");
    let bench = reopened(bench, cached(Some(&other)));
    assert!(figures(&bench).bytes < MIB, "but for what the background has looked at by now");
    reads(&bench, "web", &bytes);
    let bench = reopened(bench, cached(None));
    assert!(figures(&bench).bytes < MIB, "but for what the background has looked at by now");
}

#[test]
fn a_cache_that_cannot_be_used_keeps_no_store_from_opening_and_is_told() {
    let (bench, bytes) = world(cached(None));
    reads(&bench, "web", &bytes);
    let (theirs, their_bytes) = world(cached(None));
    let taken = theirs.dir.path().join("data/cache");
    let bench = reopened(bench, cached(Some(&taken)));
    reads(&bench, "web", &bytes);
    let problem = bench.service.status().problem.unwrap();
    assert!(problem.contains("no cache") && problem.contains("another"), "{problem}");
    reads(&theirs, "web", &their_bytes);
    // Nor is it believed when the other one is closed.
    theirs.service.close().unwrap();
    drop(theirs.service);
    let bench = reopened(bench, cached(Some(&taken)));
    let problem = bench.service.status().problem.unwrap();
    assert!(problem.contains("another store"), "{problem}");
    assert!(taken.join("cache-index").exists());
}

#[test]
fn a_copy_of_the_data_folder_that_is_put_back_reads_nothing_that_came_after_it() {
    let dir = TempDir::new().unwrap();
    let ssd = dir.path().join("ssd");
    let (bench, bytes) = world(cached(Some(&ssd)));
    bench.service.close().unwrap();
    let Bench { dir: of_store, service } = bench;
    drop(service);
    copy(&of_store.path().join("data"), &of_store.path().join("copy"));
    copy(&of_store.path().join("far"), &of_store.path().join("far-copy"));
    // What comes after the copy.
    let bench = opened(of_store, cached(Some(&ssd)));
    let lost = noise(7, MIB as usize);
    bench.put("web", 0, &lost);
    bench.service.move_due().unwrap();
    bench.get("web", 0, bytes.len());
    bench.service.abandon();
    let Bench { dir: of_store, service } = bench;
    drop(service);
    for (from, to) in [("copy", "data"), ("far-copy", "far")] {
        fs::remove_dir_all(of_store.path().join(to)).unwrap();
        copy(&of_store.path().join(from), &of_store.path().join(to));
    }
    let bench = opened(of_store, cached(Some(&ssd)));
    reads(&bench, "web", &bytes);
    let new = noise(8, MIB as usize);
    bench.put("web", 0, &new);
    bench.service.move_due().unwrap();
    let bench = reopened(bench, cached(Some(&ssd)));
    reads(&bench, "web", &[&new[..], &bytes[new.len()..]].concat());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
