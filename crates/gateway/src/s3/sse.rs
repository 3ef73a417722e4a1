//! Encryption at rest as S3 says it: keys of clients (SSE-C), the store's key (SSE-S3), keys of
//! the store's key service (SSE-KMS), and what a bucket does without a word. The pool encrypts.

use archipelago_pool::{
    ClientKey, Container, DefaultSeal, KEY_NAME_BYTES_MAX, Seal, SealedBy, Sealing,
};
use axum::http::{HeaderMap, HeaderValue};
use md5::{Digest, Md5};
use s3s::dto::{
    DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, GetBucketEncryptionInput,
    GetBucketEncryptionOutput, PutBucketEncryptionInput, PutBucketEncryptionOutput,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::door::Door;
use super::settings::no_content;

/// The one algorithm that there is.
const AES256: &str = "AES256";
/// A key of a key service.
const KMS: &str = "aws:kms";
/// The same, twice.
const KMS_TWICE: &str = "aws:kms:dsse";
/// Says how what is put is to be encrypted. Who reads must not say it.
const HEADER: &str = "x-amz-server-side-encryption";
/// Headers with keys, which no log may show.
const KEYS: [&str; 2] = [
    "x-amz-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key",
];

/// Lets no formatter show the keys that a request brings: the library logs heads of requests.
pub(super) fn hide_keys(headers: &mut HeaderMap) {
    for name in KEYS {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
}

/// Whether a header has a key.
pub(super) fn is_key(name: &str) -> bool {
    KEYS.contains(&name)
}

/// What a request says of a key of its client.
#[derive(Clone, Copy)]
pub(super) struct SaidKey<'a> {
    pub(super) algorithm: Option<&'a String>,
    pub(super) key: Option<&'a String>,
    pub(super) md5: Option<&'a String>,
}

/// Of an input that has these fields.
macro_rules! key_of {
    ($input:expr) => {
        $crate::s3::sse::SaidKey {
            algorithm: $input.sse_customer_algorithm.as_ref(),
            key: $input.sse_customer_key.as_ref(),
            md5: $input.sse_customer_key_md5.as_ref(),
        }
    };
}
pub(super) use key_of;

/// Of an input that copies: the key of the source.
macro_rules! source_key_of {
    ($input:expr) => {
        $crate::s3::sse::SaidKey {
            algorithm: $input.copy_source_sse_customer_algorithm.as_ref(),
            key: $input.copy_source_sse_customer_key.as_ref(),
            md5: $input.copy_source_sse_customer_key_md5.as_ref(),
        }
    };
}
pub(super) use source_key_of;

/// A key of a client, and the MD5 that answers call it by.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) key: ClientKey,
    md5: String,
}

impl SaidKey<'_> {
    /// The key, if there is one.
    pub(super) fn key(self) -> S3Result<Option<Key>> {
        let (algorithm, key, md5) = match (self.algorithm, self.key, self.md5) {
            (None, None, None) => return Ok(None),
            (Some(algorithm), Some(key), Some(md5)) => (algorithm, key, md5),
            _ => {
                return Err(s3_error!(
                    InvalidArgument,
                    "Requests specifying Server Side Encryption with Customer provided keys must \
                     provide an encryption algorithm, the secret key and its MD5."
                ));
            }
        };
        if algorithm != AES256 {
            return Err(s3_error!(
                InvalidEncryptionAlgorithmError,
                "The Encryption request you specified is not valid. Supported value: AES256."
            ));
        }
        let invalid = || {
            s3_error!(InvalidArgument, "The secret key was invalid for the specified algorithm.")
        };
        let bytes = base64_simd::STANDARD.decode_to_vec(key).map_err(|_| invalid())?;
        let bytes = zeroize::Zeroizing::new(bytes);
        let sum = base64_simd::STANDARD.encode_to_string(Md5::digest(&*bytes));
        if sum != *md5 {
            return Err(s3_error!(
                InvalidArgument,
                "The calculated MD5 hash of the key did not match the hash that was provided."
            ));
        }
        let key = ClientKey::new(&bytes).ok_or_else(invalid)?;
        Ok(Some(Key { key, md5: sum }))
    }
}

/// What a request says of how an object is to be encrypted.
pub(super) struct Said<'a> {
    pub(super) key: SaidKey<'a>,
    pub(super) algorithm: Option<&'a ServerSideEncryption>,
    pub(super) kms_key: Option<&'a String>,
    pub(super) kms_context: Option<&'a String>,
}

/// Of an input that puts an object.
macro_rules! encryption_of {
    ($input:expr) => {
        $crate::s3::sse::Said {
            key: $crate::s3::sse::key_of!($input),
            algorithm: $input.server_side_encryption.as_ref(),
            kms_key: $input.ssekms_key_id.as_ref(),
            kms_context: $input.ssekms_encryption_context.as_ref(),
        }
    };
}
pub(super) use encryption_of;

/// How an object is to be encrypted, with the key of the client where it is that.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) sealing: Sealing,
    pub(super) key: Option<Key>,
}

impl Said<'_> {
    /// What it comes to in a bucket.
    pub(super) fn wanted(&self, bucket: &Container) -> S3Result<Wanted> {
        let algorithm = self.algorithm.map(ServerSideEncryption::as_str);
        if let Some(key) = self.key.key()? {
            if algorithm.is_some() || self.kms_key.is_some() {
                return Err(s3_error!(
                    InvalidArgument,
                    "Server Side Encryption with Customer provided key is incompatible with the \
                     encryption method specified"
                ));
            }
            return Ok(Wanted { sealing: Sealing::Client(key.key.clone()), key: Some(key) });
        }
        if self.kms_context.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "keys are not bound to encryption contexts here"
            ));
        }
        if self.kms_key.is_some() && algorithm != Some(KMS) {
            return Err(s3_error!(
                InvalidArgument,
                "Server Side Encryption with a key of a key service needs the encryption aws:kms"
            ));
        }
        let sealing = match algorithm {
            None => Sealing::Default,
            Some(AES256) => Sealing::Store,
            Some(KMS) => Sealing::Service(self.kms_key_in(bucket)?),
            Some(KMS_TWICE) => return Err(twice()),
            Some(_) => {
                return Err(s3_error!(
                    InvalidArgument,
                    "The encryption method specified is not supported"
                ));
            }
        };
        Ok(Wanted { sealing, key: None })
    }

    fn kms_key_in(&self, bucket: &Container) -> S3Result<String> {
        match (self.kms_key, default_of(bucket)?) {
            (Some(key), _) => checked_name(key).cloned(),
            (None, Some(DefaultSeal::Service(key))) => Ok(key),
            (None, _) => Err(no_name()),
        }
    }
}

fn twice() -> S3Error {
    s3_error!(NotImplemented, "nothing is encrypted twice here; aws:kms encrypts once")
}

fn no_name() -> S3Error {
    s3_error!(
        InvalidArgument,
        "name a key of the key service (x-amz-server-side-encryption-aws-kms-key-id): there is \
         none that would be taken without"
    )
}

fn checked_name(key: &String) -> S3Result<&String> {
    let fits = (1..=KEY_NAME_BYTES_MAX).contains(&key.len());
    match fits && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(key),
        false => Err(s3_error!(
            InvalidArgument,
            "a key is named by 1 to {KEY_NAME_BYTES_MAX} ASCII characters without spaces"
        )),
    }
}

fn default_of(bucket: &Container) -> S3Result<Option<DefaultSeal>> {
    DefaultSeal::of(bucket).map_err(S3Error::internal_error)
}

/// Whether a bucket encrypts what comes without a word.
pub(super) fn has_default(bucket: &Container) -> S3Result<bool> {
    Ok(default_of(bucket)?.is_some())
}

/// Refuses to encrypt where only a whole object can be.
pub(super) fn refuse_append(sealing: &Sealing, bucket: &Container) -> S3Result<()> {
    match (sealing, default_of(bucket)?) {
        (Sealing::Default, None) => Ok(()),
        _ => Err(s3_error!(
            NotImplemented,
            "what is encrypted cannot be appended to; put the whole object"
        )),
    }
}

/// Refuses to append to what is encrypted.
pub(super) fn refuse_sealed(seal: Option<&Seal>) -> S3Result<()> {
    match seal {
        None => Ok(()),
        Some(_) => Err(s3_error!(
            InvalidRequest,
            "the object is encrypted, and cannot be appended to; put it as a whole"
        )),
    }
}

/// Whether the key that came, or none, is what an object or an upload asks for.
pub(super) fn check(seal: Option<&Seal>, key: Option<&Key>) -> S3Result<()> {
    let by_client = seal.filter(|seal| seal.by == SealedBy::Client);
    match (by_client, key) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(s3_error!(
            InvalidRequest,
            "The encryption parameters are not applicable to this object."
        )),
        (Some(_), None) => Err(s3_error!(
            InvalidRequest,
            "The object was stored using a form of Server Side Encryption. The correct parameters \
             must be provided to retrieve the object."
        )),
        (Some(seal), Some(key)) if key.key.opens(seal) => Ok(()),
        (Some(_), Some(_)) => Err(s3_error!(
            InvalidRequest,
            "The provided encryption parameters did not match the ones used originally to encrypt \
             the object."
        )),
    }
}

/// Refuses what only says how something is put.
pub(super) fn refuse_method(headers: &HeaderMap) -> S3Result<()> {
    let said = headers.contains_key(HEADER);
    match said || headers.contains_key("x-amz-server-side-encryption-aws-kms-key-id") {
        false => Ok(()),
        true => Err(s3_error!(
            InvalidArgument,
            "x-amz-server-side-encryption is said when an object is put, and not when it is read"
        )),
    }
}

/// What answers say of the encryption of an object.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) algorithm: Option<ServerSideEncryption>,
    pub(super) kms_key: Option<String>,
    pub(super) customer_algorithm: Option<String>,
    pub(super) customer_md5: Option<String>,
}

/// Of an object or an upload, to one who brought this key, or none.
pub(super) fn shown(seal: Option<&Seal>, key: Option<&Key>) -> Shown {
    let method = |name| Some(ServerSideEncryption::from_static(name));
    match seal.map(|seal| &seal.by) {
        None => Shown::default(),
        Some(SealedBy::Store) => Shown { algorithm: method(AES256), ..Shown::default() },
        Some(SealedBy::Service { key, .. }) => {
            Shown { algorithm: method(KMS), kms_key: Some(key.clone()), ..Shown::default() }
        }
        Some(SealedBy::Client) => Shown {
            customer_algorithm: Some(AES256.to_owned()),
            customer_md5: key.map(|key| key.md5.clone()),
            ..Shown::default()
        },
    }
}

/// The same as headers, for an output that has no fields for them.
pub(super) fn add(shown: &Shown, headers: &mut HeaderMap) {
    let pairs = [
        ("x-amz-server-side-encryption-customer-algorithm", &shown.customer_algorithm),
        ("x-amz-server-side-encryption-customer-key-md5", &shown.customer_md5),
    ];
    for (name, text) in pairs {
        let value = text.as_ref().and_then(|text| HeaderValue::from_str(text).ok());
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

/// `GetBucketEncryption`.
pub(super) async fn get(
    door: &Door,
    request: S3Request<GetBucketEncryptionInput>,
) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let seal = default_of(&bucket)?
        .ok_or_else(|| S3Error::new(S3ErrorCode::ServerSideEncryptionConfigurationNotFoundError))?;
    let (algorithm, kms_master_key_id) = match seal {
        DefaultSeal::Store => (AES256, None),
        DefaultSeal::Service(key) => (KMS, Some(key)),
    };
    let sse_algorithm = ServerSideEncryption::from_static(algorithm);
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            kms_master_key_id,
            sse_algorithm,
        }),
        ..ServerSideEncryptionRule::default()
    };
    Ok(S3Response::new(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration {
            rules: vec![rule],
        }),
    }))
}

/// `PutBucketEncryption`.
pub(super) async fn put(
    door: &Door,
    request: S3Request<PutBucketEncryptionInput>,
) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let mut rules = request.input.server_side_encryption_configuration.rules;
    let (Some(rule), true) = (rules.pop(), rules.is_empty()) else {
        return Err(s3_error!(MalformedXML, "a bucket has one rule of encryption"));
    };
    let default =
        rule.apply_server_side_encryption_by_default.ok_or_else(|| s3_error!(MalformedXML))?;
    let seal = match (default.sse_algorithm.as_str(), &default.kms_master_key_id) {
        (AES256, None) => DefaultSeal::Store,
        (KMS, Some(key)) => DefaultSeal::Service(checked_name(key)?.clone()),
        (KMS, None) => return Err(no_name()),
        (KMS_TWICE, _) => return Err(twice()),
        _ => return Err(s3_error!(InvalidArgument, "AES256 has no key; aws:kms names one")),
    };
    door.change(bucket.id, move |container| {
        DefaultSeal::put(Some(&seal), container);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketEncryptionOutput::default()))
}

/// `DeleteBucketEncryption`.
pub(super) async fn delete(
    door: &Door,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    door.change(bucket.id, move |container| {
        DefaultSeal::put(None, container);
        Ok(())
    })
    .await?;
    Ok(no_content(DeleteBucketEncryptionOutput::default()))
}

#[cfg(test)]
mod tests;
