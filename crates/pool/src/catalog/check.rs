//! Questions to the catalog that only its check asks: what no verb ever writes.

use super::{CatalogError, Tx};

/// Counters of `store_state` beside what they count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counters {
    pub log_floor: u64,
    pub next_segment: u64,
    pub newest_segment: u64,
    pub next_id: u64,
    pub newest_id: u64,
}

/// Reads the counters.
pub(crate) fn counters(tx: &Tx<'_>) -> Result<Counters, CatalogError> {
    tx.first(
        "store_state",
        "SELECT log_floor, next_segment, (SELECT COALESCE(MAX(id), 0) FROM segment), next_id, \
         (SELECT COALESCE(MAX(id), 0) FROM (SELECT id FROM volume UNION ALL \
          SELECT id FROM snapshot UNION ALL SELECT id FROM image UNION ALL \
          SELECT id FROM container UNION ALL SELECT id FROM file UNION ALL \
          SELECT id FROM upload UNION ALL SELECT id FROM block_list UNION ALL \
          SELECT id FROM account UNION ALL SELECT id FROM user_ UNION ALL \
          SELECT id FROM group_ UNION ALL SELECT id FROM application_credential) named) \
         FROM store_state WHERE id = 1",
        [],
        |row| {
            Ok(Counters {
                log_floor: row.number()?,
                next_segment: row.number()?,
                newest_segment: row.number()?,
                next_id: row.number()?,
                newest_id: row.number()?,
            })
        },
    )?
    .ok_or(CatalogError::RowMissing("store_state"))
}

/// Leases whose term is later than that of their volume: its name and both terms.
pub(crate) fn leases_ahead(tx: &Tx<'_>) -> Result<Vec<(String, u64, u64)>, CatalogError> {
    tx.all(
        "lease",
        "SELECT v.name, l.epoch, v.epoch FROM lease l JOIN volume v ON v.id = l.volume_id \
         WHERE l.epoch > v.epoch ORDER BY v.name",
        [],
        |row| Ok((row.text()?, row.number()?, row.number()?)),
    )
}
