//! `slot_page` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("slot_page");
