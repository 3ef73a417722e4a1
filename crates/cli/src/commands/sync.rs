//! `archipelago sync`: a folder and files of a container, one way.

mod names;
mod walk;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use archipelago_api::{self as api, path};
use archipelago_model::{ContainerName, ObjectName};
use serde::Serialize;

use super::{Context, file};
use crate::args::file::FilePath;
use crate::args::sync::{Place, Sync};
use crate::bulk::{BYTES_MIN, crew, small, up};
use crate::client::Client;
use crate::failure::{Failure, Kind, Result};
use crate::output::table::{Column, render};
use crate::output::text::{plain, size};

/// What was done, or would be.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    actions: Vec<Action>,
    /// Files that are the same on both sides.
    same: u64,
    /// Bytes that travelled.
    moved: u64,
    /// Files of which nothing could be made.
    failed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verb {
    Send,
    Fetch,
    Remove,
    /// Neither a file nor a folder: it is left as it is.
    Skip,
    Fail,
}

#[derive(Serialize)]
struct Action {
    action: Verb,
    name: String,
    size: Option<u64>,
    /// Bytes of it that travelled; null when that was not tried.
    moved: Option<u64>,
    /// Why it was skipped, or failed.
    reason: Option<String>,
}

impl Report {
    fn new(dry_run: bool) -> Self {
        Self { dry_run, actions: Vec::new(), same: 0, moved: 0, failed: 0 }
    }

    fn done(&mut self, action: Verb, name: &str, size: Option<u64>, moved: Option<u64>) {
        self.moved += moved.unwrap_or(0);
        self.actions.push(Action { action, name: name.to_owned(), size, moved, reason: None });
    }

    fn left(&mut self, action: Verb, name: &str, reason: String) {
        self.failed += u64::from(action == Verb::Fail);
        let (name, reason) = (name.to_owned(), Some(reason));
        self.actions.push(Action { action, name, size: None, moved: None, reason });
    }

    fn failed(&mut self, name: &str, failure: &Failure) {
        self.left(Verb::Fail, name, failure.message().to_owned());
    }
}

pub fn run(context: &Context, options: &Sync) -> Result {
    let report = Arc::new(Mutex::new(Report::new(options.dry_run)));
    let places = |dir: &Path, container: &ContainerName, prefix: &str| Places {
        dir: dir.to_owned(),
        container: container.clone(),
        prefix: prefix.to_owned(),
        dry_run: options.dry_run,
    };
    match (&options.source, &options.target) {
        (Place::Folder(dir), Place::Store(container, prefix)) => {
            send(context, &places(dir, container, prefix), options.delete, &report)?;
        }
        (Place::Store(container, prefix), Place::Folder(dir)) => {
            fetch(context, &places(dir, container, prefix), options.delete, &report)?;
        }
        _ => {
            return Err(Failure::usage(
                "one of both is a folder, and the other CONT: or CONT:PREFIX/",
            )
            .remedy("a folder whose name has a colon is written with ./ in front"));
        }
    }
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    // Workers end in any order. What is removed comes last.
    report.actions.sort_by(|one, other| {
        let key = |action: &Action| (action.action == Verb::Remove, action.name.clone());
        key(one).cmp(&key(other))
    });
    context.output.confirm(&*report, view)?;
    match report.failed {
        0 => Ok(()),
        failed => Err(Failure::new(
            Kind::Local,
            format!("{failed} files are not the same on both sides; the reasons are above"),
        )
        .remedy("what was done stays; run it again once they are mended")),
    }
}

fn view(report: &Report) -> String {
    let columns = [
        Column::Left("ACTION"),
        Column::Right("SIZE"),
        Column::Right("MOVED"),
        Column::Left("FILE"),
    ];
    let word = |verb| match verb {
        Verb::Send => "send",
        Verb::Fetch => "fetch",
        Verb::Remove => "remove",
        Verb::Skip => "skip",
        Verb::Fail => "fail",
    };
    let dash = || "-".to_owned();
    let rows = report.actions.iter().map(|one| {
        let reason = one.reason.as_ref().map(|reason| format!(": {}", plain(reason)));
        vec![
            word(one.action).to_owned(),
            one.size.map_or_else(dash, size),
            one.moved.map_or_else(dash, size),
            format!("{}{}", plain(&one.name), reason.unwrap_or_default()),
        ]
    });
    let table = match report.actions.is_empty() {
        true => String::new(),
        false => format!("{}\n", render(&columns, rows)),
    };
    let what = if report.dry_run { "nothing was done" } else { "moved" };
    let moved = if report.dry_run { String::new() } else { format!(" {}", size(report.moved)) };
    format!("{table}{what}{moved}; {} files are the same", report.same)
}

/// The files of a place in the store, by what they are called there.
fn stored(
    context: &Context,
    container: &ContainerName,
    prefix: &str,
) -> Result<BTreeMap<String, api::File>> {
    let prefix_said = Some(prefix).filter(|prefix| !prefix.is_empty());
    let files = super::file::list(context, Some(container.as_str()), prefix_said)?;
    let named = |file: api::File| {
        let name = file.object.strip_prefix(prefix)?.to_owned();
        Some((name, file))
    };
    Ok(files.files.into_iter().filter_map(named).collect())
}

fn object(prefix: &str, name: &str) -> Result<ObjectName> {
    format!("{prefix}{name}")
        .parse()
        .map_err(|error: archipelago_model::NameError| Failure::new(Kind::Local, error.to_string()))
}

/// The two places, for those who work.
#[derive(Clone)]
struct Places {
    dir: PathBuf,
    container: ContainerName,
    prefix: String,
    dry_run: bool,
}

/// What became of a file: `None` where it is the same already; else what travelled, if it was
/// tried.
type Outcome = Option<Option<u64>>;

impl Places {
    fn file(&self, name: &str) -> Result<FilePath> {
        Ok(FilePath { container: self.container.clone(), object: object(&self.prefix, name)? })
    }

    /// Makes a file in the store the same as a local one, of which `put` sends what it takes.
    fn send(
        &self,
        client: &Client,
        name: &str,
        local: &walk::Found,
        there: Option<&api::File>,
        put: &dyn Fn(&Path, &FilePath) -> Result<u64>,
    ) -> Result<Outcome> {
        let file = self.file(name)?;
        let is_there = there.is_some_and(|there| there.size == local.size);
        if is_there && up::is_same(client, &local.path, &file)? {
            return Ok(None);
        }
        match self.dry_run {
            true => Ok(Some(None)),
            false => put(&local.path, &file).map(|sent| Some(Some(sent))),
        }
    }

    /// Makes a local file the same as one in the store, of which `get` fetches what it takes.
    fn fetch(
        &self,
        client: &Client,
        name: &str,
        stored: &api::File,
        get: &dyn Fn(&FilePath, &Path, bool) -> Result<u64>,
    ) -> Result<Outcome> {
        let target = names::path_in(&self.dir, name)?;
        // Versions of one millisecond, or of a clock that stood still, differ in what no clock
        // of the store tells.
        let version = Duration::from_nanos(stored.id % 1_000_000);
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(stored.created_ms) + version;
        let there = match fs::symlink_metadata(&target) {
            Ok(meta) if meta.is_file() => Some(meta),
            Ok(_) => {
                let message = format!("'{}' is there and no file", target.display());
                return Err(Failure::new(Kind::Local, message).remedy("move it away"));
            }
            Err(_) => None,
        };
        let as_long = there.as_ref().filter(|meta| meta.len() == stored.size);
        if as_long.is_some_and(|meta| meta.modified().is_ok_and(|modified| modified == then)) {
            return Ok(None);
        }
        if self.dry_run {
            return Ok(Some(None));
        }
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir).map_err(Failure::local(format!("make '{}'", dir.display())))?;
        }
        let file = self.file(name)?;
        // Of long ones, what fetches them compares.
        let (force, is_small) = (there.is_some(), stored.size < BYTES_MIN);
        let is_same = as_long.is_some() && is_small && up::is_same(client, &target, &file)?;
        let moved = match is_same {
            true => 0,
            false => get(&file, &target, force)?,
        };
        // So that the next one knows it at a glance.
        File::options()
            .write(true)
            .open(&target)
            .and_then(|file| file.set_modified(then))
            .map_err(Failure::local(format!("set the time of '{}'", target.display())))?;
        Ok(if is_same { None } else { Some(Some(moved)) })
    }
}

/// A report to which several workers add.
type Shared = Arc<Mutex<Report>>;

fn tell(report: &Shared, verb: Verb, name: &str, size: u64, outcome: Result<Outcome>) {
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    match outcome {
        Ok(None) => report.same += 1,
        Ok(Some(moved)) => report.done(verb, name, Some(size), moved),
        Err(failure) => report.failed(name, &failure),
    }
}

/// A source without any file is more often a name that was typed wrong, or a disk that is not
/// mounted, than one to be like.
fn refuse_to_empty<T>(is_empty: bool, surplus: &[(String, T)], places: &Places) -> Result {
    if !is_empty || surplus.is_empty() || places.dry_run {
        return Ok(());
    }
    let (all, source) = (surplus.len(), "the source has no file");
    let message = format!("{source}, and --delete would remove all {all} of the target");
    Err(Failure::new(Kind::Local, message)
        .remedy("check the source; remove them yourself if it is right"))
}

/// From a folder to the store.
fn send(context: &Context, places: &Places, delete: bool, report: &Shared) -> Result {
    let found = walk::walk(&places.dir)?;
    let mut there = match stored(context, &places.container, &places.prefix) {
        Err(failure) if failure.kind() == Kind::Server(api::ErrorKind::NotFound) => BTreeMap::new(),
        there => there?,
    };
    let surplus: Vec<(String, api::File)> = there
        .iter()
        .filter(|(name, _)| delete && !found.has(name))
        .map(|(name, file)| (name.clone(), file.clone()))
        .collect();
    refuse_to_empty(found.files.is_empty(), &surplus, places)?;
    for (name, reason) in found.skipped {
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        report.left(Verb::Skip, &name, reason);
    }
    let (small, large): (Vec<_>, Vec<_>) = found
        .files
        .into_iter()
        .map(|(name, local)| {
            let stored = there.remove(&name);
            (name, local, stored)
        })
        .partition(|(_, local, _)| local.size < BYTES_MIN);
    let (shared, at) = (Arc::clone(report), places.clone());
    let work =
        move |client: &Client, (name, local, stored): (String, walk::Found, Option<api::File>)| {
            let put = |from: &Path, file: &FilePath| small::put(client, from, file);
            let outcome = at.send(client, &name, &local, stored.as_ref(), &put);
            tell(&shared, Verb::Send, &name, local.size, outcome);
            Ok(())
        };
    crew::run(&context.env, &context.client, small.into_iter(), Arc::new(work))?;
    for (name, local, stored) in large {
        let put = |from: &Path, to: &FilePath| file::store(context, from, to).map(|(_, sent)| sent);
        let outcome = places.send(&context.client, &name, &local, stored.as_ref(), &put);
        tell(report, Verb::Send, &name, local.size, outcome);
    }
    remove(places, report, surplus, |file| {
        // What was put there since it was listed stays.
        let route = path::file_version(places.container.as_str(), &file.object, file.id);
        (file.size, context.client.delete(&route))
    });
    Ok(())
}

/// From the store to a folder.
fn fetch(context: &Context, places: &Places, delete: bool, report: &Shared) -> Result {
    let files = stored(context, &places.container, &places.prefix)?;
    if !places.dry_run {
        fs::create_dir_all(&places.dir)
            .map_err(Failure::local(format!("make '{}'", places.dir.display())))?;
    }
    let surplus: Vec<(String, walk::Found)> = match delete && places.dir.exists() {
        true => walk::walk(&places.dir)?
            .files
            .into_iter()
            .filter(|(name, _)| !files.contains_key(name))
            .collect(),
        false => Vec::new(),
    };
    refuse_to_empty(files.is_empty(), &surplus, places)?;
    let (small, large): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(_, file)| file.size < BYTES_MIN);
    let (shared, at) = (Arc::clone(report), places.clone());
    let work = move |client: &Client, (name, stored): (String, api::File)| {
        let get = |file: &FilePath, to: &Path, force| small::fetch(client, file, to, force);
        let outcome = at.fetch(client, &name, &stored, &get);
        tell(&shared, Verb::Fetch, &name, stored.size, outcome);
        Ok(())
    };
    crew::run(&context.env, &context.client, small.into_iter(), Arc::new(work))?;
    for (name, stored) in large {
        let get = |from: &FilePath, to: &Path, force| {
            file::fetch(context, from, &stored, to, force).map(|done| done.fetched)
        };
        let outcome = places.fetch(&context.client, &name, &stored, &get);
        tell(report, Verb::Fetch, &name, stored.size, outcome);
    }
    remove(places, report, surplus, |local| (local.size, walk::remove(&places.dir, &local.path)));
    Ok(())
}

/// Removes what the source has not, unless something else failed.
fn remove<T>(
    places: &Places,
    report: &Shared,
    surplus: Vec<(String, T)>,
    remove: impl Fn(&T) -> (u64, Result),
) {
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    if report.failed > 0 {
        return;
    }
    for (name, what) in surplus {
        if places.dry_run {
            report.done(Verb::Remove, &name, None, None);
            continue;
        }
        match remove(&what) {
            (size, Ok(())) => report.done(Verb::Remove, &name, Some(size), None),
            (_, Err(failure)) => report.failed(&name, &failure),
        }
    }
}
