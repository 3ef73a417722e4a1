//! The cache on a disk of this host: whether there is one, and for which pools.

use std::path::PathBuf;
use std::sync::Arc;

use archipelago_engine::Doubt;
use archipelago_env::Env;
use archipelago_model::{PoolId, SegmentId};
use archipelago_store::layer::Cached;
use archipelago_store::{CacheFigures, HostCache, Store};

use crate::error::{Error, store_error};
use crate::folder::Folder;
use crate::place;

/// The cache of the host, as it is configured.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HostCacheConfig {
    /// Bytes of the disk at most; 0 for none.
    pub bytes: u64,
    /// Its folder; `None` for `cache` in the data folder.
    pub folder: Option<PathBuf>,
    /// Whether pools that are directories are far, too, as on a disk of the network.
    pub directories: bool,
}

/// The cache, if there is one.
pub(crate) struct Near {
    cache: Option<Arc<HostCache>>,
    directories: bool,
    /// Why there is none, though there should be.
    problem: Option<String>,
}

impl Near {
    /// Opens the cache. One that cannot be used keeps no store from being opened.
    ///
    /// # Errors
    /// Those of the data folder, which says which cache may be trusted.
    pub fn open(env: &Env, folder: &Folder, config: &HostCacheConfig) -> Result<Self, Error> {
        let directories = config.directories;
        if config.bytes == 0 {
            folder.distrust_cache(env)?;
            return Ok(Self { cache: None, directories, problem: None });
        }
        let path = config.folder.clone().unwrap_or_else(|| folder.cache());
        let trusted = folder.cache_token(env);
        let uuid = folder.store().uuid;
        match HostCache::open(env, &path, uuid, config.bytes, trusted) {
            Ok(cache) => {
                let token = cache.token();
                if trusted != Some(token) {
                    folder.trust_cache(env, &token)?;
                }
                Ok(Self { cache: Some(cache), directories, problem: None })
            }
            Err(why) => {
                folder.distrust_cache(env)?;
                let problem = format!("there is no cache on the host's disk: {why}");
                tracing::error!("{problem}");
                Ok(Self { cache: None, directories, problem: Some(problem) })
            }
        }
    }

    /// The pools, read through the cache where they are far.
    pub fn round(&self, pools: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.cache {
            Some(cache) => Arc::new(Cached::new(pools, Arc::clone(cache))),
            None => pools,
        }
    }

    /// A pool is there; `url` is `None` for the store's own folder.
    pub fn note(&self, pool: PoolId, url: Option<&str>) {
        if let Some(cache) = &self.cache {
            cache.set_far(pool, url.is_some_and(|url| place::is_far(url, self.directories)));
        }
    }

    /// The log was read back; `next` and greater ids are of segments to come.
    pub fn begin(&self, next: SegmentId) -> Result<(), Error> {
        self.cache.as_ref().map_or(Ok(()), |cache| cache.begin(next)).map_err(store_error)
    }

    /// Drops what it has of a segment whose bytes were wrong.
    pub fn doubt(&self) -> Option<Doubt> {
        let cache = Arc::clone(self.cache.as_ref()?);
        Some(Arc::new(move |id| cache.doubt(id)))
    }

    /// What is wrong with it.
    pub fn problem(&self) -> Option<String> {
        self.problem.clone().or_else(|| self.cache.as_ref()?.problem())
    }

    /// What it did; `None` without one.
    pub fn figures(&self) -> Option<CacheFigures> {
        self.cache.as_ref().map(|cache| cache.figures())
    }
}

#[cfg(test)]
mod tests;
