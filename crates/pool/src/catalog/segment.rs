//! Table `segment`: what is stored where, and in which state.

use std::collections::HashMap;

use archipelago_model::SegmentId;

use super::row::from_number;
use super::{CatalogError, Tx};

const TABLE: &str = "segment";

/// A sealed segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentRow {
    pub id: SegmentId,
    pub place: u64,
    /// Written by ingest or compaction; else the log.
    pub cold: bool,
    pub stored_bytes: u64,
    pub raw_bytes: u64,
}

/// Notes that a segment is sealed. Saying it again changes nothing: a crash may
/// have come between the sealing and this.
pub(crate) fn sealed(tx: &Tx<'_>, segment: &SegmentRow) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO segment (id, pool_id, kind, state, stored_bytes, raw_bytes) \
         VALUES ($1, $2, $3, 'sealed', $4, $5) ON CONFLICT (id) DO UPDATE \
         SET stored_bytes = excluded.stored_bytes, raw_bytes = excluded.raw_bytes",
        (
            from_number(segment.id.get()),
            from_number(segment.place),
            if segment.cold { "cold" } else { "hot" },
            from_number(segment.stored_bytes),
            from_number(segment.raw_bytes),
        ),
    )?;
    Ok(())
}

/// Notes segments that a bind names. Most are known; one that an ingest sealed which
/// then failed may not be, and must not pass for unnamed. Its sizes come with the
/// next checkpoint.
pub(crate) fn named(tx: &Tx<'_>, place: u64, segments: &[SegmentId]) -> Result<(), CatalogError> {
    for segment in segments {
        tx.execute(
            "INSERT INTO segment (id, pool_id, kind, state, stored_bytes, raw_bytes) \
             VALUES ($1, $2, 'cold', 'sealed', 0, 0) ON CONFLICT (id) DO NOTHING",
            (from_number(segment.get()), from_number(place)),
        )?;
    }
    Ok(())
}

/// Refuses when one of `segments` is condemned: a bind must not name it, since
/// the collector has decided already that nobody does.
pub(crate) fn check_not_condemned(tx: &Tx<'_>, segments: &[SegmentId]) -> Result<(), CatalogError> {
    for segment in segments {
        let condemned = tx.first(
            TABLE,
            "SELECT id FROM segment WHERE id = $1 AND state = 'condemned'",
            [from_number(segment.get())],
            |row| row.number::<u64>(),
        )?;
        if condemned.is_some() {
            return Err(CatalogError::Condemned(*segment));
        }
    }
    Ok(())
}

/// The segments known from `floor` on, with their raw bytes.
pub(crate) fn sizes_from(tx: &Tx<'_>, floor: SegmentId) -> Result<HashMap<u64, u64>, CatalogError> {
    let rows: Vec<(u64, u64)> = tx.all(
        TABLE,
        "SELECT id, raw_bytes FROM segment WHERE id >= $1",
        [from_number(floor.get())],
        |row| Ok((row.number()?, row.number()?)),
    )?;
    Ok(rows.into_iter().collect())
}

/// The newest segment that is known to hold something.
pub(crate) fn newest(tx: &Tx<'_>) -> Result<Option<SegmentId>, CatalogError> {
    let id = tx.first(
        TABLE,
        "SELECT id FROM segment WHERE raw_bytes > 0 ORDER BY id DESC LIMIT 1",
        [],
        |row| row.number::<u64>(),
    )?;
    Ok(id.and_then(SegmentId::new))
}

/// The ids of all segments known, ascending.
pub(crate) fn ids(tx: &Tx<'_>) -> Result<Vec<u64>, CatalogError> {
    tx.all(TABLE, "SELECT id FROM segment ORDER BY id", [], |row| row.number())
}

/// The sealed segments that ingest or compaction wrote, ascending.
pub(crate) fn cold_ids(tx: &Tx<'_>) -> Result<Vec<SegmentId>, CatalogError> {
    let ids: Vec<u64> = tx.all(
        TABLE,
        "SELECT id FROM segment WHERE kind = 'cold' AND state = 'sealed' ORDER BY id",
        [],
        |row| row.number(),
    )?;
    Ok(ids.into_iter().filter_map(SegmentId::new).collect())
}

/// What the segments known take, in stored bytes.
pub(crate) fn stored_bytes(tx: &Tx<'_>) -> Result<u64, CatalogError> {
    let sum = tx.first(TABLE, "SELECT COALESCE(SUM(stored_bytes), 0) FROM segment", [], |row| {
        row.number()
    })?;
    sum.ok_or(CatalogError::RowMissing(TABLE))
}
