//! `forwarding` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("forwarding");
