//! Sealed versions: content that is stored encrypted ([ADR 20](../../../docs/adr/0020-sealed-versions.md)).
//!
//! A sealed version has a random key of its own, its *data key*. Its content is stored under that
//! with AES-256 in counter mode, byte for byte as long as it is, so that any range can be read,
//! and parts can be spliced. The data key is kept with the version, wrapped under a key that is
//! the store's, one of the store's key service, or the client's, which is kept nowhere.
//!
//! ```text
//! client's key, or secret.key -- HKDF(salt) -> AES-256-GCM -> data key
//!                                   data key -- AES-256-CTR(nonce) -> content
//! ```
//!
//! # Architecture invariant
//! The seal of a version is a column of its own, which no door can change: what is known of an
//! object may be replaced as a whole, and ciphertext must never be taken for content.

mod cipher;
mod stream;

use std::fmt;

use archipelago_env::Random;
use archipelago_model::AccountId;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::object::Container;

pub(crate) use cipher::{DataKey, Pieces, PiecesText};
pub(crate) use stream::{Opener, Sealing as SealingInput, Unsealing};

/// Bytes of every key here.
pub const KEY_BYTES: usize = 32;
/// Bytes of the salt of a wrapped key.
const SALT_BYTES: usize = 16;
/// Bytes of the name of a key of the key service, at most: what an ARN of AWS has, and some.
pub const KEY_NAME_BYTES_MAX: usize = 256;

/// Each use of a key derives another one.
const WRAP: &[u8] = b"archipelago 2026-11 data keys of sealed versions";

/// A setting of a container: the JSON of a [`DefaultSeal`].
pub(crate) const DEFAULT_SEAL: &str = "seal.default";

/// The key of a client. It is held while a request is served, shows itself to no formatter, and
/// is wiped when it is dropped.
#[derive(Clone)]
pub struct ClientKey(Zeroizing<[u8; KEY_BYTES]>);

impl ClientKey {
    /// Takes the key; `None` when it has another length.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// Whether it is the key that a version was sealed with.
    pub fn opens(&self, seal: &Seal) -> bool {
        seal.by == SealedBy::Client && seal.data_key(&self.0).is_some()
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(..)")
    }
}

/// Whose key the data key of a version is wrapped under.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SealedBy {
    /// The store's.
    Store,
    /// One of the store's key service: of an account, by its name there.
    Service {
        /// Whose.
        account: u64,
        /// Which.
        key: String,
    },
    /// The client's, which whoever reads has to bring.
    Client,
}

impl SealedBy {
    /// What a wrapped key is bound to: no two of these have the same bytes.
    fn context(&self) -> Vec<u8> {
        let mut out = WRAP.to_vec();
        match self {
            Self::Store => out.push(0),
            Self::Service { account, key } => {
                out.push(1);
                out.extend(account.to_be_bytes());
                out.extend(key.as_bytes());
            }
            Self::Client => out.push(2),
        }
        out
    }
}

/// How a version is sealed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seal {
    /// Whose key opens it.
    pub by: SealedBy,
    /// The data key, wrapped: salt, ciphertext and tag in hexadecimal.
    wrapped: String,
    /// The nonce of all of the content; `None` when it came in parts, each with its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) nonce: Option<String>,
}

impl Seal {
    /// Seals a new data key.
    fn new(
        by: SealedBy,
        under: &[u8; KEY_BYTES],
        key: &DataKey,
        nonce: Option<String>,
        random: &dyn Random,
    ) -> Result<Self, Error> {
        let wrapped = wrap(&by, under, key, random).ok_or_else(refuses)?;
        Ok(Self { by, wrapped, nonce })
    }

    /// The data key; `None` when it was not wrapped under this.
    fn data_key(&self, under: &[u8; KEY_BYTES]) -> Option<DataKey> {
        let mut bytes = Zeroizing::new(hex::decode(&self.wrapped).ok()?);
        let (salt, text) = bytes.split_at_mut_checked(SALT_BYTES)?;
        let context = self.by.context();
        let key = wrapping_key(under, salt, &context)?;
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let plain = key.open_in_place(nonce, Aad::from(&context), text).ok()?;
        DataKey::new(plain)
    }

    /// Whether S3 calls the content by its MD5: of the others AWS says that the ETag is none.
    pub(crate) fn shows_md5(&self) -> bool {
        self.by == SealedBy::Store
    }
}

/// The same key once more is derived from nothing but the same salt: its nonce may be fixed.
fn wrapping_key(under: &[u8; KEY_BYTES], salt: &[u8], context: &[u8]) -> Option<LessSafeKey> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(under);
    prk.expand(&[context], hkdf::HKDF_SHA256).ok()?.fill(&mut *key).ok()?;
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key).ok()?))
}

fn wrap(
    by: &SealedBy,
    under: &[u8; KEY_BYTES],
    key: &DataKey,
    random: &dyn Random,
) -> Option<String> {
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt);
    let context = by.context();
    let wrapping = wrapping_key(under, &salt, &context)?;
    let mut text = Zeroizing::new(key.bytes().to_vec());
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let tag = wrapping.seal_in_place_separate_tag(nonce, Aad::from(&context), &mut text).ok()?;
    Some(format!("{}{}{}", hex::encode(salt), hex::encode(&*text), hex::encode(tag.as_ref())))
}

fn refuses() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the cryptographic library refuses to seal; look at its version",
    )
}

/// How what comes is to be sealed.
#[derive(Clone, Debug, Default)]
pub enum Sealing {
    /// As its container says; not at all where that says nothing. A copy stays as its source.
    #[default]
    Default,
    /// As its container says, and under the store's key where that says nothing: what is stored
    /// once more of what was sealed.
    Kept,
    /// Under the store's key.
    Store,
    /// Under this key of the account that owns the container.
    Service(String),
    /// Under the client's.
    Client(ClientKey),
}

/// How a container seals what comes without a word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultSeal {
    /// Under the store's key.
    Store,
    /// Under this key of the account that owns the container.
    Service(String),
}

impl DefaultSeal {
    /// That of a container, if it has one.
    ///
    /// # Errors
    /// `Damaged`: nothing is stored in clear because a setting cannot be read.
    pub fn of(container: &Container) -> Result<Option<Self>, Error> {
        let Some(text) = container.settings.get(DEFAULT_SEAL) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| {
            let message = format!(
                "how container '{}' encrypts cannot be read: {error}; set it again",
                container.name
            );
            Error::new(ErrorKind::Damaged, message)
        })
    }

    /// Gives a container this one, or none.
    pub fn put(seal: Option<&Self>, container: &mut Container) {
        // A word and a text: there is nothing in it that JSON cannot say.
        match seal.and_then(|seal| serde_json::to_string(seal).ok()) {
            Some(text) => container.settings.insert(DEFAULT_SEAL.to_owned(), text),
            None => container.settings.remove(DEFAULT_SEAL),
        };
    }
}

/// Where what is derived from `secret.key` comes from, when it is needed.
pub(crate) type StoreKey<'a> = dyn Fn() -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> + 'a;

/// What wraps data keys: the store's key, and the random numbers of the environment.
pub(crate) struct Sealer<'a> {
    pub store_key: &'a StoreKey<'a>,
    pub random: &'a dyn Random,
}

/// Under which key something is to be sealed, everything said.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Under the store's, or one of its key service.
    Kept(SealedBy),
    /// Under the client's.
    Client(ClientKey),
}

impl Sealing {
    /// What it comes to in a container; `None` for not at all.
    pub(crate) fn target(&self, container: &Container) -> Result<Option<Target>, Error> {
        let service = |key: &str| {
            check_name(key)?;
            let account = AccountId::get(container.account);
            Ok::<_, Error>(Target::Kept(SealedBy::Service { account, key: key.to_owned() }))
        };
        Ok(match self {
            Self::Store => Some(Target::Kept(SealedBy::Store)),
            Self::Service(key) => Some(service(key)?),
            Self::Client(key) => Some(Target::Client(key.clone())),
            Self::Default | Self::Kept => match DefaultSeal::of(container)? {
                None if matches!(self, Self::Kept) => Some(Target::Kept(SealedBy::Store)),
                None => None,
                Some(DefaultSeal::Store) => Some(Target::Kept(SealedBy::Store)),
                Some(DefaultSeal::Service(key)) => Some(service(&key)?),
            },
        })
    }
}

/// Whether a key of the key service may have this name.
///
/// # Errors
/// `Invalid`.
pub fn check_name(key: &str) -> Result<(), Error> {
    let fits = (1..=KEY_NAME_BYTES_MAX).contains(&key.len());
    match fits && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "a key of the key service is named by 1 to {KEY_NAME_BYTES_MAX} ASCII characters \
             without spaces; name another"
        ))),
    }
}

impl Sealer<'_> {
    /// A seal with a new data key. `whole`: whether the content comes as one, under one nonce.
    pub fn seal(&self, target: &Target, whole: bool) -> Result<(Seal, DataKey), Error> {
        let key = DataKey::random(self.random).ok_or_else(refuses)?;
        let nonce = whole.then(|| DataKey::nonce(self.random));
        Ok((self.wrap(target, &key, nonce)?, key))
    }

    /// The same data key under another key: the content stays as it is.
    pub fn reseal(&self, seal: &Seal, key: &DataKey, target: &Target) -> Result<Seal, Error> {
        self.wrap(target, key, seal.nonce.clone())
    }

    fn wrap(&self, target: &Target, key: &DataKey, nonce: Option<String>) -> Result<Seal, Error> {
        match target {
            Target::Kept(by) => {
                Seal::new(by.clone(), &*(self.store_key)()?, key, nonce, self.random)
            }
            Target::Client(client) => {
                Seal::new(SealedBy::Client, &client.0, key, nonce, self.random)
            }
        }
    }

    /// The data key of a version, for one who may read it and has this key of a client, or none.
    ///
    /// # Errors
    /// `Invalid`: the key of the client is missing, is another, or there is none to bring.
    /// `Damaged`: `secret.key` is not the one it was sealed with.
    pub fn open(&self, seal: &Seal, client: Option<&ClientKey>) -> Result<DataKey, Error> {
        match (&seal.by, client) {
            (SealedBy::Client, Some(client)) => seal.data_key(&client.0).ok_or_else(|| {
                Error::invalid(
                    "it is encrypted with another key of its client than the one that came; bring \
                     the key that it was put with",
                )
            }),
            (SealedBy::Client, None) => Err(Error::invalid(
                "it is encrypted with a key of its client, which is not kept here; read it by S3 \
                 with that key (x-amz-server-side-encryption-customer-key)",
            )),
            (_, Some(_)) => Err(Error::invalid(
                "it is not encrypted with a key of its client; ask for it without one",
            )),
            (_, None) => seal.data_key(&*(self.store_key)()?).ok_or_else(|| {
                let message = "its key does not open with this store's secret.key; put back the \
                               secret.key that it was encrypted under";
                Error::new(ErrorKind::Damaged, message)
            }),
        }
    }
}

/// Refuses a sealed version as a map: its bytes are not what it shows.
pub(crate) fn refuse_map(seal: Option<&Seal>) -> Result<(), Error> {
    match seal {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            "it is stored encrypted, and its chunks cannot be shared with anything that is not; \
             read it and put what you read where you want it",
        )),
    }
}

/// Refuses to store in clear in a container that encrypts what comes.
pub(crate) fn refuse_clear(container: &Container) -> Result<(), Error> {
    match DefaultSeal::of(container)? {
        None => Ok(()),
        Some(_) => Err(Error::invalid(format!(
            "container '{}' encrypts what comes into it, which this way of writing cannot; put \
             the whole object by S3, Swift or Pithos",
            container.name
        ))),
    }
}

#[cfg(test)]
mod tests;
