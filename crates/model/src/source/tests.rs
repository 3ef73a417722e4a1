use super::*;

#[test]
fn every_source_prints_as_it_was_written() {
    for text in [
        "image:debian-12",
        "image:lab/debian-12",
        "volume:web",
        "volume:lab/web",
        "snapshot:web@before",
        "snapshot:lab/web@before",
        "file:images/a/b.qcow2",
        "file:/lab/images/a/b.qcow2",
        "file:images//a",
    ] {
        assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
    }
}

#[test]
fn an_unknown_kind_tells_the_grammar() {
    for text in ["web", "disk:web", "file:images", "file:/lab/images", "snapshot:web", ""] {
        let error = text.parse::<Source>().unwrap_err().to_string();
        assert!(error.contains("write"), "{text}: {error}");
    }
}
