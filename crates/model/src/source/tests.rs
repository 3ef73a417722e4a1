use super::*;

#[test]
fn every_source_prints_as_it_was_written() {
    for text in ["image:debian-12", "volume:web", "snapshot:web@before", "file:images/a/b.qcow2"] {
        assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
    }
}

#[test]
fn an_unknown_kind_tells_the_grammar() {
    for text in ["web", "disk:web", "file:images", "snapshot:web", ""] {
        let error = text.parse::<Source>().unwrap_err().to_string();
        assert!(error.contains("write"), "{text}: {error}");
    }
}
