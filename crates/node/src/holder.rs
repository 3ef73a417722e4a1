//! Who holds the lock of a folder, for the message of the second daemon.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The name of the lock file in the folder of a store.
const LOCK: &str = "LOCK";

/// The process that holds the lock of `data`, when the system tells.
pub(crate) fn of(data: &Path) -> Option<u32> {
    let inode = std::fs::metadata(data.join(LOCK)).ok()?.ino();
    in_table(&std::fs::read_to_string("/proc/locks").ok()?, inode)
}

/// Looks into the text of `/proc/locks`, whose lines are as
/// `2: FLOCK  ADVISORY  WRITE 4711 fe:00:1312 0 EOF`.
fn in_table(table: &str, inode: u64) -> Option<u32> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Lines with an arrow are of those who wait.
        let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else { return None };
        let found: u64 = file.rsplit(':').next()?.parse().ok()?;
        if found == inode { pid.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests;
