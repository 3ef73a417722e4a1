//! What the programs in `fuzz_targets` share.

pub use archipelago_fuzzing::find;
pub use libfuzzer_sys::fuzz_target;

/// The whole of a program that fuzzes the target of that name.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::fuzz_target!(|bytes: &[u8]| {
            let target = $crate::find($name).expect("crates/fuzzing has a target of this name");
            if bytes.len() <= target.input_bytes_max {
                (target.body)(bytes);
            }
        });
    };
}
