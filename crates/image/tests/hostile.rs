//! Images that are broken, cut off, or set a trap: a clear error, and nothing
//! else opened.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use archipelago_image::{ImageError, Input, no_progress, open};
use support::{Folder, import, qemu_img, refused};

const MIB: u64 = 1 << 20;

/// Imports without playing the receiver: a broken size may be huge.
fn send(path: &Path) -> Result<u64, ImageError> {
    let source = open(Input::Path(path), None, &std::env::temp_dir(), &no_progress)?;
    Ok(source.copy_to(&mut std::io::sink(), &no_progress)?.data_bytes)
}

#[test]
fn a_backing_file_is_named_and_not_followed() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let image = folder.join("over.qcow2");
    qemu_img(&[
        "create".as_ref(),
        "-q".as_ref(),
        "-f".as_ref(),
        "qcow2".as_ref(),
        "-F".as_ref(),
        "raw".as_ref(),
        "-b".as_ref(),
        disk.as_os_str(),
        image.as_os_str(),
    ]);
    let message = refused(&image);
    assert!(message.contains("backing file") && message.contains("disk.raw"), "{message}");
    assert!(message.contains("qemu-img convert"), "{message}");
}

#[test]
fn an_external_data_file_is_named_and_not_followed() {
    let folder = Folder::new();
    let image = folder.join("a.qcow2");
    let option = format!("data_file={}", folder.join("secret.data").display());
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", &option, image.to_str().unwrap(), "8M"]);
    let message = refused(&image);
    assert!(message.contains("secret.data") && message.contains("another file"), "{message}");
}

#[test]
fn an_encrypted_image_is_refused() {
    let folder = Folder::new();
    let image = folder.join("a.qcow2");
    let args = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "--object",
        "secret,id=s,data=x",
        "-o",
        "encrypt.format=aes,encrypt.key-secret=s",
        image.to_str().unwrap(),
        "8M",
    ];
    qemu_img(&args);
    assert!(refused(&image).contains("is encrypted"));
}

#[test]
fn an_image_whose_header_says_luks_is_refused() {
    let folder = Folder::new();
    let image = folder.join("a.qcow2");
    qemu_img(&["create", "-q", "-f", "qcow2", image.to_str().unwrap(), "8M"]);
    // qemu-img makes no LUKS where the kernel counts the time of processes in ticks: it
    // measures how fast it hashes. crypt_method is the 32-bit number at 32; 2 is LUKS.
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[32..36].copy_from_slice(&2_u32.to_be_bytes());
    std::fs::write(&image, bytes).unwrap();
    assert!(refused(&image).contains("is encrypted"));
}

#[test]
fn a_vmdk_leads_to_no_file_but_vmdk_files_beside_it() {
    let folder = Folder::new();
    std::fs::write(folder.join("private.txt"), vec![7; 1 << 20]).unwrap();
    std::fs::write(folder.join("real.vmdk"), vec![7; 1 << 20]).unwrap();
    std::os::unix::fs::symlink("private.txt", folder.join("link.vmdk")).unwrap();
    let extents = [
        "/etc/passwd",
        "private.txt",
        "../x.vmdk",
        "nbd://127.0.0.1:1/x.vmdk",
        "link.vmdk",
        "json:{}.vmdk",
        "sub/real.vmdk",
    ];
    for name in extents {
        for access in ["RW", "RDONLY", "\tRW", "\u{b}RW"] {
            let text = format!(
                "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
                 createType=\"monolithicFlat\"\n{access} 2048 FLAT \"{name}\" 0\n"
            );
            std::fs::write(folder.join("a.vmdk"), text).unwrap();
            let message = refused(&folder.join("a.vmdk"));
            assert!(message.contains("in another file"), "{name}: {message}");
        }
    }
}

#[test]
fn a_vmdk_from_a_stream_leads_to_no_file_at_all() {
    let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
                createType=\"monolithicFlat\"\nRW 2048 FLAT \"real.vmdk\" 0\n";
    let mut reader = text.as_bytes();
    let result = open(Input::Stream(&mut reader), None, &std::env::temp_dir(), &no_progress);
    assert!(matches!(result.err(), Some(ImageError::ExternalData { .. })));
}

#[test]
fn a_vmdk_with_a_parent_is_refused() {
    let folder = Folder::new();
    let base = folder.join("base.vmdk");
    qemu_img(&["create", "-q", "-f", "vmdk", base.to_str().unwrap(), "8M"]);
    let image = folder.join("over.vmdk");
    let args = ["create", "-q", "-f", "vmdk", "-F", "vmdk", "-b"];
    let mut args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    args.extend([base.as_os_str(), image.as_os_str()]);
    qemu_img(&args);
    let message = refused(&image);
    assert!(message.contains("backing file") && message.contains("base.vmdk"), "{message}");
}

#[test]
fn hostile_file_names_are_only_names() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let expected = std::fs::read(&disk).unwrap();
    let made = [
        folder.convert(&disk, "a.vdi", &["-O", "vdi"]),
        folder.convert(&disk, "a.vmdk", &["-O", "vmdk", "-o", "subformat=monolithicFlat"]),
        folder.convert(&disk, "a.qcow2", &["-O", "qcow2"]),
    ];
    let names: [&[u8]; 7] =
        [b"json:{}", b"nbd:x", b"-f", b"a,file.filename=b", b"new\nline", b"\xff\xfe", b"fd:0"];
    for image in &made {
        for name in names {
            let path = folder.join(OsStr::from_bytes(name));
            std::fs::rename(image, &path).unwrap();
            let imported = import(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            assert!(imported.disk == expected, "{path:?}");
            std::fs::rename(&path, image).unwrap();
        }
    }
}

#[test]
fn a_qcow2_cut_off_anywhere_is_refused() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    let kinds: [&[&str]; 3] = [
        &["-O", "qcow2"],
        &["-O", "qcow2", "-c"],
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
    ];
    for kind in kinds {
        let image = folder.convert(&disk, "whole.qcow2", kind);
        let whole = std::fs::read(&image).unwrap();
        let cut = folder.join("cut.qcow2");
        let step = whole.len() / 23;
        let lens = (4..24).map(|part| whole.len() - step * (part - 4) - 600).chain([71, 103, 300]);
        for len in lens {
            std::fs::write(&cut, &whole[..len]).unwrap();
            let message = match send(&cut) {
                Err(error) => error.to_string(),
                Ok(sent) => panic!("{kind:?} cut to {len} of {}: {sent} sent", whole.len()),
            };
            assert!(message.contains("cut.qcow2"), "{message}");
        }
    }
}

#[test]
fn vdi_vhdx_and_vmdk_that_were_cut_off_are_refused() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    for format in ["vdi", "vhdx", "vmdk"] {
        let image = folder.convert(&disk, &format!("a.{format}"), &["-O", format]);
        let len = std::fs::metadata(&image).unwrap().len();
        File::options().write(true).open(&image).unwrap().set_len(len - 200_000).unwrap();
        let message = refused(&image);
        assert!(message.contains(&format!("a.{format}")), "{message}");
        assert!(!message.contains("/proc/"), "{message}");
    }
}

/// Bits of data cannot be seen in a format without checksums; bits of metadata
/// either are, or lead to other bytes of the same file. What must not be: a
/// panic, a hang, or memory without bound.
#[test]
fn a_flipped_bit_in_the_metadata_of_a_qcow2_never_panics() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 2 * MIB + 200_000);
    for options in [&["-O", "qcow2"][..], &["-O", "qcow2", "-c"]] {
        let image = folder.convert(&disk, "a.qcow2", options);
        let whole = std::fs::read(&image).unwrap();
        let l1 = u64::from_be_bytes(whole[40..48].try_into().unwrap()) as usize;
        let entry = u64::from_be_bytes(whole[l1..l1 + 8].try_into().unwrap());
        let l2 = (entry & 0x00ff_ffff_ffff_fe00) as usize;
        let table = u64::from_be_bytes(whole[48..56].try_into().unwrap()) as usize;
        let file = File::options().write(true).open(&image).unwrap();
        let bytes = (0..112).chain(l1..l1 + 8).chain(l2..l2 + 64).chain(table..table + 8);
        let mut refused = 0;
        for at in bytes {
            for bit in 0..8 {
                file.write_all_at(&[whole[at] ^ (1 << bit)], at as u64).unwrap();
                refused += usize::from(send(&image).is_err());
            }
            file.write_all_at(&whole[at..=at], at as u64).unwrap();
        }
        assert!(refused > 500, "only {refused} of the flips were seen");
        assert!(send(&image).is_ok());
    }
}

#[test]
fn a_bit_flipped_in_compressed_data_is_refused() {
    let folder = Folder::new();
    let disk = folder.disk("disk.raw", 8 * MIB);
    for kind in ["zlib", "zstd"] {
        let option = format!("compression_type={kind}");
        let image = folder.convert(&disk, "a.qcow2", &["-O", "qcow2", "-c", "-o", &option]);
        let mut bytes = std::fs::read(&image).unwrap();
        // Within the first compressed cluster of text, behind its beginning.
        let l1 = u64::from_be_bytes(bytes[40..48].try_into().unwrap()) as usize;
        let l2 = (u64::from_be_bytes(bytes[l1..l1 + 8].try_into().unwrap()) & !(1 << 63)) as usize;
        let entry = l2 + 8 * 16;
        let entry = u64::from_be_bytes(bytes[entry..entry + 8].try_into().unwrap());
        let data = (entry & ((1 << 54) - 1)) as usize;
        bytes[data] ^= 0xff;
        std::fs::write(&image, bytes).unwrap();
        let message = refused(&image);
        assert!(message.contains("a.qcow2"), "{message}");
    }
}

#[test]
fn what_is_no_image_is_told_so() {
    let folder = Folder::new();
    std::fs::write(folder.join("empty"), b"").unwrap();
    std::fs::write(folder.join("a.raw.xz"), b"\xfd7zXZ\0and so on").unwrap();
    std::fs::write(folder.join("v1"), b"QFI\xfb\0\0\0\x01").unwrap();
    let cases = [
        (folder.join("empty"), "is empty"),
        (folder.join("a.raw.xz"), "xz -dc"),
        (folder.join("v1"), "version 1"),
        (folder.join("missing"), "cannot open"),
        (folder.path().to_owned(), "is not a file"),
        ("/dev/zero".into(), "is not a file"),
    ];
    for (path, expected) in cases {
        let message = refused(&path);
        assert!(message.contains(expected), "{message}");
    }
}
