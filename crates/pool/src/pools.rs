//! The pools of an open store: which there are, which of them are away, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use archipelago_engine::Copies;
use archipelago_env::Env;
use archipelago_model::{PoolId, PoolName, SegmentId};
use archipelago_store::{Member, Spread, Store};
use parking_lot::Mutex;

use crate::catalog::place::PlaceRow;
use crate::catalog::{Catalog, place, segment};
use crate::error::{Error, ErrorKind, store_error};
use crate::folder::Folder;
use crate::near::Near;
use crate::place as urls;
use crate::service::Config;

/// Where the segments are that are in other pools than the first, and where second copies are.
pub(crate) type Moves = (Vec<(SegmentId, PoolId)>, Vec<(SegmentId, PoolId)>);

/// What opens pools, and what came of it.
pub(crate) struct Pools {
    pub spread: Arc<Spread>,
    pub near: Near,
    opener: urls::Opener,
    /// Those that could not be opened, by name, and why.
    away: Mutex<BTreeMap<PoolId, (PoolName, String)>>,
    /// One is added, removed or opened again at a time.
    changing: Mutex<()>,
}

impl Pools {
    /// With the first pool alone, as long as the catalog is not open.
    pub fn new(env: &Env, folder: &Folder, config: &Config) -> Result<Self, Error> {
        let rates = config.pool_rates.each_way();
        let clock = Arc::clone(env.clock());
        let spread = Arc::new(Spread::new(urls::open(env, folder, rates)?, Some(clock)));
        let opener = urls::Opener::new(env, folder, rates);
        // Not before the first pool is there: what fails here has opened nothing without a cache.
        let near = Near::open(env, folder, &config.host_cache)?;
        near.note(PoolId::FIRST, folder.place());
        let (away, changing) = (Mutex::default(), Mutex::new(()));
        Ok(Self { spread, near, opener, away, changing })
    }

    /// Gives the places that have a copy of a segment each.
    pub fn copies(&self) -> Copies {
        let spread = Arc::clone(&self.spread);
        Arc::new(move |id| spread.copies(id))
    }

    /// All of them, read through the cache where they are far.
    pub fn store(&self) -> Arc<dyn Store> {
        self.near.round(Arc::clone(&self.spread) as Arc<dyn Store>)
    }

    /// Opens the others that the catalog has. One that does not open is away, and tried again by
    /// [`Self::reopen`].
    pub fn open_others(&self, catalog: &Catalog) -> Result<(), Error> {
        let (rows, elsewhere, seconds) = catalog.read(|tx| {
            Ok::<_, Error>((place::list(tx)?, segment::elsewhere(tx)?, segment::seconds(tx)?))
        })?;
        for row in rows.iter().filter(|row| row.id != PoolId::FIRST) {
            self.try_open(row);
        }
        self.spread.found(elsewhere);
        self.spread.seconds(seconds);
        Ok(())
    }

    /// Tries those again that are away. Whether any is back.
    pub fn reopen(&self, catalog: &Catalog) -> Result<bool, Error> {
        if self.away.lock().is_empty() {
            return Ok(false);
        }
        let _one_at_a_time = self.changing.lock();
        let mut back = false;
        for row in catalog.read(place::list)? {
            if self.away.lock().contains_key(&row.id) {
                back |= self.try_open(&row);
            }
        }
        Ok(back)
    }

    fn try_open(&self, row: &PlaceRow) -> bool {
        let opened = self.opener.open(row.id, &row.url);
        let mut away = self.away.lock();
        match opened {
            Ok(store) => {
                self.near.note(row.id, Some(&row.url));
                self.spread.put(row.id, Some(store));
                if away.remove(&row.id).is_some() {
                    tracing::info!(pool = %row.name, "a pool is back");
                }
                true
            }
            Err(error) => {
                self.spread.put(row.id, None::<Member>);
                if away.insert(row.id, (row.name.clone(), error.to_string())).is_none() {
                    tracing::error!(pool = %row.name, %error, "a pool is away; trying again");
                }
                false
            }
        }
    }

    /// Why a pool is away; `None` for one that was opened.
    pub fn why_away(&self, pool: PoolId) -> Option<String> {
        self.away.lock().get(&pool).map(|(_, why)| why.clone())
    }

    /// What is wrong with those that are away.
    pub fn problem(&self) -> Option<String> {
        let away = self.away.lock();
        let (name, why) = away.values().next()?;
        let others = match away.len() {
            1 => String::new(),
            more => format!(", and {} others", more - 1),
        };
        Some(format!("pool '{name}' is away{others}: {why}; `archipelago pool ls` tells more"))
    }

    /// Makes a place a pool of the store, and notes it by `bind`, which is given its kind.
    pub fn add(
        &self,
        id: PoolId,
        url: &str,
        bind: impl FnOnce(&str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock();
        let (kind, store) = self.opener.claim(id, url)?;
        let there = store.patient.list_from(SegmentId::MIN).map_err(store_error)?;
        if !there.is_empty() {
            return Err(Error::invalid(format!(
                "there are segments in {url} already: name an empty place"
            )));
        }
        if let Err(error) = bind(kind) {
            // A commit that failed otherwise may be there after a crash, and then wants its pool.
            if error.kind() == ErrorKind::AlreadyExists {
                self.opener.give_up(id, url);
            }
            return Err(error);
        }
        self.near.note(id, Some(url));
        self.spread.put(id, Some(store));
        Ok(())
    }

    /// Gives a pool up in which nothing is, after `unbind` took it from the catalog.
    pub fn remove(
        &self,
        row: &PlaceRow,
        unbind: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock();
        unbind()?;
        self.spread.take(row.id);
        self.near.note(row.id, None);
        self.away.lock().remove(&row.id);
        self.opener.give_up(row.id, &row.url);
        Ok(())
    }

    /// Gives a pool up that is lost: what it had is where `unbind` says from now on.
    pub fn lose(
        &self,
        row: &PlaceRow,
        unbind: impl FnOnce() -> Result<Moves, Error>,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock();
        let (elsewhere, seconds) = unbind()?;
        self.spread.take(row.id);
        self.spread.found(elsewhere);
        self.spread.only_seconds(seconds);
        self.near.note(row.id, None);
        self.away.lock().remove(&row.id);
        Ok(())
    }

    /// A pool that new data may go to.
    pub fn usable(&self, pool: PoolId) -> Result<PoolId, Error> {
        if self.spread.is_open(pool) {
            return Ok(pool);
        }
        let why = self.why_away(pool).unwrap_or_default();
        let message = format!("the pool for it is away: {why}; `archipelago pool ls` tells more");
        Err(Error::new(ErrorKind::Unavailable, message))
    }
}
