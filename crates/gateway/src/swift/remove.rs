//! `DELETE` of an object.

use std::cell::Cell;

use archipelago_model::ObjectName;
use archipelago_pool::{Container, Object, Service, Versioning, Which};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::access::{Need, Rights};
use super::answer::{self, Refusal, set};
use super::ask::Ask;
use super::conditions::{self, Taken};
use super::link::Link;
use super::{dlo, meta, slo, versions};

pub(super) fn remove(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let rights = Rights::new(service, ask)?;
    let (name, which) = (ask.object()?, versions::which(ask)?);
    let home = rights.home(service, &ask.container()?, &name, Need::Remove)?;
    if which != Which::Latest {
        rights.check_versions(true)?;
    }
    if ask.manifest() == "delete" {
        return slo::remove(service, ask, &rights, &home, &name);
    }
    let headers = one_as_said(service, ask, &home, (&name, which))?;
    Ok(answer::empty(StatusCode::NO_CONTENT, headers))
}

/// Removes one object, if it is as the request says.
pub(super) fn one_as_said(
    service: &Service,
    ask: &Ask,
    home: &Container,
    (name, which): (&ObjectName, Which),
) -> Result<HeaderMap, Refusal> {
    let ends_at = meta::seconds(ask, "X-If-Delete-At")?;
    let check = |old: Option<&Object>| match old {
        Some(old) if ends_at.is_some_and(|at| meta::ends_at(old) != Some(at)) => {
            Err(Refusal::precondition("X-If-Delete-At and X-Delete-At do not match"))
        }
        // Nobody sees any more what it was.
        Some(old) if meta::is_expired(old, ask.now_ms) => Ok(()),
        old => check(ask, old),
    };
    one_that_is(service, home, (name, which), &check, ask.now_ms)
}

/// Asks the conditions of a removal of what it would take.
pub(super) fn check(ask: &Ask, old: Option<&Object>) -> Result<(), Refusal> {
    if !conditions::is_said(&ask.headers) {
        return Ok(());
    }
    let taken = old.map(|old| {
        let settings = &old.meta.settings;
        let slo = settings.get(meta::SLO_ETAG).cloned();
        Taken {
            etags: std::iter::once(old.entity_tag()).chain(slo).collect(),
            // Those are shown with what others make of them.
            has_others: settings.contains_key(dlo::SETTING) || Link::of(old).is_some(),
            changed_ms: meta::changed_ms(old),
        }
    });
    conditions::check_removal(&ask.headers, taken.as_ref())
}

/// Removes one object; what is not there is a refusal.
pub(super) fn one(
    service: &Service,
    home: &Container,
    name: &ObjectName,
    which: Which,
    now_ms: u64,
) -> Result<HeaderMap, Refusal> {
    one_that_is(service, home, (name, which), &|_| Ok(()), now_ms)
}

/// The same, if it is as `check` wants it.
fn one_that_is(
    service: &Service,
    home: &Container,
    (name, which): (&ObjectName, Which),
    check: &dyn Fn(Option<&Object>) -> Result<(), Refusal>,
    now_ms: u64,
) -> Result<HeaderMap, Refusal> {
    let veto = meta::Veto::default();
    // Of an object that has ended nothing is left to be seen; it goes all the same.
    let ended = Cell::new(false);
    let (container, keeps) = (home.id, home.versioning == Versioning::Enabled);
    let archives = home.archive().is_some();
    let result = service.object_remove(container, name, which, &|old| {
        let asked = || check(old).map_err(|refusal| veto.say(refusal));
        match (which, old) {
            // What was before it may come back.
            (Which::Latest | Which::Unversioned, None) if archives => asked(),
            (Which::Latest, None) if !keeps => Err(veto.say(Refusal::not_found())),
            (Which::Latest, None) => {
                // It is noted that it was removed, as S3 does, too.
                ended.set(true);
                asked()
            }
            (_, Some(old)) => {
                asked()?;
                if which != Which::Latest && old.is_locked(service.ended_ms()) {
                    return Err(veto.say(Refusal::forbidden("The version is locked.")));
                }
                ended.set(meta::is_expired(old, now_ms));
                Ok(())
            }
            (_, None) => Ok(()),
        }
    });
    let removed = veto.settle(result)??;
    let object = removed.object.ok_or_else(Refusal::not_found)?;
    let mut headers = HeaderMap::new();
    if object.versioned || which != Which::Latest {
        set(&mut headers, versions::HEADER, &versions::text(&object));
    }
    if ended.get() {
        return Err(Refusal::not_found().with(headers));
    }
    if which != Which::Latest
        && let Some(current) = service.object_or_marker(container, name, Which::Latest)?
    {
        set(&mut headers, "x-object-current-version-id", &versions::text(&current));
    }
    Ok(headers)
}
