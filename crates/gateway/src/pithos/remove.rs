//! `DELETE` of objects, of containers, and of the past.

use archipelago_model::ObjectName;
use archipelago_pool::{
    Action, Container, ErrorKind, Object, Service, Step, Versioning, Walk, Walked, Which,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::TREE_MAX;
use super::ask::Ask;
use super::caller::Caller;
use crate::swift::answer::{self, Refusal};
use crate::swift::conditions::{self, Taken};
use crate::swift::meta::{Veto, is_expired};

/// Names that are read together.
const ROWS: usize = 1000;

fn done() -> Response {
    answer::empty(StatusCode::NO_CONTENT, HeaderMap::new())
}

pub(super) fn object(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    let name = ask.object()?;
    let home = caller.home(service, &ask.container()?, &name, Action::Remove)?;
    if let Some(until) = ask.until()? {
        caller.check_writes()?;
        if conditions::is_said(&ask.headers) {
            return Err(Refusal::invalid("what goes by its time has no other conditions"));
        }
        return match service.object_purge(home.id, &name, until)? {
            0 => Err(Refusal::not_found()),
            _ => Ok(done()),
        };
    }
    let tree = ask.is_tree()?;
    // A folder of which nothing is there itself goes all the same, unless that is what is asked for.
    let check = |old: Option<&Object>| match old {
        None if !tree => Ok(()),
        old => check(service, ask, old),
    };
    match one(service, &home, &name, &check, ask.now_ms) {
        Err(refusal) if tree && refusal.is_not_found() => {}
        other => other?,
    }
    if tree {
        below(service, &home, &format!("{name}/"), ask.now_ms)?;
    }
    Ok(done())
}

/// Asks the conditions of a removal of what it would take.
fn check(service: &Service, ask: &Ask, old: Option<&Object>) -> Result<(), Refusal> {
    if !conditions::is_said(&ask.headers) {
        return Ok(());
    }
    let taken = match old {
        None => None,
        Some(old) => {
            let hash = service.object_hashes(&[old.id])?.remove(&old.id);
            let etags: Vec<String> = hash.iter().map(ToString::to_string).collect();
            Some(Taken { has_others: etags.is_empty(), etags, changed_ms: old.created_ms })
        }
    };
    conditions::check_removal(&ask.headers, taken.as_ref())
}

/// Removes one object, if it is as `check` wants it; what is not there is a refusal.
fn one(
    service: &Service,
    home: &Container,
    name: &ObjectName,
    check: &dyn Fn(Option<&Object>) -> Result<(), Refusal>,
    now_ms: u64,
) -> Result<(), Refusal> {
    let veto = Veto::default();
    let result = service.object_remove(home.id, name, Which::Latest, &|old| match old {
        None => {
            check(None).map_err(|refusal| veto.say(refusal))?;
            Err(veto.say(Refusal::not_found()))
        }
        // A marker on top takes nothing away.
        Some(old)
            if old.is_locked(service.ended_ms()) && home.versioning != Versioning::Enabled =>
        {
            Err(veto.say(Refusal::forbidden("The object is locked.")))
        }
        Some(old) if is_expired(old, now_ms) => Ok(()),
        Some(old) => check(Some(old)).map_err(|refusal| veto.say(refusal)),
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
        let Walked { steps, more } = service.object_walk(home.id, &walk)?;
        for step in steps {
            let Step::Item(object) = step else { continue };
            count += 1;
            if count > TREE_MAX {
                return Err(Refusal::conflict("So many objects were removed; others are left."));
            }
            walk.marker = Some(object.name.to_string());
            match one(service, home, &object.name, &|_| Ok(()), now_ms) {
                Err(refusal) if refusal.is_not_found() => {}
                other => other?,
            }
        }
        if !more {
            return Ok(());
        }
    }
}

/// Removes versions of all objects of a container that are older than a time.
fn purge_all(service: &Service, home: &Container, until: u64) -> Result<(), Refusal> {
    let mut walk = Walk { limit: ROWS, ..Walk::default() };
    let mut count = 0;
    loop {
        // Names first, then all versions of each that has one to go.
        let Walked { steps, more } = service.version_walk(home.id, &walk, None)?;
        let (mut names, mut last): (Vec<ObjectName>, Option<ObjectName>) = (Vec::new(), None);
        for step in steps {
            let Step::Item(object) = step else { continue };
            let goes = object.created_ms <= until && (!object.latest || object.marker);
            if goes && names.last() != Some(&object.name) {
                names.push(object.name.clone());
            }
            last = Some(object.name);
        }
        // Of this one there may be more than the page shows.
        if more && let Some(name) = last.clone().filter(|name| names.last() != Some(name)) {
            names.push(name);
        }
        for name in &names {
            count += 1;
            if count > TREE_MAX {
                return Err(Refusal::conflict("So many were purged; others are left, ask again."));
            }
            service.object_purge(home.id, name, until)?;
        }
        walk.marker = last.map(|name| name.to_string());
        if !more {
            return Ok(());
        }
    }
}

pub(super) fn container(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    let home = caller.container(service, &ask.container()?, Action::Govern)?;
    if let Some(until) = ask.until()? {
        purge_all(service, &home, until)?;
        return Ok(done());
    }
    if ask.is_tree()? {
        below(service, &home, "", ask.now_ms)?;
        return Ok(done());
    }
    // The past of a container goes with it.
    match service.container_remove_past(home.id) {
        Ok(()) => Ok(done()),
        Err(error) if error.kind() == ErrorKind::InUse => {
            Err(Refusal::conflict(&error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
