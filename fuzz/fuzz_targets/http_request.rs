//! `http_request` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("http_request");
