use super::*;

#[test]
fn a_shell_reads_back_what_was_written() {
    let all = variables("http://127.0.0.1:7480", "bob", "lab", "it's $(rm) `x`");
    let text = lines(&all);
    assert!(text.contains("export OS_AUTH_URL='http://127.0.0.1:7480/identity/v3'"), "{text}");
    assert!(text.contains("export ST_USER='lab:bob'"), "{text}");
    assert!(text.contains(r"export OS_PASSWORD='it'\''s $(rm) `x`'"), "{text}");
    // With a version of Keystone beside its own address, python-swiftclient would ask that for tokens of Keystone.
    assert!(!text.contains("OS_IDENTITY_API_VERSION"), "{text}");
}
