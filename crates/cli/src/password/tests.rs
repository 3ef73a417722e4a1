use super::*;

fn read(text: &str) -> Result<String> {
    line(&mut text.as_bytes())
}

#[test]
fn a_password_is_the_first_line_without_its_end() {
    assert_eq!(read("correct horse\nmore").unwrap(), "correct horse");
    assert_eq!(read("correct horse\r\n").unwrap(), "correct horse");
    assert_eq!(read(" with blanks ").unwrap(), " with blanks ");
}

#[test]
fn an_empty_line_is_no_password_and_an_endless_one_ends() {
    assert!(read("").is_err());
    assert!(read("\nnext").is_err());
    assert_eq!(read(&"x".repeat(10_000)).unwrap().len(), 4096);
}
