//! Exports appear whole under their name, or not at all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use archipelago_format::stream::{Header, Writer};
use archipelago_image::{Exported, Format, ImageError, export, no_progress};
use support::{Folder, import, qemu_img, stream_of};

const MIB: u64 = 1 << 20;

fn write(stream: &[u8], target: &Path, format: Format) -> Result<Exported, ImageError> {
    export(&mut &stream[..], target, format, false, &no_progress)
}

fn same(raw: &Path, other: &Path, format: &str) {
    qemu_img(&[
        "compare".as_ref(),
        "-f".as_ref(),
        "raw".as_ref(),
        "-F".as_ref(),
        format.as_ref(),
        raw.as_os_str(),
        other.as_os_str(),
    ]);
}

#[test]
fn raw_comes_back_as_it_went_in_with_its_holes() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 64 * MIB);
    let expected = std::fs::read(&disk).unwrap();
    let target = folder.join("out.raw");
    let exported = write(&stream_of(&expected), &target, Format::Raw).unwrap();
    assert_eq!(exported.size, 64 * MIB);
    assert!(std::fs::read(&target).unwrap() == expected);
    assert!(std::fs::metadata(&target).unwrap().blocks() * 512 < 2 * MIB);
}

#[test]
fn qcow2_is_sound_and_equal_by_qemu_img() {
    let folder = Folder::new();
    for len in [8 * MIB, 8 * MIB + 512, 600 * MIB] {
        let disk = folder.disk("disk.raw", len);
        let target = folder.join(format!("{len}.qcow2"));
        write(&stream_of(&std::fs::read(&disk).unwrap()), &target, Format::Qcow2).unwrap();
        qemu_img(&["check", "-q", "-f", "qcow2", target.to_str().unwrap()]);
        same(&disk, &target, "qcow2");
        assert!(std::fs::metadata(&target).unwrap().len() < 4 * MIB);
        assert!(import(&target).unwrap().disk == std::fs::read(&disk).unwrap());
    }
}

#[test]
fn an_odd_size_is_kept_by_raw_and_rounded_up_by_qcow2() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 5 * MIB + 77);
    let mut expected = std::fs::read(&disk).unwrap();
    write(&stream_of(&expected), &folder.join("a.raw"), Format::Raw).unwrap();
    assert!(std::fs::read(folder.join("a.raw")).unwrap() == expected);
    write(&stream_of(&expected), &folder.join("a.qcow2"), Format::Qcow2).unwrap();
    expected.resize(expected.len().next_multiple_of(512), 0);
    assert!(import(&folder.join("a.qcow2")).unwrap().disk == expected);
}

#[test]
fn an_empty_resource_is_an_empty_file() {
    let folder = Folder::new();
    write(&stream_of(&[]), &folder.join("empty"), Format::Raw).unwrap();
    assert_eq!(std::fs::read(folder.join("empty")).unwrap(), b"");
}

#[test]
fn a_large_sparse_disk_is_written_at_once() {
    let folder = Folder::new();
    let header = Header { size: 10 << 40, ..Header::default() };
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    writer.data(9 << 40, &[1; 4096]).unwrap();
    let stream = writer.finish().unwrap();
    for (name, format) in [("a.raw", Format::Raw), ("a.qcow2", Format::Qcow2)] {
        let exported = write(&stream, &folder.join(name), format).unwrap();
        assert_eq!((exported.size, exported.data_bytes), (10 << 40, 4096));
        assert!(std::fs::metadata(folder.join(name)).unwrap().blocks() * 512 < MIB);
    }
    qemu_img(&["check", "-q", "-f", "qcow2", folder.join("a.qcow2").to_str().unwrap()]);
}

#[test]
fn an_existing_file_is_left_as_it_is_unless_forced() {
    let folder = Folder::new();
    let target = folder.join("a.raw");
    std::fs::write(&target, b"precious").unwrap();
    let stream = stream_of(&[1; 4096]);
    let error = write(&stream, &target, Format::Raw).unwrap_err();
    assert!(error.to_string().contains("exists and was left as it is"), "{error}");
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    export(&mut &stream[..], &target, Format::Raw, true, &no_progress).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), [1; 4096]);
    assert_eq!(folder.names(), ["a.raw"]);
}

#[test]
fn force_replaces_what_a_link_leads_to_and_never_a_folder_or_a_device() {
    let folder = Folder::new();
    let stream = stream_of(&[1; 4096]);
    std::fs::write(folder.join("a.raw"), b"old").unwrap();
    std::os::unix::fs::symlink("a.raw", folder.join("link")).unwrap();
    std::fs::create_dir(folder.join("dir")).unwrap();
    let force =
        |path: &Path| export(&mut &stream[..], path, Format::Raw, true, &no_progress).map(|_| ());
    force(&folder.join("link")).unwrap();
    assert!(std::fs::symlink_metadata(folder.join("link")).unwrap().is_symlink());
    assert_eq!(std::fs::read(folder.join("a.raw")).unwrap(), [1; 4096]);
    assert!(matches!(force(&folder.join("dir")), Err(ImageError::NotAFile(_))));
    assert!(matches!(force(Path::new("/dev/null")), Err(ImageError::NotAFile(_))));
}

#[test]
fn a_broken_stream_leaves_nothing_and_changes_nothing() {
    let folder = Folder::new();
    let kept = folder.join("kept.raw");
    std::fs::write(&kept, b"precious").unwrap();
    let stream = stream_of(&[1; 100_000]);
    let mut flipped = stream.clone();
    flipped[5000] ^= 1;
    for broken in [&stream[..stream.len() - 1], &stream[..5000], &flipped] {
        for format in [Format::Raw, Format::Qcow2] {
            assert!(write(broken, &folder.join("new"), format).is_err());
            assert!(export(&mut &broken[..], &kept, format, true, &no_progress).is_err());
        }
    }
    assert_eq!(std::fs::read(&kept).unwrap(), b"precious");
    assert_eq!(folder.names(), ["kept.raw"]);
}

#[test]
fn nothing_is_under_the_final_name_before_the_end() {
    let folder = Folder::new();
    let target = folder.join("a.raw");
    export(&mut &stream_of(&[1; 5 << 20])[..], &target, Format::Raw, false, &|done, total| {
        assert!(done == total || !target.exists());
    })
    .unwrap();
    assert!(target.exists());
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let folder = Folder::new();
    let target = folder.join("a.raw");
    let stream = stream_of(&[1; 5 << 20]);
    let result = export(&mut &stream[..], &target, Format::Raw, false, &|_, _| {
        std::fs::write(&target, b"precious").unwrap();
    });
    assert!(matches!(result, Err(ImageError::Exists(_))), "{result:?}");
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    assert_eq!(folder.names(), ["a.raw"]);
}

#[test]
fn a_difference_and_a_format_that_is_only_read_are_refused() {
    let folder = Folder::new();
    let header = Header { size: 4096, base: Some([1; 16]), identity: None };
    let stream = Writer::new(Vec::new(), &header).unwrap().finish().unwrap();
    let error = write(&stream, &folder.join("a"), Format::Raw).unwrap_err();
    assert!(matches!(error, ImageError::Difference), "{error}");
    let error = write(&stream, &folder.join("a"), Format::Vmdk).unwrap_err();
    assert!(error.to_string().contains("cannot write vmdk"), "{error}");
    assert_eq!(folder.names(), Vec::<String>::new());
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = Folder::new();
    let error = write(&stream_of(&[1]), &folder.join("no/such/a.raw"), Format::Raw).unwrap_err();
    assert!(error.to_string().contains("no/such"), "{error}");
}
