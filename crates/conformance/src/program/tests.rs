//! Failures of programs are told in full.

use super::*;

fn shell(script: &str) -> Program {
    program("sh").unwrap().args(["-c", script])
}

#[test]
fn a_missing_program_names_its_package() {
    let name = "no-such-program";
    let error = program(name).err().unwrap();
    assert_eq!(error.to_string(), "no-such-program is missing");
}

#[test]
fn a_failure_tells_what_the_program_said() {
    let error = shell("echo why >&2; exit 3").run().unwrap_err().to_string();
    assert!(error.contains("why") && error.contains('3'), "{error}");
    assert!(shell("echo why >&2; exit 3").fails().unwrap().contains("why"));
}

#[test]
fn success_is_not_taken_for_a_failure_nor_a_signal_for_a_clear_one() {
    assert!(shell("exit 0").fails().is_err());
    assert!(shell("kill -9 $$").fails().is_err());
}

#[test]
fn a_program_that_does_not_end_is_killed() {
    let error = shell("exec sleep 60").timeout(Duration::from_millis(50)).run().unwrap_err();
    assert!(error.to_string().contains("did not end"), "{error}");
}

#[test]
fn input_reaches_the_program_and_output_comes_back() {
    assert_eq!(program("cat").unwrap().input("abc").run().unwrap().text(), "abc");
}

#[test]
fn a_background_program_can_be_spoken_to_and_ends() {
    let log = tempfile::tempfile().unwrap();
    let mut cat = program("cat").unwrap().background(&log).unwrap();
    cat.write("words").unwrap();
    assert!(cat.is_running());
    assert!(cat.wait(Duration::from_secs(10)).unwrap().success());
}
