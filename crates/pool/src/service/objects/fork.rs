//! Forks: a container with everything that another has now.

use archipelago_model::{ContainerName, FileId};

use super::super::Service;
use super::sealed::parts_of;
use super::{checked, container_of, make};
use crate::catalog::file::{self, From, ObjectRow};
use crate::catalog::part_checksums::{self, PartChecksums};
use crate::catalog::{Tx, blocks, container, seal, state};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::object::{Container, Meta, Object};
use crate::seal::PiecesText;

/// Objects of a container that is forked at most: all are bound in one transaction, which
/// everybody else who changes the catalog waits for (ADR 15 has the figures).
pub const FORK_OBJECTS_MAX: u64 = 100_000;

/// Bytes of what is known of all of them at most: so much is written in that transaction.
const FORK_META_BYTES_MAX: usize = 256 << 20;

/// What is kept of the seal of a part.
const PART_BYTES: usize = 50;
/// The longest checksum of a part, as it is kept.
const SUM_BYTES: usize = 47;

/// Objects that are in memory at once, each with up to 64 KiB of what is known of it.
const PAGE: usize = 256;

impl Service {
    /// Makes a container of the same account with the newest versions that another has at one
    /// instant. No data moves, and neither sees what is written to the other. `keep` says what
    /// is known of each in the new one; locks and grants are of the old one in any case. What is
    /// sealed stays so, under the same keys.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists`; `Invalid` (too many objects); `QuotaExceeded`.
    pub fn container_fork(
        &self,
        from: u64,
        name: &ContainerName,
        keep: &mut dyn FnMut(&Object) -> Meta,
    ) -> Result<Container, Error> {
        let core = &self.core;
        let _resolving = core.resolving.read_recursive();
        core.catalog.write(|tx| core.fork_in(tx, from, name, keep))
    }
}

impl Core {
    fn fork_in(
        &self,
        tx: &Tx<'_>,
        from: u64,
        name: &ContainerName,
        keep: &mut dyn FnMut(&Object) -> Meta,
    ) -> Result<Container, Error> {
        let (source, now, ended) = (container_of(tx, from)?, self.now_ms(), self.ended_ms());
        if source.objects > FORK_OBJECTS_MAX {
            return Err(Error::invalid(format!(
                "container '{}' has {} objects, and {FORK_OBJECTS_MAX} at most are forked at \
                 once; copy it in parts",
                source.name, source.objects
            )));
        }
        if container::find(tx, source.account, name)?.is_some() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("container '{name}' exists already; choose another name for the fork"),
            ));
        }
        let home = make(tx, source.account, name, now)?;
        let (mut objects, mut bytes, mut meta_bytes) = (0_u64, 0_u64, 0);
        let mut at = From::At(String::new());
        loop {
            let page = file::newest(tx, from, &at, PAGE)?;
            let Some(last) = page.last() else { break };
            at = From::Behind(last.object.name.to_string());
            let ids = state::take_ids(tx, page.len() as u64)?;
            for (row, id) in page.into_iter().zip(ids) {
                if row.object.has_ended(ended) {
                    continue;
                }
                let meta = Meta { grants: Vec::new(), ..keep(&row.object).unlocked() };
                let (old, seal_parts) = (row.object.id, parts_of(tx, &row.object)?);
                meta_bytes += serde_json::to_string(&meta).map_or(0, |text| text.len());
                let sums = part_checksums::of(tx, row.object.id)?;
                meta_bytes += bytes_of_parts(seal_parts.as_ref(), sums.as_ref());
                if meta_bytes > FORK_META_BYTES_MAX {
                    return Err(Error::invalid(format!(
                        "what is known of the objects of container '{}' is more than \
                         {FORK_META_BYTES_MAX} bytes, which are forked at once at most; copy it \
                         in parts",
                        source.name
                    )));
                }
                let object = Object {
                    id: FileId::new(id),
                    versioned: false,
                    latest: true,
                    meta: checked(meta)?,
                    created_ms: now,
                    owner: source.writer_of(&row.object),
                    ..row.object
                };
                (objects, bytes) = (objects + 1, bytes.saturating_add(object.size));
                let row = ObjectRow { container: home.id, object, ..row };
                file::put_new(tx, &row)?;
                if let Some(parts) = seal_parts {
                    seal::set_parts(tx, row.object.id, &parts)?;
                }
                if let Some(sums) = sums {
                    part_checksums::set(tx, row.object.id, &sums)?;
                }
                blocks::link_same(tx, old, row.object.id)?;
            }
        }
        file::settle_new(tx, home.id, objects, bytes)?;
        container_of(tx, home.id)
    }
}

/// How much is kept of parts: of each a length with a nonce, and its checksums.
fn bytes_of_parts(seals: Option<&PiecesText>, sums: Option<&PartChecksums>) -> usize {
    let sums = sums.into_iter().flatten().map(|(_, all)| all.len() * SUM_BYTES);
    seals.map_or(0, |parts| parts.len() * PART_BYTES) + sums.sum::<usize>()
}

#[cfg(test)]
mod tests;
