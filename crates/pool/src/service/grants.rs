//! Sharing, as verbs: who but its owner may do what. The rule itself is
//! [`decide`](crate::decide).
//!
//! Nothing is kept in memory of what was decided: every request asks the catalog, so that
//! what is revoked is refused from the next request on. A read that was let in goes on to
//! its end.

mod holders;
mod links;
mod owned;
mod paths;
mod record;
mod tickets;
mod words;

use archipelago_model::{AccountId, ObjectName};

use super::Service;
use super::objects::content_row;
use crate::audit::AuditEvent;
use crate::catalog::identity::{account, group, user};
use crate::catalog::{Tx, grant, image, snapshot, snapshot_file, state, volume};
use crate::core::OPERATOR;
use crate::error::{Error, ErrorKind};
use crate::grant::{
    Action, Decision, Grant, Grantee, Layer, Right, Rules, Shared, Subject, decide,
};
use crate::identity::Identity;
use crate::object::{Container, Object, Which};

pub(crate) use holders::{admits, reads_snapshot, snapshots_read};
pub use links::{LINKS_MAX, PublicLink};
pub(super) use owned::{check_maker, check_new, owner_uuid};
pub(super) use paths::share;
pub use paths::{NameGrants, Roots};
use paths::{by_name, closest};
pub(super) use record::{Uses, record};
pub use tickets::{Admitted, TICKET_MARK, TICKET_MS_MAX, Ticket};

/// Grants on one resource: all of them are read at once, by whatever is asked of it.
pub const GRANTS_MAX: usize = 1000;

/// Names on a page of what is shared with somebody.
const PAGE_MAX: usize = 10_000;

/// What changes who may do what.
pub type ChangeGrants<'a> = dyn FnMut(&mut Vec<Grant>) -> Result<(), Error> + 'a;

impl Service {
    /// Who asks, with the groups that it is in.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn subject(&self, identity: Option<&Identity>) -> Result<Subject, Error> {
        let Some(who) = identity else { return Ok(Subject::anybody()) };
        let groups = self.core.catalog.read(|tx| group::of_user(tx, who.user.id))?;
        Ok(Subject { identity: Some(who.clone()), groups })
    }

    /// All grants that have to do with a container; `ignores_public` is its door's to say.
    pub fn container_rules(&self, container: &Container, ignores_public: bool) -> Rules {
        Rules {
            owner: container.account,
            writer: None,
            of_container: true,
            layers: vec![(Layer::Container, container.grants.clone())],
            ignores_public,
            now_ms: self.core.now_ms(),
        }
    }

    /// All grants that have to do with an object of a container, whether or not it is there.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn object_rules(
        &self,
        container: &Container,
        name: &ObjectName,
        object: Option<&Object>,
        ignores_public: bool,
    ) -> Result<Rules, Error> {
        let now_ms = self.core.now_ms();
        let (closest, of_snapshot) = self.core.catalog.read(|tx| -> Result<_, Error> {
            Ok((closest(tx, container.id, name, now_ms)?, of_snapshot(tx, container, object)?))
        })?;
        let mut layers = Vec::with_capacity(4);
        layers.extend(object.map(|object| (Layer::Version, object.meta.grants.clone())));
        layers.extend(of_snapshot.map(|grants| (Layer::Resource, grants)));
        // A name stands for what is the newest now.
        if object.is_none_or(|object| object.latest) {
            layers.extend(
                closest.map(|found| (Layer::Path(found.path.to_string()), (*found.grants).clone())),
            );
        }
        layers.push((Layer::Container, container.grants.clone()));
        let owner = container.account;
        let writer = object.and_then(|object| container.writer_of(object));
        Ok(Rules { owner, writer, of_container: false, layers, ignores_public, now_ms })
    }

    /// Whether somebody may do something with a resource: the newest version of what has this
    /// name, where it is one.
    ///
    /// # Errors
    /// `NotFound` (the container, the image...).
    pub fn may(
        &self,
        subject: &Subject,
        action: Action,
        shared: &Shared,
    ) -> Result<Decision, Error> {
        let rules = match shared {
            Shared::Container(id) => self.container_rules(&self.container_by_id(*id)?, false),
            Shared::Path(id, path) => {
                let name = object_name(path)?;
                let object = self.object_or_marker(*id, &name, Which::Latest)?;
                let object = object.filter(|object| !object.marker);
                self.object_rules(&self.container_by_id(*id)?, &name, object.as_ref(), false)?
            }
            Shared::Image(_) | Shared::Volume(_) | Shared::Snapshot(_) => Rules {
                owner: self.core.catalog.read(|tx| owner_of(tx, shared))?,
                writer: None,
                of_container: false,
                layers: vec![(Layer::Resource, self.grants(shared)?)],
                ignores_public: false,
                now_ms: self.core.now_ms(),
            },
        };
        Ok(decide(subject, action, &rules))
    }

    /// A container by its identity.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn container_by_id(&self, id: u64) -> Result<Container, Error> {
        self.core.catalog.read(|tx| super::objects::container_of(tx, id))
    }

    /// Who may do what with a resource, in the order in which it was said. Of a path, only
    /// what was said of that very name.
    ///
    /// # Errors
    /// `NotFound` (the resource).
    pub fn grants(&self, shared: &Shared) -> Result<Vec<Grant>, Error> {
        self.core.catalog.read(|tx| {
            label(tx, shared)?;
            Ok(grant::of(tx, shared)?)
        })
    }

    /// The grants that a name has: its own, or else those of the closest folder above it that
    /// has any, with the name that has them. A folder is an object that says so by its type.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn path_grants(
        &self,
        container: u64,
        name: &ObjectName,
    ) -> Result<Option<NameGrants>, Error> {
        let now_ms = self.core.now_ms();
        self.core.catalog.read(|tx| closest(tx, container, name, now_ms))
    }

    /// Changes who may do what, in one transaction with the record of it. `by` is who says so.
    ///
    /// # Errors
    /// `NotFound` (the resource, a grantee); `Invalid` (a right that it cannot have, too many
    /// grants); those of `change`. Nothing is changed then.
    pub fn grants_change(
        &self,
        by: &str,
        shared: &Shared,
        change: &mut ChangeGrants<'_>,
    ) -> Result<Vec<Grant>, Error> {
        let now_ms = self.core.now_ms();
        self.core.catalog.write(|tx| change_of(tx, by, now_ms, shared, change))
    }

    /// The same of what is there: a file has to have content, unless its name means all names
    /// below.
    ///
    /// # Errors
    /// As [`Self::grants_change`]; `NotFound` (the file).
    pub fn grants_change_of_existing(
        &self,
        by: &str,
        shared: &Shared,
        change: &mut ChangeGrants<'_>,
    ) -> Result<Vec<Grant>, Error> {
        let now_ms = self.core.now_ms();
        self.core.catalog.write(|tx| {
            if let Shared::Path(container, path) = shared
                && !path.ends_with('/')
            {
                content_row(tx, *container, &object_name(path)?, Which::Latest, now_ms)?;
            }
            change_of(tx, by, now_ms, shared, change)
        })
    }

    /// Accounts of which something in containers is shared with somebody: by id, without those
    /// that it owns. What is shared with everybody and with everybody signed in is not counted.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn accounts_sharing(&self, subject: &Subject) -> Result<Vec<AccountId>, Error> {
        let mut all = self.core.catalog.read(|tx| -> Result<Vec<AccountId>, Error> {
            let mut all = Vec::new();
            for grantee in named(subject) {
                all.extend(grant::accounts(tx, grantee, self.core.now_ms())?);
            }
            Ok(all)
        })?;
        all.sort_unstable();
        all.dedup();
        let own = subject.identity.as_ref().map(|who| who.account.id);
        all.retain(|account| Some(*account) != own);
        Ok(all)
    }

    /// Containers of an account in which something is shared with somebody by name: by name.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn containers_sharing(
        &self,
        subject: &Subject,
        owner: AccountId,
    ) -> Result<Vec<Container>, Error> {
        self.core.catalog.read(|tx| {
            let mut ids = Vec::new();
            for grantee in named(subject) {
                ids.extend(grant::containers(tx, owner, grantee, self.core.now_ms())?);
            }
            by_name(tx, ids)
        })
    }

    /// Everything that is shared but by lists of S3 on objects, behind a resource; a page at
    /// most, with the name of each.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn all_grants(
        &self,
        after: Option<&Shared>,
        limit: usize,
    ) -> Result<Vec<(Shared, String, Grant)>, Error> {
        let limit = limit.min(PAGE_MAX);
        self.core.catalog.read(|tx| {
            let rows = grant::page(tx, after, limit)?;
            labelled(tx, rows)
        })
    }

    /// What a resource is called, with its kind; of one in an account that the command line does
    /// not see, with that.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn shared_name(&self, shared: &Shared) -> Result<String, Error> {
        self.core.catalog.read(|tx| label(tx, shared))
    }

    /// Whom a grant names, by ids that never change: `USER`, `ACCOUNT`, `ACCOUNT/USER`,
    /// `ACCOUNT:GROUP`, `*` for everybody.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn grantee_ids(&self, grantee: Grantee) -> Result<String, Error> {
        self.core.catalog.read(|tx| words::grantee_ids(tx, grantee))
    }

    /// Whom a grant names, in words that people use.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn grantee_name(&self, grantee: Grantee) -> Result<String, Error> {
        self.core.catalog.read(|tx| grantee_name(tx, grantee))
    }
}

/// Whom somebody is by name.
fn named(subject: &Subject) -> impl Iterator<Item = Grantee> {
    subject.grantees().into_iter().filter(|grantee| !grantee.is_public())
}

/// Changes the grants of something, and records what is different.
fn change_of(
    tx: &Tx<'_>,
    by: &str,
    now_ms: u64,
    shared: &Shared,
    change: &mut ChangeGrants<'_>,
) -> Result<Vec<Grant>, Error> {
    let old = grant::of(tx, shared)?;
    let mut new = old.clone();
    change(&mut new)?;
    replace(tx, by, now_ms, shared, &old, new)
}

/// Puts grants in the place of others, and records what is different.
pub(super) fn replace(
    tx: &Tx<'_>,
    by: &str,
    now_ms: u64,
    shared: &Shared,
    old: &[Grant],
    mut new: Vec<Grant>,
) -> Result<Vec<Grant>, Error> {
    let label = label(tx, shared)?;
    check(tx, &label, shared, &new)?;
    // The last word of a right counts.
    let mut seen = std::collections::BTreeSet::new();
    new.reverse();
    new.retain(|grant| seen.insert((grant.grantee, grant.right)));
    new.reverse();
    for gone in old.iter().filter(|old| !new.iter().any(|new| new.says_as(old))) {
        grant::remove(tx, shared, gone)?;
        record(tx, now_ms, by, AuditEvent::Revoked, &label, detail(tx, gone)?)?;
    }
    for made in &mut new {
        if old.iter().any(|old| old.says_as(made)) {
            continue;
        }
        (made.by, made.created_ms) = (by.to_owned(), now_ms);
        grant::insert(tx, state::take_id(tx)?, shared, made)?;
        record(tx, now_ms, by, AuditEvent::Granted, &label, detail(tx, made)?)?;
    }
    Ok(new)
}

fn check(tx: &Tx<'_>, label: &str, shared: &Shared, grants: &[Grant]) -> Result<(), Error> {
    if grants.len() > GRANTS_MAX {
        return Err(Error::invalid(format!(
            "{label} is to have {} grants; {GRANTS_MAX} are possible: share with a group",
            grants.len()
        )));
    }
    let possible: &[Right] = match shared {
        Shared::Container(_) => &Right::ALL,
        Shared::Volume(_) | Shared::Path(..) => &[Right::Read, Right::Write, Right::Clone],
        Shared::Image(_) | Shared::Snapshot(_) => &[Right::Read, Right::Clone],
    };
    for grant in grants {
        if !possible.contains(&grant.right) {
            return Err(Error::invalid(format!(
                "the right '{}' cannot be given on {label}",
                grant.right
            )));
        }
        grantee_name(tx, grant.grantee)?;
    }
    Ok(())
}

/// The grants of the snapshot that a file is.
fn of_snapshot(
    tx: &Tx<'_>,
    container: &Container,
    object: Option<&Object>,
) -> Result<Option<Vec<Grant>>, Error> {
    let Some(object) = object.filter(|_| container.account == OPERATOR) else { return Ok(None) };
    let Some(id) = snapshot_file::snapshot_of(tx, object.id)? else { return Ok(None) };
    Ok(Some(grant::of(tx, &Shared::Snapshot(id))?))
}

/// Whose a volume, a snapshot or an image is, or what is in a container.
fn owner_of(tx: &Tx<'_>, shared: &Shared) -> Result<AccountId, Error> {
    let name = match shared {
        Shared::Container(id) | Shared::Path(id, _) => {
            return Ok(super::objects::container_of(tx, *id)?.account);
        }
        Shared::Image(id) => image::name(tx, *id)?,
        Shared::Volume(id) => volume::get(tx, *id)?.map(|row| row.name.to_string()),
        Shared::Snapshot(id) => snapshot::name(tx, *id)?.map(|(volume, _)| volume),
    };
    let name = name.ok_or_else(gone)?;
    let account = name.split_once('/').map(|(account, _)| account);
    owned::owner(tx, account)?.ok_or_else(gone)
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "what was to be shared does not exist any more")
}

/// With the name of each. Grants on what is gone say nothing any more: `check` tells of them.
fn labelled(
    tx: &Tx<'_>,
    rows: Vec<(Shared, Grant)>,
) -> Result<Vec<(Shared, String, Grant)>, Error> {
    let mut out = Vec::with_capacity(rows.len());
    for (shared, grant) in rows {
        match label(tx, &shared) {
            Ok(label) => out.push((shared, label, grant)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

/// What a resource is called.
fn label(tx: &Tx<'_>, shared: &Shared) -> Result<String, Error> {
    match shared {
        Shared::Container(id) => Ok(format!("container '{}'", container_path(tx, *id)?)),
        Shared::Path(id, path) => {
            object_name(path)?;
            Ok(format!("file '{}/{}'", container_path(tx, *id)?, path.escape_debug()))
        }
        Shared::Image(id) => {
            let name = image::name(tx, *id)?.ok_or_else(gone)?;
            Ok(format!("image '{name}'"))
        }
        Shared::Volume(id) => {
            let row = volume::get(tx, *id)?.ok_or_else(gone)?;
            Ok(format!("volume '{}'", row.name))
        }
        Shared::Snapshot(id) => {
            let (volume, name) = snapshot::name(tx, *id)?.ok_or_else(gone)?;
            Ok(format!("snapshot '{volume}@{name}'"))
        }
    }
}

/// The name of a container; of one that the command line does not see, with its account.
fn container_path(tx: &Tx<'_>, id: u64) -> Result<String, Error> {
    let found = super::objects::container_of(tx, id)?;
    if found.account == OPERATOR {
        return Ok(found.name.to_string());
    }
    let account = account::get(tx, found.account)?;
    Ok(match account {
        Some(account) => format!("{}/{}", account.name, found.name),
        None => found.name.to_string(),
    })
}

fn grantee_name(tx: &Tx<'_>, grantee: Grantee) -> Result<String, Error> {
    let gone = |what: &str| {
        Error::new(
            ErrorKind::NotFound,
            format!(
                "{what} to share with does not exist; `archipelago user ls` lists those that do"
            ),
        )
    };
    let of_user = |id| -> Result<String, Error> {
        Ok(user::get(tx, id)?.ok_or_else(|| gone("the user"))?.name.to_string())
    };
    let of_account = |id| -> Result<String, Error> {
        Ok(account::get(tx, id)?.ok_or_else(|| gone("the account"))?.name.to_string())
    };
    match grantee {
        Grantee::Everyone => Ok("everyone".to_owned()),
        Grantee::SignedIn => Ok("signed-in".to_owned()),
        Grantee::Account(id) => Ok(format!("{}/*", of_account(id)?)),
        Grantee::User(id) => of_user(id),
        Grantee::UserIn(id, account) => Ok(format!("{}/{}", of_account(account)?, of_user(id)?)),
        Grantee::Group(id) => {
            let (account, name) = group::name(tx, id)?.ok_or_else(|| gone("the group"))?;
            Ok(format!("@{account}/{name}"))
        }
    }
}

fn object_name(path: &str) -> Result<ObjectName, Error> {
    path.parse().map_err(|error: archipelago_model::NameError| Error::invalid(error.to_string()))
}

fn detail(tx: &Tx<'_>, grant: &Grant) -> Result<String, Error> {
    // Who is gone by now is named by number.
    let name = grantee_name(tx, grant.grantee).unwrap_or_else(|_| grant.grantee.to_string());
    let until = grant.expires_ms.map(|end| format!(" until {end}")).unwrap_or_default();
    Ok(format!("{name}:{}{until}", grant.right))
}

#[cfg(test)]
mod tests;
