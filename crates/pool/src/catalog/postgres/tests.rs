//! Facts about catalogs on a server. Those that need one are run by `cargo xtask test`.

mod proxy;

use std::collections::BTreeSet;

use archipelago_env::Env;
use tempfile::TempDir;

use super::super::tests::{find, founding, fresh, row};
use super::super::{At, Catalog, CatalogError, dump, volume};
use super::*;
use crate::ErrorKind;
use crate::error::Error;
use crate::testing::{on_files, server_url};
use proxy::{Cut, Proxy};

fn url(dir: &TempDir) -> String {
    server_url(dir.path()).expect("ARCHIPELAGO_TEST_POSTGRES names a server")
}

fn open_as(url: &str, holder: &str) -> Result<Catalog, CatalogError> {
    let settings = Settings::parse(url).unwrap();
    Catalog::open(At::Server(&Env::real(), &settings, holder), &founding())
}

fn kind(error: CatalogError) -> ErrorKind {
    Error::from(error).kind()
}

fn insert(catalog: &Catalog, id: u64, name: &str) -> Result<(), CatalogError> {
    catalog.write(|tx| volume::insert(tx, &row(id, name)).map(drop))
}

fn there(catalog: &Catalog, name: &str) -> bool {
    find(catalog, name).unwrap().is_some()
}

/// Ends a connection as an operator would.
fn end(url: &str, process: i64) {
    behind(url, &format!("SELECT pg_terminate_backend({process}, 5000)"));
}

const PROCESS: &str = "SELECT pg_backend_pid()";

fn texts(catalog: &Catalog, sql: &str) -> BTreeSet<String> {
    let all = catalog.read(|tx| tx.all("any", sql, [], |row| row.text()));
    all.unwrap().into_iter().collect()
}

#[test]
#[ignore = "needs a server"]
fn both_databases_have_the_same_tables_columns_and_indexes() {
    let (_one, server) = fresh();
    on_files();
    let (_two, file) = fresh();
    // What a primary key says of nulls, SQLite does not repeat.
    let in_file = "SELECT m.name || '.' || p.name || ' ' || p.type || \
         CASE WHEN p.\"notnull\" = 1 OR p.pk > 0 THEN ' set' ELSE '' END || \
         COALESCE(' ' || p.dflt_value, '') FROM sqlite_master m JOIN pragma_table_info(m.name) p \
         WHERE m.type = 'table' AND m.name <> 'schema_version'";
    let on_server = "SELECT table_name || '.' || column_name || ' ' || \
         CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'text' THEN 'TEXT' ELSE data_type END || \
         CASE is_nullable WHEN 'NO' THEN ' set' ELSE '' END || \
         COALESCE(' ' || replace(column_default, '::text', ''), '') \
         FROM information_schema.columns WHERE table_schema = current_schema() \
         AND table_name NOT IN ('schema_version', 'catalog_term')";
    assert_eq!(texts(&server, on_server), texts(&file, in_file));
    let in_file = "SELECT name FROM sqlite_master WHERE type = 'index' \
         AND name NOT LIKE 'sqlite_autoindex%'";
    let on_server = "SELECT CAST(c.relname AS TEXT) FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = current_schema() \
         AND NOT EXISTS (SELECT 1 FROM pg_constraint o WHERE o.conindid = i.indexrelid)";
    assert_eq!(texts(&server, on_server), texts(&file, in_file));
    // UNIQUE and the like.
    let in_file = "SELECT m.tbl_name || ' ' || (SELECT group_concat(name, ',') \
         FROM (SELECT name FROM pragma_index_info(m.name) ORDER BY seqno)) FROM sqlite_master m \
         WHERE m.type = 'index' AND m.name LIKE 'sqlite_autoindex%'";
    let on_server = "SELECT CAST(t.relname AS TEXT) || ' ' || (SELECT string_agg(a.attname, ',' \
         ORDER BY k.n) FROM unnest(o.conkey) WITH ORDINALITY k (c, n) \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.c) \
         FROM pg_constraint o JOIN pg_class t ON t.oid = o.conrelid \
         JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = current_schema() \
         AND o.contype IN ('u', 'p') AND t.relname NOT IN ('schema_version', 'catalog_term')";
    let keys = texts(&server, on_server);
    assert!(texts(&file, in_file).is_subset(&keys), "{keys:#?}");
}

#[test]
#[ignore = "needs a server"]
fn all_texts_sort_by_their_bytes() {
    let (_dir, catalog) = fresh();
    let others = "SELECT table_name || '.' || column_name FROM information_schema.columns \
         WHERE table_schema = current_schema() AND data_type = 'text' \
         AND collation_name IS DISTINCT FROM 'C'";
    assert_eq!(texts(&catalog, others), BTreeSet::new());
}

#[test]
#[ignore = "needs a server"]
fn a_host_that_was_taken_over_changes_nothing_and_sees_nothing() {
    let (dir, first) = fresh();
    insert(&first, 1, "a").unwrap();
    let path = dir.path().join("catalog.sqlite").display().to_string();
    let second = open_as(&url(&dir), &path).unwrap();
    assert_eq!(kind(insert(&first, 2, "b").unwrap_err()), ErrorKind::Fenced);
    let told = find(&first, "a").unwrap_err();
    assert!(told.to_string().contains(&path), "{told}");
    assert_eq!(kind(told), ErrorKind::Fenced);
    insert(&second, 3, "c").unwrap();
    assert_eq!(kind(insert(&first, 4, "d").unwrap_err()), ErrorKind::Fenced);
    assert!(there(&second, "a") && there(&second, "c"));
    assert!(!there(&second, "b") && !there(&second, "d"));
}

#[test]
#[ignore = "needs a server"]
fn what_was_under_way_when_a_host_was_taken_over_is_not_committed() {
    let (dir, first) = fresh();
    let path = dir.path().join("catalog.sqlite").display().to_string();
    let mut second = None;
    let late = first.write(|tx| {
        volume::insert(tx, &row(1, "a"))?;
        second = Some(open_as(&url(&dir), &path)?);
        volume::insert(tx, &row(2, "b"))
    });
    assert_eq!(kind(late.unwrap_err()), ErrorKind::Fenced);
    let second = second.unwrap();
    assert!(!there(&second, "a") && !there(&second, "b"));
    insert(&second, 1, "a").unwrap();
}

#[test]
#[ignore = "needs a server"]
fn another_host_is_told_who_has_the_store_until_that_one_ends() {
    let (dir, first) = fresh();
    let told = open_as(&url(&dir), "another").map(drop).unwrap_err();
    assert!(told.to_string().contains("catalog.sqlite"), "{told}");
    assert_eq!(kind(told), ErrorKind::InUse);
    insert(&first, 1, "a").unwrap();
    first.close();
    let second = open_as(&url(&dir), "another").unwrap();
    assert!(there(&second, "a"));
}

#[test]
#[ignore = "needs a server"]
fn connections_that_ended_are_made_anew() {
    let (dir, catalog) = fresh();
    let process = |tx: &super::super::Tx<'_>| {
        tx.first("any", PROCESS, [], |row| row.signed()).map(Option::unwrap)
    };
    let (reader, writer) = (catalog.read(process).unwrap(), catalog.write(process).unwrap());
    assert_ne!(reader, writer);
    end(&url(&dir), reader);
    end(&url(&dir), writer);
    insert(&catalog, 1, "a").unwrap();
    assert!(there(&catalog, "a"));
    assert_ne!(catalog.write(process).unwrap(), writer);
    // Another host is still told.
    assert_eq!(kind(open_as(&url(&dir), "x").map(drop).unwrap_err()), ErrorKind::InUse);
}

#[test]
#[ignore = "needs a server"]
fn a_connection_that_ends_in_a_transaction_takes_it_back_and_nothing_else() {
    let (dir, catalog) = fresh();
    let failed = catalog.write(|tx| {
        volume::insert(tx, &row(1, "a"))?;
        let process = tx.first("any", PROCESS, [], |row| row.signed())?.unwrap();
        end(&url(&dir), process);
        volume::insert(tx, &row(2, "b"))
    });
    assert_eq!(kind(failed.unwrap_err()), ErrorKind::Unavailable);
    assert!(!there(&catalog, "a") && !there(&catalog, "b"));
    insert(&catalog, 3, "c").unwrap();
    let failed: Result<(), CatalogError> = catalog.read(|tx| {
        let process = tx.first("any", PROCESS, [], |row| row.signed())?.unwrap();
        end(&url(&dir), process);
        volume::list(tx).map(drop)
    });
    assert_eq!(kind(failed.unwrap_err()), ErrorKind::Unavailable);
    assert!(there(&catalog, "c"));
}

/// A catalog behind a proxy.
fn proxied(dir: &TempDir, body: impl FnOnce(&Proxy, &Catalog)) {
    let direct = url(dir);
    Proxy::between(&direct, |proxy, url| {
        let catalog = open_as(url, "proxied").unwrap();
        body(proxy, &catalog);
        catalog.close();
    });
}

#[test]
#[ignore = "needs a server"]
fn a_commit_whose_answer_was_lost_is_found_to_be_done() {
    proxied(&TempDir::new().unwrap(), |proxy, catalog| {
        let before = catalog.changes();
        proxy.cut(Cut::Answer);
        insert(catalog, 1, "a").unwrap();
        assert!(there(catalog, "a"));
        assert_eq!((catalog.changes(), proxy.cuts()), (before + 1, 1));
        insert(catalog, 2, "b").unwrap();
    });
}

#[test]
#[ignore = "needs a server"]
fn a_commit_that_never_came_is_found_not_to_be_done() {
    proxied(&TempDir::new().unwrap(), |proxy, catalog| {
        let before = catalog.changes();
        proxy.cut(Cut::Request);
        assert_eq!(kind(insert(catalog, 1, "a").unwrap_err()), ErrorKind::Unavailable);
        assert!(!there(catalog, "a"));
        assert_eq!((catalog.changes(), proxy.cuts()), (before, 1));
        insert(catalog, 1, "a").unwrap();
    });
}

#[test]
#[ignore = "needs a server"]
fn a_server_that_forgot_what_it_acknowledged_is_refused() {
    let (dir, catalog) = fresh();
    insert(&catalog, 1, "a").unwrap();
    let process = catalog.write(|tx| tx.first("any", PROCESS, [], |row| row.signed())).unwrap();
    behind(&url(&dir), "UPDATE catalog_term SET commits = commits - 1");
    end(&url(&dir), process.unwrap());
    for _ in 0..2 {
        assert_eq!(kind(insert(&catalog, 2, "b").unwrap_err()), ErrorKind::Damaged);
    }
}

#[test]
#[ignore = "needs a server"]
fn an_error_that_is_passed_over_commits_nothing() {
    let (_dir, catalog) = fresh();
    let passed = catalog.write(|tx| {
        volume::insert(tx, &row(1, "a"))?;
        tx.spoil("SELECT nothing FROM nowhere").unwrap_err();
        Ok::<_, CatalogError>(())
    });
    passed.unwrap_err();
    assert!(!there(&catalog, "a"));
    insert(&catalog, 1, "a").unwrap();
}

#[test]
#[ignore = "needs a server"]
fn a_text_with_a_nul_character_is_refused_and_the_transaction_goes_on() {
    let (_dir, catalog) = fresh();
    let done = catalog.write(|tx| {
        let found = tx.first("any", "SELECT $1", ["a\0b"], |row| row.text());
        assert_eq!(kind(found.unwrap_err()), ErrorKind::Invalid);
        volume::insert(tx, &row(1, "a"))
    });
    assert!(done.unwrap() && there(&catalog, "a"));
}

#[test]
#[ignore = "needs a server"]
fn a_database_that_keeps_other_texts_is_refused() {
    let dir = TempDir::new().unwrap();
    let url = url(&dir);
    let name = format!("ascii_{}", std::process::id());
    behind(
        &url,
        &format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'"),
    );
    let (server, schema) = url.split_once('?').unwrap();
    let (server, _) = server.rsplit_once('/').unwrap();
    let told = open_as(&format!("{server}/{name}?{schema}"), "x").map(drop).unwrap_err();
    assert!(told.to_string().contains("ENCODING"), "{told}");
    assert_eq!(kind(told), ErrorKind::Invalid);
}

#[test]
#[ignore = "needs a server"]
fn a_catalog_goes_from_a_file_to_a_server_and_back() {
    let (_one, server) = fresh();
    on_files();
    let ((_two, file), (_three, back)) = (fresh(), fresh());
    insert(&file, 7, "a").unwrap();
    insert(&server, 8, "b").unwrap();
    dump::copy(&file, &server).unwrap();
    assert!(there(&server, "a") && !there(&server, "b"));
    dump::copy(&server, &back).unwrap();
    assert_eq!(back.read(volume::list).unwrap(), file.read(volume::list).unwrap());
    let dumped = |catalog: &Catalog| {
        let mut out = Vec::new();
        catalog.read(|tx| dump::write(tx, [7; 16], 0, &mut out)).unwrap();
        out
    };
    assert!(dumped(&file) == dumped(&back));
}

#[test]
fn a_server_that_is_away_is_told_with_what_to_do() {
    let url = "postgres://x@127.0.0.1:1/x";
    let server = Server::new(&Env::real(), &Settings::parse(url).unwrap());
    let told = server.connect().map(drop).unwrap_err();
    assert!(told.to_string().contains("goes on by itself"), "{told}");
    assert_eq!(told.kind(), ErrorKind::Unavailable);
    // Nobody waits again so soon.
    server.connect().map(drop).unwrap_err();
}
