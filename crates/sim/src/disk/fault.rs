//! Failures of the disk that a test plans.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::Dice;

/// Linux's number for an input/output error.
const EIO: i32 = 5;

/// An operation of the disk or of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskOp {
    /// Opening an existing file.
    Open,
    /// Opening with `Mode::CreateNew`.
    Create,
    /// `create_dir_all`
    CreateDir,
    /// `remove_file`
    Remove,
    /// `rename`
    Rename,
    /// `sync_dir`
    SyncDir,
    /// `list`
    List,
    /// `lock`
    Lock,
    /// `space`
    Space,
    /// `read_at`
    Read,
    /// `write_all_at`
    Write,
    /// `sync_data`
    SyncData,
    /// `allocate`
    Allocate,
    /// `set_len`
    SetLen,
    /// `len`
    Len,
}

impl DiskOp {
    /// Whether it changes what the disk holds, or what of it is durable; between
    /// two such operations all moments for a crash are alike.
    pub fn changes(self) -> bool {
        match self {
            Self::Create
            | Self::CreateDir
            | Self::Remove
            | Self::Rename
            | Self::SyncDir
            | Self::Write
            | Self::SyncData
            | Self::Allocate
            | Self::SetLen => true,
            Self::Open | Self::List | Self::Lock | Self::Space | Self::Read | Self::Len => false,
        }
    }
}

/// Which error an operation returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// EIO: the disk is broken.
    Io,
    /// ENOSPC, whatever the room is.
    Full,
    /// EROFS: as after the kernel has met an error and mounted read-only.
    ReadOnly,
}

impl Failure {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::from_raw_os_error(EIO),
            Self::Full => io::ErrorKind::StorageFull.into(),
            Self::ReadOnly => io::ErrorKind::ReadOnlyFilesystem.into(),
        }
    }
}

/// What happens to an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It fails. A write has then written some first part, a sync has lost some
    /// of what it was to make durable; of the rest, nothing is done.
    Fail(Failure),
    /// It is the last one: done or not, power fails, and every operation fails
    /// until [`SimHandle::crash`](crate::SimHandle::crash).
    PowerOff,
}

/// One planned failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The operation that it concerns; `None` for all that change the disk.
    pub op: Option<DiskOp>,
    /// Matching operations that pass unharmed first.
    pub after: u64,
    /// Matching operations that are harmed then; `u64::MAX` for all.
    pub times: u64,
    /// What happens to them.
    pub effect: Effect,
}

impl Fault {
    /// The next operation of this kind fails, once.
    pub fn once(op: DiskOp, failure: Failure) -> Self {
        Self { op: Some(op), after: 0, times: 1, effect: Effect::Fail(failure) }
    }

    /// All operations of this kind fail from now on.
    pub fn always(op: DiskOp, failure: Failure) -> Self {
        Self { times: u64::MAX, ..Self::once(op, failure) }
    }

    /// Power fails in the change that comes after so many others.
    pub fn power_off_after(changes: u64) -> Self {
        Self { op: None, after: changes, times: 1, effect: Effect::PowerOff }
    }

    /// The same, after so many matching operations have passed.
    #[must_use]
    pub fn after(self, operations: u64) -> Self {
        Self { after: operations, ..self }
    }
}

/// What is planned for this operation; counts it. Faults are looked through in
/// the order they were injected, and the first that is due acts, alone.
pub(super) fn due(faults: &mut [Fault], op: DiskOp) -> Option<Effect> {
    for fault in faults {
        let matches = fault.op.map_or(op.changes(), |wanted| wanted == op);
        if !matches || fault.times == 0 {
            continue;
        }
        if fault.after > 0 {
            fault.after -= 1;
            continue;
        }
        if fault.times < u64::MAX {
            fault.times -= 1;
        }
        return Some(fault.effect);
    }
    None
}

/// A disk that takes its time: operations of every kind, which succeed all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slow {
    /// Operations that are quick first.
    pub after: u64,
    /// Operations that are slow then.
    pub times: u64,
    /// How long one takes at most; chance decides.
    pub longest: Duration,
}

/// How long the next operation takes.
pub(super) fn delay(slow: &mut [Slow], dice: &mut Dice) -> Option<Duration> {
    let due = slow.iter_mut().find(|one| one.times > 0)?;
    if due.after > 0 {
        due.after -= 1;
        return None;
    }
    due.times -= 1;
    let ms = u64::try_from(due.longest.as_millis()).unwrap_or(u64::MAX);
    Some(Duration::from_millis(dice.below(ms.saturating_add(1))))
}

/// Reads that give wrong bytes and say nothing, while what is kept is right: a bit
/// flips on the way, or the disk looks in the wrong place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misread {
    /// Only of files in this directory, or below.
    pub within: PathBuf,
    /// Reads that are right first.
    pub after: u64,
    /// Reads that are wrong then.
    pub times: u64,
    /// How they are wrong.
    pub how: Wrong,
}

/// What a misread gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// One bit, which chance chooses, is the other way round.
    Flipped,
    /// Bytes of another place in the same file, so many bytes on or back to the front.
    Misdirected,
}

/// Where the next read of `path` goes wrong.
pub(super) fn misread(misreads: &mut [Misread], path: &std::path::Path) -> Option<Wrong> {
    let due = misreads.iter_mut().find(|one| one.times > 0 && path.starts_with(&one.within))?;
    if due.after > 0 {
        due.after -= 1;
        return None;
    }
    due.times -= 1;
    Some(due.how)
}

impl Wrong {
    /// Where to read instead of `offset`.
    pub(super) fn offset(self, offset: u64, len: u64, dice: &mut Dice) -> u64 {
        match self {
            Self::Flipped => offset,
            Self::Misdirected => dice.below(len / 512 + 1) * 512,
        }
    }

    /// Spoils what was read.
    pub(super) fn spoil(self, bytes: &mut [u8], dice: &mut Dice) {
        let at = dice.below(bytes.len() as u64) as usize;
        if self == Self::Flipped
            && let Some(byte) = bytes.get_mut(at)
        {
            *byte ^= 1 << dice.below(8);
        }
    }
}
