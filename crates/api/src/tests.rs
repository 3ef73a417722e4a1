//! Tests of the shared types.

use crate::{CreateVolumes, Error, ErrorKind, ImportQuery, path};

#[test]
fn paths_encode_what_a_url_may_not_hold() {
    assert_eq!(path::file("c", "a b/\u{e9}?#"), "/v1/files/c/a%20b/%C3%A9%3F%23");
    assert_eq!(path::file("c", "/a//b"), "/v1/files/c/%2Fa/%2Fb");
    assert_eq!(path::export("file:c/a&b"), "/v1/export?source=file%3Ac%2Fa%26b");
    assert_eq!(path::export_disk("image:i"), "/v1/export?source=image%3Ai&disk=true");
}

#[test]
fn an_absent_query_value_is_left_out() {
    assert_eq!(path::snapshots(None), "/v1/snapshots");
    assert_eq!(path::snapshots(Some("web")), "/v1/snapshots?volume=web");
    assert_eq!(path::files(None, Some("x")), "/v1/files?prefix=x");
    let query = ImportQuery { format: "raw".into(), source_bytes: Some(7), ..Default::default() };
    assert_eq!(path::image_import("i", &query), "/v1/images/i?format=raw&source_bytes=7");
}

#[test]
fn error_kinds_are_snake_case() {
    let error = Error { kind: ErrorKind::NoSpace, message: "full".into() };
    let json = serde_json::to_string(&error).unwrap();
    assert_eq!(json, r#"{"kind":"no_space","message":"full"}"#);
    assert_eq!(serde_json::from_str::<Error>(&json).unwrap(), error);
}

#[test]
fn an_unknown_field_in_a_request_is_refused() {
    let error = serde_json::from_str::<CreateVolumes>(r#"{"names":["a"],"sise":1}"#).unwrap_err();
    assert!(error.to_string().contains("sise"), "{error}");
}
