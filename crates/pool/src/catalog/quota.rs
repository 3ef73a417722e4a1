//! Quotas of containers and accounts, asked in the transaction that adds to them.
//!
//! What counts is what has a row: the sizes of all versions, and of parts of uploads that
//! nobody ended. What adds nothing is always allowed, also where more is held than may be:
//! so a quota can be lowered, and everything can be removed.

use std::fmt;

use archipelago_model::AccountId;
use archipelago_model::size::Human;

use super::row::from_number;
use super::{CatalogError, Tx};

/// No account holds more, quota or not: counters are sums of sizes in 63 bits, and a file of
/// zeros has any size.
const BYTES_MAX: u64 = 1 << 62;

/// What a container and its account hold and may hold.
struct Held {
    container: Option<String>,
    account: String,
    objects: u64,
    objects_max: Option<u64>,
    bytes: u64,
    bytes_max: Option<u64>,
    account_bytes: u64,
    account_max: Option<u64>,
}

/// What something is about to add.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Addition {
    pub objects: u64,
    pub bytes: u64,
}

/// What would be more than may be held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Exceeded {
    /// `container 'box'`, `account 'lab'`.
    holder: String,
    what: What,
    quota: u64,
    held: u64,
    added: u64,
    /// The command that raises it.
    remedy: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Objects,
    Bytes,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holder, quota, held, added, remedy, .. } = self;
        match self.what {
            What::Objects => write!(
                f,
                "{holder} may hold {quota} objects and holds {held}, so that {added} more do not \
                 fit; remove some, or raise its quota: `{remedy}`"
            ),
            What::Bytes => write!(
                f,
                "{holder} may hold {} and holds {}, so that {} more do not fit; remove objects, \
                 old versions or unfinished uploads, or raise its quota: `{remedy}`",
                Human(*quota),
                Human(*held),
                Human(*added)
            ),
        }
    }
}

fn held(tx: &Tx<'_>, container: u64) -> Result<Option<Held>, CatalogError> {
    let sql = "SELECT c.name, COALESCE(a.name, ''), c.objects, c.quota_objects, \
         c.bytes + c.old_bytes, c.quota_bytes, COALESCE(u.bytes, 0), a.quota_bytes \
         FROM container c LEFT JOIN account a ON a.id = c.account_id \
         LEFT JOIN account_usage u ON u.account_id = c.account_id WHERE c.id = $1";
    tx.first("container", sql, [from_number(container)], |row| {
        Ok(Held {
            container: Some(row.text()?),
            account: row.text()?,
            objects: row.number()?,
            objects_max: row.number_or_null()?,
            bytes: row.number()?,
            bytes_max: row.number_or_null()?,
            account_bytes: row.number()?,
            account_max: row.number_or_null()?,
        })
    })
}

/// Of a container that is yet to be made.
fn held_without(tx: &Tx<'_>, account: AccountId) -> Result<Option<Held>, CatalogError> {
    let sql = "SELECT a.name, COALESCE(u.bytes, 0), a.quota_bytes FROM account a \
         LEFT JOIN account_usage u ON u.account_id = a.id WHERE a.id = $1";
    tx.first("account", sql, [from_number(account.get())], |row| {
        Ok(Held {
            container: None,
            account: row.text()?,
            objects: 0,
            objects_max: None,
            bytes: 0,
            bytes_max: None,
            account_bytes: row.number()?,
            account_max: row.number_or_null()?,
        })
    })
}

impl Held {
    fn check(&self, added: Addition, by_account: u64) -> Result<(), CatalogError> {
        let over = |max: Option<u64>, held: u64, added: u64| {
            max.filter(|max| added > 0 && held.saturating_add(added) > *max)
        };
        let account_max = Some(self.account_max.unwrap_or(BYTES_MAX).min(BYTES_MAX));
        let (objects, bytes) = (added.objects, added.bytes);
        let (what, quota, held, added) =
            if let Some(quota) = over(self.objects_max, self.objects, objects) {
                (What::Objects, quota, self.objects, objects)
            } else if let Some(quota) = over(self.bytes_max, self.bytes, bytes) {
                (What::Bytes, quota, self.bytes, bytes)
            } else if let Some(quota) = over(account_max, self.account_bytes, by_account) {
                return Err(self.by_account(quota, by_account));
            } else {
                return Ok(());
            };
        let name = self.container.as_deref().unwrap_or_default();
        let option = if what == What::Objects { " --objects COUNT" } else { " SIZE" };
        Err(CatalogError::Quota(Box::new(Exceeded {
            holder: format!("container '{name}'"),
            what,
            quota,
            held,
            added,
            remedy: format!(
                "archipelago container quota {name}{option} --account {}",
                self.account
            ),
        })))
    }

    /// How many bytes may be added.
    fn room(&self) -> u64 {
        let left = |max: u64, held: u64| max.saturating_sub(held);
        let account_max = self.account_max.unwrap_or(BYTES_MAX).min(BYTES_MAX);
        left(self.bytes_max.unwrap_or(u64::MAX), self.bytes)
            .min(left(account_max, self.account_bytes))
    }

    fn by_account(&self, quota: u64, added: u64) -> CatalogError {
        CatalogError::Quota(Box::new(Exceeded {
            holder: format!("account '{}'", self.account),
            what: What::Bytes,
            quota,
            held: self.account_bytes,
            added,
            remedy: format!("archipelago account quota {} SIZE", self.account),
        }))
    }
}

/// Runs what changes what is in a container; refuses what adds more than may be held, and the
/// transaction is to be given up then.
pub(super) fn within<T>(
    tx: &Tx<'_>,
    container: u64,
    change: impl FnOnce() -> Result<T, CatalogError>,
) -> Result<T, CatalogError> {
    let before = held(tx, container)?;
    let done = change()?;
    if let (Some(before), Some(after)) = (before, held(tx, container)?) {
        // What an archive keeps moves within the account: its difference is another.
        let by_account = after.account_bytes.saturating_sub(before.account_bytes);
        let added = Addition {
            objects: after.objects.saturating_sub(before.objects),
            bytes: after.bytes.saturating_sub(before.bytes),
        };
        before.check(added, by_account)?;
    }
    Ok(done)
}

/// Whether so much may be added, before anybody sends it, and how many bytes may be: the last
/// word has the transaction that does.
pub(super) fn ask(tx: &Tx<'_>, container: u64, added: Addition) -> Result<u64, CatalogError> {
    let Some(held) = held(tx, container)? else { return Ok(u64::MAX) };
    held.check(added, added.bytes)?;
    Ok(held.room())
}

/// The same, of a container that the write will make.
pub(crate) fn ask_without(
    tx: &Tx<'_>,
    account: AccountId,
    bytes: u64,
) -> Result<u64, CatalogError> {
    let Some(held) = held_without(tx, account)? else { return Ok(u64::MAX) };
    held.check(Addition { objects: 1, bytes }, bytes)?;
    Ok(held.room())
}
