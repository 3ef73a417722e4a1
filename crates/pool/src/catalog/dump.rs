//! The catalog as a dump of typed rows, and back.
//!
//! What tells where segments are is not dumped: their footers tell.

use std::cell::RefCell;
use std::io::{Read, Write};

use archipelago_format::backup::{self, BackupError, BackupHeader, BackupReader, BackupWriter, Part};

use super::{CatalogError, Tx, Value, blocks, container, file, migrate};

/// What is dumped, each after what it refers to.
const TABLES: [&str; 25] = [
    "store_state",
    "pool_place",
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
#[cfg(test)]
const NOT_DUMPED: [&str; 8] = [
    "token",
    "account_usage",
    "block",
    "block_waiting",
    "segment",
    "scrub",
    "damage",
    "schema_version",
];

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
    let writer = RefCell::new(BackupWriter::new(out, &header).map_err(CatalogError::Dump)?);
    for table in TABLES {
        let columns =
            |names: &[String]| writer.borrow_mut().table(table, names).map_err(CatalogError::Dump);
        let sql = format!("SELECT * FROM {table}");
        tx.session.each(table, &sql, columns, |row| {
            let values = row.rest()?;
            writer.borrow_mut().row(&values).map_err(CatalogError::Dump)
        })?;
    }
    writer.into_inner().finish().map_err(CatalogError::Dump)?;
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
    // A pool may be emptied into one that comes later.
    tx.session.defer_references()?;
    for table in TABLES.iter().rev() {
        tx.execute(&format!("DELETE FROM {table}"), [])?;
    }
    let mut insert = String::new();
    while let Some(part) = reader.next()? {
        match part {
            Part::Table { name, columns } => insert = insert_into(&name, &columns)?,
            Part::Row(values) => {
                let values: Vec<Value<'_>> = values.iter().map(value).collect();
                tx.execute(&insert, values.as_slice())?;
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

/// The statement for the rows of a table; names that no schema of ours has are refused.
fn insert_into(table: &str, columns: &[String]) -> Result<String, CatalogError> {
    let plain = |name: &str| {
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if !TABLES.contains(&table) || !columns.iter().all(|column| plain(column)) {
        return Err(CatalogError::ForeignDump(table.to_owned()));
    }
    let places: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    Ok(format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), places.join(", ")))
}

#[cfg(test)]
mod tests;
