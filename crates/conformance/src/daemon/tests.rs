//! What is read from the daemon's output.

use super::*;

#[test]
fn endpoints_are_read_from_any_layout() {
    let text = "HTTP  http://127.0.0.1:41234/\nNBD \"nbd://127.0.0.1:9\", unix:/x\nready\n";
    assert_eq!(word(text, "http://").as_deref(), Some("http://127.0.0.1:41234"));
    assert_eq!(word(text, "nbd://").as_deref(), Some("nbd://127.0.0.1:9"));
    assert_eq!(word(text, "ftp://"), None);
}
