use super::*;

#[test]
fn a_remedy_stands_on_its_own_line() {
    let failure = Failure::new(Kind::Unreachable, "no server").remedy("start it");
    assert_eq!(failure.to_string(), "error: no server\n  hint: start it");
}

#[test]
fn json_carries_the_class_that_the_server_gave() {
    let failure = Failure::new(Kind::Server(api::ErrorKind::AlreadyExists), "taken");
    assert_eq!(
        failure.to_json(),
        json!({"error": {"kind": "already_exists", "message": "taken", "remedy": null}})
    );
}

#[test]
fn only_usage_exits_with_2() {
    assert_eq!(Failure::usage("x").exit_status(), 2);
    assert_eq!(Failure::new(Kind::Local, "x").exit_status(), 1);
    assert_eq!(Failure::new(Kind::Server(api::ErrorKind::Invalid), "x").exit_status(), 1);
}

#[test]
fn an_error_of_the_operating_system_names_the_next_step() {
    let error =
        std::fs::File::open("/no/such/file").map_err(Failure::local("open '/no/such/file'"));
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("error: cannot open '/no/such/file'"), "{text}");
    assert!(text.contains("hint: check the path"), "{text}");
}
