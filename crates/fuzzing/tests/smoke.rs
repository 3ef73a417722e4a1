//! Every target over its corpus and over changes to it, on stable Rust and without
//! libFuzzer: nothing panics, nothing takes long, nothing allocates what is out of
//! proportion to the input.
//!
//! One test at a time: the allocator and the panic hook watch the whole program,
//! threads that a target starts included.

// A test says what it expects by unwrapping; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use archipelago_env::Env;
use archipelago_fuzzing::mutate::{Dice, mutate};
use archipelago_fuzzing::{TARGETS, Target, find, seeds};
use parking_lot::Mutex;

/// Each byte of input allows this many of allocation.
const ALLOCATED_PER_BYTE: usize = 64;

/// An input that takes longer than this hangs for all that a user can tell. Nearly
/// all take less than a millisecond.
const TIME_MAX: Duration = Duration::from_secs(10);

/// What no target may ask for; the allocator refuses it rather than take the machine
/// with it.
const REFUSED_BYTES: usize = 1 << 30;

/// The system's allocator, which notes the largest allocation since it was last asked.
struct Watching;

static LARGEST: AtomicUsize = AtomicUsize::new(0);
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Held by each test, as all share the allocator.
static ALONE: Mutex<()> = Mutex::new(());

#[global_allocator]
static ALLOCATOR: Watching = Watching;

impl Watching {
    fn refuses(size: usize) -> bool {
        LARGEST.fetch_max(size, Relaxed);
        size > REFUSED_BYTES
    }
}

// SAFETY: every call goes to the system's allocator as it came, or gives null, which
// stands for an allocation that failed.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if Self::refuses(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Self::refuses(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps to the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if Self::refuses(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps to the contract of `realloc`.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(old, layout) }
    }
}

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Names and contents of a target's corpus.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = tree().join("corpus").join(target.name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder is readable").path())
        .map(|path| {
            let name = path.file_name().expect("it is a file").to_string_lossy().into_owned();
            (name, fs::read(path).expect("it is readable"))
        })
        .collect();
    files.sort();
    files
}

/// What is wrong with what a target did with an input, in words.
fn run(env: &Env, target: &Target, input: &[u8]) -> Result<(), String> {
    LARGEST.store(0, Relaxed);
    let panics = PANICS.load(Relaxed);
    let begin = env.clock().monotonic();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.body)(input)));
    let took = env.clock().monotonic() - begin;
    let largest = LARGEST.load(Relaxed);
    let allowed = target.allocation_bytes_max + ALLOCATED_PER_BYTE * input.len();
    if outcome.is_err() || PANICS.load(Relaxed) > panics {
        return Err("it panicked; the message is above".to_owned());
    }
    if largest > allowed {
        return Err(format!("it allocated {largest} bytes at once, {allowed} are in order"));
    }
    if took > TIME_MAX {
        return Err(format!("it took {took:?}"));
    }
    Ok(())
}

/// Keeps an input that failed, so that it can be run again and joins the corpus.
fn keep(target: &Target, name: &str, input: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", target.name));
    fs::write(&path, input).expect("cargo has made the folder");
    path
}

fn smoke(env: &Env, target: &Target) -> Result<(), String> {
    let corpus = corpus(target);
    let failed = |name: &str, input: &[u8], why: String| {
        let kept = keep(target, name, input);
        format!(
            "{} on {} bytes: {why}. The input is {}; copied to fuzz/corpus/{}/ it is run every time",
            target.name,
            input.len(),
            kept.display(),
            target.name
        )
    };
    for (name, input) in &corpus {
        run(env, target, input).map_err(|why| failed(name, input, why))?;
    }
    let mut dice = Dice::new(1);
    for number in 0..target.mutations {
        let (_, seed) = dice.pick(&corpus).clone();
        let (_, other) = dice.pick(&corpus);
        let input = mutate(&mut dice, &seed, other, target.input_bytes_max);
        let name = format!("changed-{number}");
        run(env, target, &input).map_err(|why| failed(&name, &input, why))?;
    }
    Ok(())
}

/// `FUZZ_TARGET` names the one target to run, `FUZZ_INPUT` the one file to run it on.
#[test]
fn no_target_panics_hangs_or_allocates_out_of_proportion() {
    let _alone = ALONE.lock();
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Relaxed);
        before(info);
    }));
    let env = Env::real();
    if let (Ok(name), Ok(path)) = (std::env::var("FUZZ_TARGET"), std::env::var("FUZZ_INPUT")) {
        let target = find(&name).expect("FUZZ_TARGET names a target");
        run(&env, target, &fs::read(path).unwrap()).unwrap();
        return;
    }
    let only = std::env::var("FUZZ_TARGET").ok();
    let chosen = TARGETS.iter().filter(|t| only.as_ref().is_none_or(|only| only == t.name));
    let mut failures = Vec::new();
    for target in chosen {
        let begin = env.clock().monotonic();
        failures.extend(smoke(&env, target).err());
        let took = env.clock().monotonic() - begin;
        println!("{:<17} {:>6} inputs, {took:.1?}", target.name, target.mutations);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_target_has_a_program_for_libfuzzer_and_a_corpus_and_nothing_else_has() {
    let _alone = ALONE.lock();
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len(), "names are unique");
    let stems = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(tree().join(folder)).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    };
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(stems("corpus"), names);
    let manifest = fs::read_to_string(tree().join("Cargo.toml")).unwrap();
    for name in &names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let text = fs::read_to_string(tree().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("target!(\"{name}\")")), "{name} runs its own target");
    }
}

/// Segments are written by a whole engine, whose choices are its own; of the other
/// seeds the bytes are the format.
#[test]
fn the_corpus_has_what_the_encoders_write_today() {
    let _alone = ALONE.lock();
    let mut targets = BTreeSet::new();
    for seed in seeds::all() {
        targets.insert(seed.target);
        let path = tree().join("corpus").join(seed.target).join(&seed.name);
        let kept = fs::read(&path).unwrap_or_default();
        let fresh = seed.target == "segment_recovery" || kept == seed.bytes;
        assert!(
            fresh && !kept.is_empty(),
            "{} is not what is written now: \
             cargo run -p archipelago-fuzzing --example seeds",
            path.display()
        );
    }
    assert_eq!(targets.len(), TARGETS.len(), "every target has seeds");
}
