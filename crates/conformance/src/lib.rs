//! Real clients as processes against the built binary.
