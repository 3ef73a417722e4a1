//! Deterministic simulation: a disk that loses what was not synced, and a reference model.
