//! What the operating system keeps in memory for the connections to one database:
//! the locks of its file, and the index of its write-ahead log with locks of its own.

use parking_lot::Mutex;
use rusqlite::ffi;

/// Locks of the index; SQLite's own number.
const INDEX_LOCKS: usize = ffi::SQLITE_SHM_NLOCK as usize;

/// Busy: another connection has a lock that stands against it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Busy;

/// How far a connection has locked the file; the order is SQLite's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Level {
    #[default]
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// Of all connections to one database.
#[derive(Default)]
pub(super) struct Shared {
    file: Mutex<FileLocks>,
    index: Mutex<Index>,
}

#[derive(Default)]
struct FileLocks {
    /// Connections at `Shared` or above.
    shared: u32,
    reserved: bool,
    pending: bool,
    exclusive: bool,
}

#[derive(Default)]
struct Index {
    regions: Vec<Region>,
    users: u32,
    locks: [IndexLock; INDEX_LOCKS],
}

#[derive(Clone, Copy, Default)]
struct IndexLock {
    shared: u32,
    exclusive: bool,
}

/// Memory that connections read and write through pointers, by SQLite's rules.
struct Region(*mut [u64]);

// SAFETY: the pointer is the only one to the allocation that this program follows,
// and only to free it; what SQLite does through its copies is SQLite's to order.
unsafe impl Send for Region {}

impl Region {
    fn new(bytes: usize) -> Self {
        let words = vec![0; bytes.div_ceil(size_of::<u64>())];
        Self(Box::into_raw(words.into_boxed_slice()))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::into_raw` and is freed once, here;
        // SQLite was told that the mapping ended before the last user was counted off.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// The part of one connection to the index.
#[derive(Default)]
pub(super) struct IndexUse {
    mapped: bool,
    shared: u32,
    exclusive: u32,
}

impl Shared {
    /// Raises the lock of a connection from `held` to `wanted`.
    pub fn lock(&self, held: &mut Level, wanted: Level) -> Result<(), Busy> {
        let mut locks = self.file.lock();
        if *held >= wanted {
            return Ok(());
        }
        match wanted {
            Level::None => {}
            Level::Shared => {
                if locks.pending || locks.exclusive {
                    return Err(Busy);
                }
                locks.shared += 1;
            }
            Level::Reserved => {
                if locks.reserved {
                    return Err(Busy);
                }
                locks.reserved = true;
            }
            Level::Pending | Level::Exclusive => {
                if *held < Level::Pending {
                    if locks.pending {
                        return Err(Busy);
                    }
                    locks.pending = true;
                }
                let above = *held >= Level::Reserved;
                if locks.shared > 1 || (locks.reserved && !above) {
                    // Kept, so that no new reader comes before the old ones are gone.
                    locks.reserved = locks.reserved || !above;
                    *held = Level::Pending;
                    return Err(Busy);
                }
                locks.reserved = true;
                locks.exclusive = true;
            }
        }
        *held = wanted;
        Ok(())
    }

    /// Lowers the lock of a connection to `wanted`, `Shared` or `None`.
    pub fn unlock(&self, held: &mut Level, wanted: Level) {
        let mut locks = self.file.lock();
        if *held <= wanted {
            return;
        }
        if *held >= Level::Reserved {
            locks.reserved = false;
        }
        if *held >= Level::Pending {
            locks.pending = false;
        }
        if *held == Level::Exclusive {
            locks.exclusive = false;
        }
        if wanted == Level::None {
            locks.shared -= 1;
        }
        *held = wanted;
    }

    /// Whether any connection means to write.
    pub fn is_reserved(&self) -> bool {
        self.file.lock().reserved
    }

    /// The memory of a region of the index; `None` where it is not there and must
    /// not be made. It stays where it is until the connection unmaps.
    pub fn map(
        &self,
        part: &mut IndexUse,
        region: usize,
        bytes: usize,
        extend: bool,
    ) -> Option<*mut u64> {
        let mut index = self.index.lock();
        if !part.mapped {
            part.mapped = true;
            index.users += 1;
        }
        while extend && index.regions.len() <= region {
            index.regions.push(Region::new(bytes));
        }
        index.regions.get(region).map(|region| region.0.cast())
    }

    /// Takes locks of the index for a connection, all or none.
    pub fn lock_index(
        &self,
        part: &mut IndexUse,
        first: usize,
        count: usize,
        exclusive: bool,
    ) -> Result<(), Busy> {
        let mut index = self.index.lock();
        let mask = mask(first, count);
        let wanted = &mut index.locks[first..first + count];
        if exclusive {
            if wanted.iter().any(|lock| lock.exclusive || lock.shared > 0) {
                return Err(Busy);
            }
            wanted.iter_mut().for_each(|lock| lock.exclusive = true);
            part.exclusive |= mask;
        } else if part.shared & mask != mask {
            if wanted.iter().any(|lock| lock.exclusive) {
                return Err(Busy);
            }
            wanted.iter_mut().for_each(|lock| lock.shared += 1);
            part.shared |= mask;
        }
        Ok(())
    }

    /// Gives back locks of the index that a connection has.
    pub fn unlock_index(&self, part: &mut IndexUse, first: usize, count: usize) {
        let mut index = self.index.lock();
        for (at, lock) in index.locks.iter_mut().enumerate().skip(first).take(count) {
            let bit = mask(at, 1);
            if part.shared & bit != 0 {
                lock.shared -= 1;
            }
            if part.exclusive & bit != 0 {
                lock.exclusive = false;
            }
        }
        part.shared &= !mask(first, count);
        part.exclusive &= !mask(first, count);
    }

    /// A connection needs the index no more; the last one ends it.
    pub fn unmap(&self, part: &mut IndexUse) {
        self.unlock_index(part, 0, INDEX_LOCKS);
        if std::mem::take(&mut part.mapped) {
            let mut index = self.index.lock();
            index.users -= 1;
            if index.users == 0 {
                index.regions.clear();
            }
        }
    }
}

fn mask(first: usize, count: usize) -> u32 {
    ((1 << count) - 1) << first
}

#[cfg(test)]
mod tests;
