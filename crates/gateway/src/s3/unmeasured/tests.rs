//! Bodies of unknown length, against the gateway with a store in a folder.

use std::io::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use crate::tests::harness::{Answer, Harness};
use crate::tests::signed::{self, Key, UNSIGNED};

struct Bench {
    server: Harness,
    key: Key,
}

impl Bench {
    fn new() -> Self {
        let server = Harness::start();
        let key = signed::user(&server, "bob");
        let bench = Self { server, key };
        assert_eq!(bench.ask("PUT", ("/chunky", ""), b"").status, 200);
        bench
    }

    fn ask(&self, method: &str, place: (&str, &str), body: &[u8]) -> Answer {
        signed::send(&self.server, &self.key, method, place, &[], body)
    }

    /// A body in chunks of HTTP, without a word of its length.
    fn put(&self, (path, query): (&str, &str), hash: &str, chunks: &[&[u8]]) -> Answer {
        let time = signed::now(&self.server);
        let head = [("x-amz-content-sha256", hash), ("x-amz-date", &*time)];
        let lines = signed::sign(&self.key, &time, "PUT", (path, query), &head);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = format!(
            "PUT {path}{mark}{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\
             Transfer-Encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        for chunk in chunks {
            request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            request.extend([chunk, &b"\r\n"[..]].concat());
        }
        request.extend(b"0\r\n\r\n");
        let mut socket = self.server.connect();
        // Whoever is refused early is answered while sending.
        let _ = socket.write_all(&request);
        Answer::read(&mut socket)
    }

    #[track_caller]
    fn is(&self, path: &str, content: &[u8]) {
        let answer = self.ask("GET", (path, ""), b"");
        assert_eq!((answer.status, answer.body.len()), (200, content.len()));
        assert!(answer.body == content);
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

#[test]
fn a_body_whose_length_nobody_said_is_stored_to_its_end() {
    let bench = Bench::new();
    let long = crate::tests::harness::noise((3 << 20) + 5, 1);
    let chunks: Vec<&[u8]> = long.chunks(100_000).collect();
    for (path, hash) in [("/chunky/signed", &*hash(&long)), ("/chunky/unsigned", UNSIGNED)] {
        assert_eq!(bench.put((path, ""), hash, &chunks).status, 200);
        bench.is(path, &long);
    }
    assert_eq!(bench.put(("/chunky/none", ""), &hash(b""), &[]).status, 200);
    bench.is("/chunky/none", b"");
}

#[test]
fn a_body_that_was_not_signed_is_refused_at_its_end() {
    let bench = Bench::new();
    let answer = bench.put(("/chunky/o", ""), &hash(b"hello"), &[b"hel", b"lx"]);
    assert_eq!(answer.status, 400);
    assert!(String::from_utf8_lossy(&answer.body).contains("XAmzContentSHA256Mismatch"));
    assert_eq!(bench.put(("/chunky/o", ""), &hash(b"hello"), &[b"hel"]).status, 400);
    assert_eq!(bench.put(("/chunky/o", ""), &hash(b"hello"), &[b"hello", b"!"]).status, 400);
    assert_eq!(bench.put(("/chunky/o", ""), "nonsense", &[b"hello"]).status, 403);
    assert_eq!(bench.ask("GET", ("/chunky/o", ""), b"").status, 404);
}

#[test]
fn a_body_that_breaks_off_leaves_nothing() {
    let bench = Bench::new();
    let time = signed::now(&bench.server);
    let head = [("x-amz-content-sha256", UNSIGNED), ("x-amz-date", &*time)];
    let lines = signed::sign(&bench.key, &time, "PUT", ("/chunky/o", ""), &head);
    let mut socket = bench.server.connect();
    write!(
        socket,
        "PUT /chunky/o HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    )
    .unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(Answer::read(&mut socket).status, 400);
    assert_eq!(bench.ask("GET", ("/chunky/o", ""), b"").status, 404);
}

#[test]
fn a_document_needs_its_length() {
    let bench = Bench::new();
    let tags: &[u8] = b"<Tagging><TagSet/></Tagging>";
    for (path, query) in [("/chunky", "tagging="), ("/chunky", "versioning="), ("/other", "")] {
        assert_eq!(bench.put((path, query), &hash(tags), &[tags]).status, 411, "{path} {query}");
    }
    assert_eq!(bench.ask("HEAD", ("/other", ""), b"").status, 404);
}

#[test]
fn a_quota_holds_while_it_comes() {
    let bench = Bench::new();
    let account = bench.server.app.service.accounts().unwrap();
    let own = account.iter().find(|one| one.name.to_string() == "bob").unwrap().id;
    let home = bench.server.app.service.bucket(Some(own), &"chunky".parse().unwrap()).unwrap();
    let mut limit = |container: &mut archipelago_pool::Container| {
        container.quota_bytes = Some(1 << 20);
        Ok(())
    };
    bench.server.app.service.container_change(home.id, &mut limit).unwrap();
    let long = crate::tests::harness::noise(2 << 20, 1);
    let chunks: Vec<&[u8]> = long.chunks(65_536).collect();
    assert_eq!(bench.put(("/chunky/o", ""), UNSIGNED, &chunks).status, 403);
    assert_eq!(bench.put(("/chunky/o", ""), UNSIGNED, &chunks[..8]).status, 200);
    bench.is("/chunky/o", &long[..8 * 65_536]);
}

#[test]
fn a_part_may_come_so_too() {
    let bench = Bench::new();
    let begun = bench.ask("POST", ("/chunky/o", "uploads="), b"");
    let text = String::from_utf8_lossy(&begun.body).into_owned();
    let (_, rest) = text.split_once("<UploadId>").unwrap();
    let id = rest.split_once("</UploadId>").unwrap().0;
    let place = format!("partNumber=1&uploadId={id}");
    assert_eq!(bench.put(("/chunky/o", &place), &hash(b"part"), &[b"pa", b"rt"]).status, 200);
    let listed = bench.ask("GET", ("/chunky/o", &format!("uploadId={id}")), b"");
    assert!(String::from_utf8_lossy(&listed.body).contains("<Size>4</Size>"));
}

#[test]
fn a_request_may_say_its_time_in_date_alone() {
    let bench = Bench::new();
    let seconds = bench.server.app.service.now_ms() / 1000;
    let put = |name: &str, shift: i64, shown: &dyn Fn(jiff::Timestamp) -> String| {
        let time = jiff::Timestamp::from_second(seconds.cast_signed() + shift).unwrap();
        let (iso, date) = (time.strftime("%Y%m%dT%H%M%SZ").to_string(), shown(time));
        let head = [("date", &*date), ("x-amz-content-sha256", UNSIGNED)];
        let lines = signed::sign(&bench.key, &iso, "PUT", (name, ""), &head);
        bench.server.raw("PUT", name, &lines, b"x").status
    };
    let http = |time: jiff::Timestamp| time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mail = |time: jiff::Timestamp| time.strftime("%a, %d %b %Y %H:%M:%S -0000").to_string();
    let iso = |time: jiff::Timestamp| time.strftime("%Y%m%dT%H%M%SZ").to_string();
    assert_eq!(put("/chunky/1", 0, &http), 200);
    assert_eq!(put("/chunky/2", 60, &mail), 200);
    assert_eq!(put("/chunky/3", -60, &iso), 200);
    assert_eq!(put("/chunky/4", -1000, &http), 403);
    assert_eq!(put("/chunky/4", 1000, &http), 403);
    assert_eq!(put("/chunky/4", 0, &|_| "soon".to_owned()), 400);
    // Another time than was signed.
    let other = |time: jiff::Timestamp| http(time + jiff::SignedDuration::from_secs(1));
    assert_eq!(put("/chunky/4", 0, &other), 403);
    assert_eq!(bench.ask("GET", ("/chunky/4", ""), b"").status, 404);
}
