//! Updates of objects: appends, ranged writes, truncations, ranges of other objects.

use std::sync::Arc;

use archipelago_model::ObjectName;
use archipelago_pool::{
    CopySource, Error, ErrorKind, Meta, Place, Service, Update, UpdateContent, Which,
};

use super::World;
use super::model::Bytes;
use super::names::parse;
use super::objects::{ObjectAct, act, shelf, version};

/// An object that is longer is cut off: a world has to be read often.
const LONG_BYTES: usize = 512 << 10;

/// Where an update's bytes come from.
enum Brought {
    Nothing,
    Bytes(Bytes),
    /// Of this version of this object, from an offset on.
    Range {
        from: String,
        number: usize,
        offset: usize,
        len: usize,
    },
}

/// An update, and what it makes.
struct Planned {
    place: Place,
    brought: Brought,
    size: Option<u64>,
    refusal: Option<ErrorKind>,
    becomes: Vec<u8>,
}

impl World {
    /// Updates an object, or makes it so.
    pub(super) fn update_object(&mut self, name: String) -> ObjectAct {
        let newest = self.model.objects.get(&name).and_then(|known| known.versions.last().cloned());
        let now = newest.flatten().map_or_else(Vec::new, |bytes| bytes.to_vec());
        let planned = match self.dice.below(6) {
            _ if now.len() > LONG_BYTES => self.cut_or_grow(now),
            0 => self.cut_or_grow(now),
            1 | 2 => self.append(now),
            3 => self.share(now),
            _ => self.write_over(now),
        };
        let Planned { place, brought, size, refusal, becomes } = planned;
        let object = name.clone();
        let call = move |service: &Service| {
            update(service, &parse(&object)?, place, &brought, size).map(drop)
        };
        let becomes = Some(Arc::new(becomes));
        act("update object", name, refusal, |known| known.versions.push(becomes), call)
    }

    fn cut_or_grow(&mut self, mut now: Vec<u8>) -> Planned {
        let size = self.dice.below(now.len().min(LONG_BYTES) as u64 + 20_000);
        now.resize(size as usize, 0);
        let (place, brought) = (Place::End, Brought::Nothing);
        Planned { place, brought, size: Some(size), refusal: None, becomes: now }
    }

    fn append(&mut self, mut now: Vec<u8>) -> Planned {
        let bytes = self.a_piece();
        now.extend_from_slice(&bytes);
        let brought = Brought::Bytes(bytes);
        Planned { place: Place::End, brought, size: None, refusal: None, becomes: now }
    }

    /// Now and then behind the end, which is refused.
    fn write_over(&mut self, mut now: Vec<u8>) -> Planned {
        let bytes = self.a_piece();
        let at = self.dice.below(now.len() as u64 + 2) as usize;
        let at = if self.dice.coin() { at / 512 * 512 } else { at };
        let refusal = (at > now.len()).then_some(ErrorKind::Invalid);
        if refusal.is_none() {
            now.resize(now.len().max(at + bytes.len()), 0);
            now[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        let place = Place::At(at as u64);
        Planned { place, brought: Brought::Bytes(bytes), size: None, refusal, becomes: now }
    }

    fn share(&mut self, now: Vec<u8>) -> Planned {
        let from = self.any_object_name().unwrap_or_default();
        let versions = self.model.objects.get(&from).map_or(&[][..], |known| &known.versions);
        let there = versions.iter().enumerate().filter_map(|(n, one)| Some((n, one.clone()?)));
        let there: Vec<(usize, Bytes)> = there.collect();
        if there.is_empty() {
            return self.append(now);
        }
        let (number, bytes) = there[self.dice.below(there.len() as u64) as usize].clone();
        let mut offset = self.dice.below(bytes.len() as u64 + 1) as usize;
        if self.dice.coin() {
            offset = offset / 512 * 512;
        }
        let len = self.dice.below((bytes.len() - offset) as u64 + 1) as usize;
        let mut becomes = now;
        becomes.extend_from_slice(&bytes[offset..offset + len]);
        let brought = Brought::Range { from, number, offset, len };
        Planned { place: Place::End, brought, size: None, refusal: None, becomes }
    }

    /// Mostly a few bytes, at times enough to be stored before its turn.
    fn a_piece(&mut self) -> Bytes {
        let bytes = self.some_bytes();
        match self.dice.below(4) {
            0 => Arc::new((0..5).flat_map(|_| self.some_bytes().to_vec()).collect()),
            1 => Arc::new(bytes[..bytes.len() / 512 * 512].to_vec()),
            _ => Arc::new(
                bytes[..self.dice.below(bytes.len().min(1500) as u64 + 1) as usize].to_vec(),
            ),
        }
    }
}

fn update(
    service: &Service,
    name: &ObjectName,
    place: Place,
    brought: &Brought,
    size: Option<u64>,
) -> Result<(), Error> {
    let container = shelf(service)?;
    let mut input: &[u8];
    let content = match brought {
        Brought::Nothing => UpdateContent::Nothing,
        Brought::Bytes(bytes) => {
            input = bytes;
            UpdateContent::Bytes { input: &mut input, size: None }
        }
        Brought::Range { from, number, offset, len } => {
            let from: ObjectName = parse(from)?;
            let which = Which::Version(version(service, container, &from, *number)?.id);
            let source = CopySource { container, name: from, which };
            UpdateContent::Object { from: source, range: Some((*offset as u64, *len as u64)) }
        }
    };
    let decide = Box::new(|_: Option<&_>| Ok(Meta::default()));
    let update =
        Update { container, name, place, content, size, create: true, owner: None, decide };
    service.object_update(update).map(drop)
}
