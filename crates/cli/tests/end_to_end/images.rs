//! Images in and out, against qemu-img as the judge.

use std::process::Command;

use crate::site::{Site, disk, read};

#[test]
fn an_image_made_by_qemu_img_comes_out_as_it_went_in() {
    let site = Site::start();
    let raw = site.write("disk.raw", &disk());
    let qcow2 = site.file("debian.qcow2");
    let made = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2", &raw, &qcow2])
        .status()
        .expect("qemu-img is installed where the tests run");
    assert!(made.success());
    let said = site.run(&["image", "import", &qcow2]);
    assert_eq!(said, "imported image debian: qcow2, 8 MiB, debian\n");
    let shown = site.json(&["image", "show", "debian"]);
    assert_eq!(shown["format"], "qcow2");
    assert_eq!(shown["source_bytes"], read(&site.path("debian.qcow2")).len());
    for out in ["out.raw", "out.qcow2"] {
        let written = site.json(&["image", "export", "debian", &site.file(out)]);
        assert_eq!(written["size"], 8 << 20);
        let same = Command::new("qemu-img").args(["compare", &raw, &site.file(out)]).output();
        assert!(same.unwrap().status.success(), "{out}");
    }
    assert!(read(&site.path("out.raw")) == disk());
}

#[test]
fn an_image_comes_from_standard_input() {
    let site = Site::start();
    site.feed(&["image", "import", "-", "piped", "--os", "plan9"], &disk());
    let shown = site.json(&["image", "show", "piped"]);
    assert_eq!((&shown["os"], &shown["format"]), (&"plan9".into(), &"raw".into()));
    site.run(&["image", "export", "piped", &site.file("out")]);
    assert!(read(&site.path("out")) == disk());
}

#[test]
fn an_image_that_exists_is_not_read_again() {
    let site = Site::start();
    let file = site.write("one.raw", &disk());
    site.run(&["image", "import", &file]);
    let missing = site.file("missing.raw");
    let said = site.fails(&["image", "import", &missing, "one"], 1);
    assert!(said.contains("image 'one' exists already"), "{said}");
    assert!(said.contains("archipelago image rm one"), "{said}");
}

#[test]
fn an_export_leaves_an_existing_file_unless_forced() {
    let site = Site::start();
    site.run(&["volume", "create", "a", "--size", "1M"]);
    let file = site.write("mine", b"mine");
    assert!(site.fails(&["image", "export", "volume:a", &file], 1).contains("--force"));
    assert_eq!(read(&site.path("mine")), b"mine");
    site.run(&["image", "export", "volume:a", &file, "--force"]);
    assert_eq!(read(&site.path("mine")).len(), 1 << 20);
}

#[test]
fn an_image_that_is_not_there_leaves_no_file() {
    let site = Site::start();
    let said = site.fails(&["image", "export", "nobody", &site.file("out")], 1);
    assert!(said.contains("nobody"), "{said}");
    assert!(!site.path("out").exists());
}

#[test]
fn an_image_goes_and_its_clone_stays() {
    let site = Site::start();
    let file = site.write("one.raw", &disk());
    site.run(&["image", "import", &file]);
    site.run(&["volume", "create", "web", "--from", "image:one"]);
    assert_eq!(site.run(&["image", "rm", "one"]), "removed image one\n");
    site.run(&["image", "export", "volume:web", &site.file("out.raw")]);
    assert!(read(&site.path("out.raw")) == disk());
}

#[test]
fn a_thin_terabyte_is_imported_in_no_time() {
    let site = Site::start();
    let file = site.write("thin.raw", b"");
    std::fs::File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
    site.run(&["image", "import", &file]);
    let shown = site.json(&["image", "show", "thin"]);
    assert_eq!(shown["size"], 1_u64 << 40);
    assert_eq!(shown["sha256"], serde_json::Value::Null);
}
