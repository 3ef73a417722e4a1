//! `image_headers` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("image_headers");
