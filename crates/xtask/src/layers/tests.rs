//! The table itself, and the tree against it.

use super::*;

fn one(name: &str, uses: &[&str], libraries: &[&str]) -> Crate {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Crate { name: name.to_owned(), uses: set(uses), libraries: set(libraries) }
}

#[test]
fn the_workspace_keeps_its_layers() {
    let found = check(&read(&crate::root()).unwrap());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn an_arrow_that_points_upward_is_found() {
    assert_eq!(check(&[one("engine", &["pool"], &[])]), ["engine must not depend on pool"]);
    assert!(check(&[one("engine", &["store", "format", "env", "model"], &[])]).is_empty());
}

#[test]
fn a_crate_without_a_row_is_found() {
    assert_eq!(check(&[one("new", &[], &[])]), ["new has no row in the table"]);
}

#[test]
fn no_product_crate_may_use_a_crate_for_developers() {
    for (name, allowed) in MAY_USE {
        assert!(allowed.iter().all(|used| !FREE.contains(used)), "{name}");
    }
    assert_eq!(check(&[one("pool", &["sim"], &[])]), ["pool must not depend on sim"]);
}

#[test]
fn the_table_has_no_cycle_because_every_row_uses_rows_above_only() {
    // Rows of a driver level may name one another only downward; order by what they reach.
    fn reach(name: &str, depth: usize) {
        assert!(depth <= MAY_USE.len(), "a cycle through {name}");
        let row = MAY_USE.iter().find(|(row, _)| *row == name).expect("every name has a row");
        row.1.iter().for_each(|used| reach(used, depth + 1));
    }
    MAY_USE.iter().for_each(|(name, _)| reach(name, 0));
}

#[test]
fn the_database_is_known_to_the_pool_alone() {
    assert_eq!(check(&[one("engine", &[], &["rusqlite"])]).len(), 1);
    assert!(check(&[one("pool", &[], &["rusqlite"])]).is_empty());
}
