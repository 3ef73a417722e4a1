//! What PostgreSQL, or the way to it, fails with.

use thiserror::Error;
use tokio_postgres::error::SqlState;

use crate::error::ErrorKind;

/// Why it did not do it.
#[derive(Debug, Error)]
pub(crate) enum PostgresError {
    /// It refused.
    #[error("its server refused: {what} (SQLSTATE {code})")]
    Refused {
        /// As the server says it.
        what: String,
        /// Five characters.
        code: String,
    },
    /// It cannot be reached, or went away; what was under way was not done.
    #[error(
        "its server {server} is away ({why}): start it again, or look at the way to it; the \
         service goes on by itself when it is back"
    )]
    Away {
        /// The url.
        server: String,
        /// What the system or the server said.
        why: String,
    },
    /// It went away while a change was committed, and did not come back in time to be asked.
    #[error(
        "its server {server} went away while a change was committed ({why}), so that it is not \
         known whether the change was made: look at it once the server is back, before you do it \
         again"
    )]
    Unknown {
        /// The url.
        server: String,
        /// What the system or the server said.
        why: String,
    },
    /// Another host has taken the store over.
    #[error(
        "another archipelago has taken over the store ({by}): this one must change nothing any \
         more; stop it"
    )]
    TakenOver {
        /// Host and folder.
        by: String,
    },
    /// Another host works on it.
    #[error(
        "{server} is in use by an archipelago on another host or folder ({by}): stop that one; \
         where its host is gone, the server lets go of it when it finds the connection dead"
    )]
    InUse {
        /// The url.
        server: String,
        /// Host and folder.
        by: String,
    },
    /// Commits that it acknowledged are not there any more.
    #[error(
        "{server} has forgotten changes that it had acknowledged ({got} of {expected} are there): \
         it was put back from a copy, or a standby that lagged has taken its place; stop \
         archipelago, and bring back the database with all changes, or `archipelago rebuild`"
    )]
    Rewound {
        /// The url.
        server: String,
        /// Commits that it has.
        got: i64,
        /// Commits that it acknowledged.
        expected: i64,
    },
    /// A server that is not what is needed.
    #[error("{server} cannot keep a catalog: {why}")]
    Unfit {
        /// The url.
        server: String,
        /// What is wrong, and the remedy.
        why: String,
    },
    /// A text that PostgreSQL does not know.
    #[error("a text with a NUL character is no name of anything: leave it out")]
    Nul,
}

impl PostgresError {
    /// Whether a row was to go that another row refers to.
    pub fn is_reference(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == SqlState::FOREIGN_KEY_VIOLATION.code())
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { code, .. } => refused(code),
            Self::Away { .. } | Self::Unknown { .. } => ErrorKind::Unavailable,
            Self::TakenOver { .. } => ErrorKind::Fenced,
            Self::InUse { .. } => ErrorKind::InUse,
            Self::Rewound { .. } => ErrorKind::Damaged,
            Self::Unfit { .. } | Self::Nul => ErrorKind::Invalid,
        }
    }
}

fn refused(code: &str) -> ErrorKind {
    match (code.get(..2).unwrap_or_default(), code) {
        (_, "53100") => ErrorKind::NoSpace,
        // Too many connections, too little memory, a lock that is not given, an end that somebody
        // commanded: it may be another way later.
        ("53" | "55" | "57" | "40", _) => ErrorKind::Unavailable,
        ("25", "25006") => ErrorKind::ReadOnly,
        // Who configured it has to mend it.
        ("28" | "3D" | "3F", _) | (_, "42501") => ErrorKind::Invalid,
        ("XX", "XX001" | "XX002") => ErrorKind::Damaged,
        _ => ErrorKind::Internal,
    }
}

/// Whether the server said why it ends the connection, or lets nobody in for now.
pub(super) fn ends(code: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::IDLE_SESSION_TIMEOUT,
    ]
    .contains(code)
}
