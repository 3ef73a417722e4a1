//! `image_layout` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("image_layout");
