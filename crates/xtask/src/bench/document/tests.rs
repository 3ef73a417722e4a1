use super::super::report::Target;
use super::*;

fn section() -> Section {
    let mut table = Table::new("speed, MB/s", &["what", "a|b"]);
    table.row(["x".to_owned(), "1".to_owned()]);
    let targets = vec![
        Target::at_least("fast", 1.5, Some(1.6)),
        Target::at_least("faster", 1.5, Some(1.4)),
        Target::below("small", "KiB", 3.0, None),
    ];
    Section { title: "Some".to_owned(), tables: vec![table], targets, ..Section::default() }
}

#[test]
fn missed_targets_are_named() {
    let text = document("volumes", "benchmarks-raw.json", &[section()]);
    assert!(text.contains("| fast | >= 1.5 | 1.60 | yes |"), "{text}");
    assert!(text.contains("| faster | >= 1.5 | 1.40 | **no** |"), "{text}");
    assert!(text.contains("2 missed: faster; small."), "{text}");
}

#[test]
fn a_bar_in_a_cell_does_not_end_it() {
    let text = document("volumes", "benchmarks-raw.json", &[section()]);
    assert!(
        text.contains("Speed, MB/s:\n\n| what | a\\|b |\n| --- | ---: |\n| x | 1 |\n"),
        "{text}"
    );
}
