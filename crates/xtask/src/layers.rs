//! Dependencies point downward only: `cargo metadata` against one table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// What each crate may depend on, of this workspace. Not its tests: those may use anything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("env", &["model"]),
    ("format", &["model"]),
    ("layout", &["model"]),
    ("store", &["format", "env", "model"]),
    ("engine", &["store", "format", "env", "model"]),
    ("pool", &["engine", "store", "format", "layout", "env", "model"]),
    ("block", &["pool", "env", "model"]),
    ("api", &["model"]),
    ("gateway", &["pool", "api", "format", "env", "model"]),
    ("image", &["format", "env", "model"]),
    ("node", &["gateway", "block", "pool", "api", "env", "model"]),
    ("cli", &["node", "api", "image", "format", "env", "model"]),
];

/// Crates for developers: they may use anything, and nothing above may use them.
const FREE: &[&str] = &["sim", "protocols", "conformance", "fuzzing", "xtask"];

/// Libraries that carry one concern, and the only crates that know of it.
const ONLY: &[(&str, &[&str])] = &[
    ("rusqlite", &["pool"]),
    ("tokio-postgres", &["pool"]),
    ("argon2", &["pool"]),
    ("aws-lc-rs", &["pool"]),
    ("axum", &["gateway"]),
    ("imago", &["image"]),
    ("clap", &["cli"]),
    ("tokio", &["gateway", "node", "image", "store", "pool"]),
    ("object_store", &["store"]),
    ("libloading", &["store"]),
    ("zstd", &["format", "engine", "pool", "image", "layout"]),
    // Random bytes come from env::Env::random, so that the simulator owns chance.
    ("rand", &["env"]),
    ("getrandom", &["env"]),
    ("fastrand", &["env"]),
    ("uuid", &["env"]),
];

/// A crate of the workspace, as its folder is called, and what it names in `[dependencies]`.
#[derive(Debug)]
struct Crate {
    name: String,
    uses: BTreeSet<String>,
    libraries: BTreeSet<String>,
}

/// Prints every arrow that points upward and fails when there is one.
pub fn run(root: &Path) -> Result<()> {
    let found = check(&read(root)?);
    for message in &found {
        println!("layers: {message}");
    }
    if !found.is_empty() {
        bail!("{} dependencies leave their layer (the table is in crates/xtask)", found.len());
    }
    Ok(())
}

fn read(root: &Path) -> Result<Vec<Crate>> {
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    let folders: BTreeMap<String, String> = metadata
        .workspace_packages()
        .iter()
        .map(|package| (package.name.to_string(), folder(package)))
        .collect();
    let mut crates = Vec::new();
    for package in metadata.workspace_packages() {
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development);
        let (mut uses, mut libraries) = (BTreeSet::new(), BTreeSet::new());
        for dependency in normal {
            match folders.get(&dependency.name) {
                Some(folder) => uses.insert(folder.clone()),
                None => libraries.insert(dependency.name.clone()),
            };
        }
        crates.push(Crate { name: folder(package), uses, libraries });
    }
    Ok(crates)
}

/// The folder under `crates/`, which is what the table and the documents call the crate.
fn folder(package: &Package) -> String {
    package
        .manifest_path
        .parent()
        .and_then(|folder| folder.file_name())
        .unwrap_or(package.name.as_str())
        .to_owned()
}

fn check(crates: &[Crate]) -> Vec<String> {
    let mut found = Vec::new();
    for one in crates {
        if FREE.contains(&one.name.as_str()) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == one.name) else {
            found.push(format!("{} has no row in the table", one.name));
            continue;
        };
        for used in one.uses.iter().filter(|used| !allowed.contains(&used.as_str())) {
            found.push(format!("{} must not depend on {used}", one.name));
        }
        for (library, owners) in ONLY {
            if one.libraries.contains(*library) && !owners.contains(&one.name.as_str()) {
                found.push(format!("{library} belongs to {owners:?} alone, {} uses it", one.name));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
