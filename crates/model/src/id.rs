//! Identifiers. None is ever used again after what it named is gone.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the number that the catalog gave.
            pub const fn new(raw: $inner) -> Self {
                Self(raw)
            }

            /// The number, for persisting and for display.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(
    /// A volume, for its whole life; its name is only a label.
    VolumeId(u64)
);
id!(
    /// A snapshot.
    SnapshotId(u64)
);
id!(
    /// An image.
    ImageId(u64)
);
id!(
    /// One version of a file.
    FileId(u64)
);
id!(
    /// An account, for its whole life; its name is only a label.
    AccountId(u64)
);
id!(
    /// A user, likewise.
    UserId(u64)
);
id!(
    /// The term of a volume's lease. A write of an older term is refused.
    Epoch(u32)
);

id!(
    /// One of the pools of a store, for its whole life; its name is only a label.
    PoolId(u64)
);

impl PoolId {
    /// The pool that a store is made with: it has the log, the backups of the catalog, and what
    /// nothing says another pool of.
    pub const FIRST: PoolId = PoolId(1);
}

/// A segment. Ids grow, are given before first use, and are never used again.
///
/// Zero is no segment: it marks a hole in an [`Extent`](crate::Extent).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentId(u64);

impl SegmentId {
    /// Ids are 40 bits wide, so that an extent fits into 16 bytes.
    pub const BITS: u32 = 40;
    /// The first id.
    pub const MIN: SegmentId = SegmentId(1);
    /// The largest id: at 32 MiB each, 2^40 segments are 32 EiB.
    pub const MAX: SegmentId = SegmentId((1 << Self::BITS) - 1);

    /// Wraps a number from 1 to [`Self::MAX`].
    pub const fn new(raw: u64) -> Option<Self> {
        if raw == 0 || raw > Self::MAX.0 { None } else { Some(Self(raw)) }
    }

    /// The number, for persisting and for display.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010x}", self.0)
    }
}
