//! Table `access_grant`: who but its owner may do what.

use archipelago_model::{AccountId, ImageId, SnapshotId, UserId, VolumeId};

use super::row::{Fields, from_number};
use super::{CatalogError, Tx};
use crate::grant::{Grant, Grantee, Shared};

const TABLE: &str = "access_grant";
const SELECT: &str = "SELECT grantee, right_, granted_by, created_ms, expires_ms FROM access_grant";

fn decode(row: &mut Fields<'_>) -> Result<Grant, CatalogError> {
    Ok(Grant {
        grantee: row.parsed()?,
        right: row.parsed()?,
        by: row.text()?,
        created_ms: row.number()?,
        expires_ms: row.number_or_null()?,
    })
}

/// The columns that say what is shared.
fn key(shared: &Shared) -> (&'static str, i64, &str) {
    let (kind, id, path) = match shared {
        Shared::Container(id) => ("container", *id, ""),
        Shared::Path(container, path) => ("path", *container, path.as_str()),
        Shared::Image(id) => ("image", id.get(), ""),
        Shared::Volume(id) => ("volume", id.get(), ""),
        Shared::Snapshot(id) => ("snapshot", id.get(), ""),
    };
    (kind, from_number(id), path)
}

fn decode_shared(row: &mut Fields<'_>) -> Result<Shared, CatalogError> {
    let kind = row.text()?;
    let wrong = row.wrong(&kind);
    let (id, path) = (row.number()?, row.text()?);
    match kind.as_str() {
        "container" => Ok(Shared::Container(id)),
        "path" => Ok(Shared::Path(id, path)),
        "image" => Ok(Shared::Image(ImageId::new(id))),
        "volume" => Ok(Shared::Volume(VolumeId::new(id))),
        "snapshot" => Ok(Shared::Snapshot(SnapshotId::new(id))),
        _ => Err(wrong),
    }
}

/// Of a resource: in the order in which they were made.
pub(crate) fn of(tx: &Tx<'_>, shared: &Shared) -> Result<Vec<Grant>, CatalogError> {
    let sql = format!("{SELECT} WHERE kind = $1 AND resource_id = $2 AND path = $3 ORDER BY id");
    tx.all(TABLE, &sql, key(shared), decode)
}

/// Whether anything in a container is shared by its name.
pub(crate) fn any_path(tx: &Tx<'_>, container: u64) -> Result<bool, CatalogError> {
    let sql = "SELECT id FROM access_grant WHERE kind = 'path' AND resource_id = $1 LIMIT 1";
    Ok(tx.first(TABLE, sql, [from_number(container)], |row| row.number::<u64>())?.is_some())
}

/// All: by resource. For `check`.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<(Shared, Grant)>, CatalogError> {
    page(tx, None, usize::MAX)
}

/// Behind a resource, `limit` at most.
pub(crate) fn page(
    tx: &Tx<'_>,
    after: Option<&Shared>,
    limit: usize,
) -> Result<Vec<(Shared, Grant)>, CatalogError> {
    let (kind, id, path) = after.map_or(("", 0, ""), key);
    tx.all(
        TABLE,
        "SELECT kind, resource_id, path, grantee, right_, granted_by, created_ms, expires_ms \
         FROM access_grant WHERE kind > $1 OR (kind = $1 AND resource_id > $2) \
         OR (kind = $1 AND resource_id = $2 AND path > $3) \
         ORDER BY kind, resource_id, path, id LIMIT $4",
        (kind, id, path, from_number(limit as u64)),
        |row| Ok((decode_shared(row)?, decode(row)?)),
    )
}

/// All on what an account owns, `limit` at most. `prefix` is what its names of volumes and images
/// begin with, `None` for the first account, whose names have no slash.
pub(crate) fn of_owner(
    tx: &Tx<'_>,
    owner: AccountId,
    prefix: Option<&str>,
    limit: usize,
) -> Result<Vec<(Shared, Grant)>, CatalogError> {
    // What is not there any more owns nothing: it has no row to be joined with.
    let name = "COALESCE(i.name, v.name, w.name)";
    let sql = format!(
        "SELECT g.kind, g.resource_id, g.path, g.grantee, g.right_, g.granted_by, g.created_ms, \
         g.expires_ms FROM access_grant g \
         LEFT JOIN container c ON g.kind IN ('container', 'path') AND c.id = g.resource_id \
         LEFT JOIN image i ON g.kind = 'image' AND i.id = g.resource_id \
         LEFT JOIN volume v ON g.kind = 'volume' AND v.id = g.resource_id \
         LEFT JOIN snapshot s ON g.kind = 'snapshot' AND s.id = g.resource_id \
         LEFT JOIN volume w ON w.id = s.volume_id \
         WHERE c.account_id = $1 \
         OR ($2 IS NULL AND {name} NOT LIKE '%/%') \
         OR substr({name}, 1, length($2)) = $2 \
         ORDER BY g.kind, g.resource_id, g.path, g.id LIMIT $3"
    );
    tx.all(TABLE, &sql, (from_number(owner.get()), prefix, from_number(limit as u64)), |row| {
        Ok((decode_shared(row)?, decode(row)?))
    })
}

/// All on volumes, snapshots and images.
pub(crate) fn outside_containers(tx: &Tx<'_>) -> Result<Vec<(Shared, Grant)>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT kind, resource_id, path, grantee, right_, granted_by, created_ms, expires_ms \
         FROM access_grant WHERE kind IN ('image', 'snapshot', 'volume') ORDER BY id",
        [],
        |row| Ok((decode_shared(row)?, decode(row)?)),
    )
}

/// Adds one.
pub(crate) fn insert(
    tx: &Tx<'_>,
    id: u64,
    shared: &Shared,
    grant: &Grant,
) -> Result<(), CatalogError> {
    let (kind, resource, path) = key(shared);
    let number = |account: AccountId| from_number(account.get());
    let (user, account, group) = match grant.grantee {
        Grantee::Everyone | Grantee::SignedIn => (None, None, None),
        Grantee::Account(account) => (None, Some(number(account)), None),
        Grantee::User(user) => (Some(from_number(user.get())), None, None),
        Grantee::UserIn(user, account) => {
            (Some(from_number(user.get())), Some(number(account)), None)
        }
        Grantee::Group(group) => (None, None, Some(from_number(group))),
    };
    tx.execute(
        "INSERT INTO access_grant (id, kind, resource_id, path, grantee, user_id, account_id, \
         group_id, right_, granted_by, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        (
            from_number(id),
            kind,
            resource,
            path,
            grant.grantee.to_string(),
            user,
            account,
            group,
            grant.right.name(),
            &grant.by,
            from_number(grant.created_ms),
            grant.expires_ms.map(from_number),
        ),
    )?;
    Ok(())
}

/// Takes one away.
pub(crate) fn remove(tx: &Tx<'_>, shared: &Shared, grant: &Grant) -> Result<(), CatalogError> {
    let (kind, resource, path) = key(shared);
    tx.execute(
        "DELETE FROM access_grant WHERE kind = $1 AND resource_id = $2 AND path = $3 \
         AND grantee = $4 AND right_ = $5",
        (kind, resource, path, grant.grantee.to_string(), grant.right.name()),
    )?;
    Ok(())
}

/// Takes all of a resource away: it is gone.
pub(crate) fn clear(tx: &Tx<'_>, shared: &Shared) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM access_grant WHERE kind = $1 AND resource_id = $2 AND path = $3",
        key(shared),
    )?;
    Ok(())
}

/// Takes all of a container away, and of all that is in it.
pub(crate) fn clear_container(tx: &Tx<'_>, id: u64) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM access_grant WHERE kind IN ('container', 'path') AND resource_id = $1",
        [from_number(id)],
    )?;
    Ok(())
}

/// Takes all of the snapshots of a volume away.
pub(crate) fn clear_snapshots(tx: &Tx<'_>, volume: VolumeId) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM access_grant WHERE kind = 'snapshot' AND resource_id IN \
         (SELECT id FROM snapshot WHERE volume_id = $1)",
        [from_number(volume.get())],
    )?;
    Ok(())
}

/// Takes away what was granted to a user: it is gone.
pub(crate) fn forget_user(tx: &Tx<'_>, user: UserId) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM access_grant WHERE user_id = $1", [from_number(user.get())])?;
    Ok(())
}

/// Takes away what was granted to an account and its groups: it is gone.
pub(crate) fn forget_account(tx: &Tx<'_>, account: AccountId) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM access_grant WHERE account_id = $1 \
         OR group_id IN (SELECT id FROM group_ WHERE account_id = $1)",
        [from_number(account.get())],
    )?;
    Ok(())
}

/// Takes away what was granted to a group: it is gone.
pub(crate) fn forget_group(tx: &Tx<'_>, group: u64) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM access_grant WHERE group_id = $1", [from_number(group)])?;
    Ok(())
}

/// Accounts that share something of their containers with one of these: by id.
pub(crate) fn accounts(
    tx: &Tx<'_>,
    grantee: Grantee,
    now_ms: u64,
) -> Result<Vec<AccountId>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT DISTINCT c.account_id FROM access_grant g JOIN container c ON c.id = g.resource_id \
         WHERE g.grantee = $1 AND g.kind IN ('container', 'path') \
         AND (g.expires_ms IS NULL OR g.expires_ms > $2) ORDER BY c.account_id",
        (grantee.to_string(), from_number(now_ms)),
        |row| Ok(AccountId::new(row.number()?)),
    )
}

/// Containers of an account in which something is shared with a grantee: ids.
pub(crate) fn containers(
    tx: &Tx<'_>,
    account: AccountId,
    grantee: Grantee,
    now_ms: u64,
) -> Result<Vec<u64>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT DISTINCT c.id FROM access_grant g JOIN container c ON c.id = g.resource_id \
         WHERE g.grantee = $1 AND g.kind IN ('container', 'path') AND c.account_id = $2 \
         AND (g.expires_ms IS NULL OR g.expires_ms > $3)",
        (grantee.to_string(), from_number(account.get()), from_number(now_ms)),
        |row| row.number(),
    )
}

/// Names in a container that are shared with a grantee, or with anybody: behind `after`, in
/// their order.
pub(crate) fn paths(
    tx: &Tx<'_>,
    container: u64,
    grantee: Option<Grantee>,
    now_ms: u64,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, CatalogError> {
    let (now, limit) = (from_number(now_ms), from_number(limit as u64));
    let read = |row: &mut Fields<'_>| row.text();
    let rest = "FROM access_grant WHERE kind = 'path' AND resource_id = $1 AND path > $2 \
                AND (expires_ms IS NULL OR expires_ms > $3)";
    let container = from_number(container);
    match grantee {
        Some(grantee) => {
            let sql =
                format!("SELECT DISTINCT path {rest} AND grantee = $4 ORDER BY path LIMIT $5");
            tx.all(TABLE, &sql, (container, after, now, grantee.to_string(), limit), read)
        }
        None => {
            let sql = format!("SELECT DISTINCT path {rest} ORDER BY path LIMIT $4");
            tx.all(TABLE, &sql, (container, after, now, limit), read)
        }
    }
}

/// Containers of an account in which something is shared with anybody: ids.
pub(crate) fn containers_with_any(
    tx: &Tx<'_>,
    account: AccountId,
    now_ms: u64,
) -> Result<Vec<u64>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT c.id FROM container c WHERE c.account_id = $1 AND EXISTS (SELECT 1 \
         FROM access_grant g WHERE g.kind IN ('container', 'path') AND g.resource_id = c.id \
         AND (g.expires_ms IS NULL OR g.expires_ms > $2))",
        (from_number(account.get()), from_number(now_ms)),
        |row| row.number(),
    )
}
