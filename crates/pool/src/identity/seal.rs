//! What `secret.key` is used for: sealing secrets that are needed in clear, and hashing
//! tokens so that the catalog alone is of no use to whoever steals it.

use archipelago_env::Random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::Secret;

/// Each use has a key of its own.
const SEAL_CONTEXT: &str = "archipelago 2026-11 secrets of access keys";
const DATA_CONTEXT: &str = "archipelago 2026-11 keys of sealed versions";
const TOKEN_CONTEXT: &str = "archipelago 2026-11 hashes of tokens";
const TICKET_CONTEXT: &str = "archipelago 2026-11 signatures of tickets for exports";
const NAME_CONTEXT: &str = "archipelago 2026-11 name of the key";

/// The keys that are derived from `secret.key`.
pub(crate) struct Keys {
    seal: LessSafeKey,
    data: Zeroizing<[u8; 32]>,
    token: Zeroizing<[u8; 32]>,
    ticket: Zeroizing<[u8; 32]>,
    name: String,
}

impl Keys {
    /// Derives them; `None` when the library refuses.
    pub fn new(master: &[u8; 32]) -> Option<Self> {
        let seal = Zeroizing::new(blake3::derive_key(SEAL_CONTEXT, master));
        let name = blake3::derive_key(NAME_CONTEXT, master);
        Some(Self {
            seal: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*seal).ok()?),
            data: Zeroizing::new(blake3::derive_key(DATA_CONTEXT, master)),
            token: Zeroizing::new(blake3::derive_key(TOKEN_CONTEXT, master)),
            ticket: Zeroizing::new(blake3::derive_key(TICKET_CONTEXT, master)),
            name: hex::encode(&name[..8]),
        })
    }

    /// Which `secret.key` it is; says nothing about the key itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seals a secret to what it is for; only the same `owner` opens it. Nonces are random:
    /// 2^32 secrets may be sealed by one key, and each takes a transaction.
    pub fn seal(&self, random: &dyn Random, owner: &str, secret: &Secret) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut text = Zeroizing::new(secret.expose().as_bytes().to_vec());
        let tag = self
            .seal
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(owner.as_bytes()),
                &mut text,
            )
            .ok()?;
        Some(format!("{}{}{}", hex::encode(nonce), hex::encode(&*text), hex::encode(tag.as_ref())))
    }

    /// Opens what [`Self::seal`] gave; `None` when it is not that, or of another owner.
    pub fn open(&self, owner: &str, sealed: &str) -> Option<Secret> {
        let mut bytes = Zeroizing::new(hex::decode(sealed).ok()?);
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.seal.open_in_place(nonce, Aad::from(owner.as_bytes()), text).ok()?;
        Some(Secret::new(std::str::from_utf8(plain).ok()?))
    }

    /// Under which the data keys of sealed versions are wrapped.
    pub fn data(&self) -> Zeroizing<[u8; 32]> {
        self.data.clone()
    }

    /// The signature of what a ticket says of an export. Comparing it takes as long wherever
    /// another differs.
    pub fn ticket(&self, export: &[u8], said: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.ticket);
        // What is said is always as long, so that nothing of one can be of the other.
        hasher.update(said).update(export);
        hasher.finalize()
    }

    /// Under which a token is kept.
    pub fn token_hash(&self, token: &str) -> String {
        blake3::keyed_hash(&self.token, token.as_bytes()).to_hex().to_string()
    }
}
