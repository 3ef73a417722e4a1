//! Reading of descriptors.

use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{audit, extents, refuse_parent};
use crate::ImageError;

/// The binary header of a disk with `sectors`, and a text behind it.
fn sparse(sectors: u64, text: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 512];
    image[..4].copy_from_slice(b"KDMV");
    image[12..20].copy_from_slice(&sectors.to_le_bytes());
    image[28..36].copy_from_slice(&1u64.to_le_bytes());
    image.extend_from_slice(text);
    image
}

fn audited(image: &[u8], dir: &Path) -> Result<bool, ImageError> {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(image, 0).unwrap();
    audit(&file, Path::new("x.vmdk"), Some(dir))
}

#[test]
fn a_binary_header_without_a_size_goes_by_a_list_and_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(audited(&sparse(2048, b"version=1\n"), dir.path()).is_ok_and(|by_path| !by_path));
    let error = audited(&sparse(0, b"RW 2048 FLAT \"/etc/passwd\" 0\n"), dir.path()).unwrap_err();
    assert!(matches!(error, ImageError::ExternalData { .. }), "{error}");
}

#[test]
fn an_extent_that_is_itself_a_list_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = b"# Disk DescriptorFile\nRW 2048 SPARSE \"a-s001.vmdk\"\n";
    std::fs::write(dir.path().join("a-s001.vmdk"), sparse(2048, b"")).unwrap();
    assert!(audited(text, dir.path()).is_ok_and(|by_path| by_path));
    std::fs::write(dir.path().join("a-s001.vmdk"), sparse(0, b"")).unwrap();
    assert!(matches!(audited(text, dir.path()), Err(ImageError::ExternalData { .. })));
}

#[test]
fn extents_are_found_however_a_line_is_written() {
    let text = b"RW 1 FLAT \"a\" 0\n  RDONLY 1 SPARSE \"b\"\r\n\x0bNOACCESS 1 ZERO\nRW 1 FLAT \"c\n# RW \"d\"";
    let names = extents(text, Path::new("x")).unwrap();
    assert_eq!(names, [b"a", b"b", b"c"]);
}

#[test]
fn an_extent_without_a_name_is_damage() {
    assert!(extents(b"RW 1 FLAT a 0\n", Path::new("x")).is_err());
}

#[test]
fn a_parent_is_found_wherever_it_stands() {
    let error =
        refuse_parent(b"x\nparentFileNameHint=\"base.vmdk\"\n", Path::new("x")).unwrap_err();
    assert!(error.to_string().contains("'base.vmdk'"), "{error}");
    assert!(refuse_parent(b"parentCID=ffffffff\n", Path::new("x")).is_ok());
}
