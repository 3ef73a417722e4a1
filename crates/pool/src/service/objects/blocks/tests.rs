//! Facts about hashes of blocks and files made by them.

use std::io::Read;

use archipelago_model::AccountId;

use super::super::tests::{ACCOUNT, Home, named};
use super::super::{
    Container, CopySource, Place, Removed, Service, Update, UpdateContent, Versioning, Which,
};
use super::{
    BLOCK_WAIT_MS, BlockHash, Compose, Composed, HASHED_BLOCK_BYTES, HASHED_BLOCKS_MAX, ROWS_MAX,
};
use crate::catalog::{Tx, blocks};
use crate::object::{Meta, Object};
use crate::testing::noise;
use crate::{Collection, ErrorKind};

const BLOCK: usize = HASHED_BLOCK_BYTES as usize;
const OTHER: AccountId = AccountId::new(8);

fn put(home: &Home, name: &str, mut bytes: &[u8]) -> (Object, BlockHash) {
    let size = Some(bytes.len() as u64);
    let finish = &mut |_: &super::super::Stored| Ok(Meta::default());
    home.service()
        .object_put_hashed(home.id, &named(name), size, &mut bytes, finish, &|_| Ok(()))
        .map(|(object, hash)| (object, hash.unwrap()))
        .unwrap()
}

fn hashes(home: &Home, name: &str) -> Vec<BlockHash> {
    let content = home.service().object_open(home.id, &named(name), Which::Latest).unwrap();
    home.service().hash_list(&content, &|| true).unwrap().map(Result::unwrap).collect()
}

fn try_compose(
    home: &Home,
    account: AccountId,
    name: &str,
    size: usize,
    hashes: &[BlockHash],
) -> Result<Composed, crate::Error> {
    let name = named(name);
    let wanted = Compose {
        container: home.id,
        name: &name,
        account,
        size: size as u64,
        hashes,
        sha256: None,
    };
    home.service().object_compose(&wanted, &mut || Ok(Meta::default()), &|_| Ok(()))
}

#[track_caller]
fn compose(home: &Home, name: &str, size: usize, hashes: &[BlockHash]) -> Object {
    match try_compose(home, ACCOUNT, name, size, hashes).unwrap() {
        Composed::Made(object, hash) => {
            assert_eq!(hash, BlockHash::of_file(hashes));
            *object
        }
        Composed::Missing(missing) => panic!("missing: {missing:?}"),
    }
}

fn upload(service: &Service, account: AccountId, mut bytes: &[u8]) -> Vec<BlockHash> {
    service.blocks_put(account, Some(bytes.len() as u64), &mut bytes).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

#[test]
fn a_block_is_hashed_without_the_zeros_at_its_end() {
    let home = Home::new();
    let mut bytes = noise(1, BLOCK);
    bytes[BLOCK - 5000..].fill(0);
    bytes[BLOCK - 5001] = 7;
    bytes.extend([0, 0, 3, 0]);
    bytes.extend(vec![0; BLOCK]);
    let (_, hash) = put(&home, "o", &bytes);
    let found = hashes(&home, "o");
    assert_eq!(found[0].to_string(), sha256(&bytes[..BLOCK - 5000]));
    let mut second = vec![0, 0, 3];
    assert_eq!(found[1].to_string(), sha256(&second));
    assert_eq!(found[2], BlockHash::of_zeros());
    second.clear();
    let pair = |a: [u8; 32], b: [u8; 32]| {
        let mut out = [0; 32];
        hex::decode_to_slice(sha256(&[a, b].concat()), &mut out).unwrap();
        out
    };
    let left = pair(found[0].0, found[1].0);
    let right = pair(found[2].0, [0; 32]);
    assert_eq!(hash.0, pair(left, right));
}

#[test]
fn the_hash_of_nothing_is_that_of_no_bytes_and_of_one_block_its_own() {
    let home = Home::new();
    assert_eq!(put(&home, "empty", b"").1.to_string(), sha256(b""));
    assert_eq!(put(&home, "small", b"small").1.to_string(), sha256(b"small"));
}

#[test]
fn what_came_by_another_door_is_hashed_when_somebody_asks_and_only_once() {
    let home = Home::new();
    let object = home.put("o", b"content");
    assert_eq!(home.service().object_hashes(&[object.id]).unwrap().len(), 0);
    assert_eq!(hashes(&home, "o")[0].to_string(), sha256(b"content"));
    let known = home.service().object_hashes(&[object.id]).unwrap();
    assert_eq!(known[&object.id].to_string(), sha256(b"content"));
}

#[test]
fn a_file_is_made_of_hashes_of_blocks_that_its_account_has_and_no_data_is_stored() {
    let home = Home::new();
    let bytes = noise(2, 2 * BLOCK + 777);
    put(&home, "first", &bytes);
    let before = home.service().core.engine.counters().ingest_bytes;
    let list = hashes(&home, "first");
    let object = compose(&home, "second", bytes.len(), &list);
    assert_eq!(home.get("second", Which::Latest).unwrap(), bytes);
    assert_eq!(home.service().core.engine.counters().ingest_bytes, before);
    assert_eq!(object.etag, home.put("third", &bytes).etag);
    let turned = [list[1], list[0], BlockHash::of_zeros(), list[0], list[2]];
    compose(&home, "turned", 4 * BLOCK + 777, &turned);
    let expected = [
        &bytes[BLOCK..2 * BLOCK],
        &bytes[..BLOCK],
        &vec![0; BLOCK],
        &bytes[..BLOCK],
        &bytes[2 * BLOCK..],
    ];
    assert_eq!(home.get("turned", Which::Latest).unwrap(), expected.concat());
    // The last block of one may be inside another.
    compose(&home, "inside", BLOCK + 777, &[list[2], list[2]]);
    let mut inside = bytes[2 * BLOCK..].to_vec();
    inside.resize(BLOCK, 0);
    inside.extend(&bytes[2 * BLOCK..]);
    assert_eq!(home.get("inside", Which::Latest).unwrap(), inside);
}

#[test]
fn a_hash_gives_nothing_to_an_account_that_never_had_the_block() {
    let home = Home::new();
    put(&home, "secret", &noise(3, 2 * BLOCK));
    upload(home.service(), ACCOUNT, b"uploaded");
    let mut list = hashes(&home, "secret");
    list.push(sha256(b"uploaded").parse().unwrap());
    let theirs = try_compose(&home, OTHER, "stolen", 2 * BLOCK + 8, &list).unwrap();
    assert_eq!(theirs, Composed::Missing(list));
}

#[test]
fn uploaded_blocks_become_a_file_and_no_longer_wait_then() {
    let home = Home::new();
    let bytes = noise(4, BLOCK + 100);
    let list: Vec<_> =
        bytes.chunks(BLOCK).flat_map(|b| upload(home.service(), ACCOUNT, b)).collect();
    let missing = try_compose(&home, ACCOUNT, "o", BLOCK + 1, &[list[0], BlockHash([1; 32])]);
    assert_eq!(missing.unwrap(), Composed::Missing(vec![BlockHash([1; 32])]));
    let waiting = || home.service().core.catalog.read(|tx| blocks::waiting(tx, ACCOUNT)).unwrap();
    assert_eq!(waiting().0, 2);
    compose(&home, "o", bytes.len(), &list);
    assert_eq!(home.get("o", Which::Latest).unwrap(), bytes);
    assert_eq!(waiting(), (0, 0));
    // Both in one request, and found where they are now.
    assert_eq!(upload(home.service(), ACCOUNT, &bytes), list);
    compose(&home, "again", bytes.len(), &list);
}

#[test]
fn a_count_of_hashes_that_is_not_that_of_the_size_is_refused() {
    let home = Home::new();
    put(&home, "o", &noise(5, BLOCK));
    let list = hashes(&home, "o");
    for size in [0, BLOCK + 1] {
        let error = try_compose(&home, ACCOUNT, "p", size, &list).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    // As is a size that cuts off what a hash says.
    let error = try_compose(&home, ACCOUNT, "p", BLOCK - 1, &list).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

fn remove(home: &Home, name: &str) -> Removed {
    home.remove(name, Which::Latest)
}

#[test]
fn blocks_are_found_through_a_copy_when_the_first_file_is_gone() {
    let home = Home::new();
    let bytes = noise(6, BLOCK + 9);
    put(&home, "o", &bytes);
    let list = hashes(&home, "o");
    let from = CopySource { container: home.id, name: named("o"), which: Which::Latest };
    let keep = &mut |object: &Object| Ok(object.meta.clone());
    home.service().object_copy(&from, home.id, &named("copy"), keep, &|_| Ok(())).unwrap();
    remove(&home, "o");
    compose(&home, "new", bytes.len(), &list);
    assert_eq!(home.get("new", Which::Latest).unwrap(), bytes);
}

#[test]
fn what_no_file_has_any_more_is_missing_and_its_hashes_go() {
    let home = Home::new();
    put(&home, "o", &noise(7, BLOCK));
    let list = hashes(&home, "o");
    remove(&home, "o");
    let missing = try_compose(&home, ACCOUNT, "p", BLOCK, &list).unwrap();
    assert_eq!(missing, Composed::Missing(list));
    home.service().core.tidy_blocks(false).unwrap();
    let left = home.service().core.catalog.read(|tx| blocks::used(tx, 0, 9)).unwrap();
    assert_eq!(left, []);
}

#[test]
fn uploaded_blocks_outlive_a_collection_and_a_restart_but_not_their_time() {
    let mut home = Home::new();
    let bytes = noise(8, BLOCK);
    let list = upload(home.service(), ACCOUNT, &bytes);
    home.bench.reopen();
    home.service()
        .collect(Collection { now: true, thorough: true, ..Collection::default() })
        .unwrap();
    compose(&home, "o", BLOCK, &list);
    assert_eq!(home.get("o", Which::Latest).unwrap(), bytes);
    let other = upload(home.service(), ACCOUNT, b"another");
    let core = &home.service().core;
    let due = core.now_ms() + BLOCK_WAIT_MS;
    assert_eq!(core.catalog.write(|tx| blocks::expire(tx, due, 9)).unwrap(), 1);
    let missing = try_compose(&home, ACCOUNT, "p", 7, &other).unwrap();
    assert_eq!(missing, Composed::Missing(other));
}

#[test]
fn blocks_of_an_upload_that_was_given_up_go_after_a_minute_when_room_is_asked_for() {
    let home = Home::new();
    upload(home.service(), ACCOUNT, &noise(8, BLOCK));
    let all = || {
        let all = Collection { now: true, thorough: true, ..Collection::default() };
        home.service().collect(all).unwrap();
        home.service().core.catalog.read(|tx| blocks::waiting(tx, ACCOUNT)).unwrap().0
    };
    assert_eq!(all(), 1);
    let data = home.bench.dir.path().join("data");
    let old = "UPDATE block_upload SET created_ms = created_ms - 60001";
    crate::testing::tamper(&data, old);
    assert_eq!(all(), 0);
}

#[test]
fn long_lists_are_maps_that_survive_a_collection() {
    let home = Home::new();
    home.versioning(Versioning::Enabled);
    put(&home, "o", &noise(9, 512));
    let mut list = vec![BlockHash::of_zeros(); 4000];
    list.extend(hashes(&home, "o"));
    let size = 4000 * BLOCK + 512;
    let object = compose(&home, "long", size, &list);
    let list_of = |tx: &Tx<'_>| blocks::of_file(tx, object.id);
    let row = home.service().core.catalog.read(list_of).unwrap().unwrap();
    assert!(!row.root.is_hole());
    home.service()
        .collect(Collection { now: true, thorough: true, ..Collection::default() })
        .unwrap();
    assert_eq!(hashes(&home, "long"), list);
    let content = home.service().object_open(home.id, &named("long"), Which::Latest).unwrap();
    let mut end = Vec::new();
    content.range(size as u64 - 512, 512).read_to_end(&mut end).unwrap();
    assert_eq!(end, noise(9, 512));
    assert_eq!(home.service().core.catalog.verify().unwrap(), Vec::<String>::new());
}

/// Makes an object as long as that, with zeros.
fn resize(home: &Home, name: &str, size: u64) {
    let update = Update {
        container: home.id,
        name: &named(name),
        place: Place::At(0),
        content: UpdateContent::Nothing,
        size: Some(size),
        create: true,
        owner: None,
        decide: Box::new(|_| Ok(Meta::default())),
    };
    home.service().object_update(update).unwrap();
}

#[test]
fn an_object_with_more_blocks_than_a_list_has_is_not_hashed() {
    let home = Home::new();
    resize(&home, "o", HASHED_BLOCKS_MAX as u64 * HASHED_BLOCK_BYTES + 1);
    let content = home.service().object_open(home.id, &named("o"), Which::Latest).unwrap();
    let error = home.service().hash_list(&content, &|| panic!("it is read")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn hashing_ends_when_nobody_waits_for_it() {
    let home = Home::new();
    resize(&home, "o", 1 << 40);
    let content = home.service().object_open(home.id, &named("o"), Which::Latest).unwrap();
    let asked = std::cell::Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        asked.get() < 3
    };
    let error = home.service().hash_list(&content, &go_on).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(home.service().object_hashes(&[content.object().id]).unwrap().len(), 0);
}

#[test]
fn a_file_of_blocks_that_is_more_than_may_be_is_refused_before_anything_is_looked_for() {
    let home = Home::new();
    let change = &mut |c: &mut Container| {
        c.quota_bytes = Some(5 * BLOCK as u64);
        Ok(())
    };
    home.service().container_change(home.id, change).unwrap();
    let unknown = [BlockHash([1; 32]); 6];
    let error = try_compose(&home, ACCOUNT, "o", 6 * BLOCK, &unknown).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
}

/// Counts what is read of a long body.
struct Counted(u64);

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0 += out.len() as u64;
        out.fill(self.0 as u8);
        Ok(out.len())
    }
}

#[test]
fn blocks_of_unknown_length_end_where_the_quota_does() {
    let home = Home::new();
    let service = home.service();
    let account =
        service.account_create(&"lab".parse().unwrap(), Some(2 * BLOCK as u64)).unwrap().id;
    let mut input = Counted(0);
    let error = service.blocks_put(account, None, &mut input).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}");
    assert!(input.0 < 4 * BLOCK as u64, "{}", input.0);
    // What waits counts for what comes behind it.
    let bytes = noise(10, BLOCK + BLOCK / 2);
    service.blocks_put(account, None, &mut &bytes[..]).unwrap();
    let error = service.blocks_put(account, Some(BLOCK as u64), &mut &bytes[..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}");
}

#[test]
fn blocks_that_wait_are_counted_once_each() {
    let home = Home::new();
    let waiting = || home.service().core.catalog.read(|tx| blocks::waiting(tx, ACCOUNT)).unwrap();
    let bytes = noise(11, BLOCK + 5);
    for _ in 0..2 {
        upload(home.service(), ACCOUNT, &bytes);
        assert_eq!(waiting(), (2, BLOCK as u64 + 5));
    }
    let due = home.service().core.now_ms() + BLOCK_WAIT_MS;
    let catalog = &home.service().core.catalog;
    assert_eq!(catalog.write(|tx| blocks::expire(tx, due, 1)).unwrap(), 1);
    assert_eq!(waiting().0, 1);
    assert_eq!(catalog.write(|tx| blocks::expire(tx, due, 9)).unwrap(), 1);
    assert_eq!(waiting(), (0, 0));
}

#[test]
fn a_block_of_a_file_that_has_ended_is_missing() {
    let home = Home::new();
    put(&home, "o", &noise(12, BLOCK));
    let list = hashes(&home, "o");
    let ends = &mut |object: &Object| {
        let mut meta = object.meta.clone();
        meta.settings.insert(crate::DELETE_AT.to_owned(), "1".to_owned());
        Ok(meta)
    };
    home.service().object_change(home.id, &named("o"), Which::Latest, ends).unwrap();
    let missing = try_compose(&home, ACCOUNT, "p", BLOCK, &list).unwrap();
    assert_eq!(missing, Composed::Missing(list));
}

#[test]
fn nothing_is_put_into_the_index_of_a_list_that_is_gone() {
    let home = Home::new();
    let catalog = &home.service().core.catalog;
    catalog.write(|tx| blocks::index(tx, ACCOUNT, "ab", 4711, 0)).unwrap();
    let left = catalog.write(|tx| blocks::remove_unused(tx, 4711, 9)).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_list_is_not_in_the_index_of_accounts_that_came_meanwhile() {
    let home = Home::new();
    let (object, _) = put(&home, "o", b"content");
    let catalog = &home.service().core.catalog;
    let list = catalog.read(|tx| blocks::of_file(tx, object.id)).unwrap().unwrap();
    catalog.write(|tx| blocks::set_indexed(tx, list.id, false)).unwrap();
    let set = |accounts: &[AccountId]| {
        catalog.write(|tx| blocks::set_indexed_for(tx, list.id, accounts)).unwrap()
    };
    assert!(!set(&[]));
    assert!(!catalog.read(|tx| blocks::is_indexed(tx, object.id)).unwrap());
    assert!(set(&[ACCOUNT]));
    assert!(catalog.read(|tx| blocks::is_indexed(tx, object.id)).unwrap());
}

#[test]
fn a_long_list_comes_into_the_index_at_several_opportunities() {
    let home = Home::new();
    let core = &home.service().core;
    put(&home, "o", &noise(13, BLOCK));
    let mut list = vec![BlockHash::of_zeros(); 2 * ROWS_MAX];
    list.extend(hashes(&home, "o"));
    let object = compose(&home, "long", (2 * ROWS_MAX + 1) * BLOCK, &list);
    remove(&home, "o");
    core.catalog.write(blocks::forget_index).unwrap();
    let mut at = None;
    let mut opportunities = 0;
    while !core.catalog.read(|tx| blocks::is_indexed(tx, object.id)).unwrap() {
        core.index_lists(&mut at, &mut (ROWS_MAX as u64)).unwrap();
        opportunities += 1;
    }
    assert!(opportunities > 2, "{opportunities}");
    compose(&home, "new", BLOCK, &list[2 * ROWS_MAX..]);
    assert_eq!(home.get("new", Which::Latest).unwrap(), noise(13, BLOCK));
}
