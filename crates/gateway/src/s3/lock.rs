//! Object lock: versions that may not be removed before a time, or at all.

use std::collections::BTreeMap;
use std::time::Duration;

use archipelago_pool::{
    Container, DefaultLock, LOCK_HOLD as HOLD, LOCK_MODE as MODE, LOCK_UNTIL as UNTIL, Meta,
    Object, Versioning,
};
use s3s::dto::{
    DefaultRetention, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectRetentionInput,
    GetObjectRetentionOutput, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    PutObjectLegalHoldInput, PutObjectLegalHoldOutput, PutObjectLockConfigurationInput,
    PutObjectLockConfigurationOutput, PutObjectRetentionInput, PutObjectRetentionOutput, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::acl::Permission;
use super::door::Door;
use super::fault::{Missing, denied};
use super::policy::Verdict;
use super::{auth, meta};

/// The name of a setting of a bucket that locks: JSON of its configuration.
const BUCKET: &str = "s3.lock";

/// The longest default retention, in days: a hundred years, as S3 has it.
const DAYS_MAX: i32 = 36_500;

/// Makes a new bucket one that locks.
pub(super) fn enable(container: &mut Container) -> S3Result<()> {
    let configuration = ObjectLockConfiguration {
        object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
        rule: None,
    };
    container.versioning = Versioning::Enabled;
    let text = serde_json::to_string(&configuration).map_err(S3Error::internal_error)?;
    container.settings.insert(BUCKET.to_owned(), text);
    Ok(())
}

pub(super) fn is_enabled(container: &Container) -> bool {
    container.settings.contains_key(BUCKET)
}

fn configuration(container: &Container) -> Option<ObjectLockConfiguration> {
    serde_json::from_str(container.settings.get(BUCKET)?).ok()
}

/// What a request says of the lock of a new version.
pub(super) struct Said<'a> {
    pub(super) mode: Option<&'a ObjectLockMode>,
    pub(super) until: Option<&'a Timestamp>,
    pub(super) hold: Option<&'a ObjectLockLegalHoldStatus>,
}

/// Of an input that puts an object.
macro_rules! lock_of {
    ($input:expr) => {
        &$crate::s3::lock::Said {
            mode: $input.object_lock_mode.as_ref(),
            until: $input.object_lock_retain_until_date.as_ref(),
            hold: $input.object_lock_legal_hold_status.as_ref(),
        }
    };
}
pub(super) use lock_of;

/// Puts the lock that a request says in the place of the one before: each version has its own.
/// Nothing else that is said counts.
pub(super) fn relock(settings: &mut BTreeMap<String, String>, said: &BTreeMap<String, String>) {
    for name in [MODE, UNTIL, HOLD] {
        match said.get(name) {
            Some(value) => settings.insert(name.to_owned(), value.clone()),
            None => settings.remove(name),
        };
    }
}

/// Whether somebody may lock what it writes, for which the right to write is not enough: it could
/// not be undone.
fn may_lock(actor: &auth::Actor, container: &Container, operation: &str) -> S3Result<()> {
    let may = match actor.besides(container, operation) {
        Verdict::Denied => false,
        Verdict::Allowed => true,
        Verdict::Silent => actor.owns(container) && actor.writes(),
    };
    if may { Ok(()) } else { Err(denied()) }
}

/// What a new version is locked by, if the request says it; else the bucket may.
pub(super) fn keep(
    actor: &auth::Actor,
    container: &Container,
    said: &Said<'_>,
    now_ms: u64,
    settings: &mut BTreeMap<String, String>,
) -> S3Result<()> {
    let Said { mode, until, hold } = *said;
    if !is_enabled(container) {
        return match mode.is_some() || until.is_some() || hold.is_some() {
            true => Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")),
            false => Ok(()),
        };
    }
    match (mode, until) {
        (Some(mode), Some(until)) => {
            may_lock(actor, container, "PutObjectRetention")?;
            let until = ms_of(until);
            if until <= now_ms {
                return Err(s3_error!(
                    InvalidArgument,
                    "The retain until date must be in the future!"
                ));
            }
            insert(settings, checked_mode(mode.as_str())?, until);
        }
        // The pool locks what comes without a lock, by whatever door.
        (None, None) => {}
        _ => {
            return Err(s3_error!(
                InvalidArgument,
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
            ));
        }
    }
    if let Some(hold) = hold {
        may_lock(actor, container, "PutObjectLegalHold")?;
        settings.insert(HOLD.to_owned(), checked_hold(hold.as_str())?.to_owned());
    }
    Ok(())
}

fn insert(settings: &mut BTreeMap<String, String>, mode: &str, until_ms: u64) {
    settings.insert(MODE.to_owned(), mode.to_owned());
    settings.insert(UNTIL.to_owned(), until_ms.to_string());
}

fn checked_mode(mode: &str) -> S3Result<&str> {
    match mode {
        ObjectLockMode::COMPLIANCE | ObjectLockMode::GOVERNANCE => Ok(mode),
        _ => Err(s3_error!(MalformedXML, "Unknown wormMode directive.")),
    }
}

fn checked_hold(status: &str) -> S3Result<&str> {
    match status {
        ObjectLockLegalHoldStatus::ON | ObjectLockLegalHoldStatus::OFF => Ok(status),
        _ => Err(s3_error!(MalformedXML)),
    }
}

pub(super) fn ms_of(time: &Timestamp) -> u64 {
    let since = std::time::SystemTime::from(time::OffsetDateTime::from(time.clone()))
        .duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn mode_of(object: &Object) -> Option<ObjectLockMode> {
    object.meta.settings.get(MODE).cloned().map(ObjectLockMode::from)
}

pub(super) fn until_of(object: &Object) -> Option<Timestamp> {
    object.locked_until_ms().map(meta::time)
}

pub(super) fn hold_of(object: &Object) -> Option<ObjectLockLegalHoldStatus> {
    object.meta.settings.get(HOLD).cloned().map(ObjectLockLegalHoldStatus::from)
}

/// Whether a version may be removed for good.
pub(super) fn check_removable(object: &Object, bypass: bool, ended_ms: u64) -> S3Result<()> {
    let locked =
        || s3_error!(AccessDenied, "Access Denied because object protected by object lock.");
    if object.is_held() {
        return Err(locked());
    }
    let held = object.locked_until_ms().is_some_and(|until| until > ended_ms);
    let strict = mode_of(object).is_some_and(|mode| mode.as_str() == ObjectLockMode::COMPLIANCE);
    if held && (strict || !bypass) { Err(locked()) } else { Ok(()) }
}

/// As the pool gives it to what comes.
fn default_lock(rule: DefaultRetention) -> Option<DefaultLock> {
    let days = match (rule.days, rule.years) {
        (Some(days), _) => days,
        (None, years) => years.unwrap_or(0).saturating_mul(365),
    };
    let mode = rule.mode?.as_str().to_owned();
    Some(DefaultLock { mode, days: u32::try_from(days).unwrap_or(0) })
}

/// `PutObjectLockConfiguration`.
pub(super) async fn put_configuration(
    door: &Door,
    request: S3Request<PutObjectLockConfigurationInput>,
) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.own_bucket(&actor, &input.bucket).await?;
    let configuration = input.object_lock_configuration.unwrap_or_default();
    let enabled = configuration.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str);
    if enabled != Some(ObjectLockEnabled::ENABLED) {
        return Err(s3_error!(MalformedXML));
    }
    if let Some(rule) = configuration.rule.as_ref().and_then(|rule| rule.default_retention.as_ref())
    {
        checked_mode(rule.mode.as_ref().map_or("", ObjectLockRetentionMode::as_str))?;
        match (rule.days, rule.years) {
            (Some(days), None) if (1..=DAYS_MAX).contains(&days) => {}
            (None, Some(years)) if (1..=DAYS_MAX / 365).contains(&years) => {}
            (Some(_), None) | (None, Some(_)) => {
                let code = S3ErrorCode::Custom("InvalidRetentionPeriod".into());
                let text = "Default retention period must be a positive integer value.";
                let mut error = S3Error::with_message(code, text);
                error.set_status_code(axum::http::StatusCode::BAD_REQUEST);
                return Err(error);
            }
            _ => return Err(s3_error!(MalformedXML)),
        }
    }
    let text = serde_json::to_string(&configuration).map_err(S3Error::internal_error)?;
    let lock = configuration.rule.and_then(|rule| rule.default_retention).and_then(default_lock);
    door.change(bucket.id, move |container| {
        if container.versioning != Versioning::Enabled {
            return Err(s3_error!(
                InvalidBucketState,
                "Object Lock configuration cannot be enabled on a bucket that keeps no versions"
            ));
        }
        container.settings.insert(BUCKET.to_owned(), text.clone());
        DefaultLock::put(lock.as_ref(), container);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutObjectLockConfigurationOutput::default()))
}

/// `GetObjectLockConfiguration`.
pub(super) async fn get_configuration(
    door: &Door,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
    let actor = door.actor(&request).await?;
    let bucket = door.own_bucket(&actor, &request.input.bucket).await?;
    let object_lock_configuration = configuration(&bucket);
    if object_lock_configuration.is_none() {
        return Err(S3Error::new(S3ErrorCode::ObjectLockConfigurationNotFoundError));
    }
    Ok(S3Response::new(GetObjectLockConfigurationOutput { object_lock_configuration }))
}

/// The bucket of a request about the lock of an object.
async fn locking(door: &Door, actor: &auth::Actor, bucket: &str) -> S3Result<Container> {
    // Not whoever may write: a lock is against these.
    let bucket = door.own_bucket(actor, bucket).await?;
    match is_enabled(&bucket) {
        true => Ok(bucket),
        false => Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")),
    }
}

/// `PutObjectRetention`.
pub(super) async fn put_retention(
    door: &Door,
    request: S3Request<PutObjectRetentionInput>,
) -> S3Result<S3Response<PutObjectRetentionOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = locking(door, &actor, &input.bucket).await?;
    let retention = input.retention.unwrap_or_default();
    let mode = retention.mode.as_ref().map_or("", ObjectLockRetentionMode::as_str);
    let mode = checked_mode(mode)?.to_owned();
    let until =
        retention.retain_until_date.as_ref().map(ms_of).ok_or_else(|| s3_error!(MalformedXML))?;
    let bypass = input.bypass_governance_retention == Some(true) && actor.owns(&bucket);
    let (name, which) = (auth::key(&input.key)?, meta::which(input.version_id.as_deref())?);
    door.call(Missing::Key, move |service, refusal| {
        let ended_ms = service.ended_ms();
        service.object_change(bucket.id, &name, which, &mut |object| {
            refusal.ask(may_shorten(object, &mode, until, bypass, ended_ms))?;
            let mut known: Meta = object.meta.clone();
            insert(&mut known.settings, &mode, until);
            Ok(known)
        })
    })
    .await?;
    Ok(S3Response::new(PutObjectRetentionOutput::default()))
}

/// A lock may be made longer; else it is changed only by who may lift it, while it can be.
fn may_shorten(
    object: &Object,
    mode: &str,
    until: u64,
    bypass: bool,
    ended_ms: u64,
) -> S3Result<()> {
    let Some(old) = object.locked_until_ms().filter(|old| *old > ended_ms) else { return Ok(()) };
    let was = mode_of(object);
    let was_strict = was.as_ref().is_some_and(|was| was.as_str() == ObjectLockMode::COMPLIANCE);
    let changes = was.as_ref().is_some_and(|was| was.as_str() != mode);
    let weaker = until < old || changes;
    if weaker && (was_strict || !bypass) {
        return Err(s3_error!(
            AccessDenied,
            "Access Denied because object protected by object lock."
        ));
    }
    Ok(())
}

/// `GetObjectRetention`.
pub(super) async fn get_retention(
    door: &Door,
    request: S3Request<GetObjectRetentionInput>,
) -> S3Result<S3Response<GetObjectRetentionOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    locking(door, &actor, &input.bucket).await?;
    let version = input.version_id.as_deref();
    let (_, object) =
        door.object(&actor, &input.bucket, &input.key, version, Permission::Read).await?;
    let mode =
        mode_of(&object).ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchObjectLockConfiguration))?;
    let retention = ObjectLockRetention {
        mode: Some(ObjectLockRetentionMode::from(mode.as_str().to_owned())),
        retain_until_date: until_of(&object),
    };
    Ok(S3Response::new(GetObjectRetentionOutput { retention: Some(retention) }))
}

/// `PutObjectLegalHold`.
pub(super) async fn put_hold(
    door: &Door,
    request: S3Request<PutObjectLegalHoldInput>,
) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = locking(door, &actor, &input.bucket).await?;
    let status = input.legal_hold.and_then(|hold| hold.status);
    let status =
        checked_hold(status.as_ref().map_or("", ObjectLockLegalHoldStatus::as_str))?.to_owned();
    let (name, which) = (auth::key(&input.key)?, meta::which(input.version_id.as_deref())?);
    door.call(Missing::Key, move |service, _| {
        service.object_change(bucket.id, &name, which, &mut |object| {
            let mut known: Meta = object.meta.clone();
            known.settings.insert(HOLD.to_owned(), status.clone());
            Ok(known)
        })
    })
    .await?;
    Ok(S3Response::new(PutObjectLegalHoldOutput::default()))
}

/// `GetObjectLegalHold`.
pub(super) async fn get_hold(
    door: &Door,
    request: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    locking(door, &actor, &input.bucket).await?;
    let version = input.version_id.as_deref();
    let (_, object) =
        door.object(&actor, &input.bucket, &input.key, version, Permission::Read).await?;
    let status =
        hold_of(&object).ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchObjectLockConfiguration))?;
    let legal_hold = Some(ObjectLockLegalHold { status: Some(status) });
    Ok(S3Response::new(GetObjectLegalHoldOutput { legal_hold }))
}
