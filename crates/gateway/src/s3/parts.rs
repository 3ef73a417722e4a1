//! Uploads in parts.

use std::collections::BTreeMap;

use archipelago_model::ObjectName;
use archipelago_pool::{CopySource as From, Meta, Object, PartKeys, PartSums, Upload, UploadAt};
use axum::http::HeaderMap;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedMultipartUpload,
    CompletedPart, CopyPartResult, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag,
    ListPartsInput, ListPartsOutput, Part, StorageClass, UploadPartCopyInput, UploadPartCopyOutput,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::acl::{Permission, said_of};
use super::auth;
use super::checksums::{self, Expected, Hashed, Kind};
use super::door::Door;
use super::fault::{Missing, Refusal, broken};
use super::lock::lock_of;
use super::meta::{self, Conditions, headers_of};
use super::sse::{self, encryption_of, key_of, source_key_of};
use super::write::{body_of, same_as, size_of, source_of};
use super::{listing, lock, ownership, read, unmeasured};
use crate::upload::upload;

/// All parts but the last have at least so many bytes: what S3 has.
const PART_BYTES_MIN: u64 = 5 << 20;

/// Under this name an object keeps which upload it came by.
const UPLOAD: &str = "s3.upload";

/// `CreateMultipartUpload`.
pub(super) async fn create(
    door: &Door,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Write).await?;
    let name = auth::key(&input.key)?;
    let sse::Wanted { sealing, key } = encryption_of!(input).wanted(&bucket)?;
    let mut known = headers_of!(input).meta()?;
    let said = said_of!(input);
    let claim = door.claim(&actor, &said, &bucket).await?;
    claim.list.keep(&mut known.settings)?;
    ownership::keep_initiator(&actor, &bucket, &mut known.settings);
    lock::keep(&actor, &bucket, lock_of!(input), door.now_ms(), &mut known.settings)?;
    let kind = Kind::said(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
    if let Some(kind) = kind {
        kind.keep(&mut known.settings);
    }
    let upload = door
        .call(Missing::Bucket, move |service, _| {
            service.upload_create_as(bucket.id, &name, known, &sealing, claim.owner)
        })
        .await?;
    let sealed = sse::shown(upload.seal.as_ref(), key.as_ref());
    Ok(S3Response::new(CreateMultipartUploadOutput {
        sse_customer_algorithm: sealed.customer_algorithm,
        sse_customer_key_md5: sealed.customer_md5,
        ssekms_key_id: sealed.kms_key,
        server_side_encryption: sealed.algorithm,
        bucket: Some(input.bucket),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: kind.map(Kind::shown),
        key: Some(input.key),
        upload_id: Some(upload.uuid),
        ..CreateMultipartUploadOutput::default()
    }))
}

fn number(number: i32) -> S3Result<u32> {
    u32::try_from(number)
        .ok()
        .filter(|number| (1..=archipelago_pool::PARTS_MAX).contains(number))
        .ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and 10000, inclusive"
            )
        })
}

/// `UploadPart`.
pub(super) async fn put(
    door: &Door,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let mut expected = Expected::new(&request.headers, request.trailing_headers.clone())?;
    let actor = door.actor(&request).await?;
    let mut input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Write).await?;
    let (name, number) = (auth::key(&input.key)?, number(input.part_number)?);
    let key = key_of!(input).key()?;
    let upload_to = door.upload(bucket.id, &name, &input.upload_id).await?;
    let sealed = seal_of(&upload_to, key.as_ref())?;
    // Where the upload is to have a checksum each part gets one, whoever sends it.
    expected.want(Kind::of(&upload_to.meta.settings));
    let size =
        size_of(unmeasured::length(&request.extensions, &request.headers, input.content_length))?;
    let body = body_of(&request.extensions, input.body.take(), &request.headers)
        .asking(actor.still(&bucket, Permission::Write));
    let uuid = input.upload_id;
    let stored = upload(&door.app, body, move |service, bytes| {
        let refusal = Refusal::default();
        let hashing = expected.hasher();
        let mut hashed = Hashed { input: bytes, hashing: &hashing };
        let at = UploadAt { container: bucket.id, name: &name, uuid: &uuid };
        let key = key.as_ref().map(|key| &key.key);
        let put = service.upload_part_as(at, number, key, size, &mut hashed, &mut |stored| {
            refusal.ask(expected.check(&hashing, &stored.etag))
        });
        refusal.settle(put)
    });
    let part = stored.await.map_err(|failure| broken(&failure, Missing::Upload))??;
    let sums = checksums::shown(|name| part.checksums.get(name).cloned());
    Ok(S3Response::new(UploadPartOutput {
        sse_customer_algorithm: sealed.customer_algorithm,
        sse_customer_key_md5: sealed.customer_md5,
        ssekms_key_id: sealed.kms_key,
        server_side_encryption: sealed.algorithm,
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        e_tag: Some(ETag::Strong(part.etag)),
        ..UploadPartOutput::default()
    }))
}

/// `bytes=0-9`, both inclusive, as offset and length.
pub(super) fn copy_range(text: &str) -> S3Result<(u64, u64)> {
    let invalid = || {
        s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy"
        )
    };
    let (first, last) =
        text.strip_prefix("bytes=").and_then(|rest| rest.split_once('-')).ok_or_else(invalid)?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return Err(invalid());
    }
    let first: u64 = first.parse().map_err(|_| invalid())?;
    let last: u64 = last.parse().map_err(|_| invalid())?;
    match last.checked_sub(first).and_then(|len| len.checked_add(1)) {
        Some(len) => Ok((first, len)),
        None => Err(invalid()),
    }
}

/// `UploadPartCopy`.
pub(super) async fn copy(
    door: &Door,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let (bucket, key, version) = source_of(&input.copy_source)?;
    let to = door.bucket(&actor, &input.bucket, Permission::Write).await?;
    let (name, number) = (auth::key(&input.key)?, number(input.part_number)?);
    let range = input.copy_source_range.as_deref().map(copy_range).transpose()?;
    let (container, object) = door.object(&actor, bucket, key, version, Permission::Read).await?;
    let (own_key, source_key) = (key_of!(input).key()?, source_key_of!(input).key()?);
    sse::check(object.seal.as_ref(), source_key.as_ref())?;
    let upload_to = door.upload(to.id, &name, &input.upload_id).await?;
    let sealed = seal_of(&upload_to, own_key.as_ref())?;
    // As of a part that is sent.
    let mut expected = Expected::new(&HeaderMap::new(), None)?;
    expected.want(Kind::of(&upload_to.meta.settings));
    if range.is_some_and(|(first, len)| first.saturating_add(len) > object.size) {
        return Err(s3_error!(InvalidRange, "The range ends behind the end of the source"));
    }
    let from =
        From { container: container.id, name: object.name.clone(), which: meta::which(version)? };
    let shown = meta::version_shown(&object);
    let (conditions, checked) = (input, object.id);
    let part = door
        .transfer(Missing::Upload, move |service, refusal| {
            let at = UploadAt { container: to.id, name: &name, uuid: &conditions.upload_id };
            let check = |source: &Object| {
                refusal.ask(same_as(source, checked))?;
                let conditions = Conditions {
                    if_match: conditions.copy_source_if_match.as_ref(),
                    if_none_match: conditions.copy_source_if_none_match.as_ref(),
                    if_modified_since: conditions.copy_source_if_modified_since.as_ref(),
                    if_unmodified_since: conditions.copy_source_if_unmodified_since.as_ref(),
                    unchanged: S3ErrorCode::PreconditionFailed,
                };
                refusal.ask(conditions.check(source))
            };
            let keys = PartKeys {
                upload: own_key.as_ref().map(|key| &key.key),
                source: source_key.as_ref().map(|key| &key.key),
            };
            let hashing = expected.hasher();
            let sums = PartSums {
                see: &mut |bytes| hashing.update(bytes),
                finish: &mut |stored| refusal.ask(expected.check(&hashing, &stored.etag)),
            };
            service.upload_part_copy_as(at, number, (&from, range), keys, &check, sums)
        })
        .await?;
    let sums = checksums::shown(|name| part.checksums.get(name).cloned());
    Ok(S3Response::new(UploadPartCopyOutput {
        sse_customer_algorithm: sealed.customer_algorithm,
        sse_customer_key_md5: sealed.customer_md5,
        ssekms_key_id: sealed.kms_key,
        server_side_encryption: sealed.algorithm,
        copy_part_result: Some(CopyPartResult {
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            e_tag: Some(ETag::Strong(part.etag)),
            last_modified: Some(meta::time(part.created_ms)),
        }),
        copy_source_version_id: shown,
        ..UploadPartCopyOutput::default()
    }))
}

/// Whether all parts that a client names are there, and are what it takes them for.
fn are_here(
    here: &[archipelago_pool::Part],
    wanted: &[(u32, String)],
    sums: &[(u32, &'static str, String)],
) -> bool {
    let here: BTreeMap<u32, &archipelago_pool::Part> =
        here.iter().map(|part| (part.number, part)).collect();
    let is_here =
        |(number, etag): &(u32, String)| here.get(number).is_some_and(|part| part.etag == *etag);
    // Of one that an older program copied no checksum is known.
    let is_same = |(number, name, said): &(u32, &'static str, String)| {
        let sum = here.get(number).and_then(|part| part.checksums.get(*name));
        sum.is_none_or(|sum| sum == said)
    };
    wanted.iter().all(is_here) && sums.iter().all(is_same)
}

/// The parts that a client names, by number, and the checksums that it says of them.
#[allow(clippy::type_complexity, reason = "two lists, each used once")]
fn wanted_of(
    upload: Option<CompletedMultipartUpload>,
) -> S3Result<(Vec<(u32, String)>, Vec<(u32, &'static str, String)>)> {
    let parts = upload.and_then(|upload| upload.parts).unwrap_or_default();
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML));
    }
    let wanted: Vec<(u32, String)> = parts
        .iter()
        .map(|part| {
            let etag = part.e_tag.as_ref().map(|etag| etag.value().to_owned());
            Ok((number(part.part_number.unwrap_or(0))?, etag.unwrap_or_default()))
        })
        .collect::<S3Result<_>>()?;
    if !wanted.is_sorted_by_key(|part| part.0) {
        return Err(S3Error::new(S3ErrorCode::InvalidPartOrder));
    }
    // Of a part that was sent again, the last answer counts.
    let by_number: BTreeMap<u32, String> = wanted.into_iter().collect();
    let of_part = |part: CompletedPart| {
        let number = part.part_number.unwrap_or(0).cast_unsigned();
        let all = [
            ("crc32", part.checksum_crc32),
            ("crc32c", part.checksum_crc32c),
            ("crc64nvme", part.checksum_crc64nvme),
            ("sha1", part.checksum_sha1),
            ("sha256", part.checksum_sha256),
        ];
        all.into_iter().filter_map(move |(name, said)| Some((number, name, said?)))
    };
    Ok((by_number.into_iter().collect(), parts.into_iter().flat_map(of_part).collect()))
}

/// `CompleteMultipartUpload`.
pub(super) async fn complete(
    door: &Door,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let expected = Expected::new(&request.headers, None)?;
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Write).await?;
    let (home, name) = (bucket.clone(), auth::key(&input.key)?);
    // Parts are joined as they are stored: no key is needed, but one that comes must be right.
    let key = key_of!(input).key()?;
    if key.is_some() {
        match door.sealed_upload(bucket.id, &name, &input.upload_id, key.as_ref()).await {
            // It may have been completed before.
            Err(error) if *error.code() == S3ErrorCode::NoSuchUpload => {}
            told => drop(told?),
        }
    }
    let (wanted, sums) = wanted_of(input.multipart_upload)?;
    let (uuid, said_size, kind) = (input.upload_id, input.mpu_object_size, input.checksum_type);
    let (if_match, if_none_match) = (input.if_match, input.if_none_match);
    let object = door
        .transfer(Missing::Upload, move |service, refusal| {
            let at = UploadAt { container: bucket.id, name: &name, uuid: &uuid };
            let here = match service.parts(at, 0, archipelago_pool::PARTS_MAX as usize) {
                Err(error) if error.kind() == archipelago_pool::ErrorKind::NotFound => {
                    return completed_before(service, at, error);
                }
                here => here?,
            };
            if !are_here(&here, &wanted, &sums) {
                return Err(refusal.refuse(S3Error::new(S3ErrorCode::InvalidPart)));
            }
            service.upload_complete(
                at,
                &wanted,
                &mut |upload, parts| {
                    refusal.ask(known_of(upload, parts, said_size, (&expected, kind.as_ref())))
                },
                &|newest| {
                    refusal.ask(meta::check_write(
                        newest,
                        if_match.as_ref(),
                        if_none_match.as_ref(),
                    ))
                },
            )
        })
        .await?;
    let expiration = door.ending(&home, &object).await?;
    Ok(completed((input.bucket, input.key), &object, key.as_ref(), expiration))
}

fn completed(
    (bucket, name): (String, String),
    object: &Object,
    key: Option<&sse::Key>,
    expiration: Option<String>,
) -> S3Response<CompleteMultipartUploadOutput> {
    let checksums = read::checksums(object);
    let sealed = sse::shown(object.seal.as_ref(), key);
    let mut response = S3Response::new(CompleteMultipartUploadOutput {
        ssekms_key_id: sealed.kms_key.clone(),
        server_side_encryption: sealed.algorithm.clone(),
        expiration,
        location: Some(format!("/{bucket}/{name}")),
        bucket: Some(bucket),
        key: Some(name),
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        checksum_type: checksums.checksum_type,
        e_tag: Some(meta::etag(object)),
        version_id: meta::version_shown(object),
        ..CompleteMultipartUploadOutput::default()
    });
    sse::add(&sealed, &mut response.headers);
    response
}

impl Door {
    /// An upload under way.
    async fn upload(&self, container: u64, name: &ObjectName, uuid: &str) -> S3Result<Upload> {
        let (name, uuid) = (name.clone(), uuid.to_owned());
        self.call(Missing::Upload, move |service, _| {
            service.upload(UploadAt { container, name: &name, uuid: &uuid })
        })
        .await
    }

    /// What answers say of its encryption.
    async fn sealed_upload(
        &self,
        container: u64,
        name: &ObjectName,
        uuid: &str,
        key: Option<&sse::Key>,
    ) -> S3Result<sse::Shown> {
        seal_of(&self.upload(container, name, uuid).await?, key)
    }
}

/// What answers say of the encryption of an upload, to one who has its key.
fn seal_of(upload: &Upload, key: Option<&sse::Key>) -> S3Result<sse::Shown> {
    sse::check(upload.seal.as_ref(), key)?;
    Ok(sse::shown(upload.seal.as_ref(), key))
}

/// What is known of an object of these parts.
fn known_of(
    upload: &archipelago_pool::Upload,
    parts: &[archipelago_pool::Part],
    said_size: Option<i64>,
    (expected, kind): (&Expected, Option<&ChecksumType>),
) -> S3Result<Meta> {
    let inner = parts.split_last().map_or(&[][..], |(_, inner)| inner);
    if inner.iter().any(|part| part.size < PART_BYTES_MIN) {
        return Err(S3Error::new(S3ErrorCode::EntityTooSmall));
    }
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if said_size.is_some_and(|said| said != size.cast_signed()) {
        return Err(s3_error!(InvalidRequest, "the parts have {size} bytes together"));
    }
    let mut known =
        Meta { parts: parts.iter().map(|part| part.size).collect(), ..upload.meta.clone() };
    known.settings.insert(UPLOAD.to_owned(), upload.uuid.clone());
    known.settings.remove(ownership::INITIATOR);
    Kind::forget(&mut known.settings);
    let declared = Kind::of(&upload.meta.settings);
    if let Some((kind, sum)) = Kind::of_parts(declared, expected, kind, parts)? {
        known.checksums.insert(kind.name.to_owned(), sum);
        known.checksums.insert("type".to_owned(), kind.shown().as_str().to_owned());
    }
    Ok(known)
}

/// The answer may have been lost: who asks again gets it.
fn completed_before(
    service: &archipelago_pool::Service,
    at: UploadAt<'_>,
    error: archipelago_pool::Error,
) -> Result<Object, archipelago_pool::Error> {
    let newest = service.object(at.container, at.name, archipelago_pool::Which::Latest);
    match newest {
        Ok(object) if object.meta.settings.get(UPLOAD).is_some_and(|id| id == at.uuid) => {
            Ok(object)
        }
        _ => Err(error),
    }
}

/// `AbortMultipartUpload`.
pub(super) async fn abort(
    door: &Door,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Write).await?;
    let (name, uuid) = (auth::key(&input.key)?, input.upload_id);
    door.call(Missing::Upload, move |service, _| {
        service.upload_abort(UploadAt { container: bucket.id, name: &name, uuid: &uuid })
    })
    .await?;
    let output = AbortMultipartUploadOutput::default();
    Ok(S3Response::with_status(output, axum::http::StatusCode::NO_CONTENT))
}

/// `ListParts`.
pub(super) async fn list(
    door: &Door,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Write).await?;
    let (name, uuid) = (auth::key(&input.key)?, input.upload_id.clone());
    let max = input.max_parts.unwrap_or(1000).clamp(0, 1000);
    let after = u32::try_from(input.part_number_marker.unwrap_or(0)).unwrap_or(0);
    let (upload, mut parts) = door
        .call(Missing::Upload, move |service, _| {
            let at = UploadAt { container: bucket.id, name: &name, uuid: &uuid };
            Ok((service.upload(at)?, service.parts(at, after, max as usize + 1)?))
        })
        .await?;
    let owners = door.owners_of_uploads(&bucket, std::slice::from_ref(&upload)).await?;
    let more = parts.len() > max as usize;
    parts.truncate(max as usize);
    let shown = |part: &archipelago_pool::Part| {
        let sums = checksums::shown(|name| part.checksums.get(name).cloned());
        Part {
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            e_tag: Some(ETag::Strong(part.etag.clone())),
            last_modified: Some(meta::time(part.created_ms)),
            part_number: Some(part.number as i32),
            size: Some(part.size.cast_signed()),
        }
    };
    let kind = Kind::of(&upload.meta.settings);
    let owner = owners.of(bucket.writer_of_upload(&upload));
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: kind.map(Kind::algorithm),
        checksum_type: kind.map(Kind::shown),
        initiator: Some(owners.initiator(&upload)),
        is_truncated: Some(more),
        key: Some(listing::legible(&input.key)),
        max_parts: Some(max),
        next_part_number_marker: parts.last().map(|part| part.number as i32),
        owner: Some(owner),
        part_number_marker: Some(after as i32),
        parts: Some(parts.iter().map(shown).collect()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    }))
}
