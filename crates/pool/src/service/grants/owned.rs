//! Volumes, snapshots and images: whose they are, and who else may do what with them.
//!
//! The account that owns one stands in its name, so that it never has to be looked up, and no
//! two accounts ever want the same name.

use std::collections::{BTreeMap, BTreeSet};

use archipelago_model::{AccountId, ImageName, Source, VolumeName};

use super::super::Service;
use super::holders::subject_of;
use crate::audit::AuditEvent;
use crate::catalog::identity::account;
use crate::catalog::{Tx, grant, image, snapshot, volume};
use crate::core::{OPERATOR, shown};
use crate::error::{Error, ErrorKind};
use crate::grant::{Action, Decision, Grant, Layer, Reason, Rules, Shared, Subject, decide};
use crate::identity::{Named, Role};
use crate::resource::{Image, Snapshot, Volume};

/// What the rule says of somebody and something that may not be there.
pub(super) enum Verdict {
    /// It may; of what it owns also when nothing has the name.
    Yes,
    /// It may see it, and not do this.
    No(Reason),
    /// It is to learn nothing, not even whether it is there; `true` when it is.
    Hidden(bool),
}

impl Service {
    /// Lets somebody do something with a volume, a snapshot or an image, or refuses it. A refusal
    /// is in the record. Files are not asked for here: their doors have lists of their own.
    ///
    /// # Errors
    /// `NotFound`, in the same words, for what is not there and for what the subject may not see;
    /// `Forbidden` for what it sees and may not do.
    pub fn allow(&self, subject: &Subject, action: Action, source: &Source) -> Result<(), Error> {
        let now_ms = self.core.now_ms();
        let verdict = self.core.catalog.read(|tx| verdict(tx, subject, action, source, now_ms))?;
        if !matches!(verdict, Verdict::Yes | Verdict::Hidden(false)) {
            let why = match &verdict {
                Verdict::No(reason) => reason.to_string(),
                _ => Reason::NotGranted.to_string(),
            };
            let who = match &subject.identity {
                Some(who) => who.user.name.to_string(),
                None => "anybody".to_owned(),
            };
            let detail = format!("{}: {why}", action.name());
            self.audit_use(AuditEvent::Refused, &who, &shown(source), &detail);
        }
        answer(verdict, action, source)
    }

    /// The volumes that somebody sees: those of its account, and those that it may read.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn volumes_for(&self, subject: &Subject) -> Result<Vec<Volume>, Error> {
        let now_ms = self.core.now_ms();
        let rows = self.core.catalog.read(|tx| -> Result<_, Error> {
            let sight = Sight::new(tx, subject, now_ms)?;
            let mut rows = volume::list(tx)?;
            rows.retain(|row| sight.has(row.name.owner(), &Shared::Volume(row.id)));
            Ok(rows)
        })?;
        Ok(rows.into_iter().map(|row| self.core.shown(row)).collect())
    }

    /// The snapshots that somebody sees, of one volume or of all.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn snapshots_for(
        &self,
        subject: &Subject,
        of: Option<&VolumeName>,
    ) -> Result<Vec<Snapshot>, Error> {
        let now_ms = self.core.now_ms();
        let rows = self.core.catalog.read(|tx| -> Result<_, Error> {
            let sight = Sight::new(tx, subject, now_ms)?;
            let mut rows = match of {
                None => snapshot::list(tx)?,
                Some(name) => match volume::find(tx, name)? {
                    Some(row) => snapshot::list_of(tx, row.id)?,
                    None => Vec::new(),
                },
            };
            rows.retain(|row| sight.has(row.path.volume.owner(), &Shared::Snapshot(row.id)));
            Ok(rows)
        })?;
        Ok(rows.into_iter().map(super::super::snapshots::shown_snapshot).collect())
    }

    /// The images that somebody sees.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn images_for(&self, subject: &Subject) -> Result<Vec<Image>, Error> {
        let now_ms = self.core.now_ms();
        self.core.catalog.read(|tx| -> Result<_, Error> {
            let sight = Sight::new(tx, subject, now_ms)?;
            let images = image::list(tx)?.into_iter().map(|row| row.image);
            Ok(images.filter(|one| sight.has(one.name.owner(), &Shared::Image(one.id))).collect())
        })
    }

    /// What an account shares, in the order in which it was said, with the name of each resource:
    /// `limit` at most.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn grants_of(
        &self,
        owner: AccountId,
        limit: usize,
    ) -> Result<Vec<(Shared, String, Grant)>, Error> {
        self.core.catalog.read(|tx| {
            let prefix = match account::get(tx, owner)? {
                Some(account) if owner != OPERATOR => Some(format!("{}/", account.name)),
                Some(_) => None,
                None => return Ok(Vec::new()),
            };
            let rows = grant::of_owner(tx, owner, prefix.as_deref(), limit)?;
            super::labelled(tx, rows)
        })
    }

    /// Whose something is that can be shared.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn owner_of(&self, shared: &Shared) -> Result<AccountId, Error> {
        self.core.catalog.read(|tx| super::owner_of(tx, shared))
    }

    /// The name of the account that owns what has none in front: what the command line owns.
    /// `None` before there are any accounts.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn first_account(&self) -> Result<Option<crate::identity::Account>, Error> {
        Ok(self.core.catalog.read(|tx| account::get(tx, OPERATOR))?)
    }

    /// The same within a transaction that acts on what it allows, so that nothing comes between.
    /// Nobody is the operator. Files are let pass: their door has asked.
    pub(in crate::service) fn allow_in(
        tx: &Tx<'_>,
        subject: Option<&Subject>,
        action: Action,
        source: &Source,
        now_ms: u64,
    ) -> Result<(), Error> {
        match subject {
            Some(subject) if !source.is_file() => {
                answer(verdict(tx, subject, action, source, now_ms)?, action, source)
            }
            _ => Ok(()),
        }
    }
}

/// What somebody sees of volumes, or snapshots, or images.
pub(super) struct Sight {
    all: bool,
    /// Its account as names say it; `None` when it owns nothing.
    home: Option<Option<String>>,
    shared: BTreeSet<Shared>,
}

impl Sight {
    pub(super) fn new(tx: &Tx<'_>, subject: &Subject, now_ms: u64) -> Result<Self, Error> {
        let who = subject.identity.as_ref();
        let all = who.is_some_and(crate::identity::Identity::is_admin);
        let home = who
            .filter(|who| subject.owns(who.account.id))
            .map(|who| (who.account.id != OPERATOR).then(|| who.account.name.to_string()));
        // One look at all grants, and not one for each name: their number is that of what is
        // shared, which people said one by one.
        let mut by_resource: BTreeMap<Shared, Vec<_>> = BTreeMap::new();
        if !all {
            for (shared, grant) in grant::outside_containers(tx)? {
                by_resource.entry(shared).or_default().push(grant);
            }
        }
        let sees = |grants: Vec<_>| {
            let layers = vec![(Layer::Resource, grants)];
            decide(subject, Action::Read, &rules(None, layers, now_ms)).allowed
        };
        let shared =
            by_resource.into_iter().filter_map(|(shared, grants)| sees(grants).then_some(shared));
        Ok(Self { all, home, shared: shared.collect() })
    }

    pub(super) fn has(&self, owner: Option<&str>, shared: &Shared) -> bool {
        self.all
            || self.home.as_ref().is_some_and(|home| home.as_deref() == owner)
            || self.shared.contains(shared)
    }
}

/// No account has this number: what it owns, nobody does.
const NOBODY: AccountId = AccountId::new(u64::MAX);

pub(super) fn rules(
    owner: Option<AccountId>,
    layers: Vec<(Layer, Vec<Grant>)>,
    now_ms: u64,
) -> Rules {
    let owner = owner.unwrap_or(NOBODY);
    Rules { owner, writer: None, of_container: false, layers, ignores_public: false, now_ms }
}

/// The account that a name says; `None` when there is none.
pub(super) fn owner(tx: &Tx<'_>, name: Option<&str>) -> Result<Option<AccountId>, Error> {
    let Some(name) = name else { return Ok(Some(OPERATOR)) };
    Ok(account::find(tx, &Named::name(name))?.map(|account| account.id))
}

/// Refuses somebody who may not make what has such a name, in the transaction that makes it: what
/// was asked before it came may have been long ago. Nobody is the operator.
pub(in crate::service) fn check_maker(
    tx: &Tx<'_>,
    subject: Option<&Subject>,
    name: Option<&str>,
    label: &str,
) -> Result<(), Error> {
    let Some(subject) = subject else { return Ok(()) };
    let who = subject.identity.as_ref().ok_or_else(Error::unauthenticated)?;
    let now = subject_of(tx, who.user.uuid, who.account.uuid, None, 0)?;
    let now = now.and_then(|now| now.identity).ok_or_else(Error::unauthenticated)?;
    let makes = matches!(now.role, Role::Admin | Role::Member);
    if now.is_admin() || (makes && owner(tx, name)? == Some(now.account.id)) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Forbidden,
        format!("{label}: '{}' makes nothing there any more", now.user.name),
    ))
}

/// The identity of the account that a name says.
pub(in crate::service) fn owner_uuid(
    tx: &Tx<'_>,
    name: Option<&str>,
) -> Result<Option<[u8; 16]>, Error> {
    let owner = match name {
        None => account::get(tx, OPERATOR)?,
        Some(name) => account::find(tx, &Named::name(name))?,
    };
    Ok(owner.map(|account| account.uuid))
}

/// Refuses a new name of an account that there is not, or in another form than the one that
/// counts.
pub(in crate::service) fn check_new(
    tx: &Tx<'_>,
    owner: Option<&str>,
    label: &str,
) -> Result<(), Error> {
    let Some(owner) = owner else { return Ok(()) };
    match account::find(tx, &Named::name(owner))? {
        Some(account) if account.id != OPERATOR => Ok(()),
        Some(_) => Err(Error::invalid(format!(
            "{label} is of the first account, whose names have no account in front; leave \
             '{owner}/' out"
        ))),
        None => Err(Error::not_found(format_args!("account '{owner}'"), "account ls")),
    }
}

/// A volume, a snapshot or an image by its name.
pub(super) fn found(tx: &Tx<'_>, source: &Source) -> Result<Option<Shared>, Error> {
    Ok(match source {
        Source::Image(name) => image::find(tx, name)?.map(|row| Shared::Image(row.image.id)),
        Source::Volume(name) => volume::find(tx, name)?.map(|row| Shared::Volume(row.id)),
        Source::Snapshot(path) => {
            snapshot::find(tx, &path.volume, &path.snapshot)?.map(|row| Shared::Snapshot(row.id))
        }
        Source::File(..) | Source::FileOf(..) => None,
    })
}

pub(super) fn owner_in(source: &Source) -> Option<&str> {
    match source {
        Source::Image(name) => ImageName::owner(name),
        Source::Volume(name) => name.owner(),
        Source::Snapshot(path) => path.volume.owner(),
        Source::FileOf(account, ..) => Some(account.as_str()),
        Source::File(..) => None,
    }
}

pub(super) fn verdict(
    tx: &Tx<'_>,
    subject: &Subject,
    action: Action,
    source: &Source,
    now_ms: u64,
) -> Result<Verdict, Error> {
    let owner = owner(tx, owner_in(source))?;
    let shared = found(tx, source)?;
    let layers = match &shared {
        Some(shared) => vec![(Layer::Resource, grant::of(tx, shared)?)],
        None => Vec::new(),
    };
    let rules = rules(owner, layers, now_ms);
    let Decision { allowed, reason } = decide(subject, action, &rules);
    if allowed {
        return Ok(Verdict::Yes);
    }
    // Who sees it is told why; to others it is not there.
    match decide(subject, Action::Read, &rules).allowed {
        true => Ok(Verdict::No(reason)),
        false => Ok(Verdict::Hidden(shared.is_some())),
    }
}

fn answer(verdict: Verdict, action: Action, source: &Source) -> Result<(), Error> {
    match verdict {
        Verdict::Yes => Ok(()),
        Verdict::No(reason) => Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "{}: '{}' is not allowed ({reason}); its owner may say so with `archipelago share`",
                shown(source),
                action.name(),
            ),
        )),
        Verdict::Hidden(_) => Err(Error::not_found(shown(source), listing(source))),
    }
}

pub(super) fn listing(source: &Source) -> &'static str {
    match source {
        Source::Image(_) => "image ls",
        Source::Volume(_) => "volume ls",
        Source::Snapshot(_) => "snapshot ls",
        Source::File(..) | Source::FileOf(..) => "file ls",
    }
}

#[cfg(test)]
mod tests;
