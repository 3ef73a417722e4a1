//! `segment_recovery` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("segment_recovery");
