//! The schema and how it changes: numbered files, each one transaction.

use rusqlite::{Connection, TransactionBehavior};

use super::error::CatalogError;
use super::row::from_number;

/// The n-th brings version n - 1 to version n. A released one never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/sqlite/0002_collection.sql"),
    include_str!("../../migrations/sqlite/0003_scrub_rate.sql"),
    include_str!("../../migrations/sqlite/0004_identity.sql"),
    include_str!("../../migrations/sqlite/0005_namespace.sql"),
    include_str!("../../migrations/sqlite/0006_account_settings.sql"),
    include_str!("../../migrations/sqlite/0007_quota.sql"),
    include_str!("../../migrations/sqlite/0008_guest.sql"),
    include_str!("../../migrations/sqlite/0009_guest_views.sql"),
    include_str!("../../migrations/sqlite/0010_sharing.sql"),
    include_str!("../../migrations/sqlite/0011_endings.sql"),
    include_str!("../../migrations/sqlite/0012_block_hashes.sql"),
    include_str!("../../migrations/sqlite/0013_snapshot_files.sql"),
    include_str!("../../migrations/sqlite/0014_snapshot_container.sql"),
    include_str!("../../migrations/sqlite/0015_waiting_blocks.sql"),
    include_str!("../../migrations/sqlite/0016_clock.sql"),
    include_str!("../../migrations/sqlite/0017_seals.sql"),
    include_str!("../../migrations/sqlite/0018_object_owner.sql"),
    include_str!("../../migrations/sqlite/0019_part_checksums.sql"),
    include_str!("../../migrations/sqlite/0020_pools.sql"),
    include_str!("../../migrations/sqlite/0021_replicas.sql"),
];

/// The version of the schema that this program works with.
pub(super) const KNOWN: u32 = MIGRATIONS.len() as u32;

/// The version of the schema; 0 when there is none.
pub(super) fn version(connection: &Connection) -> Result<u32, CatalogError> {
    let tables: i64 = connection.query_row(
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'",
        [],
        |row| row.get(0),
    )?;
    if tables == 0 {
        return Ok(0);
    }
    let ours: i64 = connection.query_row(
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'",
        [],
        |row| row.get(0),
    )?;
    if ours == 0 {
        return Err(CatalogError::NotCatalog);
    }
    let version: Option<u32> =
        connection.query_row("SELECT MAX(version) FROM schema_version", [], |row| row.get(0))?;
    version.ok_or(CatalogError::RowMissing("schema_version"))
}

/// Brings the schema up to date.
pub(super) fn run(connection: &mut Connection, now_ms: u64) -> Result<(), CatalogError> {
    let found = version(connection)?;
    if found > KNOWN {
        return Err(CatalogError::Newer { got: found, known: KNOWN });
    }
    for (number, sql) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_version \
             (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL);",
        )?;
        transaction.execute_batch(sql)?;
        transaction.execute(
            "INSERT INTO schema_version (version, applied_ms) VALUES ($1, $2)",
            (number, from_number(now_ms)),
        )?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
