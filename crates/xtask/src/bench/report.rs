//! What a section of the benchmark found: tables for people, samples for
//! programs, targets with a verdict.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A section of the document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// How `--only` names it.
    pub key: String,
    /// Its heading.
    pub title: String,
    /// How it was measured, a paragraph each.
    pub text: Vec<String>,
    /// What was measured.
    pub tables: Vec<Table>,
    /// What should have been reached.
    pub targets: Vec<Target>,
    /// Every sample.
    pub raw: Value,
    /// When, where and how; filled in by the run.
    #[serde(default)]
    pub stamp: Stamp,
}

/// The conditions of a section's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// `2026-11-20 21:00 UTC`
    pub date: String,
    /// The commit of the working tree, with `+` when it had changes.
    pub commit: String,
    /// Processor, memory, kernel, disk.
    pub machine: String,
    /// The command that was run.
    pub command: String,
    /// How busy the machine was with other things when the section began: load, 1 minute.
    pub load: String,
    /// How long the section took, in seconds.
    pub seconds: f64,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What it shows, and in which unit.
    pub caption: String,
    /// The heads of the columns.
    pub header: Vec<String>,
    /// The rows, as long as the header.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(caption: &str, header: &[&str]) -> Self {
        let header = header.iter().map(|text| (*text).to_owned()).collect();
        Self { caption: caption.to_owned(), header, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// A figure that design.md section 7 or the issue asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What is measured.
    pub what: String,
    /// What it should be.
    pub wanted: String,
    /// What it is.
    pub got: String,
    /// Whether that is enough.
    pub met: bool,
}

impl Target {
    /// A ratio that should be at least `wanted`; `None` when nothing was measured.
    pub fn at_least(what: &str, wanted: f64, got: Option<f64>) -> Self {
        Self {
            what: what.to_owned(),
            wanted: format!(">= {wanted}"),
            got: got.map_or("not measured".to_owned(), |got| format!("{got:.2}")),
            met: got.is_some_and(|got| got >= wanted),
        }
    }

    /// A figure that should be below `wanted`.
    pub fn below(what: &str, unit: &str, wanted: f64, got: Option<f64>) -> Self {
        Self {
            what: what.to_owned(),
            wanted: format!("< {wanted} {unit}").trim_end().to_owned(),
            got: got.map_or("not measured".to_owned(), |got| {
                format!("{got:.2} {unit}").trim_end().to_owned()
            }),
            met: got.is_some_and(|got| got < wanted),
        }
    }
}
