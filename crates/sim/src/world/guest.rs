//! Guests: what they write, read and flush through devices.

use std::sync::Arc;

use archipelago_pool::{Device, Write};

use super::content::{SECTOR, Stamp, bytes_of, stamp, stamp_of};
use super::model::Names;
use super::{Act, Checked, Violation, World};

/// Sectors of one write, at most.
const WRITE_SECTORS_MAX: u64 = 40;
/// Sectors of one read, at most.
const READ_SECTORS_MAX: u64 = 100;
/// Writes of one batch, at most.
const BATCH_MAX: u64 = 4;

/// One write of a batch.
pub(super) struct Piece {
    pub start: usize,
    pub stamps: Vec<Stamp>,
    zeros: bool,
}

impl World {
    /// A device on a volume: the one that is open, or a new one.
    pub(super) fn device(&mut self, volume: &str) -> Checked<Option<Arc<Device>>> {
        if let Some(open) = self.devices.get(volume) {
            return Ok(Some(Arc::clone(open)));
        }
        let act = Act { kind: "attach", subject: volume, names: Names::default(), refusal: None };
        let device = self.verb(act, |_| (), |service| service.open_device(volume))?;
        if let Some(device) = &device {
            self.devices.insert(volume.to_owned(), Arc::clone(device));
        }
        Ok(device)
    }

    pub(super) fn guest_write(&mut self) -> Checked {
        let Some(volume) = self.some_volume() else {
            return self.create();
        };
        let Some(device) = self.device(&volume)? else {
            return Ok(());
        };
        let pieces = self.pieces(device.size() / SECTOR as u64);
        let bytes: Vec<Vec<u8>> = pieces.iter().map(|piece| bytes_of(&piece.stamps)).collect();
        let writes: Vec<Write<'_>> = pieces
            .iter()
            .zip(&bytes)
            .map(|(piece, bytes)| {
                let offset = (piece.start * SECTOR) as u64;
                match piece.zeros {
                    false => Write::Data { offset, bytes },
                    true => Write::Zero {
                        offset,
                        len: bytes.len() as u64,
                        may_unmap: piece.start % 2 == 0,
                    },
                }
            })
            .collect();
        let result = device.write(&writes);
        self.note("write", &volume, result.as_ref().map(drop));
        if let Some(known) = self.model.volumes.get_mut(&volume) {
            for piece in &pieces {
                for (at, stamp) in (piece.start..).zip(&piece.stamps) {
                    known.cells.write(at, *stamp, result.is_ok());
                }
            }
        }
        match result {
            Ok(()) => {
                self.failures = 0;
                Ok(())
            }
            Err(error) => {
                self.explain("write", &volume, &error)?;
                self.after_failure()
            }
        }
    }

    pub(super) fn pieces(&mut self, sectors: u64) -> Vec<Piece> {
        self.operation += 1;
        let mut pieces = Vec::new();
        for part in 0..=self.dice.below(BATCH_MAX) {
            let mut start = self.dice.below(sectors);
            let mut len =
                1 + self.dice.below((sectors - start).min(WRITE_SECTORS_MAX * self.scale));
            // Guests mostly write whole blocks.
            if self.dice.coin() {
                start -= start % 8;
                len = len.next_multiple_of(8).min(sectors - start);
            }
            let (zeros, as_data) = (self.dice.below(5) == 0, self.dice.coin());
            let stamp = if zeros { 0 } else { stamp(self.operation, part) };
            pieces.push(Piece {
                start: start as usize,
                stamps: vec![stamp; len as usize],
                zeros: zeros && !as_data,
            });
        }
        pieces
    }

    pub(super) fn guest_read(&mut self) -> Checked {
        let Some(volume) = self.some_volume() else {
            return Ok(());
        };
        let Some(device) = self.device(&volume)? else {
            return Ok(());
        };
        let sectors = device.size() / SECTOR as u64;
        let start = self.dice.below(sectors);
        let len = 1 + self.dice.below((sectors - start).min(READ_SECTORS_MAX));
        self.read(&volume, &device, start as usize, len as usize).map(drop)
    }

    /// Reads and compares; whether it could be read.
    pub(super) fn read(
        &mut self,
        volume: &str,
        device: &Device,
        start: usize,
        sectors: usize,
    ) -> Checked<bool> {
        let mut bytes = vec![0xee; sectors * SECTOR];
        let result = device.read((start * SECTOR) as u64, &mut bytes);
        self.note("read", volume, result.as_ref().map(drop));
        if let Err(error) = result {
            self.explain("read", volume, &error)?;
            self.after_failure()?;
            return Ok(false);
        }
        let Some(known) = self.model.volumes.get_mut(volume) else {
            return Ok(true);
        };
        for (sector, raw) in (start..).zip(bytes.chunks(SECTOR)) {
            let got = stamp_of(raw);
            self.record.mix_number(got.unwrap_or(u64::MAX));
            if let Err(allowed) = known.cells.read(sector, got) {
                return Err(Violation::new(format!(
                    "sector {sector} of volume {volume} reads {}, not one of {}",
                    shown(&[got.unwrap_or(u64::MAX)]),
                    shown(&allowed)
                )));
            }
        }
        Ok(true)
    }

    pub(super) fn guest_flush(&mut self) -> Checked {
        let count = self.devices.len() as u64;
        let Some((volume, device)) = self
            .devices
            .iter()
            .nth(self.dice.below(count) as usize)
            .map(|(n, d)| (n.clone(), Arc::clone(d)))
        else {
            return Ok(());
        };
        let result = self.present.during("flush", || device.flush());
        self.note("flush", &volume, result.as_ref().map(drop));
        match result {
            Ok(()) => {
                self.failures = 0;
                self.flushed();
                self.lie_after("flush")
            }
            Err(error) => {
                self.explain("flush", &volume, &error)?;
                self.after_failure()
            }
        }
    }

    /// All that was answered is durable, whatever it belongs to.
    pub(super) fn flushed(&mut self) {
        self.model.flush();
        for doubt in &mut self.doubts {
            doubt.before.flush();
            doubt.after.flush();
        }
    }

    /// Whether it is known what every sector of a volume reads; looks where it is not.
    pub(super) fn make_certain(&mut self, volume: &str) -> Checked<bool> {
        let Some(known) = self.model.volumes.get(volume) else {
            return Ok(true);
        };
        if known.cells.is_certain() {
            return Ok(true);
        }
        let sectors = known.cells.len();
        match self.device(volume)? {
            None => Ok(false),
            Some(device) => Ok(self.read(volume, &device, 0, sectors)? && self.service.is_some()),
        }
    }
}

/// Stamps for people: `operation.part`.
pub(super) fn shown(stamps: &[Stamp]) -> String {
    let one = |stamp: &Stamp| match *stamp {
        u64::MAX => "a torn sector".to_owned(),
        0 => "zeros".to_owned(),
        stamp => format!("{}.{}", stamp >> 8, stamp & 0xff),
    };
    stamps.iter().map(one).collect::<Vec<_>>().join(" or ")
}
