//! What must hold, and what must be possible so that it does not hold for nothing.

use stateright::Property;

use super::{Config, Reader, State};

/// No name is ever without its data.
pub const NAMES: &str = "a name reaches only what is there";
/// No reader either.
pub const READERS: &str = "a held root reaches only what is there";
/// Nothing that is named waits for its removal.
pub const CONDEMNED: &str = "nothing named is condemned";
/// A lost catalog can be rebuilt.
pub const BACKUP: &str = "the newest backup reaches only what is there";
/// An id means one segment.
pub const IDS: &str = "no id is given twice";
/// Garbage goes.
pub const REMOVED: &str = "garbage is removed";
/// The race that all this is about does occur.
pub const REFUSED: &str = "a share is refused";
/// Compaction ends.
pub const COMPACTED: &str = "a forwarded file is removed";

pub(super) fn all(config: &Config) -> Vec<Property<Config>> {
    let mut all = vec![
        Property::always(NAMES, |_, state: &State| !state.reach(&state.roots()).broken),
        Property::always(READERS, readers),
        Property::always(CONDEMNED, nothing_condemned),
        Property::always(BACKUP, |_, state: &State| !state.reach_by_files(&state.backup.1).broken),
        Property::always(IDS, |_, state: &State| state.segments.iter().all(|s| s.life == 0)),
        Property::sometimes(REMOVED, garbage_removed),
    ];
    // Ids that are bounded too tightly leave none to write the data again with.
    if config.binders > 0 && config.ids > 3 {
        all.push(Property::sometimes(REFUSED, |_, state: &State| {
            state.hosts.iter().any(|host| host.binder.as_ref().is_some_and(|b| b.refused))
        }));
    }
    if config.compaction {
        all.push(Property::sometimes(COMPACTED, |_, state: &State| {
            state.segments.iter().any(|segment| segment.forwarded_to().is_some() && !segment.file)
        }));
    }
    all
}

fn readers(_: &Config, state: &State) -> bool {
    state.hosts.iter().all(|host| match host.reader {
        Reader::Pinned(root) => {
            let reached = state.reach(&[root]);
            !reached.broken && !condemned(state, reached.segments | reached.carriers)
        }
        _ => true,
    })
}

fn nothing_condemned(_: &Config, state: &State) -> bool {
    let reached = state.reach(&state.roots());
    !condemned(state, reached.segments | reached.carriers)
}

fn condemned(state: &State, segments: super::Ids) -> bool {
    state.ids().any(|id| super::has(segments, id) && state.segment(id).condemned())
}

fn garbage_removed(_: &Config, state: &State) -> bool {
    state.segments.iter().any(|segment| !segment.file && segment.row.is_none() && segment.life == 0)
}
