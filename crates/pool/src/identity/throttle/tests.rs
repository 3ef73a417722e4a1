//! Facts about refusals after failed logins.

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fail(throttle: &mut Throttle, user: &str, times: u32, now: Duration) {
    for _ in 0..times {
        throttle.failed(user, now);
    }
}

#[test]
fn the_first_failures_cost_nothing_and_later_ones_ever_more_up_to_a_limit() {
    let mut throttle = Throttle::default();
    fail(&mut throttle, "bob", FREE_FAILURES - 1, at(10));
    assert_eq!(throttle.wait("bob", at(10)), None);
    for delay in [1, 2, 4, 8, 16, 30, 30, 30] {
        throttle.failed("bob", at(10));
        assert_eq!(throttle.wait("bob", at(10)), Some(at(delay)));
        assert_eq!(throttle.wait("bob", at(10 + delay)), None);
    }
    fail(&mut throttle, "bob", 1000, at(10));
    assert_eq!(throttle.wait("bob", at(10)), Some(DELAY_MAX));
    assert_eq!(throttle.wait("eve", at(10)), None);
}

#[test]
fn a_success_and_a_long_rest_forgive() {
    let mut throttle = Throttle::default();
    fail(&mut throttle, "bob", 10, at(0));
    throttle.succeeded("bob");
    assert_eq!(throttle.wait("bob", at(0)), None);
    fail(&mut throttle, "bob", 10, at(0));
    throttle.failed("bob", at(2000));
    assert_eq!(throttle.wait("bob", at(2000)), None);
}

#[test]
fn a_flood_of_names_neither_fills_memory_nor_hides_whom_somebody_is_after() {
    let mut throttle = Throttle::default();
    fail(&mut throttle, "bob", 50, at(1));
    for n in 0..USERS_MAX + 100 {
        throttle.failed(&format!("user-{n}"), at(1));
    }
    assert_eq!(throttle.0.len(), USERS_MAX);
    assert_eq!(throttle.wait("bob", at(1)), Some(DELAY_MAX));
}
