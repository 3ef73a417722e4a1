//! Table `audit`: what was done about sharing, and what was refused. Only ever appended to.

use super::row::{Fields, from_number};
use super::{CatalogError, Tx};
use crate::audit::{AuditEntry, AuditEvent};

const TABLE: &str = "audit";

/// Rows of each class that are kept: those of changes are some 20 MB. The classes are apart
/// so that whoever causes refusals cannot drive out what tells of changes.
pub(crate) const CHANGES_MAX: u64 = 100_000;
pub(crate) const USES_MAX: u64 = 20_000;

/// Bytes of the texts of each class that are kept: long names, escaped, are twenty times those
/// of people, and a catalog that is too large has no backups.
pub(crate) const CHANGES_BYTES_MAX: u64 = 32 << 20;
pub(crate) const USES_BYTES_MAX: u64 = 8 << 20;
/// They are counted after so many rows, since that reads the whole class: it may have the bytes
/// of so many more meanwhile, some 4 MB.
pub(crate) const ROWS_BETWEEN_COUNTS: u64 = 1000;

fn decode(row: &mut Fields<'_>) -> Result<AuditEntry, CatalogError> {
    Ok(AuditEntry {
        id: row.number()?,
        at_ms: row.number()?,
        actor: row.text()?,
        event: {
            let text = row.text()?;
            AuditEvent::from_name(&text).ok_or_else(|| row.wrong(&text))?
        },
        resource: row.text()?,
        detail: row.text()?,
        count: row.number()?,
    })
}

/// The number of the next line. Lines count for themselves: what has a name is numbered, and shown
/// with that, and gaps there would tell of refusals. The newest line always stays, so that no
/// number is given twice.
pub(crate) fn next_id(tx: &Tx<'_>) -> Result<u64, CatalogError> {
    let sql = "SELECT COALESCE(MAX(id), 0) FROM audit";
    let last = tx.first(TABLE, sql, [], |row| row.number::<u64>())?.unwrap_or(0);
    Ok(last.saturating_add(1))
}

/// Appends one; the oldest of its class go when there are too many.
pub(crate) fn append(tx: &Tx<'_>, id: u64, entry: &AuditEntry) -> Result<(), CatalogError> {
    let (class, max, bytes_max) = match entry.event.is_change() {
        true => ("change", CHANGES_MAX, CHANGES_BYTES_MAX),
        false => ("use", USES_MAX, USES_BYTES_MAX),
    };
    let last = "SELECT COALESCE(MAX(number), 0) FROM audit WHERE class = $1";
    let last = tx.first(TABLE, last, [class], |row| row.number::<u64>())?.unwrap_or(0);
    let number = last.saturating_add(1);
    tx.execute(
        "INSERT INTO audit (id, class, number, at_ms, actor, event, resource, detail, count) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        (
            from_number(id),
            class,
            from_number(number),
            from_number(entry.at_ms),
            &entry.actor,
            entry.event.name(),
            &entry.resource,
            &entry.detail,
            from_number(entry.count),
        ),
    )?;
    tx.execute(
        "DELETE FROM audit WHERE class = $1 AND number <= $2",
        (class, from_number(number.saturating_sub(max))),
    )?;
    match number.is_multiple_of(ROWS_BETWEEN_COUNTS) {
        true => fit(tx, class, bytes_max),
        false => Ok(()),
    }
}

/// Removes the oldest of a class that are more bytes than there may be.
fn fit(tx: &Tx<'_>, class: &str, bytes_max: u64) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM audit WHERE class = $1 AND number <= COALESCE((SELECT MAX(number) FROM \
         (SELECT number, SUM(octet_length(actor) + octet_length(resource) + octet_length(detail)) \
         OVER (ORDER BY number DESC) AS bytes FROM audit WHERE class = $1) newer WHERE bytes > $2), 0)",
        (class, from_number(bytes_max)),
    )?;
    Ok(())
}

/// Older than `before`: the newest first, `limit` at most.
pub(crate) fn page(
    tx: &Tx<'_>,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<AuditEntry>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT id, at_ms, actor, event, resource, detail, count FROM audit \
         WHERE $1 IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
        (before.map(from_number), from_number(limit as u64)),
        decode,
    )
}
