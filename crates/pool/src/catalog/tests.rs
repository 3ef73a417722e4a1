use std::path::PathBuf;

use archipelago_env::Env;
use archipelago_model::{
    Epoch, ImageId, Location, PoolId, SegmentId, SnapshotId, VolumeId, VolumeSize,
};
use tempfile::TempDir;

use super::volume::{HeadMove, VolumeRow};
use super::*;
use crate::error::{Error, ErrorKind};

const UUID: [u8; 16] = [7; 16];

pub(super) fn founding() -> Founding<'static> {
    Founding { uuid: UUID, place: ("directory", "file:pool"), now_ms: 1_000 }
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("catalog.sqlite")
}

fn open_at(path: &Path, founding: &Founding<'_>) -> Result<Catalog, CatalogError> {
    let env = Env::real();
    match crate::testing::server_url(path.parent().unwrap()) {
        Some(url) => {
            let settings = Settings::parse(&url).unwrap();
            Catalog::open(At::Server(&env, &settings, &path.display().to_string()), founding)
        }
        None => Catalog::open(At::File(&**env.disk(), path), founding),
    }
}

fn open(dir: &TempDir) -> Catalog {
    open_at(&path(dir), &founding()).unwrap()
}

pub(super) fn fresh() -> (TempDir, Catalog) {
    let dir = TempDir::new().unwrap();
    let catalog = open(&dir);
    (dir, catalog)
}

/// Changes the file behind the catalog's back.
fn tamper(dir: &TempDir, sql: &str) {
    crate::testing::tamper(dir.path(), sql);
}

pub(super) fn row(id: u64, name: &str) -> VolumeRow {
    VolumeRow {
        id: VolumeId::new(id),
        name: name.parse().unwrap(),
        size: VolumeSize::from_bytes(1 << 30).unwrap(),
        root: Location::from_raw(u64::MAX - 5),
        lsn: Location::HOLE,
        epoch: Epoch::new(0),
        parent: Some("image:debian-12".to_owned()),
        created_ms: 1_234,
        snapshots: 0,
    }
}

fn insert(catalog: &Catalog, volume: &VolumeRow) -> bool {
    catalog.write(|tx| volume::insert(tx, volume)).unwrap()
}

pub(super) fn find(catalog: &Catalog, name: &str) -> Result<Option<VolumeRow>, CatalogError> {
    catalog.read(|tx| volume::find(tx, &name.parse().unwrap()))
}

fn kind(error: CatalogError) -> ErrorKind {
    Error::from(error).kind()
}

#[test]
fn what_was_inserted_is_there_after_opening_again() {
    let (dir, catalog) = fresh();
    assert!(insert(&catalog, &row(1, "web")));
    drop(catalog);
    assert_eq!(find(&open(&dir), "web").unwrap(), Some(row(1, "web")));
}

#[test]
fn a_taken_name_changes_nothing() {
    let (_dir, catalog) = fresh();
    assert!(insert(&catalog, &row(1, "web")));
    let other = VolumeRow { size: VolumeSize::from_bytes(512).unwrap(), ..row(2, "web") };
    assert!(!insert(&catalog, &other));
    assert_eq!(find(&catalog, "web").unwrap(), Some(row(1, "web")));
}

#[test]
fn a_transaction_that_fails_leaves_nothing() {
    let (_dir, catalog) = fresh();
    let result: Result<(), CatalogError> = catalog.write(|tx| {
        volume::insert(tx, &row(1, "web"))?;
        Err(CatalogError::SegmentIds)
    });
    result.unwrap_err();
    assert_eq!(find(&catalog, "web").unwrap(), None);
}

#[test]
fn a_row_that_cannot_be_read_is_damage_and_not_an_absent_one() {
    crate::testing::on_files();
    let (dir, catalog) = fresh();
    insert(&catalog, &row(1, "web"));
    tamper(&dir, "UPDATE volume SET size = 'many' WHERE name = 'web'");
    assert_eq!(kind(find(&catalog, "web").unwrap_err()), ErrorKind::Damaged);
    assert_eq!(kind(catalog.read(volume::list).unwrap_err()), ErrorKind::Damaged);
}

#[test]
fn a_size_that_no_volume_has_is_damage() {
    let (dir, catalog) = fresh();
    insert(&catalog, &row(1, "web"));
    for bad in ["-512", "0", "513", "9223372036854775807"] {
        tamper(&dir, &format!("UPDATE volume SET size = {bad}"));
        assert_eq!(kind(find(&catalog, "web").unwrap_err()), ErrorKind::Damaged, "{bad}");
    }
}

#[test]
fn segment_ids_are_never_given_twice() {
    let (dir, catalog) = fresh();
    let first = catalog.write(|tx| state::take_segment_ids(tx, 64)).unwrap();
    assert_eq!(first, 1..65);
    drop(catalog);
    let second = open(&dir).write(|tx| state::take_segment_ids(tx, 64)).unwrap();
    assert_eq!(second, 65..129);
}

#[test]
fn segment_ids_end_with_an_error() {
    let (dir, catalog) = fresh();
    tamper(&dir, &format!("UPDATE store_state SET next_segment = {}", SegmentId::MAX.get() - 1));
    let result = catalog.write(|tx| state::take_segment_ids(tx, 64));
    assert_eq!(kind(result.unwrap_err()), ErrorKind::NoSpace);
}

#[test]
fn an_id_is_not_used_again_after_its_volume_is_gone() {
    let (_dir, catalog) = fresh();
    let take = || catalog.write(state::take_id).unwrap();
    let first = take();
    insert(&catalog, &row(first, "web"));
    catalog.write(|tx| volume::remove(tx, VolumeId::new(first))).unwrap();
    assert!(take() > first);
}

#[test]
fn the_log_floor_never_goes_back() {
    let (_dir, catalog) = fresh();
    let id = |raw| SegmentId::new(raw).unwrap();
    assert_eq!(catalog.read(state::log_floor).unwrap(), None);
    for (raised, expected) in [(5, 5), (3, 5), (9, 9)] {
        catalog.write(|tx| state::raise_log_floor(tx, id(raised))).unwrap();
        assert_eq!(catalog.read(state::log_floor).unwrap(), Some(id(expected)));
    }
}

#[test]
fn a_head_of_an_older_epoch_does_not_move() {
    let (_dir, catalog) = fresh();
    insert(&catalog, &row(1, "web"));
    let volume = VolumeId::new(1);
    let old = catalog.write(|tx| lease::take(tx, volume, "one", None)).unwrap();
    let new = catalog.write(|tx| lease::take(tx, volume, "two", Some(99))).unwrap();
    assert!(old < new);
    let head = |epoch| HeadMove {
        volume,
        epoch,
        root: Location::from_raw(1 << 24),
        lsn: Location::from_raw(2 << 24),
    };
    let stale = catalog.write(|tx| volume::move_head(tx, &head(old)));
    assert_eq!(kind(stale.unwrap_err()), ErrorKind::Fenced);
    assert_eq!(find(&catalog, "web").unwrap().unwrap().root, row(1, "web").root);
    catalog.write(|tx| volume::move_head(tx, &head(new))).unwrap();
    assert_eq!(find(&catalog, "web").unwrap().unwrap().root, Location::from_raw(1 << 24));
    let lease = catalog.read(|tx| lease::get(tx, volume)).unwrap().unwrap();
    assert_eq!((lease.epoch, lease.owner.as_str(), lease.expires_ms), (new, "two", Some(99)));
}

#[test]
fn the_head_of_a_removed_volume_is_fenced() {
    let (_dir, catalog) = fresh();
    let head = HeadMove {
        volume: VolumeId::new(4),
        epoch: Epoch::new(1),
        root: Location::HOLE,
        lsn: Location::HOLE,
    };
    let result = catalog.write(|tx| volume::move_head(tx, &head));
    assert_eq!(kind(result.unwrap_err()), ErrorKind::Fenced);
}

#[test]
fn a_bind_must_not_name_a_segment_that_is_condemned_or_forwarded() {
    let (dir, catalog) = fresh();
    let id = SegmentId::new(3).unwrap();
    let segment = segment::SegmentRow {
        id,
        pool: PoolId::FIRST,
        kind: segment::Kind::Cold,
        stored_bytes: 5,
        raw_bytes: 9,
    };
    catalog.write(|tx| segment::sealed(tx, &segment)).unwrap();
    catalog.write(|tx| segment::sealed(tx, &segment)).unwrap();
    assert_eq!(catalog.read(|tx| segment::leaving(tx, &[id])).unwrap(), []);
    assert_eq!(catalog.read(|tx| place::held(tx, PoolId::FIRST)).unwrap().stored_bytes, 5);
    for state in ["condemned", "forwarded"] {
        tamper(&dir, &format!("UPDATE segment SET state = '{state}'"));
        catalog.write(|tx| segment::sealed(tx, &segment)).unwrap();
        assert_eq!(catalog.read(|tx| segment::leaving(tx, &[id])).unwrap(), [id]);
    }
}

#[test]
fn a_volume_is_not_removed_under_its_snapshots() {
    let (_dir, catalog) = fresh();
    insert(&catalog, &row(1, "web"));
    let snapshot = snapshot::SnapshotRow {
        id: SnapshotId::new(2),
        uuid: [9; 16],
        volume: VolumeId::new(1),
        path: "web@before".parse().unwrap(),
        size: row(1, "web").size,
        root: Location::HOLE,
        created_ms: 5,
    };
    assert!(catalog.write(|tx| snapshot::insert(tx, &snapshot)).unwrap());
    assert!(!catalog.write(|tx| snapshot::insert(tx, &snapshot)).unwrap());
    catalog.write(|tx| volume::remove(tx, VolumeId::new(1))).unwrap_err();
    assert_eq!(catalog.read(snapshot::list).unwrap(), vec![snapshot]);
    assert_eq!(find(&catalog, "web").unwrap().unwrap().snapshots, 1);
}

#[test]
fn an_image_comes_back_as_it_went() {
    let (_dir, catalog) = fresh();
    let image = image::ImageRow {
        image: crate::resource::Image {
            id: ImageId::new(1),
            name: "debian-12".parse().unwrap(),
            format: "qcow2".to_owned(),
            os: None,
            size: VolumeSize::from_bytes(3 << 30).unwrap(),
            source_bytes: Some(77),
            sha256: Some("ab".repeat(32)),
            created_ms: 3,
        },
        root: Location::from_raw(5 << 24),
    };
    assert!(catalog.write(|tx| image::insert(tx, &image)).unwrap());
    assert!(!catalog.write(|tx| image::insert(tx, &image)).unwrap());
    assert_eq!(catalog.read(image::list).unwrap(), vec![image.clone()]);
    assert!(catalog.write(|tx| image::remove(tx, &image.image.name)).unwrap());
    assert!(!catalog.write(|tx| image::remove(tx, &image.image.name)).unwrap());
}

#[test]
fn readers_see_the_catalog_while_it_is_written() {
    let (_dir, catalog) = fresh();
    insert(&catalog, &row(1, "web"));
    catalog
        .write(|tx| {
            volume::insert(tx, &row(2, "db"))?;
            assert_eq!(catalog.read(volume::list).unwrap().len(), 1);
            Ok::<_, CatalogError>(())
        })
        .unwrap();
    assert_eq!(catalog.read(volume::list).unwrap().len(), 2);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    crate::testing::on_files();
    let (dir, catalog) = fresh();
    drop(catalog);
    tamper(&dir, "INSERT INTO schema_version VALUES (99, 0)");
    let before = std::fs::read(path(&dir)).unwrap();
    let error = open_at(&path(&dir), &founding()).map(drop).unwrap_err();
    assert!(matches!(error, CatalogError::Newer { got: 99, known: migrate::KNOWN }), "{error}");
    assert_eq!(std::fs::read(path(&dir)).unwrap(), before);
}

#[test]
fn the_catalog_of_another_store_is_refused() {
    let (dir, catalog) = fresh();
    drop(catalog);
    let other = Founding { uuid: [8; 16], ..founding() };
    let error = open_at(&path(&dir), &other).map(drop).unwrap_err();
    assert_eq!(kind(error), ErrorKind::Damaged);
}

#[test]
fn another_database_is_refused() {
    let dir = TempDir::new().unwrap();
    tamper(&dir, "CREATE TABLE bookmarks (url TEXT)");
    let error = open_at(&path(&dir), &founding()).map(drop).unwrap_err();
    assert!(matches!(error, CatalogError::NotCatalog), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_damage() {
    crate::testing::on_files();
    let dir = TempDir::new().unwrap();
    std::fs::write(path(&dir), vec![b'x'; 8192]).unwrap();
    let error = open_at(&path(&dir), &founding()).map(drop).unwrap_err();
    assert_eq!(kind(error), ErrorKind::Damaged);
    assert_eq!(std::fs::read(path(&dir)).unwrap(), vec![b'x'; 8192]);
}

#[test]
fn commits_are_durable_and_references_are_checked() {
    crate::testing::on_files();
    let (_dir, catalog) = fresh();
    let asked = catalog.write_aside(|tx| {
        let pragma = |name: &str| {
            let sql = format!("PRAGMA {name}");
            tx.first("pragma", &sql, [], |row| row.signed()).unwrap().unwrap()
        };
        assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (2, 1));
        let mode = tx.first("pragma", "PRAGMA journal_mode", [], |row| row.text())?.unwrap();
        assert_eq!(mode, "wal");
        Ok::<_, CatalogError>(())
    });
    asked.unwrap();
}

#[test]
fn a_closed_catalog_refuses() {
    let (_dir, catalog) = fresh();
    insert(&catalog, &row(1, "web"));
    catalog.close();
    assert_eq!(kind(catalog.read(volume::list).unwrap_err()), ErrorKind::Unavailable);
    let written = catalog.write(|tx| volume::insert(tx, &row(2, "db")));
    assert_eq!(kind(written.unwrap_err()), ErrorKind::Unavailable);
}
