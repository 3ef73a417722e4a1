use super::*;

#[test]
fn times_are_utc_to_the_second() {
    assert_eq!(time(0), "1970-01-01T00:00:00Z");
    assert_eq!(time(1_795_203_334_999), "2026-11-20T19:35:34Z");
}

#[test]
fn a_time_beyond_the_calendar_is_no_panic() {
    assert_eq!(time(u64::MAX), "?");
}

#[test]
fn spans_show_two_units() {
    assert_eq!(span(0), "0 s");
    assert_eq!(span(61_000), "1 min 1 s");
    assert_eq!(span(3_600_000), "1 h 0 min");
    assert_eq!(span(u64::MAX), "213503982334 d 14 h");
}

#[test]
fn text_of_others_cannot_act_on_the_terminal() {
    assert_eq!(plain("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    assert_eq!(plain("Gr\u{fc}\u{df}e"), "Gr\u{fc}\u{df}e");
}

#[test]
fn sizes_under_a_kibibyte_are_exact_already() {
    assert_eq!(exact_size(512), "512 B");
    assert_eq!(exact_size(1 << 30), "1 GiB (1073741824 bytes)");
}

#[test]
fn a_detail_of_the_record_tells_times_as_people_read_them() {
    let shown = "read for user 'bob' until 2026-11-20T19:35:34Z";
    assert_eq!(detail("read for user 'bob' until 1795203334000"), shown);
    assert_eq!(detail("until then, 5 links"), "until then, 5 links");
}
