//! Which pages a cache keeps: S3-FIFO ("FIFO queues are all you need for cache eviction", SOSP
//! 2023). Pure: pages are numbers, places are numbers, and nothing is read or written here.
//!
//! What comes goes into a *small* queue, a tenth of the places. What is used there moves to the
//! *main* queue, and what is not leaves, remembered for a while as a *ghost*: if it comes again
//! it goes to the main queue at once. So what is read once, however much, takes a tenth of the
//! places from what is read again.
//!
//! Who reads a segment front to back uses each page several times in a row, and that is no sign
//! that it will be used again: a use counts only when [`APART`] other pages came since the page
//! came or was last counted.

use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// Places of the small queue: one of so many.
const SMALL_SHARE: u32 = 10;
/// Uses that are counted: what is used more often is kept no longer for it.
const USES_MAX: u8 = 3;
/// Pages that come between two uses that count as two: more than scans read at once, 4 MiB. Of a
/// cache whose small queue is shorter than that, half of its places.
const APART: u32 = 64;
/// No place.
const NONE: u32 = u32::MAX;

/// A page that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    /// Its place.
    pub place: u32,
    /// Its checksum, as whoever put it in said.
    pub check: u64,
}

/// A place to put a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    pub place: u32,
    /// The page that had to go for it.
    pub evicted: Option<u64>,
}

#[derive(Clone, Copy)]
struct Page {
    key: u64,
    check: u64,
    /// The next one of the same hash.
    next: u32,
    /// Pages that had come when it came, or when it was last counted as used.
    since: u32,
    uses: u8,
    /// Whether it can be found; a page that was taken out stays in its queue until that is its turn.
    found: bool,
}

/// The pages of a cache, and who leaves next. 64 bytes for each place at most.
pub(super) struct Queue {
    /// Places in all.
    capacity: u32,
    /// Places that may be used as long as nobody says more.
    grown: u32,
    pages: Vec<Page>,
    heads: Vec<u32>,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    ghosts: Ghosts,
    free: Vec<u32>,
    /// Pages that came, wrapping.
    came: u32,
    kept: u32,
}

impl Queue {
    /// With room for `capacity` pages, of which none may be used yet: see [`Self::grow`].
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            grown: 0,
            pages: Vec::new(),
            heads: vec![NONE; (capacity as usize).max(1).next_power_of_two()],
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: Ghosts::new(capacity),
            free: Vec::new(),
            came: 0,
            kept: 0,
        }
    }

    /// Pages that are kept.
    pub const fn kept(&self) -> u32 {
        self.kept
    }

    /// The first place that may not be used, if a page that comes would need it.
    pub fn wants_to_grow(&self) -> Option<u32> {
        let full = self.free.is_empty() && self.pages.len() >= self.grown as usize;
        (full && self.grown < self.capacity).then_some(self.grown)
    }

    /// Places below `end` may be used from now on.
    pub fn grow(&mut self, end: u32) {
        self.grown = self.grown.max(end.min(self.capacity));
    }

    /// A page, and notes that it is used.
    pub fn find(&mut self, key: u64) -> Option<Kept> {
        let place = self.place_of(key)?;
        let (came, apart) = (self.came, self.apart());
        let page = self.pages.get_mut(place as usize)?;
        if came.wrapping_sub(page.since) >= apart {
            page.since = came;
            page.uses = (page.uses + 1).min(USES_MAX);
        }
        Some(Kept { place, check: page.check })
    }

    /// A page.
    pub fn look(&self, key: u64) -> Option<Kept> {
        let place = self.place_of(key)?;
        Some(Kept { place, check: self.pages.get(place as usize)?.check })
    }

    /// A place for a page that comes, from which another one may have to go. It is in no queue
    /// until [`Self::put`] or [`Self::give_back`]. `None` while all are in the hands of somebody.
    pub fn take(&mut self) -> Option<Taken> {
        if let Some(place) = self.free.pop() {
            return Some(Taken { place, evicted: None });
        }
        if self.pages.len() < self.grown as usize {
            let place = self.pages.len() as u32;
            self.pages.push(Page { key: 0, check: 0, next: NONE, since: 0, uses: 0, found: false });
            return Some(Taken { place, evicted: None });
        }
        self.evict()
    }

    /// A place that was taken, and did not get a page.
    pub fn give_back(&mut self, place: u32) {
        self.free.push(place);
    }

    /// A page came into a place that was taken for it. One that is kept already stays as it is.
    pub fn put(&mut self, place: u32, key: u64, check: u64) {
        if self.place_of(key).is_some() || place as usize >= self.pages.len() {
            return self.give_back(place);
        }
        self.came = self.came.wrapping_add(1);
        if self.ghosts.take(key) {
            self.main.push_back(place);
        } else {
            self.small.push_back(place);
        }
        self.link(place, key, check);
    }

    /// A page that an earlier run left at a place, in the order of the places; nothing was taken
    /// yet. What is known of it is that it was kept. Whether it is kept now.
    pub fn restore(&mut self, place: u32, key: u64, check: u64) -> bool {
        if place >= self.capacity || self.place_of(key).is_some() {
            return false;
        }
        self.grow(place + 1);
        while self.pages.len() <= place as usize {
            self.free.push(self.pages.len() as u32);
            self.pages.push(Page { key: 0, check: 0, next: NONE, since: 0, uses: 0, found: false });
        }
        // The last one that was pushed, where places rise.
        if self.free.pop_if(|last| *last == place).is_none() {
            return false;
        }
        self.main.push_back(place);
        self.link(place, key, check);
        true
    }

    /// Takes a page out, if it is still the one that was found.
    pub fn remove(&mut self, key: u64, was: Kept) -> bool {
        if self.look(key) != Some(was) {
            return false;
        }
        self.unlink(was.place);
        true
    }

    fn apart(&self) -> u32 {
        APART.min(self.small_max() / 2)
    }

    const fn small_max(&self) -> u32 {
        self.capacity / SMALL_SHARE
    }

    fn evict(&mut self) -> Option<Taken> {
        loop {
            let small = self.small.len() > self.small_max() as usize || self.main.is_empty();
            let queue = if small { &mut self.small } else { &mut self.main };
            let place = queue.pop_front()?;
            let page = self.pages.get_mut(place as usize)?;
            if !page.found {
                return Some(Taken { place, evicted: None });
            }
            if page.uses == 0 {
                let key = page.key;
                self.unlink(place);
                if small {
                    self.ghosts.put(key);
                }
                return Some(Taken { place, evicted: Some(key) });
            }
            // Out of the small queue it comes as if it were new.
            page.uses = if small { 0 } else { page.uses - 1 };
            self.main.push_back(place);
        }
    }

    fn head(&self, key: u64) -> usize {
        hash(key) as usize & (self.heads.len() - 1)
    }

    fn place_of(&self, key: u64) -> Option<u32> {
        let mut at = self.heads[self.head(key)];
        while let Some(page) = self.pages.get(at as usize) {
            if page.key == key {
                return Some(at);
            }
            at = page.next;
        }
        None
    }

    fn link(&mut self, place: u32, key: u64, check: u64) {
        let head = self.head(key);
        let (next, since) = (self.heads[head], self.came);
        self.pages[place as usize] = Page { key, check, next, since, uses: 0, found: true };
        self.heads[head] = place;
        self.kept += 1;
    }

    fn unlink(&mut self, place: u32) {
        let Page { key, next, .. } = self.pages[place as usize];
        let head = self.head(key);
        self.pages[place as usize].found = false;
        self.kept -= 1;
        if self.heads[head] == place {
            self.heads[head] = next;
            return;
        }
        let mut at = self.heads[head];
        while let Some(page) = self.pages.get_mut(at as usize) {
            if page.next == place {
                page.next = next;
                return;
            }
            at = page.next;
        }
    }
}

/// What left the small queue unused, as long as about as many others left after it as there are
/// places. In rows, each with the last few that fell on it: one that is driven out of its row is
/// not known again, which costs a request.
struct Ghosts {
    rows: Vec<[Ghost; ROW]>,
    left: u32,
    age_max: u32,
}

/// What is kept of the hash of a page, and how many had left when it did; 0 is none.
type Ghost = (u32, u32);

/// Ghosts of a row.
const ROW: usize = 4;

impl Ghosts {
    fn new(capacity: u32) -> Self {
        let rows = (capacity as usize).div_ceil(ROW).max(1).next_power_of_two();
        Self { rows: vec![[(0, 0); ROW]; rows], left: 0, age_max: capacity }
    }

    fn at(&self, key: u64) -> (usize, u32) {
        let hash = hash(key);
        (hash as usize & (self.rows.len() - 1), (hash >> 32) as u32 | 1)
    }

    fn put(&mut self, key: u64) {
        let (row, print) = self.at(key);
        self.left = self.left.wrapping_add(1);
        self.rows[row].rotate_right(1);
        self.rows[row][0] = (print, self.left);
    }

    fn take(&mut self, key: u64) -> bool {
        let (row, print) = self.at(key);
        let young = |left: u32| self.left.wrapping_sub(left) < self.age_max;
        let at = self.rows[row].iter().position(|(seen, left)| *seen == print && young(*left));
        if let Some(at) = at {
            self.rows[row][at] = (0, 0);
        }
        at.is_some()
    }
}

/// The same in each run: nobody chooses keys.
fn hash(key: u64) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key)
}

#[cfg(test)]
mod tests;
