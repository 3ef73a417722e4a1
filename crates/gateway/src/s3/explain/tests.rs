use super::{Told, completed};
use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Request, Response, StatusCode};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

fn error(inner: &str) -> String {
    format!("{HEAD}<Error>{inner}</Error>")
}

fn explained(length: &'static str, status: StatusCode, text: &str) -> (StatusCode, String) {
    let request = Request::builder().header(CONTENT_LENGTH, length).body(Body::empty()).unwrap();
    let response = Response::builder().status(status).header("content-type", "application/xml");
    let response = response.body(Body::from(text.to_owned())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let response = Told::of(&request, 100).explain(response, "1").await;
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    })
}

#[test]
fn a_code_alone_gets_a_sentence_and_the_id_of_the_request() {
    let text = completed(&error("<Code>InvalidBucketName</Code>"), "7");
    assert!(text.contains("</Code><Message>The name of a bucket has 3 to 63"), "{text}");
    assert!(text.ends_with("<RequestId>7</RequestId></Error>"), "{text}");
}

#[test]
fn what_was_said_stays() {
    let said = error("<Code>AccessDenied</Code><Message>No.</Message><RequestId>8</RequestId>");
    assert_eq!(completed(&said, "7"), said);
    let unknown = error("<Code>Strange</Code><RequestId>8</RequestId>");
    assert_eq!(completed(&unknown, "7"), unknown);
}

#[test]
fn a_document_that_is_too_large_is_no_failure_of_the_server() {
    let text = error("<Code>InternalError</Code>");
    let server = StatusCode::INTERNAL_SERVER_ERROR;
    let (status, large) = explained("101", server, &text);
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(large.contains("<Code>MaxMessageLengthExceeded</Code><Message>"), "{large}");
    let (status, small) = explained("100", server, &text);
    assert_eq!(status, server);
    assert!(small.contains("<Code>InternalError</Code><Message>"), "{small}");
}

#[test]
fn what_is_no_error_is_not_touched() {
    let (status, text) = explained("0", StatusCode::OK, "<Code>NoSuchKey</Code>");
    assert_eq!((status, text.as_str()), (StatusCode::OK, "<Code>NoSuchKey</Code>"));
}
