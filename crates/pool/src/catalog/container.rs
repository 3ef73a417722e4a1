//! Table `container`: where files are.

use archipelago_model::{AccountId, ContainerName};

use super::row::{Fields, from_number};
use super::{CatalogError, Tx, grant, link};
use crate::grant::Shared;
use crate::lock::DefaultLock;
use crate::object::{ARCHIVE_HISTORY, ARCHIVE_STACK, Container, Stretch, Totals, Versioning};

const TABLE: &str = "container";

/// Where the lock of a bucket was before there was one for all doors.
const S3_LOCK: &str = "s3.lock";

const SELECT: &str = "SELECT id, account_id, name, bucket IS NOT NULL, versioning, settings, \
     objects, bytes, old_bytes, quota_bytes, quota_objects, created_ms FROM container";

/// Without settings and grants, which no listing shows, and which may be megabytes of each.
const SELECT_LISTED: &str = "SELECT id, account_id, name, bucket IS NOT NULL, versioning, '{}', \
     objects, bytes, old_bytes, quota_bytes, quota_objects, created_ms FROM container";

/// What a change adds to the counters of a container.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Change {
    /// Rows of table `file`.
    pub versions: i64,
    pub objects: i64,
    pub bytes: i64,
    pub old_bytes: i64,
}

fn decode(row: &mut Fields<'_>) -> Result<Container, CatalogError> {
    Ok(Container {
        id: row.number()?,
        account: AccountId::new(row.number()?),
        name: row.parsed()?,
        bucket: row.number::<u8>()? == 1,
        versioning: {
            let text = row.text()?;
            versioning(&text).ok_or_else(|| row.wrong(&text))?
        },
        settings: row.json()?,
        objects: row.number()?,
        bytes: row.number()?,
        old_bytes: row.number()?,
        quota_bytes: row.number_or_null()?,
        quota_objects: row.number_or_null()?,
        grants: Vec::new(),
        created_ms: row.number()?,
    })
}

fn versioning(text: &str) -> Option<Versioning> {
    match text {
        "off" => Some(Versioning::Off),
        "enabled" => Some(Versioning::Enabled),
        "suspended" => Some(Versioning::Suspended),
        _ => None,
    }
}

const fn versioning_text(versioning: Versioning) -> &'static str {
    match versioning {
        Versioning::Off => "off",
        Versioning::Enabled => "enabled",
        Versioning::Suspended => "suspended",
    }
}

/// With its grants, which are in a table of their own.
fn shared(tx: &Tx<'_>, mut container: Container) -> Result<Container, CatalogError> {
    container.grants = grant::of(tx, &Shared::Container(container.id))?;
    Ok(container)
}

fn one(tx: &Tx<'_>, found: Option<Container>) -> Result<Option<Container>, CatalogError> {
    found.map(|container| shared(tx, container)).transpose()
}

/// By name, in an account.
pub(crate) fn find(
    tx: &Tx<'_>,
    account: AccountId,
    name: &ContainerName,
) -> Result<Option<Container>, CatalogError> {
    let sql = format!("{SELECT} WHERE account_id = $1 AND name = $2");
    one(tx, tx.first(TABLE, &sql, (from_number(account.get()), name.as_str()), decode)?)
}

/// By its name among the buckets of all accounts.
pub(crate) fn find_bucket(
    tx: &Tx<'_>,
    name: &ContainerName,
) -> Result<Option<Container>, CatalogError> {
    one(tx, tx.first(TABLE, &format!("{SELECT} WHERE bucket = $1"), [name.as_str()], decode)?)
}

/// By identity.
pub(crate) fn get(tx: &Tx<'_>, id: u64) -> Result<Option<Container>, CatalogError> {
    one(tx, tx.first(TABLE, &format!("{SELECT} WHERE id = $1"), [from_number(id)], decode)?)
}

/// The same, without settings and grants.
pub(crate) fn listed(tx: &Tx<'_>, id: u64) -> Result<Option<Container>, CatalogError> {
    tx.first(TABLE, &format!("{SELECT_LISTED} WHERE id = $1"), [from_number(id)], decode)
}

/// Those of an account behind `after`, by name, `limit` at most, without settings and grants.
pub(crate) fn list(
    tx: &Tx<'_>,
    account: AccountId,
    after: &str,
    limit: usize,
) -> Result<Vec<Container>, CatalogError> {
    let sql = format!("{SELECT_LISTED} WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3");
    let limit = from_number(limit as u64);
    tx.all(TABLE, &sql, (from_number(account.get()), after, limit), decode)
}

/// Those of an account with names in a stretch, `limit` at most, without settings and grants.
pub(crate) fn stretch(
    tx: &Tx<'_>,
    account: AccountId,
    stretch: &Stretch,
    limit: usize,
) -> Result<Vec<Container>, CatalogError> {
    let sql = format!("{SELECT_LISTED} WHERE account_id = $1 AND {} LIMIT $4", stretch.sql("name"));
    let (account, limit) = (from_number(account.get()), from_number(limit as u64));
    let params = (account, &stretch.from, stretch.below.as_deref(), limit);
    tx.all(TABLE, &sql, params, decode)
}

/// Those of an account that keep what is replaced in this one, `limit` at most.
pub(crate) fn archiving(
    tx: &Tx<'_>,
    account: AccountId,
    archive: &ContainerName,
    limit: usize,
) -> Result<Vec<u64>, CatalogError> {
    let of = |setting: &str| tx.session.member("settings", setting);
    let sql = format!(
        "SELECT id FROM container WHERE account_id = $1 AND ({} = $2 OR {} = $2) LIMIT $3",
        of(ARCHIVE_STACK),
        of(ARCHIVE_HISTORY)
    );
    let params = (from_number(account.get()), archive.as_str(), from_number(limit as u64));
    tx.all(TABLE, &sql, params, |row| row.number())
}

/// What those of an account hold together.
pub(crate) fn totals(tx: &Tx<'_>, account: AccountId) -> Result<Totals, CatalogError> {
    let sql = "SELECT COUNT(*), COALESCE(SUM(objects), 0), COALESCE(SUM(bytes), 0) \
         FROM container WHERE account_id = $1";
    let found = tx.first(TABLE, sql, [from_number(account.get())], |row| {
        Ok(Totals { containers: row.number()?, objects: row.number()?, bytes: row.number()? })
    })?;
    Ok(found.unwrap_or_default())
}

/// Makes one; as a bucket unless another account has one of that name.
pub(crate) fn insert(
    tx: &Tx<'_>,
    id: u64,
    account: AccountId,
    name: &ContainerName,
    created_ms: u64,
) -> Result<(), CatalogError> {
    let bucket = find_bucket(tx, name)?.is_none().then(|| name.as_str());
    tx.execute(
        "INSERT INTO container (id, account_id, name, bucket, created_ms) \
         VALUES ($1, $2, $3, $4, $5)",
        (
            from_number(id),
            from_number(account.get()),
            name.as_str(),
            bucket,
            from_number(created_ms),
        ),
    )?;
    Ok(())
}

/// The one that the store made for the files of snapshots.
pub(super) fn of_snapshots(tx: &Tx<'_>) -> Result<Option<u64>, CatalogError> {
    tx.first(TABLE, "SELECT id FROM container WHERE of_snapshots = 1", [], |row| row.number())
}

/// Makes it that one.
pub(super) fn give_to_snapshots(tx: &Tx<'_>, id: u64) -> Result<(), CatalogError> {
    tx.execute("UPDATE container SET of_snapshots = 1 WHERE id = $1", [from_number(id)])?;
    Ok(())
}

/// Changes what can be changed of one.
pub(crate) fn update(tx: &Tx<'_>, container: &Container) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE container SET versioning = $1, settings = $2, quota_bytes = $3, \
         quota_objects = $4 WHERE id = $5",
        (
            versioning_text(container.versioning),
            super::row::to_json(&container.settings)?,
            container.quota_bytes.map(from_number),
            container.quota_objects.map(from_number),
            from_number(container.id),
        ),
    )?;
    Ok(())
}

/// Counts what came and went, of the container and of its account. Of a snapshot no bytes: they
/// are the volume's, and sums of theirs have no limit.
pub(super) fn count(tx: &Tx<'_>, id: u64, change: Change) -> Result<(), CatalogError> {
    let Change { versions, objects, bytes, old_bytes } = change;
    let account = tx.first(
        TABLE,
        "UPDATE container SET objects = objects + $1, bytes = bytes + $2, \
         old_bytes = old_bytes + $3 WHERE id = $4 RETURNING account_id",
        (objects, bytes, old_bytes, from_number(id)),
        |row| row.number::<u64>(),
    )?;
    let Some(account) = account else { return Err(CatalogError::RowMissing(TABLE)) };
    tx.execute(
        "INSERT INTO account_usage (account_id, versions, bytes) VALUES ($1, $2, $3) \
         ON CONFLICT (account_id) DO UPDATE SET \
         versions = account_usage.versions + excluded.versions, \
         bytes = account_usage.bytes + excluded.bytes",
        (from_number(account), versions, bytes + old_bytes),
    )?;
    Ok(())
}

/// What the containers of an account hold in all: every version, and parts.
pub(crate) fn usage(tx: &Tx<'_>, account: AccountId) -> Result<u64, CatalogError> {
    let sql = "SELECT bytes FROM account_usage WHERE account_id = $1";
    let found = tx.first("account_usage", sql, [from_number(account.get())], |row| row.number())?;
    Ok(found.unwrap_or(0))
}

/// Counts anew what is in each: of a dump, which may be from before there were counters.
pub(crate) fn recount(tx: &Tx<'_>) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE container SET \
         objects = (SELECT COUNT(*) FROM file f WHERE f.container_id = container.id \
                    AND f.latest = 1 AND f.marker = 0), \
         bytes = (SELECT COALESCE(SUM(f.size), 0) FROM file f \
                  WHERE f.container_id = container.id AND f.latest = 1 \
                  AND f.snapshot_id IS NULL), \
         old_bytes = (SELECT COALESCE(SUM(f.size), 0) FROM file f \
                      WHERE f.container_id = container.id AND f.latest = 0) \
                   + (SELECT COALESCE(SUM(p.size), 0) FROM part p JOIN upload u \
                      ON u.id = p.upload_id WHERE u.container_id = container.id)",
        [],
    )?;
    tx.execute("DELETE FROM account_usage", [])?;
    tx.execute(
        "INSERT INTO account_usage (account_id, versions, bytes) SELECT account_id, \
         SUM((SELECT COUNT(*) FROM file f WHERE f.container_id = c.id)), SUM(bytes + old_bytes) \
         FROM container c GROUP BY account_id",
        [],
    )?;
    Ok(())
}

/// Notes the default locks of a dump that is from before there was one for all doors: as
/// migration 11 does. Without, rebuilt containers would give no lock to what comes.
pub(super) fn note_default_locks(tx: &Tx<'_>) -> Result<(), CatalogError> {
    let ids: Vec<u64> = tx.all(
        TABLE,
        "SELECT id FROM container WHERE settings LIKE '%s3.lock%' ORDER BY id",
        [],
        |row| row.number(),
    )?;
    for id in ids {
        let Some(mut container) = get(tx, id)? else { continue };
        if DefaultLock::of(&container).is_none()
            && let Some(lock) = container.settings.get(S3_LOCK).and_then(|said| said_lock(said))
        {
            DefaultLock::put(Some(&lock), &mut container);
            update(tx, &container)?;
        }
    }
    Ok(())
}

/// The lock in words of S3.
fn said_lock(said: &str) -> Option<DefaultLock> {
    let said: serde_json::Value = serde_json::from_str(said).ok()?;
    let rule = said.pointer("/rule/default_retention")?;
    let number = |name: &str| rule.get(name).and_then(serde_json::Value::as_u64);
    let days = number("days").or_else(|| number("years")?.checked_mul(365))?;
    Some(DefaultLock { mode: rule.get("mode")?.as_str()?.to_owned(), days: days.try_into().ok()? })
}

/// What is counted wrong: of which container or account, and what it counts and has.
pub(crate) fn miscounted(tx: &Tx<'_>) -> Result<Vec<(String, String)>, CatalogError> {
    let mut out = tx.all(
        TABLE,
        "SELECT name, objects, bytes, old_bytes, real_objects, real_bytes, real_old FROM \
         (SELECT c.id, c.name, c.objects, c.bytes, c.old_bytes, \
          (SELECT COUNT(*) FROM file f WHERE f.container_id = c.id \
           AND f.latest = 1 AND f.marker = 0) AS real_objects, \
          (SELECT COALESCE(SUM(f.size), 0) FROM file f \
           WHERE f.container_id = c.id AND f.latest = 1 AND f.snapshot_id IS NULL) \
          AS real_bytes, \
          (SELECT COALESCE(SUM(f.size), 0) FROM file f \
           WHERE f.container_id = c.id AND f.latest = 0) \
          + (SELECT COALESCE(SUM(p.size), 0) FROM part p JOIN upload u \
             ON u.id = p.upload_id WHERE u.container_id = c.id) AS real_old FROM container c) counted \
         WHERE objects <> real_objects OR bytes <> real_bytes OR old_bytes <> real_old \
         ORDER BY name, id",
        [],
        |row| {
            let name = format!("container:{}", row.text()?);
            let mut three = || Ok::<_, CatalogError>((row.signed()?, row.signed()?, row.signed()?));
            let (counts, has) = (three()?, three()?);
            Ok((name, format!("it counts {} where there are {}", told(counts), told(has))))
        },
    )?;
    out.extend(tx.all(
        "account_usage",
        "SELECT account, versions, bytes, real_versions, real_bytes FROM \
         (SELECT COALESCE(a.name, CAST(o.id AS TEXT)) AS account, COALESCE(u.versions, 0) AS versions, \
          COALESCE(u.bytes, 0) AS bytes, \
          (SELECT COUNT(*) FROM file f JOIN container c ON c.id = f.container_id \
           WHERE c.account_id = o.id) AS real_versions, \
          (SELECT COALESCE(SUM(c.bytes + c.old_bytes), 0) FROM container c \
           WHERE c.account_id = o.id) AS real_bytes \
          FROM (SELECT account_id AS id FROM container UNION SELECT account_id FROM account_usage) o \
          LEFT JOIN account a ON a.id = o.id LEFT JOIN account_usage u ON u.account_id = o.id) counted \
         WHERE versions <> real_versions OR bytes <> real_bytes ORDER BY account",
        [],
        |row| {
            let name = format!("account:{}", row.text()?);
            let mut two = || Ok::<_, CatalogError>((row.signed()?, row.signed()?));
            let (counts, has) = (two()?, two()?);
            let told = |(versions, bytes)| format!("{versions} versions of {bytes} bytes");
            Ok((name, format!("it counts {} where its containers have {}", told(counts), told(has))))
        },
    )?);
    Ok(out)
}

fn told((objects, bytes, old_bytes): (i64, i64, i64)) -> String {
    format!("{objects} objects of {bytes} bytes and {old_bytes} bytes of old versions and parts")
}

/// Removes one that has no versions and no uploads.
pub(crate) fn remove(tx: &Tx<'_>, id: u64) -> Result<(), CatalogError> {
    grant::clear_container(tx, id)?;
    link::clear_container(tx, id)?;
    tx.execute("DELETE FROM container WHERE id = $1", [from_number(id)])?;
    Ok(())
}
