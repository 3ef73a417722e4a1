//! Which volumes are open: how many devices each has, and its handle for writing.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use archipelago_engine as engine;
use archipelago_model::VolumeId;
use parking_lot::Mutex;

use crate::error::Error;
use crate::hold::Hold;

/// What is open.
#[derive(Default)]
pub(crate) struct Attachments {
    entries: Mutex<HashMap<VolumeId, Entry>>,
}

#[derive(Default)]
struct Entry {
    devices: u32,
    exclusive: bool,
    handle: Option<Arc<engine::Volume>>,
    /// The handle is of a term of ours, so that devices may write by it.
    leased: bool,
    /// Of the devices, those that were opened by tickets; some may be gone.
    holds: Vec<Weak<Hold>>,
}

/// A device is open on a volume for as long as this lives.
pub(crate) struct Attached {
    attachments: Arc<Attachments>,
    volume: VolumeId,
}

/// No device is or can be opened on a volume for as long as this lives.
pub(crate) struct Exclusive {
    attachments: Arc<Attachments>,
    volume: VolumeId,
}

impl Attachments {
    /// Counts a device.
    ///
    /// # Errors
    /// `InUse` while something goes on that needs the volume alone.
    pub fn attach(self: &Arc<Self>, volume: VolumeId) -> Result<Attached, Error> {
        let mut entries = self.entries.lock();
        let entry = entries.entry(volume).or_default();
        if entry.exclusive {
            return Err(Error::in_use(
                "it is being resized, rolled back, received or removed; try again",
            ));
        }
        entry.devices += 1;
        Ok(Attached { attachments: Arc::clone(self), volume })
    }

    /// Remembers that a device which was counted is somebody's by a ticket.
    pub fn held(&self, volume: VolumeId, hold: &Arc<Hold>) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&volume) {
            entry.holds.retain(|known| known.strong_count() > 0);
            entry.holds.push(Arc::downgrade(hold));
        }
    }

    /// What is open of a volume by tickets.
    pub fn holds(&self, volume: VolumeId) -> Vec<Arc<Hold>> {
        let entries = self.entries.lock();
        let holds = entries.get(&volume).map_or(&[][..], |entry| &entry.holds);
        holds.iter().filter_map(Weak::upgrade).collect()
    }

    /// Keeps devices off.
    ///
    /// # Errors
    /// `InUse` when there are some, or somebody else keeps them off.
    pub fn exclude(self: &Arc<Self>, volume: VolumeId) -> Result<Exclusive, Error> {
        let mut entries = self.entries.lock();
        let entry = entries.entry(volume).or_default();
        match entry {
            Entry { devices: 0, exclusive: false, .. } => {
                entry.exclusive = true;
                Ok(Exclusive { attachments: Arc::clone(self), volume })
            }
            Entry { devices: 0, .. } => Err(Error::in_use(
                "it is being resized, rolled back, received or removed; try again",
            )),
            Entry { devices, .. } => Err(Error::in_use(format!(
                "it is attached ({devices} connections); disconnect its clients first"
            ))),
        }
    }

    /// The handle, if the volume was opened since the store was, or recovery found
    /// something of it. Without one, the catalog's root is all there is of it.
    pub fn handle(&self, volume: VolumeId) -> Option<Arc<engine::Volume>> {
        self.entries.lock().get(&volume)?.handle.clone()
    }

    /// The handle for writing, if there is one.
    pub fn leased(&self, volume: VolumeId) -> Option<Arc<engine::Volume>> {
        let entries = self.entries.lock();
        let entry = entries.get(&volume)?;
        if entry.leased { entry.handle.clone() } else { None }
    }

    /// Remembers a handle of the term that a lease of ours began.
    pub fn set_leased(&self, handle: Arc<engine::Volume>) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(handle.id()).or_default();
        entry.handle = Some(handle);
        entry.leased = true;
    }

    /// Remembers a handle of the last holder's term: good for persisting what
    /// recovery found, not for writing.
    pub fn set_recovered(&self, handle: Arc<engine::Volume>) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(handle.id()).or_default();
        entry.handle = Some(handle);
        entry.leased = false;
    }

    /// Forgets the handle, if it is still this one, so that the next device takes
    /// the lease anew.
    pub fn forget(&self, handle: &Arc<engine::Volume>) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&handle.id())
            && entry.handle.as_ref().is_some_and(|known| Arc::ptr_eq(known, handle))
        {
            entry.handle = None;
        }
    }

    /// How many devices are open on a volume.
    pub fn devices(&self, volume: VolumeId) -> u32 {
        self.entries.lock().get(&volume).map_or(0, |entry| entry.devices)
    }

    /// How many devices are open on volumes.
    pub fn devices_in_all(&self) -> u64 {
        self.entries.lock().values().map(|entry| u64::from(entry.devices)).sum()
    }

    fn change(&self, volume: VolumeId, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&volume) {
            change(entry);
            if entry.devices == 0 {
                entry.holds.clear();
            }
            if entry.devices == 0 && !entry.exclusive && entry.handle.is_none() {
                entries.remove(&volume);
            }
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.attachments.change(self.volume, |entry| entry.devices -= 1);
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.attachments.change(self.volume, |entry| entry.exclusive = false);
    }
}
