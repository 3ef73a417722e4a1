//! Pools that hold the second copies of others, and pools that are lost for ever.

use archipelago_model::{PoolId, PoolName};

use super::{Pool, found};
use crate::catalog::{place, segment};
use crate::error::{Error, ErrorKind};
use crate::service::Service;

impl Service {
    /// Has each sealed segment of a pool be in another one, too. The copies are made in the
    /// background, and from then on by whatever comes.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for the pool itself, and where one of both is drained.
    pub fn pool_mirror(&self, name: &PoolName, to: &PoolName) -> Result<Pool, Error> {
        let core = &self.core;
        core.catalog.write(|tx| -> Result<(), Error> {
            let (row, to) = (found(tx, name)?, found(tx, to)?);
            if row.id == to.id {
                return Err(Error::invalid(format!("pool '{name}' cannot be its own mirror")));
            }
            for one in [&row, &to] {
                if one.drain_to.is_some() {
                    return Err(Error::invalid(format!(
                        "pool '{0}' is drained: take it into use again by `archipelago pool use \
                         {0}`",
                        one.name
                    )));
                }
            }
            Ok(place::set_mirror(tx, row.id, Some(to.id))?)
        })?;
        core.tell_backups();
        core.mover.wake();
        self.pool(name)
    }

    /// Has what is in a pool be nowhere else any more. Second copies go in the background.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn pool_unmirror(&self, name: &PoolName) -> Result<Pool, Error> {
        let core = &self.core;
        core.catalog.write(|tx| -> Result<(), Error> {
            let row = found(tx, name)?;
            Ok(place::set_mirror(tx, row.id, None)?)
        })?;
        core.tell_backups();
        core.mover.wake();
        self.pool(name)
    }

    /// Gives up a pool that is lost for ever: second copies take the place of what was in it.
    /// With `all` also when some of it had none, which is lost then; scrubs tell what that is.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for the first one, and for one that answers; `InUse` when something
    /// of it has no second copy, and not `all`. Nothing is changed then.
    pub fn pool_lost(&self, name: &PoolName, all: bool) -> Result<(), Error> {
        let core = &self.core;
        let row = core.catalog.read(|tx| found(tx, name))?;
        if row.id == PoolId::FIRST {
            return Err(Error::invalid(format!(
                "pool '{name}' has the log and the backups of the catalog: stop the store, and \
                 make its catalog anew by `archipelago rebuild --force`, which finds what its mirror has"
            )));
        }
        // Nobody makes or moves a segment there meanwhile.
        let _no_collection = core.collector.lock();
        // With patience: one that is only slow is not lost.
        if core.pools.spread.member(row.id).and_then(|pool| pool.space()).is_ok() {
            return Err(Error::invalid(format!(
                "pool '{name}' answers, and is not lost: `archipelago pool drain {name}` moves \
                 what is in it"
            )));
        }
        let (segments, bytes) = core.catalog.read(|tx| segment::single_in(tx, row.id))?;
        if segments > 0 && !all {
            return Err(Error::in_use(format!(
                "{segments} segments ({bytes} bytes) are in pool '{name}' alone, and would be \
                 lost with it: bring it back, or say that they are by `archipelago pool rm {name} \
                 --lost --force`"
            )));
        }
        core.pools.lose(&row, || {
            let moved = core.catalog.write(|tx| -> Result<_, Error> {
                segment::lose_pool(tx, row.id)?;
                place::lose(tx, row.id, row.mirror)?;
                if !place::remove(tx, row.id)? {
                    let text = format!("pool '{name}' is still referred to");
                    return Err(Error::new(ErrorKind::Internal, text));
                }
                Ok((segment::elsewhere(tx)?, segment::seconds(tx)?))
            })?;
            core.tell_backups();
            Ok(moved)
        })?;
        tracing::warn!(pool = %name, segments, bytes, "a pool was given up as lost");
        Ok(())
    }
}
