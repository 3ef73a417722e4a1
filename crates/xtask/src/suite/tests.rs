//! The totals, and what a failed step does to them.

use super::*;

#[test]
fn totals_of_cargo_test_are_read() {
    let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out";
    assert_eq!(totals(line), Tally { passed: 12, failed: 2 });
}

#[test]
fn totals_of_nextest_are_read() {
    let line =
        "     Summary [   0.005s] 7 tests run: 4 passed (1 slow), 2 failed, 1 timed out, 3 skipped";
    assert_eq!(totals(line), Tally { passed: 4, failed: 3 });
}

#[test]
fn other_lines_count_nothing() {
    assert_eq!(totals("12 passed, 3 failed"), Tally::default());
    assert_eq!(totals("test a_fact ... ok"), Tally::default());
    let shown_again = "    test result: FAILED. 0 passed; 1 failed; 0 ignored";
    assert_eq!(totals(shown_again), Tally::default());
}

fn empty() -> Run {
    Run { env: Env::real(), lines: Vec::new(), total: Tally::default() }
}

#[test]
fn a_failed_step_fails_the_run_and_the_later_steps_still_run() {
    let mut run = empty();
    let mut later = false;
    run.check("one", || bail!("no"));
    run.check("two", || {
        later = true;
        Ok(())
    });
    assert_eq!(run.total, Tally { passed: 1, failed: 1 });
    assert!(later);
    assert_eq!(run.finish().unwrap_err().to_string(), "failed: one");
}

#[test]
fn a_runner_that_breaks_without_totals_counts_as_one_failure() {
    let mut run = empty();
    run.step("tests", || (Err(anyhow::anyhow!("does not compile")), Tally::default()));
    assert_eq!(run.total, Tally { passed: 0, failed: 1 });
}

#[test]
fn the_output_of_a_runner_is_counted_and_its_failure_seen() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo 'test result: FAILED. 3 passed; 1 failed;' >&2; exit 1"]);
    let (outcome, tally) = counted(command);
    assert!(outcome.is_err());
    assert_eq!(tally, Tally { passed: 3, failed: 1 });
}
