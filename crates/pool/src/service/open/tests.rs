use std::path::PathBuf;

use super::*;
use crate::service::{Finding, FindingKind};
use crate::testing::{Bench, MIB, noise, open, stream};

fn data(bench: &Bench) -> PathBuf {
    bench.dir.path().join("data")
}

fn file(bench: &Bench, id: SegmentId) -> PathBuf {
    data(bench).join(format!("pool/segments/{:07x}/{id}.seg", id.get() >> 12))
}

/// Segments of the log that the catalog has.
fn log(bench: &Bench) -> Vec<SegmentId> {
    bench.service.core.catalog.read(|tx| segment::log_from(tx, SegmentId::MIN)).unwrap()
}

fn cut(bench: &Bench, id: SegmentId, len: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(file(bench, id)).unwrap();
    assert!(file.metadata().unwrap().len() > len);
    file.set_len(len).unwrap();
}

fn refused(bench: &Bench) -> String {
    let error = open(&data(bench)).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    error.to_string()
}

/// A sealed segment of the log that has what was flushed and is in no map, noted in the
/// catalog; the store is given up as a kill does.
fn unpersisted() -> (Bench, SegmentId) {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 65536));
    let core = &bench.service.core;
    core.engine.rest_log().unwrap();
    core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
    core.back_up().unwrap();
    let id = log(&bench)[0];
    bench.service.abandon();
    (bench, id)
}

#[test]
fn damage_of_a_log_that_was_closed_in_peace_keeps_no_store_from_opening() {
    for len in [20_000, 100] {
        let mut bench = Bench::new();
        bench.create("web", MIB);
        bench.put("web", 0, &noise(1, 65536));
        bench.service.close().unwrap();
        bench.service = open(&data(&bench)).unwrap();
        let first = log(&bench)[0];
        bench.create("other", MIB);
        bench.put("other", 0, &noise(2, 65536));
        bench.service.close().unwrap();
        cut(&bench, first, len);
        bench.service = open(&data(&bench)).unwrap();
        let web = bench.service.open_device("web");
        assert!(web.and_then(|web| web.read(0, &mut [0; 65536])).is_err());
        assert!(bench.get("other", 0, 65536) == noise(2, 65536));
        let findings = bench.service.check().unwrap();
        let named = |f: &Finding| f.resource == format!("segment:{first}");
        assert!(findings.iter().any(named), "{findings:#?}");
    }
}

#[test]
fn the_last_segment_of_a_log_that_was_closed_in_peace_may_be_damaged_too() {
    crate::testing::on_files();
    let mut bench = Bench::new();
    bench.import("base", &stream(&noise(3, 300_032))).unwrap();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 65536));
    bench.service.close().unwrap();
    // Not by opening it again, which would begin a log behind this one.
    let catalog = rusqlite::Connection::open(data(&bench).join("catalog.sqlite")).unwrap();
    let sql = "SELECT MAX(id) FROM segment WHERE kind = 'hot'";
    let last = catalog.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    drop(catalog);
    cut(&bench, SegmentId::new(last as u64).unwrap(), 20_000);
    bench.service = open(&data(&bench)).unwrap();
    assert!(!bench.export("image:base").is_empty());
    assert!(bench.service.open_device("web").is_err());
}

#[test]
fn a_cut_off_segment_that_has_to_be_read_back_is_refused_and_named() {
    let (mut bench, id) = unpersisted();
    let path = file(&bench, id);
    let whole = std::fs::read(&path).unwrap();
    cut(&bench, id, 20_000);
    let text = refused(&bench);
    for part in [&*format!("segment {id}"), "cut off", "flushed", "copy", "rebuild"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    std::fs::write(&path, whole).unwrap();
    bench.service = open(&data(&bench)).unwrap();
    assert!(bench.get("web", 0, 65536) == noise(1, 65536));
}

#[test]
fn a_lost_segment_that_has_to_be_read_back_is_refused_and_named() {
    let (mut bench, id) = unpersisted();
    let (path, aside) = (file(&bench, id), bench.dir.path().join("aside"));
    std::fs::rename(&path, &aside).unwrap();
    let text = refused(&bench);
    for part in [&*format!("segment {id}"), "flushed", "copy", "rebuild"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    std::fs::rename(&aside, &path).unwrap();
    bench.service = open(&data(&bench)).unwrap();
    assert!(bench.get("web", 0, 65536) == noise(1, 65536));
}

#[test]
fn a_rebuild_goes_on_without_what_of_the_log_has_no_copy() {
    for lost in [false, true] {
        let (mut bench, id) = unpersisted();
        match lost {
            false => cut(&bench, id, 20_000),
            true => std::fs::remove_file(file(&bench, id)).unwrap(),
        }
        Service::rebuild(&data(&bench), &Env::real(), true).unwrap();
        bench.service = open(&data(&bench)).unwrap();
        assert!(bench.get("web", 0, 65536) != noise(1, 65536));
    }
}

#[test]
fn bulk_data_without_a_header_keeps_no_store_from_opening() {
    let mut bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 65536));
    bench.import("base", &stream(&noise(3, 300_032))).unwrap();
    let cold = bench.service.core.catalog.read(segment::newest).unwrap().unwrap();
    bench.service.abandon();
    cut(&bench, cold, 100);
    bench.service = open(&data(&bench)).unwrap();
    assert!(bench.get("web", 0, 65536) == noise(1, 65536));
    let findings = bench.service.check().unwrap();
    assert!(findings.iter().any(|f| f.kind == FindingKind::Footer), "{findings:#?}");
}
