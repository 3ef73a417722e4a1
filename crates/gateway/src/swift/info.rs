//! What this door can do, with its limits: `GET /info`.

use archipelago_model::VOLUME_BYTES_MAX;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::App;

/// Bytes of a name, as Swift has it.
pub(super) const CONTAINER_NAME_BYTES_MAX: usize = 256;
pub(super) const OBJECT_NAME_BYTES_MAX: usize = 1024;
/// Entries of a listing, and how many come when nobody says.
pub(super) const LISTING_MAX: usize = 10_000;
/// Metadata, as Swift has it: bytes of a name and of a value, how many, bytes together.
pub(super) const META_NAME_BYTES_MAX: usize = 128;
pub(super) const META_VALUE_BYTES_MAX: usize = 256;
pub(super) const META_COUNT_MAX: usize = 90;
pub(super) const META_BYTES_MAX: usize = 4096;
/// Segments that a manifest names, and its bytes, as Swift has it.
pub(super) const MANIFEST_SEGMENTS_MAX: usize = 1000;
pub(super) const MANIFEST_BYTES_MAX: usize = 8 << 20;
/// Removals in one request: each is a transaction of its own.
pub(super) const DELETES_MAX: usize = 1000;

/// The one storage policy: there is one pool.
pub(super) const POLICY: &str = "default";

pub(super) async fn show(State(app): State<App>) -> Json<Value> {
    let mut info = info();
    if app.domains.has_swift() {
        info["domain_remap"] = json!({"default_reseller_prefix": "AUTH"});
    }
    Json(info)
}

fn info() -> Value {
    json!({
        "swift": {
            "version": env!("CARGO_PKG_VERSION"),
            "account_autocreate": false,
            "account_listing_limit": LISTING_MAX,
            "allow_account_management": false,
            "allow_open_expired": false,
            "container_listing_limit": LISTING_MAX,
            "extra_header_count": 0,
            "max_account_name_length": 256,
            "max_container_name_length": CONTAINER_NAME_BYTES_MAX,
            "max_file_size": VOLUME_BYTES_MAX,
            "max_header_size": 8192,
            "max_meta_count": META_COUNT_MAX,
            "max_meta_name_length": META_NAME_BYTES_MAX,
            "max_meta_overall_size": META_BYTES_MAX,
            "max_meta_value_length": META_VALUE_BYTES_MAX,
            "max_object_name_length": OBJECT_NAME_BYTES_MAX,
            "policies": [{"name": POLICY, "default": true, "aliases": POLICY}],
            "strict_cors_mode": true,
            "valid_api_versions": ["v1", "v1.0"],
        },
        "account_quotas": {},
        "container_quotas": {},
        "bulk_delete": {
            "max_deletes_per_request": DELETES_MAX,
            "max_failed_deletes": DELETES_MAX,
        },
        "dlo": {"max_segments": super::segments::PIECES_MAX},
        "slo": {
            "allow_async_delete": false,
            "max_manifest_segments": MANIFEST_SEGMENTS_MAX,
            "max_manifest_size": MANIFEST_BYTES_MAX,
            "min_segment_size": 1,
        },
        "tempurl": {
            "allowed_digests": ["sha1", "sha256", "sha512"],
            "incoming_allow_headers": [],
            "incoming_remove_headers": [],
            "methods": ["GET", "HEAD", "PUT", "POST", "DELETE"],
            "outgoing_allow_headers": ["x-object-meta-public-*"],
            "outgoing_remove_headers": ["x-object-meta-*"],
        },
        "tempauth": {"account_acls": true},
        "staticweb": {},
        "symlink": {"symloop_max": super::link::LINKS_MAX, "static_links": true},
        "object_versioning": {},
        "versioned_writes": {
            "allowed_flags": ["x-versions-location", "x-history-location"],
        },
    })
}
