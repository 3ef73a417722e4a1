//! What findings mean: why each matters, and what to do.

use archipelago_engine::MapFaultKind;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Something cannot be read, or will be overwritten.
    Damage,
    /// Space is taken for nothing.
    Leak,
    /// Nothing is at risk.
    Note,
}

impl Severity {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Damage => "damage",
            Self::Leak => "leak",
            Self::Note => "note",
        }
    }
}

/// What is inconsistent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FindingKind {
    /// The store cannot be opened.
    Opening,
    /// The catalog's file, references or rows.
    Catalog,
    /// The file `STORE`.
    StoreFile,
    /// An id of a segment would be given again.
    NextSegment,
    /// An id of a resource would be given again.
    NextId,
    /// Recovery would begin too late.
    LogFloor,
    /// A container or an account counts something else than it holds.
    Count,
    /// A lease of a term that the volume has not had.
    Lease,
    /// An S3 key whose secret does not open.
    SecretKey,
    /// A sealed segment without a file.
    Missing,
    /// A backup of the catalog that cannot be read.
    Backup,
    /// The catalog and a segment disagree on its size.
    Size,
    /// A footer that cannot be read.
    Footer,
    /// A forwarded segment without a table.
    Carrier,
    /// A file without a row.
    Orphan,
    /// Something is wrong with a segment that nobody names.
    Unnamed,
    /// A segment of the log that recovery could not read, and kept.
    Torn,
    /// A root that cannot be read, or is none.
    Root,
    /// A map node that cannot be read.
    Node,
    /// A map names a segment that is not there.
    NamesMissing,
    /// A map names a condemned segment.
    NamesCondemned,
    /// A map names positions that a segment does not have.
    NamesBehind,
    /// A map names what was moved, and no table tells where.
    NamesUnforwarded,
    /// A map names bytes behind the end of its resource.
    BeyondSize,
    /// The dedup index knows a segment that is gone.
    Index,
}

impl FindingKind {
    pub(super) const fn of_map(kind: MapFaultKind) -> Self {
        match kind {
            MapFaultKind::Root => Self::Root,
            MapFaultKind::Node => Self::Node,
            MapFaultKind::Missing => Self::NamesMissing,
            MapFaultKind::Condemned => Self::NamesCondemned,
            MapFaultKind::Behind => Self::NamesBehind,
            MapFaultKind::Unforwarded => Self::NamesUnforwarded,
            MapFaultKind::BeyondSize => Self::BeyondSize,
        }
    }

    /// In a word or two, for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Catalog => "catalog",
            Self::StoreFile => "store-file",
            Self::NextSegment => "next-segment",
            Self::NextId => "next-id",
            Self::LogFloor => "log-floor",
            Self::Count => "count",
            Self::Lease => "lease",
            Self::SecretKey => "secret-key",
            Self::Missing => "segment-missing",
            Self::Backup => "backup-lost",
            Self::Size => "segment-size",
            Self::Footer => "segment-footer",
            Self::Carrier => "carrier",
            Self::Orphan => "orphan",
            Self::Unnamed => "segment-unnamed",
            Self::Torn => "torn",
            Self::Root => "root",
            Self::Node => "node",
            Self::NamesMissing => "names-missing",
            Self::NamesCondemned => "names-condemned",
            Self::NamesBehind => "names-behind",
            Self::NamesUnforwarded => "names-unforwarded",
            Self::BeyondSize => "beyond-size",
            Self::Index => "index",
        }
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Orphan | Self::Unnamed => Severity::Leak,
            Self::Torn | Self::Index | Self::BeyondSize => Severity::Note,
            _ => Severity::Damage,
        }
    }

    /// Why it matters.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Opening => "no resource of the store can be reached",
            Self::Catalog => "names, heads and segments that it tells of may be wrong or missing",
            Self::StoreFile => "the store does not open again once it is closed",
            Self::NextSegment => "new data would be written under the name of old data",
            Self::NextId => "a new resource would get the writes that were meant for an old one",
            Self::LogFloor => "a restart would pass over writes that were acknowledged",
            Self::Count => "its quota lets too much in or keeps it out; nothing is lost",
            Self::Lease => "its holder's writes and those of the next one are not told apart",
            Self::SecretKey => "requests that are signed with it fail",
            Self::Missing => "what is named of it cannot be read",
            Self::Backup => {
                "it holds a copy of the catalog and nothing else: no data is lost, but a rebuild would have to do without it"
            }
            Self::Size => "the file was cut or replaced, or the catalog is older than the pool",
            Self::Footer => "nothing in the segment can be found",
            Self::Carrier => "what was moved out of the segment cannot be found any more",
            Self::Orphan => "it takes space and nothing names it; a crash may have left it",
            Self::Unnamed => "it takes space; what is wrong with it touches nothing",
            Self::Torn => {
                "a crash cut off the first write to it, which nobody had flushed; or what was flushed is damaged"
            }
            Self::Root => "the resource cannot be opened",
            Self::Node => "a part of the resource cannot be read",
            Self::NamesMissing => "these bytes of the resource are gone",
            Self::NamesCondemned => "the collector is about to remove what the resource needs",
            Self::NamesBehind => "these bytes of the resource were never stored, or were cut off",
            Self::NamesUnforwarded => "these bytes of the resource were moved and cannot be found",
            Self::BeyondSize => "bytes that were cut off would come back when it grows",
            Self::Index => "an import looks for duplicates there in vain",
        }
    }

    /// What to do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Opening | Self::Catalog | Self::NextSegment | Self::NextId => {
                "stop the server, keep a copy of the folder; if the catalog is damaged, make it anew: \
                 `archipelago rebuild --force --data DIR`"
            }
            Self::Count => {
                "stop the server and let `archipelago rebuild --force --data DIR` count anew; report \
                 this defect"
            }
            Self::StoreFile => "put STORE back from a copy before the server is stopped",
            Self::LogFloor => {
                "let all volumes be persisted (stop the server in peace), and check again"
            }
            Self::Lease => "detach the volume and attach it again: the next term is a new one",
            Self::SecretKey => {
                "put secret.key back from a copy, or remove the key and make a new one: \
                 `archipelago user key rm`"
            }
            Self::Missing | Self::Size | Self::Footer | Self::Carrier => {
                "put the file of the segment back from a copy; `archipelago scrub` tells what it touches"
            }
            Self::Backup => {
                "nothing, but look after the disk: a new backup, made within seconds, takes its place; check again"
            }
            Self::Orphan | Self::Unnamed => "nothing: `archipelago gc` removes it",
            Self::Torn => {
                "if flushed writes are missing, copy the file away; the first collection after the next start removes it"
            }
            Self::Root | Self::Node => {
                "restore the resource from a copy, or from a snapshot that is not named here"
            }
            Self::NamesMissing | Self::NamesBehind | Self::NamesUnforwarded => {
                "restore this range of the resource from a copy, then remove the damaged one"
            }
            Self::NamesCondemned => {
                "stop collecting ([collector] interval_ms = 0), keep a copy of the folder, report this defect"
            }
            Self::BeyondSize => "nothing, unless it is grown: then write zeros there",
            Self::Index => "nothing: it is gone with the next start",
        }
    }
}

/// One inconsistency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What is inconsistent.
    pub kind: FindingKind,
    /// Which resource, segment or file.
    pub resource: String,
    /// What was found.
    pub what: String,
}
