//! Segments that are put in parts.
//!
//! Servers keep the parts of an upload that was neither completed nor aborted, unseen and paid
//! for; and a part that arrives after the abort stays as well. So an upload is aborted when none
//! of its parts is under way any more; and since the server may be at one whose answer was not
//! waited for, it is aborted again with each later upload, until the server does not know it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use archipelago_model::SegmentId;
use md5::{Digest, Md5};
use object_store::{Error, MultipartUpload, ObjectStoreExt, PutPayload, PutResult};
use parking_lot::Mutex;

use super::driver::Pending;
use super::objects::{Answer, Objects, Staged};
use crate::StoreError;
use crate::layer::Limits;

/// Parts of one upload under way at once, each in memory.
const PARTS_MAX: usize = 4;
/// Uploads that failed and are aborted again; of more the oldest are left to the bucket's rule.
const LEFT_MAX: usize = 16;

/// An upload that was begun.
type Upload = Arc<tokio::sync::Mutex<Box<dyn MultipartUpload>>>;

/// Uploads of which the server may have parts yet.
#[derive(Default)]
pub(super) struct Left(Mutex<VecDeque<Upload>>);

impl Left {
    fn add(&self, upload: Upload) {
        let mut left = self.0.lock();
        left.push_back(upload);
        while left.len() > LEFT_MAX {
            left.pop_front();
        }
    }

    fn first(&self) -> Option<Upload> {
        self.0.lock().front().cloned()
    }

    fn remove(&self, upload: &Upload) {
        self.0.lock().retain(|other| !Arc::ptr_eq(other, upload));
    }
}

/// That the server does not know the upload says nothing of the segment.
fn known<T>(
    id: SegmentId,
    op: &'static str,
    answer: io::Result<Answer<T>>,
) -> Result<T, StoreError> {
    match answer {
        Ok(Err(Error::NotFound { .. })) => {
            let source = io::Error::other("the server does not know the upload any more");
            Err(StoreError::Unavailable { segment: Some(id), op, source })
        }
        other => Objects::answer(Some(id), op, other),
    }
}

impl Objects {
    /// Puts a large segment in parts: with what its tag will be, if that is a checksum.
    pub(super) fn put_parts(
        &self,
        id: SegmentId,
        len: u64,
        staged: Staged<'_>,
    ) -> Result<(String, PutResult), StoreError> {
        let (bucket, key) = (Arc::clone(&self.bucket), self.key(id));
        self.due(Limits::call);
        let begun = self.ask(0, async move { bucket.put_multipart(&key).await });
        let mut upload = known(id, "begin to put", begun)?;
        let tag = self.put_each(id, len, staged, &mut *upload);
        let upload = Arc::new(tokio::sync::Mutex::new(upload));
        let done = tag.and_then(|tag| {
            let completed = Arc::clone(&upload);
            self.due(Limits::call);
            // The server may copy all of it.
            let done = self.ask(len, async move { completed.lock().await.complete().await });
            Ok((tag, known(id, "put", done)?))
        });
        if done.is_err() {
            // The error that is returned matters more than one of this. An upload that was
            // completed, and did not say so, is not harmed by it.
            self.abort(&upload);
            self.left.add(upload);
        }
        done
    }

    /// Puts the parts; none is under way any more when this returns.
    fn put_each(
        &self,
        id: SegmentId,
        len: u64,
        staged: Staged<'_>,
        upload: &mut dyn MultipartUpload,
    ) -> Result<String, StoreError> {
        let mut under_way: VecDeque<Pending<Answer<()>>> = VecDeque::new();
        let begun = self.begin_each(id, len, staged, upload, &mut under_way);
        let ends: Vec<_> = under_way.into_iter().map(Pending::wait).collect();
        let tag = begun?;
        for end in ends {
            known(id, "put a part of", end)?;
        }
        Ok(tag)
    }

    fn begin_each(
        &self,
        id: SegmentId,
        len: u64,
        staged: Staged<'_>,
        upload: &mut dyn MultipartUpload,
        under_way: &mut VecDeque<Pending<Answer<()>>>,
    ) -> Result<String, StoreError> {
        let mut tags = Md5::new();
        let mut at = 0;
        let mut parts = 0;
        while at < len {
            if under_way.len() >= PARTS_MAX
                && let Some(part) = under_way.pop_front()
            {
                known(id, "put a part of", part.wait())?;
            }
            let bytes = staged(at, self.cut.part_bytes.min(len - at))?;
            tags.update(Md5::digest(&bytes));
            at += bytes.len() as u64;
            parts += 1;
            self.due(|limits| limits.write(bytes.len() as u64));
            // Those that are under way share the link.
            let allowed = self.cut.allowance.of(self.cut.part_bytes * PARTS_MAX as u64);
            let part = upload.put_part(PutPayload::from(bytes));
            under_way.push_back(self.driver.begin(allowed, part));
        }
        Ok(format!("{}-{parts}", hex::encode(tags.finalize())))
    }

    /// Whether the server has said that it is gone, or never was.
    fn abort(&self, upload: &Upload) -> bool {
        let upload = Arc::clone(upload);
        self.due(Limits::call);
        let done = self.ask(0, async move { upload.lock().await.abort().await });
        matches!(done, Ok(Ok(()) | Err(Error::NotFound { .. })))
    }

    /// Aborts once more what failed before: a part may have arrived behind the first abort.
    pub(super) fn abort_left(&self) {
        loop {
            let Some(upload) = self.left.first() else { return };
            if !self.abort(&upload) {
                return;
            }
            self.left.remove(&upload);
        }
    }
}
