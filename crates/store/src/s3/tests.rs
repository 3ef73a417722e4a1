//! Facts about settings.

use super::*;

fn settings() -> S3Settings {
    S3Settings {
        bucket: "pool".to_owned(),
        prefix: "a".to_owned(),
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        region: None,
        virtual_hosted: false,
        credentials: Credentials::new("AKID", "hush-hush"),
    }
}

#[test]
fn settings_show_no_secret() {
    let shown = format!("{:?}", settings());
    assert!(shown.contains("AKID") && !shown.contains("hush"), "{shown}");
}

#[test]
fn a_server_that_is_not_there_is_away() {
    let staging = tempfile::tempdir().unwrap();
    let error =
        open(&Env::real(), &settings(), "x", staging.path(), Rates::default()).err().unwrap();
    assert!(error.is_transient(), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("hush"));
}

#[test]
fn an_endpoint_that_is_none_is_unusable() {
    let staging = tempfile::tempdir().unwrap();
    let settings = S3Settings { endpoint: Some("nonsense".to_owned()), ..settings() };
    open(&Env::real(), &settings, "x", staging.path(), Rates::default()).err().unwrap();
}
