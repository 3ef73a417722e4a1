//! Tickets: export names by which somebody opens what it may open, over a protocol that has no
//! login.
//!
//! A ticket says which user, for which account, may open what, until when, and is signed with a
//! key out of `secret.key`. It gives no right: whoever shows it is asked for as if the user had
//! come, by the rule as it is then. So nothing is stored, and what was revoked, disabled or
//! removed opens nothing any more.

use std::sync::Arc;

use archipelago_model::{AccountId, Source, UserId};

use super::super::Service;
use super::owned::Verdict;
use crate::catalog::Tx;
use crate::catalog::identity::{account, group, user};
use crate::core::shown;
use crate::device::Device;
use crate::error::{Error, ErrorKind};
use crate::grant::{Action, Subject};
use crate::identity::Secret;
use crate::service::devices;
use crate::service::identity::admitted;

/// Between a name and its ticket: in no name, and plain in URIs.
pub const TICKET_MARK: char = '~';

/// The longest that a ticket holds, in ms: a client that reconnects shows it again.
pub const TICKET_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;

/// User, account and end of a ticket as bytes, in front of its signature.
const SAID_BYTES: usize = 24;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 32;

/// An export name with a ticket.
#[derive(Debug)]
pub struct Ticket {
    /// What an NBD client asks for.
    pub export: Secret,
    /// Whether it may only be read, by the rule as it is now.
    pub read_only: bool,
    /// When the ticket ends, in ms since 1970.
    pub expires_ms: u64,
}

/// A device that somebody opened with a ticket.
pub struct Admitted {
    /// The device.
    pub device: Arc<Device>,
    /// Whether it may only be read.
    pub read_only: bool,
}

impl Service {
    /// Makes a ticket by which somebody opens a volume, a snapshot or an image for so long.
    ///
    /// # Errors
    /// `Invalid` (a file, a time that is too long); those of [`Self::allow`] for reading.
    pub fn ticket(
        &self,
        subject: &Subject,
        source: &Source,
        lifetime_ms: u64,
    ) -> Result<Ticket, Error> {
        let Some(who) = &subject.identity else { return Err(Error::unauthenticated()) };
        if source.is_file() {
            return Err(Error::invalid("files are read by S3, Swift and Pithos; clone it first"));
        }
        if !(1..=TICKET_MS_MAX).contains(&lifetime_ms) {
            return Err(Error::invalid(format!(
                "a ticket holds 1 to {TICKET_MS_MAX} ms (30 days); make another one later"
            )));
        }
        self.allow(subject, Action::Read, source)?;
        let name = match source {
            Source::Volume(name) => name.to_string(),
            Source::Snapshot(path) => path.to_string(),
            other => other.to_string(),
        };
        let read_only = !self.may_write(subject, source)?;
        let expires_ms = self.core.now_ms().saturating_add(lifetime_ms);
        let mut said = [0; SAID_BYTES];
        said[..8].copy_from_slice(&who.user.id.get().to_be_bytes());
        said[8..16].copy_from_slice(&who.account.id.get().to_be_bytes());
        said[16..].copy_from_slice(&expires_ms.to_be_bytes());
        let signature = self.keys()?.ticket(source.to_string().as_bytes(), &said);
        let text = format!("{}{}", hex::encode(said), hex::encode(signature.as_bytes()));
        let export = Secret::new(format!("{name}{TICKET_MARK}{text}").as_str());
        Ok(Ticket { export, read_only, expires_ms })
    }

    /// Opens a device by an export name with a ticket.
    ///
    /// # Errors
    /// `NotFound`, in the same words, for what is no ticket, one that has ended, and whatever its
    /// user may not read.
    pub fn open_with_ticket(&self, export: &str) -> Result<Admitted, Error> {
        let (name, text) = export.split_once(TICKET_MARK).unwrap_or((export, ""));
        let source = devices::parse(name)?;
        let refused = || {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "the ticket for {} does not count, or not any more; `archipelago attach` \
                     makes another one",
                    shown(&source)
                ),
            )
        };
        let subject = self.ticket_holder(&source, text)?.ok_or_else(refused)?;
        self.allow(&subject, Action::Read, &source).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::Forbidden => refused(),
            _ => error,
        })?;
        let read_only = !self.may_write(&subject, &source)?;
        Ok(Admitted { device: self.open_device(name)?, read_only })
    }

    /// Whose ticket it is, if it is one for this and holds still.
    fn ticket_holder(&self, source: &Source, text: &str) -> Result<Option<Subject>, Error> {
        let mut bytes = [0; SAID_BYTES + SIGNATURE_BYTES];
        if hex::decode_to_slice(text, &mut bytes).is_err() {
            return Ok(None);
        }
        let (said, signature) = bytes.split_at(SAID_BYTES);
        let wanted = self.keys()?.ticket(source.to_string().as_bytes(), said);
        // Takes as long wherever they differ.
        let is_ours = <[u8; SIGNATURE_BYTES]>::try_from(signature).is_ok_and(|s| wanted == s);
        let number = |at: usize| said[at..at + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
        let (user, account, ends) = (UserId::new(number(0)), AccountId::new(number(8)), number(16));
        if !is_ours || ends <= self.core.now_ms() {
            return Ok(None);
        }
        self.core.catalog.read(|tx| subject_of(tx, user, account))
    }

    /// Whether a device may be written: a volume, by whom the rule lets.
    fn may_write(&self, subject: &Subject, source: &Source) -> Result<bool, Error> {
        let now_ms = self.core.now_ms();
        let Source::Volume(_) = source else { return Ok(false) };
        let verdict = self
            .core
            .catalog
            .read(|tx| super::owned::verdict(tx, subject, Action::Write, source, now_ms))?;
        Ok(matches!(verdict, Verdict::Yes))
    }
}

/// A user who acts for an account, if it still may.
fn subject_of(tx: &Tx<'_>, user: UserId, account: AccountId) -> Result<Option<Subject>, Error> {
    let Some((user, account)) = user::get(tx, user)?.zip(account::get(tx, account)?) else {
        return Ok(None);
    };
    let groups = group::of_user(tx, user.id)?;
    let identity = admitted(tx, user, account)?;
    Ok(identity.map(|identity| Subject { identity: Some(identity), groups }))
}

#[cfg(test)]
mod tests;
