//! What a container without versions keeps of what is replaced and removed: objects of another
//! container, which the same transaction moves there. Whichever door writes, nothing is lost.

use archipelago_model::{ContainerName, FileId, ObjectName};

use super::file::{self, ObjectRow};
use super::{CatalogError, Tx, container};
use crate::object::{Archive, Container, Stretch, Versioning, Which};

/// Where a container keeps what is replaced; `None` if it does not, or keeps versions itself.
fn of(tx: &Tx<'_>, id: u64) -> Result<Option<(Container, Archive)>, CatalogError> {
    let Some(home) = container::get(tx, id)? else { return Ok(None) };
    Ok(home.archive().map(|archive| (home, archive)))
}

/// The container of an archive.
fn place(tx: &Tx<'_>, home: &Container, archive: &Archive) -> Result<Container, CatalogError> {
    let name = archive.container.parse::<ContainerName>().ok();
    let found = match &name {
        Some(name) => container::find(tx, home.account, name)?,
        None => None,
    };
    // In itself an archive would archive its archive.
    found
        .filter(|found| found.id != home.id)
        .ok_or_else(|| CatalogError::Archive(archive.container.clone()))
}

/// What the names of all that was replaced of an object begin with.
fn prefix(name: &ObjectName) -> String {
    format!("{:03x}{name}/", name.as_str().len())
}

/// The name under which a version is kept: by its time, and by its identity where two were made
/// in the same moment.
fn kept_name(name: &ObjectName, id: FileId, ms: u64) -> Result<ObjectName, CatalogError> {
    let text =
        format!("{}{:010}.{:05}_{:016x}", prefix(name), ms / 1000, ms % 1000 * 100, id.get());
    text.parse().map_err(|_| CatalogError::ArchivedName(name.to_string()))
}

/// Moves what is about to be replaced out of the way. Whether it did.
pub(super) fn keep(tx: &Tx<'_>, old: &ObjectRow) -> Result<bool, CatalogError> {
    let Some((home, archive)) = of(tx, old.container)? else { return Ok(false) };
    let to = place(tx, &home, &archive)?;
    let name = kept_name(&old.object.name, old.object.id, old.object.created_ms)?;
    shift(tx, old, &to, &name, old.object.created_ms)?;
    Ok(true)
}

fn shift(
    tx: &Tx<'_>,
    row: &ObjectRow,
    to: &Container,
    name: &ObjectName,
    created_ms: u64,
) -> Result<(), CatalogError> {
    let taken = file::version(tx, to.id, name, Which::Latest)?.is_some();
    if taken || to.versioning != Versioning::Off {
        return Err(CatalogError::Archive(to.name.to_string()));
    }
    file::shift(tx, row, to.id, name, created_ms)
}

/// What was kept of an object, the newest first, two at most.
fn newest(tx: &Tx<'_>, to: &Container, name: &ObjectName) -> Result<Vec<ObjectRow>, CatalogError> {
    let prefix = prefix(name);
    // `0` follows `/`.
    let below = format!("{}0", prefix.strip_suffix('/').unwrap_or_default());
    let stretch = Stretch { from: prefix, inclusive: false, below: Some(below), reverse: true };
    let mut rows = Vec::new();
    for object in file::stretch(tx, to.id, &stretch, 2)? {
        rows.extend(file::version(tx, to.id, &object.name, Which::Latest)?);
    }
    Ok(rows)
}

/// Removes an object of a container that archives; `None` if it does not. What is gone, or came
/// back, is told; nothing is if there was neither. `marker` makes the note that it was removed.
pub(crate) fn remove(
    tx: &Tx<'_>,
    home: &Container,
    name: &ObjectName,
    now_ms: u64,
    marker: impl FnOnce(ObjectName) -> Result<ObjectRow, CatalogError>,
) -> Result<Option<Option<ObjectRow>>, CatalogError> {
    let Some(archive) = home.archive() else { return Ok(None) };
    let current = file::version(tx, home.id, name, Which::Latest)?;
    let to = match place(tx, home, &archive) {
        // Where nothing is kept any more, nothing comes back.
        Err(CatalogError::Archive(_)) if !archive.history => {
            if let Some(row) = &current {
                file::remove(tx, row)?;
            }
            return Ok(Some(current));
        }
        found => found?,
    };
    if archive.history {
        if let Some(row) = &current {
            let kept = kept_name(name, row.object.id, row.object.created_ms)?;
            shift(tx, row, &to, &kept, row.object.created_ms)?;
            file::unshare(tx, row)?;
        }
        let mut note = marker(name.clone())?;
        note.container = to.id;
        note.object.name = kept_name(name, note.object.id, now_ms)?;
        file::put(tx, &note)?;
        return Ok(Some(current));
    }
    pop(tx, home, &to, name, current, now_ms).map(Some)
}

/// Removes the newest, and lets what was before it come back.
fn pop(
    tx: &Tx<'_>,
    home: &Container,
    to: &Container,
    name: &ObjectName,
    current: Option<ObjectRow>,
    now_ms: u64,
) -> Result<Option<ObjectRow>, CatalogError> {
    let rows = newest(tx, to, name)?;
    let (first, second) = (rows.first(), rows.get(1));
    let noted = first.filter(|row| row.object.is_archived_marker());
    let back = match noted {
        // It was removed, and then made again: as it was before that.
        Some(_) if current.is_some() => None,
        Some(_) => second.filter(|row| !row.object.is_archived_marker()),
        None => first,
    };
    if let Some(row) = &current {
        file::remove(tx, row)?;
    } else if let Some(note) = noted {
        file::remove(tx, note)?;
    }
    if let Some(row) = back {
        file::shift(tx, row, home.id, name, now_ms)?;
    }
    Ok(current.or_else(|| noted.or(back).cloned()))
}
