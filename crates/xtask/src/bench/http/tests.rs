use super::*;

#[test]
fn two_answers_on_one_connection_are_told_apart() {
    let text = "HTTP/1.1 201 Created\r\nContent-length: 2\r\n\r\n{}HTTP/1.1 204 No Content\r\n\r\n";
    let mut stream = text.as_bytes();
    assert_eq!(answer(&mut stream).unwrap(), (201, "{}".to_owned()));
    assert_eq!(answer(&mut stream).unwrap(), (204, String::new()));
    assert!(answer(&mut stream).is_err());
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    for text in
        ["HTTP/1.1 200 OK\r\nA: b\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", "x"]
    {
        assert!(answer(&mut text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_figure_is_found_by_its_whole_name() {
    let text = "# TYPE archipelago_log_bytes_total counter\n\
                archipelago_log_bytes_total_more 1\narchipelago_log_bytes_total 4096\n";
    assert_eq!(figure(text, "log_bytes_total"), Some(4096.0));
    assert_eq!(figure(text, "log_bytes"), None);
}
