//! Documents of requests. The library reads one before the operation can ask for the right to it,
//! so here it is asked who may send a long one at all, before any of it is read, and how much of all
//! of them is in memory at once.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use s3s::access::S3AccessContext;
use s3s::path::S3Path;
use s3s::{S3Result, s3_error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::XML_BYTES_MAX;
use super::acl::Permission;
use super::auth::{Actor, Asked};
use super::door::Door;
use super::fault::denied;
use crate::App;

/// Documents of so many bytes are read before anything is asked: as many connections as there may
/// be hold little of them.
const SHORT_BYTES: usize = 16 << 10;
/// The longest document of somebody who signed nothing and of whom the right cannot be asked
/// before the document tells for what: a thousand names of two hundred bytes.
const STRANGERS_BYTES_MAX: usize = 256 << 10;
/// Long documents in memory at once, in bytes; those who come then are told to come later.
const HELD_BYTES_MAX: usize = 32 << 20;
/// Of these, those of whoever signed nothing, so that they keep nobody else out.
const STRANGERS_HELD_BYTES_MAX: usize = 4 << 20;

/// Whose right can be asked before a document is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Right {
    /// To make a bucket.
    Make,
    /// Of the owner of the bucket.
    Own,
    /// To do this with the bucket, or with the key in the path.
    Do(Permission),
    /// To do this with the object that is there.
    DoWith(Permission),
    /// The document says for what.
    Later,
}

/// What an operation with a document needs; `None` for one without.
fn right_of(operation: &str) -> Option<Right> {
    Some(match operation {
        "CreateBucket" => Right::Make,
        "PutBucketCors"
        | "PutBucketEncryption"
        | "PutBucketLifecycleConfiguration"
        | "PutBucketOwnershipControls"
        | "PutBucketPolicy"
        | "PutBucketTagging"
        | "PutBucketVersioning"
        | "PutObjectLegalHold"
        | "PutObjectLockConfiguration"
        | "PutObjectRetention"
        | "PutPublicAccessBlock" => Right::Own,
        "PutBucketAcl" => Right::Do(Permission::WriteAcp),
        "CompleteMultipartUpload" | "PutObjectTagging" => Right::Do(Permission::Write),
        "PutObjectAcl" => Right::DoWith(Permission::WriteAcp),
        // But for the removal of many, these are not there, which the library says once it has read.
        "CreateBucketMetadataTableConfiguration"
        | "DeleteObjects"
        | "PutBucketAccelerateConfiguration"
        | "PutBucketAnalyticsConfiguration"
        | "PutBucketIntelligentTieringConfiguration"
        | "PutBucketInventoryConfiguration"
        | "PutBucketLogging"
        | "PutBucketMetricsConfiguration"
        | "PutBucketNotificationConfiguration"
        | "PutBucketReplication"
        | "PutBucketRequestPayment"
        | "PutBucketWebsite"
        | "RestoreObject"
        | "SelectObjectContent" => Right::Later,
        _ => return None,
    })
}

/// How long a document says that it is.
fn length(headers: &HeaderMap) -> S3Result<usize> {
    // One in pieces has another length on its way.
    if headers.contains_key("x-amz-decoded-content-length") {
        return Ok(XML_BYTES_MAX);
    }
    let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match said.and_then(|text| text.parse().ok()) {
        Some(length) => Ok(length),
        None if headers.contains_key(TRANSFER_ENCODING) => {
            Err(s3_error!(MissingContentLength, "You must provide the Content-Length HTTP header."))
        }
        None => Ok(0),
    }
}

/// The place of a document in memory, until its request is answered.
#[derive(Clone)]
struct Held {
    _room: Arc<OwnedSemaphorePermit>,
}

/// Where documents come in.
pub(super) struct Desk {
    door: Door,
    room: Arc<Semaphore>,
    strangers_room: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(app: &App) -> Self {
        Self {
            door: Door::new(app.clone()),
            room: Arc::new(Semaphore::new(HELD_BYTES_MAX)),
            strangers_room: Arc::new(Semaphore::new(STRANGERS_HELD_BYTES_MAX)),
        }
    }

    /// Refuses a document that is not to be read, or makes room for it.
    pub(super) async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(right) = right_of(cx.s3_op().name()) else { return Ok(()) };
        let length = length(cx.headers())?;
        if length <= SHORT_BYTES {
            return Ok(());
        }
        let too_long = |max| {
            s3_error!(
                MaxMessageLengthExceeded,
                "the document has {length} bytes; {max} may be sent"
            )
        };
        if length > XML_BYTES_MAX {
            return Err(too_long(XML_BYTES_MAX));
        }
        let asked = cx.extensions_mut().get::<Asked>().cloned().unwrap_or_default();
        let actor = Actor::new(cx.headers(), asked, cx.credentials())?;
        self.ask(&actor, cx.s3_path(), right).await?;
        let is_strangers = actor.identity.is_none();
        if is_strangers && right == Right::Later && length > STRANGERS_BYTES_MAX {
            return Err(too_long(STRANGERS_BYTES_MAX));
        }
        let room = if is_strangers { &self.strangers_room } else { &self.room };
        // `length` is 4 MiB at most.
        let room = Arc::clone(room).try_acquire_many_owned(length as u32).map_err(|_| {
            s3_error!(SlowDown, "other long documents are being read; send this one again")
        })?;
        cx.extensions_mut().insert(Held { _room: Arc::new(room) });
        Ok(())
    }

    async fn ask(&self, actor: &Actor, path: &S3Path, right: Right) -> S3Result<()> {
        let Some(bucket) = path.get_bucket_name() else {
            return Ok(());
        };
        let door = &self.door;
        match right {
            Right::Make if actor.writes() => Ok(()),
            Right::Make => Err(denied()),
            Right::Own => door.own_bucket(actor, bucket).await.map(drop),
            Right::Do(wanted) => {
                let version = actor.asked.version();
                match wanted {
                    Permission::Write => {
                        door.bucket_of_version(actor, bucket, version).await.map(drop)
                    }
                    wanted => door.bucket(actor, bucket, wanted).await.map(drop),
                }
            }
            Right::DoWith(wanted) => {
                let key = actor.asked.key.as_deref().unwrap_or_default();
                let version = actor.asked.version();
                door.object(actor, bucket, key, version, wanted).await.map(drop)
            }
            Right::Later => door.find_bucket(actor, bucket).await.map(drop),
        }
    }
}
