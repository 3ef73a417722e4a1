//! `POST` of an object: other metadata, or other bytes in some place.

use std::sync::Arc;

use archipelago_model::ObjectName;
use archipelago_pool::{
    Action, CopySource, Error, Object, Place, Service, Update, UpdateContent, Updated, Which,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use parking_lot::Mutex;

use super::ask::{Ask, place};
use super::caller::{Caller, writes_still};
use super::sharing::{self, Said, SaidOf};
use super::{meta, put, versions};
use crate::App;
use crate::swift::answer::{self, Refusal};
use crate::swift::call;
use crate::swift::meta::{Veto, is_expired};
use crate::upload::{Upload, upload};

/// Whether a `POST` changes bytes.
pub(super) fn is_update(ask: &Ask) -> bool {
    ask.headers.contains_key("content-range")
}

/// Other metadata: a new version that shows the same.
pub(super) fn change(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    let name = ask.object()?;
    let home = caller.home(service, &ask.container()?, &name, Action::Write)?;
    let said = Said::of(service, &caller, ask)?;
    let veto = Veto::default();
    let from = CopySource { container: home.id, name: name.clone(), which: Which::Latest };
    let among = ask.has_param("update");
    let is_all = !said.is_empty() && among && !meta::says_more(ask);
    let said = said.of_name(service, &caller, (home.id, &name))?;
    if is_all {
        return share(service, ask, (home.id, &name), &said);
    }
    let result = service.object_copy(
        &from,
        home.id,
        &name,
        &mut |object| {
            if is_expired(object, ask.now_ms) {
                return Err(veto.say(Refusal::not_found()));
            }
            meta::changed(ask, &caller, object, among)
                .and_then(|meta| said.shared(meta))
                .map_err(|refusal| veto.say(refusal))
        },
        &|old| put::check(service, ask, old, &veto),
    );
    let object = veto.settle(result)??;
    let mut headers = HeaderMap::new();
    // Who may but write learns nothing of the content.
    let hash = match caller.may(service, Action::Read, &home, &object)? {
        true => service.object_hashes(&[object.id])?.remove(&object.id),
        false => None,
    };
    put::told(&object, hash, &mut headers);
    headers.remove("etag");
    Ok(answer::empty(StatusCode::ACCEPTED, headers))
}

/// Says who else may, and nothing of the object: no version is made.
fn share(
    service: &Service,
    ask: &Ask,
    (home, name): (u64, &ObjectName),
    said: &SaidOf,
) -> Result<Response, Refusal> {
    let old = put::old(service, home, name)?.filter(|object| !is_expired(object, ask.now_ms));
    let old = old.ok_or_else(Refusal::not_found)?;
    put::conditions_of_write(service, ask, Some(&old))?;
    let veto = Veto::default();
    let check = |object: &Object| match object.id == old.id {
        true => said.check(&object.meta).map_err(|refusal| veto.say(refusal)),
        false => Err(veto.say(Refusal::conflict("The object has changed meanwhile."))),
    };
    let result = service.object_share(home, name, said.parts(), &check);
    veto.settle(result)??;
    Ok(answer::empty(StatusCode::ACCEPTED, HeaderMap::new()))
}

/// Where bytes go: `bytes 3-7/*`, `bytes 3-/*`, `bytes */*` for the end.
struct Range {
    place: Place,
    len: Option<u64>,
}

fn range(text: &str) -> Result<Range, Refusal> {
    let wrong = || Refusal::invalid("Content-Range is bytes FIRST-LAST/*, or bytes */* to append");
    let rest = text.trim().strip_prefix("bytes").ok_or_else(wrong)?.trim_start_matches([' ', '=']);
    let (range, total) = rest.split_once('/').ok_or_else(wrong)?;
    if total != "*" && total.parse::<u64>().is_err() {
        return Err(wrong());
    }
    if range == "*" {
        return Ok(Range { place: Place::End, len: None });
    }
    let (first, last) = range.split_once('-').ok_or_else(wrong)?;
    let first: u64 = first.parse().map_err(|_| wrong())?;
    if last.is_empty() {
        return Ok(Range { place: Place::At(first), len: None });
    }
    let last: u64 = last.parse().map_err(|_| wrong())?;
    let len = last.checked_sub(first).and_then(|len| len.checked_add(1)).ok_or_else(wrong)?;
    Ok(Range { place: Place::At(first), len: Some(len) })
}

/// What an update is to do, once it is known to be allowed.
struct Plan {
    caller: Caller,
    container: u64,
    name: ObjectName,
    range: Range,
    size: Option<u64>,
    from: Option<CopySource>,
    /// How much the request itself brings.
    bytes: Option<u64>,
}

fn plan(service: &Service, ask: &Ask) -> Result<Plan, Refusal> {
    let caller = Caller::new(service, ask)?;
    let name = ask.object()?;
    let home = caller.home(service, &ask.container()?, &name, Action::Write)?;
    sharing::refuse(ask, "an update of bytes")?;
    let range = range(&ask.header("content-range").unwrap_or_default())?;
    let now = put::old(service, home.id, &name)?.ok_or_else(Refusal::not_found)?;
    if is_expired(&now, ask.now_ms) {
        return Err(Refusal::not_found());
    }
    if let Place::At(first) = range.place
        && first > now.size
    {
        return Err(Refusal::range(now.size));
    }
    put::conditions_of_write(service, ask, Some(&now))?;
    let size = match ask.header("x-object-bytes") {
        Some(text) => Some(text.trim().parse().map_err(|_| Refusal::invalid("X-Object-Bytes"))?),
        None => None,
    };
    let from = match ask.header("x-source-object") {
        None => None,
        Some(text) => Some(source(service, ask, &caller, &text)?),
    };
    let bytes = if from.is_some() { None } else { put::size(ask)? };
    if from.is_none() && range.len.is_some() && bytes.is_some() && range.len != bytes {
        return Err(Refusal::invalid("Content-Length is not that of Content-Range"));
    }
    Ok(Plan { caller, container: home.id, name, range, size, from, bytes })
}

/// What other bytes come from, for one who may read it.
fn source(
    service: &Service,
    ask: &Ask,
    caller: &Caller,
    text: &str,
) -> Result<CopySource, Refusal> {
    let (container, name) = place(text)?;
    let other = match ask.header("x-source-account").filter(|name| !name.is_empty()) {
        Some(account) => caller.elsewhere(service, &account)?,
        None => caller.clone(),
    };
    let home = other.find(service, &container)?;
    let version = ask.header("x-source-version").filter(|text| !text.is_empty());
    let which = versions::which(service, home.id, &name, version.as_deref());
    let object = match &which {
        Ok(which) => service.object_or_marker(home.id, &name, *which)?,
        Err(_) => None,
    };
    // What is not named by its version may be another one when it is read: then the right to
    // one version does not count.
    let pinned = object.filter(|object| matches!(which, Ok(Which::Version(id)) if id == object.id));
    let is_old = pinned.as_ref().map_or(version.is_some(), |object| !object.latest);
    let action = if is_old { Action::ReadVersion } else { Action::Read };
    other.check(service, action, &home, &name, pinned.as_ref())?;
    Ok(CopySource { container: home.id, name, which: which? })
}

pub(super) async fn update(app: &App, ask: Arc<Ask>, body: Upload) -> Result<Response, Refusal> {
    let asked = Arc::clone(&ask);
    let plan = call(app, move |service| plan(service, &asked)).await?;
    let shared = Arc::clone(&app.service);
    let body = body.asking(writes_still(&ask, plan.container));
    let done = upload(app, body, move |_, input| run(&shared, ask, plan, input));
    let updated = done.await??;
    let mut headers = HeaderMap::new();
    put::told(&updated.object, None, &mut headers);
    Ok(answer::empty(StatusCode::NO_CONTENT, headers))
}

fn run(
    service: &Arc<Service>,
    ask: Arc<Ask>,
    plan: Plan,
    input: &mut dyn std::io::Read,
) -> Result<Result<Updated, Refusal>, Error> {
    let Plan { caller, container, name, range, size, from, bytes } = plan;
    let among = ask.has_param("update");
    // Asked in the thread of whoever binds, which is not always this one.
    let said: Arc<Mutex<Option<Refusal>>> = Arc::default();
    let (veto, asked) = (Arc::clone(&said), Arc::clone(service));
    let decide = move |old: Option<&Object>| {
        let refuse = |refusal: Refusal| {
            *veto.lock() = Some(refusal);
            Error::new(archipelago_pool::ErrorKind::Invalid, "refused")
        };
        let old = old.filter(|old| !is_expired(old, ask.now_ms));
        let old = old.ok_or_else(|| refuse(Refusal::not_found()))?;
        // Of what it changes, which may be newer than what was there when it came. What others
        // change together with it was hashed by nobody, and is nothing that a client knows.
        put::conditions_of_write(&asked, &ask, Some(old)).map_err(refuse)?;
        // Metadata that nobody names stay what they were.
        let named = ask.headers.keys().any(|name| name.as_str().starts_with("x-object-meta-"));
        meta::changed(&ask, &caller, old, among || !named).map_err(refuse)
    };
    let content = match from {
        Some(from) => {
            let range = range.len.map(|len| (0, len));
            UpdateContent::Object { from, range }
        }
        None => UpdateContent::Bytes { input, size: bytes.or(range.len) },
    };
    let result = service.object_update(Update {
        container,
        name: &name,
        place: range.place,
        content,
        size,
        create: false,
        owner: None,
        decide: Box::new(decide),
    });
    let refusal = said.lock().take();
    match (result, refusal) {
        (Ok(updated), _) => Ok(Ok(updated)),
        (Err(_), Some(refusal)) => Ok(Err(refusal)),
        (Err(error), None) => Err(error),
    }
}
