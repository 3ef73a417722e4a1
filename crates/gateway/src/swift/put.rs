//! `PUT` of an object.

use std::io::Read;
use std::sync::Arc;

use archipelago_model::{ObjectName, VOLUME_BYTES_MAX};
use archipelago_pool::{Container, Error, Meta, Object, Put, Sealing, Service};
use axum::http::header::{CONTENT_LENGTH, ETAG, IF_NONE_MATCH, LAST_MODIFIED, TRANSFER_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::access::Rights;
use super::answer::{self, Refusal, http_date, set};
use super::ask::Ask;
use super::conditions::bare;
use super::meta::{self, Veto};
use super::{call, copy, link, versions};
use crate::App;
use crate::upload::{Upload, ended, upload};

/// What is to be stored.
pub(super) struct Plan {
    pub container: u64,
    pub name: ObjectName,
    pub size: Option<u64>,
    /// MD5 that the content must have.
    pub etag: Option<String>,
    /// Nothing may be there yet.
    pub only_new: bool,
    pub meta: Meta,
    pub sealing: Sealing,
    pub now_ms: u64,
}

pub(super) async fn put(app: &App, ask: Arc<Ask>, body: Upload) -> Result<Response, Refusal> {
    if copy::is_meant(&ask) {
        return copy::copy(app, ask).await;
    }
    let asked = Arc::clone(&ask);
    let plan = call(app, move |service| plan(service, &asked)).await?;
    let home = plan.container;
    let again = move |service: &Service| match right(service, &ask) {
        Ok(container) if container.id == home => Ok(()),
        Ok(_) | Err(_) => Err(ended()),
    };
    let body = body.asking(Box::new(again));
    let object = upload(app, body, move |service, input| plan.store(service, input)).await??;
    Ok(created(&object, HeaderMap::new()))
}

/// The container, for whoever may put this there.
fn right(service: &Service, ask: &Ask) -> Result<Container, Refusal> {
    let rights = Rights::new(service, ask)?;
    rights.home_to_write(service, (&ask.container()?, &ask.object()?), ask)
}

fn plan(service: &Service, ask: &Ask) -> Result<Plan, Refusal> {
    let rights = Rights::new(service, ask)?;
    let home = rights.home_to_write(service, (&ask.container()?, &ask.object()?), ask)?;
    rights.check_headers(ask)?;
    let name = ask.object()?;
    let mut size = size(ask)?;
    let mut meta = meta::of_object(ask, name.as_str(), None)?;
    if link::make(service, ask, &rights, &mut meta)? {
        size = Some(0);
    }
    let (etag, only_new) = (etag(ask), only_new(ask)?);
    let (container, sealing) = (home.id, Sealing::Default);
    Ok(Plan { container, name, size, etag, only_new, meta, sealing, now_ms: ask.now_ms })
}

/// The MD5 that a client says its content has.
pub(super) fn etag(ask: &Ask) -> Option<String> {
    ask.header(ETAG.as_str())
        .map(|etag| bare(etag).to_ascii_lowercase())
        .filter(|etag| !etag.is_empty())
}

/// Whether nothing may be there yet.
pub(super) fn only_new(ask: &Ask) -> Result<bool, Refusal> {
    match ask.header(IF_NONE_MATCH.as_str()).map(str::trim) {
        None => Ok(false),
        Some("*") => Ok(true),
        Some(_) => Err(Refusal::invalid("If-None-Match only supports *")),
    }
}

fn size(ask: &Ask) -> Result<Option<u64>, Refusal> {
    let chunked = ask.headers.contains_key(TRANSFER_ENCODING);
    match ask.header(CONTENT_LENGTH.as_str()) {
        Some(text) => match text.trim().parse::<u64>() {
            Ok(size) if size > VOLUME_BYTES_MAX => Err(Refusal::too_large(format_args!(
                "An object has {VOLUME_BYTES_MAX} bytes at most."
            ))),
            Ok(size) => Ok(Some(size)),
            Err(_) => Err(Refusal::invalid("Invalid Content-Length")),
        },
        None if chunked => Ok(None),
        None => Err(Refusal::length_required()),
    }
}

impl Plan {
    /// Stores what `input` gives.
    pub(super) fn store(
        self,
        service: &Service,
        input: &mut dyn Read,
    ) -> Result<Result<Object, Refusal>, Error> {
        let veto = Veto::default();
        let mut meta = Some(self.meta);
        let (container, name) = (self.container, &self.name);
        let to = Put { container, name, size: self.size, sealing: &self.sealing, owner: None };
        let result = service.object_put_as(
            &to,
            input,
            &mut |stored| match &self.etag {
                Some(etag) if *etag != stored.etag => Err(veto.say(Refusal::unprocessable())),
                _ => Ok(meta.take().unwrap_or_default()),
            },
            &|old| check_new(old, self.only_new, self.now_ms, &veto),
        );
        veto.settle(result)
    }
}

/// Refuses when something is there that may not be.
pub(super) fn check_new(
    old: Option<&Object>,
    only_new: bool,
    now_ms: u64,
    veto: &Veto,
) -> Result<(), Error> {
    match old {
        Some(old) if only_new && !meta::is_expired(old, now_ms) => {
            Err(veto.say(Refusal::precondition("The object exists.")))
        }
        _ => Ok(()),
    }
}

/// The answer to what made an object.
pub(super) fn created(object: &Object, mut headers: HeaderMap) -> Response {
    if let Some(etag) = object.etag.as_deref().filter(|etag| meta::is_md5(etag)) {
        set(&mut headers, ETAG, etag);
    }
    set(&mut headers, LAST_MODIFIED, &http_date(object.created_ms));
    if object.versioned {
        set(&mut headers, versions::HEADER, &versions::text(object));
    }
    answer::empty(StatusCode::CREATED, headers)
}
