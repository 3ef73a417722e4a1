//! Scrubbing and checking.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Begins a scrub, or goes on with one that was stopped; one under way gets the new rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartScrub {
    /// Bytes a second at most; without it, as fast as guests let it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// From the front, also when an earlier one was stopped on the way.
    #[serde(default)]
    pub restart: bool,
}

/// How far a scrub is, and what is known to be damaged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Scrub {
    /// One is under way.
    pub running: bool,
    /// When the present or last one began, in ms since 1970.
    pub started_ms: Option<u64>,
    /// When it ended or was stopped.
    pub finished_ms: Option<u64>,
    /// It was stopped before its end; the next one goes on from there.
    pub stopped: bool,
    /// Segments that it has read.
    pub segments: u64,
    /// Bytes that it has read.
    pub bytes: u64,
    /// Bytes that it will have read.
    pub total_bytes: u64,
    /// Copies that were damaged or missing, and that it replaced by whole ones.
    #[serde(default)]
    pub healed: u64,
    /// Bytes a second at most.
    pub rate: Option<u64>,
    /// Why the last one ended early.
    pub problem: Option<String>,
    /// What is wrong with the catalog.
    pub catalog: Vec<String>,
    /// Stored places that are damaged, by this scrub or earlier ones.
    pub damages: Vec<Damage>,
    /// False when there is more damage than is told.
    pub complete: bool,
}

/// Stored bytes that are damaged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Damage {
    /// The segment, in hexadecimal as its file is named; none for the file STORE.
    pub segment: Option<String>,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What they are and what is wrong.
    #[schema(example = "chunk: checksum 1badb002 where 5ca1ab1e is recorded")]
    pub what: String,
    /// When that was found, in ms since 1970.
    pub found_ms: u64,
    /// What cannot be read because of it; empty where no reader needs the bytes.
    pub touches: Vec<Touch>,
}

/// A resource that damage touches.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Touch {
    /// Which, as a SOURCE.
    #[schema(example = "volume:web")]
    pub source: String,
    /// Bytes of it that cannot be read.
    pub bytes: u64,
    /// The first stretches of these.
    pub stretches: Vec<Stretch>,
    /// Its map is damaged: the data may be whole, but nothing leads to it.
    pub map: bool,
}

/// A stretch of a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Stretch {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
}

/// What a check found. Empty for a consistent store.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// One by one.
    pub findings: Vec<Finding>,
}

/// An inconsistency.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What kind, for programs.
    #[schema(example = "segment-missing")]
    pub kind: String,
    /// `damage`, `leak` or `note`.
    pub severity: String,
    /// Which resource, segment or file.
    #[schema(example = "image:debian-12")]
    pub resource: String,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do.
    pub remedy: String,
}
