//! `image_qcow2` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("image_qcow2");
