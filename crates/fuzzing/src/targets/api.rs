//! JSON of the HTTP API: what servers get from clients, and clients from servers.

use archipelago_api as api;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn parse<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        let again = serde_json::to_vec(&value).expect("it was JSON before");
        assert_eq!(serde_json::from_slice::<T>(&again).ok(), Some(value));
    }
}

/// Any of the types.
pub fn json(bytes: &[u8]) {
    // Requests.
    parse::<api::CreateVolumes>(bytes);
    parse::<api::RenameVolume>(bytes);
    parse::<api::ResizeVolume>(bytes);
    parse::<api::CreateSnapshots>(bytes);
    // Answers.
    parse::<api::Volumes>(bytes);
    parse::<api::Volume>(bytes);
    parse::<api::Snapshots>(bytes);
    parse::<api::Images>(bytes);
    parse::<api::Files>(bytes);
    parse::<api::Diff>(bytes);
    parse::<api::Usage>(bytes);
    parse::<api::Status>(bytes);
    parse::<api::Health>(bytes);
    parse::<api::Error>(bytes);
}
