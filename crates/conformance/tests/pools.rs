//! Every kind of pool, over the real thing: one suite (`store::conformance`) for all, once as it is
//! and once with faults between the store and the server, behind the layer that asks again.
//!
//! What a bucket does at every request of a seal that fails is a fact of crate `store`; here are
//! servers that others wrote.

use std::fmt::Debug;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use archipelago_conformance::daemon::Daemon;
use archipelago_conformance::env;
use archipelago_conformance::peers::ceph::{Ceph, Purpose};
use archipelago_conformance::peers::unkind::{Road, Unkind};
use archipelago_conformance::program::program;
use archipelago_model::SegmentId;
use archipelago_store::layer::{Effect, Failure, Fault, Faulty, Op, Patience, Rates, Retrying};
use archipelago_store::s3::{self, Credentials, S3Settings};
use archipelago_store::{
    BucketStore, DirectoryStore, MemoryStore, RadosSettings, RadosStore, Store, StoreError,
    conformance,
};
use rustix::process::Signal;
use tempfile::TempDir;

const KEY: &str = "POOLKEYPOOLKEY000000";
const SECRET: &str = "poolsecretpoolsecretpoolsecretpoolsecret";
const BUCKET: &str = "pool";

/// Faults come faster than anybody would wait for in earnest.
fn quick() -> Patience {
    Patience {
        tries_max: 40,
        first_pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(20),
        total_max: Duration::from_secs(30),
    }
}

/// A bucket that is there, of a server that runs.
struct Bucket {
    settings: S3Settings,
    staging: TempDir,
    prefixes: AtomicU64,
}

impl Bucket {
    fn make(endpoint: &str, key: &str, secret: &str) -> Result<Self> {
        let arguments = ["--endpoint-url", endpoint, "s3api", "create-bucket", "--bucket", BUCKET];
        program("aws")?
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .run()?;
        let settings = S3Settings {
            bucket: BUCKET.to_owned(),
            prefix: String::new(),
            endpoint: Some(endpoint.to_owned()),
            region: None,
            virtual_hosted: false,
            credentials: Credentials::new(key, secret),
        };
        Ok(Self { settings, staging: tempfile::tempdir()?, prefixes: AtomicU64::new(0) })
    }

    /// An empty store of its own, by way of `endpoint`.
    fn empty(&self, endpoint: &str) -> Result<BucketStore, StoreError> {
        let prefix = format!("stores/{}", self.prefixes.fetch_add(1, Ordering::Relaxed));
        let staging = self.staging.path().join(&prefix);
        let endpoint = Some(endpoint.to_owned());
        let settings = S3Settings { prefix, endpoint, ..self.settings.clone() };
        s3::open(env(), &settings, "conformance", &staging, Rates::default())
    }

    fn endpoint(&self) -> &str {
        self.settings.endpoint.as_deref().unwrap_or_default()
    }

    fn conforms(&self) {
        conformance::check(|| Arc::new(self.empty(self.endpoint()).expect("an empty store")));
    }

    fn conforms_on_a_rough_road(&self) -> Result<()> {
        let host = self.endpoint().trim_start_matches("http://");
        let road = Unkind::start(host, Road::Rough)?;
        conformance::check(|| {
            // Opening asks the server, too, and is not behind the layer.
            let open = || self.empty(&road.endpoint()).ok();
            let store = (0..quick().tries_max).find_map(|_| open()).expect("an empty store");
            Arc::new(Retrying::new(Arc::new(store), env().clone(), quick()))
        });
        let (refused, broken) = road.hurt();
        ensure!(refused > 0 && broken > 0, "the road was smooth: {refused} {broken}");
        Ok(())
    }

    fn refuses(&self, settings: S3Settings, words: &[&str]) -> Result<StoreError> {
        let staging = self.staging.path().join("refused");
        let error = s3::open(env(), &settings, "conformance", &staging, Rates::default()).err();
        let error = error.context("it was opened")?;
        let said = format!("{error}");
        ensure!(words.iter().all(|word| said.contains(word)), "it says: {said}");
        ensure!(!format!("{said} {error:?}").contains(SECRET), "it says the secret");
        Ok(error)
    }

    fn says_what_is_wrong(&self) -> Result<()> {
        let with = |credentials: Credentials| S3Settings { credentials, ..self.settings.clone() };
        let key = self.refuses(with(Credentials::new("NOBODYNOBODYNOBODY00", SECRET)), &["key"])?;
        is_denied(&key)?;
        let (known, secret) = (self.known_key(), "not the secret, not the secret, not it");
        let secret = self.refuses(with(Credentials::new(&known, secret)), &["secret"])?;
        is_denied(&secret)?;
        let absent = S3Settings { bucket: "absent".to_owned(), ..self.settings.clone() };
        let absent = self.refuses(absent, &["absent", "make it"])?;
        ensure!(matches!(absent, StoreError::Unusable { .. }), "{absent:?}");
        let host = self.endpoint().trim_start_matches("http://");
        let closed = Unkind::start(host, Road::Closed)?;
        let endpoint = Some(closed.endpoint());
        let slow = self.refuses(S3Settings { endpoint, ..self.settings.clone() }, &[])?;
        ensure!(slow.is_transient() && format!("{slow:?}").contains("SlowDown"), "{slow:?}");
        Ok(())
    }

    fn known_key(&self) -> String {
        let shown = format!("{:?}", self.settings.credentials);
        shown.split('"').nth(1).unwrap_or_default().to_owned()
    }
}

fn is_denied(error: &impl Debug) -> Result<()> {
    let shown = format!("{error:?}");
    ensure!(shown.starts_with("Denied"), "{shown}");
    Ok(())
}

#[test]
fn a_bucket_of_the_rados_gateway_is_a_pool() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut ceph = Ceph::start(folder.path(), Purpose::Facts)?;
    ceph.start_gateway(KEY, SECRET)?;
    let bucket = Bucket::make(&ceph.endpoint(), KEY, SECRET)?;
    bucket.conforms();
    bucket.conforms_on_a_rough_road()?;
    bucket.says_what_is_wrong()
}

#[test]
fn a_bucket_of_our_own_is_a_pool() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = Daemon::start(&folder.path().join("data"))?;
    let key = daemon.cli()?.json(&["user", "key", "create", "admin"])?;
    let text = |name: &str| key[name].as_str().map(str::to_owned).context("no key");
    let bucket = Bucket::make(daemon.http(), &text("id")?, &text("secret")?)?;
    bucket.conforms();
    bucket.conforms_on_a_rough_road()?;
    bucket.says_what_is_wrong()
}

/// Namespaces of a pool of a cluster that runs.
struct Rados {
    settings: RadosSettings,
    namespaces: AtomicU64,
}

const STORE: &str = "store-of-the-tests";

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).expect("the tests use ids in range")
}

impl Rados {
    fn make(ceph: &Ceph) -> Result<Self> {
        ceph.make_pool(BUCKET)?;
        let settings = RadosSettings {
            config: ceph.config().to_owned(),
            user: "admin".to_owned(),
            pool: BUCKET.to_owned(),
            namespace: String::new(),
        };
        Ok(Self { settings, namespaces: AtomicU64::new(0) })
    }

    /// A namespace that nobody has yet.
    fn namespace(&self) -> RadosSettings {
        let namespace = format!("store-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        RadosSettings { namespace, ..self.settings.clone() }
    }

    fn empty(&self) -> Arc<dyn Store> {
        let opened = RadosStore::open(env(), &self.namespace(), STORE, "host");
        Arc::new(opened.expect("an empty store"))
    }

    /// Ceph's own tool, on an object of a namespace.
    fn tool(&self, settings: &RadosSettings, arguments: &[&str]) -> Result<String> {
        let config = settings.config.display().to_string();
        let fixed = ["-c", &config, "-p", BUCKET, "-N", &settings.namespace];
        Ok(program("rados")?.args(fixed).args(arguments).run()?.text())
    }

    fn conforms(&self) {
        conformance::check(|| self.empty());
        conformance::check(|| faulty(self.empty()));
    }

    /// What one that was taken over writes does not arrive, and is told so by the OSDs.
    fn the_late_are_refused(&self) -> Result<()> {
        let at = self.namespace();
        let early = RadosStore::open(env(), &at, STORE, "host")?;
        let open = early.create(id(1), 4096)?;
        open.write_at(0, &[IoSlice::new(b"early")])?;
        early.create(id(2), 4096)?.seal(0)?;
        let resealed = early.reopen(id(2))?;

        let other = RadosStore::open(env(), &at, STORE, "another host").err();
        let said = other.context("two write at once")?.to_string();
        ensure!(said.contains("written by host"), "it says: {said}");

        // As after a crash, under the same name: only that the one before lives on.
        let late = early;
        let now = RadosStore::open(env(), &at, STORE, "host")?;
        let fenced = |what: &str, result: Result<(), StoreError>| match result {
            Err(StoreError::Fenced { .. }) => Ok(()),
            other => Err(anyhow!("{what}: {other:?}")),
        };
        fenced("write", open.write_at(0, &[IoSlice::new(b"late!")]))?;
        fenced("seal", open.seal(5))?;
        fenced("write again", resealed.write_at(0, &[IoSlice::new(b"late!")]))?;
        fenced("create", late.create(id(3), 4096).map(drop))?;
        fenced("remove", late.remove(id(2)))?;
        fenced("reopen", late.reopen(id(2)).map(drop))?;

        ensure!(now.list_from(id(1))? == [id(1), id(2)], "{:?}", now.list_from(id(1)));
        let again = now.reopen(id(1))?;
        again.write_at(5, &[IoSlice::new(b" now")])?;
        again.seal(9)?;
        let mut read = [0; 9];
        now.read_at(id(1), 0, &mut read)?;
        ensure!(&read == b"early now", "{read:?}");
        drop((again, now));
        // Given back, it is anybody's.
        RadosStore::open(env(), &at, STORE, "another host")?;
        drop(late);
        Ok(())
    }

    /// One that stood still while it made a segment, and was taken over, makes none: not even
    /// where the next one has removed what it found.
    fn the_slow_make_nothing(&self) -> Result<()> {
        // The second is the first of its shard.
        for segment in [4, 70_000] {
            let at = self.namespace();
            let slow = RadosStore::open(env(), &at, STORE, "host")?;
            let next = std::cell::OnceCell::new();
            let made = slow.create_slowly(id(segment), 4096, &|| {
                let now = RadosStore::open(env(), &at, STORE, "host").expect("it takes over");
                now.remove(id(segment)).expect("it removes what it made");
                assert!(next.set(now).is_ok(), "once");
            });
            let made = made.map(drop);
            ensure!(matches!(made, Err(StoreError::Fenced { .. })), "{segment}: {made:?}");
            let now = next.into_inner().context("it was not taken over")?;
            ensure!(now.list_from(id(1))?.is_empty(), "{:?}", now.list_from(id(1)));
            now.create(id(segment + 1), 4096)?;
            drop((now, slow));
            let again = RadosStore::open(env(), &at, STORE, "another host")?;
            ensure!(again.list_from(id(1))? == [id(segment + 1)], "{:?}", again.list_from(id(1)));
        }
        Ok(())
    }

    /// One that takes over slowly takes nothing from who came after it.
    fn a_slow_takeover_takes_nothing(&self) -> Result<()> {
        let at = self.namespace();
        let store = RadosStore::open(env(), &at, STORE, "host")?;
        store.create(id(1), 4096)?;
        drop(store);
        let later = format!("open {:016x}", u64::MAX);
        let object = format!("segment.{}", id(1));
        self.tool(&at, &["setxattr", &object, "state", &later])?;
        let taken = RadosStore::open(env(), &at, STORE, "host").map(drop);
        ensure!(matches!(taken, Err(StoreError::Fenced { .. })), "{taken:?}");
        let state = self.tool(&at, &["getxattr", &object, "state"])?;
        ensure!(state.trim() == later, "{state}");
        Ok(())
    }

    /// What a crash left half done is done by the next one.
    fn what_was_begun_is_ended(&self) -> Result<()> {
        let at = self.namespace();
        let store = RadosStore::open(env(), &at, STORE, "host")?;
        for segment in [1, 2, 70_000] {
            store.create(id(segment), 4096)?.seal(0)?;
        }
        drop(store);
        let note = |key: &str| self.tool(&at, &["setomapval", "root", key, "x"]);
        note(&format!("gone.{}", id(1)))?;
        note(&format!("open.{}", id(2)))?;
        note(&format!("open.{}", id(3)))?;
        let store = RadosStore::open(env(), &at, STORE, "host")?;
        ensure!(store.list_from(id(1))? == [2, 3, 70_000].map(id), "{:?}", store.list_from(id(1)));
        ensure!(store.len(id(3))? == 0, "a segment that was not made has bytes");
        ensure!(matches!(store.len(id(1)), Err(StoreError::NotFound { .. })), "it is there");
        let noted = self.tool(&at, &["listomapkeys", "root"])?;
        ensure!(!noted.contains("gone.") && noted.matches("open.").count() == 1, "{noted}");
        for segment in store.list_from(id(1))? {
            store.remove(segment)?;
        }
        let objects = self.tool(&at, &["ls"])?;
        ensure!(!objects.contains("segment."), "{objects}");
        Ok(())
    }

    fn says_what_is_wrong(&self) -> Result<()> {
        let at = self.namespace();
        let refused = |settings: &RadosSettings, store: &str| -> Result<String> {
            let error = RadosStore::open(env(), settings, store, "host").err();
            let error = error.context("it was opened")?;
            ensure!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
            Ok(error.to_string())
        };
        drop(RadosStore::open(env(), &at, STORE, "host")?);
        let said = refused(&at, "another store")?;
        ensure!(said.contains(STORE) && said.contains("another namespace"), "{said}");
        let absent = RadosSettings { pool: "absent".to_owned(), ..at.clone() };
        let said = refused(&absent, STORE)?;
        ensure!(said.contains("ceph osd pool create absent"), "{said}");
        self.tool(&at, &["setxattr", "root", "layout", "2"])?;
        let said = refused(&at, STORE)?;
        ensure!(said.contains("newer"), "{said}");
        Ok(())
    }

    /// An OSD that stands still for a while keeps who writes waiting, and that is all.
    fn a_pause_is_borne(&self, ceph: &Ceph) -> Result<()> {
        let store = self.empty();
        let writer = store.create(id(1), 4096)?;
        let osd = ceph.osd().context("no OSD")?;
        osd.pause()?;
        let written = std::thread::scope(|scope| {
            let write = scope.spawn(|| writer.write_at(0, &[IoSlice::new(b"patience")]));
            env().clock().sleep(Duration::from_secs(1));
            let waits = !write.is_finished();
            osd.signal(Signal::CONT)?;
            ensure!(waits, "it was written to an OSD that stands still");
            write.join().map_err(|_| anyhow!("the write panicked"))?.context("the write")
        });
        written?;
        ensure!(store.len(id(1))? == 8, "not all is there");
        Ok(())
    }
}

#[test]
fn a_pool_of_rados_is_a_pool() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ceph = Ceph::start(folder.path(), Purpose::Facts)?;
    let rados = Rados::make(&ceph)?;
    rados.conforms();
    rados.the_late_are_refused()?;
    rados.the_slow_make_nothing()?;
    rados.a_slow_takeover_takes_nothing()?;
    rados.what_was_begun_is_ended()?;
    rados.says_what_is_wrong()?;
    rados.a_pause_is_borne(&ceph)
}

/// Every kind of call fails now and then, or its answer is lost, and is asked for again.
fn faulty(store: Arc<dyn Store>) -> Arc<dyn Store> {
    let faulty = Faulty::new(store);
    let all = [Op::Create, Op::Reopen, Op::Read, Op::Len, Op::Remove, Op::List];
    for op in all.into_iter().chain([Op::Write, Op::Sync, Op::Seal]) {
        for call in 0..12 {
            faulty.inject(Fault::once(op, Effect::Fail(Failure::Unavailable)).after(2 * call));
            // Only who makes a segment can know that it is the one whose answer was lost.
            if op != Op::Create {
                let lost = Effect::FailAfter(Failure::Unavailable);
                faulty.inject(Fault::once(op, lost).after(2 * call + 1));
            }
        }
    }
    Arc::new(Retrying::new(Arc::new(faulty), env().clone(), quick()))
}

#[test]
fn a_directory_is_a_pool_also_when_it_is_away_now_and_then() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stores = AtomicU64::new(0);
    conformance::check(|| {
        let nth = stores.fetch_add(1, Ordering::Relaxed).to_string();
        let opened = DirectoryStore::open(env(), &folder.path().join(nth));
        faulty(Arc::new(opened.expect("an empty directory")))
    });
    Ok(())
}

#[test]
fn memory_is_a_pool_also_when_it_is_away_now_and_then() {
    conformance::check(|| faulty(Arc::new(MemoryStore::new())));
}
