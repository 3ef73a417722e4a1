//! The engine against a plain array of sectors: the same random operations on
//! both, with power cuts, kills, failures of the disk and reopening among them.
//!
//! The model knows for each sector what a read must give now, and what a reader
//! may find after power loss: what it held at the last acknowledged flush, or
//! anything written since. Snapshots must be exact for ever.

// A test says what it expects by unwrapping; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use archipelago_engine::{
    Checkpoint, Config, Engine, Error, Head, Options, Piece, SegmentIds, Volume, Write,
};
use archipelago_env::Env;
use archipelago_model::{Epoch, Location, SegmentId, VolumeId, VolumeSize};
use archipelago_sim::{Dice, DiskOp, Failure, Fault, SimHandle};
use archipelago_store::DirectoryStore;

const SECTORS: u64 = 600;
const SECTOR: usize = 512;

/// What every sector holds: the number of the operation that wrote it; 0 is zeros.
type Stamp = u64;

#[derive(Clone)]
struct Cell {
    now: Vec<Stamp>,
    after_crash: Vec<Stamp>,
}

impl Cell {
    fn settled(stamp: Stamp) -> Self {
        Self { now: vec![stamp], after_crash: vec![stamp] }
    }
}

struct Disk {
    head: Head,
    cells: Vec<Cell>,
    handle: Option<Arc<Volume>>,
}

struct Frozen {
    root: Location,
    content: Vec<Stamp>,
}

/// The catalog: always durable, as a database that commits is.
#[derive(Default)]
struct Catalog {
    next_segment: u64,
    log_floor: Option<SegmentId>,
    /// With their raw bytes.
    sealed: BTreeMap<SegmentId, u64>,
}

impl Catalog {
    fn record(&mut self, checkpoint: &Checkpoint) {
        self.log_floor = Some(checkpoint.log_floor);
        self.sealed.extend(checkpoint.sealed().iter().map(|info| (info.id, info.raw_bytes)));
    }
}

struct Ids(Arc<Mutex<Catalog>>);

impl SegmentIds for Ids {
    fn reserve(&self, count: u64) -> Result<Range<u64>, Box<dyn std::error::Error + Send + Sync>> {
        let mut catalog = self.0.lock().unwrap();
        let from = catalog.next_segment + 1;
        catalog.next_segment += count;
        Ok(from..from + count)
    }
}

struct World {
    dice: Dice,
    sim: SimHandle,
    env: Env,
    engine: Option<Arc<Engine>>,
    catalog: Arc<Mutex<Catalog>>,
    disks: BTreeMap<u64, Disk>,
    frozen: Vec<Frozen>,
    next_volume: u64,
    op: Stamp,
    trace: Vec<String>,
}

fn stamped(stamp: Stamp, sectors: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(sectors as usize * SECTOR);
    for _ in 0..sectors {
        for _ in 0..SECTOR / 8 {
            out.extend_from_slice(&stamp.to_le_bytes());
        }
    }
    out
}

/// One stamp a sector; panics on a torn sector.
fn stamps(bytes: &[u8]) -> Vec<Stamp> {
    bytes
        .chunks(SECTOR)
        .map(|sector| {
            let stamp = Stamp::from_le_bytes(sector[..8].try_into().unwrap());
            assert!(sector.chunks(8).all(|c| c == stamp.to_le_bytes()), "a torn sector");
            stamp
        })
        .collect()
}

fn config() -> Config {
    Config {
        hot_segment_bytes: 128 << 10,
        cold_segment_bytes: 64 << 10,
        chunk_cache_bytes: 256 << 10,
        node_cache_bytes: 64 << 10,
        slot_cache_bytes: 64 << 10,
        overlay_extents_checkpoint: 64,
        overlay_extents_max: 1 << 20,
        log_bytes_checkpoint: 1 << 20,
        log_room_wait: Config::default().log_room_wait,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let (env, sim) = archipelago_sim::env(seed);
        Self {
            dice: Dice::new(seed ^ 0xa5a5),
            sim,
            env,
            engine: None,
            catalog: Arc::default(),
            disks: BTreeMap::new(),
            frozen: Vec::new(),
            next_volume: 1,
            op: 0,
            trace: Vec::new(),
        }
    }

    fn engine(&self) -> Arc<Engine> {
        Arc::clone(self.engine.as_ref().unwrap())
    }

    fn try_open(&mut self) -> Result<(), Error> {
        let store = DirectoryStore::open(&self.env, Path::new("/pool"))?;
        let heads: BTreeMap<u64, Head> = self.disks.iter().map(|(id, d)| (*id, d.head)).collect();
        let recorded = self.catalog.lock().unwrap().sealed.clone();
        let (engine, _) = Engine::open(Options {
            env: self.env.clone(),
            store: Arc::new(store),
            config: config(),
            store_uuid: [7; 16],
            dedup_key: [9; 32],
            ids: Arc::new(Ids(Arc::clone(&self.catalog))),
            log_floor: self.catalog.lock().unwrap().log_floor,
            heads: &|id| heads.get(&id.get()).copied(),
            recorded: &|id| recorded.get(&id).copied(),
            forwarded: &[],
            condemned: &[],
            doubt: None,
            copies: None,
        })?;
        for disk in self.disks.values_mut() {
            disk.head.epoch = Epoch::new(disk.head.epoch.get() + 1);
            disk.handle = Some(engine.attach(disk.head)?);
        }
        self.engine = Some(engine);
        Ok(())
    }

    /// Opens, with more power cuts on the way now and then; then checks all.
    fn open(&mut self) {
        for _ in 0..3 {
            if self.dice.below(4) == 0 {
                self.sim.inject(Fault::power_off_after(self.dice.below(8)));
            }
            match self.try_open() {
                Ok(()) => break,
                Err(error) => {
                    let lost = matches!(error, Error::LogCut { .. } | Error::LogDamaged { .. });
                    assert!(!lost && !matches!(error, Error::Damaged { .. }), "open: {error}");
                    self.drop_engine();
                    if self.sim.is_off() || self.dice.coin() {
                        self.env = self.sim.crash();
                    }
                }
            }
        }
        self.sim.heal();
        if self.engine.is_none() {
            self.try_open().expect("an undisturbed open succeeds");
        }
        if self.sim.is_off() {
            return self.crash();
        }
        self.check_after_crash();
    }

    fn check_after_crash(&mut self) {
        for (id, disk) in &mut self.disks {
            let volume = disk.handle.as_ref().unwrap();
            let mut bytes = vec![0; volume.size() as usize];
            volume.read(0, &mut bytes).unwrap();
            for (i, stamp) in stamps(&bytes).into_iter().enumerate() {
                let cell = &mut disk.cells[i];
                assert!(
                    cell.after_crash.contains(&stamp),
                    "volume {id} sector {i}: {stamp} is none of {:?}",
                    cell.after_crash
                );
                *cell = Cell::settled(stamp);
            }
        }
        self.check_frozen();
    }

    fn check_frozen(&self) {
        for frozen in &self.frozen {
            let size = frozen.content.len() * SECTOR;
            let view = self.engine().view(frozen.root, size as u64).unwrap();
            let mut bytes = vec![0; size];
            view.read(0, &mut bytes).unwrap();
            assert_eq!(stamps(&bytes), frozen.content, "a snapshot changed");
        }
    }

    fn drop_engine(&mut self) {
        for disk in self.disks.values_mut() {
            disk.handle = None;
        }
        self.engine = None;
    }

    fn crash(&mut self) {
        self.trace.push("crash".into());
        self.drop_engine();
        self.env = self.sim.crash();
        self.open();
    }

    /// The process dies; what it wrote is in the system's cache.
    fn kill(&mut self) {
        self.trace.push("kill".into());
        self.drop_engine();
        self.open();
    }

    fn pick(&mut self) -> Option<u64> {
        let n = self.disks.len() as u64;
        let i = (n > 0).then(|| self.dice.below(n) as usize)?;
        self.disks.keys().nth(i).copied()
    }

    fn create(&mut self) {
        let size = VolumeSize::from_bytes(SECTORS * SECTOR as u64).unwrap();
        self.insert(size, Location::HOLE, vec![0; SECTORS as usize]);
    }

    fn insert(&mut self, size: VolumeSize, root: Location, content: Vec<Stamp>) {
        let id = self.next_volume;
        self.next_volume += 1;
        let head = Head {
            volume: VolumeId::new(id),
            epoch: Epoch::new(1),
            size,
            root,
            lsn: Location::HOLE,
        };
        let handle = self.engine().attach(head).ok();
        let mut cells: Vec<Cell> = content.into_iter().map(Cell::settled).collect();
        cells.resize(SECTORS as usize * 2, Cell::settled(0));
        self.disks.insert(id, Disk { head, cells, handle });
    }

    fn write(&mut self, id: u64) -> Result<(), Error> {
        self.op += 1;
        let op = self.op;
        let disk = self.disks.get_mut(&id).unwrap();
        let volume = Arc::clone(disk.handle.as_ref().unwrap());
        let sectors = volume.size() / SECTOR as u64;
        let mut writes = Vec::new();
        let mut touched = Vec::new();
        for i in 0..=self.dice.below(3) {
            let start = self.dice.below(sectors);
            let len = 1 + self.dice.below((sectors - start).min(40));
            let zero = self.dice.below(5) == 0;
            let stamp = if zero { 0 } else { op << 4 | i };
            touched.push((start, len, stamp, stamped(stamp, len)));
        }
        for (start, len, stamp, bytes) in &touched {
            let offset = start * SECTOR as u64;
            writes.push(if *stamp == 0 && self.dice.coin() {
                Write::Zero { offset, len: len * SECTOR as u64, keep: false }
            } else {
                Write::Data { offset, bytes }
            });
        }
        let result = volume.write(&writes);
        for (start, len, stamp, _) in touched {
            for cell in &mut disk.cells[start as usize..(start + len) as usize] {
                if result.is_ok() {
                    cell.now = vec![stamp];
                } else {
                    cell.now.push(stamp);
                }
                cell.after_crash.push(stamp);
            }
        }
        result
    }

    fn flush(&mut self, id: u64) -> Result<(), Error> {
        self.disks[&id].handle.as_ref().unwrap().flush()?;
        // One log: a flush of any volume covers all.
        for disk in self.disks.values_mut() {
            for cell in &mut disk.cells {
                cell.after_crash.clone_from(&cell.now);
            }
        }
        Ok(())
    }

    fn read(&mut self, id: u64) -> Result<(), Error> {
        let disk = self.disks.get_mut(&id).unwrap();
        let volume = disk.handle.as_ref().unwrap();
        let sectors = volume.size() / SECTOR as u64;
        let start = self.dice.below(sectors);
        let len = 1 + self.dice.below((sectors - start).min(100));
        let mut bytes = vec![1; len as usize * SECTOR];
        volume.read(start * SECTOR as u64, &mut bytes)?;
        for (i, stamp) in stamps(&bytes).into_iter().enumerate() {
            let cell = &mut disk.cells[start as usize + i];
            assert!(cell.now.contains(&stamp), "volume {id}: {stamp} is none of {:?}", cell.now);
            cell.now = vec![stamp];
        }
        Ok(())
    }

    /// A checkpoint of some volumes at one cut; with `keep` also snapshots.
    fn checkpoint(&mut self, keep: bool, merge: bool) -> Result<(), Error> {
        let some: Vec<u64> =
            self.disks.keys().copied().filter(|_| self.dice.below(3) > 0).collect();
        let volumes: Vec<Arc<Volume>> =
            some.iter().map(|id| Arc::clone(self.disks[id].handle.as_ref().unwrap())).collect();
        let catalog = Arc::clone(&self.catalog);
        let done = self.engine().checkpoint(&volumes, merge, |checkpoint| {
            catalog.lock().unwrap().record(checkpoint);
            Ok::<(), Error>(())
        })?;
        for cut in &done.cuts {
            let disk = self.disks.get_mut(&cut.volume.get()).unwrap();
            disk.head.root = *cut.root.get();
            disk.head.lsn = cut.lsn;
            disk.head.size = cut.size;
            let known = disk.cells.iter().all(|c| c.now.len() == 1);
            if keep && known {
                let n = cut.size.sectors() as usize;
                let content = disk.cells[..n].iter().map(|c| c.now[0]).collect();
                self.frozen.push(Frozen { root: disk.head.root, content });
            }
            for cell in &mut disk.cells {
                cell.after_crash.clone_from(&cell.now);
            }
        }
        if self.frozen.len() > 12 {
            let out = self.dice.below(self.frozen.len() as u64) as usize;
            self.frozen.swap_remove(out);
        }
        Ok(())
    }

    fn clone_of_frozen(&mut self) {
        if self.frozen.is_empty() || self.disks.len() > 5 {
            return;
        }
        let i = self.dice.below(self.frozen.len() as u64) as usize;
        let (root, content) = (self.frozen[i].root, self.frozen[i].content.clone());
        let larger = content.len() as u64 + self.dice.below(2) * 8;
        let size = VolumeSize::from_bytes(larger * SECTOR as u64).unwrap();
        self.insert(size, root, content);
    }

    fn resize(&mut self, id: u64) -> Result<(), Error> {
        let sectors = SECTORS / 2 + self.dice.below(SECTORS);
        let size = VolumeSize::from_bytes(sectors * SECTOR as u64).unwrap();
        let disk = self.disks.get_mut(&id).unwrap();
        let volume = Arc::clone(disk.handle.as_ref().unwrap());
        let old = volume.size() / SECTOR as u64;
        volume.resize(size)?;
        for cell in &mut disk.cells[sectors.min(old) as usize..] {
            cell.now.push(0);
            cell.after_crash.push(0);
        }
        let catalog = Arc::clone(&self.catalog);
        let done = self.engine().checkpoint(&[volume], false, |checkpoint| {
            catalog.lock().unwrap().record(checkpoint);
            Ok::<(), Error>(())
        })?;
        let disk = self.disks.get_mut(&id).unwrap();
        disk.head.root = *done.cuts[0].root.get();
        disk.head.lsn = done.cuts[0].lsn;
        disk.head.size = size;
        for (i, cell) in disk.cells.iter_mut().enumerate() {
            if i as u64 >= sectors.min(old) {
                *cell = Cell::settled(0);
            }
            cell.after_crash.clone_from(&cell.now);
        }
        Ok(())
    }

    fn ingest(&mut self) -> Result<(), Error> {
        if self.disks.len() > 5 {
            return Ok(());
        }
        self.op += 1;
        let stamp = self.op << 4;
        let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut content = vec![0; SECTORS as usize];
        for block in 0..SECTORS / 8 {
            match self.dice.below(3) {
                0 => {}
                kind => {
                    let stamp = if kind == 1 { stamp } else { 5 };
                    pieces.push((block * 4096, stamped(stamp, 8)));
                    content[block as usize * 8..block as usize * 8 + 8].fill(stamp);
                }
            }
        }
        let mut pieces = pieces.into_iter();
        let size = SECTORS * SECTOR as u64;
        let done = self.engine().ingest(Location::HOLE, size, &mut || {
            Ok(pieces.next().map(|(offset, bytes)| Piece::Data { offset, bytes }))
        });
        match done {
            Ok(done) => {
                let root = *done.root.get();
                let mut catalog = self.catalog.lock().unwrap();
                catalog.sealed.extend(done.sealed.iter().map(|info| (info.id, info.raw_bytes)));
                for named in done.named {
                    catalog.sealed.entry(named).or_default();
                }
                drop(catalog);
                self.frozen.push(Frozen { root, content: content.clone() });
                self.insert(VolumeSize::from_bytes(size).unwrap(), root, content);
                Ok(())
            }
            Err(archipelago_engine::IngestError::Engine(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    fn step(&mut self) {
        let Some(id) = self.pick() else {
            return self.create();
        };
        let die = self.dice.below(100);
        let (name, result) = match die {
            0..=44 => ("write", self.write(id)),
            45..=64 => ("read", self.read(id)),
            65..=74 => ("flush", self.flush(id)),
            75..=78 => ("checkpoint", self.checkpoint(false, true)),
            79..=82 => ("snapshot", self.checkpoint(true, false)),
            83..=84 => ("resize", self.resize(id)),
            85..=86 => ("ingest", self.ingest()),
            87..=88 => return self.clone_of_frozen(),
            89 => {
                self.engine().detach(VolumeId::new(id));
                self.disks.remove(&id);
                return;
            }
            90 => return self.check_frozen(),
            91 => {
                self.engine().checkpoint_due(std::time::Duration::ZERO);
                return;
            }
            92..=93 => return self.crash(),
            94..=95 => return self.kill(),
            96 => ("close", self.close()),
            97 => {
                self.sim.inject(Fault::power_off_after(self.dice.below(40)));
                return;
            }
            98 => {
                let op = [DiskOp::Write, DiskOp::SyncData, DiskOp::Allocate, DiskOp::Create]
                    [self.dice.below(4) as usize];
                let failure = [Failure::Io, Failure::Full][self.dice.below(2) as usize];
                self.sim.inject(Fault::once(op, failure).after(self.dice.below(6)));
                return;
            }
            _ => return self.create_if_few(),
        };
        self.trace.push(format!("{name} {id} {}", result.is_ok()));
        if let Err(error) = result {
            assert!(
                !matches!(error, Error::Damaged { .. } | Error::OutOfRange { .. }),
                "{name} of volume {id}: {error}"
            );
            if self.sim.is_off() || matches!(error, Error::LogFailed(_) | Error::Closed) {
                self.sim.heal();
                if self.dice.coin() || self.sim.is_off() { self.crash() } else { self.kill() }
            }
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        let all = self.engine().dirty_volumes();
        let catalog = Arc::clone(&self.catalog);
        let done = self.engine().checkpoint(&all, true, |checkpoint| {
            catalog.lock().unwrap().record(checkpoint);
            Ok::<(), Error>(())
        })?;
        for cut in &done.cuts {
            let disk = self.disks.get_mut(&cut.volume.get()).unwrap();
            disk.head.root = *cut.root.get();
            disk.head.lsn = cut.lsn;
            disk.head.size = cut.size;
        }
        self.engine().close()?;
        for disk in self.disks.values_mut() {
            for cell in &mut disk.cells {
                cell.after_crash.clone_from(&cell.now);
            }
        }
        if self.dice.coin() {
            self.crash()
        } else {
            self.kill()
        }
        Ok(())
    }

    fn create_if_few(&mut self) {
        if self.disks.len() < 4 {
            self.create();
        }
    }
}

fn run(seed: u64, steps: u64) {
    let mut world = World::new(seed);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.open();
        world.create();
        for _ in 0..steps {
            world.step();
        }
        world.sim.heal();
        world.crash();
    }));
    if let Err(panic) = result {
        let tail = world.trace.len().saturating_sub(30);
        eprintln!("seed {seed} failed after:\n  {}", world.trace[tail..].join("\n  "));
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn the_engine_is_a_plain_array_of_sectors_whatever_fails() {
    let count = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
    };
    let first = count("SEED", 0);
    for seed in first..first + count("SEEDS", 300) {
        run(seed, count("STEPS", 300));
    }
}
