//! What is fuzzed: one body for every decoder of bytes that the program did not
//! just write.
//!
//! A body takes any bytes, gives them to a decoder, and panics when a promise is
//! broken: the decoder panicked, or what it accepted does not hold together. The
//! same bodies run in two ways:
//!
//! * `tests/smoke.rs`, an ordinary test: every body over its corpus and over
//!   changes to it that a seed decides, with an allocator that refuses what is out
//!   of proportion to the input;
//! * `fuzz/`, a crate outside the workspace: libFuzzer, which is guided by what the
//!   code does with the bytes (`cargo xtask fuzz`).
//!
//! # To add a decoder
//! Write its body in [`targets`], list it in [`TARGETS`], give it seeds in
//! [`seeds`], and add `fuzz/fuzz_targets/NAME.rs` and its `[[bin]]`. The smoke test
//! says what is missing. `cargo run -p archipelago-fuzzing --example seeds` writes
//! the seeds to `fuzz/corpus`.

pub mod mend;
pub mod mutate;
pub mod seeds;
pub mod targets;

use targets::{api, block, engine, format, gateway, image, model};

/// A body and what is expected of it.
#[derive(Clone, Copy)]
pub struct Target {
    /// As the files of `fuzz/` are called.
    pub name: &'static str,
    /// Gives any bytes to the decoder.
    pub body: fn(&[u8]),
    /// Longer inputs say nothing new, in bytes.
    pub input_bytes_max: usize,
    /// The longest single allocation that is in order whatever the input, in bytes;
    /// each byte of input allows 64 more.
    pub allocation_bytes_max: usize,
    /// How many changed inputs the smoke test tries.
    pub mutations: u32,
}

/// A decoder that allocates nothing but what it returns.
const fn pure(name: &'static str, body: fn(&[u8])) -> Target {
    Target {
        name,
        body,
        input_bytes_max: 64 << 10,
        // Names in errors, and the test's own words.
        allocation_bytes_max: 64 << 10,
        mutations: 40_000,
    }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    pure("segment_header", format::segment_header),
    pure("slot_page", format::slot_page),
    pure("directory", format::directory),
    pure("trailer", format::trailer),
    pure("footer_records", format::footer_records),
    pure("fingerprints", format::fingerprints),
    pure("forwarding", format::forwarding),
    pure("backup", format::backup),
    pure("map_node", format::map_node),
    pure("batch_header", format::batch_header),
    pure("store_file", format::store_file),
    Target {
        // A payload of 1 MiB is allocated as soon as its record's header was verified.
        allocation_bytes_max: 2 << 20,
        ..pure("transfer_stream", format::transfer_stream)
    },
    pure("names", model::names),
    pure("sizes", model::sizes),
    pure("nbd_options", block::options),
    pure("nbd_requests", block::requests),
    Target {
        input_bytes_max: 8 << 10,
        // A request may have 64 MiB of payload, which is allocated before it has come.
        allocation_bytes_max: 65 << 20,
        mutations: 6_000,
        ..pure("nbd_session", block::session)
    },
    pure("api_json", api::json),
    Target {
        input_bytes_max: 16 << 10,
        // The store that answers: the hash of a password asks for 33 MiB.
        allocation_bytes_max: 34 << 20,
        mutations: 6_000,
        ..pure("http_request", gateway::request)
    },
    Target {
        // The descriptor of a VMDK is read into 1 MiB.
        allocation_bytes_max: 2 << 20,
        mutations: 20_000,
        ..pure("image_headers", image::headers)
    },
    Target {
        // A cluster, of 2 MiB at most.
        allocation_bytes_max: 3 << 20,
        mutations: 20_000,
        ..pure("image_layout", image::layout)
    },
    Target {
        // A cluster, of 2 MiB at most, and what it is copied through.
        allocation_bytes_max: 16 << 20,
        mutations: 20_000,
        ..pure("image_qcow2", image::qcow2)
    },
    Target {
        // A chunk has 16 MiB at most; its slot may say so.
        allocation_bytes_max: 17 << 20,
        mutations: 15_000,
        ..pure("segment_recovery", engine::recovery)
    },
];

/// The target of that name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
