//! Opening: folder, catalog, engine, background, in this order.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use archipelago_engine::{self as engine, Engine};
use archipelago_env::{Env, Join};
use archipelago_model::{PoolId, SegmentId, VolumeId};
use archipelago_store::{Store, StoreError};
use parking_lot::{Mutex, RwLock};

use super::{
    Config, GuestViews, Lanes, Life, Mover, Packs, Service, Trust, backups, checkpointer,
    collector, guest_views, lifecycle, mover,
};
use crate::attachments::Attachments;
use crate::catalog::{Catalog, Founding, guest_view, segment, snapshot_file, state, volume};
use crate::core::{CatalogIds, Core, FIRST_SEGMENT, head_of};
use crate::error::{Error, ErrorKind, WITHOUT_COPY, store_error};
use crate::folder::{Folder, Home};
use crate::place;
use crate::pools::Pools;

impl Service {
    /// Opens the store in `data`, making it when the folder is missing or empty.
    ///
    /// # Errors
    /// `InUse` when another process has it open; `Invalid` when the folder is
    /// not a store or one of a newer version; `Damaged`. Nothing was touched then.
    pub fn open(data: &Path, env: Env, config: Config) -> Result<Arc<Service>, Error> {
        Self::open_layered(data, env, config, |store| store)
    }

    /// As [`Self::open`], with layers of crate `store` round the backend.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_layered(
        data: &Path,
        env: Env,
        config: Config,
        layers: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Result<Arc<Service>, Error> {
        #[cfg(test)]
        let config = crate::testing::on_server(data, config);
        let (pool, catalog) = (config.pool_url.as_deref(), config.catalog_url.as_deref());
        let folder = Folder::open(&env, data, pool, catalog)?;
        let pools = Pools::new(&env, &folder, &config)?;
        let store = layers(pools.store());
        let catalog = Arc::new(open_catalog(&env, &folder, &*store)?);
        pools.open_others(&catalog)?;
        let engine = open_engine(&env, &config, &folder, &store, &pools, &catalog)?;
        let trust = Trust::open(&env, &config, &catalog)?;
        let core = Arc::new(Core {
            owner: owner(&env),
            env: env.clone(),
            catalog,
            engine,
            store: Arc::clone(&store),
            pools,
            mover: Mover::default(),
            config: config.clone(),
            store_uuid: folder.store().uuid,
            // Not known: the first look makes one.
            backups: Mutex::default(),
            backup_problem: Mutex::default(),
            attachments: Arc::new(Attachments::default()),
            stop: AtomicBool::new(false),
            problem: Mutex::new(None),
            collector_problem: Mutex::new(None),
            attaching: Mutex::new(()),
            resolving: RwLock::new(()),
            updates: Lanes::default(),
            packs: Packs::default(),
            guest_views: GuestViews::default(),
            blocks_at: Mutex::default(),
            collector: Mutex::default(),
            collector_totals: Mutex::default(),
            lifecycle_totals: Mutex::default(),
            trust,
        });
        core.adopt(&core.engine.dirty_volumes())?;
        // With a handle, no verb takes the catalog's root for all there is of these either.
        core.engine.unread_volumes().into_iter().for_each(|v| core.attachments.set_recovered(v));
        core.catalog.write(snapshot_file::adopt)?;
        if let Some(problem) = core.catalog.read(snapshot_file::problem)? {
            tracing::warn!("{problem}");
        }
        core.catalog.write(guest_view::retry_all)?;
        let workers = start_workers(&core, &config)?;
        let service = Service {
            core,
            store,
            data: data.to_owned(),
            opened: env.clock().monotonic(),
            resizing: Mutex::new(()),
            scrubber: Arc::default(),
            identity: super::identity::IdentityState::default(),
            uses: parking_lot::Mutex::default(),
            life: Mutex::new(Life { workers, folder: Some(folder) }),
        };
        service.resume_scrub();
        Ok(Arc::new(service))
    }
}

fn start_workers(core: &Arc<Core>, config: &Config) -> Result<Vec<Box<dyn Join>>, Error> {
    let mut workers = vec![checkpointer::start(core, config)?];
    workers.extend(collector::start(core, config)?);
    workers.extend(backups::start(core, config)?);
    workers.extend(guest_views::start(core)?);
    workers.extend(lifecycle::start(core, config)?);
    workers.extend(mover::start(core, config)?);
    workers.extend(checkpointer::learn(core));
    Ok(workers)
}

fn open_catalog(env: &Env, folder: &Folder, store: &dyn Store) -> Result<Catalog, Error> {
    let home = folder.home(env)?;
    Catalog::settle(home.at(env))?;
    // A new catalog over old segments would give their ids again.
    if Catalog::is_blank(home.at(env))?
        && !store.list_from(FIRST_SEGMENT).map_err(store_error)?.is_empty()
    {
        return Err(folder.catalog_lost());
    }
    let founding = Founding {
        uuid: folder.store().uuid,
        place: place::row(folder.place()),
        now_ms: env.clock().unix_ms(),
    };
    if let Home::File(_) = home {
        folder.catalog(env)?;
    }
    Ok(Catalog::open(home.at(env), &founding)?)
}

/// Refuses a pool that lacks what the catalog has: its disk may not be mounted, and
/// what is written now would lie in the wrong place.
fn check_pool(
    store: &Arc<dyn Store>,
    pools: &Pools,
    catalog: &Catalog,
    floor: SegmentId,
    place: Option<&str>,
) -> Result<(), Error> {
    let whole = place.map_or_else(
        || "is the disk of the folder 'pool' mounted?".to_owned(),
        |url| format!("is all there in {url}, and in the folder 'staging'?"),
    );
    let (newest, log) =
        catalog.read(|tx| Ok::<_, Error>((segment::newest(tx)?, segment::log_from(tx, floor)?)))?;
    let lacks = |id: SegmentId, what: &str| {
        Error::new(ErrorKind::Damaged, format!("the pool lacks segment {id}, {what}"))
    };
    // What is in a pool that is away is not looked for.
    let there = |id: &SegmentId| pools.spread.is_open(store.pool_of(*id));
    for id in newest.into_iter().chain(log.iter().copied()).filter(there) {
        match store.len(id) {
            Ok(_) => {}
            // Without it recovery would pass over what was acknowledged.
            Err(StoreError::NotFound { .. }) if log.contains(&id) => {
                return Err(lacks(
                    id,
                    &format!(
                        "which may hold flushed writes that are nowhere else; {whole} else put its \
                         file back from a copy{WITHOUT_COPY}"
                    ),
                ));
            }
            Err(StoreError::NotFound { .. }) => {
                return Err(lacks(
                    id,
                    &format!("which the catalog has; {whole} else restore it from a copy"),
                ));
            }
            Err(error) => return Err(store_error(error)),
        }
    }
    Ok(())
}

/// Refuses a first pool that has nothing of what it should, though second copies have all of it:
/// the end of the log, which has none, would be passed over without a word.
fn check_first(pools: &Pools, known: &[segment::Known]) -> Result<(), Error> {
    let of_first = |one: &&segment::Known| one.pool == PoolId::FIRST && one.stored_bytes > 0;
    let said: HashSet<SegmentId> = known.iter().filter(of_first).map(|one| one.id).collect();
    if said.len() < 2 || known.iter().filter(of_first).all(|one| one.copy.is_none()) {
        return Ok(());
    }
    let first = pools.spread.member(PoolId::FIRST).map_err(store_error)?;
    let there = first.list_from(FIRST_SEGMENT).map_err(store_error)?;
    if there.iter().any(|id| said.contains(id)) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Damaged,
        "the first pool has nothing of what the catalog has in it: is its disk mounted? If it is \
         lost for ever, `archipelago rebuild --force` goes on with its mirror, without what guests \
         wrote since the log last went there",
    ))
}

fn open_engine(
    env: &Env,
    config: &Config,
    folder: &Folder,
    store: &Arc<dyn Store>,
    pools: &Pools,
    catalog: &Arc<Catalog>,
) -> Result<Arc<Engine>, Error> {
    // All heads at once, before: a row that cannot be read must stop the opening,
    // and not let a volume's log be passed over as that of one that is gone.
    let (log_floor, rows, sealed, known) = catalog.read(|tx| -> Result<_, Error> {
        let floor = state::log_floor(tx)?;
        let sealed = segment::logged_from(tx, floor.unwrap_or(SegmentId::MIN))?;
        Ok((floor, volume::list(tx)?, sealed, segment::list(tx)?))
    })?;
    // Before ids are taken: those that are given from now on are none that were.
    let given = catalog.read(state::next_segment)?;
    let (mut forwarded, mut condemned) = (Vec::new(), Vec::new());
    for one in &known {
        match one.state {
            segment::State::Sealed => {}
            segment::State::Condemned => condemned.push(one.id),
            segment::State::Forwarded { to } => forwarded.push((one.id, to)),
        }
    }
    check_first(pools, &known)?;
    check_pool(store, pools, catalog, log_floor.unwrap_or(SegmentId::MIN), folder.place())?;
    let heads: HashMap<VolumeId, engine::Head> =
        rows.iter().map(|row| (row.id, head_of(row))).collect();
    let (engine, recovery) = Engine::open(engine::Options {
        env: env.clone(),
        store: Arc::clone(store),
        config: engine::Config {
            hot_segment_bytes: config.hot_segment_bytes,
            cold_segment_bytes: config.cold_segment_bytes,
            chunk_cache_bytes: config.chunk_cache_bytes,
            node_cache_bytes: config.node_cache_bytes,
            slot_cache_bytes: config.slot_cache_bytes,
            log_bytes_checkpoint: config.log_checkpoint_bytes,
            ..engine::Config::default()
        },
        store_uuid: folder.store().uuid,
        dedup_key: folder.store().dedup_key,
        ids: Arc::new(CatalogIds::new(Arc::clone(catalog))),
        log_floor,
        heads: &|id| heads.get(&id).copied(),
        recorded: &|id| sealed.get(&id.get()).copied(),
        forwarded: &forwarded,
        condemned: &condemned,
        doubt: pools.near.doubt(),
        copies: Some(pools.copies()),
    })?;
    pools.near.begin(engine.next_segment().max(given))?;
    tracing::info!(
        records = recovery.records,
        segments = recovery.segments,
        volumes = recovery.dirty.len(),
        "the log was read back"
    );
    Ok(engine)
}

/// Who we are in the table of leases: another one each time.
fn owner(env: &Env) -> String {
    let mut id = [0; 8];
    env.random().fill(&mut id);
    format!("embedded-{}", hex::encode(id))
}

#[cfg(test)]
mod tests;
