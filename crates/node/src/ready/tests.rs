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
    assert_eq!(lines.iter().filter(|line| line.contains("http://")).count(), 1);
    assert!(!text.contains("password"));
}

#[test]
fn the_first_start_tells_who_may_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let (env, config) = (archipelago_env::Env::real(), archipelago_pool::Config::default());
    let service = archipelago_pool::Service::open(&folder.path().join("d"), env, config).unwrap();
    let first = service.found_admin().unwrap().unwrap();
    let text = super::text(Path::new("/d"), "[::1]:1".parse().unwrap(), &[], Some(&first));
    let secrets = [first.password.expose(), first.secret_key.expose(), &first.access_key];
    for secret in secrets {
        assert_eq!(text.matches(secret).count(), 1);
    }
    assert!(text.ends_with("ready\n"));
}
