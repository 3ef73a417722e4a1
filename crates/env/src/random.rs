//! Unpredictable bytes.

use rustix::rand::{GetRandomFlags, getrandom};

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `out`. The system's source is fit for keys and for identities.
    fn fill(&self, out: &mut [u8]);
}

/// The kernel's generator.
pub(crate) struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, mut out: &mut [u8]) {
        while !out.is_empty() {
            let filled =
                rustix::io::retry_on_intr(|| getrandom(&mut *out, GetRandomFlags::empty()))
                    .expect("getrandom(2) without flags fails only with EINTR");
            out = &mut out[filled..];
        }
    }
}

#[cfg(test)]
mod tests;
