//! Buckets: make, find, remove; whether they keep versions; lists of rights.

use std::collections::BTreeMap;

use archipelago_model::{AccountId, ContainerName};
use archipelago_pool::{Container, Meta, Versioning};
use s3s::dto::{
    BucketCannedACL, BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput,
    CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput, GetBucketAclInput,
    GetBucketAclOutput, GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetObjectAclInput, GetObjectAclOutput, HeadBucketInput,
    HeadBucketOutput, ObjectCannedACL, PutBucketAclInput, PutBucketAclOutput,
    PutBucketVersioningInput, PutBucketVersioningOutput, PutObjectAclInput, PutObjectAclOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::acl::{self, Permission, Said};
use super::auth;
use super::door::Door;
use super::fault::Missing;
use super::{lock, meta, ownership};

/// Paths of other doors: a bucket of such a name would be reached by signed requests only.
pub(super) const RESERVED: [&str; 9] = [
    "auth",
    "healthz",
    "identity",
    "info",
    "metrics",
    "object",
    "openapi.json",
    "pithos",
    "public",
];

/// What a client said of the place of its bucket, which means nothing here.
const LOCATION: &str = "s3.location";

/// `CreateBucket`.
pub(super) async fn create(
    door: &Door,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let actor = door.actor(&request).await?;
    let who = actor.identity()?;
    let (account, input) = (who.account.id, request.input);
    if who.role == archipelago_pool::Role::Reader && !who.is_admin() {
        return Err(super::fault::denied());
    }
    if RESERVED.contains(&input.bucket.as_str()) {
        return Err(s3_error!(InvalidBucketName, "this name is that of a path of this service"));
    }
    let name = auth::bucket_name(&input.bucket)?;
    let said = Said {
        canned: input.acl.as_ref().map(BucketCannedACL::as_str),
        full_control: input.grant_full_control.as_deref(),
        read: input.grant_read.as_deref(),
        write: input.grant_write.as_deref(),
        read_acp: input.grant_read_acp.as_deref(),
        write_acp: input.grant_write_acp.as_deref(),
        policy: None,
    };
    let mut settings = BTreeMap::new();
    ownership::keep(&mut settings, input.object_ownership.as_ref(), &said)?;
    let locks = input.object_lock_enabled_for_bucket == Some(true);
    let place = input.create_bucket_configuration.and_then(|one| one.location_constraint);
    settings.extend(place.map(|place| (LOCATION.to_owned(), place.as_str().to_owned())));
    // Asked before there is a bucket: without what is said of it there is to be none.
    let planned = planned(account, name.clone(), settings.clone());
    door.claim(&actor, &said, &planned).await?.list.keep(&mut settings)?;
    let wanted = name.clone();
    let made = door
        .call(Missing::Bucket, move |service, refusal| {
            let mut change = |container: &mut Container| {
                container.settings.extend(settings.clone());
                if locks { refusal.ask(lock::enable(container)) } else { Ok(()) }
            };
            match service.bucket_create_with(account, &wanted, &mut change) {
                Err(error) if error.kind() == archipelago_pool::ErrorKind::AlreadyExists => {
                    match service.container(account, &wanted) {
                        // One that lacks the lock that is wanted must not pass for having it.
                        Ok(own) if locks && !lock::is_enabled(&own) => {
                            let error = S3Error::new(S3ErrorCode::BucketAlreadyOwnedByYou);
                            Err(refusal.refuse(error))
                        }
                        // As in the oldest region of S3: one's own bucket again is no error,
                        // and stays as it is.
                        Ok(_) => Ok(()),
                        Err(_) => {
                            let error = S3Error::new(S3ErrorCode::BucketAlreadyExists);
                            Err(refusal.refuse(error))
                        }
                    }
                }
                made => made.map(drop),
            }
        })
        .await;
    made?;
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{name}")) }))
}

/// A bucket that is not there yet.
fn planned(
    account: AccountId,
    name: ContainerName,
    settings: BTreeMap<String, String>,
) -> Container {
    Container {
        id: 0,
        account,
        name,
        bucket: true,
        versioning: Versioning::Off,
        settings,
        grants: Vec::new(),
        objects: 0,
        bytes: 0,
        old_bytes: 0,
        quota_bytes: None,
        quota_objects: None,
        created_ms: 0,
    }
}

/// `DeleteBucket`.
pub(super) async fn delete(
    door: &Door,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let actor = door.actor(&request).await?;
    let bucket = door.own_bucket(&actor, &request.input.bucket).await?;
    door.call(Missing::Bucket, move |service, _| service.container_remove(bucket.id)).await?;
    let output = DeleteBucketOutput::default();
    Ok(S3Response::with_status(output, axum::http::StatusCode::NO_CONTENT))
}

/// `HeadBucket`.
pub(super) async fn head(
    door: &Door,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let actor = door.actor(&request).await?;
    let bucket = door.bucket(&actor, &request.input.bucket, Permission::Read).await?;
    let mut response = S3Response::new(HeadBucketOutput::default());
    // As Ceph's gateway tells it; clients that do not know it pass over it.
    let counts = [("x-rgw-object-count", bucket.objects), ("x-rgw-bytes-used", bucket.bytes)];
    for (name, value) in counts {
        response.headers.insert(name, axum::http::HeaderValue::from(value));
    }
    Ok(response)
}

/// `GetBucketLocation`.
pub(super) async fn location(
    door: &Door,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let actor = door.actor(&request).await?;
    let bucket = door.bucket(&actor, &request.input.bucket, Permission::Read).await?;
    let place = bucket.settings.get(LOCATION).cloned();
    let location_constraint = place.map(BucketLocationConstraint::from);
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
}

/// `GetBucketVersioning`.
pub(super) async fn versioning(
    door: &Door,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let actor = door.actor(&request).await?;
    let bucket = door.bucket(&actor, &request.input.bucket, Permission::Read).await?;
    let status = match bucket.versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    let status = status.map(BucketVersioningStatus::from_static);
    Ok(S3Response::new(GetBucketVersioningOutput { mfa_delete: None, status }))
}

/// `PutBucketVersioning`.
pub(super) async fn put_versioning(
    door: &Door,
    request: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.own_bucket(&actor, &input.bucket).await?;
    let status = input.versioning_configuration.status;
    let wanted = match status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => return Err(S3Error::new(S3ErrorCode::MalformedXML)),
    };
    door.change(bucket.id, move |container| {
        if lock::is_enabled(container) && wanted != Versioning::Enabled {
            return Err(s3_error!(
                InvalidBucketState,
                "An Object Lock configuration is present on this bucket, so the versioning state \
                 cannot be changed."
            ));
        }
        if container.archive().is_some() {
            return Err(s3_error!(
                InvalidBucketState,
                "The bucket keeps what is replaced in another one (X-Versions-Location of Swift), \
                 and cannot keep versions as well."
            ));
        }
        container.versioning = wanted;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketVersioningOutput::default()))
}

/// `GetBucketAcl`.
pub(super) async fn get_acl(
    door: &Door,
    request: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let actor = door.actor(&request).await?;
    let bucket = door.bucket(&actor, &request.input.bucket, Permission::ReadAcp).await?;
    let owner = door.owner_of(&bucket).await?;
    let grants = Some(acl::of_bucket(&bucket).shown(&owner));
    Ok(S3Response::new(GetBucketAclOutput { grants, owner: Some(owner) }))
}

/// `PutBucketAcl`.
pub(super) async fn put_acl(
    door: &Door,
    request: S3Request<PutBucketAclInput>,
) -> S3Result<S3Response<PutBucketAclOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.bucket(&actor, &input.bucket, Permission::WriteAcp).await?;
    let said = Said {
        canned: input.acl.as_ref().map(BucketCannedACL::as_str),
        full_control: input.grant_full_control.as_deref(),
        read: input.grant_read.as_deref(),
        write: input.grant_write.as_deref(),
        read_acp: input.grant_read_acp.as_deref(),
        write_acp: input.grant_write_acp.as_deref(),
        policy: input.access_control_policy.as_ref(),
    };
    let list = door.said_acl(&said, &bucket, None).await?;
    door.change(bucket.id, move |container| list.keep(&mut container.settings)).await?;
    Ok(S3Response::new(PutBucketAclOutput::default()))
}

/// `GetObjectAcl`.
pub(super) async fn get_object_acl(
    door: &Door,
    request: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let version = input.version_id.as_deref();
    let (bucket, object) =
        door.object(&actor, &input.bucket, &input.key, version, Permission::ReadAcp).await?;
    let owner = door.owner_of_object(&bucket, &object).await?;
    let grants = Some(acl::of_object(&bucket, &object).shown(&owner));
    Ok(S3Response::new(GetObjectAclOutput { grants, owner: Some(owner), request_charged: None }))
}

/// `PutObjectAcl`.
pub(super) async fn put_object_acl(
    door: &Door,
    request: S3Request<PutObjectAclInput>,
) -> S3Result<S3Response<PutObjectAclOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let version = input.version_id.as_deref();
    let (bucket, object) =
        door.object(&actor, &input.bucket, &input.key, version, Permission::WriteAcp).await?;
    let said = Said {
        canned: input.acl.as_ref().map(ObjectCannedACL::as_str),
        full_control: input.grant_full_control.as_deref(),
        read: input.grant_read.as_deref(),
        write: input.grant_write.as_deref(),
        read_acp: input.grant_read_acp.as_deref(),
        write_acp: input.grant_write_acp.as_deref(),
        policy: input.access_control_policy.as_ref(),
    };
    let list = door.said_acl(&said, &bucket, bucket.writer_of(&object)).await?;
    let (name, which, checked) = (object.name.clone(), meta::which(version)?, object.id);
    door.call(Missing::Key, move |service, refusal| {
        service.object_change(bucket.id, &name, which, &mut |object| {
            refusal.ask(super::write::same_as(object, checked))?;
            let mut known: Meta = object.meta.clone();
            refusal.ask(list.keep(&mut known.settings))?;
            Ok(known)
        })
    })
    .await?;
    Ok(S3Response::new(PutObjectAclOutput::default()))
}
