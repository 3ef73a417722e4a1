//! Facts about a log that is full because the pool takes nothing.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use archipelago_store::layer::{Effect, Failure, Fault, Op};

use crate::engine::Engine;
use crate::error::Error;
use crate::testing::Rig;
use crate::volume::{Volume, Write};

const BLOCK: u64 = 512 << 10;
const BLOCKS: u64 = 256;
const SIZE: u64 = BLOCK * BLOCKS;
const WRITERS: u64 = 6;
const ENDLESS: Duration = Duration::from_secs(3600);

fn patient(room_wait: Duration) -> Rig {
    let mut rig = Rig::new();
    rig.room_wait = room_wait;
    rig
}

fn put(volume: &Volume, block: u64) -> Result<(), Error> {
    let bytes = [block as u8 | 1; BLOCK as usize];
    volume.write(&[Write::Data { offset: block * BLOCK, bytes: &bytes }])
}

/// Writes until the log is full; gives the blocks that were written, and the error.
fn fill(volume: &Volume) -> (u64, Error) {
    for block in 0..BLOCKS {
        if let Err(error) = put(volume, block) {
            return (block, error);
        }
    }
    panic!("the log never got full");
}

fn assert_holds(volume: &Volume, blocks: u64) {
    for block in 0..blocks {
        let mut out = vec![0; 4096];
        volume.read(block * BLOCK + 8192, &mut out).unwrap();
        assert_eq!(out, [block as u8 | 1; 4096], "{block}");
    }
}

fn waiting(engine: &Engine) -> usize {
    engine.shared().log.room.lock().waiting
}

/// Lets other threads come so far.
fn until(what: impl Fn() -> bool) {
    while !what() {
        thread::yield_now();
    }
}

#[test]
fn who_needs_room_waits_no_longer_than_the_limit_however_long_the_pool_hangs() {
    let rig = patient(Duration::from_millis(20));
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, SIZE);
    rig.faults.inject(Fault::always(Op::Seal, Effect::Hang));
    let (written, error) = fill(&volume);
    assert!(matches!(error, Error::LogFull { waiting: 33, .. }), "{error}");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let volume = &volume;
            scope.spawn(move || {
                let error = put(volume, written + writer).unwrap_err();
                assert!(matches!(error, Error::LogFull { .. }), "{error}");
            });
        }
    });
    // One is at it, for all of them.
    assert_eq!(rig.faults.hanging(), 1);
    // What is here goes on.
    volume.flush().unwrap();
    assert_holds(&volume, written);
    rig.faults.heal();
    // The one that hung fails, and those behind it go on.
    until(|| put(&volume, written).is_ok());
    put(&volume, written + 1).unwrap();
    volume.flush().unwrap();
    engine.close().unwrap();
    drop((volume, engine));
    assert_holds(&rig.attach(&rig.open(), 1, SIZE), written + 2);
}

#[test]
fn all_who_wait_share_the_end_of_one_try() {
    let rig = patient(ENDLESS);
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, SIZE);
    rig.faults.inject(Fault::always(Op::Seal, Effect::Fail(Failure::Unavailable)));
    let (written, error) = fill(&volume);
    assert!(error.to_string().contains("nobody answers"), "{error}");
    rig.faults.heal();
    rig.faults.inject(Fault::always(Op::Seal, Effect::Hang));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let volume = &volume;
            scope.spawn(move || {
                let error = put(volume, written + writer).unwrap_err();
                assert!(matches!(error, Error::LogFull { .. }), "{error}");
            });
        }
        until(|| waiting(&engine) == WRITERS as usize && rig.faults.hanging() == 1);
        // It fails. Were it asked again for any of them, that one would have room.
        rig.faults.heal();
    });
    put(&volume, written).unwrap();
    assert_holds(&volume, written + 1);
}

#[test]
fn who_waits_goes_on_as_soon_as_there_is_room() {
    let rig = patient(ENDLESS);
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, SIZE);
    let away = Effect::Fail(Failure::Unavailable);
    rig.faults.inject(Fault::always(Op::Seal, away));
    let (written, _) = fill(&volume);
    rig.faults.heal();
    // The second one that is full has to wait, the first one makes the room.
    rig.faults.inject(Fault { after: 1, ..Fault::always(Op::Seal, Effect::Hang) });
    put(&volume, written).unwrap();
    rig.faults.heal();
    engine.close().unwrap();
}

#[test]
fn a_log_that_failed_says_so_to_all_who_wait() {
    let rig = patient(ENDLESS);
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, SIZE);
    rig.faults.inject(Fault::always(Op::Seal, Effect::Fail(Failure::Unavailable)));
    let (written, _) = fill(&volume);
    rig.faults.heal();
    rig.faults.inject(Fault::always(Op::Seal, Effect::Fail(Failure::Io)));
    let error = put(&volume, written).unwrap_err();
    assert!(matches!(error, Error::LogFailed(_)), "{error}");
    let volume = Arc::clone(&volume);
    assert!(matches!(put(&volume, 0), Err(Error::LogFailed(_))));
}
