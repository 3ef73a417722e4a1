//! The daemon's settings under load: everything small and everything soon, so that a
//! short run changes segments, checkpoints and collects many times.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// What the daemon's settings file may say, as its own example shows.
const EXAMPLE: &str = include_str!("../../../node/example.toml");

/// Segments of 1 MiB are changed every few hundred writes; the caches are too small to hide what
/// is stored; overlays reach the maps within moments.
const SETTINGS: &str = "\
[log]
filter = \"warn\"
[cache]
chunks = \"1M\"
nodes = \"1M\"
slots = \"1M\"
[checkpoint]
interval_ms = 150
log = \"4M\"
[segments]
hot = \"1M\"
cold = \"1M\"
";

/// The collector never rests, and nothing it condemned is kept for long.
const COLLECTOR: &str = "[collector]\ninterval_ms = 20\ngrace_ms = 50\n";

/// Whether this daemon has a collector.
pub fn collector_exists() -> bool {
    EXAMPLE.lines().any(|line| line.trim() == "[collector]")
}

/// Writes the settings into a folder and returns the file.
pub fn settings(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("settings.toml");
    let collector = if collector_exists() { COLLECTOR } else { "" };
    std::fs::write(&path, format!("{SETTINGS}{collector}"))?;
    Ok(path)
}
