//! Each operation of S3 and where it is.

use archipelago_model::AccountId;
use archipelago_pool::{Account, Container, Error, Service};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CreateBucketInput,
    CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteBucketCorsInput, DeleteBucketCorsOutput, DeleteBucketEncryptionInput,
    DeleteBucketEncryptionOutput, DeleteBucketInput, DeleteBucketLifecycleInput,
    DeleteBucketLifecycleOutput, DeleteBucketOutput, DeleteBucketOwnershipControlsInput,
    DeleteBucketOwnershipControlsOutput, DeleteBucketPolicyInput, DeleteBucketPolicyOutput,
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, DeleteObjectsInput, DeleteObjectsOutput,
    DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput, GetBucketAclInput,
    GetBucketAclOutput, GetBucketCorsInput, GetBucketCorsOutput, GetBucketEncryptionInput,
    GetBucketEncryptionOutput, GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput, GetBucketLocationInput, GetBucketLocationOutput,
    GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, GetBucketPolicyInput,
    GetBucketPolicyOutput, GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput,
    GetBucketTaggingInput, GetBucketTaggingOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetObjectAclInput, GetObjectAclOutput, GetObjectAttributesInput,
    GetObjectAttributesOutput, GetObjectInput, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectOutput,
    GetObjectRetentionInput, GetObjectRetentionOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, GetObjectTorrentInput, GetObjectTorrentOutput,
    GetPublicAccessBlockInput, GetPublicAccessBlockOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectVersionsInput,
    ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, ListPartsInput, ListPartsOutput, Owner, PutBucketAclInput,
    PutBucketAclOutput, PutBucketCorsInput, PutBucketCorsOutput, PutBucketEncryptionInput,
    PutBucketEncryptionOutput, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput, PutBucketOwnershipControlsInput,
    PutBucketOwnershipControlsOutput, PutBucketPolicyInput, PutBucketPolicyOutput,
    PutBucketTaggingInput, PutBucketTaggingOutput, PutBucketVersioningInput,
    PutBucketVersioningOutput, PutObjectAclInput, PutObjectAclOutput, PutObjectInput,
    PutObjectLegalHoldInput, PutObjectLegalHoldOutput, PutObjectLockConfigurationInput,
    PutObjectLockConfigurationOutput, PutObjectOutput, PutObjectRetentionInput,
    PutObjectRetentionOutput, PutObjectTaggingInput, PutObjectTaggingOutput,
    PutPublicAccessBlockInput, PutPublicAccessBlockOutput, UploadPartCopyInput,
    UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result};

use super::RequestId;
use super::fault::{Missing, Refusal, denied, fault};
use super::{
    buckets, lifecycle, listing, lock, ownership, parts, policy, read, settings, sse, tags, write,
};
use crate::App;

/// What answers requests of S3.
pub(super) struct Door {
    pub(super) app: App,
}

/// As S3 shows an account.
pub(super) fn owner(account: &Account) -> Owner {
    Owner { display_name: Some(account.name.to_string()), id: Some(hex::encode(account.uuid)) }
}

impl Door {
    pub(super) const fn new(app: App) -> Self {
        Self { app }
    }

    /// The time, as the pool has it.
    pub(super) fn now_ms(&self) -> u64 {
        self.app.service.now_ms()
    }

    /// Runs a verb; what it asks this door may be refused.
    pub(super) async fn call<T, F>(&self, missing: Missing, verb: F) -> S3Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Service, &Refusal) -> Result<T, Error> + Send + 'static,
    {
        let called = self.app.calls.call(&self.app.service, move |service| {
            let refusal = Refusal::default();
            let result = verb(service, &refusal);
            refusal.settle(result)
        });
        called.await.map_err(|failure| fault(&failure, missing))?
    }

    /// The same, for a verb that may read as much as an object has.
    pub(super) async fn transfer<T, F>(&self, missing: Missing, verb: F) -> S3Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Service, &Refusal) -> Result<T, Error> + Send + 'static,
    {
        let called = self.app.calls.long(&self.app.service, move |service| {
            let refusal = Refusal::default();
            let result = verb(service, &refusal);
            refusal.settle(result)
        });
        called.await.map_err(|failure| fault(&failure, missing))?
    }

    /// Changes a bucket.
    pub(super) async fn change<F>(&self, bucket: u64, change: F) -> S3Result<()>
    where
        F: Fn(&mut Container) -> S3Result<()> + Send + 'static,
    {
        self.call(Missing::Bucket, move |service, refusal| {
            let mut ask = |container: &mut Container| refusal.ask(change(container));
            service.container_change(bucket, &mut ask).map(drop)
        })
        .await
    }

    /// The account of a bucket, and all others.
    pub(super) async fn accounts(&self, id: AccountId) -> S3Result<(Account, Vec<Account>)> {
        let accounts = self.call(Missing::Bucket, |service, _| service.accounts()).await?;
        let owner = accounts.iter().find(|account| account.id == id).cloned();
        Ok((owner.ok_or_else(denied)?, accounts))
    }

    /// Whose a bucket is.
    pub(super) async fn account_of(&self, bucket: &Container) -> S3Result<Account> {
        let id = bucket.account;
        self.call(Missing::Bucket, move |service, _| service.account_of(id)).await
    }

    /// The account of a bucket, as S3 shows it.
    pub(super) async fn owner_of(&self, bucket: &Container) -> S3Result<Owner> {
        Ok(owner(&self.account_of(bucket).await?))
    }
}

/// One line each: `name: Input => Output, module::function;`.
macro_rules! operations {
    ($($name:ident: $input:ident => $output:ident, $module:ident::$function:ident;)*) => {
        #[async_trait::async_trait]
        impl S3 for Door {
            $(
                async fn $name(
                    &self,
                    request: S3Request<$input>,
                ) -> S3Result<S3Response<$output>> {
                    let id = request.extensions.get::<RequestId>().cloned();
                    $module::$function(self, request).await.map_err(|mut error| {
                        if let Some(RequestId(id)) = id {
                            error.set_request_id(id);
                        }
                        error
                    })
                }
            )*
        }
    };
}

operations! {
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput, parts::abort;
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput, parts::complete;
    copy_object: CopyObjectInput => CopyObjectOutput, write::copy;
    create_bucket: CreateBucketInput => CreateBucketOutput, buckets::create;
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput, parts::create;
    delete_bucket: DeleteBucketInput => DeleteBucketOutput, buckets::delete;
    delete_bucket_cors: DeleteBucketCorsInput => DeleteBucketCorsOutput, settings::delete_cors;
    delete_bucket_encryption: DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput, sse::delete;
    delete_bucket_ownership_controls: DeleteBucketOwnershipControlsInput => DeleteBucketOwnershipControlsOutput, ownership::delete;
    delete_bucket_tagging: DeleteBucketTaggingInput => DeleteBucketTaggingOutput, settings::delete_tags;
    delete_object: DeleteObjectInput => DeleteObjectOutput, write::delete;
    delete_object_tagging: DeleteObjectTaggingInput => DeleteObjectTaggingOutput, tags::delete;
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput, write::delete_many;
    delete_public_access_block: DeletePublicAccessBlockInput => DeletePublicAccessBlockOutput, settings::delete_access_block;
    get_bucket_acl: GetBucketAclInput => GetBucketAclOutput, buckets::get_acl;
    get_bucket_cors: GetBucketCorsInput => GetBucketCorsOutput, settings::get_cors;
    get_bucket_encryption: GetBucketEncryptionInput => GetBucketEncryptionOutput, sse::get;
    get_bucket_lifecycle_configuration: GetBucketLifecycleConfigurationInput => GetBucketLifecycleConfigurationOutput, lifecycle::get;
    put_bucket_lifecycle_configuration: PutBucketLifecycleConfigurationInput => PutBucketLifecycleConfigurationOutput, lifecycle::put;
    delete_bucket_lifecycle: DeleteBucketLifecycleInput => DeleteBucketLifecycleOutput, lifecycle::delete;
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput, buckets::location;
    get_bucket_ownership_controls: GetBucketOwnershipControlsInput => GetBucketOwnershipControlsOutput, ownership::get;
    get_bucket_policy: GetBucketPolicyInput => GetBucketPolicyOutput, policy::get;
    get_bucket_policy_status: GetBucketPolicyStatusInput => GetBucketPolicyStatusOutput, policy::status;
    put_bucket_policy: PutBucketPolicyInput => PutBucketPolicyOutput, policy::put;
    delete_bucket_policy: DeleteBucketPolicyInput => DeleteBucketPolicyOutput, policy::delete;
    get_bucket_tagging: GetBucketTaggingInput => GetBucketTaggingOutput, settings::get_tags;
    get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput, buckets::versioning;
    get_object: GetObjectInput => GetObjectOutput, read::get;
    get_object_acl: GetObjectAclInput => GetObjectAclOutput, buckets::get_object_acl;
    get_object_attributes: GetObjectAttributesInput => GetObjectAttributesOutput, read::attributes;
    get_object_legal_hold: GetObjectLegalHoldInput => GetObjectLegalHoldOutput, lock::get_hold;
    get_object_lock_configuration: GetObjectLockConfigurationInput => GetObjectLockConfigurationOutput, lock::get_configuration;
    get_object_retention: GetObjectRetentionInput => GetObjectRetentionOutput, lock::get_retention;
    get_object_torrent: GetObjectTorrentInput => GetObjectTorrentOutput, read::torrent;
    get_object_tagging: GetObjectTaggingInput => GetObjectTaggingOutput, tags::get;
    get_public_access_block: GetPublicAccessBlockInput => GetPublicAccessBlockOutput, settings::get_access_block;
    head_bucket: HeadBucketInput => HeadBucketOutput, buckets::head;
    head_object: HeadObjectInput => HeadObjectOutput, read::head;
    list_buckets: ListBucketsInput => ListBucketsOutput, listing::buckets;
    list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput, listing::uploads;
    list_object_versions: ListObjectVersionsInput => ListObjectVersionsOutput, listing::versions;
    list_objects: ListObjectsInput => ListObjectsOutput, listing::first;
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output, listing::second;
    list_parts: ListPartsInput => ListPartsOutput, parts::list;
    put_bucket_acl: PutBucketAclInput => PutBucketAclOutput, buckets::put_acl;
    put_bucket_cors: PutBucketCorsInput => PutBucketCorsOutput, settings::put_cors;
    put_bucket_encryption: PutBucketEncryptionInput => PutBucketEncryptionOutput, sse::put;
    put_bucket_ownership_controls: PutBucketOwnershipControlsInput => PutBucketOwnershipControlsOutput, ownership::put;
    put_bucket_tagging: PutBucketTaggingInput => PutBucketTaggingOutput, settings::put_tags;
    put_bucket_versioning: PutBucketVersioningInput => PutBucketVersioningOutput, buckets::put_versioning;
    put_object: PutObjectInput => PutObjectOutput, write::put;
    put_object_acl: PutObjectAclInput => PutObjectAclOutput, buckets::put_object_acl;
    put_object_legal_hold: PutObjectLegalHoldInput => PutObjectLegalHoldOutput, lock::put_hold;
    put_object_lock_configuration: PutObjectLockConfigurationInput => PutObjectLockConfigurationOutput, lock::put_configuration;
    put_object_retention: PutObjectRetentionInput => PutObjectRetentionOutput, lock::put_retention;
    put_object_tagging: PutObjectTaggingInput => PutObjectTaggingOutput, tags::put;
    put_public_access_block: PutPublicAccessBlockInput => PutPublicAccessBlockOutput, settings::put_access_block;
    upload_part: UploadPartInput => UploadPartOutput, parts::put;
    upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput, parts::copy;
}
