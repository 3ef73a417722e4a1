use super::{name_of, names, read, test_of};

const FOLDER: &str = "test/functional";

const RUN: &str = "\
PASSED is a word that a log may begin with
=========================== short test summary info ============================
PASSED test/functional/tests.py::TestFile::testCopy
PASSED test/functional/test_slo.py::TestSlo::test_get[a b]
FAILED test/functional/tests.py::TestFile::testRange - AssertionError: 1 != 2
ERROR test/functional/tests.py::TestFile::testSlow - KeyError
SKIPPED [3] test/functional/test_symlink.py:1446: no policies
1 failed, 2 passed, 3 skipped, 1 error in 1.00s
";

#[test]
fn a_summary_is_names_of_what_passed_and_figures_of_the_rest() {
    let outcome = read(RUN, FOLDER).unwrap();
    assert_eq!(outcome.figures(), "2 passed, 1 failed, 1 errors, 3 skipped");
    assert_eq!(outcome.text(), "test_slo::TestSlo::test_get[a b]\ntests::TestFile::testCopy\n");
}

#[test]
fn what_is_on_the_list_and_did_not_pass_is_lost() {
    let outcome = read(RUN, FOLDER).unwrap();
    let known = names("tests::TestFile::testCopy\ntests::TestFile::testRange\n\n");
    assert_eq!(outcome.lost(&known), ["tests::TestFile::testRange"]);
}

#[test]
fn a_run_that_ended_early_is_no_result() {
    assert!(read("ImportError: no module\n", FOLDER).is_err());
}

#[test]
fn a_name_leads_back_to_its_test() {
    let test = "test/functional/tests.py::TestFile::testCopy";
    assert_eq!(test_of(&name_of(test, FOLDER), FOLDER), test);
}
