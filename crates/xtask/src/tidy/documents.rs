//! Rules about documents: their links resolve, they name every crate, and the
//! one about the format was read again whenever the format changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::{Finding, files};

/// The map of the code.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// The description of every persisted byte.
const FORMAT: &str = "docs/FORMAT.md";

/// The code which [`FORMAT`] describes.
const FORMAT_SOURCE: &str = "crates/format/src/";

/// What stands before the hash in [`FORMAT`].
const FORMAT_KEY: &str = "format-source-hash: ";

/// Every finding in the documents of the tree.
pub fn check(root: &Path, files: &[String]) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for path in files.iter().filter(|path| path.ends_with(".md")) {
        let text =
            fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))?;
        found.extend(links(path, &text, |target| root.join(target).exists()));
    }
    let architecture = read(root, ARCHITECTURE);
    found.extend(crates(&architecture, files));
    found.extend(limits(&architecture, |name, at| declares(root, files, name, at)));
    found.extend(format_hash(&read(root, FORMAT), &hash(root, files)?));
    Ok(found)
}

/// A document that is missing is one that says nothing.
fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_default()
}

/// Links to files of the tree that are not there.
fn links(path: &str, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    for (line, target) in targets(text) {
        let file = target.split('#').next().unwrap_or_default();
        if file.is_empty() || file.contains(':') {
            continue;
        }
        if !normal(&folder.join(file)).is_some_and(|file| exists(&file)) {
            found.push(Finding::new(path, line, format!("{target} does not exist")));
        }
    }
    found
}

/// The targets of `[text](target)` outside code, with their lines.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        // Odd pieces between back quotes are code.
        for piece in line.split('`').step_by(2) {
            for link in piece.split("](").skip(1) {
                found.extend(link.split(')').next().map(|target| (at + 1, target)));
            }
        }
    }
    found
}

/// Takes `..` out of a path of the tree; `None` when it leaves the tree.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

/// Crates that the map of the code leaves out.
fn crates(architecture: &str, files: &[String]) -> Vec<Finding> {
    let names: BTreeSet<&str> = files.iter().filter_map(|path| crate_of(path)).collect();
    let words: BTreeSet<&str> =
        architecture.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').collect();
    let missing = names.into_iter().filter(|name| !words.contains(name));
    missing
        .map(|name| Finding::new(ARCHITECTURE, 0, format!("does not mention the crate {name}")))
        .collect()
}

fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml").filter(|name| !name.contains('/'))
}

/// Names of limits that the table of them has and the crates that it says do not.
fn limits(architecture: &str, is_there: impl Fn(&str, &str) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let lines = architecture.lines().enumerate().skip_while(|(_, line)| *line != "### Limits");
    for (at, line) in lines.take_while(|(_, line)| !line.starts_with("Settings")) {
        let cells: Vec<&str> = line.split('|').collect();
        let [_, names, _, crates, ..] = cells.as_slice() else { continue };
        for name in names.split('`').skip(1).step_by(2).filter(|name| is_constant(name)) {
            let mut crates = crates.split(',').map(str::trim);
            if !crates.any(|at| is_there(name, at)) {
                let what = format!("no constant {name} in the crates that this line names");
                found.push(Finding::new(ARCHITECTURE, at + 1, what));
            }
        }
    }
    found
}

fn is_constant(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether a source of a crate has a constant of this name.
fn declares(root: &Path, files: &[String], name: &str, at: &str) -> bool {
    let (folder, declaration) = (format!("crates/{at}/src/"), format!("const {name}:"));
    files
        .iter()
        .filter(|path| path.starts_with(&folder) && path.ends_with(".rs"))
        .any(|path| read(root, path).contains(&declaration))
}

/// Whether the document was brought up to date for this source.
fn format_hash(document: &str, hash: &str) -> Option<Finding> {
    let recorded = document.lines().find_map(|line| line.trim().strip_prefix(FORMAT_KEY));
    let how = "bring it up to date by hand, then `cargo xtask tidy --bless-format`";
    match recorded {
        Some(recorded) if recorded.trim() == hash => None,
        Some(_) => Some(Finding::new(FORMAT, 0, format!("{FORMAT_SOURCE} changed: {how}"))),
        None => Some(Finding::new(FORMAT, 0, format!("lacks the line `{FORMAT_KEY}...`: {how}"))),
    }
}

/// BLAKE3 over the names and contents of the files that are no tests, in order.
fn hash(root: &Path, files: &[String]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let is_source = |path: &&String| {
        path.starts_with(FORMAT_SOURCE)
            && path.ends_with(".rs")
            && !path.ends_with("/tests.rs")
            && !path.contains("/tests/")
    };
    for path in files.iter().filter(is_source) {
        let bytes = fs::read(root.join(path)).with_context(|| format!("reading {path}"))?;
        hasher.update(path.as_bytes());
        hasher.update(&[0]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Records the present hash in the document, at its line or at the end.
pub fn bless_format(root: &Path) -> Result<()> {
    let document = fs::read_to_string(root.join(FORMAT)).context(FORMAT)?;
    let blessed = bless(&document, &hash(root, &files(root)?)?);
    fs::write(root.join(FORMAT), blessed).context(FORMAT)
}

fn bless(document: &str, hash: &str) -> String {
    let is_key = |line: &&str| line.trim().starts_with(FORMAT_KEY);
    match document.lines().find(is_key) {
        Some(line) => document.replacen(line, &format!("{FORMAT_KEY}{hash}"), 1),
        None => format!("{}\n\n{FORMAT_KEY}{hash}\n", document.trim_end()),
    }
}

#[cfg(test)]
mod tests;
