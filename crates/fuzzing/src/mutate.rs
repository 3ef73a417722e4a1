//! Changes to inputs, as a fuzzer makes them but without guidance, all from one seed.

/// Numbers from a seed: SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Equal seeds give equal numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, of all 64 bits.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub const fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.roll() % end as u64) as usize }
    }

    /// One of them.
    ///
    /// # Panics
    /// There is none.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Numbers at which decoders go wrong: ends of ranges, and what overflows when
/// something is added or multiplied.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    8,
    511,
    512,
    513,
    4095,
    4096,
    0x7fff,
    0xffff,
    0x1_0000,
    0xff_ffff,
    0x100_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    (1 << 40) - 1,
    1 << 46,
    1 << 63,
    u64::MAX - 4096,
    u64::MAX - 1,
    u64::MAX,
];

/// An input like `seed`, changed in one to eight places; `other` gives parts too. At
/// most `bytes_max` long. Two in three keep their length, as a structure that is found
/// from its end, or by offsets, is not found any more once its parts have moved.
pub fn mutate(dice: &mut Dice, seed: &[u8], other: &[u8], bytes_max: usize) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let kinds = if dice.below(3) == 0 { 10 } else { 7 };
    for _ in 0..1 + dice.below(8) {
        change(dice, &mut bytes, other, kinds);
    }
    bytes.truncate(bytes_max);
    bytes
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8], kinds: usize) {
    let at = dice.below(bytes.len());
    match dice.below(kinds) {
        0 => flip(dice, bytes, at),
        1 => overwrite(bytes, at, &[dice.roll() as u8]),
        2 | 3 => number(dice, bytes, at),
        // Fields are at multiples of their length more often than not.
        4 | 5 => number(dice, bytes, at & !3),
        6 => {
            let from = dice.below(bytes.len());
            let part = bytes[from..(from + dice.below(512)).min(bytes.len())].to_vec();
            overwrite(bytes, at, &part);
        }
        7 => bytes.truncate(at),
        8 => {
            let len = dice.below(64).min(bytes.len() - at);
            bytes.drain(at..at + len);
        }
        _ => {
            let from = dice.below(other.len());
            let len = dice.below(256).min(other.len() - from);
            bytes.splice(at..at, other[from..from + len].iter().copied());
        }
    }
}

fn flip(dice: &mut Dice, bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
}

/// A number of 1, 2, 4 or 8 bytes, of either order, at which decoders go wrong, or
/// one near to what is there.
fn number(dice: &mut Dice, bytes: &mut [u8], at: usize) {
    let width = 1 << dice.below(4);
    let big = dice.roll().is_multiple_of(2);
    let value = if dice.roll().is_multiple_of(4) {
        let mut now = [0; 8];
        let have = bytes.get(at..at + width).unwrap_or_default();
        now[..have.len()].copy_from_slice(have);
        let near = dice.below(33) as u64;
        u64::from_le_bytes(now).wrapping_add(near).wrapping_sub(16)
    } else {
        *dice.pick(NUMBERS)
    };
    let (little, great) = (value.to_le_bytes(), value.to_be_bytes());
    overwrite(bytes, at, if big { &great[8 - width..] } else { &little[..width] });
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    let end = (at + with.len()).min(bytes.len());
    if at < end {
        bytes[at..end].copy_from_slice(&with[..end - at]);
    }
}
