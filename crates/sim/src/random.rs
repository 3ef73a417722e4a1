//! Chance that a seed decides.

use archipelago_env::Random;
use parking_lot::Mutex;

/// A generator of numbers: SplitMix64, which is small, passes the usual tests
/// and has no bad seeds.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// A generator; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number, of all 64 bits.
    #[expect(clippy::should_implement_trait, reason = "dice never run out")]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias is below 2^-32 for any range that a test uses.
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }
}

/// Random bytes of a seed. They are not fit for any secret.
pub struct SimRandom {
    dice: Mutex<Dice>,
}

impl SimRandom {
    /// A source; equal seeds give equal bytes.
    pub fn new(seed: u64) -> Self {
        Self { dice: Mutex::new(Dice::new(seed)) }
    }
}

impl Random for SimRandom {
    fn fill(&self, out: &mut [u8]) {
        let mut dice = self.dice.lock();
        for part in out.chunks_mut(8) {
            part.copy_from_slice(&dice.next().to_le_bytes()[..part.len()]);
        }
    }
}

#[cfg(test)]
mod tests;
