//! Facts about compaction.
