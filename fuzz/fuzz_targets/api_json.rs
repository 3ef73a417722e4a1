//! `api_json` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("api_json");
