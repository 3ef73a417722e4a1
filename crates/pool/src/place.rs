//! Where the segments of a store are: a url, what it means, and opening it.
//!
//! | url | what it is |
//! |---|---|
//! | none | the folder `pool` of the data folder |
//! | `s3://BUCKET/PREFIX?endpoint=URL&region=R&credentials=FILE&virtual_hosted=true` | a bucket; open segments in the folder `staging` |
//! | `rados://POOL/NAMESPACE?conf=FILE&user=NAME` | a pool of RADOS |
//! | `file:///PATH` | a directory that is a further pool: its disk may come and go |
//!
//! A url has no secret in it: those of a bucket come from the environment, or from a file.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipelago_env::{Env, Mode};
use archipelago_model::PoolId;
use archipelago_store::layer::{Patience, Rates, Retrying, Throttled};
use archipelago_store::s3::{self, Credentials, S3Settings};
use archipelago_store::{
    ClaimedDirectory, DirectoryStore, Member, RadosSettings, RadosStore, Store, StoreError,
};
use url::Url;

use crate::error::{Error, ErrorKind, store_error, store_kind};
use crate::folder::Folder;

/// What the catalog has of a store whose segments are in its folder.
const DIRECTORY_URL: &str = "file:pool";
/// Where Ceph's packages put it.
const CEPH_CONFIG: &str = "/etc/ceph/ceph.conf";
const CEPH_USER: &str = "admin";
/// What tells this host from others.
const MACHINE_ID: &str = "/etc/machine-id";

/// What a url says.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    Bucket(Bucket),
    Rados(RadosSettings),
    Directory(PathBuf),
}

/// A bucket, without who we are to it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Bucket {
    bucket: String,
    prefix: String,
    endpoint: Option<String>,
    region: Option<String>,
    virtual_hosted: bool,
    credentials: Option<String>,
}

/// What the catalog has of a place: its kind, and its url.
pub(crate) fn row(url: Option<&str>) -> (&str, &str) {
    match url {
        None => ("directory", DIRECTORY_URL),
        Some(url) => (url.split(':').next().unwrap_or_default(), url),
    }
}

/// Whether a url is one of a place, before it is repeated in any message.
pub(crate) fn check(url: &str) -> Result<(), Error> {
    match parse(url)? {
        Place::Directory(path) => Err(Error::invalid(format!(
            "a store begins with its own folder 'pool', a bucket or RADOS; make it without a url, \
             and add {} by `archipelago pool add`",
            path.display()
        ))),
        Place::Bucket(_) | Place::Rados(_) => Ok(()),
    }
}

/// Whether a place is so far that a disk of this host is nearer: one that is not on this host, and
/// a folder where those that are `directories` are said to be so.
pub(crate) fn is_far(url: &str, directories: bool) -> bool {
    match parse(url) {
        Ok(Place::Bucket(_) | Place::Rados(_)) => true,
        Ok(Place::Directory(_)) => directories,
        // The folder `pool` is no url.
        Err(_) => false,
    }
}

/// Whether a place is what it should be and lets us in, as far as that is seen without a
/// change of it: asked before a store is made that can have no other one.
pub(crate) fn reach(env: &Env, url: &str) -> Result<(), Error> {
    match parse(url)? {
        Place::Bucket(bucket) => s3::reach(&bucket.settings(env)?),
        Place::Rados(settings) => RadosStore::reach(&settings),
        Place::Directory(_) => return check(url),
    }
    .map_err(|error| unreached(url, error))
}

/// Opens the place of a store's segments that it was made with. One with a url is asked for no
/// more than `rates`.
pub(crate) fn open(env: &Env, folder: &Folder, rates: Rates) -> Result<Member, Error> {
    let Some(url) = folder.place() else {
        let directory = DirectoryStore::open(env, &folder.pool()).map_err(store_error)?;
        return Ok(Arc::new(directory).into());
    };
    Opener::new(env, folder, rates).open(PoolId::FIRST, url)
}

/// Opens the pools of a store.
pub(crate) struct Opener {
    env: Env,
    store: String,
    root: PathBuf,
    staging: PathBuf,
    rates: Rates,
}

impl Opener {
    /// For the store in a folder.
    pub fn new(env: &Env, folder: &Folder, rates: Rates) -> Self {
        Self {
            env: env.clone(),
            store: hex::encode(folder.store().uuid),
            root: folder.root().to_owned(),
            staging: folder.staging(),
            rates,
        }
    }

    /// Who a pool belongs to. Each of them another one: so the same place is never two pools.
    fn owner(&self, id: PoolId) -> String {
        if id == PoolId::FIRST { self.store.clone() } else { format!("{}-{id}", self.store) }
    }

    /// Opens a pool.
    pub fn open(&self, id: PoolId, url: &str) -> Result<Member, Error> {
        let (env, owner) = (&self.env, self.owner(id));
        let opened: Result<Arc<dyn Store>, StoreError> = match parse(url)? {
            Place::Bucket(bucket) => {
                let settings = bucket.settings(env)?;
                s3::open(env, &settings, &owner, &self.staging(id), self.rates)
                    .map(|store| Arc::new(store) as Arc<dyn Store>)
            }
            Place::Rados(settings) => {
                // The folder is locked: who held the pool under this name before is gone.
                let holder = format!("{}:{}", machine(env), self.root.display());
                RadosStore::open(env, &settings, &owner, &holder)
                    .map(|store| self.throttled(Arc::new(store)))
            }
            Place::Directory(path) => ClaimedDirectory::open(env, &path, &owner)
                .map(|store| self.throttled(Arc::new(store))),
        };
        let hasty = opened.map_err(|error| unreached(url, error))?;
        let patient = Retrying::new(Arc::clone(&hasty), env.clone(), Patience::default());
        Ok(Member { patient: Arc::new(patient), hasty })
    }

    fn throttled(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Throttled::new(store, self.env.clone(), self.rates))
    }

    /// Makes a place a pool, unless it is another one; gives its kind.
    pub fn claim(&self, id: PoolId, url: &str) -> Result<(&'static str, Member), Error> {
        let kind = match parse(url)? {
            Place::Bucket(_) => "s3",
            Place::Rados(_) => "rados",
            Place::Directory(path) => {
                ClaimedDirectory::claim(&self.env, &path, &self.owner(id))
                    .map_err(|error| unreached(url, error))?;
                "directory"
            }
        };
        Ok((kind, self.open(id, url)?))
    }

    /// Lets others have a place that is no pool any more, where that is known to be without harm.
    pub fn give_up(&self, id: PoolId, url: &str) {
        if let Ok(Place::Directory(path)) = parse(url)
            && let Err(error) = ClaimedDirectory::unclaim(&self.env, &path, &self.owner(id))
        {
            tracing::warn!(%error, "a folder that is no pool any more still says whose it was");
        }
    }

    /// Where open segments of a pool are that cannot append.
    fn staging(&self, id: PoolId) -> PathBuf {
        if id == PoolId::FIRST {
            return self.staging.clone();
        }
        let mut path = self.staging.clone().into_os_string();
        path.push(format!("-{id}"));
        path.into()
    }
}

fn unreached(url: &str, error: StoreError) -> Error {
    let why = match &error {
        StoreError::Unavailable { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    };
    let kind = match &error {
        // Who configured it has to mend it; nothing of ours is broken.
        StoreError::Denied { .. } => ErrorKind::Invalid,
        other => store_kind(other),
    };
    Error::new(kind, format!("the pool {url}: {why}")).with_source(error)
}

/// A name of this host. One that has none has another one each time: it waits for the end of its
/// own lease, and takes nothing from a host that has none either.
pub(crate) fn machine(env: &Env) -> String {
    let read = || -> io::Result<String> {
        let mut bytes = [0; 64];
        let file = env.disk().open(Path::new(MACHINE_ID), Mode::Read)?;
        let len = file.read_at(0, &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..len]).trim().to_owned())
    };
    read().ok().filter(|name| !name.is_empty()).unwrap_or_else(|| {
        let mut bytes = [0; 16];
        env.random().fill(&mut bytes);
        hex::encode(bytes)
    })
}

impl Bucket {
    fn settings(&self, env: &Env) -> Result<S3Settings, Error> {
        let credentials = match &self.credentials {
            Some(path) => Credentials::from_file(env, Path::new(path)),
            None => Credentials::from_environment(),
        };
        Ok(S3Settings {
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            virtual_hosted: self.virtual_hosted,
            credentials: credentials.map_err(store_error)?,
        })
    }
}

fn parse(text: &str) -> Result<Place, Error> {
    let wrong = |why: &str| {
        Error::invalid(format!(
            "the url of the pool: {why}; write s3://BUCKET/PREFIX?endpoint=URL or \
             rados://POOL/NAMESPACE?conf=FILE, or file:///PATH"
        ))
    };
    // What may be a secret is not repeated.
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    let endpoint = url.query_pairs().find(|(name, _)| name == "endpoint");
    let endpoint = endpoint.and_then(|(_, endpoint)| Url::parse(&endpoint).ok());
    if [Some(&url), endpoint.as_ref()].into_iter().flatten().any(has_secret) {
        return Err(wrong(
            "it has a name or a password in it; keys belong into a file (credentials=FILE) or the \
             environment",
        ));
    }
    if url.port().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a port or a fragment"));
    }
    if url.scheme() == "file" {
        let path = url.to_file_path().ok().filter(|path| path.parent().is_some());
        let path = path.ok_or_else(|| wrong("it names no folder of this host"))?;
        return match url.query() {
            None => Ok(Place::Directory(path)),
            Some(_) => Err(wrong("the url of a folder has nothing behind a '?'")),
        };
    }
    let name = url.host_str().filter(|name| !name.is_empty());
    let name = decoded(name.ok_or_else(|| wrong("it names no bucket or pool"))?);
    let below = decoded(url.path().trim_matches('/'));
    let mut query: Vec<(Cow<'_, str>, Cow<'_, str>)> = url.query_pairs().collect();
    let mut take = |key: &str| {
        let at = query.iter().position(|(name, _)| name == key)?;
        Some(query.swap_remove(at).1.into_owned())
    };
    let place = match url.scheme() {
        "s3" => Place::Bucket(Bucket {
            bucket: name,
            prefix: below,
            endpoint: take("endpoint"),
            region: take("region"),
            virtual_hosted: match take("virtual_hosted").as_deref() {
                Some("true") => true,
                Some("false") | None => false,
                Some(_) => return Err(wrong("virtual_hosted is true or false")),
            },
            credentials: take("credentials"),
        }),
        "rados" => Place::Rados(RadosSettings {
            pool: name,
            namespace: below,
            config: take("conf").unwrap_or_else(|| CEPH_CONFIG.to_owned()).into(),
            user: take("user").unwrap_or_else(|| CEPH_USER.to_owned()),
        }),
        _ => return Err(wrong("it begins with neither s3:, rados: nor file:")),
    };
    match query.first() {
        None => Ok(place),
        Some((key, _)) => {
            Err(wrong(&format!("it has '{}', which means nothing", key.escape_default())))
        }
    }
}

/// It would be noted in the folder and in the catalog, and told in errors.
fn has_secret(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The text behind what a url escapes.
fn decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
    decoded.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
