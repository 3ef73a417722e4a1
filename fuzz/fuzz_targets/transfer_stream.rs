//! `transfer_stream` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("transfer_stream");
