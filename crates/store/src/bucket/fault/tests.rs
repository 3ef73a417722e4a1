//! Facts about refusals.

use super::*;

fn sorted(status: u16, body: &str) -> StoreError {
    let refusal = Refusal::read(status, body.as_bytes());
    let source = HttpError::new(HttpErrorKind::Unknown, refusal);
    let error = object_store::Error::Generic { store: "S3", source: Box::new(source) };
    sort(SegmentId::new(7), "read", error)
}

fn body(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said so</Message></Error>")
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    for (status, code) in [
        (503, "SlowDown"),
        (500, "InternalError"),
        (502, ""),
        (504, ""),
        (429, "TooManyRequests"),
        (409, "ConditionalRequestConflict"),
        (400, "RequestTimeout"),
    ] {
        let error = sorted(status, &body(code));
        assert!(error.is_transient(), "{status} {code}: {error:?}");
    }
}

#[test]
fn what_helps_nobody_is_not_asked_again() {
    for (status, code) in [(400, "InvalidRequest"), (501, "NotImplemented"), (405, "")] {
        assert!(matches!(sorted(status, &body(code)), StoreError::Io { .. }), "{status} {code}");
    }
}

#[test]
fn a_full_place_is_told() {
    for (status, code) in [(507, ""), (403, "QuotaExceeded"), (503, "InsufficientCapacity")] {
        let error = sorted(status, &body(code));
        assert!(matches!(error, StoreError::NoSpace { .. }), "{status} {code}: {error:?}");
    }
}

#[test]
fn who_may_not_is_told_what_to_do() {
    for (code, remedy) in [
        ("RequestTimeTooSkewed", "set its clock"),
        ("InvalidAccessKeyId", "access key"),
        ("SignatureDoesNotMatch", "secret"),
        ("AccessDenied", "let it list, read, write and delete"),
        ("", "access"),
    ] {
        let error = sorted(403, &body(code));
        assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[test]
fn a_bucket_that_is_missing_or_elsewhere_is_told() {
    let missing = sorted(404, &body("NoSuchBucket")).to_string();
    assert!(missing.contains("make it"), "{missing}");
    let elsewhere = sorted(301, &body("PermanentRedirect")).to_string();
    assert!(elsewhere.contains("region"), "{elsewhere}");
}

#[test]
fn that_something_is_missing_is_told_by_the_server_of_the_bucket_only() {
    let is_an_answer =
        |is_head, body: &str| Refusal::read(404, body.as_bytes()).is_an_answer(is_head);
    for code in ["NoSuchKey", "NoSuchVersion", "NoSuchUpload"] {
        assert!(is_an_answer(false, &body(code)), "{code}");
    }
    let proxy = "<html><title>404 Not Found</title></html>";
    for other in [proxy, "", &body("NoSuchBucket"), &body("NotFound")] {
        assert!(!is_an_answer(false, other), "{other}");
    }
    // Whoever asked so looks again.
    assert!(is_an_answer(true, ""));
    assert!(!Refusal::read(403, b"").is_an_answer(true));
    assert!(sorted(404, proxy).is_transient());
}

#[test]
fn a_hostile_body_is_cut_and_cleaned() {
    let long = format!("<Code>{}</Code><Message>a\u{1b}[31mb\n</Message>", "x".repeat(100_000));
    let refusal = Refusal::read(400, long.as_bytes());
    assert_eq!(refusal.code.len(), SENTENCE_CHARS_MAX);
    assert_eq!(refusal.sentence, "a[31mb");
    for odd in [&b"<Code>"[..], b"</Code><Code>", b"\xff\xfe", b""] {
        assert_eq!(Refusal::read(400, odd).code, "");
    }
}

#[test]
fn a_connection_that_breaks_is_asked_again() {
    let source = HttpError::new(HttpErrorKind::Timeout, io::Error::other("no answer"));
    let error = object_store::Error::Generic { store: "S3", source: Box::new(source) };
    let sorted = sort(None, "list", error);
    assert!(sorted.is_transient());
    assert!(format!("{sorted:?}").contains("no answer"));
}
