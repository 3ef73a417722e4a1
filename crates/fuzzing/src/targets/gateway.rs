//! Requests to the HTTP API: method, path, query, headers and body.

use std::path::Path;

use archipelago_api::{Error, ErrorKind};
use archipelago_env::Env;
use archipelago_gateway::fuzz::Gateway;
use archipelago_pool::{Config, Service};
use parking_lot::Mutex;
use tempfile::TempDir;

/// After so many requests the store is made anew, so that what earlier ones have
/// left in it neither grows nor hides what a later one does.
const REQUESTS_PER_STORE: u32 = 500;

struct Harness {
    gateway: Gateway,
    left: u32,
    _folder: TempDir,
}

impl Harness {
    fn new() -> Self {
        // In memory where the machine has such a folder: every verb syncs.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(place).expect("a folder is to be had");
        let config = Config {
            hot_segment_bytes: 1 << 20,
            cold_segment_bytes: 1 << 20,
            chunk_cache_bytes: 1 << 20,
            node_cache_bytes: 1 << 20,
            slot_cache_bytes: 1 << 20,
            ..Config::default()
        };
        let service = Service::open(&folder.path().join("data"), Env::real(), config)
            .expect("an empty folder becomes a store");
        let gateway = Gateway::over(service).expect("a runtime is to be had");
        let harness = Self { gateway, left: REQUESTS_PER_STORE, _folder: folder };
        // Something to name.
        for (path, body) in [
            ("/v1/volumes", &br#"{"names":["v"],"size":1048576}"#[..]),
            ("/v1/snapshots", br#"{"members":["v@s"]}"#),
        ] {
            let headers = [("content-type", &b"application/json"[..])];
            let made = harness.gateway.answer("POST", path, &headers, body);
            assert_eq!(made.map(|(status, _)| status), Some(201));
        }
        harness
    }
}

/// The first line of `bytes` is method, blank, path with query; then headers, one a
/// line, up to an empty line; the rest is the body.
pub fn request(bytes: &[u8]) {
    static HARNESS: Mutex<Option<Harness>> = Mutex::new(None);
    let (head, body) = match bytes.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let Ok(first) = std::str::from_utf8(lines.next().unwrap_or_default()) else { return };
    let Some((method, path)) = first.split_once(' ') else { return };
    let headers: Vec<(&str, &[u8])> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
        })
        .collect();
    let mut slot = HARNESS.lock();
    let harness = slot.get_or_insert_with(Harness::new);
    let answer = harness.gateway.answer(method, path, &headers, body);
    harness.left -= 1;
    if harness.left == 0 {
        *slot = None;
    }
    drop(slot);
    let Some((status, body)) = answer else { return };
    if status >= 400 && method != "HEAD" {
        check_error(status, path, &body);
    }
}

/// Errors have the shape of the API that was asked.
fn check_error(status: u16, path: &str, body: &[u8]) {
    if let Ok(error) = serde_json::from_slice::<Error>(body) {
        assert!(!error.message.is_empty());
        let mine = matches!(error.kind, ErrorKind::Internal | ErrorKind::Damaged);
        assert!(!mine, "no request makes the server fail: {}", error.message);
        return;
    }
    assert_ne!(status, 500, "no request makes the server fail");
    // An address may be written in full, and then in other ways.
    let keystone = serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|body| body["error"]["code"] == status && body["error"]["message"].is_string());
    // What is no other door's is S3's, which tells pages that ask with an empty body, ...
    let s3 = body.is_empty() || body.starts_with(b"<?xml") && contains(body, b"<Error><Code>");
    // ... and clients of Swift read text or a page; accounts are at `/v1/AUTH_...` as well, and
    // what names nothing behind `/v1` is theirs.
    let bare = path.split(['?', '#']).next().unwrap_or_default();
    let account = bare.contains("/v1/AUTH_") || bare.contains("//") && bare.contains("/v1");
    let nothing = bare.ends_with("/v1") || bare.ends_with("/v1/");
    let login = path.contains("/auth/v1.0") && body.ends_with(b"\n");
    let swift = path.contains("/object") || account || nothing || login;
    let expected = keystone || swift || s3;
    assert!(expected, "{path}: {}", String::from_utf8_lossy(body));
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}
