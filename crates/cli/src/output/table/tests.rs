use super::*;

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

#[test]
fn numbers_stand_right_and_words_left() {
    let text = render(
        &[Left("NAME"), Right("SIZE"), Left("PARENT")],
        [row(&["web", "40 GiB", "image:debian-12"]), row(&["scratch", "512 B", "-"])],
    );
    let expected = "\
NAME       SIZE  PARENT
web      40 GiB  image:debian-12
scratch   512 B  -";
    assert_eq!(text, expected);
}

#[test]
fn an_empty_table_still_has_its_head() {
    assert_eq!(render(&[Left("NAME"), Right("SIZE")], []), "NAME  SIZE");
}

#[test]
fn a_long_name_is_never_cut_or_wrapped() {
    let name = "n".repeat(500);
    let text = render(&[Left("NAME"), Left("OTHER")], [row(&[&name, "x"])]);
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains(&name));
}

#[test]
fn facts_are_a_line_each() {
    let text = facts([("name", "web".to_owned()), ("snapshots", "3".to_owned())]);
    assert_eq!(text, "name       web\nsnapshots  3");
}
