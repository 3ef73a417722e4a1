//! Facts about rules in containers that archive, and about what cannot end.

use archipelago_model::{AccountId, ContainerName};

use crate::lifecycle::Filter;
use crate::object::{Listing, Meta, Versioning, Which};
use crate::service::Ended;
use crate::service::lifecycle::tests::{DAY, Home, days, name};
use crate::{ARCHIVE_HISTORY, ARCHIVE_STACK, Rule};

const ACCOUNT: AccountId = AccountId::new(0);
const NOTHING: Ended = Ended { objects: 0, by_rules: 0, older: 0, uploads: 0 };

/// A container `files` with an archive `old`; the identity of that.
fn archiving(by: &str) -> (Home, u64) {
    let home = Home::new(Versioning::Off);
    let old = home.service().container_create(ACCOUNT, &"old".parse().unwrap()).unwrap().id;
    home.change(|container| drop(container.settings.insert(by.to_owned(), "old".to_owned())));
    (home, old)
}

/// The sizes of what is kept, the oldest first.
fn kept(home: &Home, old: u64) -> Vec<u64> {
    let listing = Listing { limit: 1000, ..Listing::default() };
    let page = home.service().objects(old, &listing).unwrap();
    page.items.iter().map(|object| object.size).collect()
}

#[test]
fn what_a_rule_ends_goes_to_the_archive_and_comes_back() {
    let (home, old) = archiving(ARCHIVE_STACK);
    let first = home.put("a", Meta::default());
    home.rules(&[days(1)]);
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended { by_rules: 1, ..NOTHING });
    assert_eq!((home.rows(), kept(&home, old)), (vec![], vec![100]));
    home.service().object_remove(home.id, &name("a"), Which::Latest, &|_| Ok(())).unwrap();
    let back = home.service().object(home.id, &name("a"), Which::Latest).unwrap();
    assert_eq!((back.id, kept(&home, old)), (first.id, vec![]));
}

#[test]
fn what_a_rule_ends_lets_nothing_older_come_back() {
    let (home, old) = archiving(ARCHIVE_STACK);
    home.put("a", Meta::default());
    home.put("a", Meta::default());
    home.rules(&[days(1)]);
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended { by_rules: 1, ..NOTHING });
    assert_eq!((home.rows(), kept(&home, old)), (vec![], vec![100; 2]));
}

#[test]
fn what_a_rule_ends_is_noted_in_a_history() {
    let (home, old) = archiving(ARCHIVE_HISTORY);
    home.put("a", Meta::default());
    home.rules(&[days(1)]);
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended { by_rules: 1, ..NOTHING });
    assert_eq!((home.rows(), kept(&home, old)), (vec![], vec![100, 0]));
}

#[test]
fn what_said_itself_when_it_ends_is_not_archived() {
    let (home, old) = archiving(ARCHIVE_HISTORY);
    home.put_ending("a", 5);
    home.hands.forward(5000);
    assert_eq!(home.end(), Ended { objects: 1, ..NOTHING });
    assert_eq!((home.rows(), kept(&home, old)), (vec![], vec![]));
}

#[test]
fn what_cannot_be_archived_stays_and_keeps_no_other_from_ending() {
    let (home, old) = archiving(ARCHIVE_HISTORY);
    let long = "n".repeat(1000);
    home.put("a", Meta::default());
    home.put(&long, Meta::default());
    home.put("z", Meta::default());
    home.rules(&[days(1)]);
    home.hands.forward(DAY);
    let error = home.service().end_due().unwrap_err();
    assert!(error.to_string().contains("the rules of the container with id"), "{error}");
    assert_eq!((home.rows(), kept(&home, old).len()), (vec![format!("+{long}")], 4));
    // It is not walked through again at once.
    assert_eq!(home.end(), NOTHING);
}

#[test]
fn an_object_that_cannot_be_removed_keeps_no_other_from_ending() {
    let home = Home::new(Versioning::Off);
    let bad = home.put_ending("a", 5).id.get();
    home.put_ending("b", 6);
    home.begin("c");
    home.hands.forward(8 * 24 * 3_600_000);
    let catalog = &home.service().core.catalog;
    let spoil = |meta: &str| format!("UPDATE file SET meta = '{meta}' WHERE id = {bad}");
    catalog.write(|tx| tx.spoil(&spoil("x"))).unwrap();
    let error = home.service().end_due().unwrap_err();
    assert!(error.to_string().contains(&format!("the object with id {bad}")), "{error}");
    catalog.write(|tx| tx.spoil(&spoil("{}"))).unwrap();
    assert_eq!((home.rows(), home.uploads()), (vec!["+a".to_owned()], 0));
    // It is tried again after an hour.
    assert_eq!(home.end(), NOTHING);
    home.hands.forward(3_600_000);
    assert_eq!(home.end(), Ended { objects: 1, ..NOTHING });
}

#[test]
fn an_upload_that_cannot_be_given_up_keeps_no_other_from_ending() {
    let home = Home::new(Versioning::Off);
    let bad = home.begin("a");
    home.begin("b");
    home.hands.forward(8 * 24 * 3_600_000);
    let catalog = &home.service().core.catalog;
    let spoil = |meta: &str| format!("UPDATE upload SET meta = '{meta}' WHERE uuid = '{bad}'");
    catalog.write(|tx| tx.spoil(&spoil("x"))).unwrap();
    home.service().end_due().unwrap_err();
    catalog.write(|tx| tx.spoil(&spoil("{}"))).unwrap();
    assert_eq!(home.uploads(), 1);
    assert_eq!(home.end(), Ended { uploads: 1, ..NOTHING });
}

#[test]
fn rules_that_cannot_be_read_keep_no_others_from_being_followed() {
    let home = Home::new(Versioning::Off);
    let other: ContainerName = "other".parse().unwrap();
    let other = home.service().container_create(ACCOUNT, &other).unwrap().id;
    let filter = Filter { prefix: "x".to_owned(), ..Filter::default() };
    home.service().lifecycle_set(other, &[Rule { filter, ..days(1) }], "said").unwrap();
    home.rules(&[days(1)]);
    home.put("a", Meta::default());
    home.hands.forward(DAY);
    let sql = format!("UPDATE lifecycle SET rules = 'x', next_ms = 0 WHERE container_id = {other}");
    home.service().core.catalog.write(|tx| tx.spoil(&sql)).unwrap();
    home.service().end_due().unwrap_err();
    assert_eq!(home.rows(), Vec::<String>::new());
}
