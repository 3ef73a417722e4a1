//! The schema and how it changes: numbered files, each one transaction.

use super::connection::{Pen, Session};
use super::error::CatalogError;
use super::row::from_number;
use super::value::Params;
use super::writer::Outcome;

/// The n-th brings version n - 1 to version n. A released one never changes.
const SQLITE: &[&str] = &[
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

/// The same for PostgreSQL, whose first catalogs were of this version: all up to it are one.
const POSTGRES_FIRST: u32 = 20;
const POSTGRES: &[&str] = &[
    include_str!("../../migrations/postgres/0020_first.sql"),
    include_str!("../../migrations/postgres/0021_replicas.sql"),
];

/// The version of the schema that this program works with.
pub(super) const KNOWN: u32 = SQLITE.len() as u32;

/// Versions, each with what brings the one before it there.
fn migrations(session: Session<'_>) -> Vec<(u32, &'static str)> {
    match session {
        Session::Sqlite(_) => (1..).zip(SQLITE.iter().copied()).collect(),
        Session::Postgres(_) => (POSTGRES_FIRST..).zip(POSTGRES.iter().copied()).collect(),
    }
}

/// How many tables there are; those that are called so, if only these count.
fn tables(session: Session<'_>, named: Option<&str>) -> Result<u64, CatalogError> {
    let all = match session {
        Session::Sqlite(_) => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'",
        // That of terms is there before anything else is.
        Session::Postgres(_) => {
            "SELECT COUNT(*) FROM (SELECT CAST(tablename AS TEXT) AS name FROM pg_catalog.pg_tables \
             WHERE schemaname = current_schema()) t WHERE name <> 'catalog_term'"
        }
    };
    let counted = match named {
        None => session.first("sqlite", all, &[], |row| row.number()),
        Some(name) => {
            session.first("sqlite", &format!("{all} AND name = $1"), &[name].values(), |row| {
                row.number()
            })
        }
    };
    Ok(counted?.unwrap_or(0))
}

/// The version of the schema; 0 when there is none.
pub(super) fn version(session: Session<'_>) -> Result<u32, CatalogError> {
    const TABLE: &str = "schema_version";
    if tables(session, None)? == 0 {
        return Ok(0);
    }
    if tables(session, Some(TABLE))? == 0 {
        return Err(CatalogError::NotCatalog);
    }
    let newest = "SELECT MAX(version) FROM schema_version";
    let version = session.first(TABLE, newest, &[], |row| row.number_or_null())?.flatten();
    let version = version.and_then(|version| u32::try_from(version).ok());
    version.ok_or(CatalogError::RowMissing(TABLE))
}

/// Brings the schema up to date.
pub(super) fn run(pen: &mut Pen, now_ms: u64) -> Result<(), CatalogError> {
    let found = version(pen.session())?;
    if found > KNOWN {
        return Err(CatalogError::Newer { got: found, known: KNOWN });
    }
    let due = migrations(pen.session()).into_iter().filter(|(version, _)| *version > found);
    for (version, sql) in due {
        pen.begin()?;
        let made = migrate(pen.session(), version, sql, now_ms);
        if let Err(error) = made {
            pen.rollback()?;
            return Err(error);
        }
        match pen.commit() {
            Outcome::Committed => {}
            Outcome::Failed(error) => return Err(CatalogError::Commit(error)),
            Outcome::TakenBack => return Err(CatalogError::TakenBack),
        }
    }
    Ok(())
}

fn migrate(session: Session<'_>, version: u32, sql: &str, now_ms: u64) -> Result<(), CatalogError> {
    session.batch(
        "CREATE TABLE IF NOT EXISTS schema_version \
         (version INTEGER PRIMARY KEY, applied_ms BIGINT NOT NULL);",
    )?;
    session.batch(sql)?;
    let note = "INSERT INTO schema_version (version, applied_ms) VALUES ($1, $2)";
    session.execute(note, &(i64::from(version), from_number(now_ms)).values())?;
    Ok(())
}

#[cfg(test)]
mod tests;
