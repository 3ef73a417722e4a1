//! Disks as files that are stored nowhere: raw as they are, qcow2 with its tables computed.

use std::io::{self, Read};
use std::sync::Arc;

use archipelago_engine::View;
use archipelago_layout::export::{Builder, LAYOUT, Part, View as Qcow2};
use archipelago_model::{SECTOR_BYTES, Source};
use aws_lc_rs::digest::{SHA256, digest};

use super::Service;
use super::guest_views::disk_root;
use super::objects::Stretch;
use crate::core::shown;
use crate::error::Error;

/// Stretches of a map that are looked at together.
const STATUS_BATCH: usize = 1024;

/// How a disk is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFormat {
    /// Its bytes.
    Raw,
    /// A file of QEMU's.
    Qcow2,
}

/// A disk as a file, of one instant.
pub struct DiskView {
    view: Arc<View>,
    /// Of the disk, in bytes; of a plain file exact.
    size: u64,
    qcow2: Option<Arc<Qcow2>>,
    tag: String,
}

impl Service {
    /// Shows the disk that a source is, or that a file holds, as a file in a format. A live volume
    /// is shown as it is now. Nothing is stored; for qcow2 the map is looked through once.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when an image is no disk; `Unavailable` while it is being unpacked;
    /// `Damaged`.
    pub fn disk_view(&self, source: &Source, format: DiskFormat) -> Result<DiskView, Error> {
        let core = &self.core;
        let held = match source {
            Source::File(..) | Source::FileOf(..) => {
                core.await_disk(source)?;
                core.held(|| core.catalog.read(|tx| disk_root(tx, source, core.now_ms())))?
            }
            Source::Volume(_) | Source::Snapshot(_) | Source::Image(_) => core.fixed(source)?,
        };
        let (root, size) = (held.map.root, held.map.size);
        let view = core.engine.view(root, size)?;
        let qcow2 = match format {
            DiskFormat::Raw => None,
            DiskFormat::Qcow2 => {
                let tables = tables(&view, size).map_err(|error| error.on(shown(source)))?;
                Some(Arc::new(tables))
            }
        };
        let layout = match format {
            DiskFormat::Raw => "raw".to_owned(),
            DiskFormat::Qcow2 => format!("qcow2 {LAYOUT}"),
        };
        let said = format!("{:?} {} {size} {layout}", core.store_uuid, root.raw());
        let tag = hex::encode(&digest(&SHA256, said.as_bytes()).as_ref()[..16]);
        Ok(DiskView { view, size, qcow2, tag })
    }
}

/// Where the file has what.
fn tables(view: &View, size: u64) -> Result<Qcow2, Error> {
    if size == 0 {
        return Err(Error::invalid("has no bytes, and a disk has some"));
    }
    let mut builder = Builder::new(size);
    let (mut at, end) = (0, size.next_multiple_of(SECTOR_BYTES));
    while at < end {
        let ranges = view.status(at, end - at, STATUS_BATCH)?;
        if ranges.is_empty() {
            return Err(Error::new(crate::ErrorKind::Internal, "a map said nothing of a range"));
        }
        for range in ranges {
            if !range.hole {
                builder.data(at..at + range.len);
            }
            at += range.len;
        }
    }
    Ok(builder.finish())
}

impl DiskView {
    /// Of the file, in bytes.
    pub fn len(&self) -> u64 {
        self.qcow2.as_ref().map_or(self.size, |file| file.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What tells it apart from others: two of one tag have the same bytes.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Reads `len` bytes from `offset` on, as far as there are so many.
    pub fn range(&self, offset: u64, len: u64) -> Box<dyn Read + Send> {
        let end = offset.saturating_add(len).min(self.len());
        match &self.qcow2 {
            None => Box::new(Stretch::new(Arc::clone(&self.view), offset, len)),
            Some(file) => Box::new(Parts {
                view: Arc::clone(&self.view),
                file: Arc::clone(file),
                at: offset.min(end),
                end,
                part: Box::new(io::empty()),
            }),
        }
    }
}

/// Reads a file part by part.
struct Parts {
    view: Arc<View>,
    file: Arc<Qcow2>,
    at: u64,
    end: u64,
    part: Box<dyn Read + Send>,
}

impl Read for Parts {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let read = self.part.read(out)?;
            if read > 0 {
                self.at += read as u64;
                return Ok(read);
            }
            match self.file.part(self.at, self.end - self.at) {
                None => return Ok(0),
                Some(Part::Bytes(bytes)) => self.part = Box::new(io::Cursor::new(bytes)),
                Some(Part::Disk { offset, len }) => {
                    let disk = Stretch::new(Arc::clone(&self.view), offset, len);
                    // The last cluster is whole, the disk may end within.
                    self.part = Box::new(disk.chain(io::repeat(0)).take(len));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
