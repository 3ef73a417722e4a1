//! `store_file` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("store_file");
