//! Facts about quotas at the door of Swift.

use archipelago_pool::Named;

use super::{Site, header, is};

#[test]
fn a_container_takes_as_many_bytes_and_objects_as_its_quota_says() {
    let site = Site::start();
    let ann = site.token("ann");
    let quotas = "X-Container-Meta-Quota-Bytes: 10\r\nX-Container-Meta-Quota-Count: 2\r\n";
    is(&site.ask("PUT", "/box", &format!("{ann}{quotas}"), b""), 201);
    let shown = site.ask("HEAD", "/box", &ann, b"");
    assert_eq!(header(&shown, "x-container-meta-quota-bytes"), Some("10"));
    assert_eq!(header(&shown, "x-container-meta-quota-count"), Some("2"));
    is(&site.ask("PUT", "/box/a", &ann, b"0123456789"), 201);
    is(&site.ask("PUT", "/box/b", &ann, b"0"), 413);
    is(&site.ask("PUT", "/box/b", &ann, b""), 201);
    is(&site.ask("PUT", "/box/c", &ann, b""), 413);
    let copy = format!("{ann}Destination: box/b\r\n");
    let refused = site.ask("COPY", "/box/a", &copy, b"");
    is(&refused, 413);
    assert_eq!(refused.body, b"Upload exceeds quota.");
    is(&site.ask("PUT", "/box/a", &ann, b"012345678"), 201);
}

#[test]
fn a_quota_of_a_container_ends_when_it_is_removed_or_empty() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &format!("{ann}X-Container-Meta-Quota-Bytes: 1\r\n"), b""), 201);
    is(&site.ask("PUT", "/box/a", &ann, b"01"), 413);
    is(&site.ask("POST", "/box", &format!("{ann}X-Container-Meta-Quota-Bytes:\r\n"), b""), 204);
    is(&site.ask("PUT", "/box/a", &ann, b"01"), 201);
    is(&site.ask("POST", "/box", &format!("{ann}X-Container-Meta-Quota-Count: 1\r\n"), b""), 204);
    is(&site.ask("PUT", "/box/b", &ann, b"01"), 413);
    let remove = format!("{ann}X-Remove-Container-Meta-Quota-Count: x\r\n");
    is(&site.ask("POST", "/box", &remove, b""), 204);
    is(&site.ask("PUT", "/box/b", &ann, b"01"), 201);
    assert_eq!(header(&site.ask("HEAD", "/box", &ann, b""), "x-container-meta-quota-count"), None);
}

#[test]
fn what_is_no_number_is_no_quota() {
    let site = Site::start();
    let ann = site.token("ann");
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    for value in ["many", "-1", "1.5", "99999999999999999999"] {
        for name in ["Bytes", "Count"] {
            let head = format!("{ann}X-Container-Meta-Quota-{name}: {value}\r\n");
            is(&site.ask("POST", "/box", &head, b""), 400);
        }
    }
}

#[test]
fn an_account_is_limited_by_administrators_of_the_store_only() {
    let site = Site::start();
    let (ann, bob) = (site.token("ann"), site.token("bob"));
    let service = &site.server.app.service;
    let is_admin = |name: &str| service.user(&Named::name(name)).unwrap().is_admin;
    assert!(!is_admin("ann") && !is_admin("bob"));
    let quota = "X-Account-Meta-Quota-Bytes: 3\r\n";
    is(&site.ask("POST", "", &format!("{ann}{quota}"), b""), 403);
    is(&site.ask("POST", "", &format!("{ann}X-Remove-Account-Meta-Quota-Bytes: x\r\n"), b""), 403);
    is(&site.ask("POST", "", &format!("{bob}{quota}"), b""), 403);
    service.account_set_quota(&Named::name("ann"), Some(3)).unwrap();
    let shown = site.ask("HEAD", "", &ann, b"");
    assert_eq!(header(&shown, "x-account-meta-quota-bytes"), Some("3"));
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/a", &ann, b"012"), 201);
    let refused = site.ask("PUT", "/box/b", &ann, b"3");
    is(&refused, 413);
    // Whoever else may write there learns nothing of what there is.
    assert_eq!(refused.body, b"Upload exceeds quota.");
}

#[test]
fn an_administrator_of_the_store_sets_the_quota_of_an_account() {
    let site = Site::start();
    let root = site.token("root");
    let ann = site.token("ann");
    let quota = format!("{root}X-Account-Meta-Quota-Bytes: 2\r\n");
    is(&site.ask("POST", "", &quota, b""), 204);
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/a", &ann, b"012"), 413);
    let remove = format!("{root}X-Remove-Account-Meta-Quota-Bytes: x\r\n");
    is(&site.ask("POST", "", &remove, b""), 204);
    is(&site.ask("PUT", "/box/a", &ann, b"012"), 201);
}

#[test]
fn the_quota_of_an_account_has_the_newer_name_of_swift_too() {
    let site = Site::start();
    let (root, ann) = (site.token("root"), site.token("ann"));
    is(&site.ask("POST", "", &format!("{root}X-Account-Quota-Bytes: 2\r\n"), b""), 204);
    let shown = site.ask("HEAD", "", &ann, b"");
    assert_eq!(header(&shown, "x-account-quota-bytes"), Some("2"));
    assert_eq!(header(&shown, "x-account-meta-quota-bytes"), Some("2"));
    is(&site.ask("PUT", "/box", &ann, b""), 201);
    is(&site.ask("PUT", "/box/a", &ann, b"012"), 413);
    // Of the two names the newer one counts.
    let both = "X-Account-Meta-Quota-Bytes: 1\r\nX-Account-Quota-Bytes: 3\r\n";
    is(&site.ask("POST", "", &format!("{root}{both}"), b""), 204);
    is(&site.ask("PUT", "/box/a", &ann, b"012"), 201);
    is(&site.ask("POST", "", &format!("{root}X-Remove-Account-Quota-Bytes: t\r\n"), b""), 204);
    let shown = site.ask("HEAD", "", &ann, b"");
    assert_eq!(header(&shown, "x-account-quota-bytes"), None);
}

#[test]
fn quotas_of_an_account_that_are_not_kept_are_refused() {
    let site = Site::start();
    let (root, ann) = (site.token("root"), site.token("ann"));
    for name in ["Count", "Bytes-Policy-default", "Count-Policy-default"] {
        for head in
            [format!("X-Account-Quota-{name}: 0"), format!("X-Remove-Account-Quota-{name}: t")]
        {
            is(&site.ask("POST", "", &format!("{ann}{head}\r\n"), b""), 403);
            let label = "X-Account-Meta-Colour: red\r\n";
            is(&site.ask("POST", "", &format!("{root}{head}\r\n{label}"), b""), 400);
        }
    }
    // Nothing of such a request is done.
    assert_eq!(header(&site.ask("HEAD", "", &ann, b""), "x-account-meta-colour"), None);
}
