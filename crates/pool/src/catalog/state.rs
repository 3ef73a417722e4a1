//! Table `store_state`: one row about the store as a whole.

use std::ops::Range;

use archipelago_model::{Location, SegmentId};

use super::row::{from_location, from_number};
use super::{CatalogError, Tx, guest_view};

const TABLE: &str = "store_state";

/// Tables with roots that never change.
const FIXED: [&str; 7] =
    ["snapshot", "image", "file", "part", "guest_view", "block_list", "block_upload"];

/// Makes the row.
pub(super) fn found(tx: &Tx<'_>, uuid: &[u8; 16], now_ms: u64) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO store_state (id, uuid, log_floor, next_segment, next_id, clock_ms) \
         VALUES (1, $1, 0, 1, 1, $2)",
        (hex::encode(uuid), from_number(now_ms)),
    )?;
    Ok(())
}

/// Whose catalog it is; `None` before it was founded.
pub(super) fn uuid(tx: &Tx<'_>) -> Result<Option<[u8; 16]>, CatalogError> {
    tx.first(TABLE, "SELECT uuid FROM store_state WHERE id = 1", [], |row| row.uuid())
}

/// Recovery reads the log from this segment on.
pub(crate) fn log_floor(tx: &Tx<'_>) -> Result<Option<SegmentId>, CatalogError> {
    let floor = tx
        .first(TABLE, "SELECT log_floor FROM store_state WHERE id = 1", [], |row| row.number())?
        .ok_or(CatalogError::RowMissing(TABLE))?;
    Ok(SegmentId::new(floor))
}

/// Moves the floor; it never goes back, in whatever order checkpoints commit.
pub(crate) fn raise_log_floor(tx: &Tx<'_>, floor: SegmentId) -> Result<(), CatalogError> {
    let floor = from_number(floor.get());
    tx.execute("UPDATE store_state SET log_floor = $1 WHERE id = 1 AND log_floor < $1", [floor])?;
    Ok(())
}

/// The first segment id that nobody was given.
pub(crate) fn next_segment(tx: &Tx<'_>) -> Result<SegmentId, CatalogError> {
    let sql = "SELECT next_segment FROM store_state WHERE id = 1";
    let next = tx.first(TABLE, sql, [], |row| row.number::<u64>())?;
    let next = next.ok_or(CatalogError::RowMissing(TABLE))?;
    Ok(SegmentId::new(next).unwrap_or(SegmentId::MAX))
}

/// `count` ids for segments that were never given before and never will be again.
pub(crate) fn take_segment_ids(tx: &Tx<'_>, count: u64) -> Result<Range<u64>, CatalogError> {
    let end = tx
        .first(
            TABLE,
            "UPDATE store_state SET next_segment = next_segment + $1 WHERE id = 1 \
             RETURNING next_segment",
            [from_number(count)],
            |row| row.number::<u64>(),
        )?
        .ok_or(CatalogError::RowMissing(TABLE))?;
    if end > SegmentId::MAX.get() {
        return Err(CatalogError::SegmentIds);
    }
    Ok(end - count..end)
}

/// Begins the next mark; gives its number. Binds that come later are stamped with it.
pub(crate) fn begin_mark(tx: &Tx<'_>) -> Result<u64, CatalogError> {
    tx.first(
        TABLE,
        "UPDATE store_state SET mark = mark + 1 WHERE id = 1 RETURNING mark",
        [],
        |row| row.number(),
    )?
    .ok_or(CatalogError::RowMissing(TABLE))
}

/// The roots of everything that has a name, each once.
pub(crate) fn roots(tx: &Tx<'_>) -> Result<Vec<Location>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT root FROM volume UNION SELECT root FROM snapshot \
         UNION SELECT root FROM image UNION SELECT root FROM file UNION SELECT root FROM part \
         UNION SELECT root FROM guest_view WHERE state = 'ready' \
         UNION SELECT root FROM block_list UNION SELECT root FROM block_upload",
        [],
        |row| row.location(),
    )
}

/// Whether a snapshot, an image, a file or something of one has this root.
pub(crate) fn is_fixed_root(tx: &Tx<'_>, root: Location) -> Result<bool, CatalogError> {
    for table in FIXED {
        let sql = format!("SELECT root FROM {table} WHERE root = $1 LIMIT 1");
        if tx.first(TABLE, &sql, [from_location(root)], |row| row.location())?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Puts `new` in the place of a root with the same content wherever it is named, but
/// not in volumes, which may be open.
pub(crate) fn replace_fixed_root(
    tx: &Tx<'_>,
    old: Location,
    new: Location,
) -> Result<(), CatalogError> {
    for table in FIXED {
        tx.execute(
            &format!("UPDATE {table} SET root = $1 WHERE root = $2"),
            (from_location(new), from_location(old)),
        )?;
    }
    guest_view::replace_file_root(tx, old, new)
}

/// `count` ids for whatever has a name, of which the same holds.
pub(crate) fn take_ids(tx: &Tx<'_>, count: u64) -> Result<Range<u64>, CatalogError> {
    let end = tx
        .first(
            TABLE,
            "UPDATE store_state SET next_id = next_id + $1 WHERE id = 1 RETURNING next_id",
            [from_number(count)],
            |row| row.number::<u64>(),
        )?
        .ok_or(CatalogError::RowMissing(TABLE))?;
    Ok(end - count..end)
}

/// Files with ids up to this were looked at, whether they are images.
pub(crate) fn recognised(tx: &Tx<'_>) -> Result<u64, CatalogError> {
    tx.first(TABLE, "SELECT recognised FROM store_state WHERE id = 1", [], |row| row.number())?
        .ok_or(CatalogError::RowMissing(TABLE))
}

/// Moves that on.
pub(crate) fn raise_recognised(tx: &Tx<'_>, id: u64) -> Result<(), CatalogError> {
    let sql = "UPDATE store_state SET recognised = $1 WHERE id = 1 AND recognised < $1";
    tx.execute(sql, [from_number(id)])?;
    Ok(())
}

/// The highest time of day that endings went by; 0 for none yet.
pub(crate) fn clock(tx: &Tx<'_>) -> Result<u64, CatalogError> {
    tx.first(TABLE, "SELECT clock_ms FROM store_state WHERE id = 1", [], |row| row.number())?
        .ok_or(CatalogError::RowMissing(TABLE))
}

/// Notes it.
pub(crate) fn set_clock(tx: &Tx<'_>, ms: u64) -> Result<(), CatalogError> {
    tx.execute("UPDATE store_state SET clock_ms = $1 WHERE id = 1", [from_number(ms)])?;
    Ok(())
}

/// One id.
pub(crate) fn take_id(tx: &Tx<'_>) -> Result<u64, CatalogError> {
    Ok(take_ids(tx, 1)?.start)
}

/// How much there is of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    pub volumes: u64,
    pub snapshots: u64,
    pub images: u64,
    pub files: u64,
}

/// Counts what has a name, snapshots not twice. Files may be many, and are counted as they
/// come and go.
pub(crate) fn counts(tx: &Tx<'_>) -> Result<Counts, CatalogError> {
    tx.first(
        TABLE,
        "SELECT (SELECT COUNT(*) FROM volume), (SELECT COUNT(*) FROM snapshot), \
                (SELECT COUNT(*) FROM image), \
                (SELECT COALESCE(SUM(versions), 0) FROM account_usage) \
                - (SELECT COUNT(*) FROM file WHERE snapshot_id IS NOT NULL)",
        [],
        |row| {
            Ok(Counts {
                volumes: row.number()?,
                snapshots: row.number()?,
                images: row.number()?,
                // Counters that are wrong are for `check` to tell.
                files: row.signed()?.max(0).cast_unsigned(),
            })
        },
    )?
    .ok_or(CatalogError::RowMissing(TABLE))
}

/// After a rebuild: no id below these will be given.
pub(crate) fn raise_ids(tx: &Tx<'_>, next_segment: u64, next_id: u64) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE store_state SET next_segment = $1 WHERE id = 1 AND next_segment < $1",
        [from_number(next_segment)],
    )?;
    tx.execute(
        "UPDATE store_state SET next_id = $1 WHERE id = 1 AND next_id < $1",
        [from_number(next_id)],
    )?;
    Ok(())
}
