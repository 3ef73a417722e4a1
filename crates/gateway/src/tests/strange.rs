//! Keys of S3 that no document of XML can say, and other words that mean nothing here.

use super::harness::{Answer, Harness};
use super::signed::{self, Key};

struct Site {
    server: Harness,
    key: Key,
}

impl Site {
    fn start() -> Self {
        let server = Harness::start();
        let key = signed::user(&server, "ann");
        let site = Self { server, key };
        assert_eq!(site.ask("PUT", "/box", "", b"").status, 200);
        site
    }

    fn ask(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Answer {
        self.with(method, path, query, &[], body)
    }

    fn with(
        &self,
        method: &str,
        path: &str,
        query: &str,
        head: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        signed::send(&self.server, &self.key, method, (path, query), head, body)
    }
}

/// What no XML can say, in a path and as it is shown; and what it can.
const CHARACTERS: [(&str, &str); 7] = [
    ("%01", "\u{fffd}"),
    ("%08", "\u{fffd}"),
    ("%0D", "\u{fffd}"),
    ("%1F", "\u{fffd}"),
    ("%EF%BF%BE", "\u{fffd}"),
    ("%0A", "\n"),
    ("%7F", "\u{7f}"),
];

#[track_caller]
fn text(answer: &Answer) -> String {
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(answer.status, 200, "{text}");
    assert!(!text.contains(|c: char| c < ' ' && c != '\n' || c == '\u{fffe}'), "{text:?}");
    text
}

#[test]
fn an_upload_in_parts_of_any_key_is_answered_in_xml() {
    let site = Site::start();
    for (code, shown) in CHARACTERS {
        let (path, key) = (format!("/box/a{code}b"), format!("<Key>a{shown}b</Key>"));
        let begun = text(&site.ask("POST", &path, "uploads=", b""));
        assert!(begun.contains(&key), "{begun:?}");
        let id = begun.split_once("<UploadId>").unwrap().1.split('<').next().unwrap();
        let query = format!("partNumber=1&uploadId={id}");
        assert_eq!(site.ask("PUT", &path, &query, b"x").status, 200);
        let query = format!("uploadId={id}");
        assert!(text(&site.ask("GET", &path, &query, b"")).contains(&key));
        let list = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>\
                     <ETag>9dd4e461268c8034f5c8564e155c67a6</ETag></Part></CompleteMultipartUpload>";
        assert!(text(&site.ask("POST", &path, &query, list)).contains(&key));
        assert_eq!(site.ask("GET", &path, "", b"").body, b"x");
        assert_eq!(site.ask("DELETE", &path, "", b"").status, 204);
    }
}

#[test]
fn an_object_that_is_xml_itself_comes_back_as_it_is() {
    let site = Site::start();
    let head = [("content-type", "application/xml")];
    let put = site.with("PUT", "/box/o", "", &head, b"<a>\x01\r</a>");
    assert_eq!(put.status, 200);
    assert_eq!(site.ask("GET", "/box/o", "", b"").body, b"<a>\x01\r</a>");
}

#[test]
fn tags_that_no_list_could_show_are_refused() {
    let site = Site::start();
    for (code, shown) in CHARACTERS {
        let tags = format!("a=b{code}");
        let status = site.with("PUT", "/box/o", "", &[("x-amz-tagging", &tags)], b"").status;
        assert_eq!(status, if shown == "\u{fffd}" { 400 } else { 200 }, "{code}");
    }
    text(&site.ask("GET", "/box/o", "tagging=", b""));
}

#[test]
fn a_class_of_what_is_not_read_at_once_is_refused() {
    let site = Site::start();
    let put = |class: &str| site.with("PUT", "/box/o", "", &[("x-amz-storage-class", class)], b"x");
    for class in ["GLACIER", "DEEP_ARCHIVE", "EXPRESS_ONEZONE", "SOMETHING"] {
        let answer = put(class);
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 400, "{class}");
        assert!(text.contains("<Code>InvalidStorageClass</Code>"), "{text}");
        let head = [("x-amz-storage-class", class)];
        assert_eq!(site.with("POST", "/box/o", "uploads=", &head, b"").status, 400, "{class}");
    }
    assert_eq!(site.ask("GET", "/box/o", "", b"").status, 404);
    for class in ["STANDARD", "STANDARD_IA"] {
        assert_eq!(put(class).status, 200);
    }
    let head = site.ask("HEAD", "/box/o", "", b"").head;
    assert!(head.contains("x-amz-storage-class: standard_ia"), "{head}");
    let head = [("x-amz-storage-class", "GLACIER"), ("x-amz-copy-source", "/box/o")];
    assert_eq!(site.with("PUT", "/box/p", "", &head, b"").status, 400);
}

#[test]
fn a_part_that_is_copied_has_the_checksum_of_its_upload() {
    let site = Site::start();
    assert_eq!(site.ask("PUT", "/box/from", "", b"0123456789").status, 200);
    let head = [("x-amz-checksum-algorithm", "CRC32")];
    let begun = text(&site.with("POST", "/box/o", "uploads=", &head, b""));
    let id = begun.split_once("<UploadId>").unwrap().1.split('<').next().unwrap();
    let query = format!("partNumber=1&uploadId={id}");
    let sent = site.ask("PUT", "/box/o", &query, b"2345");
    let sum = sent.head.lines().find_map(|line| line.strip_prefix("x-amz-checksum-crc32: "));
    assert!(sum.is_some(), "{}", sent.head);
    let listed = text(&site.ask("GET", "/box/o", &format!("uploadId={id}"), b""));
    let sum = listed.split_once("<ChecksumCRC32>").unwrap().1.split('<').next().unwrap();
    let head = [("x-amz-copy-source", "/box/from"), ("x-amz-copy-source-range", "bytes=2-5")];
    let query = format!("partNumber=2&uploadId={id}");
    let copied = text(&site.with("PUT", "/box/o", &query, &head, b""));
    assert!(copied.contains(&format!("<ChecksumCRC32>{sum}</ChecksumCRC32>")), "{copied}");
    let listed = text(&site.ask("GET", "/box/o", &format!("uploadId={id}"), b""));
    assert_eq!(listed.matches("<ChecksumCRC32>").count(), 2, "{listed}");
}

#[test]
fn a_header_that_is_added_behind_a_signature_is_refused_and_does_nothing() {
    let server = Harness::start();
    let eve = signed::user(&server, "eve");
    let put = |key: &str, head: &str| {
        let time = signed::now(&server);
        let said = [("x-amz-content-sha256", signed::UNSIGNED), ("x-amz-date", &*time)];
        let lines = signed::sign(&eve, &time, "PUT", (key, ""), &said);
        server.raw("PUT", key, &format!("{lines}{head}"), b"").status
    };
    assert_eq!((put("/inbox", ""), put("/inbox/secret", "")), (200, 200));
    for head in ["x-amz-copy-source: /inbox/secret\r\n", "x-amz-acl: public-read\r\n"] {
        assert_eq!(put("/inbox/up", head), 403, "{head}");
        assert_eq!(signed::send(&server, &eve, "GET", ("/inbox/up", ""), &[], b"").status, 404);
    }
}
