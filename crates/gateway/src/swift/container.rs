//! Containers: what is in them, and what is kept of them.

use archipelago_model::ContainerName;
use archipelago_pool::{
    ARCHIVE_HISTORY, ARCHIVE_STACK, Container, Object, Service, Step, Versioning,
};
use axum::http::header::LAST_MODIFIED;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::access::{Need, READ, Rights, WRITE};
use super::account::{META, TEMP_KEY, apply};
use super::answer::{self, Refusal, http_date, iso_date, set, timestamp};
use super::ask::{Ask, container_name, decode, encode, is_true};
use super::link::Link;
use super::listing::{self, Format, Row};
use super::{acl, info, meta, quota, versions};

const HEADER: &str = "x-container-meta-";
const REMOVE: &str = "x-remove-container-meta-";
const VERSIONS: &str = "x-versions-enabled";

pub(super) fn show(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let rights = Rights::new(service, ask)?;
    let container = rights.container(service, &ask.container()?, Need::List)?;
    let headers = headers(&rights, &container);
    let format = Format::of(ask)?;
    if ask.method.as_str() == "HEAD" {
        let mut headers = headers;
        set(&mut headers, "content-type", format.content_type());
        return Ok(answer::empty(StatusCode::NO_CONTENT, headers));
    }
    let walk = listing::walk(ask)?;
    let rows = match ask.has_param("versions") {
        true => {
            rights.check_versions(false)?;
            versions::rows(service, ask, &rights, &container, &walk)?
        }
        false => {
            let steps = service.object_walk(container.id, &walk)?;
            steps.steps.into_iter().map(|step| row(&rights, step)).collect()
        }
    };
    Ok(listing::render(format, "container", container.name.as_str(), &rows, headers))
}

fn row(rights: &Rights, step: Step<Object>) -> Row {
    match step {
        Step::Prefix(prefix) => Row::Prefix(prefix),
        Step::Item(object) => object_row(rights, &object),
    }
}

pub(super) fn object_row(rights: &Rights, object: &Object) -> Row {
    let link = Link::of(object);
    let slo = link
        .as_ref()
        .map_or(object.meta.settings.get(meta::SLO_ETAG), |link| link.slo_etag.as_ref());
    Row::Object {
        name: object.name.to_string(),
        // Others would be compared with the MD5 of what is got: see `meta::is_md5`.
        hash: Some(object.entity_tag()).filter(|etag| meta::is_md5(etag)).unwrap_or_default(),
        bytes: meta::shown_size(object),
        content_type: meta::content_type(&object.meta).to_owned(),
        last_modified: iso_date(meta::changed_ms(object)),
        slo_etag: slo.cloned(),
        link: link.map(|link| {
            let path = link.location(rights.mount, &rights.path_name());
            Box::new((link, path))
        }),
        version: None,
    }
}

fn headers(rights: &Rights, container: &Container) -> HeaderMap {
    let mut out = HeaderMap::new();
    set(&mut out, "x-container-object-count", &container.objects.to_string());
    // Where versions are kept, they count.
    let old = if container.versioning == Versioning::Off { 0 } else { container.old_bytes };
    set(&mut out, "x-container-bytes-used", &container.bytes.saturating_add(old).to_string());
    let changed = container.settings.get(meta::CHANGED).and_then(|text| text.parse().ok());
    set(&mut out, "x-timestamp", &timestamp(container.created_ms));
    set(&mut out, "x-storage-policy", info::POLICY);
    set(&mut out, LAST_MODIFIED, &http_date(changed.unwrap_or(container.created_ms)));
    match container.versioning {
        Versioning::Off => {}
        Versioning::Enabled => set(&mut out, VERSIONS, "True"),
        Versioning::Suspended => set(&mut out, VERSIONS, "False"),
    }
    for (name, quota) in
        [(quota::BYTES, container.quota_bytes), (quota::COUNT, container.quota_objects)]
    {
        if let Some(quota) = quota {
            set(&mut out, format!("{HEADER}{name}"), &quota.to_string());
        }
    }
    let (governs, reads) = (rights.governs(), rights.check_read().is_ok());
    for (name, value) in &container.settings {
        match name.as_str() {
            ARCHIVE_STACK if reads => set(&mut out, "x-versions-location", &encode(value)),
            ARCHIVE_HISTORY if reads => set(&mut out, "x-history-location", &encode(value)),
            READ if governs => set(&mut out, "x-container-read", value),
            WRITE if governs => set(&mut out, "x-container-write", value),
            other => {
                if let Some(name) = other.strip_prefix(META)
                    && (governs || !name.starts_with(TEMP_KEY))
                {
                    set(&mut out, format!("{HEADER}{name}"), value);
                }
            }
        }
    }
    out
}

/// Headers with which a container keeps what is replaced in another one, and the settings.
const ARCHIVES: [(&str, &str); 2] =
    [("x-versions-location", ARCHIVE_STACK), ("x-history-location", ARCHIVE_HISTORY)];

/// Where a request wants what is replaced to go.
fn archive(ask: &Ask) -> Result<Option<Option<(&'static str, ContainerName)>>, Refusal> {
    let said = |name: &str| ask.header(name).map(str::trim);
    let wanted: Vec<_> = ARCHIVES
        .iter()
        .filter_map(|(header, of)| Some((*of, said(header).filter(|text| !text.is_empty())?)))
        .collect();
    match wanted.as_slice() {
        [] => {
            let ends = ARCHIVES.iter().any(|(header, _)| {
                let remove = header.replacen("x-", "x-remove-", 1);
                said(header).is_some() || said(&remove).is_some_and(|text| !text.is_empty())
            });
            Ok(ends.then_some(None))
        }
        [(of, text)] => {
            let name = decode(text, false).unwrap_or_default();
            if name.is_empty() || name.contains('/') {
                return Err(Refusal::precondition("Container name cannot contain slashes"));
            }
            Ok(Some(Some((*of, container_name(&name)?))))
        }
        _ => {
            let text = "Only one of X-Versions-Location or X-History-Location may be specified";
            Err(Refusal::invalid(text).plain())
        }
    }
}

/// What a request changes of a container.
struct Changes {
    meta: std::collections::BTreeMap<String, String>,
    removed: std::collections::BTreeMap<String, String>,
    /// Settings with lists of who may; an empty one is removed.
    lists: Vec<(&'static str, String)>,
    versions: Option<bool>,
    /// Of bytes, and of objects.
    quotas: (Option<quota::Quota>, Option<quota::Quota>),
    /// Where what is replaced goes, by the setting of how; nothing in the place of nowhere.
    archive: Option<Option<(&'static str, ContainerName)>>,
    now_ms: u64,
}

impl Changes {
    fn of(ask: &Ask, rights: &Rights) -> Result<Self, Refusal> {
        let mut meta = meta::given(&ask.headers, HEADER)?;
        let mut removed = meta::given(&ask.headers, REMOVE)?;
        let mut quota = |name| quota::said(&mut meta, &mut removed, name);
        let quotas = (quota(quota::BYTES)?, quota(quota::COUNT)?);
        let mut lists = Vec::new();
        for (header, remove, setting) in [
            ("x-container-read", "x-remove-container-read", READ),
            ("x-container-write", "x-remove-container-write", WRITE),
        ] {
            if ask.headers.contains_key(remove) {
                lists.push((setting, String::new()));
            } else if ask.headers.contains_key(header) {
                let text = ask.header(header).ok_or_else(|| Refusal::invalid("an ACL is UTF-8"))?;
                lists.push((setting, acl::clean(text, setting == WRITE)?));
            }
        }
        let keys = meta.keys().chain(removed.keys()).any(|name| name.starts_with(TEMP_KEY));
        if keys || !lists.is_empty() {
            rights.check_govern()?;
        }
        let archive = archive(ask)?;
        let versions = ask.header(VERSIONS).map(is_true);
        Ok(Self { meta, removed, lists, versions, quotas, archive, now_ms: ask.now_ms })
    }

    fn apply(&self, container: &mut Container) -> Result<(), Refusal> {
        container.settings.insert(meta::CHANGED.to_owned(), self.now_ms.to_string());
        apply(&mut container.settings, &self.meta, &self.removed)?;
        container.quota_bytes = self.quotas.0.unwrap_or(container.quota_bytes);
        container.quota_objects = self.quotas.1.unwrap_or(container.quota_objects);
        for (setting, list) in &self.lists {
            match list.is_empty() {
                true => container.settings.remove(*setting),
                false => container.settings.insert((*setting).to_owned(), list.clone()),
            };
        }
        if let Some(archive) = &self.archive {
            container.settings.retain(|name, _| !ARCHIVES.iter().any(|(_, of)| of == name));
            if let Some((setting, name)) = archive {
                container.settings.insert((*setting).to_owned(), name.to_string());
            }
        }
        if self.versions == Some(false) && container.settings.contains_key(meta::LOCKS) {
            return Err(Refusal::conflict("The container locks versions, and so keeps them."));
        }
        match (self.versions, container.versioning) {
            (Some(true), _) => container.versioning = Versioning::Enabled,
            (Some(false), Versioning::Enabled) => container.versioning = Versioning::Suspended,
            _ => {}
        }
        let archives = ARCHIVES.iter().any(|(_, of)| container.settings.contains_key(*of));
        if archives && container.versioning != Versioning::Off {
            return Err(Refusal::invalid(
                "A container keeps versions itself or has a Versions-Location, not both",
            ));
        }
        Ok(())
    }

    fn run(&self, service: &Service, container: u64) -> Result<(), Refusal> {
        let veto = meta::Veto::default();
        let result = service.container_change(container, &mut |container| {
            self.apply(container).map_err(|refusal| veto.say(refusal))
        });
        veto.settle(result)??;
        Ok(())
    }
}

pub(super) fn put(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let rights = Rights::new(service, ask)?;
    rights.check_write()?;
    let name = ask.container()?;
    if let Some(policy) = ask.header("x-storage-policy").filter(|policy| !policy.is_empty())
        && !policy.eq_ignore_ascii_case(info::POLICY)
    {
        return Err(Refusal::invalid(format_args!(
            "Invalid X-Storage-Policy; the one there is, is {}",
            info::POLICY
        )));
    }
    let changes = Changes::of(ask, &rights)?;
    // Before anything is made in vain.
    let mut settings = std::collections::BTreeMap::new();
    apply(&mut settings, &changes.meta, &changes.removed)?;
    let (account, veto) = (rights.account.id, meta::Veto::default());
    let created = service.container_create_with(account, &name, &mut |container| {
        changes.apply(container).map_err(|refusal| veto.say(refusal))
    });
    let status = match created {
        Err(error) if error.kind() == archipelago_pool::ErrorKind::AlreadyExists => {
            changes.run(service, service.container(account, &name)?.id)?;
            StatusCode::ACCEPTED
        }
        created => {
            veto.settle(created)??;
            StatusCode::CREATED
        }
    };
    Ok(answer::empty(status, HeaderMap::new()))
}

pub(super) fn change(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let rights = Rights::new(service, ask)?;
    let container = rights.container(service, &ask.container()?, Need::Change)?;
    Changes::of(ask, &rights)?.run(service, container.id)?;
    Ok(answer::empty(StatusCode::NO_CONTENT, HeaderMap::new()))
}

pub(super) fn remove(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let rights = Rights::new(service, ask)?;
    let container = rights.container(service, &ask.container()?, Need::Change)?;
    match service.container_remove(container.id) {
        Ok(()) => Ok(answer::empty(StatusCode::NO_CONTENT, HeaderMap::new())),
        Err(error) if error.kind() == archipelago_pool::ErrorKind::InUse => Err(Refusal::conflict(
            "There was a conflict when trying to complete your request: the container is not \
             empty.",
        )),
        Err(error) => Err(error.into()),
    }
}
