//! What a container without versions keeps of what is replaced and removed: objects of another
//! container, which the same transaction moves there. Whichever door writes, nothing is lost.
//!
//! Several containers may have one archive. What is kept there has a note of where it is from:
//! a removal brings back what was the container's own, and nothing of others, whose readers and
//! writers may be other people.

use archipelago_model::{ContainerName, FileId, ObjectName};

use super::file::{self, ObjectRow};
use super::{CatalogError, Tx, container, snapshot_file};
use crate::object::{ARCHIVED_AT, Archive, Container, Object, Stretch, Versioning, Which};

/// Setting of what is kept: the container that it was in, by identity.
const OF: &str = "archive.of";

/// What others keep under the name of an object is passed over up to so many, to find what is
/// to come back: a removal that held the catalog for longer would keep all others from writing.
const OTHERS_MAX: usize = 10_000;
/// Names that are read together meanwhile.
const LOOK_BATCH: usize = 256;

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
    let found = found.filter(|found| found.id != home.id).ok_or_else(|| unusable(home))?;
    match snapshot_file::is_home(tx, found.id)? {
        true => Err(unusable(home)),
        false => Ok(found),
    }
}

/// Names the container that is written to, and not its archive: who may write need not know that.
fn unusable(home: &Container) -> CatalogError {
    CatalogError::Archive(home.name.to_string())
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

/// Moves what is replaced now out of the way. Whether it did.
pub(super) fn keep(tx: &Tx<'_>, old: &ObjectRow, now_ms: u64) -> Result<bool, CatalogError> {
    let Some((home, archive)) = of(tx, old.container)? else { return Ok(false) };
    let to = place(tx, &home, &archive)?;
    shift(tx, &home, old, &to, now_ms)?;
    Ok(true)
}

/// Moves an object of a container into its archive.
fn shift(
    tx: &Tx<'_>,
    home: &Container,
    row: &ObjectRow,
    to: &Container,
    now_ms: u64,
) -> Result<(), CatalogError> {
    let name = kept_name(&row.object.name, row.object.id, row.object.created_ms)?;
    let taken = file::version(tx, to.id, &name, Which::Latest)?.is_some();
    if taken || to.versioning != Versioning::Off {
        return Err(unusable(home));
    }
    let mut row = row.clone();
    note_origin(&mut row, home);
    // Rules of the archive count from here, while it goes on to say when it was made.
    row.object.meta.settings.insert(ARCHIVED_AT.to_owned(), now_ms.to_string());
    file::shift(tx, &row, to.id, &name, row.object.created_ms)
}

fn note_origin(row: &mut ObjectRow, home: &Container) {
    row.object.meta.settings.insert(OF.to_owned(), home.id.to_string());
}

/// Whether something in an archive was in this container. What has no note (a client put it
/// there, or it is from before there were notes) is of the only container that has the archive.
fn is_of(
    tx: &Tx<'_>,
    home: &Container,
    to: &Container,
    object: &Object,
    alone: &mut Option<bool>,
) -> Result<bool, CatalogError> {
    if let Some(of) = object.meta.settings.get(OF) {
        return Ok(*of == home.id.to_string());
    }
    if let Some(alone) = alone {
        return Ok(*alone);
    }
    let archiving = container::archiving(tx, home.account, &to.name, 2)?;
    Ok(*alone.insert(archiving == [home.id]))
}

/// What was kept of an object of a container, the newest first, two at most.
fn newest(
    tx: &Tx<'_>,
    home: &Container,
    to: &Container,
    name: &ObjectName,
) -> Result<Vec<ObjectRow>, CatalogError> {
    let prefix = prefix(name);
    // `0` follows `/`.
    let below = format!("{}0", prefix.strip_suffix('/').unwrap_or_default());
    let mut stretch = Stretch { from: prefix, inclusive: false, below: Some(below), reverse: true };
    let (mut rows, mut alone) = (Vec::new(), None);
    // Most are the container's own.
    let (mut limit, mut passed) = (2, 0);
    loop {
        let page = file::stretch(tx, to.id, &stretch, limit)?;
        let full = page.len() == limit;
        for object in page {
            stretch.below = Some(object.name.to_string());
            if is_of(tx, home, to, &object, &mut alone)? {
                rows.extend(file::version(tx, to.id, &object.name, Which::Latest)?);
            } else {
                passed += 1;
            }
            if rows.len() == 2 {
                return Ok(rows);
            }
        }
        if !full {
            return Ok(rows);
        }
        if passed > OTHERS_MAX {
            return Err(CatalogError::ArchiveShared(name.to_string()));
        }
        limit = LOOK_BATCH;
    }
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
    // Its names may have other versions by now, which none of what follows is made for.
    if to.versioning != Versioning::Off {
        return Err(unusable(home));
    }
    if archive.history {
        if let Some(row) = &current {
            put_away(tx, home, row, &to, now_ms)?;
        }
        note_removal(tx, home, &to, now_ms, marker(name.clone())?)?;
        return Ok(Some(current));
    }
    pop(tx, home, &to, name, current, now_ms).map(Some)
}

/// Ends an object by a rule of its container; `false`, and nothing is done, if that does not
/// archive. It is kept as what is removed is, but nothing that was before it comes back: what a
/// rule ended would only make room for what is older still.
pub(crate) fn end(
    tx: &Tx<'_>,
    home: &Container,
    row: &ObjectRow,
    now_ms: u64,
    marker: impl FnOnce(ObjectName) -> Result<ObjectRow, CatalogError>,
) -> Result<bool, CatalogError> {
    let Some(archive) = home.archive() else { return Ok(false) };
    let to = place(tx, home, &archive)?;
    put_away(tx, home, row, &to, now_ms)?;
    if archive.history {
        note_removal(tx, home, &to, now_ms, marker(row.object.name.clone())?)?;
    }
    Ok(true)
}

/// Moves an object into the archive, and nothing takes its place.
fn put_away(
    tx: &Tx<'_>,
    home: &Container,
    row: &ObjectRow,
    to: &Container,
    now_ms: u64,
) -> Result<(), CatalogError> {
    shift(tx, home, row, to, now_ms)?;
    file::unshare(tx, row)
}

/// Puts the note in the archive that an object was removed.
fn note_removal(
    tx: &Tx<'_>,
    home: &Container,
    to: &Container,
    now_ms: u64,
    mut note: ObjectRow,
) -> Result<(), CatalogError> {
    note_origin(&mut note, home);
    note.container = to.id;
    note.object.name = kept_name(&note.object.name, note.object.id, now_ms)?;
    file::put(tx, &note, now_ms)
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
    let rows = newest(tx, home, to, name)?;
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
        let mut row = row.clone();
        row.object.meta.settings.remove(OF);
        row.object.meta.settings.remove(ARCHIVED_AT);
        file::shift(tx, &row, home.id, name, now_ms)?;
    }
    Ok(current.or_else(|| noted.or(back).cloned()))
}
