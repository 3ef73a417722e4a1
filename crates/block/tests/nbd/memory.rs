//! Exports in memory, with levers for what tests need: a full store, a slow disk, a gate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use archipelago_block::{
    ChangedRange, Export, ExportError, ExportErrorKind, Exports, StatusRange, Write,
};
use archipelago_model::SnapshotName;
use parking_lot::{Condvar, Mutex, RwLock};

const PAGE: usize = 64 << 10;

type Page = Option<Box<[u8]>>;

/// One export. It is sparse: pages never written, or zeroed whole, are holes.
pub struct Memory {
    pages: Vec<RwLock<Page>>,
    size: u64,
    pub read_only: bool,
    pub snapshots: Vec<SnapshotName>,
    /// Pages written since every snapshot.
    changed: Mutex<BTreeSet<usize>>,
    /// Writes of data fail for want of space.
    pub full: AtomicBool,
    /// Reads panic.
    pub broken: AtomicBool,
    /// Calls of write and flush.
    pub writes: AtomicUsize,
    pub flushes: AtomicUsize,
    /// Closed by tests that want flushes to take their time.
    pub gate: Gate,
}

/// Lets through, or not.
#[derive(Default)]
pub struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub fn close(&self) {
        *self.closed.lock() = true;
    }

    pub fn open(&self) {
        *self.closed.lock() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut closed = self.closed.lock();
        while *closed {
            self.opened.wait(&mut closed);
        }
    }
}

impl Memory {
    pub fn new(size: u64) -> Self {
        let pages = size.div_ceil(PAGE as u64);
        Self {
            pages: (0..pages).map(|_| RwLock::new(None)).collect(),
            size,
            read_only: false,
            snapshots: Vec::new(),
            changed: Mutex::default(),
            full: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            writes: AtomicUsize::new(0),
            flushes: AtomicUsize::new(0),
            gate: Gate::default(),
        }
    }

    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    pub fn with_snapshot(mut self, name: &str) -> Self {
        self.snapshots.push(name.parse().expect("tests name snapshots well"));
        self
    }

    /// All bytes of a range, whatever the gates say.
    pub fn bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0xee; len];
        self.read_pages(offset, &mut out);
        out
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), ExportError> {
        let end = self.size.next_multiple_of(512);
        if !(offset | len).is_multiple_of(512) || len == 0 || offset + len > end {
            let message = format!("{len} bytes at {offset} of {} are not served", self.size);
            return Err(ExportError::new(ExportErrorKind::Invalid, message));
        }
        Ok(())
    }

    fn read_pages(&self, offset: u64, buf: &mut [u8]) {
        for (index, skip, range) in pieces(offset, buf.len()) {
            let dest = &mut buf[range];
            match &*self.pages[index].read() {
                Some(page) => dest.copy_from_slice(&page[skip..skip + dest.len()]),
                None => dest.fill(0),
            }
        }
    }

    fn write_one(&self, write: &Write<'_>) -> Result<(), ExportError> {
        match *write {
            Write::Data { offset, bytes } => {
                self.check(offset, bytes.len() as u64)?;
                if self.full.load(SeqCst) {
                    return Err(ExportError::new(ExportErrorKind::NoSpace, "the store is full"));
                }
                for (index, skip, range) in pieces(offset, bytes.len()) {
                    let mut page = self.pages[index].write();
                    let page = page.get_or_insert_with(|| vec![0; PAGE].into_boxed_slice());
                    page[skip..skip + range.len()].copy_from_slice(&bytes[range]);
                    self.touch(index);
                }
            }
            Write::Zero { offset, len, may_unmap } => {
                self.check(offset, len)?;
                for (index, skip, range) in pieces(offset, len as usize) {
                    let mut page = self.pages[index].write();
                    if range.len() == PAGE && may_unmap {
                        *page = None;
                    } else if !may_unmap || page.is_some() {
                        let page = page.get_or_insert_with(|| vec![0; PAGE].into_boxed_slice());
                        page[skip..skip + range.len()].fill(0);
                    }
                    self.touch(index);
                }
            }
        }
        Ok(())
    }

    fn touch(&self, page: usize) {
        if !self.snapshots.is_empty() {
            self.changed.lock().insert(page);
        }
    }

    fn runs(
        &self,
        offset: u64,
        len: u64,
        max: usize,
        of: impl Fn(usize) -> bool,
    ) -> Vec<(u64, bool)> {
        pieces(offset, len as usize)
            .take(max)
            .map(|(index, _, range)| (range.len() as u64, of(index)))
            .collect()
    }
}

/// The parts of a range by page: page, offset in it, range of the whole.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset as usize + done;
        let part = (PAGE - at % PAGE).min(len - done);
        let range = done..done + part;
        done += part;
        Some((at / PAGE, at % PAGE, range))
    })
}

impl Export for Memory {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), ExportError> {
        self.check(offset, buf.len() as u64)?;
        assert!(!self.broken.load(SeqCst), "a test's panic");
        self.read_pages(offset, buf);
        Ok(())
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<(), ExportError> {
        assert!(!self.read_only, "the server lets no write through to what is read-only");
        self.writes.fetch_add(1, SeqCst);
        writes.iter().try_for_each(|write| self.write_one(write))
    }

    fn flush(&self) -> Result<(), ExportError> {
        self.flushes.fetch_add(1, SeqCst);
        self.gate.pass();
        Ok(())
    }

    fn status(&self, offset: u64, len: u64, max: usize) -> Result<Vec<StatusRange>, ExportError> {
        self.check(offset, len)?;
        let runs = self.runs(offset, len, max, |index| self.pages[index].read().is_none());
        Ok(runs.into_iter().map(|(len, hole)| StatusRange { len, hole, zero: hole }).collect())
    }

    fn changed_since(
        &self,
        snapshot: &SnapshotName,
        offset: u64,
        len: u64,
        max: usize,
    ) -> Result<Vec<ChangedRange>, ExportError> {
        self.check(offset, len)?;
        if !self.snapshots.contains(snapshot) {
            return Err(ExportError::new(ExportErrorKind::NotFound, "no such snapshot"));
        }
        let changed = self.changed.lock();
        let runs = self.runs(offset, len, max, |index| changed.contains(&index));
        Ok(runs.into_iter().map(|(len, changed)| ChangedRange { len, changed }).collect())
    }

    fn snapshots(&self) -> Result<Vec<SnapshotName>, ExportError> {
        Ok(self.snapshots.clone())
    }
}

/// Exports by name.
#[derive(Default)]
pub struct MemoryExports(pub BTreeMap<String, Arc<Memory>>);

impl MemoryExports {
    pub fn with(mut self, name: &str, export: Memory) -> Self {
        self.0.insert(name.to_owned(), Arc::new(export));
        self
    }

    pub fn get(&self, name: &str) -> &Arc<Memory> {
        &self.0[name]
    }
}

impl Exports for MemoryExports {
    fn open(
        &self,
        _: archipelago_block::Client,
        name: &str,
    ) -> Result<Arc<dyn Export>, ExportError> {
        match self.0.get(name) {
            Some(export) => Ok(Arc::clone(export) as _),
            None => {
                let message =
                    format!("there is no export '{name}'; list them to see what there is");
                Err(ExportError::new(ExportErrorKind::NotFound, message))
            }
        }
    }

    fn list(&self, _: archipelago_block::Client) -> Result<Vec<String>, ExportError> {
        Ok(self.0.keys().cloned().collect())
    }
}
