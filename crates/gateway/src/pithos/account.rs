//! Accounts: what is in them, and what is kept of them.

use archipelago_model::{GroupName, UserName};
use archipelago_pool::{Container, Named, Service, Step, Walk};
use axum::http::header::LAST_MODIFIED;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, json};

use super::ask::Ask;
use super::caller::{Caller, denied};
use super::listing::{self, Format, Row};
use super::{container, meta};
use crate::swift::answer::{self, Refusal, http_date, iso_date, set};
use crate::swift::meta::Veto;

/// Metadata of this door among the settings of an account, which Swift shows, too.
pub(super) const META: &str = "swift.meta.";
const HEADER: &str = "x-account-meta-";
const GROUP: &str = "x-account-group-";

pub(super) fn show(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    if !caller.owns() {
        return show_shared(service, ask, &caller);
    }
    let until = ask.until()?;
    let mut headers = HeaderMap::new();
    let totals = service.account_totals(caller.account.id)?;
    set(&mut headers, "x-account-container-count", &totals.containers.to_string());
    set(&mut headers, "x-account-bytes-used", &totals.bytes.to_string());
    set(&mut headers, LAST_MODIFIED, &http_date(until.unwrap_or(caller.account.created_ms)));
    if let Some(until) = until {
        set(&mut headers, "x-account-until-timestamp", &http_date(until));
    }
    let quota = caller.account.quota_bytes.unwrap_or(0);
    set(&mut headers, "x-account-policy-quota", &quota.to_string());
    for (name, value) in &service.account_settings(caller.account.id)? {
        if let Some(name) = name.strip_prefix(META)
            && !name.starts_with("temp-url-key")
        {
            set(&mut headers, format!("{HEADER}{}", meta::quoted(name)), &meta::quoted(value));
        }
    }
    for group in service.groups(&Named::uuid(caller.account.uuid))? {
        let members: Vec<String> = group.members.iter().map(ToString::to_string).collect();
        set(&mut headers, format!("{GROUP}{}", group.name), &members.join(","));
    }
    let format = Format::of(ask)?;
    if ask.method.as_str() == "HEAD" {
        set(&mut headers, "content-type", format.content_type());
        return Ok(answer::empty(StatusCode::NO_CONTENT, headers));
    }
    let walk = listing::walk(ask)?;
    let (shared, public) = (ask.has_param("shared"), ask.has_param("public"));
    if shared || public {
        let found = service.containers_shared(caller.account.id, (shared, public))?;
        let rows: Vec<Row> = page(&walk, found).iter().map(row).collect();
        return Ok(listing::render(format, "account", &rows, headers));
    }
    let steps = service.container_walk(caller.account.id, &walk)?;
    let rows: Vec<Row> = steps
        .steps
        .into_iter()
        .filter_map(|step| match step {
            Step::Item(found) if until.is_none_or(|until| found.created_ms <= until) => {
                Some(row(&found))
            }
            _ => None,
        })
        .collect();
    Ok(listing::render(format, "account", &rows, headers))
}

/// An account of somebody else: its containers in which something is shared with whoever asks.
fn show_shared(service: &Service, ask: &Ask, caller: &Caller) -> Result<Response, Refusal> {
    if ask.until()?.is_some() || ask.has_param("public") {
        return Err(denied());
    }
    let found = service.containers_sharing(&caller.subject, caller.account.id)?;
    if found.is_empty() {
        return Err(denied());
    }
    let format = Format::of(ask)?;
    let mut headers = HeaderMap::new();
    if ask.method.as_str() == "HEAD" {
        set(&mut headers, "content-type", format.content_type());
        return Ok(answer::empty(StatusCode::NO_CONTENT, headers));
    }
    // Of a container of which but a part is shared no more is told than its name.
    let row = |found: &Container| {
        let name = found.name.to_string();
        let fields = [("name".to_owned(), json!(name))].into_iter().collect();
        Row { element: "container", name, fields }
    };
    let rows: Vec<Row> = page(&listing::walk(ask)?, found).iter().map(row).collect();
    Ok(listing::render(format, "account", &rows, headers))
}

/// A page of some containers, which are in the order of their names.
fn page(walk: &Walk, mut found: Vec<Container>) -> Vec<Container> {
    let marker = walk.marker.as_deref().unwrap_or_default();
    found.retain(|one| one.name.as_str() > marker && one.name.as_str().starts_with(&walk.prefix));
    found.truncate(walk.limit);
    found
}

fn row(found: &Container) -> Row {
    let mut fields = Map::new();
    fields.insert("name".to_owned(), json!(found.name.as_str()));
    fields.insert("count".to_owned(), json!(found.objects));
    fields.insert("bytes".to_owned(), json!(found.bytes));
    fields.insert("last_modified".to_owned(), json!(iso_date(found.created_ms)));
    let policy = json!({
        "versioning": container::versioning(found),
        "quota": found.quota_bytes.unwrap_or(0).to_string(),
    });
    fields.insert("x_container_policy".to_owned(), policy);
    Row { element: "container", name: found.name.to_string(), fields }
}

/// Keeps metadata and groups.
pub(super) fn change(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    caller.check_writes()?;
    let groups = meta::given_long(&ask.headers, GROUP)?;
    if !groups.is_empty() {
        caller.check_governs()?;
    }
    let given = meta::given(&ask.headers, HEADER)?;
    if given.keys().any(|name| name.starts_with("temp-url-key")) {
        return Err(Refusal::invalid("keys of signed URLs are set at the door of Swift"));
    }
    let mut wanted = Vec::with_capacity(groups.len());
    for (name, members) in groups {
        let name: GroupName = name.parse().map_err(Refusal::invalid)?;
        let members = members.split(',').map(str::trim).filter(|member| !member.is_empty());
        let members = members.map(|member| user(service, member)).collect::<Result<Vec<_>, _>>()?;
        wanted.push((name, members));
    }
    let among = ask.has_param("update");
    let veto = Veto::default();
    let result = service.account_change_with(caller.account.id, &wanted, &mut |settings| {
        container::change_meta(settings, &given, among).map_err(|refusal| veto.say(refusal))
    });
    veto.settle(result)??;
    Ok(answer::empty(StatusCode::ACCEPTED, HeaderMap::new()))
}

/// A user, by its name or its uuid.
fn user(service: &Service, text: &str) -> Result<UserName, Refusal> {
    let found = service.user(&Named::name(text));
    let found = found.or_else(|_| service.user(&Named::Uuid(text.replace('-', ""))));
    Ok(found.map_err(|_| Refusal::invalid("a member of a group is no user here"))?.name)
}
