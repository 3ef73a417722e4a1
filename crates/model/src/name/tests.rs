use super::*;

#[test]
fn labels_are_letters_digits_dot_underscore_dash() {
    for good in ["a", "web", "node-001", "Debian_12.5", "7"] {
        assert_eq!(good.parse::<VolumeName>().unwrap().as_str(), good);
    }
}

#[test]
fn hostile_labels_are_refused() {
    let long = "x".repeat(129);
    for bad in [
        "", ".", "..", "-a", "/a", "a/", "a/b/c", "-a/b", "a/-b", "a@b", "image:x", "a b",
        "\u{fc}", "a\0", "../etc", &long,
    ] {
        assert!(bad.parse::<VolumeName>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_name_says_the_account_that_owns_it_and_can_be_said_of_another() {
    let name = |text: &str| text.parse::<VolumeName>().unwrap();
    assert_eq!((name("web").owner(), name("lab/web").owner()), (None, Some("lab")));
    let lab = "lab".parse().unwrap();
    assert_eq!(name("web").of(Some(&lab)), name("lab/web"));
    assert_eq!(name("other/web").of(Some(&lab)), name("lab/web"));
    assert_eq!(name("lab/web").of(None), name("web"));
    let long = "x".repeat(128);
    assert!(format!("{long}/{long}").parse::<ImageName>().is_ok());
    assert!(format!("{long}x/a").parse::<ImageName>().is_err());
}

#[test]
fn a_refusal_never_echoes_raw_control_bytes() {
    let error = "a\u{1b}[2J".parse::<ImageName>().unwrap_err().to_string();
    assert!(!error.contains('\u{1b}'), "{error}");
}

#[test]
fn object_names_are_free_utf8() {
    for good in ["a/b/../c", "\u{fc} x", "disk.qcow2"] {
        assert!(good.parse::<ObjectName>().is_ok());
    }
    assert!("".parse::<ObjectName>().is_err());
    assert!("a\0b".parse::<ObjectName>().is_err());
}

#[test]
fn container_names_are_utf8_that_can_stand_in_a_url() {
    for good in ["images", "with space", "\u{fc}.", "a:b", &"x".repeat(256)] {
        assert!(good.parse::<ContainerName>().is_ok(), "{good:?}");
    }
    for bad in ["", ".", "..", "a/b", "a\0", "a\nb", &"x".repeat(257)] {
        assert!(bad.parse::<ContainerName>().is_err(), "{bad:?}");
    }
    let said = ".".parse::<ContainerName>().map_err(|error| error.to_string());
    assert!(said.is_err_and(|said| said.contains("but not '.' or '..'")), "the rule says so");
}
