use std::time::Duration;

use super::*;

#[test]
fn the_median_of_an_even_number_is_between_the_middle_two() {
    assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[]), None);
}

#[test]
fn percentiles_are_values_that_were_measured() {
    let values: Vec<f64> = (1..=200).map(f64::from).collect();
    assert_eq!(percentile(&values, 50.0), Some(100.0));
    assert_eq!(percentile(&values, 99.0), Some(198.0));
    assert_eq!(percentile(&values, 100.0), Some(200.0));
    assert_eq!(percentile(&[7.0], 0.0), Some(7.0));
    assert_eq!(percentile(&[], 50.0), None);
}

#[test]
fn numbers_have_three_digits() {
    let told: Vec<_> =
        [0.0123, 4.561, 12.34, 789.4, 12_345.0, 0.0].into_iter().map(short).collect();
    assert_eq!(told, ["0.0123", "4.56", "12.3", "789", "12300", "0"]);
    assert_eq!(short(f64::NAN), "-");
}

#[test]
fn a_ratio_to_nothing_is_not_told() {
    assert_eq!(ratio(Some(3.0), Some(2.0)), "1.50");
    assert_eq!(ratio(Some(3.0), None), "-");
    assert_eq!(ratio(Some(3.0), Some(0.0)), "-");
}

#[test]
fn durations_are_told_in_milliseconds() {
    assert!((ms(Duration::from_micros(1500)) - 1.5).abs() < 1e-9);
}
