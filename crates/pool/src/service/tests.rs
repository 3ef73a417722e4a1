use archipelago_store::layer::{Effect, Failure, Fault, Faulty, Op};
use rusqlite::Connection;

use crate::testing::{Bench, MIB, config, noise, open, size, stream, vol};
use crate::{ErrorKind, Origin, Write};

#[test]
fn a_flushed_write_is_there_after_a_crash() {
    let mut bench = Bench::new();
    bench.create("web", 64 * MIB);
    let bytes = noise(1, 8192);
    bench.put("web", 4096, &bytes);
    bench.crash();
    assert_eq!(bench.get("web", 4096, 8192), bytes);
    assert_eq!(bench.get("web", 0, 4096), vec![0; 4096]);
}

#[test]
fn everything_is_there_after_closing_and_opening() {
    let mut bench = Bench::new();
    bench.create("web", 64 * MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.snapshot("web@one").unwrap();
    bench.put("web", 0, &noise(2, 4096));
    bench.reopen();
    assert_eq!(bench.get("web", 0, 4096), noise(2, 4096));
    assert_eq!(bench.get("web@one", 0, 4096), noise(1, 4096));
}

#[test]
fn a_second_opening_is_refused_until_the_first_ends() {
    let bench = Bench::new();
    let data = bench.dir.path().join("data");
    assert_eq!(open(&data).map(drop).unwrap_err().kind(), ErrorKind::InUse);
    bench.service.close().unwrap();
    open(&data).unwrap();
}

#[test]
fn closing_twice_is_no_error_and_verbs_fail_afterwards() {
    let bench = Bench::new();
    bench.create("web", MIB);
    let device = bench.device("web");
    bench.service.close().unwrap();
    bench.service.close().unwrap();
    assert_eq!(bench.service.volumes().unwrap_err().kind(), ErrorKind::Unavailable);
    let late = device.write(&[Write::Data { offset: 0, bytes: &[1; 512] }]);
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn a_crash_again_before_anything_is_persisted_loses_nothing() {
    let mut bench = Bench::new();
    bench.create("web", 64 * MIB);
    for round in 0..4 {
        bench.put("web", round * MIB, &noise(round, 4096));
        bench.crash();
    }
    for round in 0..4 {
        assert_eq!(bench.get("web", round * MIB, 4096), noise(round, 4096), "round {round}");
    }
}

#[test]
fn a_row_that_cannot_be_read_keeps_its_name_and_its_data() {
    crate::testing::on_files();
    let bench = Bench::new();
    bench.create("web", 64 * MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.service.close().unwrap();
    let data = bench.dir.path().join("data");
    let catalog = || Connection::open(data.join("catalog.sqlite")).unwrap();
    let service = open(&data).unwrap();
    let good: i64 = catalog().query_row("SELECT size FROM volume", [], |row| row.get(0)).unwrap();
    catalog().execute("UPDATE volume SET size = 'torn'", []).unwrap();

    let again = service.volume_create(&[vol("web")], &Origin::Empty(size(MIB)));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    for error in [
        service.volume(&vol("web")).map(drop).unwrap_err(),
        service.volumes().map(drop).unwrap_err(),
        service.open_device("web").map(drop).unwrap_err(),
        service.volume_remove(&vol("web"), true).unwrap_err(),
        service.volume_rename(&vol("web"), &vol("db")).map(drop).unwrap_err(),
        service.snapshot_create(&["web@one".parse().unwrap()]).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
    service.abandon();
    assert_eq!(open(&data).map(drop).unwrap_err().kind(), ErrorKind::Damaged);

    catalog().execute("UPDATE volume SET size = ?1", [good]).unwrap();
    let service = open(&data).unwrap();
    let mut out = vec![0; 4096];
    service.open_device("web").unwrap().read(0, &mut out).unwrap();
    assert_eq!(out, noise(1, 4096));
}

#[test]
fn segments_without_a_catalog_are_not_taken_for_a_new_store() {
    crate::testing::on_files();
    let bench = Bench::new();
    bench.create("web", 64 * MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.service.close().unwrap();
    let data = bench.dir.path().join("data");
    std::fs::remove_file(data.join("catalog.sqlite")).unwrap();
    assert_eq!(open(&data).map(drop).unwrap_err().kind(), ErrorKind::Damaged);
    assert!(!data.join("catalog.sqlite").exists());
}

#[test]
fn the_catalog_of_another_store_is_refused() {
    crate::testing::on_files();
    let (one, two) = (Bench::new(), Bench::new());
    one.service.close().unwrap();
    two.service.close().unwrap();
    let (one, two) = (one.dir.path().join("data"), two.dir.path().join("data"));
    std::fs::copy(one.join("catalog.sqlite"), two.join("catalog.sqlite")).unwrap();
    assert_eq!(open(&two).map(drop).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn the_background_persists_what_has_waited_long() {
    let dir = tempfile::TempDir::new().unwrap();
    let config = crate::Config { checkpoint_interval_ms: 1, ..config() };
    let env = archipelago_env::Env::real();
    let service = crate::Service::open(dir.path(), env.clone(), config).unwrap();
    service.volume_create(&[vol("web")], &Origin::Empty(size(MIB))).unwrap();
    let device = service.open_device("web").unwrap();
    device.write(&[Write::Data { offset: 0, bytes: &[7; 4096] }]).unwrap();
    let waiting = || {
        let status = service.status();
        status.figures.iter().any(|(name, value)| name == "overlay_extents" && *value > 0.0)
    };
    for _ in 0..500 {
        if !waiting() {
            break;
        }
        env.clock().sleep(std::time::Duration::from_millis(20));
    }
    assert!(!waiting());
}

#[test]
fn df_tells_what_is_shared_and_what_is_not() {
    let bench = Bench::new();
    bench.create("web", 64 * MIB);
    bench.put("web", 0, &noise(1, MIB as usize));
    bench.clone_as("web2", "volume:web", None).unwrap();
    bench.put("web2", 8 * MIB, &noise(2, 4096));
    let usage = bench.service.usage().unwrap();
    assert_eq!(usage.logical, 128 * MIB);
    assert_eq!(usage.unique, MIB + 4096);
    assert!(usage.physical >= usage.compressed);
    assert_eq!(usage.pools[0].name, "default");
    let of = |source: &str| {
        let found = usage.resources.iter().find(|r| r.source.to_string() == source);
        found.map(|r| (r.referenced, r.exclusive, r.shared)).unwrap()
    };
    assert_eq!(of("volume:web"), (MIB, 0, MIB));
    assert_eq!(of("volume:web2"), (MIB + 4096, 4096, MIB));
}

#[test]
fn status_and_metrics_count_what_there_is() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.snapshot("web@one").unwrap();
    let device = bench.device("web");
    let status = bench.service.status();
    assert_eq!((status.volumes, status.snapshots, status.attached), (1, 1, 1));
    assert_eq!(status.problem, None);
    drop(device);
    assert_eq!(bench.service.status().attached, 0);
    let metrics = bench.service.metrics();
    assert!(metrics.iter().any(|m| m.name == "archipelago_volumes" && m.value == 1.0));
}

/// A store whose backend fails when told to.
fn faulty(dir: &tempfile::TempDir) -> (std::sync::Arc<crate::Service>, Faulty) {
    let mut layer = None;
    let env = archipelago_env::Env::real();
    let service = crate::Service::open_layered(dir.path(), env, config(), |store| {
        let faulty = Faulty::new(store);
        layer = Some(faulty.clone());
        std::sync::Arc::new(faulty)
    });
    (service.unwrap(), layer.unwrap())
}

#[test]
fn a_full_disk_is_said_to_be_one_and_room_makes_writing_work_again() {
    let dir = tempfile::TempDir::new().unwrap();
    let (service, disk) = faulty(&dir);
    service.volume_create(&[vol("web")], &Origin::Empty(size(64 * MIB))).unwrap();
    let device = service.open_device("web").unwrap();
    let first = noise(1, 4096);
    device.write(&[Write::Data { offset: 0, bytes: &first }]).unwrap();
    device.flush().unwrap();
    for op in [Op::Create, Op::Write] {
        disk.inject(Fault::always(op, Effect::Fail(Failure::NoSpace)));
    }
    let bytes = noise(2, 4096);
    let mut refused = None;
    // Room that was reserved before may still take some.
    for n in 0..4096 {
        if let Err(error) = device.write(&[Write::Data { offset: MIB + n * 4096, bytes: &bytes }]) {
            refused = Some(error);
            break;
        }
    }
    assert_eq!(refused.unwrap().kind(), ErrorKind::NoSpace);
    let snapshot = "web@full".parse().unwrap();
    let error = service.snapshot_create(std::slice::from_ref(&snapshot)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    let mut out = vec![0; 4096];
    device.read(0, &mut out).unwrap();
    assert!(out == first);
    disk.heal();
    device.write(&[Write::Data { offset: MIB, bytes: &bytes }]).unwrap();
    device.flush().unwrap();
    service.snapshot_create(&[snapshot]).unwrap();
    drop(device);
    service.abandon();
    let device = open(dir.path()).unwrap().open_device("web@full").unwrap();
    for (offset, expected) in [(0, &first), (MIB, &bytes)] {
        device.read(offset, &mut out).unwrap();
        assert!(out == *expected);
    }
}

#[test]
fn a_flipped_bit_is_damage_and_names_the_volume() {
    let dir = tempfile::TempDir::new().unwrap();
    {
        let service = open(dir.path()).unwrap();
        service.volume_create(&[vol("web")], &Origin::Empty(size(MIB))).unwrap();
        let device = service.open_device("web").unwrap();
        device.write(&[Write::Data { offset: 0, bytes: &[0x5a; 4096] }]).unwrap();
        device.flush().unwrap();
        drop(device);
        service.close().unwrap();
    }
    let (service, disk) = faulty(&dir);
    let device = service.open_device("web").unwrap();
    for offset in 0..64 * 1024 {
        // Somewhere in the first segment's body.
        if offset % 1024 == 0 {
            let effect = Effect::Flip { offset, mask: 1 };
            disk.inject(Fault::always(Op::Read, effect).on(archipelago_model::SegmentId::MIN));
        }
    }
    let mut out = vec![0; 4096];
    let error = device.read(0, &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.message().contains("volume 'web'"), "{error}");
    disk.heal();
    device.read(0, &mut out).unwrap();
    assert_eq!(out, [0x5a; 4096]);
}

#[test]
fn a_failed_import_binds_nothing_and_works_once_there_is_room() {
    let dir = tempfile::TempDir::new().unwrap();
    let (service, disk) = faulty(&dir);
    let spec = crate::NewImage {
        name: "base".parse().unwrap(),
        format: "raw".to_owned(),
        os: None,
        source_bytes: None,
        sha256: None,
    };
    let stream = stream(&noise(1, 9 * MIB as usize));
    for op in [Op::Create, Op::Write, Op::Seal] {
        disk.inject(Fault::always(op, Effect::Fail(Failure::NoSpace)));
        let error = service.image_import(&spec, &mut &stream[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{op:?}: {error}");
        assert!(service.images().unwrap().is_empty());
        disk.heal();
    }
    service.image_import(&spec, &mut &stream[..]).unwrap();
}

/// Backups of the catalog aside.
pub(in crate::service) fn files(bench: &Bench) -> Vec<archipelago_model::SegmentId> {
    let mut all = bench.service.store.list_from(archipelago_model::SegmentId::MIN).unwrap();
    let backups = bench.service.core.catalog.read(crate::catalog::segment::backups).unwrap();
    all.retain(|id| !backups.contains(id));
    all
}

pub(in crate::service) fn stored(bench: &Bench) -> u64 {
    files(bench).iter().map(|id| bench.service.store.len(*id).unwrap()).sum()
}

#[test]
fn df_says_whose_map_is_damaged() {
    let mut bench = Bench::new();
    bench.create("fine", MIB);
    bench.put("fine", 0, &noise(1, 8192));
    bench.service.core.engine.rest_log().unwrap();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(2, 8192));
    bench.service.close().unwrap();
    let pool = bench.dir.path().join("data/pool/segments/0000000");
    let files = std::fs::read_dir(pool).unwrap().map(|entry| entry.unwrap().path());
    let newest_node = files
        .filter_map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let at = bytes.chunks(512).rposition(|sector| sector.starts_with(b"MN\x01\x01"))?;
            Some((path, at * 512 + 9))
        })
        .max();
    let (path, at) = newest_node.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at] ^= 4;
    std::fs::write(path, bytes).unwrap();
    bench.service = open(&bench.dir.path().join("data")).unwrap();
    let error = bench.service.usage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    let text = error.message();
    assert!(text.contains("'web'") != text.contains("'fine'"), "{text}");
}

#[test]
fn a_full_disk_is_told_with_one_remedy() {
    let full = archipelago_store::StoreError::NoSpace { segment: None, op: "create" };
    let error = crate::Error::from(archipelago_engine::Error::from(full));
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!(error.message().matches("free").count(), 1, "{error}");
    assert_eq!(error.message().matches("quota").count(), 2, "{error}");
}

#[test]
fn a_large_dump_of_the_catalog_is_not_stored_twice() {
    crate::testing::on_files();
    let bench = Bench::new();
    bench.import("base", &stream(&noise(1, 65536))).unwrap();
    let core = &bench.service.core;
    let backups = || core.catalog.read(crate::catalog::segment::backups).unwrap().len();
    let changes = core.catalog.changes();
    core.back_up_both(changes).unwrap();
    assert_eq!(backups(), 2);
    // A text of 33 MiB in all.
    let sql = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 33) \
               INSERT INTO image SELECT LARGE";
    let catalog = Connection::open(bench.dir.path().join("data/catalog.sqlite")).unwrap();
    let columns: Vec<String> = catalog
        .prepare("SELECT name FROM pragma_table_info('image')")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let values = columns.iter().map(|column| match column.as_str() {
        "id" => "1000 + n.n".to_owned(),
        "name" => "printf('%d', n.n) || replace(hex(zeroblob(524200)), '00', 'ab')".to_owned(),
        other => format!("image.{other}"),
    });
    let values: Vec<String> = values.collect();
    let sql = sql.replace("LARGE", &format!("{} FROM n, image", values.join(", ")));
    catalog.execute_batch(&sql).unwrap();
    let refused = core.back_up_both(changes + 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoSpace);
    assert!(refused.message().contains("not stored twice"), "{refused}");
}
