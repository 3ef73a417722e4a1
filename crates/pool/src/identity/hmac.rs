//! Keyed hashes of texts that others sign with a key that is kept in clear.

use aws_lc_rs::hmac;

/// Which hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hmac {
    /// For programs that know no better one.
    Sha1,
    /// The usual one.
    Sha256,
    /// The longest.
    Sha512,
}

impl Hmac {
    fn key(self, key: &[u8]) -> hmac::Key {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::Key::new(algorithm, key)
    }

    /// The signature of a text.
    pub fn sign(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key(key), text).as_ref().to_vec()
    }

    /// Whether a signature is that of a text; takes as long wherever it differs.
    pub fn is(self, key: &[u8], text: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.key(key), text, signature).is_ok()
    }
}
