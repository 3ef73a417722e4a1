//! What happens without qemu-img, and how its progress is read.

use std::ffi::OsStr;
use std::path::Path;

use super::{QemuImage, parse_percent};
use crate::{Format, ImageError};

#[test]
fn a_missing_qemu_img_names_the_package() {
    let path = Path::new("disk.vmdk");
    let image = QemuImage {
        path,
        format: Format::Vmdk,
        opened_as: "/nowhere".into(),
        program: OsStr::new("a-qemu-img-that-is-not-installed"),
    };
    let error = image.info().err().unwrap();
    assert!(matches!(error, ImageError::QemuMissing(_)), "{error}");
    assert!(error.to_string().contains("apt install qemu-utils"), "{error}");
}

#[test]
fn progress_is_read_in_hundredths() {
    assert_eq!(parse_percent("12.34"), Some(1234));
    assert_eq!(parse_percent("100.00"), Some(10_000));
    assert_eq!(parse_percent("100.99"), Some(10_000));
    assert_eq!(parse_percent("nonsense"), None);
    assert_eq!(parse_percent("999.00"), None);
}
