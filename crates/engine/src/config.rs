//! Settings and figures: plain data.

use std::time::Duration;

/// Limits of the engine. Every cache and queue has one.
#[derive(Clone, Debug)]
pub struct Config {
    /// A hot segment's file, footer included. Default 32 MiB: long enough that a
    /// change of segment is rare, short enough that compaction frees in small steps.
    pub hot_segment_bytes: u64,
    /// Stored bytes after which a cold segment is sealed. Default 32 MiB.
    pub cold_segment_bytes: u64,
    /// Verified, unpacked chunks kept in memory. Default 128 MiB.
    pub chunk_cache_bytes: u64,
    /// Map nodes kept in memory. Default 64 MiB: the map of 256 GiB in 64 KiB extents.
    pub node_cache_bytes: u64,
    /// Slot pages and directories kept in memory. Default 32 MiB.
    pub slot_cache_bytes: u64,
    /// Extents in one volume's overlay at which it asks for a checkpoint. Default
    /// 65 536: a run of 1 MiB for 256 MiB of random writes.
    pub overlay_extents_checkpoint: usize,
    /// Extents in all overlays at which writers wait. Default 2^20, about 50 MiB.
    pub overlay_extents_max: usize,
    /// Log bytes since the oldest unpersisted write at which its volume asks for a
    /// checkpoint: bounds the work of recovery. Default 1 GiB.
    pub log_bytes_checkpoint: u64,
    /// A write that needs room in the log waits so long, when the full segments that may wait
    /// for the pool do, before it fails. Default 30 s: a pool that restarts is back within it.
    pub log_room_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hot_segment_bytes: 32 << 20,
            cold_segment_bytes: 32 << 20,
            chunk_cache_bytes: 128 << 20,
            node_cache_bytes: 64 << 20,
            slot_cache_bytes: 32 << 20,
            overlay_extents_checkpoint: 1 << 16,
            overlay_extents_max: 1 << 20,
            log_bytes_checkpoint: 1 << 30,
            log_room_wait: Duration::from_secs(30),
        }
    }
}

/// What the engine has done since it was opened, and what it holds now.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Bytes of guest data appended to the log.
    pub log_data_bytes: u64,
    /// Bytes of map nodes appended to the log.
    pub log_node_bytes: u64,
    /// Bytes written to the log in all: headers, padding and footers too.
    pub log_bytes: u64,
    /// Batches appended.
    pub log_batches: u64,
    /// Syncs of the log that were asked for.
    pub flushes: u64,
    /// Syncs that were done: fewer, where one served many.
    pub syncs: u64,
    /// Hot segments begun.
    pub log_segments: u64,
    /// Extents in all overlays now.
    pub overlay_extents: u64,
    /// Checkpoints done.
    pub checkpoints: u64,
    /// Runs merged.
    pub runs_merged: u64,
    /// Bytes ingested.
    pub ingest_bytes: u64,
    /// Bytes that ingest found to be stored already.
    pub ingest_duplicate_bytes: u64,
    /// Bytes that ingest stored.
    pub ingest_stored_bytes: u64,
    /// Entries of the sampled index of fingerprints.
    pub dedup_index_entries: u64,
    /// Its memory.
    pub dedup_index_bytes: u64,
    /// Samples that it had no room for.
    pub dedup_index_refused: u64,
    /// Memory of cached fingerprint lists.
    pub dedup_list_bytes: u64,
    /// Footers whose fingerprints could not be read.
    pub dedup_unreadable: u64,
    /// Chunks that were found in the cache.
    pub chunk_hits: u64,
    /// Chunks that were not.
    pub chunk_misses: u64,
    /// Bytes in the chunk cache now.
    pub chunk_cache_bytes: u64,
    /// Bytes in the node cache now.
    pub node_cache_bytes: u64,
    /// Reads that failed verification.
    pub damaged_reads: u64,
    /// Of these, answered from another copy of the segment.
    pub mended_reads: u64,
}
