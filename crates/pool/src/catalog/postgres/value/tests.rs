//! Facts about numbers that PostgreSQL gives.

use super::*;

fn bytes(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
    let head = [digits.len() as u16, weight.cast_unsigned(), sign, 0];
    head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn a_sum_is_read_as_the_number_that_it_is() {
    assert_eq!(numeric(&bytes(0, 0, &[])), Some(0));
    assert_eq!(numeric(&bytes(0, 0, &[7])), Some(7));
    assert_eq!(numeric(&bytes(0, 0x4000, &[7])), Some(-7));
    assert_eq!(numeric(&bytes(1, 0, &[12, 34])), Some(120_034));
    // Zeros at the end are left out.
    assert_eq!(numeric(&bytes(2, 0, &[1])), Some(100_000_000));
    assert_eq!(numeric(&bytes(4, 0, &[922, 3372, 368, 5477, 5807])), Some(i64::MAX));
    assert_eq!(numeric(&bytes(4, 0x4000, &[922, 3372, 368, 5477, 5808])), Some(i64::MIN));
}

#[test]
fn what_is_no_whole_number_of_64_bits_is_refused() {
    assert_eq!(numeric(&bytes(4, 0, &[922, 3372, 368, 5477, 5808])), None);
    assert_eq!(numeric(&bytes(300, 0, &[1])), None);
    assert_eq!(numeric(&bytes(0, 0, &[1, 5000])), None);
    assert_eq!(numeric(&bytes(-1, 0, &[5000])), None);
    assert_eq!(numeric(&bytes(0, 0xC000, &[])), None, "not a number");
    assert_eq!(numeric(&bytes(1, 0, &[1, 2])[..9]), None, "cut off");
    assert_eq!(numeric(&[]), None);
}
