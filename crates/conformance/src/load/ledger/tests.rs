//! What the ledger accepts after a crash and what it refuses.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::stamp::{BLOCK_BYTES, stamp};

/// A ledger whose moments the test decides.
fn ledger() -> (Ledger, Arc<AtomicU64>) {
    let moment = Arc::new(AtomicU64::new(0));
    let shared = Arc::clone(&moment);
    (Ledger::new(Box::new(move || shared.load(Ordering::SeqCst))), moment)
}

/// Judges a store in which these exist, all holding the same.
fn judge(ledger: &Ledger, exports: &[&str], at: Moment, content: Content) -> Result<Judged> {
    let exports: Vec<_> = exports.iter().map(|name| (*name).to_owned()).collect();
    ledger.judge(&exports, at, |_| {
        Ok(match content {
            Content::Zeros => vec![0; BLOCK_BYTES],
            Content::Version(version) => stamp(1, 0, version).to_vec(),
        })
    })
}

/// Made between moments 10 and 20, removed between 30 and 40.
fn made_and_removed() -> Ledger {
    let (ledger, moment) = ledger();
    moment.store(10, Ordering::SeqCst);
    ledger.making_exactly("image:a", vec![Content::Zeros]);
    moment.store(20, Ordering::SeqCst);
    ledger.made("image:a");
    moment.store(30, Ordering::SeqCst);
    ledger.removing("image:a");
    moment.store(40, Ordering::SeqCst);
    ledger.removed("image:a");
    ledger
}

#[test]
fn something_must_be_there_from_its_acknowledgement_until_its_removal_is_asked_for() {
    let ledger = made_and_removed();
    let present = |at| judge(&ledger, &["image:a"], at, Content::Zeros).is_ok();
    let absent = |at| judge(&ledger, &[], at, Content::Zeros).is_ok();
    assert_eq!([9, 10, 20, 30, 39, 40].map(present), [false, true, true, true, true, false]);
    assert_eq!([9, 19, 20, 29, 30, 40].map(absent), [true, true, false, false, true, true]);
}

#[test]
fn something_of_unknown_origin_and_something_changed_are_told() {
    let ledger = made_and_removed();
    assert!(judge(&ledger, &["image:a", "b"], 25, Content::Zeros).is_err());
    assert!(judge(&ledger, &["image:a"], 25, Content::Version(1)).is_err());
}

#[test]
fn a_clone_that_was_read_is_exact_for_ever() {
    let (ledger, _) = ledger();
    ledger.making_volume("vol0", 1);
    ledger.made("vol0");
    let volume = ledger.volume("vol0").unwrap();
    volume.lock().sent(0, Content::Version(1), 0);
    ledger.making_copy("vol0@s", "vol0").unwrap();
    ledger.made("vol0@s");
    let seen = |content| judge(&ledger, &["vol0", "vol0@s"], 0, content).is_ok();
    assert!(seen(Content::Zeros), "the write was under way");
    assert!(!seen(Content::Version(1)), "yet it was not in the snapshot before");
}

#[test]
fn what_is_removed_in_a_kill_stays_removed_after_it() {
    let ledger = Ledger::without_moments();
    for name in ["image:a", "image:b", "image:c"] {
        ledger.making_exactly(name, vec![Content::Zeros]);
        ledger.made(name);
    }
    ledger.removing("image:a");
    ledger.removed("image:a");
    ledger.removing("image:b");
    assert!(judge(&ledger, &["image:a", "image:c"], 0, Content::Zeros).is_err());
    let judged = judge(&ledger, &["image:c"], 0, Content::Zeros).unwrap();
    ledger.settled(&judged);
    ledger.begin_again(0, Box::new(|| 0));
    ledger.keep_only(&judged);
    assert!(judge(&ledger, &["image:b", "image:c"], 0, Content::Zeros).is_err());
    assert!(judge(&ledger, &[], 0, Content::Zeros).is_err());
    judge(&ledger, &["image:c"], 0, Content::Zeros).unwrap();
}
