//! Maps from bytes: log, overlay, map runs, ingest with deduplication, verified reads, recovery.
