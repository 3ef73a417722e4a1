use super::*;

#[test]
fn usage_shows_totals_pools_and_resources() {
    let usage = api::Usage {
        logical: 40 << 30,
        unique: 1 << 30,
        compressed: 512 << 20,
        physical: 600 << 20,
        pools: vec![api::PoolUsage {
            name: "default".to_owned(),
            physical: 600 << 20,
            total: 100 << 30,
            free: 50 << 30,
            segments: 19,
        }],
        resources: vec![api::ResourceUsage {
            source: "volume:web".to_owned(),
            size: 40 << 30,
            referenced: 1 << 30,
            exclusive: 0,
            shared: 1 << 30,
        }],
    };
    let expected = "\
LOGICAL  UNIQUE  COMPRESSED  PHYSICAL
 40 GiB   1 GiB     512 MiB   600 MiB

POOL     PHYSICAL    TOTAL    FREE  SEGMENTS
default   600 MiB  100 GiB  50 GiB        19

RESOURCE      SIZE  REFERENCED  EXCLUSIVE  SHARED
volume:web  40 GiB       1 GiB        0 B   1 GiB";
    assert_eq!(usage_view(&usage), expected);
}

#[test]
fn a_problem_is_shown_only_when_there_is_one() {
    let mut status = api::Status { version: "0.1.0".to_owned(), ..api::Status::default() };
    assert!(!status_view(&status).contains("problem"));
    status.problem = Some("the disk is full".to_owned());
    assert!(status_view(&status).contains("problem    the disk is full"));
}

#[test]
fn figures_stand_below() {
    let mut status = api::Status::default();
    status.figures.insert("log_bytes".to_owned(), 4096.0);
    assert!(status_view(&status).ends_with("FIGURE     VALUE\nlog_bytes   4096"));
}
