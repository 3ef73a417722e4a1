//! Requests that move no bulk data.

use archipelago_api::{
    Diff, ErrorKind, Health, JSON_BYTES_MAX, Snapshots, Status, Usage, Volume, Volumes, path,
};

use super::harness::Harness;

#[test]
fn a_volume_lives_through_all_its_verbs() {
    let server = Harness::start();
    let made: Volumes =
        server.post(path::VOLUMES, r#"{"names":["a","b"],"size":1048576}"#).json(201);
    let names: Vec<&str> = made.volumes.iter().map(|volume| volume.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let id = made.volumes[0].id;
    let clone = r#"{"names":["c"],"from":"volume:a","size":2097152}"#;
    let made: Volumes = server.post(path::VOLUMES, clone).json(201);
    assert_eq!(made.volumes[0].size, 2097152);
    let renamed: Volume = server.post(&path::volume_rename("a"), r#"{"to":"z"}"#).json(200);
    assert_eq!((renamed.id, renamed.name.as_str()), (id, "z"));
    let resized: Volume = server.post(&path::volume_resize("z"), r#"{"size":4096}"#).json(200);
    assert_eq!(resized.size, 4096);
    let shown: Volume = server.get(&path::volume("z")).json(200);
    assert_eq!(shown, resized);
    assert_eq!(server.delete(&path::volume_remove("z", false)).status, 204);
    server.get(&path::volume("z")).error(404, ErrorKind::NotFound);
    let all: Volumes = server.get(path::VOLUMES).json(200);
    assert_eq!(all.volumes.len(), 2);
}

#[test]
fn snapshots_of_several_volumes_are_made_listed_compared_and_removed() {
    let server = Harness::start();
    server.post(path::VOLUMES, r#"{"names":["a","b"],"size":1048576}"#).json::<Volumes>(201);
    let made: Snapshots = server.post(path::SNAPSHOTS, r#"{"members":["a@1","b@1"]}"#).json(201);
    assert_eq!(made.snapshots.len(), 2);
    assert_eq!(made.snapshots[0].uuid.len(), 32);
    let listed: Snapshots = server.get(&path::snapshots(Some("b"))).json(200);
    assert_eq!(listed.snapshots, made.snapshots[1..]);
    let diff: Diff = server.get(&path::diff("snapshot:a@1", "volume:a")).json(200);
    assert_eq!(diff, Diff { ranges: Vec::new(), changed: 0 });
    let volume: Volume = server.raw("POST", &path::snapshot_rollback("a", "1"), "", b"").json(200);
    assert_eq!(volume.name, "a");
    server.delete(&path::volume_remove("a", false)).error(409, ErrorKind::InUse);
    assert_eq!(server.delete(&path::snapshot("a", "1")).status, 204);
    assert_eq!(server.delete(&path::volume_remove("b", true)).status, 204);
}

#[test]
fn a_hostile_name_is_refused_with_a_sentence() {
    let server = Harness::start();
    for name in ["..%2f..%2fetc", "a%00b", "a%20b", "%ff", "-a", &"x".repeat(200)] {
        let message =
            server.get(&format!("{}/{name}", path::VOLUMES)).error(400, ErrorKind::Invalid);
        assert!(!message.is_empty());
    }
    let request = r#"{"names":["a@b"],"size":4096}"#;
    let message = server.post(path::VOLUMES, request).error(400, ErrorKind::Invalid);
    assert!(message.contains("a@b"), "{message}");
}

#[test]
fn a_malformed_request_says_what_is_wrong() {
    let server = Harness::start();
    for (body, word) in [
        ("{", "EOF"),
        (r#"{"names":["a"],"sise":1}"#, "sise"),
        (r#"{"names":["a"]}"#, "size"),
        (r#"{"names":[],"size":4096}"#, "names"),
        (r#"{"names":["a"],"size":-1}"#, "-1"),
        (r#"{"names":["a"],"size":1000}"#, "1024"),
        (r#"{"names":["a"],"from":"a"}"#, "SOURCE"),
    ] {
        let message = server.post(path::VOLUMES, body).error(400, ErrorKind::Invalid);
        assert!(message.contains(word), "{body}: {message}");
    }
    let message = server.get("/v1/diff?from=volume:a").error(400, ErrorKind::Invalid);
    assert!(message.contains("to"), "{message}");
    let message = server.get("/v1/snapshots?volum=a").error(400, ErrorKind::Invalid);
    assert!(message.contains("volum"), "{message}");
}

#[test]
fn a_body_that_is_not_called_json_is_refused() {
    let server = Harness::start();
    let body = br#"{"names":["a"],"size":4096}"#;
    let head = "Content-Type: text/plain\r\n";
    server.raw("POST", path::VOLUMES, head, body).error(400, ErrorKind::Invalid);
    let head = "Content-Type: application/json; charset=utf-8\r\n";
    server.raw("POST", path::VOLUMES, head, body).json::<Volumes>(201);
}

#[test]
fn a_json_body_over_the_limit_is_refused() {
    let server = Harness::start();
    let body = " ".repeat(JSON_BYTES_MAX + 1);
    server.post(path::VOLUMES, &body).error(413, ErrorKind::TooLarge);
}

#[test]
fn unknown_routes_and_methods_are_errors_of_this_api() {
    let server = Harness::start();
    server.get("/v2/volumes").error(404, ErrorKind::NotFound);
    server.get("/").error(404, ErrorKind::NotFound);
    server.raw("PATCH", path::VOLUMES, "", b"").error(405, ErrorKind::MethodNotAllowed);
    assert!(server.get("/nothing").head.contains("archipelago-api-version: 1"));
}

#[test]
fn a_page_that_rebinds_its_name_or_sends_across_origins_gets_nowhere() {
    let server = Harness::start();
    let head = "Host: evil.example\r\n";
    server.raw("GET", path::VOLUMES, head, b"").error(403, ErrorKind::Forbidden);
    let head = "Origin: http://evil.example\r\n";
    server.raw("GET", path::VOLUMES, head, b"").error(403, ErrorKind::Forbidden);
}

#[test]
fn reports_answer_on_an_empty_store() {
    let server = Harness::start();
    let health: Health = server.get(path::HEALTH).json(200);
    assert_eq!(health.status, "ok");
    let usage: Usage = server.get(path::USAGE).json(200);
    assert_eq!(usage.logical, 0);
    let status: Status = server.get(path::STATUS).json(200);
    assert_eq!((status.volumes, status.api_version), (0, 1));
    let metrics = server.get(path::METRICS);
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.head.contains("text/plain; version=0.0.4"));
    let line = r#"archipelago_http_requests_total{method="GET",route="/v1/df",status="200"} 1"#;
    assert!(text.lines().any(|found| found == line), "{text}");
}

#[test]
fn a_stopped_server_takes_no_connection() {
    let mut server = Harness::start();
    server.finish();
    assert!(std::net::TcpStream::connect(server.address).is_err());
}
