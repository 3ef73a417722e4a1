//! `COPY` and `MOVE`, and `PUT` with `X-Copy-From` and `X-Move-From`. No content moves.

use archipelago_model::{ContainerName, ObjectName};
use archipelago_pool::{
    Action, BlockHash, Container, CopySource, Error, Meta, Object, Service, Step, Walk, Walked,
    Which,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::ask::{Ask, place};
use super::caller::Caller;
use super::sharing::{Said, SaidOf};
use super::{TREE_MAX, meta, object, put, versions};
use crate::swift::answer::{self, Refusal, unless_replaced};
use crate::swift::ask::is_true;
use crate::swift::meta::Veto;

const COPY_FROM: &str = "x-copy-from";
const MOVE_FROM: &str = "x-move-from";

/// Names that are read together.
const ROWS: usize = 1000;

/// Whether a `PUT` is a copy or a move.
pub(super) fn is_meant(ask: &Ask) -> bool {
    ask.headers.contains_key(COPY_FROM) || ask.headers.contains_key(MOVE_FROM)
}

/// A place of an object.
struct Place {
    caller: Caller,
    container: ContainerName,
    object: ObjectName,
}

/// What is copied or moved where.
struct Copy {
    from: Place,
    version: Option<String>,
    to: Place,
    moves: bool,
}

pub(super) fn copy(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let copy = places(service, ask)?;
    let (from, to) = (&copy.from, &copy.to);
    let source = from.caller.find(service, &from.container)?;
    if copy.moves {
        from.caller.check(service, Action::Remove, &source, &from.object, None)?;
    }
    let target = to.caller.home(service, &to.container, &to.object, Action::Write)?;
    let said = Said::of(service, &to.caller, ask)?;
    let said = said.of_name(service, &to.caller, (target.id, &to.object))?;
    let homes = (&source, &target);
    let (object, hash) = unless_replaced(|| one(service, ask, &copy, homes, &said))?;
    if ask.is_tree()? {
        below(service, ask, &copy, &source, &target)?;
    }
    let mut headers = HeaderMap::new();
    put::told(&object, hash, &mut headers);
    Ok(answer::empty(StatusCode::CREATED, headers))
}

fn places(service: &Service, ask: &Ask) -> Result<Copy, Refusal> {
    let caller = Caller::new(service, ask)?;
    let (container, object) = (ask.container()?, ask.object()?);
    let here = Place { caller: caller.clone(), container, object };
    let other = |text: &str, account: &str| -> Result<Place, Refusal> {
        let caller = match ask.header(account).filter(|name| !name.is_empty()) {
            Some(name) => caller.elsewhere(service, &name)?,
            None => caller.clone(),
        };
        let (container, object) = place(text)?;
        Ok(Place { caller, container, object })
    };
    let version = ask.header("x-source-version").filter(|text| !text.is_empty());
    if let Some(text) = ask.header("destination") {
        let to = other(&text, "destination-account")?;
        let moves = ask.method.as_str() == "MOVE";
        return Ok(Copy { from: here, version, to, moves });
    }
    let (text, moves) = match (ask.header(COPY_FROM), ask.header(MOVE_FROM)) {
        (Some(text), None) => (text, false),
        (None, Some(text)) => (text, true),
        _ => return Err(Refusal::invalid("a copy or a move has one source and one destination")),
    };
    let from = other(&text, "x-source-account")?;
    Ok(Copy { from, version, to: here, moves })
}

/// The object that is named.
fn one(
    service: &Service,
    ask: &Ask,
    copy: &Copy,
    (source, target): (&Container, &Container),
    said: &SaidOf,
) -> Result<(Object, Option<BlockHash>), Refusal> {
    let Copy { from, version, to, moves } = copy;
    let (home, name, version) = (source.id, &from.object, version.as_deref());
    if *moves && version.is_some() {
        return Err(Refusal::invalid("what is moved is the newest version"));
    }
    let which = versions::which(service, home, name, version);
    let (which, opened) = match which {
        Ok(which) => (which, object::open_version(service, ask.now_ms, home, name, which)),
        Err(refusal) => (Which::Latest, Err(refusal)),
    };
    let content = object::readable(service, &from.caller, source, name, version, opened)?;
    let hash = service.object_hash(&content)?;
    put::conditions_of_source(ask, hash, content.object())?;
    let seen = content.object().id;
    let names = Names { from: name, which, to: &to.object, seen, any: false, said: Some(said) };
    let object = relocate(service, ask, copy, (source.id, target.id), &names)?;
    Ok((object, hash))
}

/// Everything whose name begins as that of the object with a slash behind it.
fn below(
    service: &Service,
    ask: &Ask,
    copy: &Copy,
    source: &Container,
    target: &Container,
) -> Result<(), Refusal> {
    let (old, new) = (format!("{}/", copy.from.object), format!("{}/", copy.to.object));
    if source.id == target.id && (new.starts_with(&old) || old.starts_with(&new)) {
        return Err(Refusal::invalid("a folder is not copied into itself"));
    }
    let mut walk = Walk { prefix: old.clone(), limit: ROWS, ..Walk::default() };
    let mut done = 0;
    loop {
        let Walked { steps, more } = service.object_walk(source.id, &walk)?;
        for step in steps {
            let Step::Item(object) = step else { continue };
            done += 1;
            if done > TREE_MAX {
                return Err(Refusal::conflict("So many objects were done; the others are left."));
            }
            let rest = object.name.as_str().strip_prefix(&old).unwrap_or_default();
            let to = crate::swift::ask::object_name(&format!("{new}{rest}"))?;
            let which = Which::Latest;
            walk.marker = Some(object.name.to_string());
            // What may not be read is as if it were not there.
            if !copy.from.caller.may(service, Action::Read, source, &object)? {
                continue;
            }
            copy.to.caller.check(service, Action::Write, target, &to, None)?;
            // An owner may read whatever is there by then, but for what is others'.
            let any = copy.from.caller.owns();
            let names =
                Names { from: &object.name, which, to: &to, seen: object.id, any, said: None };
            match relocate(service, ask, copy, (source.id, target.id), &names) {
                // It ended, or was removed meanwhile: the others are still to be done.
                Err(refusal) if refusal.is_not_found() => {
                    if put::old(service, source.id, &object.name)?.is_some() {
                        return Err(refusal);
                    }
                }
                done => drop(done?),
            }
        }
        if !more {
            return Ok(());
        }
    }
}

/// What becomes what.
struct Names<'a> {
    from: &'a ObjectName,
    which: Which,
    to: &'a ObjectName,
    /// The version that rights and conditions were asked of.
    seen: archipelago_model::FileId,
    /// Another one that belongs to its container's owner is as good.
    any: bool,
    /// Of the object that the request names: what is said of who else may.
    said: Option<&'a SaidOf>,
}

fn relocate(
    service: &Service,
    ask: &Ask,
    copy: &Copy,
    (source, target): (u64, u64),
    names: &Names<'_>,
) -> Result<Object, Refusal> {
    let veto = Veto::default();
    let old = put::old(service, target, names.to)?;
    let finish = &mut |object: &Object| -> Result<Meta, Error> {
        if names.seen != object.id && !(names.any && object.owner.is_none()) {
            return Err(veto.say(Refusal::replaced()));
        }
        let made = match names.said {
            Some(said) => merged(ask, copy, object).and_then(|meta| said.shared(meta)),
            None => Ok(kept(object)),
        };
        let mut meta = made.map_err(|refusal| veto.say(refusal))?;
        // What is moved is the same, what is copied takes the place of what was there.
        match copy.moves {
            true => meta::sign(&mut meta, &copy.from.caller, Some(object)),
            false => {
                meta::renew(&mut meta);
                meta::sign(&mut meta, &copy.from.caller, old.as_ref());
            }
        }
        Ok(meta)
    };
    let leave = &|object: Option<&Object>| match object {
        Some(object) if object.is_locked(service.ended_ms()) => {
            Err(veto.say(Refusal::forbidden("The object is locked.")))
        }
        _ => Ok(()),
    };
    let result = match copy.moves {
        true => {
            let from = (source, names.from);
            service.object_move(from, target, names.to, finish, &|_| Ok(()), leave)
        }
        false => {
            let (name, which) = (names.from.clone(), names.which);
            let from = CopySource { container: source, name, which };
            service.object_copy(&from, target, names.to, finish, &|_| Ok(()))
        }
    };
    veto.settle(result)?
}

/// What is known of the source, but not who may read it or how long it is locked.
fn kept(source: &Object) -> Meta {
    let mut meta = source.meta.clone();
    meta.settings.retain(|name, _| name.starts_with("pithos.") || name.starts_with("swift."));
    meta.grants.clear();
    meta
}

/// That, with what the request says instead.
fn merged(ask: &Ask, copy: &Copy, source: &Object) -> Result<Meta, Refusal> {
    let base = Object { meta: kept(source), ..source.clone() };
    let among = true;
    let mut meta = meta::changed(ask, &copy.from.caller, &base, among)?;
    let ignores =
        ask.param("ignore_content_type").is_some_and(|text| text.is_empty() || is_true(text));
    let kind = meta::plain(ask, "content-type").filter(|kind| !kind.is_empty() && !ignores);
    if let Some(kind) = kind {
        meta.headers.insert("content-type".to_owned(), kind.to_owned());
    }
    Ok(meta)
}
