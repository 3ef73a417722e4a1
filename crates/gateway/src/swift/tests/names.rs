//! Facts about names of objects that clients may not expect, the same at every door: what is
//! stored is listed and read by all of them; the rest is refused, and no name hides another.

use archipelago_api::{Files, path};
use archipelago_pool::{Container, Named};
use serde_json::Value;

use super::is;
use crate::tests::harness::{Answer, Harness};

/// Everybody may do everything, so that requests of S3 need no signature.
const OPEN: &str =
    r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#;

/// A server with a bucket `box` of the first account, and a token of its administrator.
struct Doors {
    server: Harness,
    token: String,
    swift: String,
}

impl Doors {
    fn open() -> Self {
        let server = Harness::start();
        let service = &server.app.service;
        let first = service.found_admin().unwrap().unwrap();
        let home = service.bucket_create(first.account.id, &"box".parse().unwrap()).unwrap();
        let mut open = |home: &mut Container| {
            home.settings.insert("s3.policy".to_owned(), OPEN.to_owned());
            Ok(())
        };
        service.container_change(home.id, &mut open).unwrap();
        let swift = format!("/object/v1/AUTH_{}/box", hex::encode(first.account.uuid));
        let login = service.login_password(&Named::name("admin"), &first.password, None).unwrap();
        let token = format!("X-Auth-Token: {}\r\n", login.token.expose());
        Self { server, token, swift }
    }

    fn s3(&self, method: &str, rest: &str, body: &[u8]) -> Answer {
        self.server.raw(method, &format!("/box{rest}"), "", body)
    }

    fn swift(&self, method: &str, rest: &str, body: &[u8]) -> Answer {
        self.server.raw(method, &format!("{}{rest}", self.swift), &self.token, body)
    }

    /// The names in the box as each door lists them.
    #[track_caller]
    fn names(&self) -> [Vec<String>; 3] {
        let text = |answer: Answer| {
            is(&answer, 200);
            String::from_utf8(answer.body).unwrap()
        };
        let page = text(self.s3("GET", "?list-type=2&encoding-type=url", b""));
        let keys = page.split("<Key>").skip(1).map(|rest| {
            let key = rest.split("</Key>").next().unwrap();
            percent_decoded(key)
        });
        let rows: Value =
            serde_json::from_str(&text(self.swift("GET", "?format=json", b""))).unwrap();
        let rows = rows.as_array().unwrap().iter();
        let rows = rows.map(|row| row["name"].as_str().unwrap().to_owned());
        let files: Files = self.server.get(&path::files(Some("box"), None)).json(200);
        let files = files.files.into_iter().map(|file| file.object);
        [keys.collect(), rows.collect(), files.collect()]
    }
}

fn percent_decoded(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| char::from(byte.unwrap()).to_digit(16).unwrap() as u8;
        out.push(match byte {
            b'%' => digit(bytes.next()) << 4 | digit(bytes.next()),
            plain => plain,
        });
    }
    String::from_utf8(out).unwrap()
}

/// A name in a path, slashes as they are.
fn encoded(name: &[u8]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    let byte = |&b: &u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    name.iter().map(byte).collect()
}

/// Names that are stored, byte for byte.
fn stored() -> Vec<String> {
    let mut names: Vec<String> = vec!["a".repeat(1024), "\u{e9}".repeat(512)];
    // Deep ones, and nothing but depth.
    names.extend(["d/".repeat(500), "/".repeat(1024)]);
    let texts = [
        // Composed and not: two names, for nobody normalises.
        "\u{e9}",
        "e\u{301}",
        "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f466}/\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
        "\u{202e}txt.exe\u{202c}/\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "a\u{200b}b\u{feff}",
        // What paths would resolve.
        ".",
        "..",
        "../x",
        "a/./b",
        "a/../b",
        "x/..",
        "//",
        "a//b",
        "/leading",
        "trailing/",
        // What queries and encodings would take for something else.
        "100%",
        "a%2Fb%00",
        "a+b c",
        "a?b=c",
        "a#b",
        "a&b<c>\"d'",
        "&#x41;]]>",
        "a\\b",
        "a;b:c@d=e,f$!*()~",
        " ",
        " a ",
        // What terminals and XML have no way to show.
        "a\tb",
        "a\nb",
        "a\r\nb",
        "a\u{7}\u{1b}[0m",
        "a\u{7f}b",
        "a\u{85}b",
        "a\u{fffe}b",
        "a\u{ffff}b",
        "a\u{fffd}b",
        "a\u{10ffff}b",
    ];
    names.extend(texts.map(str::to_owned));
    names
}

#[test]
fn what_one_door_stores_every_door_lists_and_reads() {
    let doors = Doors::open();
    for (number, name) in stored().into_iter().enumerate() {
        let rest = format!("/{}", encoded(name.as_bytes()));
        let body = format!("content {number}");
        match number % 2 {
            0 => is(&doors.s3("PUT", &rest, body.as_bytes()), 200),
            _ => is(&doors.swift("PUT", &rest, body.as_bytes()), 201),
        }
        for got in [doors.s3("GET", &rest, b""), doors.swift("GET", &rest, b"")] {
            is(&got, 200);
            assert_eq!(got.body, body.as_bytes(), "{name:?}");
        }
        is(&doors.server.get(&path::file("box", &name)), 200);
    }
    let mut sorted = stored();
    sorted.sort();
    for (door, names) in ["S3", "Swift", "native"].iter().zip(doors.names()) {
        assert_eq!(names, sorted, "{door}");
    }
    for (number, name) in stored().into_iter().enumerate() {
        let rest = format!("/{}", encoded(name.as_bytes()));
        match number % 3 {
            0 => is(&doors.s3("DELETE", &rest, b""), 204),
            1 => is(&doors.swift("DELETE", &rest, b""), 204),
            _ => is(&doors.server.delete(&path::file("box", &name)), 204),
        }
    }
    assert_eq!(doors.names(), [const { Vec::<String>::new() }; 3]);
}

#[test]
fn what_is_no_name_is_refused_by_every_door() {
    let doors = Doors::open();
    let long = "a".repeat(1025);
    let bad: [&[u8]; 6] = [
        long.as_bytes(),
        b"a\0b",
        b"a\xffb",
        b"a\xc0\xafb",
        b"a\xed\xa0\x80b",
        b"\xf4\x90\x80\x80",
    ];
    for name in bad {
        let rest = format!("/{}", encoded(name));
        is(&doors.s3("PUT", &rest, b"x"), 400);
        let swift = doors.swift("PUT", &rest, b"x");
        assert!(matches!(swift.status, 400 | 412), "{} {:?}", swift.status, swift.head);
        let native = doors.server.raw("PUT", &format!("/v1/files/box{rest}"), "", b"x");
        assert_eq!(native.status, 400, "{}", native.head);
    }
    assert_eq!(doors.names(), [const { Vec::<String>::new() }; 3]);
}

#[test]
fn what_xml_cannot_say_hides_no_other_name() {
    let doors = Doors::open();
    for name in ["a\u{1}", "b\u{fffe}", "c\r", "d"] {
        is(&doors.s3("PUT", &format!("/{}", encoded(name.as_bytes())), b"x"), 200);
    }
    let queries = ["", "?list-type=2", "?versions", "?delimiter=%01&prefix=&marker=%02"];
    let pages = queries.map(|query| doors.s3("GET", query, b""));
    for page in pages.into_iter().chain([doors.swift("GET", "?format=xml", b"")]) {
        is(&page, 200);
        let text = String::from_utf8(page.body).unwrap();
        let beyond = |c: char| (c < ' ' && c != '\n') || matches!(c, '\u{fffe}' | '\u{ffff}');
        assert!(!text.contains(beyond), "{text:?}");
        assert!(text.contains(">d</") && text.contains('\u{fffd}'), "{text}");
    }
}

#[test]
fn headers_beyond_the_limits_are_refused_and_none_ends_in_another() {
    let doors = Doors::open();
    let put = |more: &str| {
        let head = format!("{}{more}", doors.token);
        let s3 = doors.server.raw("PUT", "/box/o", more, b"x");
        let swift = doors.server.raw("PUT", &format!("{}/o", doors.swift), &head, b"x");
        (s3.status, swift.status)
    };
    let meta = |name: &str, bytes: usize| format!("{name}: {}\r\n", "v".repeat(bytes));
    assert_eq!(put(&meta("x-amz-meta-k", 2000)).0, 200);
    assert_eq!(put(&meta("x-amz-meta-k", 2049)).0, 400);
    assert_eq!(put(&meta("X-Object-Meta-K", 256)).1, 201);
    assert_eq!(put(&meta("X-Object-Meta-K", 257)).1, 400);
    let many: String = (0..91).map(|n| meta(&format!("X-Object-Meta-{n}"), 1)).collect();
    assert_eq!(put(&many).1, 400);
    let flood: String = (0..1000).map(|n| meta(&format!("h{n}"), 1)).collect();
    assert_eq!(put(&flood), (431, 431));
    for bad in ["x-a: a\0b\r\n", "x-a: a\rb\r\n", "x a: b\r\n", "x-a: b\r\n c\r\n"] {
        assert_eq!(put(bad), (400, 400), "{bad:?}");
    }
    // A value that says in an encoding what no header may hold comes back as nothing but a value.
    let trick = "=?UTF-8?Q?=0D=0AX-Evil:_1?=\r\n";
    assert_eq!(put(&format!("x-amz-meta-k: {trick}X-Object-Meta-K: {trick}")), (200, 201));
    for got in [doors.s3("GET", "/o", b""), doors.swift("GET", "/o", b"")] {
        is(&got, 200);
        assert!(!got.head.contains("\r\nx-evil"), "{}", got.head);
    }
}
