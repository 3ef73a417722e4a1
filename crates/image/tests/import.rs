//! Every format reads as qemu-img itself reads it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use archipelago_image::{
    Format, ImageError, Input, guess_os, no_progress, open, open_bytes, probe,
};
use support::{Folder, import, import_as, noise, qemu_img, receive};

const MIB: u64 = 1 << 20;

/// Imports `image` and compares with what qemu-img makes of it.
fn check(folder: &Folder, image: &Path, format: Format) {
    let imported = import(image).unwrap_or_else(|error| panic!("{}: {error}", image.display()));
    let raw = folder.join("by-qemu-img.raw");
    qemu_img(&[
        "convert".as_ref(),
        "-f".as_ref(),
        format.as_str().as_ref(),
        "-O".as_ref(),
        "raw".as_ref(),
        image.as_os_str(),
        raw.as_os_str(),
    ]);
    let expected = std::fs::read(raw).unwrap();
    assert_eq!(imported.format, format, "{}", image.display());
    assert_eq!(imported.header.size, expected.len() as u64, "{}", image.display());
    assert!(imported.disk == expected, "{} reads otherwise", image.display());
    let probed = probe(image).unwrap();
    assert_eq!((probed.format, probed.virtual_size), (format, imported.header.size));
}

#[test]
fn qcow2_of_every_kind_reads_as_qemu_img_reads_it() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB + 512);
    let kinds: [&[&str]; 12] = [
        &["-O", "qcow2"],
        &["-O", "qcow2", "-c"],
        &["-O", "qcow2", "-o", "compat=0.10"],
        &["-O", "qcow2", "-c", "-o", "compat=0.10"],
        &["-O", "qcow2", "-o", "cluster_size=512"],
        &["-O", "qcow2", "-c", "-o", "cluster_size=2M"],
        &["-O", "qcow2", "-o", "preallocation=metadata"],
        &["-O", "qcow2", "-o", "lazy_refcounts=on,refcount_bits=1"],
        &["-O", "qcow2", "-S", "0"],
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
        &["-O", "qcow2", "-o", "compression_type=zstd"],
        &["-O", "qcow2", "-o", "extended_l2=on,cluster_size=128k"],
    ];
    for (index, kind) in kinds.into_iter().enumerate() {
        let image = folder.convert(&disk, &format!("{index}.qcow2"), kind);
        check(&folder, &image, Format::Qcow2);
    }
}

#[test]
fn qcow2_with_internal_snapshots_gives_the_present_state() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let image = folder.convert(&disk, "disk.qcow2", &["-O", "qcow2"]);
    let text = image.to_str().unwrap();
    qemu_img(&["snapshot", "-c", "before", text]);
    let written = std::process::Command::new("qemu-io")
        .args(["-f", "qcow2", "-c", "write -P 7 1M 200k", "-c", "write -z 3M 64k", text])
        .output()
        .expect("qemu-io comes with qemu-img");
    assert!(written.status.success());
    check(&folder, &image, Format::Qcow2);
}

#[test]
fn vmdk_of_every_kind_reads_as_qemu_img_reads_it() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let kinds = ["monolithicSparse", "streamOptimized", "monolithicFlat", "twoGbMaxExtentSparse"];
    for kind in kinds {
        let option = format!("subformat={kind}");
        let image = folder.convert(&disk, &format!("{kind}.vmdk"), &["-O", "vmdk", "-o", &option]);
        check(&folder, &image, Format::Vmdk);
    }
}

#[test]
fn vdi_and_vhdx_read_as_qemu_img_reads_them() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let kinds: [(&str, &[&str], Format); 4] = [
        ("a.vdi", &["-O", "vdi"], Format::Vdi),
        ("b.vdi", &["-O", "vdi", "-o", "static=on"], Format::Vdi),
        ("a.vhdx", &["-O", "vhdx"], Format::Vhdx),
        ("b.vhdx", &["-O", "vhdx", "-o", "subformat=fixed"], Format::Vhdx),
    ];
    for (name, options, format) in kinds {
        check(&folder, &folder.convert(&disk, name, options), format);
    }
}

#[test]
fn a_raw_size_is_rounded_up_to_sectors_with_zeros() {
    let folder = Folder::new();
    for len in [5 * MIB + 1, 5 * MIB + 100, 5 * MIB + 511, 5 * MIB + 513, 5 * MIB] {
        let disk = folder.disk("disk.raw", len);
        let mut expected = std::fs::read(&disk).unwrap();
        expected.resize(len.next_multiple_of(512) as usize, 0);
        let imported = import(&disk).unwrap();
        assert!(imported.disk == expected, "{len}");
    }
    std::fs::write(folder.join("tiny"), b"x").unwrap();
    assert_eq!(import(&folder.join("tiny")).unwrap().disk.len(), 512);
}

#[test]
fn a_file_keeps_its_exact_size() {
    let folder = Folder::new();
    for len in [0, 1, 4095, 4097, 3 * MIB + 77] {
        let bytes = noise(len as usize, len);
        std::fs::write(folder.join("file"), &bytes).unwrap();
        let source =
            open_bytes(Input::Path(&folder.join("file")), folder.path(), &no_progress).unwrap();
        let received = receive(&source).unwrap();
        assert_eq!(received.header.size, len);
        assert!(received.disk == bytes);
    }
}

#[test]
fn a_file_put_as_bytes_is_never_taken_for_an_image() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let image = folder.convert(&disk, "disk.qcow2", &["-O", "qcow2"]);
    let source = open_bytes(Input::Path(&image), folder.path(), &no_progress).unwrap();
    assert!(receive(&source).unwrap().disk == std::fs::read(&image).unwrap());
}

#[test]
fn zeros_are_not_sent_whether_written_or_not() {
    let folder = Folder::new();
    let path = folder.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(&[0; 8 << 20], 5 << 30).unwrap();
    file.write_all_at(b"here", (1 << 40) - 4096).unwrap();
    let source = open(Input::Path(&path), None, folder.path(), &no_progress).unwrap();
    let mut stream = Vec::new();
    let summary = source.copy_to(&mut stream, &no_progress).unwrap();
    assert_eq!((summary.size, summary.data_bytes), (1 << 40, 4096));
    assert!(stream.len() < 5000);
}

#[test]
fn an_empty_qcow2_of_64_tib_is_imported_at_once_and_a_larger_one_refused() {
    let folder = Folder::new();
    let path = folder.join("big.qcow2");
    let text = path.to_str().unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", text, "64T"]);
    let source = open(Input::Path(&path), None, folder.path(), &no_progress).unwrap();
    let summary = source.copy_to(&mut Vec::new(), &no_progress).unwrap();
    assert_eq!((summary.size, summary.data_bytes), (64 << 40, 0));
    qemu_img(&["resize", "-q", text, "+512"]);
    let refused = probe(&path).unwrap_err();
    assert!(matches!(refused, ImageError::TooLarge { .. }), "{refused}");
    assert!(refused.to_string().contains("at most 64 TiB"), "{refused}");
}

#[test]
fn a_stream_is_imported_whatever_its_format() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let expected = std::fs::read(&disk).unwrap();
    let images = [
        disk.clone(),
        folder.convert(&disk, "a.qcow2", &["-O", "qcow2", "-c"]),
        folder.convert(&disk, "b.qcow2", &["-O", "qcow2", "-c", "-o", "compression_type=zstd"]),
        folder.convert(&disk, "a.vmdk", &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
        folder.convert(&disk, "a.vdi", &["-O", "vdi"]),
        folder.convert(&disk, "a.vhdx", &["-O", "vhdx"]),
    ];
    for image in images {
        let bytes = std::fs::read(&image).unwrap();
        let mut reader = &bytes[..];
        let source = open(Input::Stream(&mut reader), None, folder.path(), &no_progress).unwrap();
        assert!(receive(&source).unwrap().disk == expected, "{}", image.display());
        assert_eq!(source.file_bytes(), bytes.len() as u64);
        assert_eq!(source.os_guess(), None);
    }
}

#[test]
fn a_named_pipe_is_read_as_a_stream() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let pipe = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut cat = std::process::Command::new("sh")
        .args(["-c", "cat \"$0\" > \"$1\""])
        .args([&disk, &pipe])
        .spawn()
        .unwrap();
    let imported = import(&pipe).unwrap();
    cat.wait().unwrap();
    assert!(imported.disk == std::fs::read(&disk).unwrap());
}

#[test]
fn the_checksum_is_that_of_the_file_as_given() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB + 100);
    let image = folder.convert(&disk, "a.qcow2", &["-O", "qcow2", "-c"]);
    let output = std::process::Command::new("sha256sum").arg(&image).output().unwrap();
    let expected = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
    let mut source = open(Input::Path(&image), None, folder.path(), &no_progress).unwrap();
    assert_eq!(source.sha256(&no_progress).unwrap(), expected);
    let bytes = std::fs::read(&image).unwrap();
    let mut reader = &bytes[..];
    let mut source = open(Input::Stream(&mut reader), None, folder.path(), &no_progress).unwrap();
    assert_eq!(source.sha256(&no_progress).unwrap(), expected);
}

#[test]
fn progress_never_falls_and_reaches_its_total() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let images = [
        disk.clone(),
        folder.convert(&disk, "a.qcow2", &["-O", "qcow2"]),
        folder.convert(&disk, "a.vdi", &["-O", "vdi"]),
    ];
    for image in images {
        let seen = std::cell::RefCell::new(Vec::new());
        let source = open(Input::Path(&image), None, folder.path(), &no_progress).unwrap();
        source
            .copy_to(&mut Vec::new(), &|done, total| seen.borrow_mut().push((done, total)))
            .unwrap();
        let seen = seen.into_inner();
        assert!(seen.is_sorted(), "{seen:?}");
        assert!(seen.last().is_some_and(|(done, total)| done == total), "{seen:?}");
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_refused() {
    let folder = Folder::new();
    let path = folder.disk("disk.raw", 8 * MIB);
    let source = open(Input::Path(&path), None, folder.path(), &no_progress).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let result = source.copy_to(&mut Vec::new(), &|_, _| {
        file.set_len(4 * MIB).unwrap();
    });
    assert!(matches!(result, Err(ImageError::Changed(_))), "{result:?}");
}

#[test]
fn said_formats_must_be_the_real_ones_except_raw() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let image = folder.convert(&disk, "a.qcow2", &["-O", "qcow2"]);
    let error = import_as(&disk, Some(Format::Qcow2)).unwrap_err().to_string();
    assert!(error.contains("is not qcow2"), "{error}");
    let error = import_as(&image, Some(Format::Vdi)).unwrap_err().to_string();
    assert!(error.contains("is not vdi"), "{error}");
    let raw = import_as(&image, Some(Format::Raw)).unwrap();
    assert_eq!(raw.format, Format::Raw);
    assert!(raw.disk.starts_with(b"QFI\xfb"));
}

#[test]
fn the_probe_guesses_the_system_from_the_name() {
    let folder = Folder::new();
    let disk = folder.disk("Debian-12-generic.raw", 8 * MIB);
    let probed = probe(&disk).unwrap();
    assert_eq!(probed.os_guess.as_deref(), Some("debian"));
    assert_eq!((probed.file_bytes, probed.virtual_size), (8 * MIB, 8 * MIB));
    assert_eq!(guess_os("disk.raw"), None);
}

#[test]
fn no_temporary_file_is_left_or_ever_has_a_name() {
    let (folder, scratch) = (Folder::new(), Folder::new());
    let disk = folder.disk("disk.raw", 8 * MIB);
    let image = folder.convert(&disk, "a.vdi", &["-O", "vdi"]);
    let source = open(Input::Path(&image), None, scratch.path(), &no_progress).unwrap();
    source
        .copy_to(&mut Vec::new(), &|_, _| assert_eq!(scratch.names(), Vec::<String>::new()))
        .unwrap();
    assert_eq!(folder.names(), ["a.vdi", "disk.raw"]);
}
