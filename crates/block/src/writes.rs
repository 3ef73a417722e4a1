//! Changes to an export, as many as possible with one call.

use crate::export::{Export, ExportError, ExportErrorKind, Write};
use crate::failure::Failure;
use crate::limits::EXPORT_BYTES_MAX;
use crate::proto::Outbox;
use crate::reply::Token;
use crate::sectors::{self, SectorLock};

/// A request that changes the export.
pub(crate) struct Change<'a> {
    pub(crate) token: Token,
    pub(crate) write: Write<'a>,
    /// Not to be answered before it is durable.
    pub(crate) fua: bool,
}

impl Change<'_> {
    fn range(&self) -> (u64, u64) {
        match self.write {
            Write::Data { offset, bytes } => (offset, bytes.len() as u64),
            Write::Zero { offset, len, .. } => (offset, len),
        }
    }
}

/// Does `changes` and answers them; those that must be durable first are appended to `syncs`
/// instead.
pub(crate) fn run(
    export: &dyn Export,
    lock: &SectorLock,
    changes: Vec<Change<'_>>,
    syncs: &mut Vec<Token>,
    out: &mut Outbox,
) {
    let (aligned, odd): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| {
        let (offset, len) = change.range();
        sectors::is_aligned(offset, len)
    });
    run_aligned(export, lock, aligned, |change, result| settle(change, result, syncs, out));
    for change in odd {
        let result = {
            let _alone = lock.write();
            sectors::write(export, change.write)
        };
        settle(change, result.map_err(Failure::from), syncs, out);
    }
}

fn run_aligned<'a>(
    export: &dyn Export,
    lock: &SectorLock,
    changes: Vec<Change<'a>>,
    mut settle: impl FnMut(Change<'a>, Result<(), Failure>),
) {
    // A trim of less than a sector has become empty: there is nothing to do.
    let writes: Vec<_> =
        changes.iter().filter(|change| change.range().1 > 0).map(|change| change.write).collect();
    let _shared = lock.read();
    let together = if writes.is_empty() { Ok(()) } else { write_in_parts(export, &writes) };
    match together {
        // One that needs no space may do where another does not.
        Err(error) if error.kind == ExportErrorKind::NoSpace && writes.len() > 1 => {
            for change in changes {
                let empty = change.range().1 == 0;
                let result = if empty { Ok(()) } else { export.write(&[change.write]) };
                settle(change, result.map_err(Failure::from));
            }
        }
        together => {
            let result = together.map_err(Failure::from);
            for change in changes {
                settle(change, result.clone());
            }
        }
    }
}

/// [`Export::write`], of which one call gets no more than it should. What is longer than that
/// comes alone, because no inbox holds it.
fn write_in_parts(export: &dyn Export, writes: &[Write<'_>]) -> Result<(), ExportError> {
    match writes {
        [Write::Data { offset, bytes }] if bytes.len() > EXPORT_BYTES_MAX => {
            let mut offset = *offset;
            for bytes in bytes.chunks(EXPORT_BYTES_MAX) {
                export.write(&[Write::Data { offset, bytes }])?;
                offset += bytes.len() as u64;
            }
            Ok(())
        }
        writes => export.write(writes),
    }
}

fn settle(
    change: Change<'_>,
    result: Result<(), Failure>,
    syncs: &mut Vec<Token>,
    out: &mut Outbox,
) {
    if change.fua && result.is_ok() {
        syncs.push(change.token);
    } else {
        change.token.finish(out, result);
    }
}
