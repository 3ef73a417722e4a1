//! Results on standard output: JSON for programs, tables and sentences for people.

pub mod table;
pub mod text;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::{Failure, Kind, Result};

/// How results are shown.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    /// By the options of the command line.
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Shows what was asked for: `value` as JSON, or in the words of `human`.
    pub fn show<T: Serialize>(self, value: &T, human: impl FnOnce(&T) -> String) -> Result {
        if self.json { print_json(value) } else { print(&human(value)) }
    }

    /// Shows what was done. Quiet needs no confirmation in words; `--json` is
    /// asked for by programs, which want the value.
    pub fn confirm<T: Serialize>(self, value: &T, human: impl FnOnce(&T) -> String) -> Result {
        if self.quiet && !self.json { Ok(()) } else { self.show(value, human) }
    }

    /// Whether somebody watches who would like to see progress.
    pub fn watched(self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// Shows a failure on standard error. When even that fails, the exit status
    /// has to do.
    pub fn failure(self, failure: &Failure) {
        // Whoever closed our output wants to hear no more.
        if failure.kind() == Kind::StdoutClosed {
            return;
        }
        let mut stderr = io::stderr().lock();
        let _ = if self.json {
            writeln!(stderr, "{}", failure.to_json())
        } else {
            writeln!(stderr, "{failure}")
        };
    }
}

fn print_json<T: Serialize>(value: &T) -> Result {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::new(Kind::Protocol, format!("cannot write the result as JSON: {error}"))
    })?;
    print(&text)
}

/// Prints `text` and ends its last line. Nothing to say is no line.
pub fn print(text: &str) -> Result {
    let mut stdout = io::stdout().lock();
    let text = text.trim_end();
    if !text.is_empty() {
        writeln!(stdout, "{text}").map_err(Failure::stdout)?;
    }
    stdout.flush().map_err(Failure::stdout)
}
