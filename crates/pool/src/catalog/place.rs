//! Table `pool_place`: the pools, and which of them resources are to be in.

use archipelago_model::{AccountId, Location, PoolId, PoolName, VolumeId};

use super::row::{Fields, from_number};
use super::{CatalogError, Tx};

const TABLE: &str = "pool_place";

/// The name of the pool that a store begins with.
const FIRST_NAME: &str = "default";

/// A pool as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PlaceRow {
    pub id: PoolId,
    pub name: PoolName,
    pub kind: String,
    pub url: String,
    /// Where everything of it goes, if it is to be emptied.
    pub drain_to: Option<PoolId>,
    /// Where the second copy of everything in it is to be.
    pub mirror: Option<PoolId>,
}

/// What is in a pool.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub segments: u64,
    pub stored_bytes: u64,
    /// Second copies of what is in other pools.
    pub copies: u64,
    pub copy_bytes: u64,
}

/// What says in which pool it is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placed {
    Account(AccountId),
    Container(u64),
    Volume(VolumeId),
}

impl Placed {
    const fn row(self) -> (&'static str, u64) {
        match self {
            Self::Account(id) => ("account", id.get()),
            Self::Container(id) => ("container", id),
            Self::Volume(id) => ("volume", id.get()),
        }
    }
}

const SELECT: &str = "SELECT p.id, p.name, p.kind, p.url, p.drain_to, m.to_id \
     FROM pool_place p LEFT JOIN pool_mirror m ON m.pool_id = p.id";

fn decode(row: &mut Fields<'_>) -> Result<PlaceRow, CatalogError> {
    Ok(PlaceRow {
        id: PoolId::new(row.number()?),
        name: row.parsed()?,
        kind: row.text()?,
        url: row.text()?,
        drain_to: row.number_or_null()?.map(PoolId::new),
        mirror: row.number_or_null()?.map(PoolId::new),
    })
}

/// Makes the first one.
pub(super) fn insert_first(tx: &Tx<'_>, kind: &str, url: &str) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO pool_place (id, name, kind, url) VALUES ($1, $2, $3, $4)",
        (from_number(PoolId::FIRST.get()), FIRST_NAME, kind, url),
    )?;
    Ok(())
}

/// Makes one; false when the name is taken.
pub(crate) fn insert(tx: &Tx<'_>, place: &PlaceRow) -> Result<bool, CatalogError> {
    let rows = tx.execute(
        "INSERT INTO pool_place (id, name, kind, url) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (name) DO NOTHING",
        (from_number(place.id.get()), place.name.as_str(), place.kind.as_str(), place.url.as_str()),
    )?;
    Ok(rows == 1)
}

/// All, the first one first.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<PlaceRow>, CatalogError> {
    tx.all(TABLE, &format!("{SELECT} ORDER BY p.id"), [], decode)
}

/// By name.
pub(crate) fn find(tx: &Tx<'_>, name: &PoolName) -> Result<Option<PlaceRow>, CatalogError> {
    tx.first(TABLE, &format!("{SELECT} WHERE p.name = $1"), [name.as_str()], decode)
}

/// Has everything of a pool go to another one, or no longer.
pub(crate) fn set_drain(tx: &Tx<'_>, id: PoolId, to: Option<PoolId>) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE pool_place SET drain_to = $1 WHERE id = $2",
        (to.map(|to| from_number(to.get())), from_number(id.get())),
    )?;
    Ok(())
}

/// Has everything of a pool be in another one, too, or no longer.
pub(crate) fn set_mirror(tx: &Tx<'_>, id: PoolId, to: Option<PoolId>) -> Result<(), CatalogError> {
    match to {
        None => {
            tx.execute("DELETE FROM pool_mirror WHERE pool_id = $1", [from_number(id.get())])?
        }
        Some(to) => tx.execute(
            "INSERT INTO pool_mirror (pool_id, to_id) VALUES ($1, $2) \
             ON CONFLICT (pool_id) DO UPDATE SET to_id = excluded.to_id",
            (from_number(id.get()), from_number(to.get())),
        )?,
    };
    Ok(())
}

/// Where the second copy of everything in a pool is to be.
pub(crate) fn mirror_of(tx: &Tx<'_>, id: PoolId) -> Result<Option<PoolId>, CatalogError> {
    let sql = "SELECT to_id FROM pool_mirror WHERE pool_id = $1";
    tx.first(TABLE, sql, [from_number(id.get())], |row| row.number().map(PoolId::new))
}

/// Forgets all that refers to a pool that is lost: what wanted to be there wants to be in `heir`,
/// or says nothing any more.
pub(crate) fn lose(tx: &Tx<'_>, id: PoolId, heir: Option<PoolId>) -> Result<(), CatalogError> {
    let lost = from_number(id.get());
    tx.execute("DELETE FROM pool_mirror WHERE pool_id = $1 OR to_id = $1", [lost])?;
    tx.execute("UPDATE pool_place SET drain_to = NULL WHERE drain_to = $1", [lost])?;
    for table in ["account", "container", "volume"] {
        tx.execute(
            &format!("UPDATE {table} SET pool_id = $1 WHERE pool_id = $2"),
            (heir.map(|heir| from_number(heir.get())), lost),
        )?;
    }
    Ok(())
}

/// Forgets a pool. False when something is in it, or says that it is to be.
pub(crate) fn remove(tx: &Tx<'_>, id: PoolId) -> Result<bool, CatalogError> {
    set_mirror(tx, id, None)?;
    Ok(tx.attempt("DELETE FROM pool_place WHERE id = $1", [from_number(id.get())])?.is_some())
}

/// What is in a pool.
pub(crate) fn held(tx: &Tx<'_>, id: PoolId) -> Result<Held, CatalogError> {
    let sums = |column: &str| {
        let sql = format!(
            "SELECT COUNT(*), COALESCE(SUM(stored_bytes), 0) FROM segment \
             WHERE {column} = $1 AND stored_bytes > 0"
        );
        let sums = tx.first(TABLE, &sql, [from_number(id.get())], |row| {
            Ok((row.number()?, row.number()?))
        })?;
        sums.ok_or(CatalogError::RowMissing("segment"))
    };
    let ((segments, stored_bytes), (copies, copy_bytes)) = (sums("pool_id")?, sums("copy_id")?);
    Ok(Held { segments, stored_bytes, copies, copy_bytes })
}

/// How many resources are to be in a pool by their own word.
pub(crate) fn placed_in(tx: &Tx<'_>, id: PoolId) -> Result<u64, CatalogError> {
    let count = tx.first(
        TABLE,
        "SELECT (SELECT COUNT(*) FROM account WHERE pool_id = $1) + \
         (SELECT COUNT(*) FROM container WHERE pool_id = $1) + \
         (SELECT COUNT(*) FROM volume WHERE pool_id = $1)",
        [from_number(id.get())],
        |row| row.number(),
    )?;
    count.ok_or(CatalogError::RowMissing(TABLE))
}

/// Says in which pool a resource is to be; `None` for where whoever owns it says.
pub(crate) fn place(tx: &Tx<'_>, what: Placed, pool: Option<PoolId>) -> Result<(), CatalogError> {
    let (table, id) = what.row();
    tx.execute(
        &format!("UPDATE {table} SET pool_id = $1 WHERE id = $2"),
        (pool.map(|pool| from_number(pool.get())), from_number(id)),
    )?;
    Ok(())
}

/// What a resource says itself.
pub(crate) fn placed(tx: &Tx<'_>, what: Placed) -> Result<Option<PoolId>, CatalogError> {
    let (table, id) = what.row();
    let sql = format!("SELECT pool_id FROM {table} WHERE id = $1");
    let pool = tx.first(TABLE, &sql, [from_number(id)], |row| row.number_or_null())?;
    Ok(pool.flatten().map(PoolId::new))
}

/// Where what is put into a container goes: where it says, or else its account.
pub(crate) fn of_container(tx: &Tx<'_>, container: u64) -> Result<Option<PoolId>, CatalogError> {
    let pool = tx.first(
        TABLE,
        "SELECT COALESCE(c.pool_id, a.pool_id) FROM container c \
         LEFT JOIN account a ON a.id = c.account_id WHERE c.id = $1",
        [from_number(container)],
        |row| row.number_or_null(),
    )?;
    Ok(pool.flatten().map(PoolId::new))
}

/// The pools that some resource is to be in, ascending.
pub(crate) fn wanted(tx: &Tx<'_>) -> Result<Vec<PoolId>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT pool_id FROM account WHERE pool_id IS NOT NULL \
         UNION SELECT pool_id FROM container WHERE pool_id IS NOT NULL \
         UNION SELECT pool_id FROM volume WHERE pool_id IS NOT NULL ORDER BY 1",
        [],
        |row| row.number().map(PoolId::new),
    )
}

/// The containers that are to be in a pool: `$1`.
const CONTAINERS: &str = "SELECT c.id FROM container c LEFT JOIN account a ON a.id = c.account_id \
     WHERE COALESCE(c.pool_id, a.pool_id) = $1";

/// The roots of everything that is to be in a pool, each once: of volumes and their snapshots, of
/// files in containers, parts to come, disks in them and their blocks.
pub(crate) fn roots(tx: &Tx<'_>, id: PoolId) -> Result<Vec<Location>, CatalogError> {
    tx.all(
        TABLE,
        &format!(
            "SELECT root FROM volume WHERE pool_id = $1 \
             UNION SELECT s.root FROM snapshot s JOIN volume v ON v.id = s.volume_id \
                 WHERE v.pool_id = $1 \
             UNION SELECT root FROM file WHERE container_id IN ({CONTAINERS}) \
             UNION SELECT p.root FROM part p JOIN upload u ON u.id = p.upload_id \
                 WHERE u.container_id IN ({CONTAINERS}) \
             UNION SELECT g.root FROM guest_view g JOIN file f ON f.root = g.file_root \
                 WHERE g.state = 'ready' AND f.container_id IN ({CONTAINERS})"
        ),
        [from_number(id.get())],
        |row| row.location(),
    )
}
