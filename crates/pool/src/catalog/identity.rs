//! The tables of identity: who may use the store, and what they prove themselves with.
//!
//! One module each; `group_` has its members with it.

pub(crate) mod access_key;
pub(crate) mod account;
pub(crate) mod credential;
pub(crate) mod group;
pub(crate) mod member;
pub(crate) mod token;
pub(crate) mod user;

use super::CatalogError;
use super::row::Fields;
use crate::identity::{Account, Member, User};

/// What a join of `user_ u` and `account a` gives, with `m.role` where one was found.
fn pair(row: &mut Fields<'_>) -> Result<(User, Account), CatalogError> {
    Ok((user::decode(row)?, account::decode(row)?))
}

/// The same with the role.
fn triple(row: &mut Fields<'_>) -> Result<Member, CatalogError> {
    let (user, account) = pair(row)?;
    Ok(Member { user, account, role: row.parsed()? })
}

/// Both sides of a membership, or of what belongs to a user in an account.
fn both() -> String {
    format!("{}, {}", user::COLUMNS, account::COLUMNS)
}
