//! Checksums that travel with a body: said in a header before, or in a trailer behind it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};

use axum::http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::dto::Checksum;
use s3s::{S3Result, TrailingHeaders, s3_error};

/// As they are called in headers, behind `x-amz-checksum-`.
const NAMES: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];
const PREFIX: &str = "x-amz-checksum-";

/// What a request says of the checksums of its body.
pub(super) struct Expected {
    said: BTreeMap<&'static str, String>,
    wanted: Vec<&'static str>,
    trailers: Option<TrailingHeaders>,
    md5: Option<String>,
}

impl Expected {
    /// Of a request with these headers.
    pub(super) fn new(headers: &HeaderMap, trailers: Option<TrailingHeaders>) -> S3Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut said = BTreeMap::new();
        let mut wanted = Vec::new();
        for name in NAMES {
            if let Some(value) = text(&format!("{PREFIX}{name}")) {
                said.insert(name, value.to_owned());
            }
            let trailing = headers.get_all("x-amz-trailer").iter().any(|value| {
                value.to_str().is_ok_and(|text| {
                    text.split(',').any(|one| one.trim() == format!("{PREFIX}{name}"))
                })
            });
            let algorithm = text("x-amz-sdk-checksum-algorithm")
                .or_else(|| text("x-amz-checksum-algorithm"))
                .is_some_and(|text| text.eq_ignore_ascii_case(name));
            if said.contains_key(name) || trailing || algorithm {
                wanted.push(name);
            }
        }
        if said.len() > 1 {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
        let md5 = match text("content-md5") {
            None => None,
            Some(text) => Some(decode_md5(text)?),
        };
        Ok(Self { said, wanted, trailers, md5 })
    }

    /// Whether the body's MD5 was said.
    pub(super) const fn wants_md5(&self) -> bool {
        self.md5.is_some()
    }

    /// Computes what is wanted of all that passes.
    pub(super) fn hasher(&self) -> Hashing {
        Hashing(RefCell::new(hasher_of(&self.wanted)))
    }

    /// What a header says of the checksum of an object in parts.
    pub(super) fn said(&self) -> Option<(&'static str, &str)> {
        self.said.iter().next().map(|(name, value)| (*name, value.as_str()))
    }

    /// Compares what was said with what came; gives what was computed.
    pub(super) fn check(&self, hashing: &Hashing, md5: &str) -> S3Result<BTreeMap<String, String>> {
        if self.md5.as_deref().is_some_and(|said| said != md5) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received"
            ));
        }
        let computed = listed(&std::mem::take(&mut *hashing.0.borrow_mut()).finalize());
        let mut said: BTreeMap<String, String> =
            self.said.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        if let Some(trailers) = &self.trailers {
            trailers.read(|headers| {
                for name in NAMES {
                    let value = headers.get(format!("{PREFIX}{name}"));
                    if let Some(text) = value.and_then(|value| value.to_str().ok()) {
                        said.insert(name.to_owned(), text.to_owned());
                    }
                }
            });
        }
        for (name, value) in &said {
            if computed.get(name) != Some(value) {
                return Err(s3_error!(
                    BadDigest,
                    "The {name} you specified did not match the calculated checksum"
                ));
            }
        }
        Ok(computed)
    }
}

/// 16 bytes in base64, as hexadecimal.
fn decode_md5(text: &str) -> S3Result<String> {
    let bytes = base64_simd::STANDARD.decode_to_vec(text).ok().filter(|bytes| bytes.len() == 16);
    let bytes = bytes
        .ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid"))?;
    Ok(hex::encode(bytes))
}

/// By name.
fn listed(checksum: &Checksum) -> BTreeMap<String, String> {
    let all = [
        ("crc32", &checksum.checksum_crc32),
        ("crc32c", &checksum.checksum_crc32c),
        ("crc64nvme", &checksum.checksum_crc64nvme),
        ("sha1", &checksum.checksum_sha1),
        ("sha256", &checksum.checksum_sha256),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
}

/// The checksum of the checksums of parts, as S3 makes it; `None` when a part has none.
pub(super) fn composite(name: &str, parts: &[archipelago_pool::Part]) -> Option<String> {
    let mut hasher = hasher_of(&[NAMES.into_iter().find(|known| *known == name)?]);
    for part in parts {
        let checksum = part.checksums.get(name)?;
        hasher.update(&base64_simd::STANDARD.decode_to_vec(checksum).ok()?);
    }
    let sum = listed(&hasher.finalize()).remove(name)?;
    Some(format!("{sum}-{}", parts.len()))
}

fn hasher_of(names: &[&'static str]) -> ChecksumHasher {
    let mut hasher = ChecksumHasher::default();
    for name in names {
        match *name {
            "crc32" => hasher.crc32 = Some(s3s::crypto::Crc32::default()),
            "crc32c" => hasher.crc32c = Some(s3s::crypto::Crc32c::default()),
            "crc64nvme" => hasher.crc64nvme = Some(s3s::crypto::Crc64Nvme::default()),
            "sha1" => hasher.sha1 = Some(s3s::crypto::Sha1::default()),
            _ => hasher.sha256 = Some(s3s::crypto::Sha256::default()),
        }
    }
    hasher
}

/// What is computed while a body is read.
pub(super) struct Hashing(RefCell<ChecksumHasher>);

impl Hashing {
    /// Takes in what passes.
    pub(super) fn update(&self, bytes: &[u8]) {
        self.0.borrow_mut().update(bytes);
    }
}

/// A body that is hashed while it is read.
pub(super) struct Hashed<'a> {
    pub(super) input: &'a mut dyn Read,
    pub(super) hashing: &'a Hashing,
}

impl Read for Hashed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        self.hashing.update(&out[..read]);
        Ok(read)
    }
}
