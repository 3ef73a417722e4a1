//! What a bucket keeps for its owner: documents that are checked, kept and given back.

use archipelago_pool::Container;
use s3s::dto::{
    CORSConfiguration, DeleteBucketCorsInput, DeleteBucketCorsOutput, DeleteBucketTaggingInput,
    DeleteBucketTaggingOutput, DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput,
    GetBucketCorsInput, GetBucketCorsOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    GetPublicAccessBlockInput, GetPublicAccessBlockOutput, PublicAccessBlockConfiguration,
    PutBucketCorsInput, PutBucketCorsOutput, PutBucketTaggingInput, PutBucketTaggingOutput,
    PutPublicAccessBlockInput, PutPublicAccessBlockOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::door::Door;
use super::{auth, tags};

const CORS: &str = "s3.cors";
const TAGS: &str = "s3.tags";
const ACCESS_BLOCK: &str = "s3.access-block";

/// Bytes of one document at most.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;

fn read<T: DeserializeOwned>(bucket: &Container, name: &str) -> Option<T> {
    serde_json::from_str(bucket.settings.get(name)?).ok()
}

impl Door {
    /// The bucket of a request about its settings.
    pub(super) async fn of_owner<T>(
        &self,
        request: &S3Request<T>,
        name: &str,
    ) -> S3Result<Container> {
        let actor: auth::Actor = self.actor(request).await?;
        self.own_bucket(&actor, name).await
    }

    async fn keep<T: Serialize>(&self, bucket: u64, name: &'static str, value: &T) -> S3Result<()> {
        let text = serde_json::to_string(value).map_err(S3Error::internal_error)?;
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(s3_error!(EntityTooLarge, "a document has 64 KiB at most"));
        }
        self.change(bucket, move |container| {
            container.settings.insert(name.to_owned(), text.clone());
            Ok(())
        })
        .await
    }

    pub(super) async fn drop_setting(&self, bucket: u64, name: &'static str) -> S3Result<()> {
        self.change(bucket, move |container| {
            container.settings.remove(name);
            Ok(())
        })
        .await
    }
}

/// The rules for pages of other sites.
pub(super) fn cors_of(bucket: &Container) -> Option<CORSConfiguration> {
    read(bucket, CORS)
}

/// `GetBucketCors`.
pub(super) async fn get_cors(
    door: &Door,
    request: S3Request<GetBucketCorsInput>,
) -> S3Result<S3Response<GetBucketCorsOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let kept =
        cors_of(&bucket).ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchCORSConfiguration))?;
    Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(kept.cors_rules) }))
}

/// `PutBucketCors`.
pub(super) async fn put_cors(
    door: &Door,
    request: S3Request<PutBucketCorsInput>,
) -> S3Result<S3Response<PutBucketCorsOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    door.keep(bucket.id, CORS, &request.input.cors_configuration).await?;
    Ok(S3Response::new(PutBucketCorsOutput::default()))
}

/// `DeleteBucketCors`.
pub(super) async fn delete_cors(
    door: &Door,
    request: S3Request<DeleteBucketCorsInput>,
) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    door.drop_setting(bucket.id, CORS).await?;
    Ok(no_content(DeleteBucketCorsOutput::default()))
}

/// `GetBucketTagging`.
pub(super) async fn get_tags(
    door: &Door,
    request: S3Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let kept = read(&bucket, TAGS).ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchTagSet))?;
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set: tags::to_set(&kept) }))
}

/// `PutBucketTagging`.
pub(super) async fn put_tags(
    door: &Door,
    request: S3Request<PutBucketTaggingInput>,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let kept = tags::of_bucket(&request.input.tagging.tag_set)?;
    door.keep(bucket.id, TAGS, &kept).await?;
    Ok(S3Response::new(PutBucketTaggingOutput::default()))
}

/// `DeleteBucketTagging`.
pub(super) async fn delete_tags(
    door: &Door,
    request: S3Request<DeleteBucketTaggingInput>,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    door.drop_setting(bucket.id, TAGS).await?;
    Ok(no_content(DeleteBucketTaggingOutput::default()))
}

/// `GetPublicAccessBlock`.
pub(super) async fn get_access_block(
    door: &Door,
    request: S3Request<GetPublicAccessBlockInput>,
) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let kept: Option<PublicAccessBlockConfiguration> = read(&bucket, ACCESS_BLOCK);
    let Some(kept) = kept else {
        let code = S3ErrorCode::Custom("NoSuchPublicAccessBlockConfiguration".into());
        let mut error =
            S3Error::with_message(code, "The public access block configuration was not found");
        error.set_status_code(axum::http::StatusCode::NOT_FOUND);
        return Err(error);
    };
    Ok(S3Response::new(GetPublicAccessBlockOutput {
        public_access_block_configuration: Some(kept),
    }))
}

/// `PutPublicAccessBlock`.
pub(super) async fn put_access_block(
    door: &Door,
    request: S3Request<PutPublicAccessBlockInput>,
) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let wanted = request.input.public_access_block_configuration;
    door.keep(bucket.id, ACCESS_BLOCK, &wanted).await?;
    Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
}

/// `DeletePublicAccessBlock`.
pub(super) async fn delete_access_block(
    door: &Door,
    request: S3Request<DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    door.drop_setting(bucket.id, ACCESS_BLOCK).await?;
    Ok(no_content(DeletePublicAccessBlockOutput::default()))
}

fn access_block(bucket: &Container) -> PublicAccessBlockConfiguration {
    read(bucket, ACCESS_BLOCK).unwrap_or_default()
}

/// Whether a bucket ignores what its lists of rights grant to everybody.
pub(super) fn ignores_public(bucket: &Container) -> bool {
    access_block(bucket).ignore_public_acls == Some(true)
}

/// Whether it takes no lists of rights that grant something to everybody.
pub(super) fn blocks_public(bucket: &Container) -> bool {
    access_block(bucket).block_public_acls == Some(true)
}

/// Whether it takes no policies that allow something to everybody.
pub(super) fn blocks_public_policy(bucket: &Container) -> bool {
    access_block(bucket).block_public_policy == Some(true)
}

/// Whether what its policy allows to everybody is for its own account only.
pub(super) fn restricts_public(bucket: &Container) -> bool {
    access_block(bucket).restrict_public_buckets == Some(true)
}

pub(super) fn no_content<T>(output: T) -> S3Response<T> {
    S3Response::with_status(output, axum::http::StatusCode::NO_CONTENT)
}
