//! What known damage means: the resources that it touches, and where.

use std::collections::HashMap;

use archipelago_engine::{Lost, Pin, Traced};
use archipelago_model::{SegmentId, Source, VolumeId, VolumeName};

use super::super::Service;
use super::super::reports::everything_and_views;
use crate::catalog::scrub::{self, DamageRow};
use crate::catalog::volume;
use crate::error::Error;

/// So many damaged places are named at once; they are told again when these are mended.
const DAMAGES_MAX: usize = 4096;
/// So many stretches are told of one resource and damage.
const STRETCHES_MAX: usize = 64;

/// Stored bytes that are damaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The segment; `None` for the file `STORE` of the data folder.
    pub segment: Option<SegmentId>,
    /// Where in its file, in bytes.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
    /// What they are and what is wrong.
    pub what: String,
    /// When that was found, in ms since 1970.
    pub found_ms: u64,
    /// What cannot be read because of it. Nothing, where no reader needs the bytes.
    pub touches: Vec<Touch>,
}

/// A resource that damage touches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touch {
    /// Which.
    pub source: Source,
    /// Where: offsets and lengths in bytes, the first ones.
    pub stretches: Vec<(u64, u64)>,
    /// Bytes of all stretches.
    pub bytes: u64,
    /// It is the map that is damaged: the data may be whole, but nothing leads to it.
    pub map: bool,
}

/// All damage that is known.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Damages {
    /// By segment and offset.
    pub damages: Vec<Damage>,
    /// False when there is more than is told.
    pub complete: bool,
}

impl Service {
    /// What scrubs found to be damaged, and what each of it touches now. Reads all maps
    /// when there is any.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn damages(&self) -> Result<Damages, Error> {
        let (rows, count) = self.core.catalog.read(|tx| -> Result<_, Error> {
            Ok((scrub::list(tx, DAMAGES_MAX)?, scrub::count(tx)?))
        })?;
        let mut complete = rows.len() as u64 == count;
        // Which of the lost places is of which row.
        let mut owners = Vec::new();
        let mut lost: Vec<Lost> = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            if let Some(place) = row.damage.lost {
                owners.push(number);
                lost.push(place);
            }
        }
        let mut damages: Vec<Damage> = rows.into_iter().map(shown).collect();
        if lost.is_empty() {
            return Ok(Damages { damages, complete });
        }
        let (sources, traced, _held) = self.resources()?;
        let trace = self.core.engine.trace(&lost, &traced)?;
        complete &= trace.complete;
        for touched in trace.touched {
            let touches = &mut damages[owners[touched.lost]].touches;
            let source = &sources[touched.resource];
            let known =
                touches.iter_mut().rev().find(|t| t.source == *source && t.map == touched.map);
            let touch = match known {
                Some(touch) => touch,
                None => {
                    let map = touched.map;
                    touches.push(Touch {
                        source: source.clone(),
                        stretches: Vec::new(),
                        bytes: 0,
                        map,
                    });
                    let last = touches.len() - 1;
                    &mut touches[last]
                }
            };
            touch.bytes += touched.len;
            if touch.stretches.len() < STRETCHES_MAX {
                touch.stretches.push((touched.offset, touched.len));
            }
        }
        Ok(Damages { damages, complete })
    }

    /// How many places are known to be damaged.
    pub(in super::super) fn damage_count(&self) -> u64 {
        // A catalog that cannot be read is a problem of its own.
        self.core.catalog.read(scrub::count).unwrap_or(0)
    }

    /// The problem that known damage is.
    pub(in super::super) fn damage_problem(&self) -> Option<String> {
        match self.damage_count() {
            0 => None,
            1 => Some(
                "one stored place is damaged; `archipelago scrub --status` tells what it touches"
                    .to_owned(),
            ),
            count => Some(format!(
                "{count} stored places are damaged; `archipelago scrub --status` tells what they touch"
            )),
        }
    }

    /// Everything that has a map, held so that the collector takes nothing of it away.
    fn resources(&self) -> Result<Resources, Error> {
        let core = &self.core;
        let _resolving = core.resolving.read_recursive();
        let (named, ids) = core.catalog.read(|tx| -> Result<_, Error> {
            let ids: HashMap<VolumeName, VolumeId> =
                volume::list(tx)?.into_iter().map(|row| (row.name, row.id)).collect();
            Ok((everything_and_views(tx)?, ids))
        })?;
        let (mut sources, mut traced, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for (source, map) in named {
            held.push(core.engine.pin(map.root));
            let live = match &source {
                Source::Volume(name) => ids.get(name).and_then(|id| core.attachments.handle(*id)),
                _ => None,
            };
            traced.push(match live {
                Some(handle) => Traced::Live(handle),
                None => Traced::Fixed { root: map.root, size: map.size },
            });
            sources.push(source);
        }
        Ok((sources, traced, held))
    }
}

/// Names, in the same order their maps, and what holds these.
type Resources = (Vec<Source>, Vec<Traced>, Vec<Pin>);

fn shown(row: DamageRow) -> Damage {
    Damage {
        segment: SegmentId::new(row.segment),
        offset: row.damage.offset,
        bytes: row.damage.bytes,
        what: row.damage.what,
        found_ms: row.found_ms,
        touches: Vec::new(),
    }
}
