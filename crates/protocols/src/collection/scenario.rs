//! The scenarios that are searched: few actors each, so that every order of them fits.

use super::Config;

impl Config {
    /// Ingests against names that go, collections and crashes.
    pub const fn ingests(hosts: usize) -> Self {
        Self { ids: 4, binders: 1, crashes: 1, rescues: 1, ..Self::idle(hosts) }
    }

    /// Readers, and binds of what they hold.
    pub const fn readers(hosts: usize) -> Self {
        Self { ids: 4, binders: 1, clones: true, readers: true, ..Self::idle(hosts) }
    }

    /// A log, overwrites, checkpoints and merges.
    pub const fn checkpoints(hosts: usize) -> Self {
        Self { ids: 2 * hosts + 1, names: 0, logs: true, ..Self::idle(hosts) }
    }

    /// Compaction against ingests.
    pub const fn compaction(hosts: usize) -> Self {
        Self { ids: 4, compaction: true, binders: 1, ..Self::idle(hosts) }
    }

    /// Compaction that shares stored chunks, its own carriers as victims, and readers.
    pub const fn carriers(hosts: usize) -> Self {
        Self {
            ids: 4,
            marks: 3,
            names: 1,
            compaction: true,
            shares: true,
            readers: true,
            ..Self::idle(hosts)
        }
    }

    /// Compaction of a log, beside merges of its maps.
    pub const fn merges(hosts: usize) -> Self {
        Self { ids: 2 * hosts + 2, names: 0, logs: true, compaction: true, ..Self::idle(hosts) }
    }

    /// All of it at once; only for long searches.
    pub const fn everything(hosts: usize) -> Self {
        Self {
            ids: 2 + 2 * hosts + 3,
            collectors: 2,
            binders: hosts,
            clones: true,
            readers: true,
            logs: true,
            compaction: true,
            shares: true,
            crashes: 1,
            rescues: 1,
            ..Self::idle(hosts)
        }
    }

    /// Every scenario by its name.
    pub fn named(name: &str, hosts: usize) -> Option<Self> {
        Some(match name {
            "ingests" => Self::ingests(hosts),
            "readers" => Self::readers(hosts),
            "checkpoints" => Self::checkpoints(hosts),
            "compaction" => Self::compaction(hosts),
            "carriers" => Self::carriers(hosts),
            "merges" => Self::merges(hosts),
            "everything" => Self::everything(hosts),
            _ => return None,
        })
    }
}
