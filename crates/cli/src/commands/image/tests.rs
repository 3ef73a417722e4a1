use super::*;

fn image() -> api::Image {
    api::Image {
        id: 1,
        name: "debian-12".to_owned(),
        format: "qcow2".to_owned(),
        os: Some("debian".to_owned()),
        size: 3 << 30,
        source_bytes: Some(400 << 20),
        sha256: Some("ab".repeat(32)),
        created_ms: 0,
    }
}

#[test]
fn images_are_a_line_each() {
    let expected = "\
NAME        SIZE  FORMAT  OS      CREATED
debian-12  3 GiB  qcow2   debian  1970-01-01T00:00:00Z";
    let list = api::Images { images: vec![image()], recognised: Vec::new() };
    assert_eq!(table(&list), expected);
}

#[test]
fn files_that_are_images_stand_behind_them_and_say_how_far_they_are() {
    let file = |state: &str, reason: Option<&str>| api::ImageFile {
        source: "file:images/debian.qcow2".to_owned(),
        file_bytes: 7,
        created_ms: 0,
        disk: api::Disk {
            format: "qcow2".to_owned(),
            size: Some(3 << 30).filter(|_| reason.is_none()),
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
        },
    };
    let expected = "\
NAME                       SIZE  FORMAT  OS      CREATED               DISK
debian-12                 3 GiB  qcow2   debian  1970-01-01T00:00:00Z  ready
file:images/debian.qcow2  3 GiB  qcow2   debian  1970-01-01T00:00:00Z  unpacking
file:images/debian.qcow2      -  qcow2   debian  1970-01-01T00:00:00Z  refused: it is encrypted";
    let list = api::Images {
        images: vec![image()],
        recognised: vec![file("unpacking", None), file("refused", Some("is encrypted"))],
    };
    assert_eq!(table(&list), expected);
}

#[test]
fn one_image_shows_where_it_came_from() {
    let text = view(&image());
    assert!(text.contains("file size  400 MiB (419430400 bytes)"), "{text}");
    assert!(text.contains(&format!("sha256     {}", "ab".repeat(32))), "{text}");
}

#[test]
fn an_image_is_called_as_its_file() {
    assert_eq!(name_of(Path::new("/tmp/debian.qcow2")).unwrap().as_str(), "debian");
    assert_eq!(name_of(Path::new("disk")).unwrap().as_str(), "disk");
}

#[test]
fn a_file_whose_name_is_no_image_name_needs_one() {
    for file in ["-", "my disk.img", "..", "/"] {
        let failure = name_of(Path::new(file)).unwrap_err();
        assert_eq!(failure.exit_status(), 2, "{file}");
        assert!(failure.to_string().contains("give NAME"), "{failure}");
    }
}

#[test]
fn the_extension_promises_the_format() {
    assert_eq!(format_of(Path::new("a.qcow2")), Format::Qcow2);
    assert_eq!(format_of(Path::new("a.QCOW2")), Format::Qcow2);
    assert_eq!(format_of(Path::new("a.img")), Format::Raw);
    assert_eq!(format_of(Path::new("qcow2")), Format::Raw);
}
