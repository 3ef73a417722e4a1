//! Users, the accounts that own things, and S3 keys.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A password or a secret: no formatter shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Password)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its identity: 32 hexadecimal digits.
    pub id: String,
    /// Its name.
    #[schema(example = "bob")]
    pub name: String,
    /// Whether it may do everything, in every account.
    pub admin: bool,
    /// Whether it may log in.
    pub enabled: bool,
    /// When it was made, in ms since the epoch.
    pub created_ms: u64,
    /// Where it is a member: the oldest account first. Left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Membership>,
}

/// A user in an account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Membership {
    /// The account.
    pub account: String,
    /// `admin`, `member`, `reader` or `guest`.
    #[schema(example = "member")]
    pub role: String,
}

/// Users, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Users {
    /// The users.
    pub users: Vec<User>,
}

/// What a new user is like.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// The name.
    #[schema(example = "bob")]
    pub name: String,
    /// The first password: 8 to 1024 bytes.
    pub password: Hidden,
    /// Whether it may do everything, in every account.
    #[serde(default)]
    pub admin: bool,
    /// The account that it joins; else one of its own is made, under its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// As what it joins: `admin`, `member` (which it is if nothing is said), `reader` or
    /// `guest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// A new password.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// 8 to 1024 bytes.
    pub password: Hidden,
}

/// Whether a user may log in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEnabled {
    /// Whether it may.
    pub enabled: bool,
}

/// A user joins an account, or has another role there from now on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The user.
    pub user: String,
    /// `admin`, `member`, `reader` or `guest`.
    pub role: String,
}

/// An S3 key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its public part.
    #[schema(example = "AR5XW2K8QZ7TJ3NB6HCD")]
    pub id: String,
    /// Its secret part; told once, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Hidden>,
    /// Whose it is.
    pub user: String,
    /// The account in which it acts.
    pub account: String,
    /// When it was made, in ms since the epoch.
    pub created_ms: u64,
}

/// S3 keys of a user: the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// The keys, without secrets.
    pub keys: Vec<Key>,
}

/// Where a new key acts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// The account; else the oldest that the user is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// An account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its identity: 32 hexadecimal digits, which stand in URLs of Swift.
    pub id: String,
    /// Its name.
    #[schema(example = "lab")]
    pub name: String,
    /// Whether its members may come in.
    pub enabled: bool,
    /// What counts for its quota: the sizes of all versions in its containers, and of parts of
    /// unfinished uploads.
    pub used_bytes: u64,
    /// How much it may hold, in bytes; null for no limit.
    pub quota_bytes: Option<u64>,
    /// When it was made, in ms since the epoch.
    pub created_ms: u64,
}

/// Accounts, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Accounts {
    /// The accounts.
    pub accounts: Vec<Account>,
}

/// What a new account is like.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    /// The name.
    #[schema(example = "lab")]
    pub name: String,
    /// How much it may hold, in bytes; nothing for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
}

/// How much an account may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQuota {
    /// Bytes; null for no limit.
    pub quota_bytes: Option<u64>,
}
