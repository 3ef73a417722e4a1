//! Tests of who is let in.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Guard;

fn check(guard: &Guard, method: Method, headers: &[(&str, &str)]) -> bool {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    guard.check(&method, &map).is_ok()
}

fn on(address: &str) -> Guard {
    Guard::new(address.parse().unwrap(), vec!["store.lan".to_owned()], Arc::default())
}

#[test]
fn only_hosts_that_cannot_be_rebound_pass() {
    let guard = on("127.0.0.1");
    for host in [
        "localhost",
        "LOCALHOST:7480",
        "localhost.",
        "127.0.0.1:7480",
        "127.9.9.9",
        "[::1]:7480",
        "[::ffff:127.0.0.1]",
        "store.lan:1",
    ] {
        assert!(check(&guard, Method::GET, &[("host", host)]), "{host}");
    }
    for host in [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.1",
        "evil@localhost",
        "localhost@evil.example",
        "[::1",
        "a b",
    ] {
        assert!(!check(&guard, Method::GET, &[("host", host)]), "{host}");
    }
    assert!(!check(&guard, Method::GET, &[]));
    assert!(!check(&guard, Method::GET, &[("host", "localhost"), ("host", "localhost")]));
}

#[test]
fn the_address_of_the_listener_passes() {
    assert!(check(&on("192.0.2.1"), Method::GET, &[("host", "192.0.2.1:7480")]));
    assert!(!check(&on("192.0.2.1"), Method::GET, &[("host", "192.0.2.2:7480")]));
    assert!(check(&on("0.0.0.0"), Method::GET, &[("host", "192.0.2.2:7480")]));
    assert!(check(&on("::"), Method::GET, &[("host", "[2001:db8::1]:7480")]));
}

#[test]
fn other_origins_are_refused() {
    let guard = on("127.0.0.1");
    let from = |origin| [("host", "localhost:7480"), ("origin", origin)];
    assert!(check(&guard, Method::POST, &from("http://localhost:7480")));
    assert!(check(&guard, Method::POST, &from("https://localhost:7480")));
    for origin in ["null", "http://localhost", "http://localhost:8080", "http://evil.example", ""] {
        assert!(!check(&guard, Method::GET, &from(origin)), "{origin}");
    }
}

#[test]
fn a_page_of_another_site_may_link_here_and_nothing_else() {
    let guard = on("127.0.0.1");
    let from =
        |site, mode| [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
    assert!(check(&guard, Method::GET, &from("none", "navigate")));
    assert!(check(&guard, Method::GET, &from("same-origin", "cors")));
    assert!(check(&guard, Method::GET, &from("cross-site", "navigate")));
    assert!(!check(&guard, Method::POST, &from("cross-site", "navigate")));
    assert!(!check(&guard, Method::GET, &from("cross-site", "no-cors")));
    assert!(!check(&guard, Method::GET, &from("same-site", "no-cors")));
}
