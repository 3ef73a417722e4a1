//! Containers: what is in them, and what is kept of them.

use std::collections::{BTreeMap, BTreeSet};

use archipelago_pool::{
    Action, Container, ErrorKind, HASHED_BLOCK_BYTES, Object, PAGE_BYTES_MAX, Roots, Service, Step,
    Versioning, Walk, Walked,
};
use axum::http::header::LAST_MODIFIED;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::account::META;
use super::ask::Ask;
use super::caller::{Caller, denied};
use super::filter::Filter;
use super::listing::{self, Format, Row};
use super::past::Seen;
use super::shared::Sight;
use super::{meta, past, sharing};
use crate::access;
use crate::swift::answer::{self, Refusal, http_date, iso_date, set};
use crate::swift::meta::{Veto, content_type, is_expired};

const HEADER: &str = "x-container-meta-";

/// Objects whose metadata are looked through for their names at most.
const NAMES_SEEN_MAX: usize = 1000;

/// Bytes of their names in a header, which other servers and clients limit, too.
const NAMES_BYTES_MAX: usize = 4 << 10;

/// Objects that are read together where some are passed over.
const FILTERED_ROWS: usize = 1000;

/// How the policy is called.
pub(super) const fn versioning(container: &Container) -> &'static str {
    match container.versioning {
        Versioning::Enabled => "auto",
        Versioning::Off | Versioning::Suspended => "none",
    }
}

/// How much of a container is to be seen.
#[derive(Clone, Copy)]
enum View {
    /// All of it.
    All,
    /// As it was at a time.
    Past(u64),
    /// What is shared, and what has public links; to those who do not own it, what they may read.
    Shared { shared: bool, public: bool },
}

impl View {
    fn of(
        service: &Service,
        ask: &Ask,
        caller: &Caller,
        home: &Container,
    ) -> Result<Self, Refusal> {
        let (shared, public) = (ask.has_param("shared"), ask.has_param("public"));
        let until = ask.until()?;
        if caller.owns() {
            return Ok(match until {
                _ if shared || public => Self::Shared { shared, public },
                Some(until) => Self::Past(until),
                None => Self::All,
            });
        }
        if until.is_some() || public {
            return Err(denied());
        }
        let subject = &caller.subject;
        if access::of_container(service, subject, Action::List, home).allowed {
            return Ok(Self::All);
        }
        match service.paths_shared(Roots::With(subject), home.id, "", 1)?.is_empty() {
            true => Err(caller.refuse_container(service, home, Action::List)),
            false => Ok(Self::Shared { shared: true, public: false }),
        }
    }

    const fn until(self) -> Option<u64> {
        match self {
            Self::Past(until) => Some(until),
            Self::All | Self::Shared { .. } => None,
        }
    }
}

pub(super) fn show(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    let home = caller.find(service, &ask.container()?)?;
    let view = View::of(service, ask, &caller, &home)?;
    let format = Format::of(ask)?;
    let (mut headers, mut seen) = (HeaderMap::new(), Seen::default());
    set(&mut headers, "x-container-block-size", &HASHED_BLOCK_BYTES.to_string());
    set(&mut headers, "x-container-block-hash", "sha256");
    // With whom but a part is shared is told nothing of the whole.
    if caller.owns() || matches!(view, View::All) {
        known(service, &caller, &home, (view.until(), &mut seen), &mut headers)?;
    }
    if ask.method.as_str() == "HEAD" {
        set(&mut headers, "content-type", format.content_type());
        return Ok(answer::empty(StatusCode::NO_CONTENT, headers));
    }
    let rows = rows(service, ask, &caller, &home, view, &mut seen)?;
    Ok(listing::render(format, "container", &rows, headers))
}

fn known(
    service: &Service,
    caller: &Caller,
    container: &Container,
    (until, seen): (Option<u64>, &mut Seen),
    out: &mut HeaderMap,
) -> Result<(), Refusal> {
    let (objects, bytes) = match until {
        None => (container.objects, container.bytes),
        Some(until) => past::totals(service, container.id, until, seen)?,
    };
    set(out, "x-container-object-count", &objects.to_string());
    set(out, "x-container-bytes-used", &bytes.to_string());
    set(out, "x-container-policy-versioning", versioning(container));
    if caller.owns() {
        let quota = container.quota_bytes.unwrap_or(0);
        set(out, "x-container-policy-quota", &quota.to_string());
        let walk = Walk { limit: NAMES_SEEN_MAX, ..Walk::default() };
        let mut names = BTreeSet::new();
        for step in service.object_walk_whole(container.id, &walk)?.steps {
            if let Step::Item(object) = step {
                names.extend(object.meta.user.into_keys().map(|name| meta::quoted(&name)));
            }
        }
        set(out, "x-container-object-meta", &joined(names));
    }
    if let Some(until) = until {
        set(out, "x-container-until-timestamp", &http_date(until));
    }
    let changed = container.settings.get("swift.changed").and_then(|text| text.parse().ok());
    set(out, LAST_MODIFIED, &http_date(changed.unwrap_or(container.created_ms)));
    for (name, value) in &container.settings {
        if let Some(name) = name.strip_prefix(META)
            && !name.starts_with("temp-url-key")
        {
            set(out, format!("{HEADER}{}", meta::quoted(name)), &meta::quoted(value));
        }
    }
    Ok(())
}

/// Names, as many as fit into one header.
fn joined(names: BTreeSet<String>) -> String {
    let mut out = String::new();
    for name in names {
        if out.len() + 1 + name.len() > NAMES_BYTES_MAX {
            break;
        }
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&name);
    }
    out
}

fn rows(
    service: &Service,
    ask: &Ask,
    caller: &Caller,
    home: &Container,
    view: View,
    seen: &mut Seen,
) -> Result<Vec<Row>, Refusal> {
    let walk = listing::walk(ask)?;
    let filters = Filter::all(ask.param("meta").unwrap_or_default());
    let fits = |object: &Object| {
        filters.iter().all(|filter| filter.fits(&object.meta.user))
            && !is_expired(object, ask.now_ms)
    };
    let steps = match view {
        View::Shared { shared, public } => {
            Sight { service, caller, home, shared, public, fits: &fits }.walk(&walk, seen)?
        }
        View::All | View::Past(_) => {
            let mut walk = walk;
            let wanted = walk.limit;
            if !filters.is_empty() {
                walk.limit = FILTERED_ROWS;
            }
            let keep = |step: &Step<Object>| match step {
                Step::Prefix(_) => filters.is_empty(),
                Step::Item(object) => fits(object),
            };
            let at = Page { caller, home, until: view.until(), wanted };
            all(service, &at, walk, &keep, seen)?
        }
    };
    let objects = steps.iter().filter_map(|step| match step {
        Step::Item(object) => Some(object),
        Step::Prefix(_) => None,
    });
    let objects: Vec<&Object> = objects.collect();
    let ids: Vec<_> = objects.iter().map(|object| object.id).collect();
    let hashes = service.object_hashes(&ids)?;
    let mut shown = sharing::of_page(service, caller, home, &objects)?.into_iter();
    let mut rows = Vec::with_capacity(steps.len());
    for step in &steps {
        match step {
            Step::Prefix(prefix) => {
                let mut fields = Map::new();
                fields.insert("subdir".to_owned(), json!(prefix));
                rows.push(Row { element: "subdir", name: prefix.clone(), fields });
            }
            Step::Item(object) => {
                // The page ends where no more may be said of sharing.
                let Some(fields) = shown.next() else { break };
                let hash = hashes.get(&object.id).map(ToString::to_string).unwrap_or_default();
                let mut row = row(object, &hash);
                row.fields.extend(fields);
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

/// What a page of all names is to be.
struct Page<'a> {
    caller: &'a Caller,
    home: &'a Container,
    until: Option<u64>,
    /// So many at most.
    wanted: usize,
}

/// A page of all names, now or at a time, of which those are left out that are not to be kept.
fn all(
    service: &Service,
    page: &Page<'_>,
    mut walk: Walk,
    keep: &dyn Fn(&Step<Object>) -> bool,
    seen: &mut Seen,
) -> Result<Vec<Step<Object>>, Refusal> {
    let Page { caller, home, until, wanted } = *page;
    let (mut steps, mut bytes) = (Vec::new(), 0);
    while steps.len() < wanted && bytes < PAGE_BYTES_MAX {
        let Walked { steps: mut found, more } = match until {
            None => {
                let found = service.object_walk_whole(home.id, &walk)?;
                seen.add(found.steps.len())?;
                found
            }
            Some(until) => past::walk(service, home.id, &walk, until, seen)?,
        };
        walk.marker = match found.last() {
            Some(Step::Item(object)) => Some(object.name.to_string()),
            Some(Step::Prefix(prefix)) => Some(prefix.clone()),
            None => None,
        };
        hide(service, caller, home, &mut found)?;
        for step in found.into_iter().filter(|step| keep(step)) {
            if let Step::Item(object) = &step {
                bytes += object.held_bytes();
            }
            steps.push(step);
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        if !more || walk.marker.is_none() {
            break;
        }
        // Few may be left to find, and many to pass over.
        walk.limit = FILTERED_ROWS;
    }
    steps.truncate(wanted);
    Ok(steps)
}

/// Takes away what is kept of objects that are listed to somebody who may not read them.
fn hide(
    service: &Service,
    caller: &Caller,
    home: &Container,
    steps: &mut [Step<Object>],
) -> Result<(), Refusal> {
    if caller.owns() {
        return Ok(());
    }
    let objects: Vec<&Object> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Item(object) => Some(object),
            Step::Prefix(_) => None,
        })
        .collect();
    let subject = &caller.subject;
    let readable = access::of_page(service, subject, Action::Read, home, &objects)?;
    let mut readable = readable.into_iter();
    for step in steps {
        if let Step::Item(object) = step
            && readable.next() != Some(true)
        {
            object.meta.user.clear();
            object.meta.settings.remove(meta::MANIFEST);
        }
    }
    Ok(())
}

fn row(object: &Object, hash: &str) -> Row {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("name", json!(object.name.as_str()));
    put("hash", json!(hash));
    put("bytes", json!(object.size));
    put("content_type", json!(content_type(&object.meta)));
    put("last_modified", json!(iso_date(object.created_ms)));
    put("x_object_hash", json!(hash));
    put("x_object_uuid", json!(meta::uuid(object)));
    put("x_object_version", json!(object.id.get()));
    put("x_object_version_timestamp", json!(object.created_ms as f64 / 1000.0));
    if let Some(by) = meta::modified_by(object) {
        put("x_object_modified_by", json!(by));
    }
    if let Some(manifest) = object.meta.settings.get(meta::MANIFEST) {
        put("x_object_manifest", json!(manifest));
    }
    if !object.meta.user.is_empty() {
        put("x_object_meta", json!(object.meta.user));
    }
    Row { element: "object", name: object.name.to_string(), fields }
}

/// Changes metadata among settings.
pub(super) fn change_meta(
    settings: &mut BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
    among: bool,
) -> Result<(), Refusal> {
    let is_meta =
        |name: &str| name.strip_prefix(META).is_some_and(|name| !name.starts_with("temp-url-key"));
    let mut kept: BTreeMap<String, String> = settings
        .iter()
        .filter(|(name, _)| is_meta(name))
        .filter_map(|(name, value)| Some((name.strip_prefix(META)?.to_owned(), value.clone())))
        .collect();
    meta::change(&mut kept, given, among)?;
    settings.retain(|name, _| !is_meta(name));
    settings.extend(kept.into_iter().map(|(name, value)| (format!("{META}{name}"), value)));
    Ok(())
}

/// What a request changes of a container.
struct Changes {
    meta: BTreeMap<String, String>,
    among: bool,
    versioning: Option<bool>,
    quota: Option<Option<u64>>,
    now_ms: u64,
}

impl Changes {
    fn of(ask: &Ask, among: bool) -> Result<Self, Refusal> {
        let versioning = match ask.header("x-container-policy-versioning").as_deref() {
            None => None,
            Some("auto") => Some(true),
            Some("none" | "manual") => Some(false),
            Some(_) => return Err(Refusal::invalid("versioning is auto or none")),
        };
        let quota = match ask.header("x-container-policy-quota") {
            None => None,
            Some(text) => match text.parse::<u64>() {
                // As Pithos has it: 0 is no limit.
                Ok(0) => Some(None),
                Ok(bytes) => Some(Some(bytes)),
                Err(_) => return Err(Refusal::invalid("a quota is a number of bytes")),
            },
        };
        let meta = meta::given(&ask.headers, HEADER)?;
        Ok(Self { meta, among, versioning, quota, now_ms: ask.now_ms })
    }

    fn run(&self, service: &Service, container: u64) -> Result<(), Refusal> {
        let veto = Veto::default();
        let result = service.container_change(container, &mut |container| {
            self.apply(container).map_err(|refusal| veto.say(refusal))
        });
        veto.settle(result)??;
        Ok(())
    }

    fn apply(&self, container: &mut Container) -> Result<(), Refusal> {
        container.settings.insert("swift.changed".to_owned(), self.now_ms.to_string());
        change_meta(&mut container.settings, &self.meta, self.among)?;
        match (self.versioning, container.versioning) {
            (Some(true), _) => container.versioning = Versioning::Enabled,
            (Some(false), Versioning::Enabled) => {
                if container.settings.contains_key(crate::swift::meta::LOCKS) {
                    return Err(Refusal::conflict(
                        "The container locks versions, and so keeps them.",
                    ));
                }
                container.versioning = Versioning::Suspended;
            }
            _ => {}
        }
        if let Some(bytes) = self.quota {
            container.quota_bytes = bytes;
        }
        Ok(())
    }
}

/// Makes a container, which keeps versions unless its maker says otherwise.
pub(super) fn put(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    caller.check_writes()?;
    let name = ask.container()?;
    let mut changes = Changes::of(ask, true)?;
    let (container, status) = match service.container_create(caller.account.id, &name) {
        Ok(container) => {
            changes.versioning.get_or_insert(true);
            (container, StatusCode::CREATED)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            (service.container(caller.account.id, &name)?, StatusCode::ACCEPTED)
        }
        Err(error) => return Err(error.into()),
    };
    changes.run(service, container.id)?;
    Ok(answer::empty(status, HeaderMap::new()))
}

pub(super) fn change(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    let container = caller.container(service, &ask.container()?, Action::Govern)?;
    Changes::of(ask, ask.has_param("update"))?.run(service, container.id)?;
    Ok(answer::empty(StatusCode::ACCEPTED, HeaderMap::new()))
}
