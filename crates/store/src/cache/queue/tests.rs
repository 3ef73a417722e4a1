use std::collections::HashMap;

use super::*;

/// A queue, and what is in the places.
struct Model {
    queue: Queue,
    places: HashMap<u32, u64>,
}

impl Model {
    fn new(capacity: u32) -> Self {
        let mut queue = Queue::new(capacity);
        queue.grow(capacity);
        Self { queue, places: HashMap::new() }
    }

    /// Reads a page as a cache does; whether it was there.
    fn read(&mut self, key: u64) -> bool {
        if let Some(kept) = self.queue.find(key) {
            assert_eq!(self.places.get(&kept.place), Some(&key), "a place holds another page");
            assert_eq!(kept.check, !key);
            return true;
        }
        let taken = self.queue.take().expect("nothing is in the hands of anybody");
        if let Some(evicted) = taken.evicted {
            assert_eq!(self.places.remove(&taken.place), Some(evicted));
            assert_eq!(self.queue.look(evicted), None);
        }
        assert!(!self.places.contains_key(&taken.place), "a place was given twice");
        self.places.insert(taken.place, key);
        self.queue.put(taken.place, key, !key);
        false
    }

    fn has(&self, key: u64) -> bool {
        self.queue.look(key).is_some()
    }

    fn hits(&mut self, keys: impl Iterator<Item = u64>) -> usize {
        keys.filter(|key| self.read(*key)).count()
    }
}

#[test]
fn what_fits_stays() {
    let mut model = Model::new(1000);
    assert_eq!(model.hits(0..1000), 0);
    assert_eq!(model.hits(0..1000), 1000);
    assert_eq!(model.queue.kept(), 1000);
}

#[test]
fn a_scan_does_not_flush_what_is_read_again() {
    let mut model = Model::new(1000);
    for _ in 0..2 {
        model.hits(0..800);
    }
    // Ten times the cache, each page read several times in a row.
    for page in 10_000..20_000 {
        for _ in 0..5 {
            model.read(page);
        }
    }
    // Those that came last before they were read again had too little between, which is a sixteenth.
    let left = (0..800).filter(|key| model.has(*key)).count();
    assert!(left >= 750, "{left} of 800 stayed");
    model.hits(0..800);
    model.hits(30_000..40_000);
    assert!((0..800).filter(|key| model.has(*key)).count() >= 750);
}

#[test]
fn what_a_scan_brought_leaves_first() {
    let mut model = Model::new(100);
    model.hits((0..80).chain(0..80));
    model.hits(1000..1200);
    model.hits(0..80);
    let scanned = (1000..1200).filter(|key| model.has(*key)).count();
    assert!(scanned <= 25, "{scanned} pages of a scan are still there");
}

#[test]
fn a_new_working_set_takes_over() {
    let mut model = Model::new(1000);
    for _ in 0..5 {
        model.hits(0..900);
    }
    for _ in 0..8 {
        model.hits(5000..5900);
    }
    let hits = model.hits(5000..5900);
    assert!(hits > 800, "{hits} of 900");
}

#[test]
fn what_comes_again_soon_after_it_left_is_kept() {
    let mut model = Model::new(100);
    model.hits(0..100);
    model.hits(200..260);
    let gone: Vec<u64> = (0..100).filter(|key| !model.has(*key)).collect();
    assert!(!gone.is_empty());
    model.hits(gone.iter().copied());
    model.hits(1000..1100);
    let kept = gone.iter().filter(|key| model.has(**key)).count();
    assert!(kept * 10 > gone.len() * 8, "{kept} of {}", gone.len());
}

#[test]
fn a_page_that_was_taken_out_is_not_found_and_its_place_is_given_again() {
    let mut model = Model::new(4);
    model.hits(0..4);
    let was = model.queue.look(2).unwrap();
    assert!(model.queue.remove(2, was));
    assert!(!model.queue.remove(2, was));
    model.places.remove(&was.place);
    assert_eq!(model.queue.kept(), 3);
    assert!(!model.has(2));
    model.hits(10..30);
    assert_eq!(model.queue.kept(), 4);
}

#[test]
fn a_page_that_changed_its_place_is_not_taken_out_by_who_found_it_before() {
    let mut model = Model::new(4);
    model.hits(0..1);
    let was = model.queue.look(0).unwrap();
    model.hits(10..30);
    model.hits(0..1);
    let again = model.queue.look(0).unwrap();
    if again != was {
        assert!(!model.queue.remove(0, was));
    }
    assert!(model.queue.remove(0, again));
}

#[test]
fn places_in_the_hands_of_somebody_are_given_to_nobody_else() {
    let mut queue = Queue::new(3);
    queue.grow(3);
    let taken: Vec<Taken> = std::iter::from_fn(|| queue.take()).collect();
    assert_eq!(taken.len(), 3);
    queue.give_back(taken[1].place);
    assert_eq!(queue.take(), Some(taken[1]));
    assert_eq!(queue.take(), None);
}

#[test]
fn a_page_that_came_twice_is_kept_once() {
    let mut queue = Queue::new(3);
    queue.grow(3);
    let (one, two) = (queue.take().unwrap(), queue.take().unwrap());
    queue.put(one.place, 7, 1);
    queue.put(two.place, 7, 1);
    assert_eq!(queue.kept(), 1);
    assert_eq!(queue.look(7), Some(Kept { place: one.place, check: 1 }));
    assert_eq!(queue.take().map(|taken| taken.place), Some(two.place));
}

#[test]
fn without_room_to_grow_pages_leave_early() {
    let mut queue = Queue::new(100);
    assert_eq!(queue.wants_to_grow(), Some(0));
    queue.grow(2);
    for key in 0..2 {
        let taken = queue.take().unwrap();
        queue.put(taken.place, key, 0);
    }
    assert_eq!(queue.wants_to_grow(), Some(2));
    assert_eq!(queue.take().unwrap().evicted, Some(0));
}

#[test]
fn a_restart_finds_pages_where_they_were() {
    let mut model = Model { queue: Queue::new(100), places: HashMap::new() };
    for place in [1, 2, 50, 99] {
        let key = 1000 + u64::from(place);
        assert!(model.queue.restore(place, key, !key));
        model.places.insert(place, key);
    }
    assert!(!model.queue.restore(100, 5, 0), "behind the end");
    assert!(!model.queue.restore(99, 6, 0), "taken");
    assert!(!model.queue.restore(60, 1001, 0), "twice");
    assert_eq!(model.queue.kept(), 4);
    for place in [1, 2, 50, 99] {
        assert!(model.read(1000 + place));
    }
    model.hits(0..96);
    assert_eq!(model.queue.kept(), 100);
}

#[test]
fn a_scan_after_a_restart_leaves_what_was_there() {
    let mut model = Model { queue: Queue::new(1000), places: HashMap::new() };
    for place in 0..900 {
        assert!(model.queue.restore(place, place.into(), !u64::from(place)));
        model.places.insert(place, place.into());
    }
    model.queue.grow(1000);
    model.hits(10_000..20_000);
    let left = (0..900).filter(|key| model.has(*key)).count();
    assert!(left >= 890, "{left}");
}

#[test]
fn nothing_is_lost_or_doubled_whatever_is_asked() {
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    for capacity in [1, 2, 3, 10, 64, 300] {
        let mut model = Model::new(capacity);
        for _ in 0..20_000 {
            let key = random(u64::from(capacity) * 3);
            match random(10) {
                0 => {
                    if let Some(kept) = model.queue.look(key) {
                        assert!(model.queue.remove(key, kept));
                        assert_eq!(model.places.remove(&kept.place), Some(key));
                    }
                }
                _ => {
                    model.read(key);
                }
            }
            assert_eq!(model.queue.kept() as usize, model.places.len());
        }
        let (places, kept) = (model.places.clone(), model.queue.kept());
        assert!(kept <= capacity);
        assert!(places.iter().all(|(place, key)| {
            model.queue.look(*key) == Some(Kept { place: *place, check: !key })
        }));
    }
}
