//! Tables `scrub` and `damage`: how far a scrub is, and what scrubs found.

use archipelago_engine::{Damage, Lost};
use archipelago_model::{Location, SegmentId};

use super::row::{Fields, from_location, from_number};
use super::{CatalogError, Tx};

/// The damage of the file `STORE` is noted under this number, which no segment has.
pub(crate) const STORE_FILE: u64 = 0;

/// The present or last scrub.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ScrubRow {
    /// The segments below were read; 0 once all were.
    pub next: u64,
    pub started_ms: u64,
    /// `None` while it goes on, also over a restart.
    pub finished_ms: Option<u64>,
    pub segments: u64,
    pub bytes: u64,
    /// Copies that it replaced by whole ones.
    pub healed: u64,
}

/// Damage as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DamageRow {
    /// The segment, or [`STORE_FILE`].
    pub segment: u64,
    pub damage: Damage,
    pub found_ms: u64,
}

/// How far a scrub is; `None` when there was none yet.
pub(crate) fn get(tx: &Tx<'_>) -> Result<Option<ScrubRow>, CatalogError> {
    tx.first(
        "scrub",
        "SELECT next_segment, started_ms, finished_ms, segments, bytes, healed FROM scrub \
         WHERE id = 1",
        [],
        |row| {
            Ok(ScrubRow {
                next: row.number()?,
                started_ms: row.number()?,
                finished_ms: row.number_or_null()?,
                segments: row.number()?,
                bytes: row.number()?,
                healed: row.number()?,
            })
        },
    )
}

/// Notes how far a scrub is; its rate stays.
pub(crate) fn put(tx: &Tx<'_>, scrub: &ScrubRow) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO scrub (id, next_segment, started_ms, finished_ms, segments, bytes, healed) \
         VALUES (1, $1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET \
         next_segment = excluded.next_segment, started_ms = excluded.started_ms, \
         finished_ms = excluded.finished_ms, segments = excluded.segments, \
         bytes = excluded.bytes, healed = excluded.healed",
        (
            from_number(scrub.next),
            from_number(scrub.started_ms),
            scrub.finished_ms.map(from_number),
            from_number(scrub.segments),
            from_number(scrub.bytes),
            from_number(scrub.healed),
        ),
    )?;
    Ok(())
}

/// The bytes a second that a scrub may read; `None` for no limit.
pub(crate) fn rate(tx: &Tx<'_>) -> Result<Option<u64>, CatalogError> {
    let rate =
        tx.first("scrub", "SELECT rate FROM scrub WHERE id = 1", [], |row| row.number_or_null())?;
    Ok(rate.flatten())
}

/// Notes the rate of the scrub that [`put`] noted. Apart from that, since who asks for
/// another rate is not the scrub itself.
pub(crate) fn set_rate(tx: &Tx<'_>, rate: Option<u64>) -> Result<(), CatalogError> {
    tx.execute("UPDATE scrub SET rate = $1 WHERE id = 1", [rate.map(from_number)])?;
    Ok(())
}

/// Notes what is damaged of a segment now, in the place of what was.
pub(crate) fn found(
    tx: &Tx<'_>,
    segment: u64,
    damages: &[Damage],
    now_ms: u64,
) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM damage WHERE segment_id = $1", [from_number(segment)])?;
    for damage in damages {
        let (position, sectors) = match damage.lost {
            None => (None, 0),
            Some(Lost::Stored { first, sectors }) => (Some(first), u64::from(sectors)),
            Some(Lost::Segment(id)) => {
                (Some(Location::start_of(id)), u64::from(Location::POSITION_END))
            }
            Some(Lost::Moved { first, end, .. }) => (Some(first), end.raw() - first.raw()),
        };
        // One place of a file may be wrong in two ways; the first says enough.
        tx.execute(
            "INSERT INTO damage (segment_id, file_offset, bytes, position, sectors, what, found_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (segment_id, file_offset) DO NOTHING",
            (
                from_number(segment),
                from_number(damage.offset),
                from_number(damage.bytes),
                position.map(from_location),
                from_number(sectors),
                damage.what.as_str(),
                from_number(now_ms),
            ),
        )?;
    }
    Ok(())
}

/// Forgets the damage of segments that are gone, and of those that nobody names any more.
pub(crate) fn forget_gone(tx: &Tx<'_>) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM damage WHERE segment_id <> $1 \
         AND segment_id NOT IN \
         (SELECT id FROM segment WHERE stored_bytes > 0 AND state <> 'condemned')",
        [from_number(STORE_FILE)],
    )?;
    Ok(())
}

/// Whether damage of a segment is known.
pub(crate) fn is_damaged(tx: &Tx<'_>, segment: u64) -> Result<bool, CatalogError> {
    let sql = "SELECT segment_id FROM damage WHERE segment_id = $1 LIMIT 1";
    let found = tx.first("damage", sql, [from_number(segment)], |row| row.number::<u64>())?;
    Ok(found.is_some())
}

/// How much damage is known.
pub(crate) fn count(tx: &Tx<'_>) -> Result<u64, CatalogError> {
    let count = tx.first("damage", "SELECT COUNT(*) FROM damage", [], |row| row.number())?;
    count.ok_or(CatalogError::RowMissing("damage"))
}

/// What is known to be damaged, at most `max`, by segment and offset.
pub(crate) fn list(tx: &Tx<'_>, max: usize) -> Result<Vec<DamageRow>, CatalogError> {
    tx.all(
        "damage",
        "SELECT segment_id, file_offset, bytes, position, sectors, what, found_ms FROM damage \
         ORDER BY segment_id, file_offset LIMIT $1",
        [from_number(max as u64)],
        decode,
    )
}

fn decode(row: &mut Fields<'_>) -> Result<DamageRow, CatalogError> {
    let (segment, offset, bytes): (u64, u64, u64) = (row.number()?, row.number()?, row.number()?);
    let first = row.location_or_null()?;
    let sectors: u64 = row.number()?;
    let whole = u64::from(Location::POSITION_END);
    let lost = match (SegmentId::new(segment), first) {
        (Some(id), Some(first)) if first == Location::start_of(id) && sectors == whole => {
            Some(Lost::Segment(id))
        }
        (Some(id), Some(first)) if first.segment() == Some(id) => {
            Some(Lost::Stored { first, sectors: u32::try_from(sectors).unwrap_or(u32::MAX) })
        }
        (Some(carrier), Some(first)) => {
            let end = Location::from_raw(first.raw().saturating_add(sectors));
            Some(Lost::Moved { carrier, first, end })
        }
        _ => None,
    };
    let damage = Damage { offset, bytes, lost, what: row.text()? };
    Ok(DamageRow { segment, damage, found_ms: row.number()? })
}
