//! `map_node` of crates/fuzzing under libFuzzer.

#![no_main]

archipelago_fuzz::target!("map_node");
