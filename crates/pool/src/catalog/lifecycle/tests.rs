//! Facts about the notes on rules.

use tempfile::TempDir;

use super::*;
use crate::catalog::{Catalog, container};
use crate::lifecycle::Filter;

fn rule(id: &str) -> Rule {
    Rule {
        id: id.to_owned(),
        enabled: true,
        filter: Filter::default(),
        expiration: None,
        noncurrent: None,
        abort_days: Some(1),
    }
}

/// A catalog with a container 5 that has a rule, to be followed at 10.
fn fresh() -> (TempDir, Catalog) {
    let (dir, catalog) = crate::catalog::tests::fresh();
    let made = catalog.write(|tx| {
        container::insert(tx, 5, archipelago_model::AccountId::new(0), &"a".parse().unwrap(), 1)?;
        put(tx, 5, &[rule("one")], "said", 10)
    });
    made.unwrap();
    (dir, catalog)
}

fn found(catalog: &Catalog) -> LifecycleRow {
    catalog.read(|tx| get(tx, 5)).unwrap().unwrap()
}

#[test]
fn rules_that_are_written_otherwise_are_noted_as_followed() {
    let (_dir, catalog) = fresh();
    let sql = "UPDATE lifecycle SET rules = ' ' || rules";
    catalog.write(|tx| tx.execute(sql, [])).unwrap();
    let row = LifecycleRow { next_ms: 20, ..found(&catalog) };
    catalog.write(|tx| note(tx, &row)).unwrap();
    assert_eq!(found(&catalog).next_ms, 20);
}

#[test]
fn rules_that_are_others_by_now_are_not_noted_as_followed() {
    let (_dir, catalog) = fresh();
    let row = LifecycleRow { next_ms: 20, ..found(&catalog) };
    catalog.write(|tx| put(tx, 5, &[rule("two")], "said", 15)).unwrap();
    catalog.write(|tx| note(tx, &row)).unwrap();
    assert_eq!(found(&catalog).next_ms, 15);
}
