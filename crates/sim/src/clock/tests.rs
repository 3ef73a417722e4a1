//! Facts about simulated time.

use super::*;

#[test]
fn sleeping_passes_exactly_the_time_on_both_clocks() {
    let clock = SimClock::new(5);
    let before = clock.monotonic();
    let day = clock.unix_ms();
    clock.sleep(Duration::from_secs(60));
    assert_eq!(clock.monotonic() - before, Duration::from_secs(60) + LOOK);
    assert_eq!(clock.unix_ms() - day, 60_000);
}

#[test]
fn looking_long_enough_passes_time() {
    let clock = SimClock::new(0);
    let deadline = clock.monotonic() + Duration::from_millis(1);
    while clock.monotonic() < deadline {}
}

#[test]
fn sleeping_for_ever_ends() {
    let clock = SimClock::new(0);
    clock.sleep(Duration::MAX);
    clock.sleep(Duration::MAX);
}

#[test]
fn setting_the_time_of_day_does_not_touch_intervals() {
    let clock = SimClock::new(0);
    let (day, passed) = (clock.unix_ms(), clock.monotonic());
    clock.jump(-3_600_000);
    assert_eq!(clock.unix_ms(), day - 3_600_000);
    assert!(clock.monotonic() - passed < Duration::from_millis(1));
    clock.jump(i64::MAX);
    assert!(clock.unix_ms() > day);
}
