//! The record of what was done about sharing.
//!
//! A change is in it in the transaction that makes it. Refusals and uses come as often as
//! anybody likes: those of the same kind in a short time are one line, which is written a
//! little later, and lost in a crash before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archipelago_env::Join;

use super::super::Service;
use crate::audit::{AuditEntry, AuditEvent};
use crate::catalog::{Tx, audit};
use crate::core::Core;
use crate::error::Error;

/// Lines on a page of the record.
const PAGE_MAX: usize = 10_000;

/// Different refusals and uses that wait in memory: a few hundred KiB. When there are as many,
/// they are written.
const USES_WAITING_MAX: usize = 1024;

/// How long they wait: it costs at most one transaction in so long, or for so many.
const USES_WAIT: Duration = Duration::from_secs(10);

/// Bytes of a text in the record, escaped: a name, whom it is about, what was done.
const TEXT_BYTES_MAX: usize = 1400;

/// Refusals and uses of the same kind: how often, and when last.
type Gathered = BTreeMap<(AuditEvent, String, String, String), (u64, u64)>;

/// What waits to be written.
#[derive(Default)]
pub(in crate::service) struct Uses {
    /// On the monotonic clock, which nobody sets.
    since: Duration,
    waiting: Gathered,
    /// Writes what waited before.
    writer: Option<Writer>,
}

struct Writer {
    thread: Box<dyn Join>,
    done: Arc<AtomicBool>,
}

impl Service {
    /// The record, older than a line: the newest first, a page at most. Refusals and uses of
    /// the last moments are in it.
    ///
    /// # Errors
    /// The catalog cannot be read or written.
    pub fn audit_log(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        if before.is_none() {
            self.write_uses()?;
        }
        let limit = limit.min(PAGE_MAX);
        Ok(self.core.catalog.read(|tx| audit::page(tx, before, limit))?)
    }

    /// Records that somebody used a link or a ticket, or was refused something. Nothing in it may
    /// be secret. It is written beside the request, which would take longer otherwise where there
    /// is something to refuse; that it cannot be is logged and no reason to refuse the request.
    pub fn audit_use(&self, event: AuditEvent, actor: &str, resource: &str, detail: &str) {
        let (since, now) = (self.core.env.clock().monotonic(), self.core.now_ms());
        let mut uses = self.uses.lock();
        if uses.waiting.is_empty() {
            uses.since = since;
        }
        let key = (event, cut(actor), cut(resource), cut(detail));
        let entry = uses.waiting.entry(key).or_insert((0, now));
        *entry = (entry.0.saturating_add(1), now);
        let due =
            uses.waiting.len() >= USES_WAITING_MAX || since.saturating_sub(uses.since) >= USES_WAIT;
        let is_free = uses.writer.as_ref().is_none_or(|writer| writer.done.load(Ordering::Acquire));
        if due && is_free {
            let waiting = std::mem::take(&mut uses.waiting);
            uses.writer = self.begin_writing(waiting);
        } else if uses.waiting.len() >= 2 * USES_WAITING_MAX {
            drop(uses);
            log_unwritten(self.write_uses());
        }
    }

    /// Writes what waits, and waits for what is being written.
    pub(in crate::service) fn write_uses(&self) -> Result<(), Error> {
        let mut uses = self.uses.lock();
        if let Some(writer) = uses.writer.take()
            && let Err(panicked) = writer.thread.join()
        {
            tracing::error!(%panicked, "refusals and uses are not in the record");
        }
        let waiting = std::mem::take(&mut uses.waiting);
        drop(uses);
        write(&self.core, waiting)
    }

    fn begin_writing(&self, waiting: Gathered) -> Option<Writer> {
        let done = Arc::new(AtomicBool::new(false));
        let (core, ended) = (Arc::clone(&self.core), Arc::clone(&done));
        let body = move || {
            log_unwritten(write(&core, waiting));
            ended.store(true, Ordering::Release);
        };
        match self.core.env.threads().spawn("record", Box::new(body)) {
            Ok(thread) => Some(Writer { thread, done }),
            Err(error) => {
                tracing::warn!(%error, "refusals and uses are not in the record");
                None
            }
        }
    }
}

fn write(core: &Core, waiting: Gathered) -> Result<(), Error> {
    if waiting.is_empty() {
        return Ok(());
    }
    core.catalog.write_aside(|tx| {
        for ((event, actor, resource, detail), (count, at_ms)) in waiting {
            let id = audit::next_id(tx)?;
            let entry = AuditEntry { id, at_ms, actor, event, resource, detail, count };
            audit::append(tx, id, &entry)?;
        }
        Ok(())
    })
}

fn log_unwritten(written: Result<(), Error>) {
    if let Err(error) = written {
        tracing::warn!(%error, "refusals and uses are not in the record");
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Appends a line about a change.
pub(in crate::service) fn record(
    tx: &Tx<'_>,
    now_ms: u64,
    by: &str,
    event: AuditEvent,
    label: &str,
    detail: String,
) -> Result<(), Error> {
    let entry = AuditEntry {
        id: audit::next_id(tx)?,
        at_ms: now_ms,
        actor: cut(by),
        event,
        resource: cut(label),
        detail: cut(&detail),
        count: 1,
    };
    Ok(audit::append(tx, entry.id, &entry)?)
}

#[cfg(test)]
mod tests;
