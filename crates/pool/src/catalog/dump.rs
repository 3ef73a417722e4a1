//! The catalog as a dump of typed rows, and back.
//!
//! What tells where segments are is not dumped: their footers tell.

use std::io::{Read, Write};

use archipelago_format::backup::{
    self, BackupError, BackupHeader, BackupReader, BackupWriter, Part,
};

use super::connection::Given;
use super::{Catalog, CatalogError, Tx, Value, blocks, container, file, migrate};

/// What is dumped, each after what it refers to.
const TABLES: [&str; 26] = [
    "store_state",
    "pool_place",
    "pool_mirror",
    "account",
    "user_",
    "membership",
    "group_",
    "group_member",
    "access_key",
    "application_credential",
    "volume",
    "lease",
    "snapshot",
    "image",
    "container",
    "file",
    "guest_view",
    "upload",
    "part",
    "access_grant",
    "public_link",
    "audit",
    "lifecycle",
    "block_list",
    "file_blocks",
    "block_upload",
];

/// What is not: `token`, since one that was revoked after the dump would be valid again; what is
/// made anew of the rest; what footers tell; and `schema_version`, which the header has.
const LEFT_OUT: [&str; 7] =
    ["token", "account_usage", "block", "block_waiting", "segment", "scrub", "damage"];

/// The version of the schema that has columns for when things end.
const ENDINGS: u32 = 11;

/// Writes all tables.
pub(crate) fn write(
    tx: &Tx<'_>,
    store: [u8; 16],
    made_ms: u64,
    out: &mut dyn Write,
) -> Result<(), CatalogError> {
    let header = BackupHeader { schema: migrate::KNOWN, store, made_ms };
    let mut writer = BackupWriter::new(out, &header).map_err(CatalogError::Dump)?;
    for table in TABLES {
        let sql = format!("SELECT * FROM {table}");
        tx.session.each(table, &sql, &mut |given| {
            match given {
                Given::Columns(names) => writer.table(table, names),
                Given::Row(row) => writer.row(&row.rest()?),
            }
            .map_err(CatalogError::Dump)
        })?;
    }
    writer.finish().map_err(CatalogError::Dump)?;
    Ok(())
}

/// A column of a dump as a parameter.
fn value(column: &backup::Value) -> Value<'_> {
    match column {
        backup::Value::Null => Value::Null,
        backup::Value::Number(number) => Value::Number(Some(*number)),
        backup::Value::Text(text) => Value::Text(Some(text)),
    }
}

/// Reads a dump to its end without doing anything with it: whether it is whole.
pub(crate) fn verify(input: &mut dyn Read) -> Result<BackupHeader, BackupError> {
    let mut reader = BackupReader::new(input)?;
    while reader.next()?.is_some() {}
    Ok(*reader.header())
}

/// Puts the rows of a dump in the place of those of a catalog that was just founded.
pub(crate) fn restore(tx: &Tx<'_>, input: &mut dyn Read) -> Result<(), CatalogError> {
    let mut reader = BackupReader::new(input)?;
    let got = reader.header().schema;
    if got > migrate::KNOWN {
        return Err(CatalogError::Newer { got, known: migrate::KNOWN });
    }
    clear(tx, TABLES)?;
    let mut insert = String::new();
    while let Some(part) = reader.next()? {
        match part {
            Part::Table { name, columns } => insert = insert_into(&name, &columns)?,
            Part::Row(values) => {
                insert_row(tx, &insert, &values)?;
            }
        }
    }
    blocks::forget_index(tx)?;
    blocks::recount(tx)?;
    container::recount(tx)?;
    // What migrations do to rows.
    if got < ENDINGS {
        container::note_default_locks(tx)?;
        file::note_ends(tx)?;
    }
    Ok(())
}

/// Puts all rows of a catalog of the same version in the place of those of another one; whole, or
/// not at all.
pub(crate) fn copy(from: &Catalog, to: &Catalog) -> Result<(), CatalogError> {
    to.write(|tx| {
        let tables = || TABLES.into_iter().chain(LEFT_OUT);
        clear(tx, tables())?;
        from.read(|source| {
            for table in tables() {
                let (sql, mut insert) = (format!("SELECT * FROM {table}"), String::new());
                source.session.each(table, &sql, &mut |given| match given {
                    Given::Columns(names) => {
                        insert = insert_into(table, names)?;
                        Ok(())
                    }
                    Given::Row(row) => insert_row(tx, &insert, &row.rest()?),
                })?;
            }
            Ok(())
        })
    })
}

/// Removes what is in these tables. References are looked at when all is in: a pool may be emptied
/// into one that comes later.
fn clear(
    tx: &Tx<'_>,
    tables: impl IntoIterator<Item = &'static str, IntoIter: DoubleEndedIterator>,
) -> Result<(), CatalogError> {
    tx.session.defer_references()?;
    for table in tables.into_iter().rev() {
        tx.execute(&format!("DELETE FROM {table}"), [])?;
    }
    Ok(())
}

fn insert_row(tx: &Tx<'_>, insert: &str, row: &[backup::Value]) -> Result<(), CatalogError> {
    let values: Vec<Value<'_>> = row.iter().map(value).collect();
    tx.execute(insert, values.as_slice()).map(drop)
}

/// The statement for the rows of a table; names that no schema of ours has are refused.
fn insert_into(table: &str, columns: &[String]) -> Result<String, CatalogError> {
    let plain = |name: &str| {
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let ours = TABLES.contains(&table) || LEFT_OUT.contains(&table);
    if !ours || !columns.iter().all(|column| plain(column)) {
        return Err(CatalogError::ForeignDump(table.to_owned()));
    }
    let places: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    Ok(format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), places.join(", ")))
}

#[cfg(test)]
mod tests;
