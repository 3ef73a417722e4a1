//! Every kind of pool, over the real thing: one suite (`store::conformance`) for all, once as it is
//! and once with faults between the store and the server, behind the layer that asks again.
//!
//! What a bucket does at every request of a seal that fails is a fact of crate `store`; here are
//! servers that others wrote.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::daemon::Daemon;
use archipelago_conformance::env;
use archipelago_conformance::peers::ceph::{Ceph, Purpose};
use archipelago_conformance::peers::unkind::{Road, Unkind};
use archipelago_conformance::program::program;
use archipelago_store::layer::{Patience, Retrying};
use archipelago_store::s3::{self, Credentials, S3Settings};
use archipelago_store::{BucketStore, StoreError, conformance};
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
        s3::open(env(), &settings, "conformance", &staging)
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
        let error = s3::open(env(), &settings, "conformance", &staging).err();
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
