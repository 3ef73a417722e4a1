//! The decision. Pure: who asks for what, and which grants there are.

use std::fmt;

use archipelago_model::AccountId;

use super::{Grant, Grantee, Right};
use crate::identity::{Identity, Role};

/// What somebody wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Read content, and what is known of it.
    Read,
    /// Read a version that is not the newest.
    ReadVersion,
    /// See the names in a container.
    List,
    /// See what was in a container at another time.
    ListPast,
    /// Make it or change its content and what is known of it.
    Write,
    /// Remove it, or move it away.
    Remove,
    /// Make a volume that begins as this.
    Clone,
    /// Rename or resize a volume, take a snapshot of it, put it back to one: the owner's.
    Manage,
    /// See who may do what with it.
    ReadAcl,
    /// Say who may do what with it.
    WriteAcl,
    /// Change the container itself, or remove it.
    Govern,
}

impl Action {
    /// How it is written in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadVersion => "read an older version",
            Self::List => "list",
            Self::ListPast => "list the past",
            Self::Write => "write",
            Self::Remove => "remove",
            Self::Clone => "clone",
            Self::Manage => "manage",
            Self::ReadAcl => "see who may",
            Self::WriteAcl => "say who may",
            Self::Govern => "change the container",
        }
    }

    /// Whether it is about the content of something and who may see that. Of these, whose an
    /// object is decides; of all others, whose its container is.
    pub const fn is_of_content(self) -> bool {
        matches!(
            self,
            Self::Read | Self::ReadVersion | Self::Clone | Self::ReadAcl | Self::WriteAcl
        )
    }

    /// Whether anything is different afterwards.
    const fn changes(self) -> bool {
        matches!(self, Self::Write | Self::Remove | Self::Manage | Self::WriteAcl | Self::Govern)
    }
}

/// Who asks. Made by [`Service::subject`](crate::Service::subject), which knows the groups.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subject {
    /// `None` is whoever did not log in.
    pub identity: Option<Identity>,
    /// The groups that the user is in.
    pub groups: Vec<u64>,
}

impl Subject {
    /// Whoever did not log in.
    pub const fn anybody() -> Self {
        Self { identity: None, groups: Vec::new() }
    }

    /// Whether it acts for this account, or may do everything.
    pub fn owns(&self, owner: AccountId) -> bool {
        self.identity.as_ref().is_some_and(|who| {
            who.is_admin() || (who.account.id == owner && who.role != Role::Guest)
        })
    }

    /// Whether a grant to `grantee` is meant for it.
    pub fn is(&self, grantee: Grantee) -> bool {
        let Some(who) = &self.identity else { return grantee == Grantee::Everyone };
        match grantee {
            Grantee::Everyone | Grantee::SignedIn => true,
            Grantee::Account(account) => who.account.id == account && who.role != Role::Guest,
            Grantee::User(user) => who.user.id == user,
            Grantee::UserIn(user, account) => (who.user.id, who.account.id) == (user, account),
            Grantee::Group(group) => self.groups.contains(&group),
        }
    }

    /// Every grantee that it is, but for groups of others.
    pub fn grantees(&self) -> Vec<Grantee> {
        let mut all = vec![Grantee::Everyone];
        if let Some(who) = &self.identity {
            all.extend([
                Grantee::SignedIn,
                Grantee::User(who.user.id),
                Grantee::UserIn(who.user.id, who.account.id),
            ]);
            all.extend((who.role != Role::Guest).then_some(Grantee::Account(who.account.id)));
        }
        all.extend(self.groups.iter().map(|group| Grantee::Group(*group)));
        all
    }
}

/// To what a grant was attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layer {
    /// The resource itself, which is no file.
    Resource,
    /// The version of the object: what S3's lists of objects say.
    Version,
    /// The name of the object, or the folder above it that is closest.
    Path(String),
    /// The container of the object.
    Container,
}

/// All grants that have to do with one resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Whose it is; of an object, whose its container is.
    pub owner: AccountId,
    /// Of an object that belongs to the account that wrote it, and not to its container's: that.
    pub writer: Option<AccountId>,
    /// It is a container that is asked for, not something in one.
    pub of_container: bool,
    /// By where they were attached, and at each place at most once.
    pub layers: Vec<(Layer, Vec<Grant>)>,
    /// Grants to everyone and to everyone signed in do not count.
    pub ignores_public: bool,
    /// The time, in ms since 1970.
    pub now_ms: u64,
}

/// Why somebody may or may not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// An administrator of the store may do everything.
    Administrator,
    /// It acts for the owner, in a role that may do this.
    Owner,
    /// This grant says so.
    Granted(Layer, Grant),
    /// Its role lets it change nothing, or say nothing about who may do what.
    Role(Role),
    /// No grant says so.
    NotGranted,
}

/// May it?
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The answer.
    pub allowed: bool,
    /// And why.
    pub reason: Reason,
}

impl Decision {
    const fn yes(reason: Reason) -> Self {
        Self { allowed: true, reason }
    }

    const fn no(reason: Reason) -> Self {
        Self { allowed: false, reason }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administrator => f.write_str("an administrator may do everything"),
            Self::Owner => f.write_str("the owner may"),
            Self::Granted(layer, grant) => {
                write!(f, "{} has the right '{}'", grant.grantee, grant.right)?;
                match layer {
                    Layer::Resource => Ok(()),
                    Layer::Version => f.write_str(" on the version"),
                    Layer::Path(path) => write!(f, " on '{}'", path.escape_debug()),
                    Layer::Container => f.write_str(" on the container"),
                }
            }
            Self::Role(role) => write!(f, "the role '{role}' does not allow it"),
            Self::NotGranted => f.write_str("nobody has granted it"),
        }
    }
}

/// The rights of which each lets somebody do this, by where they are attached.
fn rights(action: Action, layer: &Layer, of_container: bool) -> &'static [Right] {
    match (action, layer) {
        (Action::Read, _) => &[Right::Read, Right::Clone],
        // Names say nothing of versions that were there before they were shared.
        (Action::ReadVersion, Layer::Version) => &[Right::Read],
        (Action::List, Layer::Container) if of_container => &[Right::List],
        // A list of S3 on an object lets nobody write it.
        (Action::Write, Layer::Path(_) | Layer::Container | Layer::Resource) => &[Right::Write],
        // Who may write a file may not remove it; who may write a container may.
        (Action::Remove, Layer::Container) => &[Right::Write],
        (Action::Clone, _) => &[Right::Clone],
        (Action::ReadAcl, Layer::Version | Layer::Resource) => &[Right::ReadAcl],
        (Action::WriteAcl, Layer::Version | Layer::Resource) => &[Right::WriteAcl],
        // The list of a container says who may see and change that list, and no other.
        (Action::ReadAcl, Layer::Container) if of_container => &[Right::ReadAcl],
        (Action::WriteAcl, Layer::Container) if of_container => &[Right::WriteAcl],
        _ => &[],
    }
}

/// Whether somebody may do something, and why.
///
/// The owner is asked first, then the grants of each place; one that says so is enough. What
/// belongs to the account that wrote it is read by that and by whom that lets: what is said of
/// the name and of the container was said by somebody else, who may remove it and no more. A
/// user who is but a reader of the account that it acts for changes nothing anywhere.
pub fn decide(subject: &Subject, action: Action, rules: &Rules) -> Decision {
    let writer = rules.writer.filter(|_| action.is_of_content());
    let owner = writer.unwrap_or(rules.owner);
    if let Some(who) = &subject.identity {
        if who.is_admin() {
            return Decision::yes(Reason::Administrator);
        }
        if action.changes() && who.role == Role::Reader {
            return Decision::no(Reason::Role(who.role));
        }
        if who.account.id == owner && who.role != Role::Guest {
            return match action {
                Action::WriteAcl if who.role != Role::Admin => Decision::no(Reason::Role(who.role)),
                _ => Decision::yes(Reason::Owner),
            };
        }
    }
    let said_by_owner =
        |layer: &Layer| writer.is_none() || matches!(layer, Layer::Version | Layer::Resource);
    for (layer, grants) in rules.layers.iter().filter(|(layer, _)| said_by_owner(layer)) {
        let wanted = rights(action, layer, rules.of_container);
        let found = grants.iter().find(|grant| {
            wanted.contains(&grant.right)
                && grant.expires_ms.is_none_or(|end| end > rules.now_ms)
                && !(rules.ignores_public && grant.grantee.is_public())
                && subject.is(grant.grantee)
        });
        if let Some(grant) = found {
            return Decision::yes(Reason::Granted(layer.clone(), grant.clone()));
        }
    }
    Decision::no(Reason::NotGranted)
}
