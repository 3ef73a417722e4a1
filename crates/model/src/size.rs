//! Sizes: units, limits, the human form (`10G` is 10 GiB).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A sector: the grain of maps.
pub const SECTOR_BYTES: u64 = 512;
/// A block: the guest's unit, and the grain of deduplication.
pub const BLOCK_BYTES: u64 = 4096;
/// A volume is at most 64 TiB.
pub const VOLUME_BYTES_MAX: u64 = 64 << 40;

const _: () = assert!(VOLUME_BYTES_MAX / SECTOR_BYTES < crate::Extent::START_END);

/// Why a size was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SizeError {
    /// Not a number with an optional unit.
    #[error("'{0}' is not a size; write a number with an optional unit, as 512, 64K, 10G or 1.5T")]
    Malformed(String),
    /// Zero, or over the limit.
    #[error("a volume has 512 bytes to 64 TiB, not {0} bytes")]
    OutOfRange(u64),
    /// Not whole sectors.
    #[error("a volume's size is a multiple of 512 bytes; {0} is not; next larger: {next}", next = .0.saturating_add(511) / 512 * 512)]
    Unaligned(u64),
}

/// The size of a volume: whole sectors, 512 bytes to 64 TiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VolumeSize(u64);

impl VolumeSize {
    /// Checks the limits.
    pub const fn from_bytes(bytes: u64) -> Result<Self, SizeError> {
        if bytes == 0 || bytes > VOLUME_BYTES_MAX {
            Err(SizeError::OutOfRange(bytes))
        } else if !bytes.is_multiple_of(SECTOR_BYTES) {
            Err(SizeError::Unaligned(bytes))
        } else {
            Ok(Self(bytes))
        }
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In sectors.
    pub const fn sectors(self) -> u64 {
        self.0 / SECTOR_BYTES
    }
}

/// Parses `4096`, `64K`, `10G`, `1.5T` or `10GiB`: powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, SizeError> {
    let malformed = || SizeError::Malformed(text.to_owned());
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        "P" | "PB" | "PIB" => 50,
        _ => return Err(malformed()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(malformed());
    }
    if number.ends_with('.') || (shift == 0 && !fraction.is_empty()) {
        return Err(malformed());
    }
    let whole: u64 = whole.parse().map_err(|_| malformed())?;
    let mut bytes = u128::from(whole) << shift;
    if !fraction.is_empty() {
        let numerator: u128 = fraction.parse().map_err(|_| malformed())?;
        bytes += (numerator << shift) / 10u128.pow(fraction.len() as u32);
    }
    u64::try_from(bytes).map_err(|_| malformed())
}

impl FromStr for VolumeSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        Self::from_bytes(parse_bytes(text)?)
    }
}

/// Shows bytes in the largest binary unit that keeps one digit before the point.
pub struct Human(pub u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let unit = (63 - (self.0 | 1).leading_zeros()) as usize / 10;
        if unit == 0 {
            return f.pad(&format!("{} B", self.0));
        }
        let scaled = self.0 as f64 / (1u64 << (10 * unit)) as f64;
        let text = if self.0.is_multiple_of(1 << (10 * unit)) {
            format!("{} {}", self.0 >> (10 * unit), UNITS[unit])
        } else {
            format!("{scaled:.1} {}", UNITS[unit])
        };
        f.pad(&text)
    }
}

impl fmt::Display for VolumeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Human(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests;
