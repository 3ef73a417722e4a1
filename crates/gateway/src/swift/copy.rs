//! `COPY`, and `PUT` with `X-Copy-From`. Content moves only where a manifest or a range is
//! copied as what it stands for.

use std::sync::Arc;

use archipelago_model::{ContainerName, ObjectName};
use archipelago_pool::{CopySource, Meta, Object, Sealing, Service, Which};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, RANGE};
use axum::response::Response;

use super::access::Rights;
use super::answer::{Refusal, http_date, set, unless_replaced};
use super::ask::{Ask, container_name, decode, encode, is_true, object_name};
use super::meta::{self, Veto};
use super::put::{self, Plan};
use super::ranges::{Wanted, wanted};
use super::segments::{Pieces, Whole};
use super::{conditions, describes_content, dlo, link, slo, versions};
use crate::App;
use crate::failure::Failure;

const COPY_FROM: &str = "x-copy-from";

/// Whether a PUT is a copy.
pub(super) fn is_meant(ask: &Ask) -> bool {
    ask.headers.contains_key(COPY_FROM) || (ask.method == "PUT" && ask.has_param("version-id"))
}

/// A place of an object.
struct Place {
    rights: Rights,
    container: ContainerName,
    object: ObjectName,
}

/// What is copied where.
struct Copy {
    from: Place,
    which: Which,
    to: Place,
}

pub(super) async fn copy(app: &App, ask: Arc<Ask>) -> Result<Response, Refusal> {
    // A manifest that is copied as what it stands for moves its content.
    let permit = app.calls.transfer().await?;
    let service = Arc::clone(&app.service);
    let job = tokio::task::spawn_blocking(move || {
        let done = unless_replaced(|| run(&service, &ask));
        drop(permit);
        done
    });
    job.await.map_err(Failure::panicked)?
}

fn places(service: &Service, ask: &Ask) -> Result<Copy, Refusal> {
    let rights = Rights::new(service, ask)?;
    if rights.by_link() {
        return Err(Refusal::invalid("A signed URL does not copy"));
    }
    if link::is_meant(ask) {
        return Err(Refusal::invalid("Symlink requests require a zero byte body").plain());
    }
    let here = Place { rights: rights.clone(), container: ask.container()?, object: ask.object()? };
    let other = |place: &str, account: &str| -> Result<Place, Refusal> {
        let text = ask.header(place).unwrap_or_default();
        let wrong = || {
            Refusal::precondition(&format!("{place} header must be of the form container/object"))
        };
        let text = decode(text, false).ok_or_else(wrong)?;
        let (container, object) = text.trim_start_matches('/').split_once('/').ok_or_else(wrong)?;
        if container.is_empty() || object.is_empty() {
            return Err(wrong());
        }
        let rights = match ask.header(account) {
            Some(name) if name.contains('/') || name.is_empty() => {
                return Err(Refusal::precondition("Account name cannot contain slashes"));
            }
            Some(name) => {
                let name = decode(name, false).ok_or_else(wrong)?;
                rights.elsewhere(service, &name)?
            }
            None => rights.clone(),
        };
        Ok(Place { rights, container: container_name(container)?, object: object_name(object)? })
    };
    let which = versions::which(ask)?;
    if which != Which::Latest {
        rights.check_versions(false)?;
    }
    if ask.method == "COPY" {
        if ask.header("destination").is_none() {
            return Err(Refusal::precondition("Destination header required"));
        }
        let to = other("destination", "destination-account")?;
        return Ok(Copy { from: here, which, to });
    }
    if ask.header(CONTENT_LENGTH.as_str()).is_some_and(|len| len.trim() != "0") {
        return Err(Refusal::invalid("Copy requests require a zero byte body"));
    }
    if !ask.headers.contains_key(COPY_FROM) {
        // `PUT ?version-id=`: that version becomes the newest.
        if which == Which::Unversioned {
            return Err(Refusal::invalid("version-id null cannot be made the newest"));
        }
        rights.check_versions(true)?;
        let (container, object) = (here.container.clone(), here.object.clone());
        let from = Place { rights: rights.clone(), container, object };
        return Ok(Copy { from, which, to: here });
    }
    let from = other(COPY_FROM, "x-copy-from-account")?;
    if which != Which::Latest {
        from.rights.check_versions(false)?;
    }
    Ok(Copy { from, which, to: here })
}

fn run(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let Copy { from, which, to } = places(service, ask)?;
    let restored = ask.method == "PUT" && !ask.headers.contains_key(COPY_FROM);
    let itself = restored || link::itself(ask);
    let found = link::open(service, &from.rights, (&from.container, &from.object), which, itself)?;
    let target = to.rights.home_to_write(service, (&to.container, &to.object), ask)?;
    let object = found.content.object().clone();
    // A link's target has no version ids here: the newest is what it leads to.
    let source = CopySource {
        container: found.home.id,
        name: object.name.clone(),
        which: if found.location.is_none() { which } else { Which::Latest },
    };
    let raw = ask.manifest() == "get";
    let is_manifest = object.meta.settings.contains_key(dlo::SETTING)
        || object.meta.settings.contains_key(meta::SLO_ETAG);
    let moves = found.rights.account.id != to.rights.account.id;
    if raw && moves && object.meta.settings.contains_key(meta::SLO_ETAG) {
        slo::check_elsewhere(service, &to.rights, &found.content)?;
    }
    let range = ask.header(RANGE.as_str()).filter(|_| !restored);
    let only_new = put::only_new(ask)?;
    let said = put::etag(ask);
    let copied = if (is_manifest && !raw && !restored) || range.is_some() {
        let whole = Whole::of(service, &found.rights, found.content, raw)?;
        source_conditions(ask, whole.etag.as_deref(), &object)?;
        let (offset, size) = stretch(ask, &whole, range)?;
        let mut pieces = Pieces::new(service, whole.slice(offset, size));
        let plan = Plan {
            container: target.id,
            name: to.object.clone(),
            size: Some(size),
            etag: said,
            only_new,
            meta: merged(ask, to.object.as_str(), &object.meta, false)?,
            // What was not in clear is not in clear where it is copied to.
            sealing: if pieces.is_sealed() { Sealing::Kept } else { Sealing::Default },
            now_ms: ask.now_ms,
        };
        plan.store(service, &mut pieces)??
    } else {
        source_conditions(ask, Some(&object.entity_tag()), &object)?;
        let veto = Veto::default();
        let result = service.object_copy(
            &source,
            target.id,
            &to.object,
            &mut |now| {
                same(now, &object).map_err(|refusal| veto.say(refusal))?;
                if said.is_some() && said != now.etag {
                    return Err(veto.say(Refusal::unprocessable()));
                }
                if restored {
                    let mut meta = now.meta.clone();
                    meta.settings.retain(|name, _| name.starts_with("swift."));
                    return Ok(meta);
                }
                merged(ask, to.object.as_str(), &now.meta, raw || !is_manifest)
                    .map_err(|refusal| veto.say(refusal))
            },
            &|old| put::check_new(old, only_new, ask.now_ms, &veto),
        );
        veto.settle(result)??
    };
    Ok(answer(&from, &object, &copied))
}

/// What of it is copied: offset and bytes.
fn stretch(ask: &Ask, whole: &Whole, range: Option<&str>) -> Result<(u64, u64), Refusal> {
    match (whole.part(ask)?, wanted(range, whole.size)) {
        (Some(part), _) => Ok(part),
        (None, Wanted::All) => Ok((0, whole.size)),
        (None, Wanted::Some(ranges)) if ranges.len() == 1 => Ok(ranges[0]),
        _ => Err(Refusal::range(whole.size)),
    }
}

/// Whether this is still the version that rights were asked of.
fn same(now: &Object, seen: &Object) -> Result<(), Refusal> {
    match now.id == seen.id {
        true => Ok(()),
        false => Err(Refusal::replaced()),
    }
}

fn source_conditions(ask: &Ask, etag: Option<&str>, object: &Object) -> Result<(), Refusal> {
    // On a copy `If-None-Match: *` is about the target.
    if ask.headers.contains_key("if-none-match") {
        return Ok(());
    }
    conditions::check(&ask.headers, etag, meta::changed_ms(object), &HeaderMap::new())
}

/// The source's metadata, with what the request says instead. `same`: what describes the
/// content is still so.
fn merged(ask: &Ask, name: &str, old: &Meta, same: bool) -> Result<Meta, Refusal> {
    let mut new = meta::of_object(ask, name, Some(old))?;
    if same {
        // Not those of other doors: who may read the source, or how long it is locked, is not
        // what the copy is to have.
        for (setting, value) in &old.settings {
            if describes_content(setting) {
                new.settings.entry(setting.clone()).or_insert_with(|| value.clone());
            }
        }
        link::redirect(ask, &mut new)?;
        new.checksums.clone_from(&old.checksums);
        new.parts.clone_from(&old.parts);
    }
    if ask.header("x-fresh-metadata").is_some_and(is_true) {
        return Ok(new);
    }
    for (name, value) in &old.user {
        new.user.entry(name.clone()).or_insert_with(|| value.clone());
    }
    for (name, value) in &old.headers {
        new.headers.entry(name.clone()).or_insert_with(|| value.clone());
    }
    if !ask.headers.contains_key("x-remove-delete-at") {
        meta::keep_delete_at(&mut new, old);
    }
    new.tags.clone_from(&old.tags);
    meta::check(new.user.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    Ok(new)
}

fn answer(from: &Place, source: &Object, copied: &Object) -> Response {
    let mut headers = meta::headers_of(copied, None);
    headers.remove("content-type");
    headers.remove("x-timestamp");
    let path = format!("{}/{}", from.container, from.object);
    set(&mut headers, "x-copied-from", &encode(&path));
    set(&mut headers, "x-copied-from-account", &from.rights.path_name());
    set(&mut headers, "x-copied-from-last-modified", &http_date(meta::changed_ms(source)));
    put::created(copied, headers)
}
