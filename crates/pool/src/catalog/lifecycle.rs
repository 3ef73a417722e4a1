//! Table `lifecycle`: rules of containers, and how far they were followed.

use super::row::{Fields, from_number, to_json};
use super::{CatalogError, Tx};
use crate::lifecycle::Rule;

const TABLE: &str = "lifecycle";
const SELECT: &str = "SELECT container_id, rules, next_ms, object FROM lifecycle";

/// The rules of a container, and how far they were followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LifecycleRow {
    pub container: u64,
    pub rules: Vec<Rule>,
    pub next_ms: u64,
    /// A walk is under way, and goes on with this name.
    pub object: Option<String>,
}

fn decode(row: &mut Fields<'_>) -> Result<LifecycleRow, CatalogError> {
    Ok(LifecycleRow {
        container: row.number()?,
        rules: row.json()?,
        next_ms: row.number()?,
        object: row.text_or_null()?,
    })
}

/// Of a container.
pub(crate) fn get(tx: &Tx<'_>, container: u64) -> Result<Option<LifecycleRow>, CatalogError> {
    let sql = format!("{SELECT} WHERE container_id = $1");
    tx.first(TABLE, &sql, [from_number(container)], decode)
}

/// How a door was told.
pub(crate) fn said(tx: &Tx<'_>, container: u64) -> Result<Option<String>, CatalogError> {
    let sql = "SELECT said FROM lifecycle WHERE container_id = $1";
    tx.first(TABLE, sql, [from_number(container)], |row| row.text())
}

/// The container whose rules are to be followed first, if it is time: it was to be by
/// `by_ms`, or later than `latest_ms`, which only a clock that was ahead can have noted.
pub(crate) fn due(tx: &Tx<'_>, by_ms: u64, latest_ms: u64) -> Result<Option<u64>, CatalogError> {
    let sql = "SELECT container_id FROM lifecycle WHERE next_ms <= $1 OR next_ms > $2 \
               ORDER BY next_ms LIMIT 1";
    tx.first(TABLE, sql, (from_number(by_ms), from_number(latest_ms)), |row| row.number())
}

/// Lets the rules of a container, whatever they are, wait until then.
pub(crate) fn put_off(tx: &Tx<'_>, container: u64, next_ms: u64) -> Result<(), CatalogError> {
    let params = (from_number(next_ms), from_number(container));
    tx.execute("UPDATE lifecycle SET next_ms = $1 WHERE container_id = $2", params)?;
    Ok(())
}

/// All of them, for what checks every row.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<LifecycleRow>, CatalogError> {
    tx.all(TABLE, &format!("{SELECT} ORDER BY container_id"), [], decode)
}

/// Puts rules in the place of those that there are; they are followed from then on.
pub(crate) fn put(
    tx: &Tx<'_>,
    container: u64,
    rules: &[Rule],
    said: &str,
    next_ms: u64,
) -> Result<(), CatalogError> {
    remove(tx, container)?;
    tx.execute(
        "INSERT INTO lifecycle (container_id, rules, said, next_ms) VALUES ($1, $2, $3, $4)",
        (from_number(container), to_json(&rules)?, said, from_number(next_ms)),
    )?;
    Ok(())
}

/// Notes how far the rules were followed, unless they are others by now.
pub(crate) fn note(tx: &Tx<'_>, row: &LifecycleRow) -> Result<(), CatalogError> {
    // What they say is compared, not how it was written: another version of the program may
    // have. Rules that cannot be noted as followed would be followed without an end.
    if is_current(tx, row)? {
        tx.execute(
            "UPDATE lifecycle SET next_ms = $1, object = $2 WHERE container_id = $3",
            (from_number(row.next_ms), row.object.as_deref(), from_number(row.container)),
        )?;
    }
    Ok(())
}

/// Whether these are still the rules of their container.
pub(crate) fn is_current(tx: &Tx<'_>, row: &LifecycleRow) -> Result<bool, CatalogError> {
    Ok(get(tx, row.container)?.is_some_and(|current| current.rules == row.rules))
}

/// Removes them.
pub(crate) fn remove(tx: &Tx<'_>, container: u64) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM lifecycle WHERE container_id = $1", [from_number(container)])?;
    Ok(())
}

#[cfg(test)]
mod tests;
