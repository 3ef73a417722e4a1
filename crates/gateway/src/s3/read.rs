//! `GetObject`, `HeadObject`, `GetObjectAttributes`.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use archipelago_model::ObjectName;
use archipelago_pool::{Action, Container, Error, Object, Service, Shared, Which};
use axum::http::HeaderValue;
use axum::http::header::IF_RANGE;
use s3s::dto::{
    Checksum, ChecksumMode, ChecksumType, ETagCondition, GetObjectAttributesInput,
    GetObjectAttributesOutput, GetObjectAttributesParts, GetObjectInput, GetObjectOutput,
    GetObjectTorrentInput, GetObjectTorrentOutput, HeadObjectInput, HeadObjectOutput,
    ObjectAttributes, ObjectPart, Range, StorageClass, StreamingBlob, Timestamp, TimestampFormat,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::acl::Permission;
use super::auth::{self, Actor, Need};
use super::checksums;
use super::door::Door;
use super::fault::{Missing, denied, fault};
use super::meta::{self, Conditions};
use super::sse::{self, Key, key_of};
use crate::access;
use crate::server::Hangup;

/// The class that an object was put under.
pub(super) fn class_of(object: &Object) -> String {
    object
        .meta
        .settings
        .get(meta::STORAGE_CLASS)
        .cloned()
        .unwrap_or_else(|| StorageClass::STANDARD.to_owned())
}

impl Door {
    /// A version of an object, for one who may do this with it.
    pub(super) async fn object(
        &self,
        actor: &Actor,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        wanted: Permission,
    ) -> S3Result<(Container, Object)> {
        let container = self.find_bucket(actor, bucket).await?;
        let (name, which) = (auth::key(key)?, meta::which(version)?);
        let (asking, home) = (actor.clone(), container.clone());
        let object = self
            .call(Missing::Key, move |service, refusal| {
                let found = service.object_or_marker(home.id, &name, which)?;
                let Some(object) = found else {
                    return Err(refusal.refuse(missing(service, &asking, &home, &name, which)?));
                };
                match asking.may(service, &home, &Need::of_object(wanted, &object))? {
                    true => Ok(object),
                    false => Err(refusal.refuse(denied())),
                }
            })
            .await?;
        if object.marker {
            return Err(is_marker(&object, which));
        }
        Ok((container, object))
    }
}

/// Nothing is there. Who could neither list it nor read it must not learn that.
fn missing(
    service: &Service,
    actor: &Actor,
    container: &Container,
    name: &ObjectName,
    which: Which,
) -> Result<S3Error, Error> {
    let lists = actor.decide(service, container, &Need::of(actor, Permission::Read))?.is_yes();
    let subject = &actor.subject;
    let reads = lists
        || access::of_object(service, subject, Action::Read, (container, name), None)?.allowed;
    Ok(match (reads, which) {
        (false, _) => {
            let shared = Shared::Path(container.id, name.to_string());
            access::record_refusal(service, subject, Action::Read, &shared, "it is not there");
            denied()
        }
        (true, Which::Version(_)) => S3Error::new(S3ErrorCode::NoSuchVersion),
        (true, _) => S3Error::new(S3ErrorCode::NoSuchKey),
    })
}

/// The newest version says that the object was removed; or this one does.
fn is_marker(object: &Object, which: Which) -> S3Error {
    let code = match which {
        Which::Latest => S3ErrorCode::NoSuchKey,
        _ => S3ErrorCode::MethodNotAllowed,
    };
    let mut error = S3Error::new(code);
    let mut headers = axum::http::HeaderMap::new();
    headers.insert("x-amz-delete-marker", axum::http::HeaderValue::from_static("true"));
    if let Ok(value) = axum::http::HeaderValue::from_str(&meta::version_id(object)) {
        headers.insert("x-amz-version-id", value);
    }
    error.set_headers(headers);
    error
}

/// Whether an object is the one of which a client has the rest: by the tag or the time in
/// `If-Range`, where there is one (RFC 9110, 13.1.5).
fn is_still(validator: Option<&HeaderValue>, object: &Object) -> bool {
    let Some(validator) = validator else { return true };
    let Ok(text) = validator.to_str() else { return false };
    if text.starts_with('"') {
        return text.trim_matches('"') == meta::etag_text(object);
    }
    let time = Timestamp::parse(TimestampFormat::HttpDate, text).ok();
    time == Some(meta::time(object.created_ms / 1000 * 1000))
}

/// Which bytes of an object: from, how many, whether they are a part of it.
fn stretch(
    object: &Object,
    range: Option<&Range>,
    part: Option<i32>,
) -> S3Result<(u64, u64, bool)> {
    if let Some(part) = part {
        if range.is_some() {
            return Err(s3_error!(InvalidRequest, "give a range or a part number, not both"));
        }
        return part_of(object, part);
    }
    let Some(range) = range else { return Ok((0, object.size, false)) };
    let bytes = range.check(object.size).map_err(|_| S3Error::new(S3ErrorCode::InvalidRange))?;
    if bytes.is_empty() {
        return Err(S3Error::new(S3ErrorCode::InvalidRange));
    }
    Ok((bytes.start, bytes.end - bytes.start, true))
}

fn part_of(object: &Object, part: i32) -> S3Result<(u64, u64, bool)> {
    let sizes = match object.meta.parts.as_slice() {
        [] => std::slice::from_ref(&object.size),
        parts => parts,
    };
    let at = usize::try_from(part).ok().and_then(|part| part.checked_sub(1));
    let Some(len) = at.and_then(|at| sizes.get(at)) else {
        return Err(s3_error!(InvalidPart, "there is no part {part}"));
    };
    let from = sizes.iter().take(at.unwrap_or(0)).sum();
    Ok((from, *len, true))
}

fn parts_count(object: &Object, asked: Option<i32>) -> Option<i32> {
    asked.filter(|_| !object.meta.parts.is_empty()).map(|_| object.meta.parts.len() as i32)
}

/// `bytes 0-9/100`.
fn content_range(from: u64, len: u64, size: u64) -> String {
    format!("bytes {from}-{}/{size}", (from + len).saturating_sub(1))
}

/// Headers that a request wants in the place of those of the object.
struct Overrides {
    cache_control: Option<String>,
    content_disposition: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_type: Option<String>,
    expires: Option<Timestamp>,
    checksums: bool,
}

/// Of an input that reads an object.
macro_rules! overrides_of {
    ($input:expr) => {
        Overrides {
            cache_control: $input.response_cache_control,
            content_disposition: $input.response_content_disposition,
            content_encoding: $input.response_content_encoding,
            content_language: $input.response_content_language,
            content_type: $input.response_content_type,
            expires: $input.response_expires,
            checksums: $input
                .checksum_mode
                .is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED),
        }
    };
}

/// All that is said of an object whose bytes go out, or could: from where, how many, whether
/// they are a part of it.
fn described(
    object: &Object,
    sealed: sse::Shown,
    instead: Overrides,
    sums: Checksum,
    (from, len, partial): (u64, u64, bool),
) -> GetObjectOutput {
    let kept = |name: &str| meta::header(object, name);
    GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: instead.cache_control.or_else(|| kept("cache-control")),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        checksum_type: sums.checksum_type,
        content_disposition: instead.content_disposition.or_else(|| kept("content-disposition")),
        content_encoding: instead.content_encoding.or_else(|| kept("content-encoding")),
        content_language: instead.content_language.or_else(|| kept("content-language")),
        content_length: Some(len.cast_signed()),
        content_range: partial.then(|| content_range(from, len, object.size)),
        content_type: instead.content_type.or_else(|| Some(type_of(object))),
        e_tag: Some(meta::etag(object)),
        expires: instead.expires.or_else(|| meta::expires(object)),
        last_modified: Some(meta::time(object.created_ms)),
        metadata: meta::user(object),
        object_lock_legal_hold_status: super::lock::hold_of(object),
        object_lock_mode: super::lock::mode_of(object),
        object_lock_retain_until_date: super::lock::until_of(object),
        sse_customer_algorithm: sealed.customer_algorithm,
        sse_customer_key_md5: sealed.customer_md5,
        ssekms_key_id: sealed.kms_key,
        server_side_encryption: sealed.algorithm,
        storage_class: class_shown(object),
        tag_count: tag_count(object),
        version_id: meta::version_shown(object),
        ..GetObjectOutput::default()
    }
}

/// How often a read begins anew when somebody replaces the object between the question for its
/// conditions and its opening: that takes a moment, and a writer is not there so often.
const TRIES_MAX: usize = 16;

/// `GetObject`.
pub(super) async fn get(
    door: &Door,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let hangup = request.extensions.get::<Arc<Hangup>>().map(|hangup| (**hangup).clone());
    let actor = door.actor(&request).await?;
    sse::refuse_method(&request.headers)?;
    let input = request.input;
    let key = key_of!(input).key()?;
    if actor.identity.is_none() && has_overrides(&input) {
        return Err(s3_error!(
            InvalidRequest,
            "Request specific response headers cannot be used for anonymous GET requests."
        ));
    }
    let validator = request.headers.get(IF_RANGE);
    let asking = Asking { actor: &actor, input: &input, key: key.as_ref(), validator };
    for _ in 0..TRIES_MAX {
        let hangup = hangup.clone().unwrap_or_default();
        if let Some(response) = get_newest(door, &asking, hangup).await? {
            return Ok(response);
        }
    }
    Err(s3_error!(SlowDown, "The object is replaced again and again. Please try again."))
}

/// A request to read an object.
struct Asking<'a> {
    actor: &'a Actor,
    input: &'a GetObjectInput,
    key: Option<&'a Key>,
    /// `If-Range`.
    validator: Option<&'a HeaderValue>,
}

/// The same, of the version that is there now; `None` when it is replaced meanwhile.
async fn get_newest(
    door: &Door,
    asking: &Asking<'_>,
    hangup: Hangup,
) -> S3Result<Option<S3Response<GetObjectOutput>>> {
    let Asking { actor, input, key, validator } = *asking;
    let version = input.version_id.as_deref();
    let (container, object) =
        door.object(actor, &input.bucket, &input.key, version, Permission::Read).await?;
    if let Some(part) = input.part_number {
        part_of(&object, part)?;
    }
    sse::check(object.seal.as_ref(), key)?;
    conditions(
        &input.if_match,
        &input.if_none_match,
        &input.if_modified_since,
        &input.if_unmodified_since,
    )
    .check(&object)?;
    let range = input.range.as_ref().filter(|_| is_still(validator, &object));
    let (from, len, partial) = stretch(&object, range, input.part_number)?;
    let ending = door.ending(&container, &object).await?;
    let (sent, key_sent) = (object.clone(), key.cloned());
    let replaced = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&replaced);
    let body = crate::download::body(&door.app, hangup, move |service, out| {
        send(service, container.id, &sent, key_sent.as_ref(), (from, len), out, &noted)
    });
    let body = match body.await {
        Err(_) if replaced.load(Relaxed) => return Ok(None),
        body => body.map_err(|failure| fault(&failure, Missing::Key))?,
    };
    let (asked, sealed) = (input.clone(), sse::shown(object.seal.as_ref(), key));
    let instead = overrides_of!(asked);
    let wanted = (instead.checksums, partial);
    let sums = door.sums_shown(&object, input.part_number, wanted).await?;
    let mut output = described(&object, sealed, instead, sums, (from, len, partial));
    output.body = Some(StreamingBlob::from(s3s::Body::http_body_unsync(body)));
    output.parts_count = parts_count(&object, input.part_number);
    output.expiration = ending;
    let mut response = S3Response::new(output);
    if partial {
        response.status = Some(axum::http::StatusCode::PARTIAL_CONTENT);
    }
    Ok(Some(response))
}

/// Sends bytes of the very version that the conditions were checked of.
fn send(
    service: &Service,
    container: u64,
    object: &Object,
    key: Option<&Key>,
    (from, len): (u64, u64),
    out: &mut dyn Write,
    is_replaced: &AtomicBool,
) -> Result<(), archipelago_pool::Error> {
    let which = if object.versioned { Which::Version(object.id) } else { Which::Unversioned };
    let key = key.map(|key| &key.key);
    let content = service.object_open_as(container, &object.name, which, key)?;
    if content.object().id != object.id {
        is_replaced.store(true, Relaxed);
        return Err(replaced());
    }
    let mut bytes = content.range(from, len);
    std::io::copy(&mut bytes, out).map(drop).map_err(|error| {
        match error.downcast::<archipelago_pool::Error>() {
            Ok(error) => error,
            Err(error) => {
                let message = format!("cannot send: {error}; try again");
                archipelago_pool::Error::new(archipelago_pool::ErrorKind::Unavailable, message)
            }
        }
    })
}

/// Nobody is told, and nothing failed: the read begins anew.
fn replaced() -> archipelago_pool::Error {
    let message = "the object was replaced just now; ask again";
    archipelago_pool::Error::new(archipelago_pool::ErrorKind::InUse, message)
}

fn has_overrides(input: &GetObjectInput) -> bool {
    input.response_cache_control.is_some()
        || input.response_content_disposition.is_some()
        || input.response_content_encoding.is_some()
        || input.response_content_language.is_some()
        || input.response_content_type.is_some()
        || input.response_expires.is_some()
}

fn conditions<'a>(
    if_match: &'a Option<ETagCondition>,
    if_none_match: &'a Option<ETagCondition>,
    if_modified_since: &'a Option<Timestamp>,
    if_unmodified_since: &'a Option<Timestamp>,
) -> Conditions<'a> {
    Conditions {
        if_match: if_match.as_ref(),
        if_none_match: if_none_match.as_ref(),
        if_modified_since: if_modified_since.as_ref(),
        if_unmodified_since: if_unmodified_since.as_ref(),
        unchanged: S3ErrorCode::NotModified,
    }
}

fn type_of(object: &Object) -> String {
    meta::header(object, "content-type").unwrap_or_else(|| "binary/octet-stream".to_owned())
}

fn class_shown(object: &Object) -> Option<StorageClass> {
    object.meta.settings.get(meta::STORAGE_CLASS).map(|class| StorageClass::from(class.clone()))
}

fn tag_count(object: &Object) -> Option<i32> {
    Some(object.meta.tags.len() as i32).filter(|count| *count > 0)
}

pub(super) fn checksums(object: &Object) -> Checksum {
    let one = |name: &str| object.meta.checksums.get(name).cloned();
    let any = object.meta.checksums.keys().any(|name| name != "type");
    let checksum_type = any.then(|| checksum_type(object));
    Checksum { checksum_type, ..checksums::shown(one) }
}

fn checksum_type(object: &Object) -> ChecksumType {
    match object.meta.checksums.get("type") {
        Some(kind) => ChecksumType::from(kind.clone()),
        None => ChecksumType::from_static(ChecksumType::FULL_OBJECT),
    }
}

/// Checksums of parts, in the order of these, by name.
type PartSums = BTreeMap<String, Vec<String>>;

/// Those of one part.
fn sums_of_part(object: &Object, sums: &PartSums, at: usize) -> Checksum {
    let checksum_type = (!sums.is_empty()).then(|| checksum_type(object));
    let one = |name: &str| sums.get(name)?.get(at).cloned();
    Checksum { checksum_type, ..checksums::shown(one) }
}

impl Door {
    async fn part_sums(&self, object: &Object) -> S3Result<PartSums> {
        let id = object.id;
        self.call(Missing::Key, move |service, _| service.part_checksums(id)).await
    }

    /// What an answer with these bytes says of their checksums: those of all, or of a part.
    async fn sums_shown(
        &self,
        object: &Object,
        part: Option<i32>,
        (asked, partial): (bool, bool),
    ) -> S3Result<Checksum> {
        Ok(match part.and_then(|part| usize::try_from(part).ok()?.checked_sub(1)) {
            _ if !asked => Checksum::default(),
            Some(at) if !object.meta.parts.is_empty() => {
                sums_of_part(object, &self.part_sums(object).await?, at)
            }
            // They are those of the whole.
            _ if partial => Checksum::default(),
            _ => checksums(object),
        })
    }
}

/// `HeadObject`.
pub(super) async fn head(
    door: &Door,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let actor = door.actor(&request).await?;
    sse::refuse_method(&request.headers)?;
    let validator = request.headers.get(IF_RANGE).cloned();
    let input = request.input;
    let key = key_of!(input).key()?;
    let version = input.version_id.as_deref();
    let (container, object) =
        door.object(&actor, &input.bucket, &input.key, version, Permission::Read).await?;
    if let Some(part) = input.part_number {
        part_of(&object, part)?;
    }
    sse::check(object.seal.as_ref(), key.as_ref())?;
    conditions(
        &input.if_match,
        &input.if_none_match,
        &input.if_modified_since,
        &input.if_unmodified_since,
    )
    .check(&object)?;
    let range = input.range.as_ref().filter(|_| is_still(validator.as_ref(), &object));
    let (from, len, partial) = stretch(&object, range, input.part_number)?;
    let sealed = sse::shown(object.seal.as_ref(), key.as_ref());
    let instead = overrides_of!(input);
    let wanted = (instead.checksums, partial);
    let sums = door.sums_shown(&object, input.part_number, wanted).await?;
    let shown = described(&object, sealed, instead, sums, (from, len, partial));
    let mut response = S3Response::new(HeadObjectOutput {
        accept_ranges: shown.accept_ranges,
        cache_control: shown.cache_control,
        checksum_crc32: shown.checksum_crc32,
        checksum_crc32c: shown.checksum_crc32c,
        checksum_crc64nvme: shown.checksum_crc64nvme,
        checksum_sha1: shown.checksum_sha1,
        checksum_sha256: shown.checksum_sha256,
        checksum_type: shown.checksum_type,
        content_disposition: shown.content_disposition,
        content_encoding: shown.content_encoding,
        content_language: shown.content_language,
        content_length: shown.content_length,
        content_range: shown.content_range,
        content_type: shown.content_type,
        e_tag: shown.e_tag,
        expiration: door.ending(&container, &object).await?,
        expires: shown.expires,
        last_modified: shown.last_modified,
        metadata: shown.metadata,
        object_lock_legal_hold_status: shown.object_lock_legal_hold_status,
        object_lock_mode: shown.object_lock_mode,
        object_lock_retain_until_date: shown.object_lock_retain_until_date,
        parts_count: parts_count(&object, input.part_number),
        sse_customer_algorithm: shown.sse_customer_algorithm,
        sse_customer_key_md5: shown.sse_customer_key_md5,
        ssekms_key_id: shown.ssekms_key_id,
        server_side_encryption: shown.server_side_encryption,
        storage_class: shown.storage_class,
        version_id: shown.version_id,
        ..HeadObjectOutput::default()
    });
    if partial {
        response.status = Some(axum::http::StatusCode::PARTIAL_CONTENT);
    }
    if let Some(count) = tag_count(&object) {
        response.headers.insert("x-amz-tagging-count", axum::http::HeaderValue::from(count));
    }
    Ok(response)
}

/// Marks the answer in whose document the ETag has no quotes, unlike everywhere else.
#[derive(Clone)]
struct BareEtag;

/// Takes the quotes off, where they do not belong; the library always writes them.
pub(super) fn take_quotes_off(response: &mut s3s::HttpResponse) {
    if response.extensions_mut().remove::<BareEtag>().is_none() {
        return;
    }
    let Some(document) = response.body().bytes() else { return };
    let bare = without_quotes(&String::from_utf8_lossy(&document));
    *response.body_mut() = s3s::Body::from(bare);
}

pub(super) fn without_quotes(document: &str) -> String {
    document.replacen("<ETag>\"", "<ETag>", 1).replacen("\"</ETag>", "</ETag>", 1)
}

/// `GetObjectAttributes`.
pub(super) async fn attributes(
    door: &Door,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let key = key_of!(input).key()?;
    let version = input.version_id.as_deref();
    let (_, object) =
        door.object(&actor, &input.bucket, &input.key, version, Permission::Read).await?;
    sse::check(object.seal.as_ref(), key.as_ref())?;
    // Several may come in one header.
    let asks = |name: &str| {
        let mut all = input.object_attributes.iter().flat_map(|one| one.as_str().split(','));
        all.any(|one| one.trim() == name)
    };
    let parts = match asks(ObjectAttributes::OBJECT_PARTS) && !object.meta.parts.is_empty() {
        true => {
            let sums = door.part_sums(&object).await?;
            Some(parts_of(&object, &sums, input.max_parts, input.part_number_marker))
        }
        false => None,
    };
    let mut response = S3Response::new(GetObjectAttributesOutput {
        checksum: asks(ObjectAttributes::CHECKSUM).then(|| checksums(&object)),
        e_tag: asks(ObjectAttributes::ETAG).then(|| meta::etag(&object)),
        last_modified: Some(meta::time(object.created_ms)),
        object_parts: parts,
        object_size: asks(ObjectAttributes::OBJECT_SIZE).then(|| object.size.cast_signed()),
        storage_class: asks(ObjectAttributes::STORAGE_CLASS)
            .then(|| StorageClass::from(class_of(&object))),
        version_id: meta::version_shown(&object),
        ..GetObjectAttributesOutput::default()
    });
    response.extensions.insert(BareEtag);
    Ok(response)
}

fn parts_of(
    object: &Object,
    sums: &PartSums,
    max: Option<i32>,
    marker: Option<i32>,
) -> GetObjectAttributesParts {
    let sizes = &object.meta.parts;
    let max = max.unwrap_or(1000).clamp(0, 1000);
    let from = marker.unwrap_or(0).max(0) as usize;
    let page = sizes.iter().enumerate().skip(from).take(max as usize);
    let parts: Vec<ObjectPart> = page
        .map(|(at, size)| {
            let sums = sums_of_part(object, sums, at);
            ObjectPart {
                checksum_crc32: sums.checksum_crc32,
                checksum_crc32c: sums.checksum_crc32c,
                checksum_crc64nvme: sums.checksum_crc64nvme,
                checksum_sha1: sums.checksum_sha1,
                checksum_sha256: sums.checksum_sha256,
                part_number: Some(at as i32 + 1),
                size: Some(size.cast_signed()),
            }
        })
        .collect();
    let last = (from + parts.len()) as i32;
    GetObjectAttributesParts {
        is_truncated: Some((last as usize) < sizes.len()),
        max_parts: Some(max),
        next_part_number_marker: Some(last),
        part_number_marker: Some(from as i32),
        parts: Some(parts),
        total_parts_count: Some(sizes.len() as i32),
    }
}

/// `GetObjectTorrent`: there are none.
pub(super) async fn torrent(
    _: &Door,
    _: S3Request<GetObjectTorrentInput>,
) -> S3Result<S3Response<GetObjectTorrentOutput>> {
    Err(s3_error!(NoSuchKey, "there are no torrents here"))
}
