use axum::http::HeaderMap;
use axum::http::header::HOST;

use super::Domains;

const UUID: &str = "0123456789abcdef0123456789abcdef";

fn domains() -> Domains {
    Domains::new(&["s3.Example.org".to_owned()], &["swift.example.org".to_owned()])
}

fn of(host: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, host.parse().unwrap());
    headers
}

#[test]
fn a_bucket_stands_before_the_domain_and_may_have_dots() {
    let domains = domains();
    assert_eq!(domains.bucket("box.s3.example.org"), Some("box"));
    assert_eq!(domains.bucket("a.box.S3.example.org:80"), Some("a.box"));
    for none in ["s3.example.org", ".s3.example.org", "boxs3.example.org", "127.0.0.1:7480", ""] {
        assert_eq!(domains.bucket(none), None, "{none}");
    }
}

#[test]
fn an_account_and_a_container_before_the_domain_are_the_begin_of_the_path() {
    let domains = domains();
    let path = |host: &str| domains.swift_place(&of(host));
    for host in
        [format!("AUTH_{UUID}.swift.example.org"), format!("auth-{UUID}.swift.example.org:1")]
    {
        assert_eq!(path(&host), Some(format!("/v1/AUTH_{UUID}")));
        assert_eq!(path(&format!("box.{host}")), Some(format!("/v1/AUTH_{UUID}/box")));
    }
    for none in ["swift.example.org", "box.swift.example.org", "auth-1.swift.example.org", "x"] {
        assert_eq!(path(none), None, "{none}");
    }
}

#[test]
fn nobody_is_known_without_a_domain() {
    assert!(!Domains::default().knows("localhost.evil"));
    assert!(domains().knows("x.s3.example.org") && !domains().knows("xs3.example.org"));
}
