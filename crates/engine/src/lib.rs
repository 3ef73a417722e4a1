//! Maps from bytes: log, overlay, map runs, ingest with deduplication, verified
//! reads, recovery.
//!
//! # How it hangs together
//! A guest's write is appended to the log ([`log`]) and named in its volume's
//! overlay ([`overlay`]); a checkpoint ([`checkpoint`]) turns overlays into runs
//! of a persistent map ([`map`]). Bulk data goes by [`ingest`] into dense,
//! deduplicated segments. Every read goes through [`segments`], which verifies.
//!
//! # Architecture invariants
//! - The engine knows no names, tenants or protocols; volumes are numbers and maps
//!   are locations of roots.
//! - No thread is started here and no time is read but through `env`: callers
//!   bring the background ([`Engine::checkpoint_due`]).
//! - Only [`Durable`] values leave for the catalog to bind.

mod account;
mod backup;
mod checkpoint;
mod choice;
mod collect;
mod compact;
mod config;
mod engine;
mod error;
mod guest;
mod ingest;
mod inspect;
mod log;
mod map;
mod mark;
mod overlay;
mod pins;
mod pressure;
mod rebase;
mod replay;
mod scrub;
mod segments;
mod splice;
#[cfg(test)]
mod testing;
mod trace;
mod view;
mod volume;

pub use account::{Account, Accounts};
pub use archipelago_format::segment::SegmentKind;
pub use backup::{Backup, BackupBytes, Footer, Salvage};
pub use checkpoint::{Checkpoint, Cut};
pub use choice::{Candidate, Choice, Urgency, choose};
pub use compact::{CompactStats, Compacted, Job, Share, Victim};
pub use config::{Config, Counters};
pub use engine::{Copies, Doubt, Engine, Options, Recovery};
pub use error::{Durable, Error};
pub use guest::GuestLoad;
pub use ingest::{IngestError, IngestStats, Ingested, Piece, PieceError};
pub use inspect::{MapFault, MapFaultKind};
pub use map::StatusRange;
pub use mark::{Horizon, Live, Mark};
pub use pins::{Fresh, Pin};
pub use rebase::{Content, Edit, Rebased};
pub use scrub::{Damage, Lost, Pace, ScrubbedSegment};
pub use segments::{SegmentIds, SegmentInfo};
pub use splice::{Move, NextMove, Stretch};
pub use trace::{Touched, Trace, Traced};
pub use view::View;
pub use volume::{ChangedRange, Head, Volume, Write};
