//! `PutObject`, `CopyObject`, `DeleteObject`, `DeleteObjects`.

use archipelago_model::{FileId, VOLUME_BYTES_MAX};
use archipelago_pool::{
    CopyKeys, CopyOwner, CopySource as From, CopyTarget, Meta, Object, Put, Removed, Sealing,
    Service, Which,
};
use axum::body::Body;
use axum::http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition,
    Error, MetadataDirective, ObjectIdentifier, PutObjectInput, PutObjectOutput, StreamingBlob,
    TaggingDirective, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::acl::{Permission, said_of};
use super::append::Append;
use super::auth::{self, Actor, Need};
use super::checksums::{Expected, Hashed};
use super::door::Door;
use super::fault::{Missing, Refusal, broken, denied};
use super::lock::lock_of;
use super::meta::{self, Conditions, headers_of};
use super::sse::{self, encryption_of, source_key_of};
use super::{lock, policy, read, unmeasured};
use crate::upload::{Upload, upload};

/// Keys that one request removes at most: what S3 has.
const DELETES_MAX: usize = 1000;

/// The body of a request as the gateway's uploads take it.
pub(super) fn body_of(
    extensions: &axum::http::Extensions,
    body: Option<StreamingBlob>,
    headers: &axum::http::HeaderMap,
) -> Upload {
    let set_aside = unmeasured::take(extensions);
    let body = set_aside.or_else(|| body.map(Body::from_stream)).unwrap_or_else(Body::empty);
    Upload::of(body, headers)
}

/// How long it will be.
pub(super) fn size_of(length: Option<i64>) -> S3Result<Option<u64>> {
    let size = length
        .map(|length| u64::try_from(length).map_err(|_| s3_error!(MissingContentLength)))
        .transpose()?;
    match size {
        Some(size) if size > VOLUME_BYTES_MAX => {
            Err(s3_error!(EntityTooLarge, "an object has {VOLUME_BYTES_MAX} bytes at most"))
        }
        size => Ok(size),
    }
}

/// `PutObject`.
pub(super) async fn put(
    door: &Door,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let expected = Expected::new(&request.headers, request.trailing_headers.clone())?;
    let mut actor = door.actor(&request).await?;
    let mut input = request.input;
    // A form has it inside.
    actor.asked.key = Some(input.key.clone());
    if actor.asked.operation == "PostObject" {
        policy::ask_form(&mut actor.asked.context, &input);
    }
    let bucket = door.bucket(&actor, &input.bucket, Permission::Write).await?;
    let (home, name) = (bucket.clone(), auth::key(&input.key)?);
    let sse::Wanted { sealing, key } = encryption_of!(input).wanted(&bucket)?;
    let size =
        size_of(unmeasured::length(&request.extensions, &request.headers, input.content_length))?;
    let mut known = headers_of!(input).meta()?;
    let claim = door.claim(&actor, &said_of!(input), &bucket).await?;
    claim.list.keep(&mut known.settings)?;
    lock::keep(&actor, &bucket, lock_of!(input), door.now_ms(), &mut known.settings)?;
    let body = body_of(&request.extensions, input.body.take(), &request.headers)
        .asking(actor.still(&bucket, Permission::Write));
    let (if_match, if_none_match) = (input.if_match, input.if_none_match);
    if let Some(offset) = input.write_offset_bytes {
        sse::refuse_append(&sealing, &bucket)?;
        let conditions = (if_match, if_none_match);
        let (container, owner) = (bucket.id, claim.owner);
        let append = Append { container, name, offset, size, known, conditions, owner };
        return append.run(door, body, expected).await;
    }
    let stored = upload(&door.app, body, move |service, bytes| {
        let refusal = Refusal::default();
        let hashing = expected.hasher();
        let mut hashed = Hashed { input: bytes, hashing: &hashing };
        let (container, owner) = (bucket.id, claim.owner);
        let to = Put { container, name: &name, size, sealing: &sealing, owner };
        let put = service.object_put_as(
            &to,
            &mut hashed,
            &mut |stored| {
                let checksums = refusal.ask(expected.check(&hashing, &stored.etag))?;
                Ok(Meta { checksums, ..known.clone() })
            },
            &|newest| {
                refusal.ask(meta::check_write(newest, if_match.as_ref(), if_none_match.as_ref()))
            },
        );
        refusal.settle(put)
    });
    let object = stored.await.map_err(|failure| broken(&failure, Missing::Bucket))??;
    let checksums = read::checksums(&object);
    let sealed = sse::shown(object.seal.as_ref(), key.as_ref());
    Ok(S3Response::new(PutObjectOutput {
        sse_customer_algorithm: sealed.customer_algorithm,
        sse_customer_key_md5: sealed.customer_md5,
        ssekms_key_id: sealed.kms_key,
        server_side_encryption: sealed.algorithm,
        expiration: door.ending(&home, &object).await?,
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        checksum_type: checksums.checksum_type,
        e_tag: Some(meta::etag(&object)),
        version_id: meta::version_shown(&object),
        ..PutObjectOutput::default()
    }))
}

/// What is behind the framing of a body that is signed in pieces.
pub(super) fn decoded_length(headers: &axum::http::HeaderMap) -> Option<i64> {
    headers.get("x-amz-decoded-content-length")?.to_str().ok()?.parse().ok()
}

/// Where a copy comes from: bucket, key, version.
pub(super) fn source_of(source: &CopySource) -> S3Result<(&str, &str, Option<&str>)> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => Ok((bucket, key, version_id.as_deref())),
        _ => Err(s3_error!(NotImplemented, "there are no access points here")),
    }
}

/// `CopyObject`.
pub(super) async fn copy(
    door: &Door,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let actor = door.actor(&request).await?;
    let target = target_conditions(&request.headers)?;
    let input = request.input;
    let (bucket, key, version) = source_of(&input.copy_source)?;
    let bucket_to = door.bucket(&actor, &input.bucket, Permission::Write).await?;
    let (container, object) = door.object(&actor, bucket, key, version, Permission::Read).await?;
    let wanted = encryption_of!(input).wanted(&bucket_to)?;
    let source_key = source_key_of!(input).key()?;
    sse::check(object.seal.as_ref(), source_key.as_ref())?;
    let replaces = directive(input.metadata_directive.as_ref().map(MetadataDirective::as_str))?;
    let retags = directive(input.tagging_directive.as_ref().map(TaggingDirective::as_str))?;
    let name = auth::key(&input.key)?;
    let itself = container.id == bucket_to.id && object.name == name && version.is_none();
    let reseals = !matches!(wanted.sealing, Sealing::Default);
    if itself && !replaces && !reseals && input.storage_class.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself \
             without changing the object's metadata, storage class, website redirect location \
             or encryption attributes."
        ));
    }
    let said = said_of!(input);
    let mut said_meta = headers_of!(input).meta()?;
    let claim = door.claim(&actor, &said, &bucket_to).await?;
    claim.list.keep(&mut said_meta.settings)?;
    lock::keep(&actor, &bucket_to, lock_of!(input), door.now_ms(), &mut said_meta.settings)?;
    let from =
        From { container: container.id, name: object.name.clone(), which: meta::which(version)? };
    let (conditions, checked, home) = (input, object.id, bucket_to.clone());
    let sse::Wanted { sealing, key: own_key } = wanted;
    // What is to be encrypted and is not has to be stored once more.
    let long = object.seal.is_none() && (reseals || sse::has_default(&bucket_to)?);
    let copy = move |service: &Service, refusal: &Refusal| {
        let finish = &mut |source: &Object| {
            // Rights were asked of the one that was there then.
            refusal.ask(same_as(source, checked))?;
            refusal.ask(copy_conditions(&conditions).check(source))?;
            Ok(copied_meta(source, &said_meta, replaces, retags))
        };
        let source = source_key.as_ref().map(|key| &key.key);
        let keys = CopyKeys { sealing: &sealing, source };
        let (container, owner) = (bucket_to.id, CopyOwner::Of(claim.owner));
        let to = CopyTarget { container, name: &name, owner };
        let [if_match, if_none_match] = target.each_ref().map(Option::as_ref);
        let check = |newest: Option<&Object>| {
            refusal.ask(meta::check_write(newest, if_match, if_none_match))
        };
        service.object_copy_as(&from, keys, &to, finish, &check)
    };
    let copied = match long {
        true => door.transfer(Missing::Key, copy).await?,
        false => door.call(Missing::Key, copy).await?,
    };
    let expiration = door.ending(&home, &copied).await?;
    let output = copied_output(&copied, own_key.as_ref());
    Ok(S3Response::new(CopyObjectOutput {
        copy_source_version_id: meta::version_shown(&object),
        expiration,
        ..output
    }))
}

/// The conditions of a copy on what it replaces, which the library does not read.
fn target_conditions(headers: &HeaderMap) -> S3Result<[Option<ETagCondition>; 2]> {
    let one = |name: HeaderName| {
        let Some(value) = headers.get(&name) else { return Ok(None) };
        ETagCondition::parse_http_header(value.as_bytes())
            .map(Some)
            .map_err(|_| s3_error!(InvalidArgument, "{name} is `*` or an ETag"))
    };
    Ok([one(IF_MATCH)?, one(IF_NONE_MATCH)?])
}

fn copied_output(copied: &Object, key: Option<&sse::Key>) -> CopyObjectOutput {
    let checksums = read::checksums(copied);
    let sealed = sse::shown(copied.seal.as_ref(), key);
    CopyObjectOutput {
        sse_customer_algorithm: sealed.customer_algorithm,
        sse_customer_key_md5: sealed.customer_md5,
        ssekms_key_id: sealed.kms_key,
        server_side_encryption: sealed.algorithm,
        copy_object_result: Some(CopyObjectResult {
            checksum_crc32: checksums.checksum_crc32,
            checksum_crc32c: checksums.checksum_crc32c,
            checksum_crc64nvme: checksums.checksum_crc64nvme,
            checksum_sha1: checksums.checksum_sha1,
            checksum_sha256: checksums.checksum_sha256,
            checksum_type: checksums.checksum_type,
            e_tag: Some(meta::etag(copied)),
            last_modified: Some(meta::time(copied.created_ms)),
        }),
        version_id: meta::version_shown(copied),
        ..CopyObjectOutput::default()
    }
}

/// Whether this is still the version that rights were asked of.
pub(super) fn same_as(object: &Object, checked: FileId) -> S3Result<()> {
    match object.id == checked {
        true => Ok(()),
        false => Err(s3_error!(SlowDown, "The object was replaced just now. Please try again.")),
    }
}

fn copy_conditions(input: &CopyObjectInput) -> Conditions<'_> {
    Conditions {
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        if_modified_since: input.copy_source_if_modified_since.as_ref(),
        if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        unchanged: S3ErrorCode::PreconditionFailed,
    }
}

/// Whether something is replaced, not copied.
fn directive(text: Option<&str>) -> S3Result<bool> {
    match text {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(s3_error!(InvalidArgument, "a directive is COPY or REPLACE")),
    }
}

/// What is known of a copy. Lists of rights and locks are never copied.
fn copied_meta(source: &Object, said: &Meta, replaces: bool, retags: bool) -> Meta {
    let kept = &source.meta;
    let (headers, user) = match replaces {
        true => (said.headers.clone(), said.user.clone()),
        false => (kept.headers.clone(), kept.user.clone()),
    };
    Meta {
        headers,
        user,
        tags: if retags { said.tags.clone() } else { kept.tags.clone() },
        checksums: kept.checksums.clone(),
        parts: kept.parts.clone(),
        settings: said.settings.clone(),
        grants: said.grants.clone(),
        share: None,
        publish: None,
    }
}

/// `DeleteObject`.
pub(super) async fn delete(
    door: &Door,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Write).await?;
    let wanted = Wanted {
        name: auth::key(&input.key)?,
        which: meta::which(input.version_id.as_deref())?,
        if_match: input.if_match,
        if_size: input.if_match_size,
        if_time: input.if_match_last_modified_time,
        bypass: bypasses(&actor, &bucket, input.bypass_governance_retention),
    };
    let versioned = input.version_id;
    let removed = door
        .call(Missing::Bucket, move |service, refusal| remove(service, refusal, bucket.id, &wanted))
        .await?;
    let object = removed.object.as_ref();
    let marker = object.is_some_and(|object| object.marker);
    Ok(S3Response::with_status(
        DeleteObjectOutput {
            delete_marker: marker.then_some(true),
            version_id: match versioned {
                Some(version) => Some(version),
                None if removed.made_marker => object.map(meta::version_id),
                None => None,
            },
            ..DeleteObjectOutput::default()
        },
        axum::http::StatusCode::NO_CONTENT,
    ))
}

/// Whether a lock that can be lifted is lifted: by the owner, who asks for it.
fn bypasses(actor: &Actor, bucket: &archipelago_pool::Container, asked: Option<bool>) -> bool {
    asked == Some(true) && actor.owns(bucket)
}

/// What is to be removed.
struct Wanted {
    name: archipelago_model::ObjectName,
    which: Which,
    if_match: Option<ETagCondition>,
    if_size: Option<i64>,
    if_time: Option<Timestamp>,
    bypass: bool,
}

fn remove(
    service: &Service,
    refusal: &Refusal,
    container: u64,
    wanted: &Wanted,
) -> Result<Removed, archipelago_pool::Error> {
    service.object_remove(container, &wanted.name, wanted.which, &|found| {
        refusal.ask(may_remove(found, wanted, service.ended_ms()))
    })
}

fn may_remove(found: Option<&Object>, wanted: &Wanted, ended_ms: u64) -> S3Result<()> {
    let conditional =
        wanted.if_match.is_some() || wanted.if_size.is_some() || wanted.if_time.is_some();
    let Some(object) = found else {
        return match conditional {
            true if wanted.which == Which::Latest => Err(S3Error::new(S3ErrorCode::NoSuchKey)),
            _ => Ok(()),
        };
    };
    let wrong = wanted.if_match.as_ref().is_some_and(|one| !meta::matches(one, object))
        || wanted.if_size.is_some_and(|size| size != object.size.cast_signed())
        || wanted
            .if_time
            .as_ref()
            .is_some_and(|time| *time != meta::time(object.created_ms / 1000 * 1000));
    if wrong {
        return Err(S3Error::new(S3ErrorCode::PreconditionFailed));
    }
    // A marker on top of a locked version hides it and takes nothing away.
    if wanted.which == Which::Latest && object.versioned {
        return Ok(());
    }
    lock::check_removable(object, wanted.bypass, ended_ms)
}

/// `DeleteObjects`.
pub(super) async fn delete_many(
    door: &Door,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    if input.delete.objects.is_empty() || input.delete.objects.len() > DELETES_MAX {
        return Err(s3_error!(MalformedXML, "name 1 to {DELETES_MAX} objects"));
    }
    let bucket = door.find_bucket(&actor, &input.bucket).await?;
    let bypass = bypasses(&actor, &bucket, input.bypass_governance_retention);
    let quiet = input.delete.quiet.unwrap_or(false);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for one in input.delete.objects {
        let (key, version_id) = (one.key.clone(), one.version_id.clone());
        let mut asking = actor.clone();
        if let Some(version) = &one.version_id {
            asking.asked.context.insert("s3:versionid".to_owned(), version.clone());
        }
        let (home, key_asked) = (bucket.clone(), one.key.clone());
        let may = door
            .call(Missing::Bucket, move |service, _| {
                let wanted = Need::with_key(&asking, Permission::Write, Some(&key_asked));
                asking.may(service, &home, &wanted)
            })
            .await?;
        let removed = match may {
            true => delete_one(door, bucket.id, one, bypass).await,
            false => Err(denied()),
        };
        match removed {
            Ok(_) if quiet => {}
            Ok(removed) => {
                let object = removed.object.as_ref();
                let marker = object.is_some_and(|object| object.marker);
                deleted.push(DeletedObject {
                    delete_marker: marker.then_some(true),
                    delete_marker_version_id: object.filter(|_| marker).map(meta::version_id),
                    key: Some(key),
                    version_id,
                });
            }
            Err(error) => errors.push(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(key),
                message: error.message().map(str::to_owned),
                version_id,
            }),
        }
    }
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        request_charged: None,
    }))
}

async fn delete_one(
    door: &Door,
    bucket: u64,
    one: ObjectIdentifier,
    bypass: bool,
) -> S3Result<Removed> {
    let wanted = Wanted {
        name: auth::key(&one.key)?,
        which: meta::which(one.version_id.as_deref())?,
        if_match: one.e_tag.map(ETagCondition::ETag),
        if_size: one.size,
        if_time: one.last_modified_time,
        bypass,
    };
    door.call(Missing::Bucket, move |service, refusal| remove(service, refusal, bucket, &wanted))
        .await
}
