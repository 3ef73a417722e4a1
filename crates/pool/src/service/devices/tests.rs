use crate::testing::{Bench, MIB, noise, stream, vol};
use crate::{ChangedRange, ErrorKind, Write};

#[test]
fn everything_with_a_map_is_exported() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.snapshot("web@one").unwrap();
    bench.import("base", &stream(&noise(1, 4096))).unwrap();
    bench.put_file("a/b", &stream(&noise(1, 100))).unwrap();
    let exports = bench.service.exports().unwrap();
    assert_eq!(exports, ["web", "web@one", "image:base", "file:files/a/b"]);
    for export in exports {
        assert_eq!(bench.device(&export).read_only(), export != "web");
    }
}

#[test]
fn hostile_names_are_not_found() {
    let bench = Bench::new();
    let long = "x".repeat(100_000);
    for name in
        ["", "@", "a@", "../../etc/passwd", "web\0", "image:", "file:x", ":", "\u{202e}", &long]
    {
        let error = bench.service.open_device(name).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{name:?}");
        assert!(error.message().len() < 1000);
    }
}

#[test]
fn devices_of_one_volume_see_each_others_writes() {
    let bench = Bench::new();
    bench.create("web", MIB);
    let (one, two) = (bench.device("web"), bench.device("web"));
    assert_eq!(bench.service.volume(&vol("web")).unwrap().attached, 2);
    one.write(&[Write::Data { offset: 0, bytes: &noise(1, 4096) }]).unwrap();
    let mut out = vec![0; 4096];
    two.read(0, &mut out).unwrap();
    assert_eq!(out, noise(1, 4096));
    two.flush().unwrap();
    drop((one, two));
    assert_eq!(bench.service.volume(&vol("web")).unwrap().attached, 0);
}

#[test]
fn a_file_is_a_device_of_whole_sectors() {
    let bench = Bench::new();
    bench.put_file("f", &stream(&noise(1, 1000))).unwrap();
    let device = bench.device("file:files/f");
    assert_eq!(device.size(), 1024);
    let mut out = vec![9; 1024];
    device.read(0, &mut out).unwrap();
    assert_eq!(out[..1000], noise(1, 1000));
    assert_eq!(out[1000..], [0; 24]);
}

#[test]
fn beyond_the_end_and_unaligned_is_refused() {
    let bench = Bench::new();
    bench.create("web", MIB);
    let device = bench.device("web");
    let mut out = [0; 512];
    for offset in [MIB, MIB - 1, 1, u64::MAX - 511, u64::MAX] {
        assert_eq!(device.read(offset, &mut out).unwrap_err().kind(), ErrorKind::Invalid);
        let write = Write::Data { offset, bytes: &[1; 512] };
        assert_eq!(device.write(&[write]).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(bench.get("web", 0, MIB as usize), vec![0; MIB as usize]);
}

#[test]
fn status_tells_data_and_holes() {
    let bench = Bench::new();
    bench.create("web", MIB);
    let device = bench.device("web");
    device.write(&[Write::Data { offset: 8192, bytes: &noise(1, 4096) }]).unwrap();
    let told = || {
        let ranges = device.status(0, MIB, 100).unwrap();
        ranges.into_iter().map(|r| (r.len, r.hole, r.zero)).collect::<Vec<_>>()
    };
    let rest = MIB - 12288;
    assert_eq!(told(), [(8192, true, true), (4096, false, false), (rest, true, true)]);
    device.write(&[Write::Zero { offset: 8192, len: 4096, may_unmap: true }]).unwrap();
    assert_eq!(told(), [(MIB, true, true)]);
    assert_eq!(device.status(0, MIB, 1).unwrap().len(), 1);
}

#[test]
fn changes_since_a_snapshot_are_told_by_volumes_and_by_snapshots() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 8192));
    bench.snapshot("web@one").unwrap();
    let one = "one".parse().unwrap();
    let device = bench.device("web");
    let changed = |len, changed| ChangedRange { len, changed };
    assert_eq!(device.changed_since(&one, 0, MIB, 10).unwrap(), [changed(MIB, false)]);
    device.write(&[Write::Data { offset: 4096, bytes: &noise(2, 4096) }]).unwrap();
    let expected = [changed(4096, false), changed(4096, true), changed(MIB - 8192, false)];
    assert_eq!(device.changed_since(&one, 0, MIB, 10).unwrap(), expected);
    assert_eq!(device.changed_since(&one, 0, MIB, 2).unwrap(), expected[..2]);
    bench.snapshot("web@two").unwrap();
    let two = bench.device("web@two");
    assert_eq!(two.changed_since(&one, 0, MIB, 10).unwrap(), expected);
    assert_eq!(two.changed_since(&one, 0, MIB, 2).unwrap(), expected[..2]);
    assert_eq!(two.snapshots().unwrap(), ["one".parse().unwrap(), "two".parse().unwrap()]);
    let missing = device.changed_since(&"nope".parse().unwrap(), 0, 512, 1).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn a_device_outlives_the_name_of_what_it_shows() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.snapshot("web@one").unwrap();
    let device = bench.device("web@one");
    bench.service.volume_remove(&vol("web"), true).unwrap();
    let mut out = vec![0; 4096];
    device.read(0, &mut out).unwrap();
    assert_eq!(out, noise(1, 4096));
}
