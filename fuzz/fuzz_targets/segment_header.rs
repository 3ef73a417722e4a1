//! `segment_header` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("segment_header");
