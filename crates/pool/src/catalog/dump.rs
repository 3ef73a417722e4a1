//! The catalog as a dump of typed rows, and back.
//!
//! What tells where segments are is not dumped: their footers tell.

use std::io::{Read, Write};

use archipelago_format::backup::{
    BackupError, BackupHeader, BackupReader, BackupWriter, Part, Value,
};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ToSql, params_from_iter};

use super::{CatalogError, Tx, blocks, container, file, migrate};

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
    let mut writer = BackupWriter::new(out, &header).map_err(CatalogError::Dump)?;
    for table in TABLES {
        let mut statement = tx.connection.prepare_cached(&format!("SELECT * FROM {table}"))?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        writer.table(table, &columns).map_err(CatalogError::Dump)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let values = (0..columns.len())
                .map(|at| value(table, at, row.get_ref(at)?))
                .collect::<Result<Vec<_>, CatalogError>>()?;
            writer.row(&values).map_err(CatalogError::Dump)?;
        }
    }
    writer.finish().map_err(CatalogError::Dump)?;
    Ok(())
}

fn value(table: &'static str, column: usize, raw: ValueRef<'_>) -> Result<Value, CatalogError> {
    match raw {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Number(number)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(error) => Err(CatalogError::Row { table, column, what: error.to_string() }),
        },
        ValueRef::Real(_) | ValueRef::Blob(_) => {
            Err(CatalogError::Row { table, column, what: "no number and no text".to_owned() })
        }
    }
}

struct Column(Value);

impl ToSql for Column {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match &self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Number(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
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
    for table in TABLES.iter().rev() {
        tx.execute(&format!("DELETE FROM {table}"), [])?;
    }
    let mut insert = String::new();
    while let Some(part) = reader.next()? {
        match part {
            Part::Table { name, columns } => insert = insert_into(&name, &columns)?,
            Part::Row(values) => {
                let values = values.into_iter().map(Column);
                tx.connection.prepare_cached(&insert)?.execute(params_from_iter(values))?;
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
