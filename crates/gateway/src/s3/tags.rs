//! Labels of objects and buckets.

use std::collections::BTreeMap;

use archipelago_pool::Meta;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag, TagSet,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::acl::Permission;
use super::door::Door;
use super::fault::Missing;
use super::{auth, listing, meta};

/// Labels of one object at most, and of one bucket: what S3 has.
const OBJECT_TAGS_MAX: usize = 10;
const BUCKET_TAGS_MAX: usize = 50;
/// Characters of their names and values: what S3 has.
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

/// Labels as a header has them: `a=1&b=2`.
pub(super) fn of_query(text: &str) -> S3Result<BTreeMap<String, String>> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text)
        .map_err(|_| s3_error!(InvalidArgument, "the tags of the header cannot be read"))?;
    checked(pairs, OBJECT_TAGS_MAX)
}

/// Labels as a body has them.
pub(super) fn of_set(set: &TagSet, max: usize) -> S3Result<BTreeMap<String, String>> {
    let pairs = set
        .iter()
        .map(|tag| (tag.key.clone().unwrap_or_default(), tag.value.clone().unwrap_or_default()));
    checked(pairs.collect(), max)
}

pub(super) fn of_bucket(set: &TagSet) -> S3Result<BTreeMap<String, String>> {
    of_set(set, BUCKET_TAGS_MAX)
}

pub(super) fn to_set(tags: &BTreeMap<String, String>) -> TagSet {
    let tag = |(key, value): (&String, &String)| Tag {
        key: Some(listing::legible(key)),
        value: Some(listing::legible(value)),
    };
    tags.iter().map(tag).collect()
}

fn checked(pairs: Vec<(String, String)>, max: usize) -> S3Result<BTreeMap<String, String>> {
    if pairs.len() > max {
        return Err(s3_error!(InvalidTag, "there are {max} tags at most"));
    }
    let mut tags = BTreeMap::new();
    for (key, value) in pairs {
        if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > VALUE_CHARS_MAX {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if key.chars().chain(value.chars()).any(listing::is_beyond_xml) {
            return Err(s3_error!(
                InvalidTag,
                "a tag has no control characters: no list of tags could show them"
            ));
        }
        if tags.insert(key, value).is_some() {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(tags)
}

/// `GetObjectTagging`.
pub(super) async fn get(
    door: &Door,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let (input, actor) = (&request.input, door.actor(&request).await?);
    let (_, object) = door
        .object(&actor, &input.bucket, &input.key, input.version_id.as_deref(), Permission::Read)
        .await?;
    Ok(S3Response::new(GetObjectTaggingOutput {
        tag_set: to_set(&object.meta.tags),
        version_id: meta::version_shown(&object),
    }))
}

/// `PutObjectTagging`.
pub(super) async fn put(
    door: &Door,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let tags = of_set(&input.tagging.tag_set, OBJECT_TAGS_MAX)?;
    let version = input.version_id.as_deref();
    let version_id = change(door, &actor, &input.bucket, &input.key, version, tags).await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}

/// `DeleteObjectTagging`.
pub(super) async fn delete(
    door: &Door,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let version = input.version_id.as_deref();
    let none = BTreeMap::new();
    let version_id = change(door, &actor, &input.bucket, &input.key, version, none).await?;
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
}

async fn change(
    door: &Door,
    actor: &auth::Actor,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    tags: BTreeMap<String, String>,
) -> S3Result<Option<String>> {
    let container = door.bucket_of_version(actor, bucket, version).await?;
    let (name, which) = (auth::key(key)?, meta::which(version)?);
    let object = door
        .call(Missing::Key, move |service, _| {
            service.object_change(container.id, &name, which, &mut |object| {
                Ok(Meta { tags: tags.clone(), ..object.meta.clone() })
            })
        })
        .await?;
    Ok(meta::version_shown(&object))
}
