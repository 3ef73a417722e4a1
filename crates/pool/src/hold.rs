//! What somebody has open by a ticket, for as long as the rule lets.
//!
//! The rule is asked again while the device is used, every [`LOOK`], and when somebody needs the
//! volume alone. So nobody has to know of those whose right has ended: who was let in and is not
//! any more reads and writes nothing further, and keeps nobody from the volume.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archipelago_model::{AccountId, VolumeId};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::attachments::{Attached, Exclusive};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::grant::{Action, Shared};
use crate::service::admits;

/// While a device is used, the rule is asked again so often: it costs a look at the catalog.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// Who has something open, by identities that are never given twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Holder {
    pub user: [u8; 16],
    /// For which it acts.
    pub account: [u8; 16],
    /// The application credential that the ticket was got with, which has to be there still.
    pub credential: Option<[u8; 16]>,
    /// What is open, whatever its name is by now.
    pub shared: Shared,
    /// Whose that is: it never changes.
    pub owner: AccountId,
    /// What the holder may do with it: read, or write.
    pub action: Action,
}

/// A device that is somebody's until it drops it or may not have it any more.
pub(crate) struct Hold {
    pub holder: Holder,
    /// Held shared by each use, so that behind the end nothing is under way.
    open: RwLock<bool>,
    /// Counts the device among those of its volume, until the end.
    attached: Mutex<Option<Attached>>,
    /// When the rule is asked next, in ms on the monotonic clock.
    next_look: AtomicU64,
}

impl Hold {
    /// For whom the rule has just let in.
    pub fn new(core: &Core, holder: Holder, attached: Option<Attached>) -> Arc<Self> {
        Arc::new(Self {
            holder,
            open: RwLock::new(true),
            attached: Mutex::new(attached),
            next_look: AtomicU64::new(millis(core.env.clock().monotonic() + LOOK)),
        })
    }

    /// Begins a use, which is over when the guard is dropped.
    ///
    /// # Errors
    /// `Forbidden` once the right has ended.
    pub fn enter(&self, core: &Core, label: &str) -> Result<RwLockReadGuard<'_, bool>, Error> {
        let (now, due) = (core.env.clock().monotonic(), self.next_look.load(Ordering::Relaxed));
        let next = millis(now + LOOK);
        // One of those that come at once asks.
        if millis(now) >= due
            && self
                .next_look
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.look(core);
        }
        let open = self.open.read();
        if *open {
            return Ok(open);
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            format!("the right to use {label} by this ticket has ended; connect again"),
        ))
    }

    /// Asks the rule, and ends when it says no.
    pub fn look(&self, core: &Core) {
        let now_ms = core.now_ms();
        match core.catalog.read(|tx| admits(tx, &self.holder, now_ms)) {
            Ok(true) => {}
            Ok(false) => self.end(),
            // What cannot be read was not changed either. The next look tells.
            Err(error) => tracing::warn!(%error, "whether a ticket counts still is not known"),
        }
    }

    /// Waits for what is under way, lets nothing more begin, and gives the volume free.
    pub fn end(&self) {
        *self.open.write() = false;
        self.attached.lock().take();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Core {
    /// Keeps devices off a volume. Those whose holders may not have them any more are ended.
    ///
    /// # Errors
    /// `InUse` when there are others, or somebody else keeps them off.
    pub fn exclude(&self, volume: VolumeId) -> Result<Exclusive, Error> {
        self.attachments.exclude(volume).or_else(|_| {
            for hold in self.attachments.holds(volume) {
                hold.look(self);
            }
            self.attachments.exclude(volume)
        })
    }

    /// Ends what others than its owner have open of a volume by tickets.
    pub fn end_holds_of_others(&self, volume: VolumeId, owner: Option<[u8; 16]>) {
        for hold in self.attachments.holds(volume) {
            if Some(hold.holder.account) != owner {
                hold.end();
            }
        }
    }
}
