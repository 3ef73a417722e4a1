//! Who may use the store: users, the accounts that own things, and what users prove
//! themselves with.

mod hmac;
mod password;
mod seal;
mod secret;
mod throttle;

use std::fmt;
use std::str::FromStr;

use archipelago_model::{AccountId, AccountName, CredentialName, GroupName, UserId, UserName};

pub use hmac::Hmac;
pub(crate) use password::{Passwords, check as check_password};
pub(crate) use seal::Keys;
pub use secret::Secret;
pub(crate) use secret::base32;
pub(crate) use throttle::Throttle;

/// What owns containers, volumes and images; OpenStack calls it a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its identity in the catalog.
    pub id: AccountId,
    /// Its identity in URLs, as 32 hexadecimal digits.
    pub uuid: [u8; 16],
    /// Its label.
    pub name: AccountName,
    /// Whether its members may come in.
    pub enabled: bool,
    /// How much it may hold; `None` for no limit.
    pub quota_bytes: Option<u64>,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
}

/// Somebody who may log in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Its identity in the catalog.
    pub id: UserId,
    /// Its identity in URLs, as 32 hexadecimal digits.
    pub uuid: [u8; 16],
    /// Its label.
    pub name: UserName,
    /// Whether it may log in.
    pub enabled: bool,
    /// Whether it may do everything, in every account.
    pub is_admin: bool,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
}

/// What a user may do in an account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Everything, and say who else may do what.
    Admin,
    /// Read and write.
    Member,
    /// Read.
    Reader,
    /// Nothing but what lists and shares allow by name.
    Guest,
}

impl Role {
    /// How it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Reader => "reader",
            Self::Guest => "guest",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is no role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoleError(String);

impl fmt::Display for RoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(64).flat_map(char::escape_default).collect();
        write!(f, "'{shown}' is not a role: use admin, member, reader or guest")
    }
}

impl std::error::Error for RoleError {}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        match text {
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            "reader" => Ok(Self::Reader),
            "guest" => Ok(Self::Guest),
            other => Err(RoleError(other.to_owned())),
        }
    }
}

/// A user in an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who.
    pub user: User,
    /// Where.
    pub account: Account,
    /// As what.
    pub role: Role,
}

/// Who a request comes from, proved by a token or a signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Who.
    pub user: User,
    /// In which account.
    pub account: Account,
    /// As what; administrators are [`Role::Admin`] everywhere.
    pub role: Role,
}

impl Identity {
    /// Whether it may do everything, in every account.
    pub fn is_admin(&self) -> bool {
        self.user.is_admin
    }
}

/// What a valid token stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Whose it is.
    pub identity: Identity,
    /// The application credential that it was got with, if it was: it may not make others, nor
    /// anything else that logs in.
    pub credential: Option<[u8; 16]>,
    /// When it was given, in ms since 1970.
    pub created_ms: u64,
    /// When it ends, in ms since 1970.
    pub expires_ms: u64,
}

/// What a login gives.
#[derive(Clone, Debug)]
pub struct Login {
    /// What is shown with each request from now on. It cannot be had again.
    pub token: Secret,
    /// What it stands for.
    pub session: Session,
}

/// A set of users that an account shares with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Whose group.
    pub account: AccountName,
    /// Its label.
    pub name: GroupName,
    /// Who is in it, by name.
    pub members: Vec<UserName>,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
}

/// An S3 key without its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessKey {
    /// Its public part.
    pub id: String,
    /// Whose it is.
    pub user: User,
    /// The account in which it acts.
    pub account: Account,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
}

/// A password of a program, for one user in one account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplicationCredential {
    /// Its identity, as 32 hexadecimal digits.
    pub uuid: [u8; 16],
    /// Its label, unique for its user.
    pub name: CredentialName,
    /// Whose it is.
    pub user: User,
    /// The account in which it acts.
    pub account: Account,
    /// When it ends, in ms since 1970; `None` for never.
    pub expires_ms: Option<u64>,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
}

/// What a new user is like.
pub struct NewUser {
    /// Its label.
    pub name: UserName,
    /// Its first password.
    pub password: Secret,
    /// Whether it may do everything.
    pub is_admin: bool,
    /// The account that it becomes a member of, and as what. `None`: an account of its own
    /// is made, under its name.
    pub account: Option<(Named, Role)>,
}

/// What the first start made. Shown once.
#[derive(Clone, Debug)]
pub struct FirstAdmin {
    /// The user.
    pub user: UserName,
    /// Its password.
    pub password: Secret,
    /// The account.
    pub account: Account,
    /// The public part of its S3 key.
    pub access_key: String,
    /// The secret part.
    pub secret_key: Secret,
}

/// How a request names a user or an account. Nothing is promised of the text: what no name
/// or uuid can be is simply not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// By its label.
    Name(String),
    /// By its 32 hexadecimal digits.
    Uuid(String),
}

impl Named {
    /// By label.
    pub fn name(name: impl fmt::Display) -> Self {
        Self::Name(name.to_string())
    }

    /// By identity.
    pub fn uuid(uuid: [u8; 16]) -> Self {
        Self::Uuid(hex::encode(uuid))
    }

    /// The column that has it, and what stands there.
    pub(crate) fn column(&self) -> (&'static str, &str) {
        match self {
            Self::Name(text) => ("name", text),
            Self::Uuid(text) => ("uuid", text),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, text) = self.column();
        text.chars().take(64).flat_map(char::escape_default).try_for_each(|c| write!(f, "{c}"))
    }
}

#[cfg(test)]
mod tests;
