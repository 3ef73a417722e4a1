//! `nbd_options` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("nbd_options");
