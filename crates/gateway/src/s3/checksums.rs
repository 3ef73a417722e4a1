//! Checksums that travel with a body: said in a header before, or in a trailer behind it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};

use archipelago_pool::Part;
use axum::http::HeaderMap;
use crc_fast::{CrcAlgorithm, checksum_combine};
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, ChecksumAlgorithm, ChecksumType};
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

    /// Wants one more, of a part: what its upload is summed with.
    pub(super) fn want(&mut self, kind: Option<Kind>) {
        if let Some(kind) = kind.filter(|kind| !self.wanted.contains(&kind.name)) {
            self.wanted.push(kind.name);
        }
    }

    /// Computes what is wanted of all that passes.
    pub(super) fn hasher(&self) -> Hashing {
        Hashing(RefCell::new(hasher_of(&self.wanted)))
    }

    /// What a header says of the checksum of an object in parts.
    pub(super) fn of_whole(&self) -> Option<(&'static str, &str)> {
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

/// How an object in parts is summed: with what, and whether the sum is that of all its bytes or
/// one of the sums of its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kind {
    /// As in headers.
    pub(super) name: &'static str,
    pub(super) full: bool,
}

/// Under these names an upload keeps how it is summed.
const ALGORITHM: &str = "s3.checksum-algorithm";
const TYPE: &str = "s3.checksum-type";

impl Kind {
    /// What a request says of the upload that it begins.
    pub(super) fn said(
        algorithm: Option<&ChecksumAlgorithm>,
        kind: Option<&ChecksumType>,
    ) -> S3Result<Option<Self>> {
        let Some(algorithm) = algorithm else {
            return match kind {
                None => Ok(None),
                Some(_) => Err(s3_error!(
                    InvalidRequest,
                    "The x-amz-checksum-type header can only be used with the \
                     x-amz-checksum-algorithm header."
                )),
            };
        };
        let said = algorithm.as_str();
        let name = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(said));
        let name = name.ok_or_else(|| {
            s3_error!(InvalidRequest, "'{}' is no checksum algorithm", said.escape_debug())
        })?;
        let full = match kind.map(ChecksumType::as_str) {
            None => !may_be_composite(name),
            Some(ChecksumType::FULL_OBJECT) if combined(name).is_some() => true,
            Some(ChecksumType::COMPOSITE) if may_be_composite(name) => false,
            Some(other) => {
                return Err(s3_error!(
                    InvalidRequest,
                    "The {} checksum type cannot be used with the {name} checksum algorithm.",
                    other.escape_debug()
                ));
            }
        };
        Ok(Some(Self { name, full }))
    }

    /// What an upload keeps of it.
    pub(super) fn of(settings: &BTreeMap<String, String>) -> Option<Self> {
        let kept = settings.get(ALGORITHM)?;
        let name = NAMES.into_iter().find(|name| name == kept)?;
        let full = match settings.get(TYPE) {
            Some(kind) => kind == ChecksumType::FULL_OBJECT,
            // Of one that began before there was a choice.
            None => false,
        };
        Some(Self { name, full })
    }

    /// Keeps it with an upload.
    pub(super) fn keep(self, settings: &mut BTreeMap<String, String>) {
        settings.insert(ALGORITHM.to_owned(), self.name.to_owned());
        settings.insert(TYPE.to_owned(), self.shown().as_str().to_owned());
    }

    /// The object does not keep it so.
    pub(super) fn forget(settings: &mut BTreeMap<String, String>) {
        settings.remove(ALGORITHM);
        settings.remove(TYPE);
    }

    /// As S3 shows it.
    pub(super) fn shown(self) -> ChecksumType {
        let text = if self.full { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
        ChecksumType::from_static(text)
    }

    /// The algorithm, as S3 shows it.
    pub(super) fn algorithm(self) -> ChecksumAlgorithm {
        ChecksumAlgorithm::from(self.name.to_uppercase())
    }

    /// What may be meant by a checksum of an object whose upload said nothing of it.
    fn guesses(name: &'static str, kind: Option<&ChecksumType>) -> Vec<Self> {
        let said = kind.map(|kind| kind.as_str() == ChecksumType::FULL_OBJECT);
        let may = |full: &bool| said.is_none_or(|said| said == *full);
        [true, false].into_iter().filter(may).map(|full| Self { name, full }).collect()
    }

    /// The checksum of an object of these parts, and its kind: as the upload has it, or as whoever
    /// completes it says. `None` where neither says anything, or a part has none.
    pub(super) fn of_parts(
        declared: Option<Self>,
        expected: &Expected,
        kind: Option<&ChecksumType>,
        parts: &[Part],
    ) -> S3Result<Option<(Self, String)>> {
        if let (Some(declared), Some(kind)) = (declared, kind)
            && declared.shown() != *kind
        {
            return Err(s3_error!(
                InvalidRequest,
                "The upload was begun with the checksum type {}.",
                declared.shown().as_str()
            ));
        }
        let Some((name, said)) = expected.of_whole() else {
            return Ok(declared.and_then(|kind| Some((kind, kind.sum(parts)?))));
        };
        let kinds = match declared.filter(|declared| declared.name == name) {
            Some(declared) => vec![declared],
            None => Self::guesses(name, kind),
        };
        // The number of parts may be left out.
        let agrees = |sum: &str| sum == said || sum.split_once('-').is_some_and(|it| it.0 == said);
        let found = kinds.into_iter().find_map(|kind| {
            let sum = kind.sum(parts)?;
            agrees(&sum).then_some((kind, sum))
        });
        found.map(Some).ok_or_else(|| {
            s3_error!(BadDigest, "The {name} you specified did not match the calculated checksum")
        })
    }

    /// The checksum of an object of these parts; `None` when a part has none.
    fn sum(self, parts: &[Part]) -> Option<String> {
        if self.full { whole(self.name, parts) } else { composite(self.name, parts) }
    }
}

/// What sums of this kind are computed with from those of the parts; `None` where that cannot be.
fn combined(name: &str) -> Option<(CrcAlgorithm, usize)> {
    match name {
        "crc32" => Some((CrcAlgorithm::Crc32IsoHdlc, 4)),
        "crc32c" => Some((CrcAlgorithm::Crc32Iscsi, 4)),
        "crc64nvme" => Some((CrcAlgorithm::Crc64Nvme, 8)),
        _ => None,
    }
}

/// This one is only ever that of all bytes.
fn may_be_composite(name: &str) -> bool {
    name != "crc64nvme"
}

/// The checksum of all bytes, out of those of the parts.
fn whole(name: &str, parts: &[Part]) -> Option<String> {
    let (algorithm, bytes) = combined(name)?;
    let mut sum = None;
    for part in parts {
        let text = base64_simd::STANDARD.decode_to_vec(part.checksums.get(name)?).ok()?;
        let mut number = [0; 8];
        number.get_mut(8 - bytes..).filter(|to| to.len() == text.len())?.copy_from_slice(&text);
        let next = u64::from_be_bytes(number);
        sum = Some(match sum {
            None => next,
            Some(before) => checksum_combine(algorithm, before, next, part.size),
        });
    }
    let number = sum?.to_be_bytes();
    Some(base64_simd::STANDARD.encode_to_string(number.get(8 - bytes..)?))
}

/// The checksum of the checksums of parts, as S3 makes it.
fn composite(name: &str, parts: &[Part]) -> Option<String> {
    let mut hasher = hasher_of(&[NAMES.into_iter().find(|known| *known == name)?]);
    for part in parts {
        let checksum = part.checksums.get(name)?;
        hasher.update(&base64_simd::STANDARD.decode_to_vec(checksum).ok()?);
    }
    let sum = listed(&hasher.finalize()).remove(name)?;
    Some(format!("{sum}-{}", parts.len()))
}

/// One checksum of each name, where there is one, as answers have them.
pub(super) fn shown(one: impl Fn(&str) -> Option<String>) -> Checksum {
    Checksum {
        checksum_crc32: one("crc32"),
        checksum_crc32c: one("crc32c"),
        checksum_crc64nvme: one("crc64nvme"),
        checksum_sha1: one("sha1"),
        checksum_sha256: one("sha256"),
        ..Checksum::default()
    }
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

#[cfg(test)]
mod tests;
