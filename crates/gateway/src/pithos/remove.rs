//! `DELETE` of objects, of containers, and of the past.

use archipelago_model::ObjectName;
use archipelago_pool::{Container, ErrorKind, Object, Service, Step, Versioning, Walk, Which};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::ask::Ask;
use super::caller::{Caller, Need};
use super::{TREE_MAX, versions};
use crate::swift::answer::{self, Refusal};
use crate::swift::meta::{Veto, is_expired};

/// Names that are read together.
const ROWS: usize = 1000;

fn done() -> Response {
    answer::empty(StatusCode::NO_CONTENT, HeaderMap::new())
}

pub(super) fn object(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    let name = ask.object()?;
    let home = caller.container(service, &ask.container()?, Need::Own)?;
    if let Some(until) = ask.until()? {
        let found = versions::all(service, home.id, &name)?;
        if found.is_empty() {
            return Err(Refusal::not_found());
        }
        purge(service, &home, &found, until, ask.now_ms)?;
        return Ok(done());
    }
    let tree = ask.is_tree()?;
    match one(service, &home, &name, ask.now_ms) {
        Err(refusal) if tree && refusal.is_not_found() => {}
        other => other?,
    }
    if tree {
        below(service, &home, &format!("{name}/"), ask.now_ms)?;
    }
    Ok(done())
}

/// Removes one object; what is not there is a refusal.
fn one(service: &Service, home: &Container, name: &ObjectName, now_ms: u64) -> Result<(), Refusal> {
    let veto = Veto::default();
    let result = service.object_remove(home.id, name, Which::Latest, &|old| match old {
        None => Err(veto.say(Refusal::not_found())),
        // A marker on top takes nothing away.
        Some(old) if old.is_locked(now_ms) && home.versioning != Versioning::Enabled => {
            Err(veto.say(Refusal::forbidden("The object is locked.")))
        }
        Some(_) => Ok(()),
    });
    let removed = veto.settle(result)??;
    match removed.object.is_some_and(|object| is_expired(&object, now_ms)) {
        true => Err(Refusal::not_found()),
        false => Ok(()),
    }
}

/// Removes everything whose name begins so.
fn below(service: &Service, home: &Container, prefix: &str, now_ms: u64) -> Result<(), Refusal> {
    let mut walk = Walk { prefix: prefix.to_owned(), limit: ROWS, ..Walk::default() };
    let mut count = 0;
    loop {
        let steps = service.object_walk(home.id, &walk)?;
        let full = steps.len() == ROWS;
        for step in steps {
            let Step::Item(object) = step else { continue };
            count += 1;
            if count > TREE_MAX {
                return Err(Refusal::conflict("So many objects were removed; others are left."));
            }
            walk.marker = Some(object.name.to_string());
            match one(service, home, &object.name, now_ms) {
                Err(refusal) if refusal.is_not_found() => {}
                other => other?,
            }
        }
        if !full {
            return Ok(());
        }
    }
}

/// Removes versions of one object that are older than a time, the newest first in `found`.
/// What is there now stays, and so does what is locked.
fn purge(
    service: &Service,
    home: &Container,
    found: &[Object],
    until: u64,
    now_ms: u64,
) -> Result<(), Refusal> {
    let mut left = false;
    // The oldest first: a marker goes when there is nothing below it that would come back.
    for object in found.iter().rev() {
        let stays = object.created_ms > until
            || object.is_locked(now_ms)
            || (object.latest && (left || !object.marker));
        if stays {
            left = true;
            continue;
        }
        let which = match object.versioned {
            true => Which::Version(object.id),
            false => Which::Unversioned,
        };
        let veto = Veto::default();
        let result = service.object_remove(home.id, &object.name, which, &|old| match old {
            Some(old) if old.id != object.id || old.is_locked(now_ms) => {
                Err(veto.say(Refusal::conflict("The object has changed meanwhile; ask again.")))
            }
            _ => Ok(()),
        });
        veto.settle(result)??;
    }
    Ok(())
}

/// Removes versions of all objects of a container that are older than a time.
fn purge_all(service: &Service, home: &Container, until: u64, now_ms: u64) -> Result<(), Refusal> {
    let mut walk = Walk { limit: ROWS, ..Walk::default() };
    loop {
        // Names first, then all versions of each.
        let steps = service.version_walk(home.id, &walk, None)?;
        let full = steps.len() == ROWS;
        let mut names: Vec<ObjectName> = Vec::new();
        for step in steps {
            let Step::Item(object) = step else { continue };
            if names.last() != Some(&object.name) {
                names.push(object.name);
            }
        }
        for name in &names {
            purge(service, home, &versions::all(service, home.id, name)?, until, now_ms)?;
        }
        walk.marker = names.last().map(ToString::to_string);
        if !full {
            return Ok(());
        }
    }
}

pub(super) fn container(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    let home = caller.container(service, &ask.container()?, Need::Own)?;
    if let Some(until) = ask.until()? {
        purge_all(service, &home, until, ask.now_ms)?;
        return Ok(done());
    }
    if ask.is_tree()? {
        below(service, &home, "", ask.now_ms)?;
        return Ok(done());
    }
    let conflict = || Refusal::conflict("The container is not empty.");
    if home.objects > 0 {
        return Err(conflict());
    }
    // The past of a container goes with it.
    purge_all(service, &home, u64::MAX, ask.now_ms)?;
    match service.container_remove(home.id) {
        Ok(()) => Ok(done()),
        Err(error) if error.kind() == ErrorKind::InUse => Err(conflict()),
        Err(error) => Err(error.into()),
    }
}
