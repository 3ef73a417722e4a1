//! A world in which power fails on purpose: clock, chance, threads and disk, all
//! from one seed.
//!
//! [`env`] gives an [`Env`] to run the product in and a [`SimHandle`] to play
//! fate with. The same seed and the same calls give the same run, provided that
//! one thread makes all calls.
//!
//! # The disk
//! A write goes to the page cache, where everybody reads it at once. Power loss
//! ([`SimHandle::crash`], or [`Effect::PowerOff`] at a chosen operation) keeps
//! only what must be kept, and of the rest whatever the dice say:
//!
//! * **Bytes.** What was written since the last `sync_data` of the file is, file
//!   by file, either lost as a whole, kept as a whole, kept up to some write, or
//!   kept and lost sector by sector (512 bytes), each write on its own; so an
//!   older write may win over a newer one. A sector is never torn in itself.
//! * **Length.** Growing is separate from the bytes: the grown part may read as
//!   zeros, or be missing. So is cutting: it may not have happened.
//!   What was allocated reads as zeros, and may be missing likewise.
//! * **Names.** Creating, removing and renaming are kept or lost one by one,
//!   until `sync_dir` of the directory; a rename is atomic, and certain only once
//!   both directories are synced. A file whose name was synced but whose bytes
//!   were not has any of the lengths above, zero included. What lies in a
//!   directory whose own name is lost is lost with it.
//! * **A sync that fails** (injected) makes some sectors durable and forgets the
//!   others, as Linux does: they can still be read, no later sync makes them
//!   durable, and the next crash takes them.
//! * **A write that fails** (injected) has written some first part of itself.
//! * **Room.** Every byte below a file's length counts, holes too, in whole
//!   blocks of 4 KiB; and it counts until it is certain that no crash brings the
//!   bytes back. Where the room is exceeded, `StorageFull`.
//! * **Rot.** [`SimHandle::flip`] changes bytes at rest, silently;
//!   [`SimHandle::misread`] makes reads wrong, and leaves what is kept as it is.
//! * **Time.** Operations take none, or as long as [`SimHandle::slow`] says.
//!
//! What the disk never does: lose synced bytes, tear a sector, write to another
//! file or place, or reorder across a sync that succeeded. Disks that do are made of
//! [`SimHandle::layer`].
//!
//! After power loss, everything that the old [`Env`] and its files do fails, also
//! what destructors do; the next boot has an [`Env`] of its own. So it is when the
//! process alone ends ([`SimHandle::kill`]): then all that was written is still read.
//!
//! SQLite keeps its files on this disk, too: [`sqlite`].
//!
//! # The rest
//! See [`clock::SimClock`], [`random::SimRandom`] and [`threads::SimThreads`]:
//! time passes by sleeping only, and background threads run when they are joined
//! or when told to.

pub mod clock;
pub mod disk;
pub mod random;
pub mod sqlite;
pub mod threads;
pub mod world;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use archipelago_env::{Disk, Env};
use parking_lot::Mutex;

pub use clock::SimClock;
pub use disk::{DiskOp, Effect, Failure, Fault, Misread, Slow, Wrong};
pub use random::{Dice, SimRandom};
pub use threads::SimThreads;

use disk::Platters;
use sqlite::SqliteDisk;

/// The room of a simulated disk unless told otherwise: 1 TiB, so that it does
/// not matter.
pub const ROOM_DEFAULT: u64 = 1 << 40;

/// A new world.
///
/// Clock, random bytes and the disk's dice draw from streams of their own, so
/// that one more random identity does not change what a crash keeps.
pub fn env(seed: u64) -> (Env, SimHandle) {
    let mut dice = Dice::new(seed);
    let clock = Arc::new(SimClock::new(dice.below(1 << 32)));
    let handle = SimHandle {
        clock: Arc::clone(&clock),
        random: Arc::new(SimRandom::new(dice.next())),
        threads: Arc::new(SimThreads::new()),
        platters: Arc::new(Platters::new(dice.next(), ROOM_DEFAULT, clock)),
        present: Arc::default(),
    };
    (handle.current(), handle)
}

/// The other side of a simulated world. Clones play with the same world.
#[derive(Clone)]
pub struct SimHandle {
    clock: Arc<SimClock>,
    random: Arc<SimRandom>,
    threads: Arc<SimThreads>,
    platters: Arc<Platters>,
    present: Arc<Mutex<Present>>,
}

/// Puts a disk that lies round one that does not.
type Layer = Box<dyn Fn(Arc<dyn Disk>) -> Arc<dyn Disk> + Send>;

/// The disk of the present boot, made when it is first asked for.
#[derive(Default)]
struct Present {
    disk: Option<Arc<dyn Disk>>,
    layer: Option<Layer>,
}

impl SimHandle {
    /// Power fails, if it has not already, and comes back: the world after it.
    /// The old one does nothing any more.
    /// Threads that have not run are dropped; faults not yet due are forgotten.
    pub fn crash(&self) -> Env {
        self.platters.crash();
        self.next_boot()
    }

    /// The process ends as by `kill -9`, and another one starts. What was written
    /// stays; the rest is as for [`Self::crash`].
    pub fn kill(&self) -> Env {
        if self.is_off() {
            return self.crash();
        }
        self.platters.kill();
        self.next_boot()
    }

    fn next_boot(&self) -> Env {
        self.threads.forget();
        self.present.lock().disk = None;
        self.current()
    }

    /// Puts `layer` between the program, SQLite included, and the disk of the next
    /// boots: for disks that lie.
    pub fn layer(&self, layer: impl Fn(Arc<dyn Disk>) -> Arc<dyn Disk> + Send + 'static) {
        self.present.lock().layer = Some(Box::new(layer));
    }

    /// The world of the present boot, once more.
    pub fn current(&self) -> Env {
        Env::new(
            Arc::clone(&self.clock) as Arc<_>,
            Arc::clone(&self.random) as Arc<_>,
            self.disk(),
            Arc::clone(&self.threads) as Arc<_>,
        )
    }

    /// The world as another host sees it, which has the same disk at the same time.
    pub fn other_host(&self) -> Env {
        Env::new(
            Arc::clone(&self.clock) as Arc<_>,
            Arc::clone(&self.random) as Arc<_>,
            self.new_disk(&self.present.lock()),
            Arc::clone(&self.threads) as Arc<_>,
        )
    }

    fn disk(&self) -> Arc<dyn Disk> {
        let mut present = self.present.lock();
        if let Some(disk) = &present.disk {
            return Arc::clone(disk);
        }
        let disk = self.new_disk(&present);
        present.disk = Some(Arc::clone(&disk));
        disk
    }

    fn new_disk(&self, present: &Present) -> Arc<dyn Disk> {
        let plain: Arc<dyn Disk> = Arc::new(self.platters.boot());
        let layered = match &present.layer {
            Some(layer) => layer(plain),
            None => plain,
        };
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        Arc::new(SqliteDisk::new(layered, clock, random))
    }

    /// Plans a failure of the disk.
    pub fn inject(&self, fault: Fault) {
        self.platters.inject(fault);
    }

    /// Plans reads that go wrong.
    pub fn misread(&self, misread: Misread) {
        self.platters.misread(misread);
    }

    /// Plans operations that take long.
    pub fn slow(&self, slow: Slow) {
        self.platters.slow(slow);
    }

    /// From now on each operation of the disk takes so long.
    pub fn set_pace(&self, each: Duration) {
        self.platters.set_pace(each);
    }

    /// Sets the time of day forward or back, as an operator does; intervals go on.
    pub fn jump(&self, ms: i64) {
        self.clock.jump(ms);
    }

    /// Forgets all planned failures.
    pub fn heal(&self) {
        self.platters.heal();
    }

    /// Whether a planned failure has switched the power off.
    pub fn is_off(&self) -> bool {
        self.platters.is_off()
    }

    /// Operations so far that change the disk ([`DiskOp::changes`]): a test that
    /// runs once undisturbed knows from it where it can crash.
    pub fn changes(&self) -> u64 {
        self.platters.changes()
    }

    /// Sets the room of the disk in bytes; what is used stays.
    pub fn set_room(&self, bytes: u64) {
        self.platters.set_room(bytes);
    }

    /// The room that is used, in bytes.
    pub fn used(&self) -> u64 {
        self.platters.used()
    }

    /// Flips the bits of `mask` in one byte of a file, also of what is durable.
    ///
    /// # Errors
    /// `NotFound` for a file or a byte that is not there.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        self.platters.flip(path, offset, mask)
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Runs the threads that wait, one after the other, each to its end; returns
    /// how many. One that ends only when told so must have been told.
    pub fn run_threads(&self) -> usize {
        self.threads.run()
    }

    /// The same for those of one name.
    pub fn run_threads_named(&self, name: &str) -> usize {
        self.threads.run_named(name)
    }
}

#[cfg(test)]
mod tests;
