//! `footer_records` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("footer_records");
