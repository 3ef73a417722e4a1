//! The local HTTP API, metrics and health.
