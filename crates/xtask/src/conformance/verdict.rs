//! What a run of pytest says, against the list of what passed once.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

/// What came of the tests of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Names of those that passed.
    pub passed: BTreeSet<String>,
    pub failed: usize,
    pub errors: usize,
    pub skipped: usize,
}

impl Outcome {
    /// One line.
    pub fn figures(&self) -> String {
        let Self { passed, failed, errors, skipped } = self;
        format!("{} passed, {failed} failed, {errors} errors, {skipped} skipped", passed.len())
    }

    /// What is known to pass, and did not.
    pub fn lost(&self, known: &BTreeSet<String>) -> Vec<String> {
        known.difference(&self.passed).cloned().collect()
    }

    /// As it is kept: a name a line.
    pub fn text(&self) -> String {
        self.passed.iter().map(|name| format!("{name}\n")).collect()
    }
}

/// Names of a list.
pub fn names(text: &str) -> BTreeSet<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Reads the short summary, in which a passed test has a line of its own. A run without one is
/// no run.
pub fn read(text: &str, folder: &str) -> Result<Outcome> {
    let start = text.rfind("short test summary info").unwrap_or_default();
    let mut outcome = Outcome::default();
    for line in text[start..].lines() {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        match word {
            "PASSED" => {
                outcome.passed.insert(name_of(rest, folder));
            }
            "FAILED" => outcome.failed += 1,
            "ERROR" => outcome.errors += 1,
            // `SKIPPED [3] file: why`
            "SKIPPED" => outcome.skipped += count(rest),
            _ => {}
        }
    }
    ensure!(
        !outcome.passed.is_empty() || outcome.failed + outcome.errors + outcome.skipped > 0,
        "the run has no summary: {}",
        text.lines().last().unwrap_or_default()
    );
    Ok(outcome)
}

fn count(rest: &str) -> usize {
    let number = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    number.and_then(|(number, _)| number.parse().ok()).unwrap_or(1)
}

/// `test/functional/tests.py::TestFile::testCopy` is `tests::TestFile::testCopy`.
fn name_of(test: &str, folder: &str) -> String {
    let test = test.strip_prefix(folder).unwrap_or(test).trim_start_matches('/');
    test.replacen(".py::", "::", 1)
}

/// The other way.
pub fn test_of(name: &str, folder: &str) -> String {
    format!("{folder}/{}", name.replacen("::", ".py::", 1))
}

#[cfg(test)]
mod tests;
