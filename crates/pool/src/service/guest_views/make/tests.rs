//! Facts about what ends the making of a view.

use super::*;
use crate::testing::Bench;

#[test]
fn work_ends_when_no_file_has_the_content_any_more_or_when_it_is_late() {
    let bench = Bench::new();
    let core = &bench.service.core;
    let key = Key { root: Location::HOLE, size: 7 };
    let mut going = Going { core, key, until: None, steps: 0 };
    assert!(matches!(going.step(2), Ok(false)));
    assert!(matches!(going.step(2), Err(Stop::Gone)));
    let mut late = Going { core, key, until: Some(Duration::ZERO), steps: 0 };
    let Err(Stop::Failed(error)) = late.step(1) else { panic!("it goes on") };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
