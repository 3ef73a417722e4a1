//! Reports: space, status, figures.

use std::collections::{HashMap, HashSet};

use archipelago_engine::{Counters, Pin};
use archipelago_format::hash_list::HASH_BYTES;
use archipelago_model::{Location, PoolId, Source};
use archipelago_store::{CacheFigures, Space};

use super::{Collected, Ended, Service};
use crate::catalog::place::{Held, PlaceRow};
use crate::catalog::{
    CatalogError, Tx, blocks, file, guest_view, image, place, segment, snapshot, snapshot_file,
    state, upload, volume,
};
use crate::core::{Core, FIRST_SEGMENT, Fixed, shown};
use crate::error::{Error, store_error};
use crate::resource::{DiskState, Metric, MetricKind, PoolUsage, ResourceUsage, Status, Usage};

/// So many resources with damaged maps are named in one sentence; `check` names all.
const NAMED_MAX: usize = 8;

/// A figure of the engine: name, explanation, kind, value.
type Figure = (&'static str, &'static str, MetricKind, u64);

impl Service {
    /// Where the bytes are.
    ///
    /// # Errors
    /// Maps or the catalog cannot be read.
    pub fn usage(&self) -> Result<Usage, Error> {
        let core = &self.core;
        // Best effort: what cannot be persisted now is missing from the figures.
        if let Err(error) = core.persist_all() {
            tracing::debug!(%error, "the newest writes are not accounted for");
        }
        let resolving = core.resolving.read_recursive();
        let (named, also, pools, known) = core.catalog.read(|tx| -> Result<_, Error> {
            let known: HashSet<u64> = segment::ids(tx)?.into_iter().collect();
            let pools = place::list(tx)?.into_iter();
            let pools: Vec<(PlaceRow, Held)> = pools
                .map(|row| place::held(tx, row.id).map(|held| (row, held)))
                .collect::<Result<_, _>>()?;
            let named = everything(tx)?;
            let also = views_of(tx, &named)?;
            Ok((named, also, pools, known))
        })?;
        let roots: Vec<Location> = named.iter().map(|(_, map)| map.root).collect();
        // What is removed meanwhile must stay readable until it is accounted for.
        let _held: Vec<Pin> = roots
            .iter()
            .chain(also.iter().map(|(_, root)| root))
            .map(|root| core.engine.pin(*root))
            .collect();
        drop(resolving);
        let accounts = core
            .engine
            .account_with(&roots, &also)
            .map_err(|error| self.naming(error.into(), &named))?;
        let resources =
            named.into_iter().zip(&accounts.per_root).map(|((source, map), account)| {
                ResourceUsage {
                    source,
                    size: map.size,
                    referenced: account.referenced,
                    exclusive: account.exclusive,
                    shared: account.shared,
                }
            });
        let mut resources: Vec<ResourceUsage> = resources.collect();
        resources.sort_by_cached_key(|resource| resource.source.to_string());
        let pools = self.pool_usage(pools, &known)?;
        Ok(Usage {
            logical: resources.iter().map(|resource| resource.size).sum(),
            unique: accounts.unique_bytes,
            compressed: accounts.compressed_bytes,
            physical: pools.iter().map(|pool| pool.physical).sum(),
            pools,
            resources,
        })
    }

    /// Says whose maps cannot be read; only looked for when something cannot.
    fn naming(&self, error: Error, named: &[(Source, Fixed)]) -> Error {
        let fails = |map: &Fixed| self.core.engine.account(&[map.root]).is_err();
        let mut whose: Vec<String> = named
            .iter()
            .filter(|(_, map)| fails(map))
            .take(NAMED_MAX + 1)
            .map(|(source, _)| shown(source))
            .collect();
        if whose.is_empty() {
            return error;
        }
        if whose.len() > NAMED_MAX {
            whose[NAMED_MAX] = "others".to_owned();
        }
        error.on(format!("the map of {}", whose.join(", ")))
    }

    /// The catalog knows the sealed segments; the others are asked for their length.
    fn pool_usage(
        &self,
        pools: Vec<(PlaceRow, Held)>,
        known: &HashSet<u64>,
    ) -> Result<Vec<PoolUsage>, Error> {
        let core = &self.core;
        let mut unknown: HashMap<PoolId, (u64, u64)> = HashMap::new();
        for id in self.store.list_from(FIRST_SEGMENT).map_err(store_error)? {
            if !known.contains(&id.get()) {
                let (segments, bytes) = unknown.entry(self.store.pool_of(id)).or_default();
                *segments += 1;
                // It may be gone by now.
                *bytes += self.store.len(id).unwrap_or(0);
            }
        }
        let usage = |(row, held): (PlaceRow, Held)| {
            let (segments, bytes) = unknown.get(&row.id).copied().unwrap_or_default();
            let space = match core.pool_space(row.id) {
                Err(error) if row.id == PoolId::FIRST => return Err(store_error(error)),
                // One that is away has no room.
                other => other.unwrap_or(Space { total: 0, free: 0 }),
            };
            Ok(PoolUsage {
                name: row.name.as_str().to_owned(),
                physical: held.stored_bytes + held.copy_bytes + bytes,
                total: space.total,
                free: space.free,
                segments: held.segments + held.copies + segments,
            })
        };
        pools.into_iter().map(usage).collect()
    }

    /// What the service is doing.
    pub fn status(&self) -> Status {
        let core = &self.core;
        let uptime = core.env.clock().monotonic().saturating_sub(self.opened);
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            data: self.data.display().to_string(),
            attached: core.attachments.devices_in_all(),
            problem: (core.problem.lock().clone())
                .or_else(|| core.collector_problem.lock().clone())
                .or_else(|| core.backup_problem.lock().clone())
                .or_else(|| core.pools.problem())
                .or_else(|| core.pools.near.problem())
                .or_else(|| core.trust.problem()),
            figures: figures(&core.engine.counters())
                .iter()
                .chain(&collected(&core.collected()))
                .chain(&ended(&core.ended()))
                .chain(&near(core.pools.near.figures()))
                .map(|(name, _, _, value)| ((*name).to_owned(), *value as f64))
                .collect(),
            ..Status::default()
        };
        let counted = core.catalog.read(|tx| -> Result<_, CatalogError> {
            Ok((state::counts(tx)?, snapshot_file::problem(tx)?))
        });
        match counted {
            Ok((counts, problem)) => {
                status.volumes = counts.volumes;
                status.snapshots = counts.snapshots;
                status.images = counts.images;
                status.files = counts.files;
                status.problem = status.problem.or(problem);
            }
            Err(error) => status.problem = Some(error.to_string()),
        }
        if status.problem.is_none() {
            status.problem =
                self.damage_problem().or_else(|| alarm_problem(core.collected().alarms));
        }
        status
    }

    /// Figures for Prometheus.
    pub fn metrics(&self) -> Vec<Metric> {
        let status = self.status();
        let mut metrics: Vec<Metric> = figures(&self.core.engine.counters())
            .into_iter()
            .chain(collected(&self.core.collected()))
            .chain(ended(&self.core.ended()))
            .chain(near(self.core.pools.near.figures()))
            .chain(self.core.copies())
            .map(|(name, help, kind, value)| metric(name, help, kind, value as f64))
            .collect();
        let gauges = [
            ("uptime_seconds", "Time since the store was opened.", status.uptime_ms as f64 / 1e3),
            ("volumes", "Volumes.", status.volumes as f64),
            ("snapshots", "Snapshots.", status.snapshots as f64),
            ("images", "Images.", status.images as f64),
            ("files", "Files.", status.files as f64),
            ("attached_devices", "Devices open on volumes.", status.attached as f64),
            (
                "problem",
                "1 while something is wrong that stands until it is mended, as a full disk.",
                f64::from(u8::from(status.problem.is_some())),
            ),
            ("damages", "Stored places that are known to be damaged.", self.damage_count() as f64),
        ];
        metrics
            .extend(gauges.map(|(name, help, value)| metric(name, help, MetricKind::Gauge, value)));
        if let Ok(space) = self.store.space() {
            let kind = MetricKind::Gauge;
            metrics.push(metric(
                "pool_bytes",
                "Size of the pool's disk.",
                kind,
                space.total as f64,
            ));
            let help = "Room left on the pool's disk.";
            metrics.push(metric("pool_free_bytes", help, kind, space.free as f64));
        }
        metrics
    }
}

impl Core {
    /// Figures of second copies.
    fn copies(&self) -> [Figure; 4] {
        use MetricKind::Counter;
        let done = self.mover.totals();
        let answered = self.pools.spread.answered_by_others();
        [
            ("copies_made_total", "Second copies made.", Counter, done.copies),
            ("copies_adopted_total", "Second copies found to be whole.", Counter, done.adopted),
            ("copies_healed_total", "Copies that scrubs made anew.", Counter, done.healed),
            (
                "copy_reads_total",
                "Reads that second copies answered since a pool did not.",
                Counter,
                answered,
            ),
        ]
    }
}

fn metric(name: &str, help: &str, kind: MetricKind, value: f64) -> Metric {
    Metric {
        name: format!("archipelago_{name}"),
        help: help.to_owned(),
        kind,
        labels: Vec::new(),
        value,
    }
}

/// Everything that has a map, with the map that the catalog has of it.
pub(super) fn everything(tx: &Tx<'_>) -> Result<Vec<(Source, Fixed)>, Error> {
    let mut out = Vec::new();
    for row in volume::list(tx)? {
        let map = Fixed { root: row.root, size: row.size.bytes() };
        out.push((Source::Volume(row.name), map));
    }
    for row in snapshot::list(tx)? {
        let map = Fixed { root: row.root, size: row.size.bytes() };
        out.push((Source::Snapshot(row.path), map));
    }
    for row in image::list(tx)? {
        let map = Fixed { root: row.root, size: row.image.size.bytes() };
        out.push((Source::Image(row.image.name), map));
    }
    for (source, root, size) in file::all_maps(tx)? {
        out.push((source, Fixed { root, size }));
    }
    for (source, root, size) in upload::all_parts(tx)? {
        out.push((source, Fixed { root, size }));
    }
    for (source, root, size) in blocks::all_maps(tx, HASH_BYTES as u64)? {
        out.push((source, Fixed { root, size }));
    }
    Ok(out)
}

/// The guest views of files: for which of `named`, and their maps.
fn views_of(tx: &Tx<'_>, named: &[(Source, Fixed)]) -> Result<Vec<(usize, Location)>, Error> {
    let views = guest_view::list(tx)?;
    if views.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: HashMap<(Location, u64), usize> = named
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, (source, _))| source.is_file())
        .map(|(number, (_, map))| ((map.root, map.size), number))
        .collect();
    let ready = views.into_iter().filter(|(_, view)| view.state == DiskState::Ready);
    Ok(ready
        .filter_map(|(_, view)| {
            numbers.get(&(view.key.root, view.key.size)).map(|number| (*number, view.root))
        })
        .collect())
}

/// Everything that has a map, and the guest views of files under the names of these.
pub(super) fn everything_and_views(tx: &Tx<'_>) -> Result<Vec<(Source, Fixed)>, Error> {
    let mut out = everything(tx)?;
    let views = guest_view::list(tx)?.into_iter();
    out.extend(views.filter(|(_, view)| view.state == DiskState::Ready).map(|(source, view)| {
        let map = Fixed { root: view.root, size: view.size };
        (source, map)
    }));
    Ok(out)
}

fn figures(counters: &Counters) -> Vec<Figure> {
    use MetricKind::{Counter, Gauge};
    let c = counters;
    vec![
        ("log_data_bytes_total", "Guest data appended to the log.", Counter, c.log_data_bytes),
        ("log_node_bytes_total", "Map nodes appended to the log.", Counter, c.log_node_bytes),
        ("log_bytes_total", "Bytes written to the log in all.", Counter, c.log_bytes),
        ("log_batches_total", "Batches appended to the log.", Counter, c.log_batches),
        ("log_segments_total", "Segments of the log begun.", Counter, c.log_segments),
        ("flushes_total", "Flushes asked for.", Counter, c.flushes),
        ("syncs_total", "Syncs done: fewer, where one served many.", Counter, c.syncs),
        ("overlay_extents", "Extents that no map has yet.", Gauge, c.overlay_extents),
        ("checkpoints_total", "Checkpoints done.", Counter, c.checkpoints),
        ("runs_merged_total", "Runs of maps merged.", Counter, c.runs_merged),
        ("ingest_bytes_total", "Bytes ingested.", Counter, c.ingest_bytes),
        (
            "ingest_duplicate_bytes_total",
            "Bytes ingested that were stored already.",
            Counter,
            c.ingest_duplicate_bytes,
        ),
        ("ingest_stored_bytes_total", "Bytes that ingest stored.", Counter, c.ingest_stored_bytes),
        ("dedup_index_entries", "Entries of the dedup index.", Gauge, c.dedup_index_entries),
        ("dedup_index_bytes", "Memory of the dedup index.", Gauge, c.dedup_index_bytes),
        ("dedup_list_bytes", "Memory of cached fingerprints.", Gauge, c.dedup_list_bytes),
        ("chunk_hits_total", "Chunks found in the cache.", Counter, c.chunk_hits),
        ("chunk_misses_total", "Chunks not found in the cache.", Counter, c.chunk_misses),
        ("chunk_cache_bytes", "Bytes in the cache of chunks.", Gauge, c.chunk_cache_bytes),
        ("node_cache_bytes", "Bytes in the cache of map nodes.", Gauge, c.node_cache_bytes),
        ("damaged_reads_total", "Reads that failed verification.", Counter, c.damaged_reads),
        ("mended_reads_total", "Of these, answered from a second copy.", Counter, c.mended_reads),
    ]
}

/// Nothing where there is no cache on the host's disk.
fn near(figures: Option<CacheFigures>) -> Vec<Figure> {
    use MetricKind::{Counter, Gauge};
    let Some(f) = figures else { return Vec::new() };
    vec![
        ("host_cache_hits_total", "Pages read from the host's disk.", Counter, f.hits),
        ("host_cache_misses_total", "Pages that were not there.", Counter, f.misses),
        ("host_cache_requests_total", "Requests made of pools for them.", Counter, f.requests),
        ("host_cache_fetched_bytes_total", "Bytes that these brought.", Counter, f.fetched_bytes),
        ("host_cache_evictions_total", "Pages that had to go for others.", Counter, f.evictions),
        (
            "host_cache_mismatches_total",
            "Pages that did not match their checksum: torn by a crash, or rotten.",
            Counter,
            f.mismatches,
        ),
        ("host_cache_errors_total", "Errors of the disk of the cache.", Counter, f.errors),
        ("host_cache_bytes", "Bytes of pages on the host's disk.", Gauge, f.bytes),
        ("host_cache_max_bytes", "Bytes that there may be.", Gauge, f.bytes_max),
    ]
}

fn ended(totals: &Ended) -> Vec<Figure> {
    use MetricKind::Counter;
    let t = totals;
    vec![
        ("ended_objects_total", "Objects removed when they said.", Counter, t.objects),
        ("ended_by_rules_total", "Newest versions ended by rules.", Counter, t.by_rules),
        ("ended_older_total", "Older versions and markers removed by rules.", Counter, t.older),
        ("ended_uploads_total", "Uploads given up that nobody had ended.", Counter, t.uploads),
    ]
}

/// Nothing is lost yet, but what decides what may go was wrong: somebody has to look.
fn alarm_problem(alarms: u64) -> Option<String> {
    (alarms > 0).then(|| {
        format!(
            "{alarms} segments were named after the collector had found that nobody names them; \
             they are kept: run `archipelago check` and report this defect with the log (told \
             until the next start)"
        )
    })
}

fn collected(totals: &Collected) -> Vec<Figure> {
    use MetricKind::{Counter, Gauge};
    let t = totals;
    vec![
        ("collection_rounds_total", "Rounds of the collector.", Counter, t.rounds.into()),
        ("collected_segments_total", "Segments found to be named by nobody.", Counter, t.condemned),
        ("compacted_segments_total", "Segments whose named part was moved.", Counter, t.compacted),
        ("compaction_read_bytes_total", "Bytes that compaction read.", Counter, t.read_bytes),
        ("compaction_written_bytes_total", "Bytes that it wrote.", Counter, t.written_bytes),
        (
            "compaction_duplicate_bytes_total",
            "Bytes that compaction found to be stored already.",
            Counter,
            t.duplicate_bytes,
        ),
        ("flattened_maps_total", "Maps written anew without what they hid.", Counter, t.flattened),
        ("removed_segments_total", "Segments removed.", Counter, t.removed),
        ("freed_bytes_total", "Bytes given back to the disk.", Counter, t.freed_bytes),
        ("leaving_bytes", "Bytes that wait for the grace time.", Gauge, t.waiting_bytes),
        (
            "collector_alarms_total",
            "Reads of segments that nobody should read any more: a defect.",
            Counter,
            t.alarms,
        ),
    ]
}
