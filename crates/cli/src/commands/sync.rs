//! `archipelago sync`: a folder and files of a container, one way.

mod names;
mod walk;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use archipelago_api::{self as api, path};
use archipelago_model::{ContainerName, ObjectName};
use serde::Serialize;

use super::{Context, file};
use crate::args::file::FilePath;
use crate::args::sync::{Place, Sync};
use crate::bulk::{BYTES_MIN, up};
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
    let mut report = Report::new(options.dry_run);
    match (&options.source, &options.target) {
        (Place::Folder(dir), Place::Store(container, prefix)) => {
            let up = Up { context, options, dir, container, prefix };
            up.run(&mut report)?;
        }
        (Place::Store(container, prefix), Place::Folder(dir)) => {
            let down = Down { context, options, dir, container, prefix };
            down.run(&mut report)?;
        }
        _ => {
            return Err(Failure::usage(
                "one of both is a folder, and the other CONT: or CONT:PREFIX/",
            )
            .remedy("a folder whose name has a colon is written with ./ in front"));
        }
    }
    context.output.confirm(&report, view)?;
    match report.failed {
        0 => Ok(()),
        failed => Err(Failure::new(
            Kind::Local,
            format!("{failed} files are not the same on both sides; the reasons are above"),
        )
        .remedy("what was done stays; nothing was removed")),
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
    let files: api::Files =
        context.client.get(&path::files(Some(container.as_str()), prefix_said))?;
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

/// From a folder to the store.
struct Up<'a> {
    context: &'a Context,
    options: &'a Sync,
    dir: &'a Path,
    container: &'a ContainerName,
    prefix: &'a str,
}

impl Up<'_> {
    fn run(&self, report: &mut Report) -> Result {
        let found = walk::walk(self.dir)?;
        let there = match stored(self.context, self.container, self.prefix) {
            Err(failure) if failure.kind() == Kind::Server(api::ErrorKind::NotFound) => {
                BTreeMap::new()
            }
            there => there?,
        };
        for (name, reason) in &found.skipped {
            report.left(Verb::Skip, name, reason.clone());
        }
        for (name, local) in &found.files {
            match self.one(name, local, there.get(name)) {
                Ok(None) => report.same += 1,
                Ok(Some(moved)) => report.done(Verb::Send, name, Some(local.size), moved),
                Err(failure) => report.failed(name, &failure),
            }
        }
        if !self.options.delete || report.failed > 0 {
            return Ok(());
        }
        for (name, file) in &there {
            if found.has(name) {
                continue;
            }
            let route = path::file(self.container.as_str(), &file.object);
            let removed = if report.dry_run { Ok(()) } else { self.context.client.delete(&route) };
            match removed {
                Ok(()) => report.done(Verb::Remove, name, Some(file.size), None),
                Err(failure) => report.failed(name, &failure),
            }
        }
        Ok(())
    }

    /// `None` where it is the same already; else what travelled.
    fn one(
        &self,
        name: &str,
        local: &walk::Found,
        there: Option<&api::File>,
    ) -> Result<Option<Option<u64>>> {
        let object = object(self.prefix, name)?;
        let file = FilePath { container: self.container.clone(), object };
        if let Some(there) = there
            && there.size == local.size
            && up::is_same(&self.context.client, &local.path, &file)?
        {
            return Ok(None);
        }
        if self.options.dry_run {
            return Ok(Some(None));
        }
        let (_, sent) = file::store(self.context, &local.path, &file)?;
        Ok(Some(Some(sent)))
    }
}

/// From the store to a folder.
struct Down<'a> {
    context: &'a Context,
    options: &'a Sync,
    dir: &'a Path,
    container: &'a ContainerName,
    prefix: &'a str,
}

impl Down<'_> {
    fn run(&self, report: &mut Report) -> Result {
        let files = stored(self.context, self.container, self.prefix)?;
        if !report.dry_run {
            fs::create_dir_all(self.dir)
                .map_err(Failure::local(format!("make '{}'", self.dir.display())))?;
        }
        for (name, file) in &files {
            match self.one(name, file) {
                Ok(None) => report.same += 1,
                Ok(Some(moved)) => report.done(Verb::Fetch, name, Some(file.size), moved),
                Err(failure) => report.failed(name, &failure),
            }
        }
        if !self.options.delete || report.failed > 0 || !self.dir.exists() {
            return Ok(());
        }
        let found = walk::walk(self.dir)?;
        for (name, local) in found.files.iter().filter(|(name, _)| !files.contains_key(*name)) {
            let removed = if report.dry_run { Ok(()) } else { walk::remove(self.dir, &local.path) };
            match removed {
                Ok(()) => report.done(Verb::Remove, name, Some(local.size), None),
                Err(failure) => report.failed(name, &failure),
            }
        }
        Ok(())
    }

    /// `None` where it is the same already; else what travelled.
    fn one(&self, name: &str, stored: &api::File) -> Result<Option<Option<u64>>> {
        let target = names::path_in(self.dir, name)?;
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(stored.created_ms);
        let there = match fs::symlink_metadata(&target) {
            Ok(meta) if meta.is_file() => Some(meta),
            Ok(_) => {
                let message = format!("'{}' is there and no file", target.display());
                return Err(Failure::new(Kind::Local, message).remedy("move it away"));
            }
            Err(_) => None,
        };
        if let Some(meta) = &there
            && meta.len() == stored.size
            && meta.modified().is_ok_and(|modified| modified == then)
        {
            return Ok(None);
        }
        if self.options.dry_run {
            return Ok(Some(None));
        }
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir).map_err(Failure::local(format!("make '{}'", dir.display())))?;
        }
        let object = object(self.prefix, name)?;
        let file = FilePath { container: self.container.clone(), object };
        let force = there.is_some();
        let small_and_same = stored.size < BYTES_MIN
            && there.is_some_and(|meta| meta.len() == stored.size)
            && up::is_same(&self.context.client, &target, &file)?;
        let moved = match small_and_same {
            true => 0,
            false => file::fetch(self.context, &file, stored, &target, force)?.fetched,
        };
        // So that the next one knows it at a glance.
        File::options()
            .write(true)
            .open(&target)
            .and_then(|file| file.set_modified(then))
            .map_err(Failure::local(format!("set the time of '{}'", target.display())))?;
        Ok(if force && moved == 0 { None } else { Some(Some(moved)) })
    }
}
