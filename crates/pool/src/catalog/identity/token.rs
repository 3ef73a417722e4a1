//! Table `token`: what a login gave, as hashes.

use archipelago_model::{AccountId, UserId};

use super::{both, pair};
use crate::catalog::row::from_number;
use crate::catalog::{CatalogError, Tx};
use crate::identity::{Account, User};

const TABLE: &str = "token";

/// A token that is to be kept.
pub(crate) struct NewToken<'a> {
    pub hash: &'a str,
    pub user: UserId,
    pub account: AccountId,
    pub credential: Option<u64>,
    pub created_ms: u64,
    pub expires_ms: u64,
}

/// What is known of a token.
pub(crate) struct TokenRow {
    pub user: User,
    pub account: Account,
    pub credential: Option<u64>,
    pub created_ms: u64,
    pub expires_ms: u64,
}

/// Whose it is; it may have expired.
pub(crate) fn find(tx: &Tx<'_>, hash: &str) -> Result<Option<TokenRow>, CatalogError> {
    let sql = format!(
        "SELECT {}, t.credential_id, t.created_ms, t.expires_ms FROM token t \
         JOIN user_ u ON u.id = t.user_id JOIN account a ON a.id = t.account_id \
         WHERE t.hash = $1",
        both()
    );
    tx.first(TABLE, &sql, [hash], |row| {
        let (user, account) = pair(row)?;
        Ok(TokenRow {
            user,
            account,
            credential: row.number_or_null()?,
            created_ms: row.number()?,
            expires_ms: row.number()?,
        })
    })
}

/// Keeps one.
pub(crate) fn insert(tx: &Tx<'_>, token: &NewToken<'_>) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO token (hash, user_id, account_id, credential_id, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        (
            token.hash,
            from_number(token.user.get()),
            from_number(token.account.get()),
            token.credential.map(from_number),
            from_number(token.created_ms),
            from_number(token.expires_ms),
        ),
    )?;
    Ok(())
}

/// Removes one; whether it was there.
pub(crate) fn remove(tx: &Tx<'_>, hash: &str) -> Result<bool, CatalogError> {
    Ok(tx.execute("DELETE FROM token WHERE hash = $1", [hash])? > 0)
}

/// Removes all of a user.
pub(crate) fn remove_of(tx: &Tx<'_>, user: UserId) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM token WHERE user_id = $1", [from_number(user.get())])?;
    Ok(())
}

/// Removes at most `count` of those that have expired.
pub(crate) fn expire(tx: &Tx<'_>, now_ms: u64, count: u64) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM token WHERE hash IN \
         (SELECT hash FROM token WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2)",
        (from_number(now_ms), from_number(count)),
    )?;
    Ok(())
}

/// Leaves a user at most `keep` tokens: the oldest go.
pub(crate) fn limit(tx: &Tx<'_>, user: UserId, keep: u64) -> Result<(), CatalogError> {
    let user = from_number(user.get());
    let count: u64 = tx
        .first(TABLE, "SELECT COUNT(*) FROM token WHERE user_id = $1", [user], |row| row.number())?
        .ok_or(CatalogError::RowMissing(TABLE))?;
    if count > keep {
        tx.execute(
            "DELETE FROM token WHERE hash IN (SELECT hash FROM token WHERE user_id = $1 \
             ORDER BY created_ms LIMIT $2)",
            (user, from_number(count - keep)),
        )?;
    }
    Ok(())
}
