//! What must hold, and what must be possible so that it does not hold for nothing.

use stateright::Property;

use super::{Config, Role, State};

/// The promise to the guest.
pub const KEPT: &str = "a take-over finds every acknowledged write";
/// The promise to whoever reads.
pub const SEEN: &str = "who may answer has every acknowledged write";
/// What was not there does not appear.
pub const NO_GHOST: &str = "a write that a take-over did not find never appears";
/// Fencing.
pub const HEADS: &str = "no head of an older epoch is published";
/// An epoch is one host's.
pub const ONE_WRITER: &str = "all writes of an epoch in a published state are of one host";
/// The pause that all this is about does occur.
pub const LATE: &str = "a write arrives after its volume was taken over";
/// Take-over moves data.
pub const TAKEN_OVER: &str = "an acknowledged write of another host is served";
/// A checkpoint comes too late.
pub const FENCED: &str = "a checkpoint of an older epoch waits for its commit";

pub(super) fn all() -> Vec<Property<Config>> {
    vec![
        Property::always(KEPT, |_, state: &State| state.acknowledged & !state.found(u8::MAX) == 0),
        Property::always(SEEN, |config: &Config, state: &State| {
            owners(state)
                .all(|(host, has, _)| !config.good(state, host) || state.acknowledged & !has == 0)
        }),
        Property::always(NO_GHOST, |_, state: &State| {
            owners(state)
                .all(|(_, has, epoch)| epoch != state.epoch || state.found(u8::MAX) & !has == 0)
        }),
        Property::always(HEADS, |_, state: &State| !state.stale_head),
        Property::always(ONE_WRITER, one_writer),
        Property::sometimes(LATE, |_, state: &State| {
            state.sent.iter().enumerate().any(|(at, record)| {
                let bit = 1 << at;
                record.epoch < state.cut.0 && state.arrived & bit != 0 && state.cut.1 & bit == 0
            })
        }),
        Property::sometimes(TAKEN_OVER, |_, state: &State| {
            owners(state).any(|(host, has, _)| {
                state.sent.iter().enumerate().any(|(at, record)| {
                    record.host != host && state.acknowledged & has & (1 << at) != 0
                })
            })
        }),
        Property::sometimes(FENCED, |_, state: &State| {
            state.hosts.iter().any(|host| {
                host.epoch < state.epoch
                    && matches!(host.role, Role::Owner { checkpoint: Some(_), .. })
            })
        }),
    ]
}

/// Hosts that believe they own the volume: which, what it contains, in which epoch.
fn owners(state: &State) -> impl Iterator<Item = (usize, super::Records, u8)> {
    state.hosts.iter().enumerate().filter_map(|(host, at)| match at.role {
        Role::Owner { has, .. } => Some((host, has, at.epoch)),
        _ => None,
    })
}

fn one_writer(_: &Config, state: &State) -> bool {
    let published = state.found(u8::MAX);
    let records = || {
        let all = state.sent.iter().enumerate();
        all.filter(|(at, _)| published & (1 << at) != 0).map(|(_, record)| record)
    };
    records().all(|one| records().all(|other| one.epoch != other.epoch || one.host == other.host))
}
