//! Rules about the shape of the tree that neither rustfmt nor clippy knows.
//!
//! A rule is a function from a source (or the whole tree) to findings, with
//! tests of its own. Rules that read one file are in [`code`], those that read
//! documents in [`documents`].

mod code;
mod documents;
mod ratchet;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use source::Source;

/// A tracked file may have at most this many bytes: test data is made, not stored.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Something that breaks a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Finding {
    /// Of the tree, with `/`.
    path: String,
    /// Counted from 1; 0 for the file as a whole.
    line: usize,
    message: String,
    /// Printed, but the check passes.
    warning: bool,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into(), warning: false }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.warning { " (warning)" } else { "" };
        write!(f, "{}:{}: {}{word}", self.path, self.line, self.message)
    }
}

/// Prints what breaks a rule and fails when anything does.
pub fn run(root: &Path) -> Result<()> {
    let found = check(root)?;
    for finding in &found {
        println!("tidy: {finding}");
    }
    let errors = found.iter().filter(|finding| !finding.warning).count();
    if errors > 0 {
        bail!("{errors} findings");
    }
    Ok(())
}

/// Records the present hash of the format crate in its document.
pub fn bless_format(root: &Path) -> Result<()> {
    documents::bless_format(root)
}

fn check(root: &Path) -> Result<Vec<Finding>> {
    let files = files(root)?;
    let (mut found, sources) = sources(root, &files)?;
    let mut long = Vec::new();
    for source in &sources {
        found.extend(code::RULES.iter().flat_map(|rule| rule(source)));
        long.extend(code::long_functions(source));
    }
    let list = fs::read_to_string(root.join(ratchet::LIST)).context(ratchet::LIST)?;
    found.extend(ratchet::check(&list, &long));
    for path in &files {
        let size = fs::metadata(root.join(path))?.len();
        found.extend(too_big(path, size));
    }
    found.extend(documents::check(root, &files)?);
    Ok(found)
}

/// The Rust files, each knowing whether it is test code, and what is wrong with their names and
/// syntax.
fn sources(root: &Path, files: &[String]) -> Result<(Vec<Finding>, Vec<Source>)> {
    let (mut found, mut sources) = (Vec::new(), Vec::new());
    for path in files.iter().filter(|path| is_rust(path)) {
        found.extend(code::name(path));
        let text =
            fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))?;
        match Source::parse(path, &text) {
            Ok(source) => sources.push(source),
            Err(error) => found.push(Finding::new(path, 0, format!("does not parse: {error}"))),
        }
    }
    let test_files: BTreeSet<String> = sources.iter().flat_map(Source::test_files).collect();
    for source in sources.iter_mut().filter(|source| test_files.contains(&source.path)) {
        source.mark_test();
    }
    Ok((found, sources))
}

fn is_rust(path: &str) -> bool {
    path.starts_with("crates/") && path.ends_with(".rs")
}

fn too_big(path: &str, size: u64) -> Option<Finding> {
    let message = || format!("{size} bytes, at most {FILE_BYTES_MAX} may be tracked");
    (size > FILE_BYTES_MAX).then(|| Finding::new(path, 0, message()))
}

/// The files that are tracked or would be: whatever is not ignored. Sorted, with `/`.
fn files(root: &Path) -> Result<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(arguments).current_dir(root).output();
    let output = output.context("cannot start git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut files: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    // A file that is tracked but deleted in the work tree has nothing to check.
    files.retain(|path| root.join(path).is_file());
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

#[cfg(test)]
mod tests;
