//! Segments as objects: one each, never changed, put only where none is.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archipelago_env::Env;
use archipelago_model::SegmentId;
use bytes::Bytes;
use futures_util::StreamExt;
use md5::{Digest, Md5};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, PutResult,
};

use super::driver::{Allowance, Driver};
use super::fault::sort;
use super::parts::Left;
use crate::StoreError;
use crate::layer::Limits;

/// How a segment is cut to be put.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// Up to this it is put in one request, and is in memory for that time. Segments of the log
    /// and of imports are smaller, backups of large catalogs are not.
    pub whole_max: u64,
    /// A part of a larger one.
    pub part_bytes: u64,
    /// What a request may take.
    pub allowance: Allowance,
}

impl Default for Cut {
    /// S3 allows 10 000 parts: 78 GiB.
    fn default() -> Self {
        Self { whole_max: 64 << 20, part_bytes: 8 << 20, allowance: Allowance::default() }
    }
}

/// Bytes fetched at once where an object is compared with what is staged.
const WINDOW_BYTES: u64 = 8 << 20;
/// Who takes a prefix of a server that overwrites waits so long before the look that counts: another
/// one who found the prefix free at the same time has written by then, or is that much slower.
const SETTLE: Duration = Duration::from_secs(5);
/// Of the object that says whose the prefix is.
const CLAIM_BYTES_MAX: u64 = 4096;

/// Gives the bytes of a staged segment from an offset on, so many as asked for.
pub(super) type Staged<'a> = &'a dyn Fn(u64, u64) -> Result<Vec<u8>, StoreError>;

pub(super) type Answer<T> = Result<T, Error>;

pub(super) struct Objects {
    pub(super) bucket: Arc<dyn ObjectStore>,
    pub(super) driver: Driver,
    /// Without a slash at its end; empty for the whole bucket.
    prefix: String,
    pub(super) cut: Cut,
    /// `None` where there is no rate to keep to.
    limits: Option<Limits>,
    /// Whether the server refuses a conditional write over what is there, as it must. Some say
    /// yes and write (RADOS gateway 16): before those are written to, they are asked.
    refuses: AtomicBool,
    /// Whether the prefix was free when this was opened.
    wrote_owner: AtomicBool,
    /// Uploads in parts that failed.
    pub(super) left: Left,
}

/// What is between a request and the answer of the server, as an error of the pool.
fn unanswered(segment: Option<SegmentId>, op: &'static str, source: io::Error) -> StoreError {
    StoreError::Unavailable { segment, op, source }
}

impl Objects {
    pub(super) fn new(
        bucket: Arc<dyn ObjectStore>,
        prefix: &str,
        cut: Cut,
        limits: Option<Limits>,
    ) -> Result<Self, StoreError> {
        let driver = Driver::new().map_err(|source| StoreError::Io {
            segment: None,
            op: "start threads for",
            source,
        })?;
        let prefix = prefix.trim_matches('/').to_owned();
        if Path::parse(&prefix).is_err() {
            let why = format!("the prefix {prefix:?} of the pool's url is no path of a bucket");
            return Err(StoreError::Unusable { why });
        }
        Ok(Self {
            bucket,
            driver,
            prefix,
            cut,
            limits,
            refuses: AtomicBool::new(false),
            wrote_owner: AtomicBool::new(false),
            left: Left::default(),
        })
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    fn folder(&self) -> Path {
        self.path("segments")
    }

    pub(super) fn key(&self, id: SegmentId) -> Path {
        self.path(&format!("segments/{id}"))
    }

    /// Waits until a request is due that carries what `limit` says.
    pub(super) fn due(&self, limit: impl FnOnce(&Limits)) {
        if let Some(limits) = &self.limits {
            limit(limits);
        }
    }

    /// Makes a request that carries so many bytes, either way, and waits for the answer.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        bytes: u64,
        request: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        self.driver.run(self.cut.allowance.of(bytes), request)
    }

    /// Sorts the two ways in which a request fails.
    pub(super) fn answer<T>(
        segment: Option<SegmentId>,
        op: &'static str,
        answer: io::Result<Answer<T>>,
    ) -> Result<T, StoreError> {
        let answer = answer.map_err(|source| unanswered(segment, op, source))?;
        answer.map_err(|error| sort(segment, op, error))
    }

    /// Asks for something, so that what is wrong with the place is found before it is needed.
    pub(super) fn reach(&self) -> Result<(), StoreError> {
        let (bucket, folder) = (Arc::clone(&self.bucket), self.folder());
        self.due(Limits::call);
        let first = self.ask(0, async move { bucket.list(Some(&folder)).next().await });
        Self::answer(None, "list", first.map(Option::transpose)).map(drop)
    }

    /// Takes the prefix for `owner`; it must not be another one's.
    pub(super) fn claim(&self, env: &Env, owner: &str) -> Result<(), StoreError> {
        self.reach()?;
        let path = self.path("owner");
        let claim = format!("archipelago pool 1\nstore {owner}\n");
        match self.claimed(&path)? {
            Some(held) if held == claim => {}
            Some(held) => return Err(Self::taken(&held)),
            None => {
                // Also where this try fails behind it.
                self.wrote_owner.store(true, Ordering::Release);
                self.put_new(None, &path, Bytes::from(claim.clone()))?;
            }
        }
        // Over one that is there: does it refuse? (Where it does not, nothing has changed.)
        let refuses = self.put_new(None, &path, Bytes::from(claim.clone()))?.is_none();
        self.refuses.store(refuses, Ordering::Release);
        if !refuses {
            tracing::warn!(
                "the server of the pool takes conditional writes for plain ones: it is asked \
                 before each write whether the segment is there"
            );
        }
        if !refuses && self.wrote_owner.load(Ordering::Acquire) {
            // The last one who wrote has it. One who had looked before we wrote may be slow.
            env.clock().sleep(SETTLE);
        }
        // Two may have begun at once.
        match self.claimed(&path)? {
            Some(held) if held == claim => Ok(()),
            Some(held) => Err(Self::taken(&held)),
            None => Err(unanswered(None, "claim the place for", io::ErrorKind::NotFound.into())),
        }
    }

    fn taken(held: &str) -> StoreError {
        let why = format!(
            "the prefix of the bucket belongs to {:?}: give this store another prefix",
            held.lines().last().unwrap_or_default()
        );
        StoreError::Unusable { why }
    }

    fn claimed(&self, path: &Path) -> Result<Option<String>, StoreError> {
        let (bucket, path) = (Arc::clone(&self.bucket), path.clone());
        self.due(Limits::call);
        let got = self.ask(CLAIM_BYTES_MAX, async move {
            let got = bucket.get(&path).await?;
            if got.meta.size > CLAIM_BYTES_MAX {
                return Ok(Bytes::from_static(b"something else"));
            }
            got.bytes().await
        });
        match got {
            Ok(Err(Error::NotFound { .. })) => Ok(None),
            other => {
                let bytes = Self::answer(None, "read the owner of", other)?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
        }
    }

    /// Puts an object that must not be there; `None` where one is.
    fn put_new(
        &self,
        segment: Option<SegmentId>,
        path: &Path,
        bytes: Bytes,
    ) -> Result<Option<PutResult>, StoreError> {
        let (bucket, path) = (Arc::clone(&self.bucket), path.clone());
        let options = PutOptions::from(PutMode::Create);
        let len = bytes.len() as u64;
        self.due(|limits| limits.write(len));
        let put =
            self.ask(
                len,
                async move { bucket.put_opts(&path, PutPayload::from(bytes), options).await },
            );
        match put {
            Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => Ok(None),
            other => Self::answer(segment, "put", other).map(Some),
        }
    }

    /// What is said of an object, if it is there. A HEAD that is refused has no body, and so does
    /// not say whether a server looked or something between knew no better: that an object is
    /// missing is only taken from who can say what it is that is missing.
    fn head(&self, id: SegmentId) -> Result<Option<ObjectMeta>, StoreError> {
        let (bucket, key) = (Arc::clone(&self.bucket), self.key(id));
        self.due(Limits::call);
        match self.ask(0, async move { bucket.head(&key).await }) {
            Ok(Err(Error::NotFound { .. })) => {}
            other => return Self::answer(Some(id), "measure", other).map(Some),
        }
        let (bucket, key) = (Arc::clone(&self.bucket), self.key(id));
        self.due(Limits::call);
        // Its bytes are not waited for.
        match self.ask(0, async move { bucket.get(&key).await.map(|got| got.meta) }) {
            Ok(Err(Error::NotFound { .. })) => Ok(None),
            other => Self::answer(Some(id), "measure", other).map(Some),
        }
    }

    pub(super) fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        let found = self.head(id)?.ok_or(StoreError::NotFound { segment: id })?;
        Ok(found.size)
    }

    /// Reads what must be there: `len` bytes from `offset` on.
    pub(super) fn read(&self, id: SegmentId, offset: u64, len: u64) -> Result<Bytes, StoreError> {
        let (bucket, key) = (Arc::clone(&self.bucket), self.key(id));
        let range = GetRange::Bounded(offset..offset.saturating_add(len));
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        self.due(|limits| limits.read(len));
        let got = self.ask(len, async move { bucket.get_opts(&key, options).await?.bytes().await });
        let bytes = Self::answer(Some(id), "read", got)?;
        if bytes.len() as u64 != len {
            let short = format!("{} bytes came of {len}", bytes.len());
            return Err(unanswered(Some(id), "read", io::Error::other(short)));
        }
        Ok(bytes)
    }

    /// Removes an object; one that is not there is no error.
    pub(super) fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        let (bucket, key) = (Arc::clone(&self.bucket), self.key(id));
        self.due(Limits::call);
        match self.ask(0, async move { bucket.delete(&key).await }) {
            Ok(Err(Error::NotFound { .. })) => Ok(()),
            other => Self::answer(Some(id), "remove", other),
        }
    }

    /// The ids from `floor` on, ascending; what is not a segment's name is passed over.
    pub(super) fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        let (bucket, folder) = (Arc::clone(&self.bucket), self.folder());
        // What is listed is behind this name. Names are of one width, so their order is that
        // of the ids.
        let before = floor.get().checked_sub(1).and_then(SegmentId::new).map(|id| self.key(id));
        self.due(Limits::call);
        let (allowed, ends) = (self.cut.allowance.of(0), Duration::MAX);
        let listed = self.driver.run(ends, async move {
            let mut found = match &before {
                Some(before) => bucket.list_with_offset(Some(&folder), before),
                None => bucket.list(Some(&folder)),
            };
            let mut ids = Vec::new();
            // Each page is a request, and has the time of one.
            loop {
                let next = tokio::time::timeout(allowed, found.next()).await.map_err(late)?;
                let Some(object) = next else { return Ok(ids) };
                ids.extend(object?.location.filename().and_then(segment_named));
            }
        });
        let mut ids: Vec<SegmentId> = Self::answer(None, "list", listed)?;
        ids.retain(|id| *id >= floor);
        ids.sort_unstable();
        Ok(ids)
    }

    /// Puts a segment of `len` bytes where none is, and looks whether it is there as it should
    /// be. One that is there as it should be already is as good: who got no answer asks again.
    pub(super) fn publish(
        &self,
        id: SegmentId,
        len: u64,
        staged: Staged<'_>,
    ) -> Result<(), StoreError> {
        let whole = len <= self.cut.whole_max;
        if (!whole || !self.refuses.load(Ordering::Acquire)) && self.compare(id, len, staged)? {
            return Ok(());
        }
        let (tag, put) = if whole {
            let bytes = staged(0, len)?;
            let tag = hex::encode(Md5::digest(&bytes));
            let Some(put) = self.put_new(Some(id), &self.key(id), Bytes::from(bytes))? else {
                // By an earlier try of ours, or by another one.
                return self.compare(id, len, staged)?.then_some(()).ok_or_else(|| {
                    unanswered(Some(id), "put", io::Error::other("it is there, and it is not"))
                });
            };
            (tag, put)
        } else {
            self.put_parts(id, len, staged)?
        };
        // The server's own checksum of what it took; not all make it of the bytes alone.
        if put.e_tag.as_deref().map(bare) == Some(tag.as_str()) {
            return Ok(());
        }
        if self.compare(id, len, staged)? {
            return Ok(());
        }
        let source = io::Error::other("what was put is not there");
        Err(unanswered(Some(id), "put", source))
    }

    /// Whether a segment is there with the bytes that are staged.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when it is there with others.
    pub(super) fn compare(
        &self,
        id: SegmentId,
        len: u64,
        staged: Staged<'_>,
    ) -> Result<bool, StoreError> {
        let Some(found) = self.head(id)? else { return Ok(false) };
        let other = || StoreError::AlreadyExists { segment: id };
        if found.size != len {
            return Err(other());
        }
        if let Some(tag) = found.e_tag.as_deref().filter(|tag| may_be_md5(bare(tag)))
            && len <= self.cut.whole_max
            && hex::encode(Md5::digest(staged(0, len)?)) == bare(tag)
        {
            return Ok(true);
        }
        let mut at = 0;
        while at < len {
            let wanted = WINDOW_BYTES.min(len - at);
            if self.read(id, at, wanted)? != staged(at, wanted)? {
                return Err(other());
            }
            at += wanted;
        }
        Ok(true)
    }
}

/// A page of a listing that did not come in time.
fn late(elapsed: tokio::time::error::Elapsed) -> Error {
    let source = Box::new(HttpError::new(HttpErrorKind::Timeout, elapsed));
    Error::Generic { store: "bucket", source }
}

/// A tag without its quotes.
fn bare(tag: &str) -> &str {
    tag.trim_matches('"')
}

fn may_be_md5(tag: &str) -> bool {
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The segment that an object is; `None` for what is not ours.
fn segment_named(name: &str) -> Option<SegmentId> {
    let id = SegmentId::new(u64::from_str_radix(name, 16).ok()?)?;
    (name == id.to_string()).then_some(id)
}
