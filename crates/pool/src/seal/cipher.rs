//! AES-256 in counter mode at any place of a content, and where its nonces change.

use std::fmt;

use archipelago_env::Random;
use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use zeroize::Zeroizing;

use super::KEY_BYTES;
use crate::error::{Error, ErrorKind};

/// Bytes of a block of AES, and of a nonce: where the counter of a content begins.
const AES_BLOCK_BYTES: usize = 16;

type Nonce = [u8; AES_BLOCK_BYTES];

/// The key of a content. No formatter shows it, and it is wiped when it is dropped.
pub(crate) struct DataKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    cipher: EncryptingKey,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

impl DataKey {
    /// `None` when it has another length, or the library refuses.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.copy_from_slice(bytes);
        let cipher = EncryptingKey::ctr(UnboundCipherKey::new(&AES_256, &*key).ok()?).ok()?;
        Some(Self { bytes: key, cipher })
    }

    /// A new one.
    pub fn random(random: &dyn Random) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        random.fill(&mut *bytes);
        Self::new(&*bytes)
    }

    /// A new nonce. Contents under one key are the parts of one upload: at most 10 000 and those
    /// that were sent again, each of less than 2^42 blocks. That two of their counters meet is as
    /// likely as 2^-60.
    pub fn nonce(random: &dyn Random) -> String {
        let mut nonce = [0; AES_BLOCK_BYTES];
        random.fill(&mut nonce);
        hex::encode(nonce)
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// A name for a content of this MD5, which says nothing to whoever has not the key.
    pub fn opaque_tag(&self, md5: &str) -> String {
        let hash = blake3::keyed_hash(&self.bytes, md5.as_bytes());
        hex::encode(&hash.as_bytes()[..AES_BLOCK_BYTES])
    }

    /// Turns content into what is stored, or back: the bytes from `at` on, behind `nonce`.
    fn apply(&self, nonce: &Nonce, at: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let block = AES_BLOCK_BYTES as u64;
        let into = (at % block) as usize;
        let counter = u128::from_be_bytes(*nonce).wrapping_add(u128::from(at / block));
        if into == 0 {
            return self.run(counter, bytes);
        }
        let len = (AES_BLOCK_BYTES - into).min(bytes.len());
        let (first, rest) = bytes.split_at_mut(len);
        let mut whole = Zeroizing::new([0; AES_BLOCK_BYTES]);
        whole[into..into + len].copy_from_slice(first);
        self.run(counter, &mut *whole)?;
        first.copy_from_slice(&whole[into..into + len]);
        self.run(counter.wrapping_add(1), rest)
    }

    fn run(&self, counter: u128, bytes: &mut [u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let context = EncryptionContext::Iv128(counter.to_be_bytes().into());
        self.cipher.less_safe_encrypt(bytes, context).map(drop).map_err(|_| {
            Error::new(ErrorKind::Internal, "the cryptographic library refuses to run AES")
        })
    }
}

/// The pieces of a content as they are kept: length and nonce, in hexadecimal, of each part.
pub(crate) type PiecesText = Vec<(u64, String)>;

/// Where the nonces of a content change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pieces(Vec<(u64, Nonce)>);

impl Pieces {
    /// Of a content under one nonce.
    pub fn whole(nonce: &str) -> Result<Self, Error> {
        Ok(Self(vec![(u64::MAX, parsed(nonce)?)]))
    }

    /// Of one in parts.
    pub fn of_parts(parts: &[(u64, String)]) -> Result<Self, Error> {
        let mut end = 0_u64;
        let mut out = Vec::with_capacity(parts.len());
        for (len, nonce) in parts {
            end = end.saturating_add(*len);
            out.push((end, parsed(nonce)?));
        }
        Ok(Self(out))
    }

    /// Turns what is stored from `at` on into content.
    pub fn apply(&self, key: &DataKey, mut at: u64, mut bytes: &mut [u8]) -> Result<(), Error> {
        let mut index = self.0.partition_point(|(end, _)| *end <= at);
        while !bytes.is_empty() {
            let (end, nonce) = self.0.get(index).ok_or_else(|| damaged("ends too early"))?;
            let begin = index.checked_sub(1).and_then(|before| self.0.get(before));
            let begin = begin.map_or(0, |(end, _)| *end);
            let len = (end - at).min(bytes.len() as u64) as usize;
            let (now, rest) = bytes.split_at_mut(len);
            key.apply(nonce, at - begin, now)?;
            (bytes, at, index) = (rest, at + len as u64, index + 1);
        }
        Ok(())
    }
}

fn parsed(text: &str) -> Result<Nonce, Error> {
    let mut nonce = [0; AES_BLOCK_BYTES];
    hex::decode_to_slice(text, &mut nonce).map_err(|_| damaged("has a nonce that is none"))?;
    Ok(nonce)
}

fn damaged(what: &str) -> Error {
    let message = format!("the catalog is damaged: the seal of a version {what}; restore a backup");
    Error::new(ErrorKind::Damaged, message)
}
