//! What the tests of this crate share: a store in a temporary folder, and devices
//! that are written and read with little text.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use archipelago_env::{Clock, Env};
use archipelago_format::stream::{Header, Writer};
use archipelago_model::{SegmentId, Source, VolumeName, VolumeSize};
use tempfile::TempDir;

use crate::{Config, Device, Error, NewImage, Origin, Service, Volume, Write};

pub(crate) const MIB: u64 = 1 << 20;

/// A store that can be closed, crashed and opened again.
pub(crate) struct Bench {
    pub dir: TempDir,
    pub service: Arc<Service>,
}

/// Small segments, and no checkpoint but those that a test causes.
pub(crate) fn config() -> Config {
    Config {
        hot_segment_bytes: 4 * MIB,
        cold_segment_bytes: 4 * MIB,
        chunk_cache_bytes: 4 * MIB,
        node_cache_bytes: 4 * MIB,
        slot_cache_bytes: MIB,
        checkpoint_interval_ms: 3_600_000,
        collector_interval_ms: 0,
        backup_interval_ms: 0,
        mover_interval_ms: 0,
        lifecycle_interval_ms: 0,
        ..Config::default()
    }
}

/// The server that the tests have their catalogs on, if there is one: `cargo xtask test` runs them
/// on both.
pub(crate) fn server_url(path: &Path) -> Option<String> {
    let server = std::env::var("ARCHIPELAGO_TEST_POSTGRES").ok().filter(|_| !ON_FILES.get())?;
    // One for each folder, so that it is found again when that is opened again.
    let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    let sign = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{sign}schema=t_{}", &name[..24]))
}

/// A configuration that has the catalog on that server.
pub(crate) fn on_server(data: &Path, config: Config) -> Config {
    let catalog_url = config.catalog_url.or_else(|| server_url(data));
    Config { catalog_url, ..config }
}

thread_local! {
    static ON_FILES: Cell<bool> = const { Cell::new(false) };
}

/// For a test of what only files do: its catalogs are in files, also where others are on a server.
pub(crate) fn on_files() {
    ON_FILES.set(true);
}

/// Changes the catalog of a store behind its back; references are not looked at.
pub(crate) fn tamper(data: &Path, sql: &str) {
    match server_url(data) {
        Some(url) => {
            let sql = format!("SET session_replication_role = replica; {sql}");
            crate::catalog::postgres::behind(&url, &sql);
        }
        None => {
            let file = rusqlite::Connection::open(data.join("catalog.sqlite")).unwrap();
            file.pragma_update(None, "foreign_keys", false).unwrap();
            file.execute_batch(sql).unwrap();
        }
    }
}

/// The catalog of a store is gone.
pub(crate) fn lose_catalog(data: &Path) {
    if let Some(url) = server_url(data) {
        let schema = url.rsplit('=').next().unwrap();
        crate::catalog::postgres::behind(&url, &format!("DROP SCHEMA {schema} CASCADE"));
    }
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("catalog.sqlite{suffix}")));
    }
}

pub(crate) fn open(path: &Path) -> Result<Arc<Service>, Error> {
    Service::open(path, Env::real(), config())
}

/// A clock that a test moves.
#[derive(Default)]
pub(crate) struct Hands {
    passed_ms: AtomicU64,
    /// By how much somebody set the time of day forward or back.
    set_by_ms: AtomicI64,
}

impl Hands {
    pub fn forward(&self, ms: u64) {
        self.passed_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Sets the time of day forward or back; no time passes.
    pub fn set_by(&self, ms: i64) {
        self.set_by_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// A world that goes by this clock.
    pub fn env(self: &Arc<Self>) -> Env {
        let real = Env::real();
        Env::new(
            Arc::clone(self) as Arc<dyn Clock>,
            Arc::clone(real.random()),
            Arc::clone(real.disk()),
            Arc::clone(real.threads()),
        )
    }
}

impl Clock for Hands {
    fn unix_ms(&self) -> u64 {
        let now = 1_000_000 + self.passed_ms.load(Ordering::Relaxed);
        now.saturating_add_signed(self.set_by_ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed_ms.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) {
        Env::real().clock().sleep(Duration::from_millis(1));
    }
}

impl Bench {
    /// One whose time a test moves.
    pub fn timed(config: Config) -> (Self, Arc<Hands>) {
        let (dir, hands) = (TempDir::new().unwrap(), Arc::new(Hands::default()));
        let service = Service::open(&dir.path().join("data"), hands.env(), config).unwrap();
        (Self { dir, service }, hands)
    }

    /// As [`Self::crash`], and goes by that clock.
    pub fn crash_timed(&mut self, hands: &Arc<Hands>) {
        self.crash_with(hands, |_| ());
    }

    /// The same, with other settings.
    pub fn crash_with(&mut self, hands: &Arc<Hands>, change: impl FnOnce(&mut Config)) {
        self.service.abandon();
        let (data, mut config) = (self.dir.path().join("data"), config());
        change(&mut config);
        self.service = Service::open(&data, hands.env(), config).unwrap();
    }

    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let service = open(&dir.path().join("data")).unwrap();
        Self { dir, service }
    }

    /// Ends as `kill -9` would, and opens again.
    pub fn crash(&mut self) {
        self.service.abandon();
        self.service = open(&self.dir.path().join("data")).unwrap();
    }

    /// Closes and opens again.
    pub fn reopen(&mut self) {
        self.service.close().unwrap();
        self.service = open(&self.dir.path().join("data")).unwrap();
    }

    /// Crashes amid the first batch of a segment of the log, and opens again.
    pub fn tear(&mut self) -> SegmentId {
        // What is opened anew has a log that begins with its next write.
        self.create("torn", MIB);
        self.reopen();
        let pool = self.dir.path().join("data/pool/segments/0000000");
        let list = || std::fs::read_dir(&pool).unwrap().map(|entry| entry.unwrap().path());
        let before: Vec<_> = list().collect();
        self.put("torn", 0, &noise(1, 65536));
        self.service.abandon();
        // One behind it may have been made in advance.
        let path = list().filter(|path| !before.contains(path)).min().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        self.service = open(&self.dir.path().join("data")).unwrap();
        let id = path.file_stem().unwrap().to_str().unwrap();
        SegmentId::new(u64::from_str_radix(id, 16).unwrap()).unwrap()
    }

    pub fn create(&self, name: &str, bytes: u64) -> Volume {
        let made = self.service.volume_create(&[vol(name)], &Origin::Empty(size(bytes)));
        made.unwrap().remove(0)
    }

    pub fn clone_as(&self, name: &str, source: &str, bytes: Option<u64>) -> Result<Volume, Error> {
        let origin = Origin::Clone { source: src(source), size: bytes.map(size) };
        Ok(self.service.volume_create(&[vol(name)], &origin)?.remove(0))
    }

    pub fn snapshot(&self, path: &str) -> Result<(), Error> {
        self.service.snapshot_create(&[path.parse().unwrap()]).map(drop)
    }

    pub fn device(&self, export: &str) -> Arc<Device> {
        self.service.open_device(export).unwrap()
    }

    /// Opens, writes, flushes, closes.
    pub fn put(&self, export: &str, offset: u64, bytes: &[u8]) {
        let device = self.device(export);
        device.write(&[Write::Data { offset, bytes }]).unwrap();
        device.flush().unwrap();
    }

    pub fn get(&self, export: &str, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0xee; len];
        self.device(export).read(offset, &mut out).unwrap();
        out
    }

    pub fn export(&self, source: &str) -> Vec<u8> {
        let mut out = Vec::new();
        self.service.export(&src(source), &mut out).unwrap();
        out
    }

    pub fn import(&self, name: &str, stream: &[u8]) -> Result<(), Error> {
        let spec = NewImage {
            name: name.parse().unwrap(),
            format: "raw".to_owned(),
            os: None,
            source_bytes: None,
            sha256: None,
        };
        self.service.image_import(&spec, &mut &stream[..]).map(drop)
    }

    pub fn put_file(&self, object: &str, stream: &[u8]) -> Result<(), Error> {
        let container = "files".parse().unwrap();
        let object = object.parse().unwrap();
        self.service.file_put(&container, &object, None, &mut &stream[..]).map(drop)
    }
}

pub(crate) fn vol(name: &str) -> VolumeName {
    name.parse().unwrap()
}

pub(crate) fn src(source: &str) -> Source {
    source.parse().unwrap()
}

pub(crate) fn size(bytes: u64) -> VolumeSize {
    VolumeSize::from_bytes(bytes).unwrap()
}

/// Bytes that look different in every block and for every seed, and do not compress.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A full stream of these bytes.
pub(crate) fn stream(bytes: &[u8]) -> Vec<u8> {
    let header = Header { size: bytes.len() as u64, base: None, identity: None };
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    for (at, part) in (0u64..).step_by(1 << 20).zip(bytes.chunks(1 << 20)) {
        writer.data(at, part).unwrap();
    }
    writer.finish().unwrap()
}
