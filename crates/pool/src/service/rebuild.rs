//! A catalog made anew: names from the newest backup in the pool, segments from
//! their footers. What guests wrote since the backup is in the log, and the next
//! start replays it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipelago_engine::{self as engine, Footer, Salvage, SegmentInfo, SegmentKind};
use archipelago_env::{Env, Mode};
use archipelago_model::{PoolId, SegmentId, VolumeId};
use archipelago_store::Store;

use super::{Config, Service};
use crate::catalog::{At, Catalog, Founding, dump, place, segment, state, volume};
use crate::core::record_segments;
use crate::error::{Error, ErrorKind, io_kind, store_error};
use crate::folder::{Folder, Home};
use crate::place as segments;
use crate::pools::Pools;

/// Ids of segments that are passed over: those that were given last may have belonged to
/// segments that are gone by now, and no id is ever given twice.
const IDS_SKIPPED: u64 = 1 << 16;

/// Terms that are passed over: a volume may have been attached so often since the backup.
const EPOCHS_SKIPPED: u32 = 1 << 20;

/// What a rebuild found and did.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Rebuilt {
    /// When the backup was made that names come from, in ms since 1970.
    pub made_ms: u64,
    /// Newer backups that could not be read, and why.
    pub passed_over: Vec<(SegmentId, String)>,
    /// What has a name again.
    pub volumes: u64,
    /// Of these volumes, and of others.
    pub snapshots: u64,
    /// Images.
    pub images: u64,
    /// Files.
    pub files: u64,
    /// Segments whose footers were read.
    pub segments: u64,
    /// Segments without a whole footer: the end of the log, or damage.
    pub unsealed: u64,
    /// Volumes that the log has writes of and the backup does not know: made after
    /// it, or removed before it.
    pub unknown_volumes: u64,
    /// Where the old catalog is now, if there was one.
    pub set_aside: Option<PathBuf>,
}

/// What the pools hold.
#[derive(Default)]
struct Found {
    footers: BTreeMap<SegmentId, Footer>,
    /// Segments whose footers cannot be read, by what their headers say.
    unsealed: Vec<SegmentInfo>,
    /// Volumes that have records in the log.
    logged: BTreeSet<VolumeId>,
    newest: Option<SegmentId>,
}

impl Service {
    /// Makes the catalog of a store anew. An old one is set aside with `force`, and else
    /// keeps this from being done.
    ///
    /// # Errors
    /// `Invalid` when there is a catalog and not `force`; `Damaged` when no backup can be
    /// read; `InUse`. Nothing was changed then.
    pub fn rebuild(data: &Path, env: &Env, force: bool) -> Result<Rebuilt, Error> {
        let folder = Folder::open_existing(env, data)?;
        let home = folder.home(env)?;
        let blank = match (Catalog::is_blank(home.at(env)), &home) {
            (Ok(blank), _) => blank,
            // One that is damaged is no reason to keep it.
            (Err(_), Home::File(_)) => false,
            (Err(error), Home::Server(..)) => return Err(error.into()),
        };
        if !force && !blank {
            return Err(Error::invalid(format!(
                "{} has a catalog; with --force it is set aside and made anew from its backup",
                data.display()
            )));
        }
        // The first pool alone: its backups tell of the others.
        let pools = Pools::new(env, &folder, &Config::default())?;
        let store = Arc::clone(&pools.spread) as Arc<dyn Store>;
        let salvage = Salvage::new(store, env.clone(), folder.store().uuid);
        let mut found = Found::default();
        scan(&salvage, salvage.ids()?, &mut found)?;
        let (mut report, uuid) = (Rebuilt::default(), folder.store().uuid);
        let mut backup = choose(&salvage, &found, uuid, &mut report);
        if backup.is_none() && !blank && pools.open_as_before(env, &folder, &home) {
            // The first pool has lost them, and its mirror may not.
            scan(&salvage, salvage.ids()?, &mut found)?;
            backup = choose(&salvage, &found, uuid, &mut report);
        }
        let backup = backup.ok_or_else(|| no_backup(&report, data, blank))?;
        let new = folder.new_catalog_path(env)?;
        let catalog = restore(env, &folder, &new, &salvage, backup)?;
        scan_others(&pools, &catalog, &salvage, &mut found)?;
        build(&catalog, &found, &mut report)?;
        match home {
            Home::File(_) => {
                catalog.close();
                report.set_aside = folder.install_catalog(env, &new)?;
            }
            Home::Server(..) => {
                let there = Catalog::open(home.at(env), &founding(env, &folder))?;
                dump::copy(&catalog, &there)?;
                there.close();
                catalog.close();
            }
        }
        Ok(report)
    }
}

impl Pools {
    /// Opens the others that an old catalog has, if it can be read; whether there are any.
    fn open_as_before(&self, env: &Env, folder: &Folder, home: &Home) -> bool {
        let founding = founding(env, folder);
        let opened = Catalog::open(home.at(env), &founding).map_err(Error::from).and_then(|old| {
            let opened = self.open_others(&old);
            old.close();
            // Where a second copy is all there is, the segment is there.
            self.spread.only_seconds([]);
            opened
        });
        match opened {
            Ok(()) => !self.spread.is_single(),
            Err(error) => {
                tracing::warn!(%error, "the old catalog does not tell of other pools");
                false
            }
        }
    }
}

fn founding<'a>(env: &Env, folder: &'a Folder) -> Founding<'a> {
    Founding {
        uuid: folder.store().uuid,
        place: segments::row(folder.place()),
        now_ms: env.clock().unix_ms(),
    }
}

fn scan(salvage: &Salvage, ids: Vec<SegmentId>, found: &mut Found) -> Result<(), Error> {
    let damage = |error| match error {
        engine::Error::Damaged { .. } => Ok(()),
        other => Err(Error::from(other)),
    };
    for id in ids {
        found.newest = found.newest.max(Some(id));
        match salvage.footer(id) {
            Ok(footer) => drop(found.footers.insert(id, footer)),
            Err(error) => {
                damage(error)?;
                // One without even a header is left to the next start, and what a crash
                // left to the collector.
                match salvage.header(id) {
                    Ok(_) if salvage.is_torn(id).is_ok_and(|torn| torn) => {}
                    Ok(info) => {
                        found.unsealed.push(info);
                        // The next start reads this back, too.
                        found.logged.extend(salvage.unsealed_volumes(id).unwrap_or_default());
                    }
                    Err(error) => damage(error)?,
                }
                continue;
            }
        }
        salvage.epochs(id).map_or_else(damage, |epochs| {
            found.logged.extend(epochs.into_keys());
            Ok(())
        })?;
    }
    Ok(())
}

/// The same of the pools that the backup knows besides the first. Of a segment that is in two one
/// is a copy that a move left: the first that has a footer counts, and the mover looks at both
/// when the store is opened.
fn scan_others(
    pools: &Pools,
    catalog: &Catalog,
    salvage: &Salvage,
    found: &mut Found,
) -> Result<(), Error> {
    pools.open_others(catalog)?;
    for row in catalog.read(place::list)?.iter().filter(|row| row.id != PoolId::FIRST) {
        if let Some(why) = pools.why_away(row.id) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "pool '{}' is away, and nobody else knows what is in it: {why}; bring it \
                     back and try again",
                    row.name
                ),
            ));
        }
        let pool = pools.spread.member(row.id).map_err(store_error)?;
        let mut ids = pool.list_from(SegmentId::MIN).map_err(store_error)?;
        ids.retain(|id| !found.footers.contains_key(id));
        pools.spread.found(ids.iter().map(|id| (*id, row.id)));
        scan(salvage, ids, found)?;
        // Without a footer in one pool it is a copy of what has one in another.
        let footers = &found.footers;
        found.unsealed.retain(|info| !footers.contains_key(&info.id));
    }
    Ok(())
}

/// The newest backup that is whole.
fn choose(
    salvage: &Salvage,
    found: &Found,
    store: [u8; 16],
    report: &mut Rebuilt,
) -> Option<SegmentId> {
    let backups = found.footers.values().rev().filter(|f| f.info.kind == SegmentKind::Backup);
    for footer in backups {
        let id = footer.info.id;
        let whole = salvage
            .backup(id)
            .map_err(|error| error.to_string())
            .and_then(|mut bytes| dump::verify(&mut bytes).map_err(|error| error.to_string()));
        match whole {
            Ok(header) if header.store == store => {
                report.made_ms = header.made_ms;
                return Some(id);
            }
            Ok(_) => report.passed_over.push((id, "it is of another store".to_owned())),
            Err(why) => report.passed_over.push((id, why)),
        }
    }
    None
}

fn no_backup(report: &Rebuilt, data: &Path, blank: bool) -> Error {
    let data = data.display();
    let todo = if blank {
        format!("put {data}/catalog.sqlite back from a copy: nothing else tells the names")
    } else {
        format!(
            "{data}/catalog.sqlite was left as it is: start `archipelago serve`, which makes a \
             backup within seconds; if the catalog is damaged, put it back from a copy"
        )
    };
    let (segments, bad) = (report.segments, report.passed_over.len());
    Error::new(
        ErrorKind::Damaged,
        format!(
            "the pool has {segments} segments and no backup of the catalog that can be read \
             ({bad} damaged); {todo}"
        ),
    )
}

/// Makes the new catalog beside the old one's place, with what the backup has.
fn restore(
    env: &Env,
    folder: &Folder,
    path: &Path,
    salvage: &Salvage,
    backup: SegmentId,
) -> Result<Catalog, Error> {
    let catalog = Catalog::open(At::File(&**env.disk(), path), &founding(env, folder))?;
    let mut bytes = salvage.backup(backup)?;
    catalog.write(|tx| dump::restore(tx, &mut bytes))?;
    Ok(catalog)
}

/// Adds what footers tell.
fn build(catalog: &Catalog, found: &Found, report: &mut Rebuilt) -> Result<(), Error> {
    let (counts, unknown) = catalog.write(|tx| -> Result<_, Error> {
        let floor = state::log_floor(tx)?.unwrap_or(SegmentId::MIN);
        // From the floor on recovery looks at the log itself.
        let sealed: Vec<SegmentInfo> = found
            .footers
            .values()
            .map(|footer| footer.info)
            // What cannot be read is recorded all the same: so nobody takes it for
            // something that a crash left, and `check` tells of it.
            .chain(found.unsealed.iter().copied())
            .filter(|info| info.id < floor || info.kind != SegmentKind::Hot)
            .collect();
        record_segments(tx, &sealed)?;
        for (old, carrier) in forwarded(found) {
            segment::insert_forwarded(tx, old, PoolId::FIRST, carrier)?;
        }
        volume::skip_epochs(tx, EPOCHS_SKIPPED)?;
        let mut unknown = 0;
        for &id in &found.logged {
            unknown += u64::from(volume::get(tx, id)?.is_none());
        }
        let last = found.logged.last().map_or(0, |id| id.get());
        let newest = found.newest.unwrap_or(SegmentId::MIN);
        state::raise_ids(tx, newest.get() + IDS_SKIPPED, last + 1)?;
        Ok((state::counts(tx)?, unknown))
    })?;
    report.segments = found.footers.len() as u64;
    report.unsealed = found.unsealed.len() as u64;
    report.volumes = counts.volumes;
    report.snapshots = counts.snapshots;
    report.images = counts.images;
    report.files = counts.files;
    report.unknown_volumes = unknown;
    Ok(())
}

/// Segments whose files are gone, with the carriers that tell where their data is. A table
/// of a compaction that was never recorded may name places that are gone: then an older
/// table has it.
fn forwarded(found: &Found) -> BTreeMap<SegmentId, SegmentId> {
    let mut tables: HashMap<SegmentId, Vec<(SegmentId, BTreeSet<SegmentId>)>> = HashMap::new();
    for (&carrier, footer) in found.footers.iter().rev() {
        let mut targets: BTreeMap<SegmentId, BTreeSet<SegmentId>> = BTreeMap::new();
        for entry in &footer.forwards {
            if let (Some(old), Some(to)) = (entry.from.segment(), entry.to.segment()) {
                targets.entry(old).or_default().insert(to);
            }
        }
        for (old, to) in targets {
            tables.entry(old).or_default().push((carrier, to));
        }
    }
    let there = |id: &SegmentId| found.footers.contains_key(id);
    let mut out = BTreeMap::new();
    for (old, carriers) in &tables {
        if there(old) {
            continue;
        }
        let whole = carriers
            .iter()
            .find(|(_, to)| to.iter().all(|id| there(id) || tables.contains_key(id)))
            .or(carriers.first());
        out.extend(whole.map(|(carrier, _)| (*old, *carrier)));
    }
    out
}

impl Folder {
    /// Where a new catalog is made; what an interrupted rebuild left there is removed.
    fn new_catalog_path(&self, env: &Env) -> Result<PathBuf, Error> {
        let path = self.tmp().join("catalog.sqlite");
        for name in with_logs(&path) {
            match env.disk().remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed("remove", &name, error));
                }
                _ => {}
            }
        }
        // Made here, so that only its owner may read it.
        env.disk().open(&path, Mode::CreateNew).map_err(|error| failed("make", &path, error))?;
        Ok(path)
    }

    /// Puts a finished catalog in its place; the old one gets another name.
    fn install_catalog(&self, env: &Env, new: &Path) -> Result<Option<PathBuf>, Error> {
        let disk = env.disk();
        let place = self.catalog_path();
        let folder = place.parent().unwrap_or(Path::new("."));
        let names: Vec<String> = match disk.list(folder) {
            Ok(entries) => entries.into_iter().map(|entry| entry.name).collect(),
            Err(error) => return Err(failed("read", folder, error)),
        };
        let aside = |n: u32| format!("catalog.sqlite.before-rebuild-{n}");
        let free = (1..).map(aside).find(|name| !names.contains(name)).unwrap_or_default();
        let mut set_aside = None;
        for (old, suffix) in with_logs(&place).into_iter().zip(["", "-wal", "-shm"]) {
            let to = folder.join(format!("{free}{suffix}"));
            match disk.rename(&old, &to) {
                Ok(()) if suffix.is_empty() => set_aside = Some(to),
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed("rename", &old, error));
                }
                _ => {}
            }
        }
        disk.rename(new, &place).map_err(|error| failed("rename", new, error))?;
        for folder in [folder, &self.tmp()] {
            disk.sync_dir(folder).map_err(|error| failed("write to", folder, error))?;
        }
        Ok(set_aside)
    }
}

/// A database and what SQLite keeps beside it.
fn with_logs(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(io_kind(&error), format!("cannot {what} {}: {error}", path.display()))
        .with_source(error)
}

#[cfg(test)]
mod tests;
