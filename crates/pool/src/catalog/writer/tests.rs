//! Facts about commits that are shared.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Scope, ScopedJoinHandle};

use super::super::tests::{find, fresh, row};
use super::super::{Catalog, volume};
use super::*;

type Written = Result<(), CatalogError>;

fn insert(catalog: &Catalog, id: u64, name: &str) -> Written {
    catalog.write(|tx| volume::insert(tx, &row(id, name)).map(drop))
}

/// Somebody who waits for the turn, and never comes: whoever has it leaves its end to others.
fn queue(catalog: &Catalog) {
    catalog.writer.queued.fetch_add(1, Ordering::AcqRel);
}

fn leave_queue(catalog: &Catalog) {
    catalog.writer.queued.fetch_sub(1, Ordering::AcqRel);
}

/// Begins a change that waits for others to commit it.
fn begin<'scope>(
    scope: &'scope Scope<'scope, '_>,
    catalog: &'scope Catalog,
    id: u64,
    name: &'scope str,
) -> ScopedJoinHandle<'scope, Written> {
    queue(catalog);
    let handle = scope.spawn(move || insert(catalog, id, name));
    while catalog.writer.turn.lock().group.as_ref().is_none_or(|group| group.members == 0) {
        std::thread::yield_now();
    }
    leave_queue(catalog);
    handle
}

fn there(catalog: &Catalog, name: &str) -> bool {
    find(catalog, name).unwrap().is_some()
}

#[test]
fn the_next_in_turn_sees_what_the_one_before_did_and_commits_for_both() {
    let (_dir, catalog) = fresh();
    std::thread::scope(|scope| {
        let before = catalog.changes();
        let first = begin(scope, &catalog, 1, "a");
        assert!(!there(&catalog, "a") && !first.is_finished());
        let second = catalog.write(|tx| {
            assert_eq!(tx.changes(), before + 1);
            assert!(volume::find(tx, &"a".parse().unwrap())?.is_some());
            volume::insert(tx, &row(2, "b")).map(drop)
        });
        second.unwrap();
        first.join().unwrap().unwrap();
        assert!(there(&catalog, "a") && there(&catalog, "b"));
        assert_eq!(catalog.changes(), before + 2);
    });
}

#[test]
fn one_that_fails_takes_back_nothing_of_others() {
    let (_dir, catalog) = fresh();
    std::thread::scope(|scope| {
        let first = begin(scope, &catalog, 1, "a");
        let second = catalog.write(|tx| {
            volume::insert(tx, &row(2, "b"))?;
            Err::<(), _>(CatalogError::SegmentIds)
        });
        assert!(matches!(second, Err(CatalogError::SegmentIds)));
        first.join().unwrap().unwrap();
        assert!(there(&catalog, "a") && !there(&catalog, "b"));
    });
    // Nor does one that fails before the others come.
    queue(&catalog);
    let refused = catalog.write(|tx| {
        volume::insert(tx, &row(3, "c"))?;
        Err::<(), _>(CatalogError::SegmentIds)
    });
    assert!(matches!(refused, Err(CatalogError::SegmentIds)));
    leave_queue(&catalog);
    insert(&catalog, 4, "d").unwrap();
    assert!(!there(&catalog, "c") && there(&catalog, "d"));
}

#[test]
fn a_commit_that_fails_fails_for_all_and_the_next_works() {
    let (_dir, catalog) = fresh();
    std::thread::scope(|scope| {
        let first = begin(scope, &catalog, 1, "a");
        // References that are looked at when all is committed.
        let second = catalog.write(|tx| {
            tx.session.defer_references()?;
            tx.session.batch(
                "INSERT INTO lease (volume_id, owner, epoch, expires_ms) VALUES (99, 'x', 1, 0)",
            )?;
            Ok::<_, CatalogError>(())
        });
        assert!(matches!(second, Err(CatalogError::Commit(_))), "{second:?}");
        let first = first.join().unwrap();
        assert!(matches!(first, Err(CatalogError::Commit(_))), "{first:?}");
        assert!(!there(&catalog, "a"));
    });
    insert(&catalog, 1, "a").unwrap();
    assert!(there(&catalog, "a"));
}

#[test]
fn a_defect_in_one_leaves_nobody_waiting() {
    let (_dir, catalog) = fresh();
    std::thread::scope(|scope| {
        let first = begin(scope, &catalog, 1, "a");
        let defect = || catalog.write(|_| -> Written { panic!("a defect") });
        catch_unwind(AssertUnwindSafe(defect)).unwrap_err();
        assert!(matches!(first.join().unwrap(), Err(CatalogError::TakenBack)));
        assert!(!there(&catalog, "a"));
    });
    insert(&catalog, 1, "a").unwrap();
}

#[test]
fn all_that_sqlite_takes_back_by_itself_is_told_to_everybody() {
    crate::testing::on_files();
    let (_dir, catalog) = fresh();
    std::thread::scope(|scope| {
        let first = begin(scope, &catalog, 1, "a");
        let second = catalog.write(|tx| {
            tx.session.batch("ROLLBACK")?;
            Ok::<_, CatalogError>(())
        });
        assert!(matches!(second, Err(CatalogError::TakenBack)));
        assert!(matches!(first.join().unwrap(), Err(CatalogError::TakenBack)));
    });
    insert(&catalog, 1, "a").unwrap();
}

#[test]
fn closing_commits_what_waits() {
    let (_dir, catalog) = fresh();
    std::thread::scope(|scope| {
        let first = begin(scope, &catalog, 1, "a");
        catalog.writer.close();
        first.join().unwrap().unwrap();
        assert!(there(&catalog, "a"));
    });
}

#[test]
fn a_group_has_an_end_though_others_wait() {
    let (_dir, catalog) = fresh();
    std::thread::scope(|scope| {
        queue(&catalog);
        let all: Vec<_> = (1..=MEMBERS_MAX as u64)
            .map(|id| {
                let catalog = &catalog;
                scope.spawn(move || insert(catalog, id, &format!("v{id}")))
            })
            .collect();
        all.into_iter().for_each(|one| one.join().unwrap().unwrap());
        leave_queue(&catalog);
    });
    assert!(there(&catalog, &format!("v{MEMBERS_MAX}")));
}
