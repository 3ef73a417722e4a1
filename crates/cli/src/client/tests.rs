use std::io::Write;
use std::net::{TcpListener, TcpStream};

use archipelago_env::{Env, Join};

use super::*;

/// A server that answers one connection with what `answer` does.
fn server(answer: impl FnOnce(TcpStream) + Send + 'static) -> (Client, Box<dyn Join>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = Box::new(move || answer(listener.accept().unwrap().0));
    let thread = Env::real().threads().spawn("server", body).unwrap();
    (Client::new(format!("http://{address}").parse().unwrap(), None), thread)
}

/// Reads a request's head.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn answer(status: &str, version: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{version}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

const OURS: &str = "archipelago-api-version: 1\r\n";

#[test]
fn an_endpoint_is_a_plain_http_address() {
    for good in ["http://127.0.0.1:7480", "http://localhost:7480/", "http://[::1]:7480"] {
        assert!(good.parse::<Endpoint>().is_ok(), "{good}");
    }
    for bad in
        ["", "127.0.0.1:7480", "ftp://x", "http://", "http://u@h", "http://h/p", "http://h?q"]
    {
        assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
    }
    assert_eq!("https://h".parse::<Endpoint>(), Err(EndpointError::Https));
}

#[test]
fn no_server_is_said_with_what_to_do() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let client = Client::new(format!("http://127.0.0.1:{port}").parse().unwrap(), None);
    let failure = client.ping().unwrap_err();
    assert_eq!(failure.kind(), Kind::Unreachable);
    let text = failure.to_string();
    assert!(text.contains(&format!("http://127.0.0.1:{port}: connection refused")), "{text}");
    assert!(text.contains("is `archipelago serve` running?"), "{text}");
}

#[test]
fn the_reason_of_a_refusal_is_the_servers() {
    let (client, thread) = server(|mut stream| {
        head(&mut stream);
        let body = r#"{"kind":"not_found","message":"volume 'x' does not exist"}"#;
        stream.write_all(answer("404 Not Found", OURS, body).as_bytes()).unwrap();
    });
    let failure = client.get::<api::Volume>("/v1/volumes/x").unwrap_err();
    assert_eq!(failure.kind(), Kind::Server(api::ErrorKind::NotFound));
    assert_eq!(failure.to_string(), "error: volume 'x' does not exist");
    thread.join().unwrap();
}

#[test]
fn a_kind_of_a_newer_server_is_no_obstacle() {
    let (client, thread) = server(|mut stream| {
        head(&mut stream);
        let body = r#"{"kind":"out_of_luck","message":"no luck"}"#;
        stream.write_all(answer("418 Teapot", OURS, body).as_bytes()).unwrap();
    });
    let failure = client.get::<api::Volume>("/v1/volumes/x").unwrap_err();
    assert_eq!(failure.to_string(), "error: no luck");
    thread.join().unwrap();
}

#[test]
fn another_program_at_the_endpoint_is_recognised() {
    let (client, thread) = server(|mut stream| {
        head(&mut stream);
        stream.write_all(answer("200 OK", "", "{}").as_bytes()).unwrap();
    });
    assert_eq!(client.ping().unwrap_err().kind(), Kind::Protocol);
    thread.join().unwrap();
}

#[test]
fn a_server_of_another_version_is_named() {
    let (client, thread) = server(|mut stream| {
        head(&mut stream);
        let version = "archipelago-api-version: 2\r\n";
        stream.write_all(answer("200 OK", version, "{}").as_bytes()).unwrap();
    });
    let text = client.ping().unwrap_err().to_string();
    assert!(text.contains("speaks version 2"), "{text}");
    thread.join().unwrap();
}

#[test]
fn an_upload_that_is_refused_at_once_sends_no_body() {
    let (client, thread) = server(|mut stream| {
        assert!(head(&mut stream).contains("expect: 100-continue"));
        let body = r#"{"kind":"already_exists","message":"taken"}"#;
        stream.write_all(answer("409 Conflict", OURS, body).as_bytes()).unwrap();
    });
    let mut unread = io::repeat(7);
    let result = client.upload::<api::Image>(Method::Post, "/v1/images/x", &mut unread);
    assert_eq!(result.unwrap_err().kind(), Kind::Server(api::ErrorKind::AlreadyExists));
    thread.join().unwrap();
}

#[test]
fn a_server_that_refuses_in_the_middle_of_an_upload_is_heard() {
    let (client, thread) = server(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let mut some = vec![0; 1 << 16];
        stream.read_exact(&mut some).unwrap();
        let body = r#"{"kind":"no_space","message":"the pool is full"}"#;
        stream.write_all(answer("507 Full", OURS, body).as_bytes()).unwrap();
        // Closes with unread bytes, as a server that has no patience does.
    });
    // Without an end: only a client that listens ever comes back.
    let result = client.upload::<api::Image>(Method::Post, "/v1/images/x", &mut io::repeat(7));
    thread.join().unwrap();
    assert_eq!(result.unwrap_err().to_string(), "error: the pool is full");
}

#[test]
fn a_download_that_is_cut_off_is_an_error() {
    let (client, thread) = server(|mut stream| {
        head(&mut stream);
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{OURS}content-type: {STREAM_CONTENT_TYPE}\r\n\
             transfer-encoding: chunked\r\n\r\n10\r\nhalf"
        );
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let mut stream = client.download("/v1/export?source=image:x").unwrap();
    assert!(stream.read_to_end(&mut Vec::new()).is_err());
    thread.join().unwrap();
}
