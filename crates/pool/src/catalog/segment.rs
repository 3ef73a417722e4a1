//! Table `segment`: what is stored where, and in which state.

use std::collections::HashMap;

use archipelago_model::{PoolId, SegmentId};

use super::row::{Fields, from_number};
use super::{CatalogError, Tx};

const TABLE: &str = "segment";

/// What a segment holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The log.
    Hot,
    /// What ingest or compaction wrote.
    Cold,
    /// A dump of the catalog.
    Backup,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Cold => "cold",
            Self::Backup => "backup",
        }
    }
}

/// A sealed segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentRow {
    pub id: SegmentId,
    pub pool: PoolId,
    pub kind: Kind,
    pub stored_bytes: u64,
    pub raw_bytes: u64,
}

/// The mark that is under way, or was last: a segment stamped with it is left alone
/// by the collection that it began.
const PRESENT_MARK: &str = "(SELECT mark FROM store_state WHERE id = 1)";

/// Notes that a segment is sealed. Saying it again changes nothing: a crash may
/// have come between the sealing and this. Of one that is leaving, the size says
/// whether its file is there still, and stays.
pub(crate) fn sealed(tx: &Tx<'_>, segment: &SegmentRow) -> Result<(), CatalogError> {
    tx.execute(
        &format!(
            "INSERT INTO segment (id, pool_id, kind, state, stored_bytes, raw_bytes, named_mark) \
             VALUES ($1, $2, $3, 'sealed', $4, $5, {PRESENT_MARK}) ON CONFLICT (id) DO UPDATE \
             SET stored_bytes = excluded.stored_bytes, raw_bytes = excluded.raw_bytes \
             WHERE segment.state = 'sealed'"
        ),
        (
            from_number(segment.id.get()),
            from_number(segment.pool.get()),
            segment.kind.name(),
            from_number(segment.stored_bytes),
            from_number(segment.raw_bytes),
        ),
    )?;
    Ok(())
}

/// Notes segments that a bind names, so that the collection under way spares them.
pub(crate) fn named(tx: &Tx<'_>, segments: &[SegmentId]) -> Result<(), CatalogError> {
    for segment in segments {
        tx.execute(
            &format!("UPDATE segment SET named_mark = {PRESENT_MARK} WHERE id = $1"),
            [from_number(segment.get())],
        )?;
    }
    Ok(())
}

/// Those of `segments` that a bind must not name any more: the collector has decided
/// that nobody does, or compaction has kept of them only what somebody named. One that
/// is not recorded may have been removed altogether.
pub(crate) fn leaving(tx: &Tx<'_>, segments: &[SegmentId]) -> Result<Vec<SegmentId>, CatalogError> {
    let mut leaving = Vec::new();
    for segment in segments {
        let found = tx.first(
            TABLE,
            "SELECT id FROM segment WHERE id = $1 AND state = 'sealed'",
            [from_number(segment.get())],
            |row| row.number::<u64>(),
        )?;
        if found.is_none() {
            leaving.push(*segment);
        }
    }
    Ok(leaving)
}

/// The segments known from `floor` on, those of the log with their raw bytes, others with 0.
pub(crate) fn logged_from(
    tx: &Tx<'_>,
    floor: SegmentId,
) -> Result<HashMap<u64, u64>, CatalogError> {
    let rows: Vec<(u64, u64)> = tx.all(
        TABLE,
        "SELECT id, CASE kind WHEN 'hot' THEN raw_bytes ELSE 0 END FROM segment WHERE id >= $1",
        [from_number(floor.get())],
        |row| Ok((row.number()?, row.number()?)),
    )?;
    Ok(rows.into_iter().collect())
}

/// The segments of the log from `floor` on that have to be in the pool.
pub(crate) fn log_from(tx: &Tx<'_>, floor: SegmentId) -> Result<Vec<SegmentId>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT id FROM segment WHERE id >= $1 AND kind = 'hot' AND state = 'sealed' \
         AND stored_bytes > 0 ORDER BY id",
        [from_number(floor.get())],
        |row| row.segment(),
    )
}

/// The newest segment that is known to hold what somebody reads: no backup.
pub(crate) fn newest(tx: &Tx<'_>) -> Result<Option<SegmentId>, CatalogError> {
    let id = tx.first(
        TABLE,
        "SELECT id FROM segment WHERE raw_bytes > 0 AND state = 'sealed' AND kind <> 'backup' \
         ORDER BY id DESC LIMIT 1",
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

/// Where a segment is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It holds what it holds.
    Sealed,
    /// Nobody names it; its file is about to go.
    Condemned,
    /// A compaction moved what was named of it; the carrier's footer tells where.
    Forwarded {
        /// The carrier.
        to: SegmentId,
    },
}

/// All that is known of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    pub id: SegmentId,
    pub pool: PoolId,
    pub kind: Kind,
    pub state: State,
    pub stored_bytes: u64,
    pub raw_bytes: u64,
    /// The pool with a second copy that was verified.
    pub copy: Option<PoolId>,
}

const SELECT: &str =
    "SELECT id, pool_id, kind, state, stored_bytes, raw_bytes, forwarded_to, copy_id FROM segment";

fn decode(row: &mut Fields<'_>) -> Result<Known, CatalogError> {
    let (id, pool) = (row.segment()?, PoolId::new(row.number()?));
    let kind = match row.text()?.as_str() {
        "hot" => Kind::Hot,
        "cold" => Kind::Cold,
        "backup" => Kind::Backup,
        other => return Err(row.wrong(other)),
    };
    let state = row.text()?;
    let (stored_bytes, raw_bytes) = (row.number()?, row.number()?);
    let state = match (state.as_str(), row.number_or_null()?) {
        ("sealed" | "open", _) => State::Sealed,
        ("condemned", _) => State::Condemned,
        ("forwarded", Some(to)) => {
            let to = SegmentId::new(to).ok_or_else(|| row.wrong("no segment"))?;
            State::Forwarded { to }
        }
        (other, _) => return Err(row.wrong(other)),
    };
    let copy = row.number_or_null()?.map(PoolId::new);
    Ok(Known { id, pool, kind, state, stored_bytes, raw_bytes, copy })
}

/// All segments, ascending.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<Known>, CatalogError> {
    tx.all(TABLE, &format!("{SELECT} ORDER BY id"), [], decode)
}

/// By id.
pub(crate) fn find(tx: &Tx<'_>, id: SegmentId) -> Result<Option<Known>, CatalogError> {
    tx.first(TABLE, &format!("{SELECT} WHERE id = $1"), [from_number(id.get())], decode)
}

/// The segments that are in other pools than the first.
pub(crate) fn elsewhere(tx: &Tx<'_>) -> Result<Vec<(SegmentId, PoolId)>, CatalogError> {
    tx.all(TABLE, "SELECT id, pool_id FROM segment WHERE pool_id <> 1", [], |row| {
        Ok((row.segment()?, PoolId::new(row.number()?)))
    })
}

/// The second copies that were verified.
pub(crate) fn seconds(tx: &Tx<'_>) -> Result<Vec<(SegmentId, PoolId)>, CatalogError> {
    tx.all(TABLE, "SELECT id, copy_id FROM segment WHERE copy_id IS NOT NULL", [], |row| {
        Ok((row.segment()?, PoolId::new(row.number()?)))
    })
}

/// A second copy that is to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lacking {
    pub id: SegmentId,
    pub pool: PoolId,
    pub to: PoolId,
    pub bytes: u64,
}

/// The sealed segments of pools that are mirrored whose second copy is still to be made, each with
/// the pool that it is to be in.
pub(crate) fn lacking(tx: &Tx<'_>) -> Result<Vec<Lacking>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT s.id, s.pool_id, m.to_id, s.stored_bytes FROM segment s \
         JOIN pool_mirror m ON m.pool_id = s.pool_id \
         WHERE s.state = 'sealed' AND s.stored_bytes > 0 \
         AND (s.copy_id IS NULL OR s.copy_id <> m.to_id) ORDER BY s.id",
        [],
        |row| {
            let (id, pool) = (row.segment()?, PoolId::new(row.number()?));
            Ok(Lacking { id, pool, to: PoolId::new(row.number()?), bytes: row.number()? })
        },
    )
}

/// How many second copies of what is in a pool are still to be made, and their bytes.
pub(crate) fn lacking_of(tx: &Tx<'_>, pool: PoolId) -> Result<(u64, u64), CatalogError> {
    let sums = tx.first(
        TABLE,
        "SELECT COUNT(*), COALESCE(SUM(s.stored_bytes), 0) FROM segment s \
         JOIN pool_mirror m ON m.pool_id = s.pool_id \
         WHERE s.pool_id = $1 AND s.state = 'sealed' AND s.stored_bytes > 0 \
         AND (s.copy_id IS NULL OR s.copy_id <> m.to_id)",
        [from_number(pool.get())],
        |row| Ok((row.number()?, row.number()?)),
    )?;
    sums.ok_or(CatalogError::RowMissing(TABLE))
}

/// The second copies that nobody wants where they are, any more.
pub(crate) fn unwanted(tx: &Tx<'_>) -> Result<Vec<(SegmentId, PoolId)>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT s.id, s.copy_id FROM segment s \
         LEFT JOIN pool_mirror m ON m.pool_id = s.pool_id \
         WHERE s.copy_id IS NOT NULL AND m.to_id IS NULL ORDER BY s.id",
        [],
        |row| Ok((row.segment()?, PoolId::new(row.number()?))),
    )
}

/// A second copy was verified; whether it counts. Of what is leaving, or has moved, none does.
pub(crate) fn note_copy(
    tx: &Tx<'_>,
    id: SegmentId,
    pool: PoolId,
    copy: PoolId,
) -> Result<bool, CatalogError> {
    let rows = tx.execute(
        "UPDATE segment SET copy_id = $1 WHERE id = $2 AND pool_id = $3 AND state = 'sealed'",
        (from_number(copy.get()), from_number(id.get()), from_number(pool.get())),
    )?;
    Ok(rows == 1)
}

/// A second copy does not count any more.
pub(crate) fn forget_copy(tx: &Tx<'_>, id: SegmentId, copy: PoolId) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE segment SET copy_id = NULL WHERE id = $1 AND copy_id = $2",
        (from_number(id.get()), from_number(copy.get())),
    )?;
    Ok(())
}

/// What is in a pool and has no second copy: how much of it, and its bytes.
pub(crate) fn single_in(tx: &Tx<'_>, pool: PoolId) -> Result<(u64, u64), CatalogError> {
    let sums = tx.first(
        TABLE,
        "SELECT COUNT(*), COALESCE(SUM(stored_bytes), 0) FROM segment \
         WHERE pool_id = $1 AND copy_id IS NULL AND stored_bytes > 0 AND state <> 'condemned'",
        [from_number(pool.get())],
        |row| Ok((row.number()?, row.number()?)),
    )?;
    sums.ok_or(CatalogError::RowMissing(TABLE))
}

/// A pool is lost: second copies take the place of what was in it. What had none is said to be in
/// the first pool, where it is missing.
pub(crate) fn lose_pool(tx: &Tx<'_>, pool: PoolId) -> Result<(), CatalogError> {
    let pool = from_number(pool.get());
    tx.execute("UPDATE segment SET copy_id = NULL WHERE copy_id = $1", [pool])?;
    tx.execute(
        "UPDATE segment SET pool_id = COALESCE(copy_id, 1), copy_id = NULL WHERE pool_id = $1",
        [pool],
    )?;
    Ok(())
}

/// A copy of a sealed segment in another pool takes its place; whether it did. One that is
/// leaving by now stays where it is.
pub(crate) fn relocate(
    tx: &Tx<'_>,
    id: SegmentId,
    from: PoolId,
    to: PoolId,
) -> Result<bool, CatalogError> {
    let rows = tx.execute(
        "UPDATE segment SET pool_id = $1, \
         copy_id = CASE WHEN copy_id = $1 THEN NULL ELSE copy_id END \
         WHERE id = $2 AND pool_id = $3 AND state = 'sealed'",
        (from_number(to.get()), from_number(id.get()), from_number(from.get())),
    )?;
    Ok(rows == 1)
}

/// What is known of segments whose files are gone is known of no pool.
pub(crate) fn leave_emptied(tx: &Tx<'_>, pool: PoolId) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE segment SET pool_id = 1 WHERE pool_id = $1 AND stored_bytes = 0",
        [from_number(pool.get())],
    )?;
    Ok(())
}

/// A segment was found in another pool than the catalog had it in.
pub(crate) fn found_in(tx: &Tx<'_>, id: SegmentId, pool: PoolId) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE segment SET pool_id = $1, \
         copy_id = CASE WHEN copy_id = $1 THEN NULL ELSE copy_id END WHERE id = $2",
        (from_number(pool.get()), from_number(id.get())),
    )?;
    Ok(())
}

/// Condemns a segment unless a bind has named it since mark `mark` began; whether it did.
pub(crate) fn condemn(tx: &Tx<'_>, id: SegmentId, mark: u64) -> Result<bool, CatalogError> {
    let rows = tx.execute(
        "UPDATE segment SET state = 'condemned' \
         WHERE id = $1 AND state = 'sealed' AND named_mark < $2",
        (from_number(id.get()), from_number(mark)),
    )?;
    Ok(rows == 1)
}

/// Condemns a segment that is in the pool and was never recorded: a crash left it.
/// Whether it did; a bind may have recorded it meanwhile.
pub(crate) fn condemn_unrecorded(
    tx: &Tx<'_>,
    id: SegmentId,
    pool: PoolId,
    stored_bytes: u64,
) -> Result<bool, CatalogError> {
    let rows = tx.execute(
        "INSERT INTO segment (id, pool_id, kind, state, stored_bytes, raw_bytes, named_mark) \
         VALUES ($1, $2, 'cold', 'condemned', $3, 0, 0) ON CONFLICT (id) DO NOTHING",
        (from_number(id.get()), from_number(pool.get()), from_number(stored_bytes)),
    )?;
    Ok(rows == 1)
}

/// Keeps a condemned segment after all.
pub(crate) fn rescue(tx: &Tx<'_>, id: SegmentId) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE segment SET state = 'sealed' WHERE id = $1 AND state = 'condemned'",
        [from_number(id.get())],
    )?;
    Ok(())
}

/// Forwards a segment unless a bind has named it since mark `mark` began, when it may
/// name what the table does not have; whether it did.
pub(crate) fn forward(
    tx: &Tx<'_>,
    id: SegmentId,
    carrier: SegmentId,
    mark: u64,
) -> Result<bool, CatalogError> {
    let rows = tx.execute(
        "UPDATE segment SET state = 'forwarded', forwarded_to = $1 \
         WHERE id = $2 AND state = 'sealed' AND named_mark < $3",
        (from_number(carrier.get()), from_number(id.get()), from_number(mark)),
    )?;
    Ok(rows == 1)
}

/// The table of a forwarded segment is in another carrier now.
pub(crate) fn carry(tx: &Tx<'_>, id: SegmentId, carrier: SegmentId) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE segment SET forwarded_to = $1 WHERE id = $2 AND state = 'forwarded'",
        (from_number(carrier.get()), from_number(id.get())),
    )?;
    Ok(())
}

/// The file of a forwarded segment is gone.
pub(crate) fn emptied(tx: &Tx<'_>, id: SegmentId) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE segment SET stored_bytes = 0, copy_id = NULL \
         WHERE id = $1 AND state = 'forwarded'",
        [from_number(id.get())],
    )?;
    Ok(())
}

/// Forgets a segment whose file is gone, or that nobody needs forwarded any more.
pub(crate) fn remove(tx: &Tx<'_>, id: SegmentId) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM segment WHERE id = $1 AND state <> 'sealed'", [from_number(id.get())])?;
    Ok(())
}

/// The backups that are recorded, newest first.
pub(crate) fn backups(tx: &Tx<'_>) -> Result<Vec<SegmentId>, CatalogError> {
    tx.all(TABLE, "SELECT id FROM segment WHERE kind = 'backup' ORDER BY id DESC", [], |row| {
        row.segment()
    })
}

/// Those of them that have a second copy in a pool, newest first.
pub(crate) fn backups_in(tx: &Tx<'_>, copy: PoolId) -> Result<Vec<SegmentId>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT id FROM segment WHERE kind = 'backup' AND copy_id = $1 ORDER BY id DESC",
        [from_number(copy.get())],
        |row| row.segment(),
    )
}

/// Notes a segment that a rebuild found forwarded: its file is gone.
pub(crate) fn insert_forwarded(
    tx: &Tx<'_>,
    id: SegmentId,
    pool: PoolId,
    carrier: SegmentId,
) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO segment (id, pool_id, kind, state, stored_bytes, raw_bytes, forwarded_to, \
         named_mark) VALUES ($1, $2, 'cold', 'forwarded', 0, 0, $3, 0) \
         ON CONFLICT (id) DO UPDATE SET state = 'forwarded', forwarded_to = excluded.forwarded_to",
        (from_number(id.get()), from_number(pool.get()), from_number(carrier.get())),
    )?;
    Ok(())
}
