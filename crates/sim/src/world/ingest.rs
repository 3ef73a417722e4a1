//! Bulk data: images, files, and snapshots that are sent to other volumes.

use std::sync::Arc;

use archipelago_pool::{ErrorKind, NewImage};

use super::content::{BLOCK_SECTORS, SECTOR, Stamp, compose, stream};
use super::model::{Cells, Fixed, Model, Names, Volume};
use super::names::{CONTAINER, Subject, parse, snapshot_path};
use super::{Act, Checked, Violation, World};

/// Blocks of an image or a file, at most.
const BLOCKS_MAX: u64 = 75;

impl World {
    /// Content and the stream that brings it.
    pub(super) fn incoming(&mut self, odd: bool) -> Checked<(Fixed, Vec<u8>)> {
        self.operation += 1;
        let blocks = 1 + self.dice.below(BLOCKS_MAX);
        let mut content: Vec<Stamp> = compose(&mut self.dice, self.operation, blocks);
        let mut bytes = (content.len() * SECTOR) as u64;
        if odd {
            // Files end anywhere; the part of the last sector that is there is zeros,
            // so that a sector has one stamp.
            if let Some(last) = content.last_mut() {
                *last = 0;
            }
            bytes -= self.dice.below(SECTOR as u64);
        }
        let raw = stream(&content, bytes)
            .map_err(|error| Violation::new(format!("no stream can be written: {error}")))?;
        Ok((Fixed { content: content.into(), bytes }, raw))
    }

    pub(super) fn import(&mut self) -> Checked {
        let Some(name) = self.any_image_name() else {
            return Ok(());
        };
        let (fixed, raw) = self.incoming(false)?;
        let taken = self.model.images.contains_key(&name);
        let act = Act {
            kind: "import",
            subject: &format!("{name} of {} blocks", fixed.content.len() as u64 / BLOCK_SECTORS),
            refusal: taken.then_some(ErrorKind::AlreadyExists),
            names: Names::image(&name),
        };
        let after = |model: &mut Model| drop(model.images.insert(name.clone(), fixed));
        self.verb(act, after, |service| {
            let spec = NewImage {
                name: parse(&name)?,
                format: "raw".to_owned(),
                os: None,
                source_bytes: None,
                sha256: None,
            };
            service.image_import(&spec, &mut &raw[..])
        })
        .map(drop)
    }

    pub(super) fn put(&mut self) -> Checked {
        let Some(name) = self.any_file_name() else {
            return Ok(());
        };
        let odd = self.dice.coin();
        let (fixed, raw) = self.incoming(odd)?;
        let act = Act {
            kind: "put",
            subject: &format!("{name} of {} blocks", fixed.content.len() as u64 / BLOCK_SECTORS),
            refusal: None,
            names: Names::file(&name),
        };
        let after = |model: &mut Model| drop(model.files.insert(name.clone(), fixed));
        self.verb(act, after, |service| {
            service.file_put(&parse(CONTAINER)?, &parse(&name)?, None, &mut &raw[..])
        })
        .map(drop)
    }

    /// Sends a snapshot to a new volume, and the difference to another one after it.
    pub(super) fn replicate(&mut self) -> Checked {
        let (Some(from), Some(to)) = (self.some_volume(), self.any_volume_name()) else {
            return Ok(());
        };
        let base = self.probable_snapshot(&from);
        let next = self.probable_snapshot(&from);
        if !self.transfer(&from, &base, None, &to)? || base == next {
            return Ok(());
        }
        if self.model.volumes.contains_key(&from) {
            self.transfer(&from, &next, Some(&base), &to)?;
        }
        Ok(())
    }

    /// Whether the snapshot came over.
    fn transfer(
        &mut self,
        from: &str,
        snapshot: &str,
        since: Option<&str>,
        to: &str,
    ) -> Checked<bool> {
        let path = |name: &str| Subject::Snapshot(from.to_owned(), name.to_owned());
        let sent = self.fixed_of(&path(snapshot)).cloned();
        let missing = sent.is_none() || since.is_some_and(|s| self.fixed_of(&path(s)).is_none());
        let act = Act {
            kind: "send",
            subject: &format!("{from}@{snapshot} since {since:?}"),
            refusal: missing.then_some(ErrorKind::NotFound),
            names: Names::default(),
        };
        let raw = self.verb(
            act,
            |_| (),
            |service| {
                let mut raw = Vec::new();
                let since = since.map(parse).transpose()?;
                service.send(&snapshot_path(from, snapshot)?, since.as_ref(), &mut raw)?;
                Ok(raw)
            },
        )?;
        let (Some(raw), Some(sent)) = (raw, sent) else {
            return Ok(false);
        };
        self.devices.remove(to);
        let taken = since.is_none() && self.model.volumes.contains_key(to);
        let act = Act {
            kind: "receive",
            subject: &format!("{to}@{snapshot} since {since:?}"),
            refusal: taken.then_some(ErrorKind::AlreadyExists),
            names: Names::volumes([&to.to_owned()]),
        };
        let after = |model: &mut Model| {
            let cells = Cells::settled(sent.content.to_vec());
            let mut snapshots = match model.volumes.remove(to) {
                Some(known) => known.snapshots,
                None => Default::default(),
            };
            let received = Fixed { content: Arc::clone(&sent.content), bytes: sent.bytes };
            snapshots.insert(snapshot.to_owned(), received);
            model.volumes.insert(to.to_owned(), Volume { cells, snapshots });
        };
        let received = self.verb(act, after, |service| {
            service.receive(&snapshot_path(to, snapshot)?, &mut &raw[..])
        })?;
        Ok(received.is_some())
    }
}
