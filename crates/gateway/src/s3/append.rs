//! `PutObject` with `x-amz-write-offset-bytes`: an append, as directory buckets of S3 have it.

use std::io::{self, Read};

use archipelago_model::{AccountId, ObjectName};
use archipelago_pool::{Decide, Error, Meta, Object, Place, Service, Update, UpdateContent};
use md5::{Digest, Md5};
use s3s::dto::{ETagCondition, PutObjectOutput};
use s3s::{S3Error, S3ErrorCode, S3Response, S3Result};

use super::checksums::{Expected, Hashing};
use super::door::Door;
use super::fault::{Missing, Refusal, broken};
use super::{lock, meta, sse};
use crate::upload::{Upload, upload};

/// An append that is about to be done.
pub(super) struct Append {
    pub(super) container: u64,
    pub(super) name: ObjectName,
    /// Where the client believes the end to be.
    pub(super) offset: i64,
    /// Of what comes, if it is known.
    pub(super) size: Option<u64>,
    /// What the request says of the object. It counts when that is made by it; else only the
    /// lock does.
    pub(super) known: Meta,
    /// `If-Match`, `If-None-Match`.
    pub(super) conditions: (Option<ETagCondition>, Option<ETagCondition>),
    /// Whose the object is if it is made by this.
    pub(super) owner: Option<AccountId>,
}

impl Append {
    /// Does it. It is refused when the end is elsewhere by then: of those who append at one
    /// offset, one succeeds.
    pub(super) async fn run(
        self,
        door: &Door,
        body: Upload,
        expected: Expected,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let offset = u64::try_from(self.offset).map_err(|_| elsewhere())?;
        let done = upload(&door.app, body, move |service, bytes| {
            let refusal = Refusal::default();
            let done = self.update(service, offset, bytes, &expected, &refusal);
            refusal.settle(done)
        });
        let object = done.await.map_err(|failure| broken(&failure, Missing::Bucket))??;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(meta::etag(&object)),
            size: i64::try_from(object.size).ok(),
            version_id: meta::version_shown(&object),
            ..PutObjectOutput::default()
        }))
    }

    fn update(
        self,
        service: &Service,
        offset: u64,
        bytes: &mut dyn Read,
        expected: &Expected,
        refusal: &Refusal,
    ) -> Result<Object, Error> {
        let Self { container, name, size, known, conditions, .. } = self;
        let asked = refusal.clone();
        let decide: Box<Decide> = Box::new(move |now| {
            asked.ask(meta::check_write(now, conditions.0.as_ref(), conditions.1.as_ref()))?;
            asked.ask(sse::refuse_sealed(now.and_then(|object| object.seal.as_ref())))?;
            let end = now.map_or(0, |object| object.size);
            asked.ask(if end == offset { Ok(()) } else { Err(elsewhere()) })?;
            Ok(now.map_or_else(|| known.clone(), |now| appended_meta(now, &known)))
        });
        let hashing = expected.hasher();
        let md5 = expected.wants_md5().then(Md5::new);
        let mut input =
            Verified { input: bytes, hashing: &hashing, md5, expected, refusal, ended: false };
        let update = Update {
            container,
            name: &name,
            place: Place::At(offset),
            content: UpdateContent::Bytes { input: &mut input, size },
            size: None,
            create: true,
            decide,
            owner: self.owner,
        };
        service.object_update(update).map(|done| done.object)
    }
}

/// What is known of an object behind an append. Who may only write adds bytes and nothing else:
/// a list of rights from here would be one for the bytes that were there before, too.
fn appended_meta(now: &Object, said: &Meta) -> Meta {
    let mut meta = now.meta.clone();
    lock::relock(&mut meta.settings, &said.settings);
    meta
}

fn elsewhere() -> S3Error {
    let message =
        "The write offset value that you specified does not match the current object size.";
    let code = S3ErrorCode::Custom("InvalidWriteOffset".into());
    let mut error = S3Error::with_message(code, message);
    error.set_status_code(axum::http::StatusCode::BAD_REQUEST);
    error
}

/// A body whose end comes only if it is what was announced.
struct Verified<'a> {
    input: &'a mut dyn Read,
    hashing: &'a Hashing,
    md5: Option<Md5>,
    expected: &'a Expected,
    refusal: &'a Refusal,
    ended: bool,
}

impl Read for Verified<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        self.hashing.update(&out[..read]);
        if let Some(md5) = &mut self.md5 {
            md5.update(&out[..read]);
        }
        if read == 0 && !out.is_empty() && !self.ended {
            self.ended = true;
            let md5 = self.md5.take().map(|md5| hex::encode(md5.finalize()));
            let checked = self.expected.check(self.hashing, md5.as_deref().unwrap_or_default());
            self.refusal.ask(checked).map_err(io::Error::other)?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
