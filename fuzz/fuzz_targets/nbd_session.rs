//! `nbd_session` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("nbd_session");
