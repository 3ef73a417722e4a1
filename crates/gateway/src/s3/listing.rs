//! Listings: of buckets, objects, versions and uploads.

use archipelago_pool::{Container, Listing, Object as Found};
use s3s::dto::{
    Bucket, CommonPrefix, CommonPrefixList, DeleteMarkerEntry, DeleteMarkers, EncodingType,
    ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, MultipartUpload, Object, ObjectStorageClass,
    ObjectVersion, ObjectVersionList, ObjectVersionStorageClass, Owner, StorageClass,
};
use s3s::path::check_bucket_name;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::acl::Permission;
use super::buckets::RESERVED;
use super::checksums::Kind;
use super::door::Door;
use super::fault::Missing;
use super::meta;

/// Names on a page: what S3 has, whatever a client asks for.
const PAGE_MAX: i32 = 1000;

/// Percent-encodes what XML cannot carry, where a client asks for it. Where none does, one such
/// name must not keep the client from reading the others: a mark stands for each such character.
struct Encoding(bool);

/// A text as it is shown where nobody can ask for another encoding.
pub(super) fn legible(text: &str) -> String {
    text.replace(is_beyond_xml, "\u{fffd}")
}

/// What XML 1.0 cannot say, and the carriage return, which readers take for another character.
pub(super) const fn is_beyond_xml(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

impl Encoding {
    fn new(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self(false)),
            Some(EncodingType::URL) => Ok(Self(true)),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified")),
        }
    }

    fn text(&self, text: &str) -> String {
        if !self.0 {
            return legible(text);
        }
        let mut out = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    out.push(char::from(byte));
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    }
}

fn page_size(asked: Option<i32>) -> S3Result<i32> {
    match asked {
        Some(keys) if keys < 0 => {
            Err(s3_error!(InvalidArgument, "max-keys must be a number that is not negative"))
        }
        asked => Ok(asked.unwrap_or(PAGE_MAX).min(PAGE_MAX)),
    }
}

fn prefixes(names: &[String], encoding: &Encoding) -> Option<CommonPrefixList> {
    let prefix = |name: &String| CommonPrefix { prefix: Some(encoding.text(name)) };
    (!names.is_empty()).then(|| names.iter().map(prefix).collect())
}

fn shown(object: &Found, encoding: &Encoding, owner: Option<Owner>) -> Object {
    Object {
        e_tag: Some(meta::etag(object)),
        key: Some(encoding.text(object.name.as_str())),
        last_modified: Some(meta::time(object.created_ms)),
        owner,
        size: Some(object.size.cast_signed()),
        storage_class: Some(ObjectStorageClass::from(super::read::class_of(object))),
        ..Object::default()
    }
}

/// `ListBuckets`.
pub(super) async fn buckets(
    door: &Door,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let actor = door.actor(&request).await?;
    let account = actor.identity()?.account.clone();
    let input = request.input;
    let limit = input.max_buckets.map_or(10_000, |max| max.clamp(1, 10_000)) as usize;
    let after = input.continuation_token.unwrap_or_default();
    let id = account.id;
    let mut found: Vec<Container> = door
        .call(Missing::Bucket, move |service, _| service.containers(id, &after, limit + 1))
        .await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let continuation_token =
        if more { found.last().map(|last| last.name.to_string()) } else { None };
    let prefix = input.prefix.clone().unwrap_or_default();
    // What other doors made under a name that no request of S3 reaches is no bucket.
    found.retain(|bucket| {
        let name = bucket.name.as_str();
        name.starts_with(&prefix) && check_bucket_name(name) && !RESERVED.contains(&name)
    });
    let bucket = |bucket: &Container| Bucket {
        bucket_region: None,
        creation_date: Some(meta::time(bucket.created_ms)),
        name: Some(bucket.name.to_string()),
    };
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(found.iter().map(bucket).collect()),
        continuation_token,
        owner: Some(super::door::owner(&account)),
        prefix: input.prefix,
    }))
}

/// `ListObjects`, the first version.
pub(super) async fn first(
    door: &Door,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Read).await?;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let delimiter = input.delimiter.clone().filter(|text| !text.is_empty());
    let max_keys = page_size(input.max_keys)?;
    let listing = Listing {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter.clone(),
        after: input.marker.clone().filter(|marker| !marker.is_empty()),
        after_version: None,
        limit: max_keys as usize,
    };
    let page =
        door.call(Missing::Bucket, move |service, _| service.objects(bucket.id, &listing)).await?;
    let owners = door.owners_of(&bucket, &page.items).await?;
    let next = page.next.filter(|_| max_keys > 0);
    let contents = page
        .items
        .iter()
        .map(|object| shown(object, &encoding, Some(owners.of(bucket.writer_of(object)))));
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        // Clients do not decode it in this version.
        prefix: Some(Encoding(false).text(&input.prefix.unwrap_or_default())),
        marker: Some(encoding.text(&input.marker.unwrap_or_default())),
        max_keys: Some(max_keys),
        is_truncated: Some(next.is_some()),
        contents: Some(contents.collect()),
        common_prefixes: prefixes(&page.prefixes, &encoding),
        // Where there is none, the last key says where to go on.
        next_marker: next.filter(|_| delimiter.is_some()).map(|(name, _)| encoding.text(&name)),
        delimiter: delimiter.map(|text| encoding.text(&text)),
        encoding_type: input.encoding_type,
        request_charged: None,
    }))
}

/// `ListObjectsV2`.
pub(super) async fn second(
    door: &Door,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Read).await?;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let delimiter = input.delimiter.clone().filter(|text| !text.is_empty());
    let max_keys = page_size(input.max_keys)?;
    let after = match &input.continuation_token {
        Some(token) if !token.is_empty() => Some(decode_token(token)?),
        _ => input.start_after.clone().filter(|after| !after.is_empty()),
    };
    let listing = Listing {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter.clone(),
        after,
        after_version: None,
        limit: max_keys as usize,
    };
    let page =
        door.call(Missing::Bucket, move |service, _| service.objects(bucket.id, &listing)).await?;
    let owners = match input.fetch_owner {
        Some(true) => Some(door.owners_of(&bucket, &page.items).await?),
        _ => None,
    };
    let next = page.next.filter(|_| max_keys > 0);
    let contents = page.items.iter().map(|object| {
        let owner = owners.as_ref().map(|owners| owners.of(bucket.writer_of(object)));
        shown(object, &encoding, owner)
    });
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.text(&input.prefix.unwrap_or_default())),
        max_keys: Some(max_keys),
        key_count: Some((page.items.len() + page.prefixes.len()) as i32),
        continuation_token: input.continuation_token,
        is_truncated: Some(next.is_some()),
        next_continuation_token: next.map(|(name, _)| hex::encode(name)),
        contents: Some(contents.collect()),
        common_prefixes: prefixes(&page.prefixes, &encoding),
        delimiter: delimiter.map(|text| encoding.text(&text)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|text| encoding.text(&text)),
        request_charged: None,
    }))
}

fn decode_token(token: &str) -> S3Result<String> {
    let invalid = || s3_error!(InvalidArgument, "The continuation token provided is incorrect");
    let bytes = hex::decode(token).ok().filter(|bytes| !bytes.is_empty());
    String::from_utf8(bytes.ok_or_else(invalid)?).map_err(|_| invalid())
}

/// `ListObjectVersions`.
pub(super) async fn versions(
    door: &Door,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Read).await?;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let delimiter = input.delimiter.clone().filter(|text| !text.is_empty());
    let max_keys = page_size(input.max_keys)?;
    let after = input.key_marker.clone().filter(|marker| !marker.is_empty());
    let marker = input.version_id_marker.clone().filter(|marker| !marker.is_empty());
    let prefix = input.prefix.clone().unwrap_or_default();
    let by = delimiter.clone();
    let page = door
        .call(Missing::Bucket, move |service, refusal| {
            let after_version = match (&marker, &after) {
                (Some(marker), Some(name)) => {
                    let which = refusal.ask(meta::which(Some(marker)))?;
                    let name = refusal.ask(super::auth::key(name))?;
                    service.object_or_marker(bucket.id, &name, which)?.map(|object| object.id)
                }
                _ => None,
            };
            let limit = max_keys as usize;
            let listing = Listing { prefix, delimiter: by, after, after_version, limit };
            service.versions(bucket.id, &listing)
        })
        .await?;
    let owners = door.owners_of(&bucket, &page.items).await?;
    let owner = |object: &Found| owners.of(bucket.writer_of(object));
    let (found, markers) = versions_shown(&page.items, &encoding, &owner);
    let next = page.next.filter(|_| max_keys > 0);
    let last = page.items.last().filter(|last| {
        next.as_ref().is_some_and(|(name, id)| *name == last.name.as_str() && *id == Some(last.id))
    });
    Ok(S3Response::new(ListObjectVersionsOutput {
        common_prefixes: prefixes(&page.prefixes, &encoding),
        delete_markers: Some(markers),
        delimiter: delimiter.map(|text| encoding.text(&text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(next.is_some()),
        key_marker: Some(encoding.text(&input.key_marker.unwrap_or_default())),
        max_keys: Some(max_keys),
        name: Some(input.bucket),
        next_version_id_marker: last.map(meta::version_id),
        next_key_marker: next.map(|(name, _)| encoding.text(&name)),
        prefix: Some(encoding.text(&input.prefix.unwrap_or_default())),
        request_charged: None,
        version_id_marker: input.version_id_marker,
        versions: Some(found),
    }))
}

/// Versions, and those that only say that the object was removed.
fn versions_shown(
    items: &[Found],
    encoding: &Encoding,
    owner: &dyn Fn(&Found) -> Owner,
) -> (ObjectVersionList, DeleteMarkers) {
    let (mut found, mut markers) = (Vec::new(), Vec::new());
    for object in items {
        let key = Some(encoding.text(object.name.as_str()));
        let (is_latest, version_id) = (Some(object.latest), Some(meta::version_id(object)));
        let (last_modified, owner) = (Some(meta::time(object.created_ms)), Some(owner(object)));
        if object.marker {
            let marker = DeleteMarkerEntry { is_latest, key, last_modified, owner, version_id };
            markers.push(marker);
        } else {
            found.push(ObjectVersion {
                e_tag: Some(meta::etag(object)),
                is_latest,
                key,
                last_modified,
                owner,
                size: Some(object.size.cast_signed()),
                storage_class: Some(ObjectVersionStorageClass::from(super::read::class_of(object))),
                version_id,
                ..ObjectVersion::default()
            });
        }
    }
    (found, markers)
}

/// `ListMultipartUploads`.
pub(super) async fn uploads(
    door: &Door,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::Read).await?;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let delimiter = input.delimiter.clone().filter(|text| !text.is_empty());
    let max_uploads = page_size(input.max_uploads)?;
    let listing = Listing {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter.clone(),
        after: input.key_marker.clone().filter(|marker| !marker.is_empty()),
        after_version: None,
        limit: max_uploads as usize,
    };
    let marker = input.upload_id_marker.clone().filter(|marker| !marker.is_empty());
    let page = door
        .call(Missing::Bucket, move |service, _| {
            service.uploads(bucket.id, &listing, marker.as_deref())
        })
        .await?;
    let owners = door.owners_of_uploads(&bucket, &page.items).await?;
    let kind = |upload: &archipelago_pool::Upload| Kind::of(&upload.meta.settings);
    let upload = |upload: &archipelago_pool::Upload| MultipartUpload {
        checksum_algorithm: kind(upload).map(Kind::algorithm),
        checksum_type: kind(upload).map(Kind::shown),
        initiated: Some(meta::time(upload.created_ms)),
        initiator: Some(owners.initiator(upload)),
        key: Some(encoding.text(upload.object.as_str())),
        owner: Some(owners.of(bucket.writer_of_upload(upload))),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        upload_id: Some(upload.uuid.clone()),
    };
    let next = page.next.filter(|_| max_uploads > 0);
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        common_prefixes: prefixes(&page.prefixes, &encoding),
        delimiter: delimiter.map(|text| encoding.text(&text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(next.is_some()),
        key_marker: Some(encoding.text(&input.key_marker.unwrap_or_default())),
        max_uploads: Some(max_uploads),
        next_upload_id_marker: next
            .as_ref()
            .and_then(|_| page.items.last())
            .map(|upload| upload.uuid.clone()),
        next_key_marker: next.map(|(name, _)| encoding.text(&name)),
        prefix: Some(encoding.text(&input.prefix.unwrap_or_default())),
        request_charged: None,
        upload_id_marker: input.upload_id_marker,
        uploads: Some(page.items.iter().map(upload).collect()),
    }))
}
