//! Each rule, with what it finds and what it lets pass.

use super::*;

fn found(rule: fn(&Source) -> Vec<Finding>, text: &str) -> usize {
    found_in("crates/x/src/a.rs", rule, text)
}

fn found_in(path: &str, rule: fn(&Source) -> Vec<Finding>, text: &str) -> usize {
    rule(&Source::parse(path, text).unwrap()).len()
}

#[test]
fn a_file_over_600_lines_is_warned_of_and_over_800_is_an_error() {
    let lines = |count: usize| "//! x\n".repeat(count);
    let judge = |count| size(&Source::parse("crates/x/src/a.rs", &lines(count)).unwrap());
    assert!(judge(600).is_empty());
    assert!(judge(601)[0].warning);
    assert!(judge(800)[0].warning);
    assert!(!judge(801)[0].warning);
}

#[test]
fn a_file_begins_with_what_it_is_for() {
    assert_eq!(found(head, "//! For this.\n"), 0);
    assert_eq!(found(head, "use std::fs;\n"), 1);
    assert_eq!(found_in("crates/x/src/a/tests.rs", head, "use super::*;\n"), 0);
    assert_eq!(found_in("crates/x/tests/a.rs", head, "use std::fs;\n"), 1);
}

#[test]
fn source_is_ascii() {
    assert_eq!(found(ascii, "//! plain\n"), 0);
    assert_eq!(found(ascii, "//! caf\u{e9}\n"), 1);
}

#[test]
fn marks_of_unfinished_work_are_found_outside_tests() {
    let mark = format!("// {}: later\n", MARKS[0]);
    assert_eq!(found(marks, &mark), 1);
    assert_eq!(found(marks, &format!("#[cfg(test)]\nmod tests {{\n{mark}}}\n")), 0);
    assert_eq!(found(marks, "// a word such as TODOS is no mark\n"), 0);
}

#[test]
fn macros_that_stand_for_missing_code_are_found() {
    assert_eq!(found(macros, "fn f() { todo!() }"), 1);
    assert_eq!(found(macros, "fn f() { unimplemented!(\"x\") }"), 1);
    assert_eq!(found(macros, "fn f() { println!(\"todo!()\") }"), 0);
}

#[test]
fn unwrap_is_found_in_code_and_in_macros_but_not_in_tests() {
    assert_eq!(found(unwraps, "fn f() { g().unwrap(); }"), 1);
    assert_eq!(found(unwraps, "fn f() { println!(\"{}\", g().unwrap()); }"), 1);
    assert_eq!(found(unwraps, "#[test]\nfn f() {\n g().unwrap();\n}"), 0);
    assert_eq!(found(unwraps, "#[cfg(test)]\nmod tests {\n fn f() { g().unwrap(); }\n}"), 0);
    assert_eq!(found_in("crates/x/tests/a.rs", unwraps, "fn f() { g().unwrap(); }"), 0);
    assert_eq!(found(unwraps, "fn f() { g().unwrap_or_default(); }"), 0);
}

#[test]
fn a_trait_has_at_most_twelve_methods() {
    let wide = |count: usize| {
        let methods: String = (0..count).map(|at| format!("fn m{at}(&self);")).collect();
        format!("trait T {{ type A; {methods} }}")
    };
    assert_eq!(found(traits, &wide(12)), 0);
    assert_eq!(found(traits, &wide(13)), 1);
}

#[test]
fn a_function_is_long_by_its_signature_and_body_alone() {
    let lines = |count: usize| {
        let body = "    g();\n".repeat(count - 2);
        format!("/// One.\n/// Two.\n#[inline]\nfn f() {{\n{body}}}\n")
    };
    let long = |text: &str| long_functions(&Source::parse("crates/x/src/a.rs", text).unwrap());
    assert!(long(&lines(70)).is_empty());
    let found = long(&lines(71));
    assert_eq!((found[0].function.as_str(), found[0].lines, found[0].line), ("f", 71, 4));
}

#[test]
fn methods_and_inner_functions_are_measured_too() {
    let body = "g();\n".repeat(80);
    let text = format!("struct S;\nimpl S {{\nfn m(&self) {{\nfn inner() {{\n{body}}}\n}}\n}}");
    let found = long_functions(&Source::parse("crates/x/src/a.rs", &text).unwrap());
    assert_eq!(found.len(), 2);
}

#[test]
fn glob_imports_are_for_tests() {
    assert_eq!(found(globs, "use std::fs::*;"), 1);
    assert_eq!(found(globs, "pub use a::{b, c::*};"), 1);
    assert_eq!(found(globs, "fn f() { use Kind::*; }"), 1);
    assert_eq!(found(globs, "#[cfg(test)]\nmod tests {\n    use super::*;\n}"), 0);
    assert_eq!(found_in("crates/x/src/a/tests.rs", globs, "use super::*;"), 0);
}

#[test]
fn names_that_say_nothing_are_found() {
    for path in ["crates/x/src/util.rs", "crates/utils/src/lib.rs", "crates/x/src/common/a.rs"] {
        assert!(name(path).is_some(), "{path}");
    }
    assert!(name("crates/x/src/helpers.rs").is_some());
    assert!(name("crates/x/src/location.rs").is_none());
    assert_eq!(found(modules, "mod misc {}"), 1);
    assert_eq!(found(modules, "mod reading {}"), 0);
}

#[test]
fn only_env_lifts_the_ban_on_the_clock() {
    let text = "#[allow(clippy::disallowed_methods, reason = \"no\")]\nfn f() {}";
    assert_eq!(found(bans, text), 1);
    assert_eq!(found_in("crates/env/src/clock.rs", bans, text), 0);
}

#[test]
fn a_source_that_does_not_parse_is_an_error() {
    assert!(Source::parse("crates/x/src/a.rs", "fn (").is_err());
}

#[test]
fn a_module_that_is_declared_for_tests_is_test_code_under_any_name() {
    let files = |path: &str| -> Vec<String> {
        let text = "mod kept;\n#[cfg(test)]\nmod testing;\n";
        Source::parse(path, text).unwrap().test_files().collect()
    };
    assert_eq!(files("crates/x/src/lib.rs"), ["crates/x/src/testing.rs"]);
    assert_eq!(files("crates/x/src/a.rs"), ["crates/x/src/a/testing.rs"]);
    let mut source = Source::parse("crates/x/src/testing.rs", "fn f() { g().unwrap(); }").unwrap();
    assert_eq!(unwraps(&source).len(), 1);
    source.mark_test();
    assert!(unwraps(&source).is_empty());
}
