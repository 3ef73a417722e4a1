//! The bodies, by the crate whose decoders they call.

pub mod api;
pub mod block;
pub mod engine;
pub mod format;
pub mod gateway;
pub mod image;
pub mod model;
