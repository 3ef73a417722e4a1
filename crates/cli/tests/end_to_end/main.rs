//! The built program against a daemon of its own: what each verb does, prints,
//! and returns. What the store does with it is proven in `conformance`.

mod deltas;
mod files;
mod images;
mod listings;
mod sharing;
mod site;
mod snapshots;
mod sync;
mod volumes;
