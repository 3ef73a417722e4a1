//! What was done about sharing: who let whom do what, and who was refused.

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuditEvent {
    /// A right was given.
    Granted,
    /// A right was taken away.
    Revoked,
    /// A public link was made.
    LinkMade,
    /// A public link was ended.
    LinkEnded,
    /// A public link was followed.
    LinkUsed,
    /// A ticket for an NBD export was made.
    TicketMade,
    /// Something was opened with a ticket.
    TicketUsed,
    /// Somebody asked for what it may not have.
    Refused,
}

impl AuditEvent {
    const ALL: [Self; 8] = [
        Self::Granted,
        Self::Revoked,
        Self::LinkMade,
        Self::LinkEnded,
        Self::LinkUsed,
        Self::TicketMade,
        Self::TicketUsed,
        Self::Refused,
    ];

    /// How it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Revoked => "revoked",
            Self::LinkMade => "link-made",
            Self::LinkEnded => "link-ended",
            Self::LinkUsed => "link-used",
            Self::TicketMade => "ticket-made",
            Self::TicketUsed => "ticket-used",
            Self::Refused => "refused",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    /// Whether it changed who may do what.
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Granted | Self::Revoked | Self::LinkMade | Self::LinkEnded)
    }
}

/// A line of the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// Its number: greater ones are newer.
    pub id: u64,
    /// When, in ms since 1970; of several in one, the last.
    pub at_ms: u64,
    /// Who: a user by name, `operator` for the native API, `anybody` without a login.
    pub actor: String,
    /// What.
    pub event: AuditEvent,
    /// With which resource, by the name that it had then.
    pub resource: String,
    /// Whom it was about, which right.
    pub detail: String,
    /// How often, since several in a short time are one line.
    pub count: u64,
}
