//! `DELETE` of an object.

use std::cell::Cell;

use archipelago_model::ObjectName;
use archipelago_pool::{Container, Service, Versioning, Which};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::access::{Need, Rights};
use super::answer::{self, Refusal, set};
use super::ask::Ask;
use super::{meta, slo, versions};

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
    let ends_at = meta::seconds(ask, "X-If-Delete-At")?;
    let headers = one_that_ends(service, &home, (&name, which), ends_at, ask.now_ms)?;
    Ok(answer::empty(StatusCode::NO_CONTENT, headers))
}

/// Removes one object; what is not there is a refusal.
pub(super) fn one(
    service: &Service,
    home: &Container,
    name: &ObjectName,
    which: Which,
    now_ms: u64,
) -> Result<HeaderMap, Refusal> {
    one_that_ends(service, home, (name, which), None, now_ms)
}

/// The same, if it ends in this second.
fn one_that_ends(
    service: &Service,
    home: &Container,
    (name, which): (&ObjectName, Which),
    ends_at: Option<u64>,
    now_ms: u64,
) -> Result<HeaderMap, Refusal> {
    let veto = meta::Veto::default();
    // Of an object that has ended nothing is left to be seen; it goes all the same.
    let ended = Cell::new(false);
    let (container, keeps) = (home.id, home.versioning == Versioning::Enabled);
    let archives = home.archive().is_some();
    let result = service.object_remove(container, name, which, &|old| match (which, old) {
        (_, Some(old)) if ends_at.is_some_and(|at| meta::ends_at(old) != Some(at)) => {
            let what = "X-If-Delete-At and X-Delete-At do not match";
            Err(veto.say(Refusal::precondition(what)))
        }
        // What was before it may come back.
        (Which::Latest | Which::Unversioned, None) if archives => Ok(()),
        (Which::Latest, None) if !keeps => Err(veto.say(Refusal::not_found())),
        (Which::Latest, None) => {
            // It is noted that it was removed, as S3 does, too.
            ended.set(true);
            Ok(())
        }
        (Which::Version(_) | Which::Unversioned, Some(old))
            if old.is_locked(service.ended_ms()) =>
        {
            Err(veto.say(Refusal::forbidden("The version is locked.")))
        }
        (_, old) => {
            ended.set(old.is_some_and(|old| meta::is_expired(old, now_ms)));
            Ok(())
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
