//! What a process used, from /proc, and what a folder holds.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Clock ticks in a second in /proc/PID/stat: fixed on Linux for programs of users.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has used.
pub fn cpu_seconds(id: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    ticks(&text, [11, 12])
}

/// Seconds of processor time of all programs that we ran and waited for.
pub fn children_cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    ticks(&text, [13, 14])
}

/// Adds up fields counted from behind the name, which may have blanks in it.
fn ticks(stat: &str, fields: [usize; 2]) -> Result<f64> {
    let (_, rest) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let mut sum = 0.0;
    for field in fields {
        let word = words.get(field).context("/proc/PID/stat is short")?;
        sum += word.parse::<f64>().context("/proc/PID/stat")?;
    }
    Ok(sum / TICKS)
}

/// A line of /proc/PID/status in MiB, such as `VmRSS`.
pub fn memory_mib(id: u32, line: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/status"))?;
    kib(&text, line).map(|kib| kib / 1024.0).with_context(|| format!("no {line} of {id}"))
}

fn kib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Bytes of disk below a folder.
pub fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        // A file may go while we look, such as SQLite's journal.
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        sum +=
            if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
