//! From the log to overlays, when a store is opened.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use archipelago_format::batch::{Kind, Record};
use archipelago_format::segment::SegmentKind;
use archipelago_model::{Location, SegmentId, VolumeId};

use crate::engine::Recovery;
use crate::error::Error;
use crate::log;
use crate::map::Nodes;
use crate::segments::Segments;
use crate::volume::{Head, State};

/// What the catalog knows.
pub(crate) struct Known<'a> {
    /// The head of a volume; `None` when it is gone.
    pub heads: &'a dyn Fn(VolumeId) -> Option<Head>,
    /// The raw bytes of a segment that is recorded as sealed.
    pub recorded: &'a dyn Fn(SegmentId) -> Option<u64>,
}

pub(crate) type Recovered = Vec<(Head, State)>;

/// Reads the log from `floor` on into overlays. Gives the segment behind the last.
///
/// First every segment is made whole, since a root may be in a later one than the
/// records below it; then records are read segment by segment, so that memory
/// holds those of one.
pub(crate) fn replay(
    segments: &Arc<Segments>,
    nodes: &Nodes,
    floor: SegmentId,
    known: &Known<'_>,
) -> Result<(Recovered, Recovery, SegmentId), Error> {
    let ids = segments.store().list_from(floor)?;
    let mut recovery = Recovery::default();
    let mut hot = Vec::new();
    for &id in &ids {
        if let Some(recovered) = log::recover(segments, id, known.recorded)?
            && recovered.kind == SegmentKind::Hot
        {
            recovery.segments += 1;
            hot.push((id, recovered.unsealed));
        }
    }
    let mut volumes = HashMap::new();
    for (id, unsealed) in hot {
        let records = match unsealed {
            Some(records) => records,
            None => log::records(segments, id)?,
        };
        for (location, record) in records {
            recovery.records += u64::from(apply(nodes, known, &mut volumes, location, &record)?);
        }
    }
    let recovered: Recovered =
        volumes.into_values().flatten().filter(|(_, state)| !state.overlay.is_empty()).collect();
    recovery.dirty = recovered.iter().map(|(head, _)| head.volume).collect();
    recovery.dirty.sort();
    // Not behind any id that will be given: the log takes what is before as durable.
    let next = ids.last().and_then(|last| SegmentId::new(last.get() + 1)).unwrap_or(floor);
    Ok((recovered, recovery, next))
}

/// Whether the record was news.
fn apply(
    nodes: &Nodes,
    known: &Known<'_>,
    volumes: &mut HashMap<VolumeId, Option<(Head, State)>>,
    location: Location,
    record: &Record,
) -> Result<bool, Error> {
    if matches!(record.kind, Kind::Node(_)) {
        return Ok(false);
    }
    let entry = match volumes.entry(record.volume) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(match (known.heads)(record.volume) {
            Some(head) => Some((head, state_of(nodes, &head)?)),
            None => None,
        }),
    };
    let Some((head, state)) = entry else {
        return Ok(false);
    };
    if location < head.lsn || record.epoch > head.epoch {
        return Ok(false);
    }
    let range = record.start..record.start + record.len;
    state.overlay.insert(range, location, record.kind == Kind::Zero);
    state.oldest.get_or_insert(location);
    Ok(true)
}

/// A volume whose map is damaged, or in a pool that is away, keeps its records, so that they stay in the
/// log, and what is wrong is told when somebody opens it; the others go on.
fn state_of(nodes: &Nodes, head: &Head) -> Result<State, Error> {
    match nodes.root(head.root) {
        Ok(runs) => Ok(State::of(runs, head.root, head.lsn)),
        Err(error)
            if matches!(error, Error::Damaged { .. })
                || Segments::is_missing(&error)
                || Segments::is_away(&error) =>
        {
            tracing::error!(volume = %head.volume, %error, "the map of a volume cannot be read");
            let mut state = State::of(Arc::new([]), head.root, head.lsn);
            state.damaged = Some(error.to_string());
            Ok(state)
        }
        Err(error) => Err(error),
    }
}
