//! Facts about dumps.

use archipelago_format::backup::{BackupHeader, BackupWriter, Value};

use serde_json::json;

use super::*;
use crate::catalog::Session;
use crate::catalog::tests::fresh;
use crate::lock::DefaultLock;

fn numbers(catalog: &crate::catalog::Catalog, sql: &str) -> Vec<Option<i64>> {
    let all = |tx: &Tx<'_>| -> Result<Vec<Option<i64>>, CatalogError> {
        let numbers = tx.all("any", sql, [], |row| row.number_or_null())?;
        Ok(numbers.into_iter().map(|number| number.map(u64::cast_signed)).collect())
    };
    catalog.read(all).unwrap()
}

#[test]
fn every_table_is_dumped_or_said_not_to_be() {
    let (_dir, catalog) = fresh();
    let all = |tx: &Tx<'_>| -> Result<Vec<String>, CatalogError> {
        let sql = match tx.session {
            Session::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table'",
            Session::Postgres(_) => {
                "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = \
                 current_schema() AND tablename <> 'catalog_term'"
            }
        };
        tx.all("any", sql, [], |row| row.text())
    };
    let mut there = catalog.read(all).unwrap();
    there.sort_unstable();
    let mut said: Vec<&str> =
        TABLES.into_iter().chain(LEFT_OUT).chain(["schema_version"]).collect();
    said.sort_unstable();
    assert_eq!(there, said);
}

/// A dump with an object that ends after 60 s, and what the columns for it say.
fn ending(schema: u32, ends: Option<Value>) -> Vec<u8> {
    let mut out = Vec::new();
    let header = BackupHeader { schema, store: [7; 16], made_ms: 0 };
    let mut writer = BackupWriter::new(&mut out, &header).unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let columns = ["id", "account_id", "name", "created_ms", "settings"];
    writer.table("container", &owned(&columns)).unwrap();
    let number = Value::Number;
    // The lock as it was kept before there was one for all doors.
    let lock = json!({"rule": {"default_retention": {"mode": "COMPLIANCE", "years": 1}}});
    let settings = json!({"s3.lock": lock.to_string()}).to_string();
    writer.row(&[number(5), number(0), text("box"), number(0), text(&settings)]).unwrap();
    let mut columns =
        owned(&["id", "container_id", "object", "size", "root", "created_ms", "meta"]);
    let meta = r#"{"settings":{"swift.delete-at":"60"}}"#;
    let mut values =
        vec![number(6), number(5), text("o"), number(9), number(0), number(0), text(meta)];
    if let Some(ends) = ends {
        columns.extend(owned(&["ends_ms", "remove_ms"]));
        values.extend([ends, Value::Null]);
    }
    writer.table("file", &columns).unwrap();
    writer.row(&values).unwrap();
    writer.finish().unwrap();
    out
}

#[test]
fn what_ends_in_a_dump_from_before_there_were_columns_for_it_ends() {
    let (_dir, catalog) = fresh();
    let dump = ending(ENDINGS - 1, None);
    catalog.write(|tx| restore(tx, &mut dump.as_slice())).unwrap();
    assert_eq!(numbers(&catalog, "SELECT ends_ms FROM file"), [Some(60_000)]);
    assert_eq!(numbers(&catalog, "SELECT remove_ms FROM file"), [Some(60_000)]);
    assert_eq!(numbers(&catalog, "SELECT bytes FROM container"), [Some(9)]);
    assert_eq!(numbers(&catalog, "SELECT bytes FROM account_usage"), [Some(9)]);
}

#[test]
fn a_default_lock_of_a_dump_from_before_it_was_one_for_all_doors_is_one() {
    let (_dir, catalog) = fresh();
    let dump = ending(ENDINGS - 1, None);
    catalog.write(|tx| restore(tx, &mut dump.as_slice())).unwrap();
    let container = catalog.read(|tx| container::get(tx, 5)).unwrap().unwrap();
    let lock = DefaultLock { mode: "COMPLIANCE".to_owned(), days: 365 };
    assert_eq!(DefaultLock::of(&container), Some(lock));
}

#[test]
fn whose_an_object_is_comes_back() {
    let (_dir, catalog) = fresh();
    let dump = ending(ENDINGS, None);
    catalog.write(|tx| restore(tx, &mut dump.as_slice())).unwrap();
    assert_eq!(numbers(&catalog, "SELECT owner_id FROM file"), [None]);
    let mut dump = Vec::new();
    let write = |tx: &Tx<'_>| {
        tx.execute("UPDATE file SET owner_id = 9", [])?;
        super::write(tx, [7; 16], 0, &mut dump)
    };
    catalog.write(write).unwrap();
    let (_dir, other) = fresh();
    other.write(|tx| restore(tx, &mut dump.as_slice())).unwrap();
    assert_eq!(numbers(&other, "SELECT owner_id FROM file"), [Some(9)]);
}

/// It was locked, and nobody has to look at it again.
#[test]
fn what_ends_and_stays_in_a_newer_dump_stays() {
    let (_dir, catalog) = fresh();
    let dump = ending(ENDINGS, Some(Value::Number(60_000)));
    catalog.write(|tx| restore(tx, &mut dump.as_slice())).unwrap();
    assert_eq!(numbers(&catalog, "SELECT ends_ms FROM file"), [Some(60_000)]);
    assert_eq!(numbers(&catalog, "SELECT remove_ms FROM file"), [None]);
}

/// Made before the one that it is emptied into.
#[test]
fn a_pool_that_is_being_emptied_comes_back() {
    let (_dir, catalog) = fresh();
    let mut dump = Vec::new();
    let write = |tx: &Tx<'_>| {
        for (id, name) in [(5, "old"), (9, "new")] {
            let sql = "INSERT INTO pool_place (id, name, kind, url) VALUES ($1, $2, 'x', 'y')";
            tx.execute(sql, (i64::from(id), name))?;
        }
        tx.execute("UPDATE pool_place SET drain_to = 9 WHERE id = 5", [])?;
        super::write(tx, [7; 16], 0, &mut dump)
    };
    catalog.write(write).unwrap();
    let (_dir, other) = fresh();
    other.write(|tx| restore(tx, &mut dump.as_slice())).unwrap();
    let drains = "SELECT drain_to FROM pool_place ORDER BY id";
    assert_eq!(numbers(&other, drains), [None, Some(9), None]);
}
