//! Sharing: who but its owner may do what.

use archipelago_api::{CreateShare, EndShareQuery, ErrorKind, Share, ShareQuery, Shares};
use archipelago_model::AccountName;
use archipelago_pool::{
    Action, Error, ErrorKind as PoolKind, Grant, Named, Right, Service, Shared,
};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Failures, check_batch};
use crate::App;
use crate::access;
use crate::extract::{Json, Query, parse};
use crate::failure::Failure;
use crate::login::{Caller, Names};

/// Shares of one answer at most.
const SHARES_MAX: usize = 10_000;

/// The account whose containers are meant: the caller's own, if it says none. Only its own can it
/// mean, unless it may do everything.
fn home(caller: &Caller, account: Option<&str>) -> Result<Named, Failure> {
    let said = account.map(parse::<AccountName>).transpose()?;
    match (said, caller.account()) {
        (Some(said), Some(own)) if said != *own && !caller.is_operator() => Err(Failure::new(
            ErrorKind::Forbidden,
            format!("you act for account '{own}', and share what it owns"),
        )),
        (Some(said), _) => Ok(Named::name(said)),
        (None, Some(own)) => Ok(Named::name(own)),
        (None, None) => Ok(Named::name("admin")),
    }
}

/// What a text means, where the caller may say, or see, who may do what with it: what its account
/// owns, that is. What others own is as little there as what does not exist.
fn resource(
    service: &Service,
    caller: &Caller,
    names: &Names,
    home: &Named,
    action: Action,
    text: &str,
) -> Result<Shared, Error> {
    let Some(subject) = caller.subject() else {
        return service.shared(home, &names.full_text(text));
    };
    let full = names.full_text(text);
    let unknown = || {
        let message = format!("'{}' is nothing that your account owns", text.escape_debug());
        Error::new(PoolKind::NotFound, message)
    };
    let shared = service.shared(home, &full).map_err(|error| match error.kind() {
        PoolKind::NotFound => unknown(),
        _ => error,
    })?;
    let owner = service.owner_of(&shared)?;
    if !subject.owns(owner) {
        access::record_refusal(service, subject, action, &shared, "it is of another account");
        return Err(unknown());
    }
    let decision = service.may(subject, action, &shared)?;
    if !decision.allowed {
        access::record_refusal(service, subject, action, &shared, &decision.reason.to_string());
        return Err(Error::new(
            PoolKind::Forbidden,
            "only administrators of the account say who may do what with what it owns",
        ));
    }
    Ok(shared)
}

fn told(service: &Service, resource: &str, grant: Grant) -> Result<Share, Error> {
    Ok(Share {
        resource: resource.to_owned(),
        with: service.grantee_name(grant.grantee)?,
        right: grant.right.to_string(),
        by: grant.by,
        created_ms: grant.created_ms,
        expires_ms: grant.expires_ms,
    })
}

fn all_of(service: &Service, shared: &Shared, grants: Vec<Grant>) -> Result<Shares, Error> {
    let name = service.shared_name(shared)?;
    let shares = grants.into_iter().map(|grant| told(service, &name, grant));
    Ok(Shares { shares: shares.collect::<Result<_, _>>()?, more: false })
}

/// Lists what is shared, and with whom. What lists of S3 and Swift say is not in it: their doors
/// show these.
#[utoipa::path(get, path = "/v1/shares", tag = "sharing", params(ShareQuery),
    responses((status = 200, description = "By resource", body = Shares), Failures))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ShareQuery>,
) -> Result<JsonBody<Shares>, Failure> {
    let home = home(&caller, query.account.as_deref())?;
    let names = caller.names(&app).await?;
    let listed = app.calls.call(&app.service, move |service| {
        if let Some(text) = &query.resource {
            let shared = resource(service, &caller, &names, &home, Action::ReadAcl, text)?;
            return all_of(service, &shared, service.grants(&shared)?);
        }
        let mut found = match caller.is_operator() {
            true => service.all_grants(None, SHARES_MAX + 1)?,
            false => match caller.member_of(service, &home)? {
                Some(owner) => service.grants_of(owner, SHARES_MAX + 1)?,
                None => Vec::new(),
            },
        };
        let more = found.len() > SHARES_MAX;
        found.truncate(SHARES_MAX);
        let shares = found.into_iter().map(|(_, name, grant)| told(service, &name, grant));
        Ok(Shares { shares: shares.collect::<Result<_, _>>()?, more })
    });
    Ok(JsonBody(listed.await?))
}

/// Shares a resource with somebody, from the next request on.
#[utoipa::path(post, path = "/v1/shares", tag = "sharing", request_body = CreateShare,
    responses((status = 200, description = "Everything that is shared of it now", body = Shares),
        Failures))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<CreateShare>,
) -> Result<JsonBody<Shares>, Failure> {
    let home = home(&caller, request.account.as_deref())?;
    let names = caller.names(&app).await?;
    check_batch("grantees", request.with.len())?;
    let mut wanted = Vec::with_capacity(request.with.len());
    for with in &request.with {
        let rights = with.rights.iter().map(|right| parse::<Right>(right));
        let rights = rights.collect::<Result<Vec<_>, _>>()?;
        if rights.is_empty() {
            return Err(Failure::invalid("give at least one right: read, write or clone"));
        }
        wanted.push((with.who.clone(), rights));
    }
    let lifetime = super::links::lifetime(request.lifetime_ms)?;
    let done = app.calls.call(&app.service, move |service| {
        let text = &request.resource;
        let shared = resource(service, &caller, &names, &home, Action::WriteAcl, text)?;
        let is_container = matches!(shared, Shared::Container(_));
        let expires_ms = lifetime.map(|ms| service.now_ms().saturating_add(ms));
        let mut new = Vec::new();
        for (who, mut rights) in wanted {
            let grantee = service.grantee(&home, &who)?;
            if is_container && rights.contains(&Right::Read) {
                rights.push(Right::List);
            }
            let grants = rights.into_iter().map(|right| Grant::new(grantee, right));
            new.extend(grants.map(|grant| Grant { expires_ms, ..grant }));
        }
        let mut add = |grants: &mut Vec<Grant>| {
            grants.extend(new.iter().cloned());
            Ok(())
        };
        let grants = service.grants_change_of_existing(caller.actor(), &shared, &mut add)?;
        all_of(service, &shared, grants)
    });
    Ok(JsonBody(done.await?))
}

/// Ends what is shared of a resource, from the next request on.
#[utoipa::path(delete, path = "/v1/shares", tag = "sharing", params(EndShareQuery),
    responses((status = 204, description = "It is not shared so any more"), Failures))]
pub(crate) async fn end(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<EndShareQuery>,
) -> Result<StatusCode, Failure> {
    let home = home(&caller, query.account.as_deref())?;
    let names = caller.names(&app).await?;
    let right = query.right.as_deref().map(parse::<Right>).transpose()?;
    let ended = app.calls.call(&app.service, move |service| {
        let text = &query.resource;
        let shared = resource(service, &caller, &names, &home, Action::WriteAcl, text)?;
        let grantee = query.with.as_deref().map(|with| service.grantee(&home, with)).transpose()?;
        let mut end = |grants: &mut Vec<Grant>| {
            let before = grants.len();
            grants.retain(|grant| {
                grantee.is_some_and(|grantee| grantee != grant.grantee)
                    || right.is_some_and(|right| right != grant.right)
            });
            match grants.len() < before {
                true => Ok(()),
                false => Err(Error::new(
                    PoolKind::NotFound,
                    "nothing is shared so; `archipelago share ls` lists what is",
                )),
            }
        };
        service.grants_change(caller.actor(), &shared, &mut end)
    });
    ended.await?;
    Ok(StatusCode::NO_CONTENT)
}
