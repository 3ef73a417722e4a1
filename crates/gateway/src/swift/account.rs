//! Accounts: what is in them, and what is kept of them.

use archipelago_pool::{Container, Named, Service, Step};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::access::Rights;
use super::answer::{self, Refusal, iso_date, set, timestamp};
use super::ask::Ask;
use super::listing::{self, Format, Row};
use super::{account_acl, info, meta, quota, reads};

pub(super) const META: &str = "swift.meta.";
const HEADER: &str = "x-account-meta-";
const REMOVE: &str = "x-remove-account-meta-";
/// Keys of signed URLs: shown and set by administrators of the account only.
pub(super) const TEMP_KEY: &str = "temp-url-key";

pub(super) fn show(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let rights = Rights::new(service, ask)?;
    rights.check_read()?;
    let headers = headers(service, &rights)?;
    let format = Format::of(ask)?;
    if ask.method.as_str() == "HEAD" {
        let mut headers = headers;
        set(&mut headers, "content-type", format.content_type());
        return Ok(answer::empty(StatusCode::NO_CONTENT, headers));
    }
    let walk = listing::walk(ask)?;
    let steps = service.container_walk(rights.account.id, &walk)?;
    let rows: Vec<Row> = steps.steps.into_iter().map(row).collect();
    Ok(listing::render(format, "account", &rights.path_name(), &rows, headers))
}

fn row(step: Step<Container>) -> Row {
    match step {
        Step::Prefix(prefix) => Row::Prefix(prefix),
        Step::Item(container) => Row::Container {
            name: container.name.to_string(),
            count: container.objects,
            bytes: container.bytes,
            last_modified: iso_date(container.created_ms),
        },
    }
}

fn headers(service: &Service, rights: &Rights) -> Result<HeaderMap, Refusal> {
    let mut out = HeaderMap::new();
    let totals = service.account_totals(rights.account.id)?;
    for (name, count) in [
        ("x-account-container-count", totals.containers),
        ("x-account-object-count", totals.objects),
        ("x-account-bytes-used", totals.bytes),
    ] {
        set(&mut out, name, &count.to_string());
        let policy = name.replacen("x-account", &policy_prefix(), 1);
        set(&mut out, policy, &count.to_string());
    }
    set(&mut out, "x-timestamp", &timestamp(rights.account.created_ms));
    if let Some(quota) = rights.account.quota_bytes {
        for name in ["x-account-quota-bytes", "x-account-meta-quota-bytes"] {
            set(&mut out, name, &quota.to_string());
        }
    }
    for (name, value) in &service.account_settings(rights.account.id)? {
        if let Some(name) = name.strip_prefix(META)
            && (rights.governs() || !name.starts_with(TEMP_KEY))
        {
            set(&mut out, format!("{HEADER}{name}"), value);
        } else if name == account_acl::SETTING && rights.governs() {
            set(&mut out, account_acl::HEADER, value);
        }
    }
    Ok(out)
}

fn policy_prefix() -> String {
    format!("x-account-storage-policy-{}", info::POLICY)
}

/// Keeps metadata, and lets go of what is named to be removed or empty.
pub(super) fn change(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let rights = Rights::new(service, ask)?;
    rights.check_account_write()?;
    let mut given = meta::given(&ask.headers, HEADER)?;
    let mut removed = meta::given(&ask.headers, REMOVE)?;
    let quota = quota::OfAccount::new(&ask.headers, &mut given, &mut removed)?;
    if quota.is_said() {
        rights.check_rule()?;
    }
    let quota = quota.bytes()?;
    if given.keys().chain(removed.keys()).any(|name| name.starts_with(TEMP_KEY)) {
        rights.check_govern()?;
    }
    let list = ask.headers.contains_key(account_acl::HEADER).then(|| {
        let wrong = || Refusal::invalid("an ACL is UTF-8");
        account_acl::clean(ask.header(account_acl::HEADER).ok_or_else(wrong)?)
    });
    let list = list.transpose()?;
    if list.is_some() {
        rights.check_govern()?;
    }
    let veto = meta::Veto::default();
    let result = service.account_change(rights.account.id, &mut |settings| {
        match &list {
            Some(Some(list)) => settings.insert(account_acl::SETTING.to_owned(), list.clone()),
            Some(None) => settings.remove(account_acl::SETTING),
            None => None,
        };
        apply(settings, &given, &removed).map_err(|refusal| veto.say(refusal))
    });
    veto.settle(result)??;
    if let Some(quota) = quota {
        let account = Named::Uuid(hex::encode(rights.account.uuid));
        service.account_set_quota(&account, quota)?;
    }
    Ok(answer::empty(StatusCode::NO_CONTENT, HeaderMap::new()))
}

type Settings = std::collections::BTreeMap<String, String>;

/// Changes the metadata among settings, of an account or of a container.
pub(super) fn apply(
    settings: &mut Settings,
    given: &Settings,
    removed: &Settings,
) -> Result<(), Refusal> {
    for name in removed.keys() {
        settings.remove(&format!("{META}{name}"));
    }
    for (name, value) in given {
        match value.is_empty() {
            true => settings.remove(&format!("{META}{name}")),
            false => settings.insert(format!("{META}{name}"), value.clone()),
        };
    }
    meta::check(
        settings
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(META)?, value.as_str()))),
    )
}

/// Accounts are made and removed by `archipelago account`, not here.
pub(super) fn refuse(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let rights = Rights::new(service, ask)?;
    if reads(&ask.method) || rights.check_read().is_ok() {
        return Err(Refusal::method("GET, HEAD, POST"));
    }
    Err(rights.denied())
}
