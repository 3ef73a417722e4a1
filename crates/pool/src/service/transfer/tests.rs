use std::io;

use archipelago_format::stream::{Header, Reader, Record, StreamError};
use archipelago_model::SnapshotPath;

use crate::testing::{Bench, MIB, noise, size, stream, vol};
use crate::{Error, ErrorKind, Snapshot, Write};

fn path(text: &str) -> SnapshotPath {
    text.parse().unwrap()
}

fn send(bench: &Bench, snapshot: &str, since: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    let since = since.map(|name| name.parse().unwrap());
    bench.service.send(&path(snapshot), since.as_ref(), &mut out).unwrap();
    out
}

fn receive(bench: &Bench, target: &str, stream: &[u8]) -> Result<Snapshot, Error> {
    bench.service.receive(&path(target), &mut &stream[..])
}

/// The bytes that a full stream tells, and how many of them travelled.
fn unpack(stream: &[u8]) -> (Header, Vec<u8>, u64) {
    let mut reader = Reader::new(stream).unwrap();
    let header = *reader.header();
    let mut out = vec![0; header.size as usize];
    let mut travelled = 0;
    loop {
        match reader.next().unwrap() {
            Record::Data { offset, bytes } => {
                travelled += bytes.len() as u64;
                out[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
            }
            Record::Zero { .. } => {}
            Record::End => return (header, out, travelled),
        }
    }
}

#[test]
fn what_was_imported_is_exported_with_its_holes() {
    let bench = Bench::new();
    let mut bytes = vec![0; 8 * MIB as usize + 512];
    bytes[MIB as usize..2 * MIB as usize].copy_from_slice(&noise(1, MIB as usize));
    bytes[8 * MIB as usize..].copy_from_slice(&noise(2, 512));
    bench.import("base", &stream(&bytes)).unwrap();
    let (header, out, travelled) = unpack(&bench.export("image:base"));
    assert_eq!(header.size, bytes.len() as u64);
    assert!(out == bytes);
    assert_eq!(travelled, MIB + 512);
}

#[test]
fn a_file_comes_back_to_the_byte() {
    let bench = Bench::new();
    for len in [0, 1, 511, 4095, 4097, 100_001] {
        let bytes = noise(len as u64, len);
        bench.put_file("f", &stream(&bytes)).unwrap();
        let (header, out, _) = unpack(&bench.export("file:files/f"));
        assert_eq!(header.size, len as u64);
        assert!(out == bytes, "{len}");
    }
    assert_eq!(bench.service.files(None).unwrap().len(), 1);
}

#[test]
fn a_live_volume_is_exported_as_of_now() {
    let bench = Bench::new();
    bench.create("web", MIB);
    let device = bench.device("web");
    device.write(&[Write::Data { offset: 512, bytes: &noise(1, 512) }]).unwrap();
    let (_, out, travelled) = unpack(&bench.export("volume:web"));
    assert_eq!(out[512..1024], noise(1, 512));
    assert_eq!(travelled, 4096);
}

#[test]
fn a_snapshot_travels_in_full_and_then_by_its_differences() {
    let (here, there) = (Bench::new(), Bench::new());
    here.create("web", 8 * MIB);
    here.put("web", 0, &noise(1, MIB as usize));
    here.snapshot("web@one").unwrap();
    here.put("web", 8192, &noise(2, 4096 + 512));
    let device = here.device("web");
    let zeros = Write::Zero { offset: 65536 + 512, len: 16384, may_unmap: true };
    device.write(&[zeros, Write::Data { offset: 7 * MIB, bytes: &noise(3, 512) }]).unwrap();
    drop(device);
    here.snapshot("web@two").unwrap();
    let full = send(&here, "web@one", None);
    let difference = send(&here, "web@two", Some("one"));
    assert!(difference.len() < 64 << 10, "{}", difference.len());

    let received = receive(&there, "copy@one", &full).unwrap();
    assert_eq!(received.uuid, here.service.snapshot(&path("web@one")).unwrap().uuid);
    receive(&there, "copy@two", &difference).unwrap();
    for (ours, theirs) in [("web@one", "copy@one"), ("web@two", "copy@two"), ("web", "copy")] {
        let (ours, theirs) = (here.device(ours), there.device(theirs));
        let mut bytes = [vec![1; 8 * MIB as usize], vec![2; 8 * MIB as usize]];
        ours.read(0, &mut bytes[0]).unwrap();
        theirs.read(0, &mut bytes[1]).unwrap();
        assert!(bytes[0] == bytes[1]);
    }
}

#[test]
fn a_difference_is_received_also_after_the_volume_was_open_and_after_a_crash() {
    let (here, mut there) = (Bench::new(), Bench::new());
    here.create("web", MIB);
    here.snapshot("web@one").unwrap();
    here.put("web", 0, &noise(1, 4096));
    here.snapshot("web@two").unwrap();
    receive(&there, "web@one", &send(&here, "web@one", None)).unwrap();
    drop(there.device("web"));
    receive(&there, "web@two", &send(&here, "web@two", Some("one"))).unwrap();
    assert_eq!(there.get("web", 0, 4096), noise(1, 4096));
    there.crash();
    assert_eq!(there.get("web", 0, 4096), noise(1, 4096));
}

#[test]
fn a_received_shrink_does_not_let_the_tail_come_back() {
    let (here, there) = (Bench::new(), Bench::new());
    here.create("web", 2 * MIB);
    here.put("web", 0, &noise(1, 2 * MIB as usize));
    here.snapshot("web@one").unwrap();
    here.service.volume_resize(&vol("web"), size(MIB + 512)).unwrap();
    here.put("web", MIB, &noise(2, 512));
    here.snapshot("web@two").unwrap();
    receive(&there, "web@one", &send(&here, "web@one", None)).unwrap();
    receive(&there, "web@two", &send(&here, "web@two", Some("one"))).unwrap();
    let grown = there.service.volume_resize(&vol("web"), size(2 * MIB)).unwrap();
    assert_eq!(grown.size, size(2 * MIB));
    let mut expected = noise(1, MIB as usize);
    expected.extend(noise(2, 512));
    expected.resize(2 * MIB as usize, 0);
    assert!(there.get("web", 0, 2 * MIB as usize) == expected);
}

#[test]
fn a_difference_needs_its_base_and_an_unchanged_volume() {
    let (here, there) = (Bench::new(), Bench::new());
    for bench in [&here, &there] {
        bench.create("web", MIB);
        bench.snapshot("web@one").unwrap();
    }
    here.snapshot("web@two").unwrap();
    let difference = send(&here, "web@two", Some("one"));
    // Another snapshot of the same name is another one.
    assert_eq!(receive(&there, "web@two", &difference).unwrap_err().kind(), ErrorKind::NotFound);
    receive(&there, "copy@one", &send(&here, "web@one", None)).unwrap();
    let device = there.device("copy");
    assert_eq!(receive(&there, "copy@two", &difference).unwrap_err().kind(), ErrorKind::InUse);
    device.write(&[Write::Data { offset: 0, bytes: &[1; 512] }]).unwrap();
    drop(device);
    assert_eq!(receive(&there, "copy@two", &difference).unwrap_err().kind(), ErrorKind::Invalid);
    there.service.snapshot_rollback(&path("copy@one")).unwrap();
    receive(&there, "copy@two", &difference).unwrap();
    let again = receive(&there, "copy@two", &difference).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn a_broken_stream_binds_nothing() {
    let bench = Bench::new();
    let good = stream(&noise(1, 3 * MIB as usize));
    let mut flipped = good.clone();
    flipped[2 * MIB as usize] ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    for bad in [&good[..good.len() - 1], &good[..100], &[], &flipped, &longer] {
        assert_eq!(bench.import("base", bad).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(bench.put_file("f", bad).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert!(bench.service.images().unwrap().is_empty());
    assert!(bench.service.files(None).unwrap().is_empty());
    bench.import("base", &good).unwrap();
}

#[test]
fn a_broken_replacement_leaves_the_file() {
    let bench = Bench::new();
    let bytes = noise(1, 5000);
    bench.put_file("f", &stream(&bytes)).unwrap();
    let good = stream(&noise(2, 5000));
    bench.put_file("f", &good[..good.len() / 2]).unwrap_err();
    assert!(unpack(&bench.export("file:files/f")).1 == bytes);
}

#[test]
fn an_export_is_no_snapshot_and_a_difference_no_image() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.snapshot("web@one").unwrap();
    bench.snapshot("web@two").unwrap();
    let export = bench.export("volume:web");
    assert_eq!(receive(&bench, "new@one", &export).unwrap_err().kind(), ErrorKind::Invalid);
    let difference = send(&bench, "web@two", Some("one"));
    assert_eq!(bench.import("base", &difference).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_full_stream_does_not_replace_a_volume() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.snapshot("web@one").unwrap();
    let full = send(&bench, "web@one", None);
    assert_eq!(receive(&bench, "web@two", &full).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(bench.get("web", 0, 4096), noise(1, 4096));
}

#[test]
fn a_transport_that_fails_may_be_tried_again() {
    struct Broken;
    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    bench.create("web", MIB);
    let error = bench.service.export(&"volume:web".parse().unwrap(), &mut Broken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn the_same_image_again_adds_almost_nothing() {
    let bench = Bench::new();
    let bytes = stream(&noise(1, 8 * MIB as usize));
    bench.import("one", &bytes).unwrap();
    let before = bench.service.usage().unwrap();
    bench.import("two", &bytes).unwrap();
    let after = bench.service.usage().unwrap();
    // The index is a sample, keyed at random: a little may be stored again.
    assert!(after.unique - before.unique < MIB, "{before:?} {after:?}");
    assert!(after.physical - before.physical < 3 * MIB / 2, "{before:?} {after:?}");
    let again = bench.import("one", &bytes).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn an_export_that_meets_damage_says_so_in_the_stream() {
    let mut bench = Bench::new();
    bench.create("web", 4 * MIB);
    bench.put("web", 0, &noise(1, 65536));
    let rotten = noise(2, 65536);
    bench.put("web", 3 * MIB, &rotten);
    bench.snapshot("web@s").unwrap();
    bench.service.close().unwrap();
    let pool = bench.dir.path().join("data/pool/segments/0000000");
    for entry in std::fs::read_dir(pool).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(4096).position(|window| window == &rotten[..4096]) {
            bytes[at] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
    }
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    let (mut exported, mut sent) = (Vec::new(), Vec::new());
    let service = &bench.service;
    service.export(&"volume:web".parse().unwrap(), &mut exported).unwrap_err();
    let error = service.send(&"web@s".parse().unwrap(), None, &mut sent).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    for stream in [&exported, &sent] {
        let mut reader = Reader::new(&stream[..]).unwrap();
        assert!(matches!(reader.next(), Ok(Record::Data { offset: 0, .. })));
        let Err(StreamError::Sender(why)) = reader.next() else { panic!("no reason") };
        assert!(why.contains("segment") && error.message().contains(&why), "{why}");
    }
    // Who receives it is told, too, and nothing is bound.
    let refused = bench.import("copy", &exported).unwrap_err();
    assert!(refused.message().contains("segment"), "{refused}");
}

#[test]
fn damage_of_what_is_stored_once_more_is_no_fault_of_a_client() {
    let damage = Error::new(ErrorKind::Damaged, "a segment");
    let read = io::Error::new(io::ErrorKind::InvalidData, damage);
    let error = super::ingest_error(archipelago_engine::IngestError::Source(Box::new(read)));
    assert_eq!(error.kind(), ErrorKind::Damaged);
    let sent = io::Error::new(io::ErrorKind::InvalidData, "nonsense");
    let error = super::ingest_error(archipelago_engine::IngestError::Source(Box::new(sent)));
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
