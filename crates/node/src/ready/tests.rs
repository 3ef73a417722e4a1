//! Tests of the announcement.

use std::path::Path;

use archipelago_block::Listen;

#[test]
fn scripts_find_every_endpoint_and_then_the_line_ready() {
    let nbd = [Listen::Tcp("127.0.0.1:2".parse().unwrap()), Listen::Unix("/run/a b".into())];
    let text = super::text(Path::new("/d"), "[::1]:1".parse().unwrap(), &nbd, None);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.contains(&"  http   http://[::1]:1"));
    assert!(lines.contains(&"  nbd    nbd://127.0.0.1:2/NAME"));
    assert!(lines.contains(&"  nbd    nbd+unix:///NAME?socket=/run/a b"));
    assert_eq!(lines.last(), Some(&"ready"));
}
