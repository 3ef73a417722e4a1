//! First bytes and what they prove.

use super::{Detected, Format, detect};

#[test]
fn each_format_is_known_by_its_magic() {
    let mut vdi = vec![0; 512];
    vdi[0x40..0x44].copy_from_slice(&0xbeda_107f_u32.to_le_bytes());
    let cases: [(&[u8], Format); 7] = [
        (b"QFI\xfb\0\0\0\x03", Format::Qcow2),
        (b"KDMV\x01\0\0\0", Format::Vmdk),
        (b"# Disk DescriptorFile\nversion=1\n", Format::Vmdk),
        (&vdi, Format::Vdi),
        (b"vhdxfile", Format::Vhdx),
        (b"\xeb\x63\x90", Format::Raw),
        (b"", Format::Raw),
    ];
    for (head, format) in cases {
        assert_eq!(detect(head), Detected::Image(format));
    }
}

#[test]
fn a_compressed_file_is_not_taken_for_a_raw_disk() {
    for head in [&b"\x1f\x8b\x08"[..], b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh9", b"PK\x03\x04"] {
        assert!(matches!(detect(head), Detected::Other(_)), "{head:?}");
    }
}

#[test]
fn a_format_is_parsed_from_its_name_only() {
    for format in Format::ALL {
        assert_eq!(format.as_str().parse(), Ok(format));
    }
    assert!("QCOW2".parse::<Format>().is_err());
    assert!("luks".parse::<Format>().is_err());
}
