use super::*;

#[test]
fn units_are_powers_of_1024() {
    for (text, bytes) in
        [("512", 512), ("64K", 65536), ("10G", 10 << 30), ("10GiB", 10 << 30), ("1.5T", 3 << 39)]
    {
        assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
    }
}

#[test]
fn nonsense_is_refused_with_the_remedy() {
    for text in ["", "G", "10X", "-1", "1e9", "1..5G", "1.G", "0.5", "99999999999999P", "1 0"] {
        let error = parse_bytes(text).unwrap_err();
        assert!(error.to_string().contains("write a number"), "{text}: {error}");
    }
}

#[test]
fn a_volume_has_whole_sectors_and_at_most_64_tib() {
    assert_eq!("64T".parse::<VolumeSize>().unwrap().bytes(), 64 << 40);
    assert!("64.1T".parse::<VolumeSize>().is_err());
    assert!("0".parse::<VolumeSize>().is_err());
    let error = "1000".parse::<VolumeSize>().unwrap_err();
    assert!(error.to_string().contains("1024"), "{error}");
}

#[test]
fn sizes_are_shown_in_the_largest_fitting_unit() {
    for (bytes, text) in [
        (0, "0 B"),
        (512, "512 B"),
        (1536, "1.5 KiB"),
        (10 << 30, "10 GiB"),
        (u64::MAX, "16.0 EiB"),
    ] {
        assert_eq!(Human(bytes).to_string(), text);
    }
}
