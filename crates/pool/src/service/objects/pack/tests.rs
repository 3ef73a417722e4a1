//! Facts about small contents that are stored together.

use std::sync::Barrier;

use super::super::tests::{Home, named};
use super::*;
use crate::Collection;
use crate::catalog::{Tx, file};
use crate::error::ErrorKind;
use crate::object::{Meta, Which};
use crate::testing::noise;

fn bind(home: &Home, ingested: Ingested, name: &str, size: u64) {
    let (core, name) = (&home.service().core, named(name));
    let (stored, meta) = (Stored { size, etag: String::new() }, Meta::default());
    let body = |tx: &Tx<'_>, root| {
        let row = core.object_row(tx, home.id, &name, &stored, &meta, root, &|_| Ok(()))?;
        file::put(tx, &row, 0)?;
        Ok(())
    };
    core.bind(ingested, size, body).unwrap();
}

#[test]
fn small_objects_that_come_together_are_in_one_segment_and_each_reads_as_it_was_sent() {
    let home = Home::new();
    let core = &home.service().core;
    let contents: Vec<Vec<u8>> =
        [1, 511, 512, 4095, 4096, 4097, 65_536].map(|len| noise(len as u64, len)).to_vec();
    let stored = core.pack(&contents);
    let sealed: Vec<_> = stored.iter().map(|one| one.as_ref().unwrap().sealed.clone()).collect();
    assert_eq!(sealed[0].len(), 1);
    assert!(sealed.iter().all(|one| *one == sealed[0]));
    for (ingested, content) in stored.into_iter().zip(&contents) {
        let ingested = ingested.unwrap();
        let (name, size) = (named(&format!("o{}", content.len())), content.len() as u64);
        bind(&home, ingested, name.as_str(), size);
        assert!(home.get(name.as_str(), Which::Latest).unwrap() == *content);
    }
    assert_eq!(home.service().check().unwrap(), []);
}

#[test]
fn one_that_is_not_bound_takes_nothing_from_the_others() {
    let home = Home::new();
    let core = &home.service().core;
    let mut stored = core.pack(&[noise(1, 4096), noise(2, 4096)]);
    drop(stored.remove(0));
    let kept = stored.remove(0).unwrap();
    // The segment stays while one of them is not bound.
    let thorough = Collection { thorough: true, now: true, budget: None };
    home.service().collect(thorough).unwrap();
    bind(&home, kept, "o", 4096);
    assert!(home.get("o", Which::Latest).unwrap() == noise(2, 4096));
    assert_eq!(home.service().check().unwrap(), []);
}

#[test]
fn zeros_are_stored_nowhere() {
    let home = Home::new();
    let stored = home.service().core.pack(&[vec![0; 4096], vec![0; 5]]);
    assert!(stored.iter().all(|one| one.as_ref().unwrap().sealed.is_empty()));
}

#[test]
fn more_or_less_than_was_announced_is_refused() {
    let home = Home::new();
    for len in [99, 101] {
        let refused = home.service().core.store_small(100, &mut &noise(1, len)[..]);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn many_clients_put_small_objects_at_once() {
    let home = Home::new();
    let start = Barrier::new(16);
    std::thread::scope(|scope| {
        for client in 0..16_u64 {
            let (home, start) = (&home, &start);
            scope.spawn(move || {
                start.wait();
                for at in 0..8 {
                    let seed = client << 8 | at;
                    home.put(&format!("o{seed}"), &noise(seed, 3000 + seed as usize));
                }
            });
        }
    });
    for seed in (0..16_u64).flat_map(|client| (0..8).map(move |at| client << 8 | at)) {
        let content = home.get(&format!("o{seed}"), Which::Latest).unwrap();
        assert!(content == noise(seed, 3000 + seed as usize));
    }
    assert_eq!(home.service().check().unwrap(), []);
}
