//! Facts about the size of the record.

use super::*;
use crate::catalog::audit::{CHANGES_BYTES_MAX, ROWS_BETWEEN_COUNTS};
use crate::testing::Bench;

#[test]
fn long_texts_are_cut() {
    let bench = Bench::new();
    let long = "\u{1}".escape_debug().to_string().repeat(1024);
    let write = |tx: &Tx<'_>| record(tx, 7, &long, AuditEvent::Granted, &long, long.clone());
    bench.service.core.catalog.write(write).unwrap();
    let line = bench.service.audit_log(None, 1).unwrap().remove(0);
    let lens = [line.actor, line.resource, line.detail].map(|text| text.len());
    assert_eq!(lens, [TEXT_BYTES_MAX; 3]);
}

#[test]
fn the_oldest_lines_go_when_all_have_too_many_bytes() {
    let bench = Bench::new();
    let len = CHANGES_BYTES_MAX / ROWS_BETWEEN_COUNTS / 2;
    let entry = |id| AuditEntry {
        id,
        at_ms: 7,
        actor: "somebody".to_owned(),
        event: AuditEvent::Granted,
        resource: "x".repeat(len as usize),
        detail: String::new(),
        count: 1,
    };
    let first = 1 << 40;
    let ids = first..first + 4 * ROWS_BETWEEN_COUNTS;
    let catalog = &bench.service.core.catalog;
    catalog.write(|tx| ids.clone().try_for_each(|id| audit::append(tx, id, &entry(id)))).unwrap();
    let kept = bench.service.audit_log(None, PAGE_MAX).unwrap();
    let bytes: u64 = kept.iter().map(|line| line.resource.len() as u64).sum();
    assert!((CHANGES_BYTES_MAX / 2..=CHANGES_BYTES_MAX).contains(&bytes), "{bytes}");
    assert_eq!(kept[0].id, ids.end - 1);
}

#[test]
fn uses_are_written_after_a_clock_jumped_ahead_and_back() {
    let (bench, hands) = Bench::timed(crate::testing::config());
    let years = 70 * 365 * 24 * 3_600_000;
    let used = || bench.service.audit_use(AuditEvent::Refused, "somebody", "files/a", "");
    let written = || bench.service.core.catalog.read(|tx| audit::page(tx, None, 9)).unwrap().len();
    hands.set_by(years);
    used();
    hands.set_by(-years);
    hands.forward(9_999);
    used();
    assert_eq!(written(), 0);
    hands.forward(1);
    used();
    // Beside who uses it.
    while written() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(written(), 1);
}

#[test]
fn what_is_recorded_leaves_no_gap_between_the_numbers_of_what_has_a_name() {
    let bench = Bench::new();
    let first = bench.create("one", 4096).id;
    bench.service.audit_use(AuditEvent::Refused, "bob", "volume 'web'", "read");
    assert_eq!(bench.service.audit_log(None, 10).unwrap().len(), 1);
    assert_eq!(bench.create("two", 4096).id.get(), first.get() + 1);
}

#[test]
fn a_page_of_the_record_has_what_is_being_written() {
    let (bench, hands) = Bench::timed(crate::testing::config());
    for name in ["a", "b", "c"] {
        bench.service.audit_use(AuditEvent::Refused, "bob", name, "read");
        hands.forward(11_000);
    }
    let log = bench.service.audit_log(None, 10).unwrap();
    let mut names: Vec<_> = log.iter().map(|line| &*line.resource).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
}
