//! The command line of the built binary, as a user calls it.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::program::{Output, Program};

/// The command line, pointed at one daemon.
#[derive(Clone)]
pub struct Cli {
    binary: PathBuf,
    endpoint: String,
}

impl Cli {
    /// The binary at `binary`, speaking to `endpoint`.
    pub fn new(binary: PathBuf, endpoint: String) -> Self {
        Self { binary, endpoint }
    }

    /// A command, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Program {
        Program::at(&self.binary).args(arguments).env("ARCHIPELAGO_ENDPOINT", &self.endpoint)
    }

    /// Runs a command that must succeed.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments).run()
    }

    /// Runs a command with `--json` and reads what it printed.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        self.command(arguments).args(["--json"]).json()
    }

    /// Runs a command that must fail with exit code 1, and returns what it said on stderr.
    pub fn fails(&self, arguments: &[&str]) -> Result<String> {
        self.refuses(arguments, 1)
    }

    /// Runs a command that must end with an exit code, without a panic, saying why.
    pub fn refuses(&self, arguments: &[&str], code: i32) -> Result<String> {
        let Output { status, stderr, .. } = self.command(arguments).output()?;
        ensure!(status.code() == Some(code), "{arguments:?}: {status}, not {code}: {stderr}");
        ensure!(!stderr.trim().is_empty(), "{arguments:?} failed and said nothing");
        ensure!(!stderr.contains("panicked"), "{arguments:?} panicked: {stderr}");
        Ok(stderr)
    }

    /// The names of a listing, such as of `["volume", "ls"]`.
    pub fn names(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let listing = self.json(arguments)?;
        let rows = match &listing {
            Value::Object(fields) => fields.values().find_map(Value::as_array),
            other => other.as_array(),
        };
        let names = rows.into_iter().flatten().filter_map(|row| row["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Bytes that the store holds on its disk, as `df` says.
    pub fn figure(&self, name: &str) -> Result<u64> {
        let df = self.json(&["df"])?;
        let found = find(&df, name).and_then(Value::as_u64);
        found.ok_or_else(|| anyhow::anyhow!("df has no figure {name}: {df}"))
    }
}

/// The first field of a name, at any depth.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => {
            fields.get(name).or_else(|| fields.values().find_map(|value| find(value, name)))
        }
        Value::Array(values) => values.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}
