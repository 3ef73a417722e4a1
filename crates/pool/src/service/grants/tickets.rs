//! Tickets: export names by which somebody opens what it may open, over a protocol that has no
//! login.
//!
//! A ticket says which user, for which account, may open what, until when, and is signed with a
//! key out of `secret.key`. It gives no right: whoever shows it is asked for as if the user had
//! come, by the rule as it is then. So nothing is stored, and what was revoked, disabled or
//! removed opens nothing any more. What it says are identities that are never given twice: a name
//! that somebody else, or something else, has by now opens nothing either.

use std::sync::Arc;

use archipelago_engine as engine;
use archipelago_model::{AccountId, Source, VolumeId};

use super::super::Service;
use super::holders::subject_of;
use super::owned::{self, Verdict, found, owner};
use crate::audit::AuditEvent;
use crate::catalog::Tx;
use crate::catalog::identity::credential;
use crate::core::{Fixed, catalog_root, cut_of, shown, snapshot_row};
use crate::device::{Device, Target};
use crate::error::{Error, ErrorKind};
use crate::grant::{Action, Reason, Shared, Subject};
use crate::hold::{Hold, Holder};
use crate::identity::Secret;
use crate::service::devices;

/// Between a name and its ticket: in no name, and plain in URIs.
pub const TICKET_MARK: char = '~';

/// The longest that a ticket holds, in ms: a client that reconnects shows it again.
pub const TICKET_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;

/// User, account, application credential, resource and end of a ticket as bytes, in front of its
/// signature.
const SAID_BYTES: usize = 64;
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
    /// Whether it may only be read. Of a volume it is then the state at the opening.
    pub read_only: bool,
}

/// What a ticket says.
struct Claims {
    user: [u8; 16],
    account: [u8; 16],
    /// The application credential that it was got with.
    credential: Option<[u8; 16]>,
    /// The number of the volume, snapshot or image.
    resource: u64,
    ends_ms: u64,
}

/// What is found for whoever shows a ticket, in one transaction.
enum Found {
    /// It is let in.
    Opening(Box<Opening>),
    /// It may read what has the name, which is not what the ticket is for.
    Another,
    /// It is refused something that is there; the name and why are for the record.
    Refused(String, Reason),
    /// There is nothing for it.
    Nothing,
}

struct Opening {
    holder: Holder,
    user: String,
    /// What the catalog has of it.
    root: Fixed,
    /// The volume whose snapshots it can be compared with.
    family: Option<VolumeId>,
}

impl Claims {
    fn to_bytes(&self) -> [u8; SAID_BYTES] {
        let mut said = [0; SAID_BYTES];
        said[..16].copy_from_slice(&self.user);
        said[16..32].copy_from_slice(&self.account);
        // No identity is all zeros: each says its version.
        said[32..48].copy_from_slice(&self.credential.unwrap_or_default());
        said[48..56].copy_from_slice(&self.resource.to_be_bytes());
        said[56..].copy_from_slice(&self.ends_ms.to_be_bytes());
        said
    }

    fn from_bytes(said: &[u8; SAID_BYTES]) -> Self {
        let uuid = |at: usize| std::array::from_fn(|index| said[at + index]);
        let number = |at: usize| said[at..at + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
        Self {
            user: uuid(0),
            account: uuid(16),
            credential: Some(uuid(32)).filter(|uuid| *uuid != [0; 16]),
            resource: number(48),
            ends_ms: number(56),
        }
    }
}

impl Service {
    /// Makes a ticket by which somebody opens a volume, a snapshot or an image for so long. One
    /// that is got with an application credential ends with that.
    ///
    /// # Errors
    /// `Invalid` (a file, a time that is too long); those of [`Self::allow`] for reading.
    pub fn ticket(
        &self,
        subject: &Subject,
        by: Option<[u8; 16]>,
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
        let (user, account) = (who.user.uuid, who.account.uuid);
        let now_ms = self.core.now_ms();
        let (resource, read_only, latest_ms) = self.core.catalog.read(|tx| {
            // What it owns it may also where nothing has the name.
            let shared = found(tx, source)?
                .ok_or_else(|| Error::not_found(shown(source), owned::listing(source)))?;
            let latest_ms = match by {
                None => u64::MAX,
                Some(uuid) => {
                    let row = credential::find(tx, &hex::encode(uuid))?;
                    let row = row.ok_or_else(Error::unauthenticated)?;
                    row.credential.expires_ms.unwrap_or(u64::MAX)
                }
            };
            Ok::<_, Error>((number(&shared), !may_write(tx, subject, source, now_ms)?, latest_ms))
        })?;
        let ends_ms = now_ms.saturating_add(lifetime_ms).min(latest_ms);
        let said = Claims { user, account, credential: by, resource, ends_ms }.to_bytes();
        let signature = self.keys()?.ticket(source.to_string().as_bytes(), &said);
        let text = format!("{}{}", hex::encode(said), hex::encode(signature.as_bytes()));
        let name = match source {
            Source::Volume(name) => name.to_string(),
            Source::Snapshot(path) => path.to_string(),
            other => other.to_string(),
        };
        let export = Secret::new(format!("{name}{TICKET_MARK}{text}").as_str());
        let until = format!("until {ends_ms}");
        self.audit_use(AuditEvent::TicketMade, who.user.name.as_str(), &shown(source), &until);
        Ok(Ticket { export, read_only, expires_ms: ends_ms })
    }

    /// Opens a device by an export name with a ticket. Who may only read a volume gets it as it
    /// is now, and keeps nobody from it.
    ///
    /// # Errors
    /// `NotFound`, in the same words, for what is no ticket, one that has ended, and whatever its
    /// user may not read; `NotFound`, too, when the name is of something else by now.
    pub fn open_with_ticket(&self, export: &str) -> Result<Admitted, Error> {
        let (name, text) = export.split_once(TICKET_MARK).unwrap_or((export, ""));
        let source = devices::parse(name)?;
        let label = shown(&source);
        let refused = |why: &str| {
            Error::new(
                ErrorKind::NotFound,
                format!("the ticket for {label} {why}; `archipelago attach` makes another one"),
            )
        };
        const ENDED: &str = "does not count, or not any more";
        let claims = self.claims(&source, text)?.ok_or_else(|| refused(ENDED))?;
        let core = &self.core;
        let _resolving = core.resolving.read_recursive();
        let now_ms = core.now_ms();
        let opening = match core.catalog.read(|tx| find(tx, &claims, &source, now_ms))? {
            Found::Opening(opening) => opening,
            Found::Another => return Err(refused("is for another one, which had the name before")),
            Found::Nothing => return Err(refused(ENDED)),
            Found::Refused(who, reason) => {
                let detail = format!("{}: {reason}", Action::Read.name());
                self.audit_use(AuditEvent::Refused, &who, &label, &detail);
                return Err(refused(ENDED));
            }
        };
        let (user, action) = (opening.user.clone(), opening.holder.action);
        let device = self.open_held(*opening, &label).map_err(|error| error.on(&label))?;
        self.audit_use(AuditEvent::TicketUsed, &user, &label, action.name());
        Ok(Admitted { device: Arc::new(device), read_only: action != Action::Write })
    }

    /// What a ticket says, if it is one for this and holds still.
    fn claims(&self, source: &Source, text: &str) -> Result<Option<Claims>, Error> {
        let mut bytes = [0; SAID_BYTES + SIGNATURE_BYTES];
        if hex::decode_to_slice(text, &mut bytes).is_err() {
            return Ok(None);
        }
        let Some((said, signature)) = bytes.split_first_chunk::<SAID_BYTES>() else {
            return Ok(None);
        };
        let wanted = self.keys()?.ticket(source.to_string().as_bytes(), said);
        // Takes as long wherever they differ.
        let is_ours = <[u8; SIGNATURE_BYTES]>::try_from(signature).is_ok_and(|s| wanted == s);
        let claims = Claims::from_bytes(said);
        let now_ms = self.core.now_ms();
        // One that ends later than any may was made while the clock was ahead.
        let holds =
            now_ms < claims.ends_ms && claims.ends_ms <= now_ms.saturating_add(TICKET_MS_MAX);
        Ok((is_ours && holds).then_some(claims))
    }

    /// Opens what was found, by what it is and not by its name.
    fn open_held(&self, opening: Opening, label: &str) -> Result<Device, Error> {
        let core = &self.core;
        let Opening { holder, root, family, .. } = opening;
        let (target, attached) = match (&holder.shared, holder.action) {
            (Shared::Volume(id), Action::Write) => {
                // Counted before the lease is taken: nobody removes it in between.
                let attached = core.attachments.attach(*id)?;
                let handle = core.attach(*id)?;
                (Target::Volume { handle, _attached: None }, Some((*id, attached)))
            }
            (Shared::Volume(id), _) => {
                let root = match core.attachments.handle(*id) {
                    Some(handle) => {
                        core.checkpoint(&[handle], false, |_, done| cut_of(done, *id))?
                    }
                    None => root,
                };
                (Target::Fixed(self.view(root)?), None)
            }
            _ => (Target::Fixed(self.view(root)?), None),
        };
        let (id, attached) = attached.unzip();
        let hold = Hold::new(core, holder, attached);
        if let Some(id) = id {
            core.attachments.held(id, &hold);
        }
        Ok(Device::new(Arc::clone(core), label.to_owned(), target, family).held(hold))
    }

    fn view(&self, of: Fixed) -> Result<Arc<engine::View>, Error> {
        Ok(self.core.engine.view(of.root, of.size)?)
    }
}

/// What has the name, whether it is what the ticket is for, and what its user may do with it.
fn find(tx: &Tx<'_>, claims: &Claims, source: &Source, now_ms: u64) -> Result<Found, Error> {
    let subject = subject_of(tx, claims.user, claims.account, claims.credential, now_ms)?;
    let Some((subject, who)) =
        subject.as_ref().and_then(|s| s.identity.as_ref().map(|who| (s, who)))
    else {
        return Ok(Found::Nothing);
    };
    let user = who.user.name.to_string();
    match owned::verdict(tx, subject, Action::Read, source, now_ms)? {
        Verdict::Yes => {}
        Verdict::Hidden(false) => return Ok(Found::Nothing),
        Verdict::No(reason) => return Ok(Found::Refused(user, reason)),
        Verdict::Hidden(true) => return Ok(Found::Refused(user, Reason::NotGranted)),
    }
    let Some((shared, owner)) = found(tx, source)?.zip(owner_of(tx, source)?) else {
        return Ok(Found::Nothing);
    };
    if number(&shared) != claims.resource {
        return Ok(Found::Another);
    }
    let family = match (&shared, source) {
        (Shared::Volume(id), _) => Some(*id),
        (_, Source::Snapshot(path)) => Some(snapshot_row(tx, path)?.volume),
        _ => None,
    };
    let action = match may_write(tx, subject, source, now_ms)? {
        true => Action::Write,
        false => Action::Read,
    };
    let Claims { user: of, account, credential, .. } = *claims;
    let holder = Holder { user: of, account, credential, shared, owner, action };
    let root = catalog_root(tx, source, now_ms)?;
    Ok(Found::Opening(Box::new(Opening { holder, user, root, family })))
}

fn owner_of(tx: &Tx<'_>, source: &Source) -> Result<Option<AccountId>, Error> {
    owner(tx, owned::owner_in(source))
}

/// Whether a device may be written: a volume, by whom the rule lets.
fn may_write(tx: &Tx<'_>, subject: &Subject, source: &Source, now_ms: u64) -> Result<bool, Error> {
    let Source::Volume(_) = source else { return Ok(false) };
    let verdict = owned::verdict(tx, subject, Action::Write, source, now_ms)?;
    Ok(matches!(verdict, Verdict::Yes))
}

/// What tickets call something, together with its kind.
fn number(shared: &Shared) -> u64 {
    match shared {
        Shared::Container(id) | Shared::Path(id, _) => *id,
        Shared::Image(id) => id.get(),
        Shared::Volume(id) => id.get(),
        Shared::Snapshot(id) => id.get(),
    }
}

#[cfg(test)]
mod tests;
