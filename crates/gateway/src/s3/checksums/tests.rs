//! Facts about the checksums of objects in parts.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

/// Parts with all checksums of their bytes.
fn parts(contents: &[&[u8]]) -> Vec<Part> {
    let part = |(at, bytes): (usize, &&[u8])| Part {
        number: at as u32 + 1,
        size: bytes.len() as u64,
        etag: String::new(),
        checksums: sums(bytes),
        created_ms: 0,
    };
    contents.iter().enumerate().map(part).collect()
}

fn sums(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut hasher = hasher_of(&NAMES);
    hasher.update(bytes);
    listed(&hasher.finalize())
}

fn expected(said: Option<(&str, &str)>) -> Expected {
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = said {
        let name: HeaderName = format!("{PREFIX}{name}").parse().unwrap();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    Expected::new(&headers, None).unwrap()
}

fn kind(name: &'static str, full: bool) -> Kind {
    Kind { name, full }
}

const CONTENTS: [&[u8]; 4] = [b"a part", b"", b"another, which is longer", b"x"];

#[test]
fn the_checksum_of_all_bytes_is_computed_from_those_of_the_parts() {
    let all = sums(&CONTENTS.concat());
    for name in ["crc32", "crc32c", "crc64nvme"] {
        assert_eq!(kind(name, true).sum(&parts(&CONTENTS)).as_ref(), all.get(name), "{name}");
        assert_eq!(kind(name, true).sum(&parts(&CONTENTS[..1])), sums(CONTENTS[0]).remove(name));
    }
    for name in ["sha1", "sha256"] {
        assert_eq!(kind(name, true).sum(&parts(&CONTENTS)), None);
    }
    assert_eq!(kind("crc32", true).sum(&[]), None);
}

#[test]
fn a_checksum_of_checksums_says_of_how_many() {
    let made = parts(&CONTENTS);
    let sum = kind("sha256", false).sum(&made).unwrap();
    assert!(sum.ends_with("=-4"), "{sum}");
    let mut missing = made.clone();
    missing[2].checksums.clear();
    for full in [true, false] {
        assert_eq!(kind("crc32", full).sum(&missing), None);
    }
}

#[test]
fn a_checksum_that_is_none_is_not_computed_with() {
    for spoiled in ["", "=", "AAAA", "AAAAAAAAAAAAAAAA", "\u{fc}"] {
        let mut made = parts(&CONTENTS);
        made[1].checksums.insert("crc32".to_owned(), spoiled.to_owned());
        assert_eq!(kind("crc32", true).sum(&made), None, "{spoiled}");
    }
}

#[test]
fn kinds_that_there_are_not_are_refused() {
    let said = |algorithm: &str, kind: Option<&str>| {
        let algorithm = ChecksumAlgorithm::from(algorithm.to_owned());
        let kind = kind.map(|kind| ChecksumType::from(kind.to_owned()));
        Kind::said(Some(&algorithm), kind.as_ref()).ok().flatten()
    };
    let (full, composite) = (Some("FULL_OBJECT"), Some("COMPOSITE"));
    assert_eq!(said("CRC32", full), Some(kind("crc32", true)));
    assert_eq!(said("CRC32C", composite), Some(kind("crc32c", false)));
    assert_eq!(said("SHA1", None), Some(kind("sha1", false)));
    assert_eq!(said("CRC64NVME", None), Some(kind("crc64nvme", true)));
    for (algorithm, kind) in [
        ("SHA256", full),
        ("SHA1", full),
        ("CRC64NVME", composite),
        ("CRC32", Some("some")),
        ("MD5", None),
    ] {
        assert_eq!(said(algorithm, kind), None, "{algorithm} {kind:?}");
    }
    let alone = Kind::said(None, Some(&ChecksumType::from_static(ChecksumType::COMPOSITE)));
    assert!(alone.is_err());
}

#[test]
fn what_is_said_of_an_object_in_parts_has_to_be_right() {
    let made = parts(&CONTENTS);
    let whole = kind("crc32c", true).sum(&made).unwrap();
    let composite = kind("crc32c", false).sum(&made).unwrap();
    let found = |declared, said| {
        Kind::of_parts(declared, &expected(Some(("crc32c", said))), None, &made)
            .map(|found| found.map(|(kind, _)| kind))
            .map_err(|error| error.code().as_str().to_owned())
    };
    let (full, parted) = (kind("crc32c", true), kind("crc32c", false));
    assert_eq!(found(Some(full), &whole), Ok(Some(full)));
    assert_eq!(found(Some(parted), &composite), Ok(Some(parted)));
    // Nobody said before which one it would be.
    assert_eq!(found(None, &whole), Ok(Some(full)));
    assert_eq!(found(None, &composite), Ok(Some(parted)));
    assert_eq!(found(Some(kind("sha1", false)), &whole), Ok(Some(full)));
    let bad = Err("BadDigest".to_owned());
    assert_eq!(found(Some(parted), &whole), bad);
    assert_eq!(found(Some(full), &composite), bad);
    assert_eq!(found(None, "AAAAAA=="), bad);
    let other = ChecksumType::from_static(ChecksumType::COMPOSITE);
    assert!(Kind::of_parts(Some(full), &expected(None), Some(&other), &made).is_err());
    assert_eq!(Kind::of_parts(None, &expected(None), None, &made).unwrap(), None);
    let silent = Kind::of_parts(Some(full), &expected(None), None, &made).unwrap();
    assert_eq!(silent, Some((full, whole)));
}

#[test]
fn an_upload_keeps_its_kind_until_it_is_an_object() {
    let mut settings = BTreeMap::new();
    for kept in [kind("crc32", true), kind("sha256", false)] {
        kept.keep(&mut settings);
        assert_eq!(Kind::of(&settings), Some(kept));
    }
    Kind::forget(&mut settings);
    assert!(settings.is_empty());
    assert_eq!(Kind::of(&settings), None);
    // From before there were kinds.
    settings.insert(ALGORITHM.to_owned(), "crc32".to_owned());
    assert_eq!(Kind::of(&settings), Some(kind("crc32", false)));
}
