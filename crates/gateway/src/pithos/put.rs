//! `PUT` of an object with its content.

use std::io::Read;
use std::sync::Arc;

use archipelago_model::{ObjectName, VOLUME_BYTES_MAX};
use archipelago_pool::{Action, BlockHash, Error, Object, Service, Which};
use axum::http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED, TRANSFER_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::ask::Ask;
use super::caller::{Caller, writes_still};
use super::meta;
use super::sharing::{Said, SaidOf};
use crate::App;
use crate::swift::answer::{self, Refusal, http_date, set};
use crate::swift::call;
use crate::swift::conditions::{self, bare};
use crate::swift::meta::{Veto, is_expired};
use crate::upload::{Upload, upload};

pub(super) async fn put(app: &App, ask: Arc<Ask>, body: Upload) -> Result<Response, Refusal> {
    let asked = Arc::clone(&ask);
    let (caller, container, said) = call(app, move |service| {
        let caller = Caller::new(service, &asked)?;
        let name = asked.object()?;
        let home = caller.home(service, &asked.container()?, &name, Action::Write)?;
        let said = Said::of(service, &caller, &asked)?;
        let said = said.of_name(service, &caller, (home.id, &name))?;
        Ok((caller, home.id, said))
    })
    .await?;
    let size = size(&ask)?;
    let name = ask.object()?;
    let body = body.asking(writes_still(&ask, container));
    let stored = upload(app, body, move |service, input| {
        let to = Target { caller: &caller, container, name: &name, said: &said };
        store(service, &ask, &to, size, input)
    });
    let (object, hash) = stored.await??;
    Ok(created(&object, hash))
}

/// Where something is put, and what is said of it.
struct Target<'a> {
    caller: &'a Caller,
    container: u64,
    name: &'a ObjectName,
    said: &'a SaidOf,
}

fn store(
    service: &Service,
    ask: &Ask,
    to: &Target<'_>,
    size: Option<u64>,
    input: &mut dyn Read,
) -> Result<Result<(Object, Option<BlockHash>), Refusal>, Error> {
    let Target { caller, container, name, said } = *to;
    let veto = Veto::default();
    let md5 = ask.header(ETAG.as_str()).map(|etag| bare(&etag).to_ascii_lowercase());
    let old = old(service, container, name)?;
    let result = service.object_put_hashed(
        container,
        name,
        size,
        input,
        &mut |stored| match &md5 {
            Some(md5) if !md5.is_empty() && *md5 != stored.etag => {
                Err(veto.say(Refusal::unprocessable()))
            }
            _ => meta::of_new(ask, caller, name.as_str(), old.as_ref())
                .and_then(|meta| said.shared(meta))
                .map_err(|refusal| veto.say(refusal)),
        },
        &|old| check(service, ask, old, &veto),
    );
    veto.settle(result)
}

/// What is there now, whose identity stays.
pub(super) fn old(
    service: &Service,
    container: u64,
    name: &ObjectName,
) -> Result<Option<Object>, Error> {
    let found = service.object_or_marker(container, name, Which::Latest)?;
    Ok(found.filter(|object| !object.marker))
}

/// Asks the conditions of a request of what it would replace.
pub(super) fn check(
    service: &Service,
    ask: &Ask,
    old: Option<&Object>,
    veto: &Veto,
) -> Result<(), Error> {
    let old = old.filter(|old| !is_expired(old, ask.now_ms));
    conditions_of_write(service, ask, old).map_err(|refusal| veto.say(refusal))
}

/// `If-Match` and `If-None-Match` of a write: the latter is a failure here, and not a 304.
pub(super) fn conditions_of_write(
    service: &Service,
    ask: &Ask,
    old: Option<&Object>,
) -> Result<(), Refusal> {
    let (wanted, unwanted) = (ask.header("if-match"), ask.header("if-none-match"));
    if wanted.is_none() && unwanted.is_none() {
        return Ok(());
    }
    let etag = match old {
        // Of a version that nobody hashed yet, and of one that has just come, nobody knows
        // whether it is the one that is meant: then it must not be replaced.
        Some(old) => service.object_hashes(&[old.id])?.remove(&old.id),
        None => None,
    };
    let etag = etag.map(|hash| hash.to_string());
    let names = |list: &str| {
        list.split(',').map(str::trim).any(|item| match item {
            "*" => old.is_some(),
            item => etag.as_deref() == Some(bare(item)),
        })
    };
    let may = |list: &str| names(list) || (old.is_some() && etag.is_none() && !list.is_empty());
    let failed =
        wanted.is_some_and(|list| !names(&list)) || unwanted.is_some_and(|list| may(&list));
    match failed {
        true => Err(Refusal::precondition("A precondition failed.")),
        false => Ok(()),
    }
}

/// The conditions of what is read for a copy, which may be about its time, too.
pub(super) fn conditions_of_source(
    ask: &Ask,
    hash: Option<BlockHash>,
    source: &Object,
) -> Result<(), Refusal> {
    let etag = hash.map(|hash| hash.to_string());
    let checked =
        conditions::check(&ask.headers, etag.as_deref(), source.created_ms, &HeaderMap::new());
    checked.map_err(|_| Refusal::precondition("A precondition failed."))
}

pub(super) fn size(ask: &Ask) -> Result<Option<u64>, Refusal> {
    match ask.header(CONTENT_LENGTH.as_str()) {
        Some(text) => match text.trim().parse::<u64>() {
            Ok(size) if size > VOLUME_BYTES_MAX => Err(Refusal::too_large(format_args!(
                "An object has {VOLUME_BYTES_MAX} bytes at most."
            ))),
            Ok(size) => Ok(Some(size)),
            Err(_) => Err(Refusal::invalid("Invalid Content-Length")),
        },
        None if ask.headers.contains_key(TRANSFER_ENCODING) => Ok(None),
        None => Err(Refusal::length_required()),
    }
}

/// The answer to what made a version.
pub(super) fn created(object: &Object, hash: Option<BlockHash>) -> Response {
    let mut headers = HeaderMap::new();
    told(object, hash, &mut headers);
    answer::empty(StatusCode::CREATED, headers)
}

/// What identifies a version that was just made.
pub(super) fn told(object: &Object, hash: Option<BlockHash>, headers: &mut HeaderMap) {
    if let Some(hash) = hash.map(|hash| hash.to_string()) {
        set(headers, ETAG, &hash);
        set(headers, "x-object-hash", &hash);
    }
    set(headers, "x-object-version", &object.id.get().to_string());
    set(headers, "x-object-uuid", &meta::uuid(object));
    set(headers, LAST_MODIFIED, &http_date(object.created_ms));
}
