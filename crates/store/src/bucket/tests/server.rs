//! A server in memory that fails on purpose, before or after it did what it was asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, UploadPart,
};
use parking_lot::Mutex;

/// What a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Put,
    Begin,
    Part,
    Complete,
    Get,
    Delete,
    List,
}

/// When a request fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fails {
    /// Nothing was done.
    Before,
    /// It was done, and the answer is lost.
    After,
}

#[derive(Default)]
struct Plan {
    overwrites: bool,
    once: Option<(Verb, Fails)>,
    /// An eighth of all requests.
    often: Option<Fails>,
    /// From so many requests on.
    from: Option<(u32, Fails)>,
    requests: u32,
    parts: u32,
    uploads: u32,
    aborts: u32,
    /// Parts that arrived when their upload was aborted.
    late_parts: u32,
    /// What no put of ends.
    held: BTreeSet<String>,
    holding: usize,
    slow_parts: bool,
    /// The next HEAD is answered by something that knows no better.
    hide: bool,
}

#[derive(Clone, Default)]
pub struct Server {
    inner: Arc<InMemory>,
    plan: Arc<Mutex<Plan>>,
}

impl Server {
    pub fn overwrite(&self) {
        self.plan.lock().overwrites = true;
    }

    pub fn fail_once(&self, verb: Verb, fails: Fails) {
        self.plan.lock().once = Some((verb, fails));
    }

    pub fn fail_often(&self, fails: Fails) {
        self.plan.lock().often = Some(fails);
    }

    pub fn fail_from(&self, after: u32, fails: Fails) {
        let mut plan = self.plan.lock();
        plan.from = Some((plan.requests + after, fails));
    }

    pub fn heal(&self) {
        let mut plan = self.plan.lock();
        (plan.once, plan.often, plan.from) = (None, None, None);
    }

    pub fn parts(&self) -> u32 {
        self.plan.lock().parts
    }

    /// Puts under this name do not end from now on.
    pub fn hold(&self, name: &str) {
        self.plan.lock().held.insert(name.to_owned());
    }

    pub fn release(&self) {
        self.plan.lock().held.clear();
    }

    /// Puts that wait for that.
    pub fn holding(&self) -> usize {
        self.plan.lock().holding
    }

    /// Parts take a while.
    pub fn slow_parts(&self) {
        self.plan.lock().slow_parts = true;
    }

    /// The next HEAD says that nothing is there.
    pub fn hide_once(&self) {
        self.plan.lock().hide = true;
    }

    pub fn aborts(&self) -> u32 {
        self.plan.lock().aborts
    }

    pub fn late_parts(&self) -> u32 {
        self.plan.lock().late_parts
    }

    async fn wait_while_held(&self, path: &Path) {
        let is_held = || self.plan.lock().held.contains(path.as_ref());
        if is_held() {
            self.plan.lock().holding += 1;
            while is_held() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            self.plan.lock().holding -= 1;
        }
    }

    pub fn uploads_under_way(&self) -> u32 {
        self.plan.lock().uploads
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    pub fn names(&self) -> Vec<String> {
        let listed = Self::wait(self.inner.list(None).try_collect::<Vec<_>>()).unwrap();
        let mut names: Vec<_> = listed.iter().map(|meta| meta.location.to_string()).collect();
        names.sort_unstable();
        names
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        let payload = PutPayload::from(bytes.to_vec());
        Self::wait(self.inner.put(&Path::from(name), payload)).unwrap();
    }

    pub fn get(&self, name: &str) -> Vec<u8> {
        let path = Path::from(name);
        Self::wait(async { self.inner.get(&path).await?.bytes().await }).unwrap().to_vec()
    }

    /// What becomes of this request.
    fn due(&self, verb: Verb) -> Option<Fails> {
        let mut plan = self.plan.lock();
        plan.requests += 1;
        if let Some((wanted, fails)) = plan.once
            && wanted == verb
        {
            plan.once = None;
            return Some(fails);
        }
        let requests = plan.requests;
        // In no rhythm: calls that make several requests would always fail at the same one.
        let mixed = requests.wrapping_mul(0x9e37_79b1);
        let unlucky = (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca6b) >> 29 == 1;
        let from = plan.from.filter(|(after, _)| requests > *after);
        plan.often.filter(|_| unlucky).or(from.map(|(_, fails)| fails))
    }

    async fn around<T>(&self, verb: Verb, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.due(verb) {
            None => call.await,
            Some(Fails::Before) => Err(away()),
            Some(Fails::After) => {
                call.await?;
                Err(away())
            }
        }
    }
}

fn away() -> Error {
    let source = HttpError::new(HttpErrorKind::Interrupted, std::io::Error::other("planned"));
    Error::Generic { store: "test", source: Box::new(source) }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server in memory")
    }
}

#[async_trait]
impl ObjectStore for Server {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        if self.plan.lock().overwrites {
            options.mode = PutMode::Overwrite;
        }
        self.wait_while_held(path).await;
        self.around(Verb::Put, self.inner.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.inner.put_multipart_opts(path, options);
        let inner = self.around(Verb::Begin, begun).await?;
        self.plan.lock().uploads += 1;
        Ok(Box::new(Upload { inner, server: self.clone(), aborted: Arc::default() }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head && std::mem::take(&mut self.plan.lock().hide) {
            let source = Box::new(std::io::Error::other("planned"));
            return Err(Error::NotFound { path: path.to_string(), source });
        }
        self.around(Verb::Get, self.inner.get_opts(path, options)).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let server = self.clone();
        let gone = paths.and_then(move |path| {
            let server = server.clone();
            async move {
                let removed = server.inner.delete(&path);
                server.around(Verb::Delete, removed).await.map(|()| path.clone())
            }
        });
        gone.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.due(Verb::List) {
            None => self.inner.list(prefix),
            Some(_) => stream::once(async { Err(away()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    server: Server,
    aborted: Arc<AtomicBool>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.server.plan.lock().parts += 1;
        let (part, server) = (self.inner.put_part(data), self.server.clone());
        let aborted = Arc::clone(&self.aborted);
        Box::pin(async move {
            let slow = server.plan.lock().slow_parts;
            let done = server.around(Verb::Part, part).await;
            if slow && done.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            server.plan.lock().late_parts += u32::from(aborted.load(Ordering::Acquire));
            done
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let server = self.server.clone();
        let done = server.around(Verb::Complete, self.inner.complete()).await?;
        server.plan.lock().uploads -= 1;
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        let mut plan = self.server.plan.lock();
        plan.aborts += 1;
        if self.aborted.swap(true, Ordering::AcqRel) {
            let source = Box::new(std::io::Error::other("NoSuchUpload"));
            return Err(Error::NotFound { path: String::new(), source });
        }
        plan.uploads -= 1;
        Ok(())
    }
}
