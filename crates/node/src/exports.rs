//! The pool behind the traits of the NBD server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_block::{
    ChangedRange, Client, Export, ExportError, ExportErrorKind, Exports, StatusRange, Write,
};
use archipelago_gateway::Login;
use archipelago_model::SnapshotName;
use archipelago_pool::{self as pool, Device, ErrorKind, Service, TICKET_MARK};

/// Everything with a name, as exports: by plain names for the operator, by those with a ticket
/// for whoever has one.
pub(crate) struct PoolExports {
    pub(crate) service: Arc<Service>,
    pub(crate) login: Login,
}

impl PoolExports {
    /// Whether a client is the operator without a ticket.
    fn trusts(&self, client: Client) -> bool {
        match self.login {
            Login::Never => true,
            Login::Remote => client.local || client.certified,
            Login::Always => false,
        }
    }
}

impl Exports for PoolExports {
    fn open(&self, client: Client, name: &str) -> Result<Arc<dyn Export>, ExportError> {
        // An object may have the mark in its name: files have no tickets.
        let with_ticket = name.contains(TICKET_MARK) && !name.starts_with("file:");
        let (device, read_only) = if with_ticket {
            let opened = self.service.open_with_ticket(name).map_err(error)?;
            (opened.device, opened.read_only)
        } else if self.trusts(client) {
            (self.service.open_device(name).map_err(error)?, false)
        } else {
            return Err(ExportError::new(
                ExportErrorKind::Forbidden,
                "plain names are the operator's here; `archipelago attach` makes a name with a \
                 ticket",
            ));
        };
        let name = self.shown(name).to_owned();
        Ok(Arc::new(PoolExport { device, read_only, name, failures: AtomicU64::new(0) }))
    }

    fn list(&self, client: Client) -> Result<Vec<String>, ExportError> {
        match self.trusts(client) {
            true => self.service.exports().map_err(error),
            false => Ok(Vec::new()),
        }
    }

    fn shown<'a>(&self, name: &'a str) -> &'a str {
        match name.starts_with("file:") {
            true => name,
            false => name.split_once(TICKET_MARK).map_or(name, |(name, _)| name),
        }
    }
}

struct PoolExport {
    device: Arc<Device>,
    /// By the ticket that opened it.
    read_only: bool,
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
        self.read_only || self.device.read_only()
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), ExportError> {
        self.device.read(offset, buf).map_err(|e| self.failed("read", e))
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<(), ExportError> {
        // The server asks first; this is for the day on which it does not.
        if self.read_only {
            let message = "the ticket lets nobody write";
            return Err(ExportError::new(ExportErrorKind::ReadOnly, message));
        }
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
        ErrorKind::ReadOnly => ExportErrorKind::ReadOnly,
        ErrorKind::Forbidden => ExportErrorKind::Forbidden,
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
