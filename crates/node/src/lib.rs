//! The host daemon: configuration, start, signals, shutdown.
