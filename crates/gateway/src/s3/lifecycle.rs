//! Rules by which objects end: what S3 says of them, and what the pool follows.

use std::collections::{BTreeMap, HashSet};

use archipelago_pool::{Container, Expiration, Filter, Noncurrent, Object, RULES_MAX, Rule};
use s3s::dto::{
    AbortIncompleteMultipartUpload, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput,
    ExpirationStatus, GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput,
    LifecycleExpiration, LifecycleRule, LifecycleRuleAndOperator, LifecycleRuleFilter,
    NoncurrentVersionExpiration, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput, Tag, Timestamp, TimestampFormat,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::door::Door;
use super::fault::Missing;
use super::lock::ms_of;
use super::meta;
use super::settings::no_content;

/// What S3 has.
const ID_CHARS_MAX: usize = 255;
const KEEP_MAX: i32 = 100;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// `PutBucketLifecycleConfiguration`.
pub(super) async fn put(
    door: &Door,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let said = request.input.lifecycle_configuration.map(|said| said.rules).unwrap_or_default();
    let said = named(said, door.now_ms())?;
    let rules: Vec<Rule> = said.iter().map(rule).collect::<S3Result<_>>()?;
    let text = serde_json::to_string(&said).map_err(S3Error::internal_error)?;
    door.call(Missing::Bucket, move |service, _| service.lifecycle_set(bucket.id, &rules, &text))
        .await?;
    Ok(S3Response::new(PutBucketLifecycleConfigurationOutput::default()))
}

/// `GetBucketLifecycleConfiguration`.
pub(super) async fn get(
    door: &Door,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let said =
        door.call(Missing::Bucket, move |service, _| service.lifecycle_said(bucket.id)).await?;
    let said = said.ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchLifecycleConfiguration))?;
    let rules = serde_json::from_str(&said).map_err(S3Error::internal_error)?;
    Ok(S3Response::new(GetBucketLifecycleConfigurationOutput {
        rules: Some(rules),
        ..GetBucketLifecycleConfigurationOutput::default()
    }))
}

/// `DeleteBucketLifecycle`.
pub(super) async fn delete(
    door: &Door,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    door.call(Missing::Bucket, move |service, _| service.lifecycle_remove(bucket.id)).await?;
    Ok(no_content(DeleteBucketLifecycleOutput::default()))
}

impl Door {
    /// What `x-amz-expiration` says of an object.
    pub(super) async fn ending(
        &self,
        container: &Container,
        object: &Object,
    ) -> S3Result<Option<String>> {
        let (id, object) = (container.id, object.clone());
        let ending = self
            .call(Missing::Bucket, move |service, _| service.object_ending(id, &object))
            .await?;
        Ok(ending.map(|ending| {
            let mut date = Vec::new();
            // Into memory: it does not fail.
            let _ = meta::time(ending.at_ms).format(TimestampFormat::HttpDate, &mut date);
            let date = String::from_utf8(date).unwrap_or_default();
            format!("expiry-date=\"{date}\", rule-id=\"{}\"", encoded(&ending.rule))
        }))
    }
}

/// Within the quotes of a header.
fn encoded(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~ /:+".contains(&byte);
    id.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Each with an id of its own, made where none is said.
fn named(mut rules: Vec<LifecycleRule>, now_ms: u64) -> S3Result<Vec<LifecycleRule>> {
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(s3_error!(MalformedXML, "a configuration has 1 to {RULES_MAX} rules"));
    }
    let mut seen = HashSet::new();
    for (at, rule) in rules.iter_mut().enumerate() {
        let id = rule.id.take().filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| format!("rule-{now_ms:x}-{at}"));
        if id.chars().count() > ID_CHARS_MAX {
            return Err(s3_error!(
                InvalidArgument,
                "ID length should not exceed allowed limit of {ID_CHARS_MAX}"
            ));
        }
        if !seen.insert(id.clone()) {
            return Err(s3_error!(
                InvalidArgument,
                "Rule ID must be unique. Found same ID for more than one rule"
            ));
        }
        rule.id = Some(id);
    }
    Ok(rules)
}

fn rule(said: &LifecycleRule) -> S3Result<Rule> {
    let moves = said.transitions.as_ref().is_some_and(|moves| !moves.is_empty())
        || said.noncurrent_version_transitions.as_ref().is_some_and(|moves| !moves.is_empty());
    if moves {
        return Err(s3_error!(
            InvalidStorageClass,
            "There are no storage classes here that objects could move to"
        ));
    }
    let enabled = match said.status.as_str() {
        ExpirationStatus::ENABLED => true,
        ExpirationStatus::DISABLED => false,
        _ => return Err(s3_error!(MalformedXML, "Status is Enabled or Disabled")),
    };
    let filter = match (&said.filter, &said.prefix) {
        (Some(filter), None) => filter_of(filter)?,
        (None, Some(prefix)) => Filter { prefix: prefix.clone(), ..Filter::default() },
        _ => return Err(s3_error!(MalformedXML, "a rule has a Filter, or else a Prefix")),
    };
    let expiration = said.expiration.as_ref().map(expiration_of).transpose()?;
    let noncurrent = said.noncurrent_version_expiration.as_ref().map(noncurrent_of).transpose()?;
    let abort_days = said.abort_incomplete_multipart_upload.as_ref().map(abort_of).transpose()?;
    if expiration.is_none() && noncurrent.is_none() && abort_days.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "At least one action needs to be specified in a rule."
        ));
    }
    let narrow = !filter.tags.is_empty() || filter.larger_than.or(filter.smaller_than).is_some();
    if abort_days.is_some() && narrow {
        return Err(s3_error!(
            InvalidRequest,
            "AbortIncompleteMultipartUpload cannot be specified with Tags or sizes."
        ));
    }
    if expiration == Some(Expiration::LoneMarker) && !filter.tags.is_empty() {
        return Err(s3_error!(
            InvalidRequest,
            "ExpiredObjectDeleteMarker cannot be specified with Tags."
        ));
    }
    let id = said.id.clone().unwrap_or_default();
    Ok(Rule { id, enabled, filter, expiration, noncurrent, abort_days })
}

fn filter_of(said: &LifecycleRuleFilter) -> S3Result<Filter> {
    let none = LifecycleRuleAndOperator::default();
    let and = said.and.as_ref().unwrap_or(&none);
    let tags = said.tag.iter().chain(and.tags.iter().flatten());
    let mut found = BTreeMap::new();
    for Tag { key, value } in tags {
        let (key, value) = (key.clone().unwrap_or_default(), value.clone().unwrap_or_default());
        if key.is_empty() || found.insert(key, value).is_some() {
            return Err(s3_error!(InvalidRequest, "Duplicate or empty Tag Keys are not allowed."));
        }
    }
    // What stands in both places holds twice: a rule never ends more than either of them says.
    let prefix = prefix_of([said.prefix.as_deref(), and.prefix.as_deref()])?;
    let bytes = |said: Option<i64>| {
        said.map(u64::try_from)
            .transpose()
            .map_err(|_| s3_error!(InvalidRequest, "a size is not negative"))
    };
    let larger_than =
        bytes(said.object_size_greater_than)?.max(bytes(and.object_size_greater_than)?);
    let smaller = [bytes(said.object_size_less_than)?, bytes(and.object_size_less_than)?];
    let smaller_than = smaller.into_iter().flatten().min();
    if larger_than.zip(smaller_than).is_some_and(|(larger, smaller)| larger >= smaller) {
        return Err(s3_error!(
            InvalidRequest,
            "ObjectSizeLessThan has to be greater than ObjectSizeGreaterThan."
        ));
    }
    Ok(Filter { prefix, tags: found, larger_than, smaller_than })
}

/// What names begin with that begin with both.
fn prefix_of(said: [Option<&str>; 2]) -> S3Result<String> {
    let [one, other] = said.map(Option::unwrap_or_default);
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    match long.starts_with(short) {
        true => Ok(long.to_owned()),
        false => Err(s3_error!(InvalidRequest, "no name begins with both prefixes of a Filter")),
    }
}

/// A number of days of an action.
fn days(days: Option<i32>, name: &str, action: &str) -> S3Result<u32> {
    match days.map(u32::try_from) {
        Some(Ok(days)) if days > 0 => Ok(days),
        None => Err(s3_error!(MalformedXML, "{action} needs {name}")),
        _ => Err(s3_error!(
            InvalidArgument,
            "'{name}' for {action} action must be a positive integer"
        )),
    }
}

fn expiration_of(said: &LifecycleExpiration) -> S3Result<Expiration> {
    let marker = said.expired_object_delete_marker == Some(true);
    match (said.days, &said.date, marker) {
        (Some(_), None, false) => days(said.days, "Days", "Expiration").map(Expiration::Days),
        (None, Some(date), false) => date_of(date).map(Expiration::Date),
        (None, None, true) => Ok(Expiration::LoneMarker),
        _ => Err(s3_error!(
            MalformedXML,
            "Expiration has one of Days, Date and ExpiredObjectDeleteMarker"
        )),
    }
}

fn date_of(date: &Timestamp) -> S3Result<u64> {
    let ms = ms_of(date);
    match ms.is_multiple_of(DAY_MS) {
        true => Ok(ms),
        false => Err(s3_error!(InvalidArgument, "'Date' must be at midnight GMT")),
    }
}

fn noncurrent_of(said: &NoncurrentVersionExpiration) -> S3Result<Noncurrent> {
    let action = "NoncurrentVersionExpiration";
    let days = days(said.noncurrent_days, "NoncurrentDays", action)?;
    let keep = match said.newer_noncurrent_versions {
        None => 0,
        Some(keep) if (1..=KEEP_MAX).contains(&keep) => keep.cast_unsigned(),
        Some(_) => {
            return Err(s3_error!(
                InvalidArgument,
                "'NewerNoncurrentVersions' for {action} action must be from 1 to {KEEP_MAX}"
            ));
        }
    };
    Ok(Noncurrent { days, keep })
}

fn abort_of(said: &AbortIncompleteMultipartUpload) -> S3Result<u32> {
    days(said.days_after_initiation, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")
}

#[cfg(test)]
mod tests;
