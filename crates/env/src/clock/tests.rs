//! Facts about the system's clock.

use super::*;

#[test]
fn the_time_of_day_is_after_the_year_2020() {
    assert!(SystemClock::new().unix_ms() > 1_577_836_800_000);
}

#[test]
fn monotonic_time_does_not_go_back() {
    let clock = SystemClock::new();
    let before = clock.monotonic();
    assert!(clock.monotonic() >= before);
}

#[test]
fn a_sleep_lasts_at_least_as_long_as_asked() {
    let clock = SystemClock::new();
    let before = clock.monotonic();
    clock.sleep(Duration::from_millis(1));
    assert!(clock.monotonic() - before >= Duration::from_millis(1));
}
