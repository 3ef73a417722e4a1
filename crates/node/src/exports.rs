//! The pool behind the traits of the NBD server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_block::{
    ChangedRange, Export, ExportError, ExportErrorKind, Exports, StatusRange, Write,
};
use archipelago_model::SnapshotName;
use archipelago_pool::{self as pool, Device, ErrorKind, Service};

/// Everything with a name, as exports.
pub(crate) struct PoolExports(pub(crate) Arc<Service>);

impl Exports for PoolExports {
    fn open(&self, name: &str) -> Result<Arc<dyn Export>, ExportError> {
        let device = self.0.open_device(name).map_err(error)?;
        Ok(Arc::new(PoolExport { device, name: name.to_owned(), failures: AtomicU64::new(0) }))
    }

    fn list(&self) -> Result<Vec<String>, ExportError> {
        self.0.exports().map_err(error)
    }
}

struct PoolExport {
    device: Arc<Device>,
    name: String,
    failures: AtomicU64,
}

impl PoolExport {
    /// Tells the operator too: a guest sees only an errno. The first failure, then
    /// each power of two, so that a guest that tries again and again fills no disk.
    fn failed(&self, request: &str, cause: pool::Error) -> ExportError {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let asked_wrongly = matches!(cause.kind(), ErrorKind::Invalid | ErrorKind::NotFound);
        if failures.is_power_of_two() && !asked_wrongly {
            let export = &self.name;
            tracing::warn!(%export, request, failures, error = %cause, "a request failed");
        }
        error(cause)
    }
}

impl Export for PoolExport {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_only(&self) -> bool {
        self.device.read_only()
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), ExportError> {
        self.device.read(offset, buf).map_err(|e| self.failed("read", e))
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<(), ExportError> {
        let writes: Vec<pool::Write<'_>> = writes.iter().map(write).collect();
        self.device.write(&writes).map_err(|e| self.failed("write", e))
    }

    fn flush(&self) -> Result<(), ExportError> {
        self.device.flush().map_err(|e| self.failed("flush", e))
    }

    fn status(&self, offset: u64, len: u64, max: usize) -> Result<Vec<StatusRange>, ExportError> {
        let ranges = self.device.status(offset, len, max).map_err(|e| self.failed("status", e))?;
        let convert = |range: pool::StatusRange| StatusRange {
            len: range.len,
            hole: range.hole,
            zero: range.zero,
        };
        Ok(ranges.into_iter().map(convert).collect())
    }

    fn changed_since(
        &self,
        snapshot: &SnapshotName,
        offset: u64,
        len: u64,
        max: usize,
    ) -> Result<Vec<ChangedRange>, ExportError> {
        let ranges = self.device.changed_since(snapshot, offset, len, max).map_err(error)?;
        let convert =
            |range: pool::ChangedRange| ChangedRange { len: range.len, changed: range.changed };
        Ok(ranges.into_iter().map(convert).collect())
    }

    fn snapshots(&self) -> Result<Vec<SnapshotName>, ExportError> {
        self.device.snapshots().map_err(error)
    }
}

fn write<'a>(write: &Write<'a>) -> pool::Write<'a> {
    match *write {
        Write::Data { offset, bytes } => pool::Write::Data { offset, bytes },
        Write::Zero { offset, len, may_unmap } => pool::Write::Zero { offset, len, may_unmap },
    }
}

fn error(error: pool::Error) -> ExportError {
    let kind = match error.kind() {
        ErrorKind::NotFound => ExportErrorKind::NotFound,
        ErrorKind::InUse => ExportErrorKind::InUse,
        ErrorKind::NoSpace => ExportErrorKind::NoSpace,
        ErrorKind::ReadOnly | ErrorKind::Forbidden => ExportErrorKind::ReadOnly,
        ErrorKind::Fenced => ExportErrorKind::Fenced,
        ErrorKind::Damaged => ExportErrorKind::Damaged,
        ErrorKind::Invalid
        | ErrorKind::AlreadyExists
        | ErrorKind::Unauthenticated
        | ErrorKind::QuotaExceeded
        | ErrorKind::Throttled => ExportErrorKind::Invalid,
        ErrorKind::Unavailable | ErrorKind::Internal => ExportErrorKind::Io,
    };
    ExportError::new(kind, error.to_string())
}
