//! Facts about the model: what it lets pass, and what not.

use super::super::content::bytes_of;
use super::*;

#[test]
fn a_write_may_be_lost_until_it_is_flushed() {
    let mut cells = Cells::settled(vec![0; 4]);
    cells.write(1, 7, true);
    assert!(cells.clone().restarted(&bytes_of(&[0, 0, 0, 0]), false).is_ok());
    assert!(cells.clone().restarted(&bytes_of(&[0, 7, 0, 0]), false).is_ok());
    assert!(cells.clone().restarted(&bytes_of(&[0, 0, 0, 0]), true).is_err());
    cells.flush();
    assert!(cells.clone().restarted(&bytes_of(&[0, 0, 0, 0]), false).is_err());
    assert!(cells.restarted(&bytes_of(&[0, 7, 0, 0]), false).is_ok());
}

#[test]
fn a_failed_write_is_old_or_new_and_the_first_read_says_which() {
    let mut cells = Cells::settled(vec![3]);
    cells.write(0, 7, false);
    cells.flush();
    assert!(!cells.is_certain());
    assert!(cells.clone().restarted(&bytes_of(&[3]), false).is_ok());
    assert_eq!(cells.read(0, Some(5)), Err(vec![3, 7]));
    cells.read(0, Some(7)).unwrap();
    assert_eq!(cells.read(0, Some(3)), Err(vec![7]));
    assert!(cells.restarted(&bytes_of(&[3]), false).is_ok(), "a read makes nothing durable");
}

#[test]
fn foreign_and_torn_sectors_are_never_allowed() {
    let mut cells = Cells::settled(vec![1, 1]);
    cells.write(0, 2, true);
    assert_eq!(cells.clone().restarted(&bytes_of(&[9, 1]), false), Err((0, vec![1, 2])));
    let mut torn = bytes_of(&[2, 1]);
    torn[511] ^= 1;
    assert!(cells.restarted(&torn, false).is_err());
}

#[test]
fn what_is_cut_off_comes_back_as_zeros() {
    let mut cells = Cells::settled(vec![1, 2]);
    cells.write(1, 9, true);
    cells.resize(1);
    cells.resize(2);
    assert_eq!(cells.content(), [1, 0]);
    assert!(cells.restarted(&bytes_of(&[1, 9]), false).is_err());
}

#[test]
fn fixed_content_is_exact() {
    let fixed = Fixed::new(&[1, 2]);
    assert_eq!(fixed.wrong(&bytes_of(&[1, 2])), None);
    assert_eq!(fixed.wrong(&bytes_of(&[1, 3])), Some(1));
    assert_eq!(fixed.wrong(&bytes_of(&[1])), Some(2));
}
