//! Who but its owner may do what: grants, and the one decision over them.
//!
//! Every door writes what it is told into grants and asks [`decide`]. What a door knows beyond
//! that (policies of S3, referrers of Swift, signed URLs) stays with it.

mod decision;

use std::fmt;
use std::str::FromStr;

use archipelago_model::{AccountId, ImageId, ObjectName, SnapshotId, UserId, VolumeId};
use serde::{Deserialize, Serialize};

pub use decision::{Action, Decision, Layer, Reason, Rules, Subject, decide};

/// What is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Shared {
    /// A container with all that is in it.
    Container(u64),
    /// What has this name in a container, whichever version is the newest. With a slash at
    /// the end: all names that begin so.
    Path(u64, String),
    /// An image.
    Image(ImageId),
    /// A volume.
    Volume(VolumeId),
    /// A snapshot.
    Snapshot(SnapshotId),
}

/// With whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grantee {
    /// Everybody, without a login.
    Everyone,
    /// Everybody who has logged in.
    SignedIn,
    /// Whoever acts for this account, guests aside.
    Account(AccountId),
    /// This user, in whichever account.
    User(UserId),
    /// This user while acting for this account.
    UserIn(UserId, AccountId),
    /// The users of this group, in whichever account.
    Group(u64),
}

impl Grantee {
    /// Whether it means people whom nobody has named.
    pub const fn is_public(self) -> bool {
        matches!(self, Self::Everyone | Self::SignedIn)
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::SignedIn => f.write_str("signed-in"),
            Self::Account(account) => write!(f, "account:{account}"),
            Self::User(user) => write!(f, "user:{user}"),
            Self::UserIn(user, account) => write!(f, "user:{user}@{account}"),
            Self::Group(group) => write!(f, "group:{group}"),
        }
    }
}

impl FromStr for Grantee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{}' is no grantee", text.escape_debug());
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        match text.split_once(':') {
            None if text == "everyone" => Ok(Self::Everyone),
            None if text == "signed-in" => Ok(Self::SignedIn),
            Some(("account", id)) => Ok(Self::Account(AccountId::new(number(id)?))),
            Some(("group", id)) => Ok(Self::Group(number(id)?)),
            Some(("user", id)) => match id.split_once('@') {
                None => Ok(Self::User(UserId::new(number(id)?))),
                Some((user, account)) => {
                    let (user, account) = (number(user)?, number(account)?);
                    Ok(Self::UserIn(UserId::new(user), AccountId::new(account)))
                }
            },
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Grantee {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Grantee> for String {
    fn from(grantee: Grantee) -> Self {
        grantee.to_string()
    }
}

/// What is granted. None of them says anything about another, but that whoever may clone
/// may read, since a clone can be read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Read content and what is known of it; of a container, of all that is in it.
    Read,
    /// See the names in a container.
    List,
    /// Change content; in a container also make and remove objects.
    Write,
    /// Make a volume that begins as this, without copying.
    Clone,
    /// See who may do what.
    ReadAcl,
    /// Say who may do what.
    WriteAcl,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::List, Self::Write, Self::Clone, Self::ReadAcl, Self::WriteAcl];

    /// How it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
            Self::Clone => "clone",
            Self::ReadAcl => "read-acl",
            Self::WriteAcl => "write-acl",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Right {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|right| right.name() == text).ok_or_else(|| {
            let shown: String = text.chars().take(64).flat_map(char::escape_default).collect();
            format!("'{shown}' is not a right: use read, list, write, clone, read-acl or write-acl")
        })
    }
}

/// One right of one grantee.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Who.
    #[serde(rename = "to")]
    pub grantee: Grantee,
    /// May do what.
    pub right: Right,
    /// Until when, in ms since 1970; `None` for until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Who said so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// When, in ms since 1970.
    #[serde(default)]
    pub created_ms: u64,
}

impl Grant {
    /// Of somebody, until it is revoked.
    pub const fn new(grantee: Grantee, right: Right) -> Self {
        Self { grantee, right, expires_ms: None, by: String::new(), created_ms: 0 }
    }

    /// Whether both say the same, whoever said it and when.
    pub fn says_as(&self, other: &Self) -> bool {
        (self.grantee, self.right, self.expires_ms)
            == (other.grantee, other.right, other.expires_ms)
    }
}

/// What is said of the public links of a name: that there is to be one, or none. Made by
/// `Service::publish`, for that name alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    /// Who says so.
    pub(crate) by: String,
    pub(crate) container: u64,
    pub(crate) object: ObjectName,
    /// The hash and the sealed id of a link, which is made unless there is one; `None` ends all.
    pub(crate) made: Option<(String, String)>,
}

/// With whom a name is to be shared, and with nobody else: what Pithos says of an object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// Who says so.
    pub by: String,
    /// Who may read.
    pub readers: Vec<Grantee>,
    /// Who may read and write.
    pub writers: Vec<Grantee>,
}

impl Share {
    /// The grants that it leaves of others, and makes. Who is named already keeps the end that
    /// was said of its right, and a right to clone where there is one.
    pub(crate) fn over(&self, old: &[Grant], now_ms: u64) -> Vec<Grant> {
        let reads = self.readers.iter().chain(&self.writers).map(|to| (*to, Right::Read));
        let writes = self.writers.iter().map(|to| (*to, Right::Write));
        let wanted: Vec<(Grantee, Right)> = reads.chain(writes).collect();
        let stands = |grant: &&Grant| grant.expires_ms.is_none_or(|end| end > now_ms);
        // Who may look without a login was meant by whoever reads that everybody may.
        let is_same = |to: Grantee, old: Grantee| {
            to == old || (to == Grantee::SignedIn && old == Grantee::Everyone)
        };
        let mut new: Vec<Grant> = old
            .iter()
            .filter(stands)
            .filter(|old| {
                wanted.iter().any(|(to, right)| {
                    let kept =
                        *right == old.right || (*right == Right::Read && old.right == Right::Clone);
                    kept && is_same(*to, old.grantee)
                })
            })
            .cloned()
            .collect();
        for (to, right) in wanted {
            let is_there = |grant: &Grant| grant.right == right && is_same(to, grant.grantee);
            if !new.iter().any(is_there) {
                new.push(Grant::new(to, right));
            }
        }
        new
    }
}

#[cfg(test)]
mod tests;
