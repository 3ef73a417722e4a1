//! `POST` of an object: other metadata in the place of what there is.

use archipelago_pool::{Service, Versioning, Which};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;

use super::access::Rights;
use super::answer::{self, Refusal};
use super::ask::Ask;
use super::link::{self, Link};
use super::meta;

pub(super) fn post(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    if ask.has_param("version-id") {
        return Err(Refusal::invalid("version-id is not supported for POST"));
    }
    let rights = Rights::new(service, ask)?;
    let home = rights.home_to_write(service, (&ask.container()?, &ask.object()?), ask)?;
    // The version itself ends then, which is more than to remove the object.
    if meta::says_end(ask) && home.versioning != Versioning::Off {
        rights.check_versions(true)?;
    }
    rights.check_headers(ask)?;
    if link::is_meant(ask) {
        let text = "A PUT request is required to set a symlink target";
        return Err(Refusal::invalid(text).plain());
    }
    let name = ask.object()?;
    let veto = meta::Veto::default();
    let result = service.object_change(home.id, &name, Which::Latest, &mut |object| {
        if meta::is_expired(object, ask.now_ms) {
            return Err(veto.say(Refusal::not_found()));
        }
        let old = &object.meta;
        let mut new =
            meta::of_object(ask, name.as_str(), Some(old)).map_err(|refusal| veto.say(refusal))?;
        for setting in [meta::SLO_SIZE, meta::SLO_ETAG].into_iter().chain(link::SETTINGS) {
            if let Some(value) = old.settings.get(setting) {
                new.settings.insert(setting.to_owned(), value.clone());
            }
        }
        // What other doors keep stays, as does what describes the content.
        for (name, value) in old.settings.iter().filter(|(name, _)| !name.starts_with("swift.")) {
            new.settings.insert(name.clone(), value.clone());
        }
        new.tags.clone_from(&old.tags);
        new.checksums.clone_from(&old.checksums);
        new.parts.clone_from(&old.parts);
        meta::note_change(&mut new, ask.now_ms);
        Ok(new)
    });
    let object = veto.settle(result)??;
    if let Some(link) = Link::of(&object) {
        return Err(elsewhere(&rights, &link));
    }
    Ok(answer::empty(StatusCode::ACCEPTED, HeaderMap::new()))
}

/// It was done to the link; where the target is, for whoever meant that.
fn elsewhere(rights: &Rights, link: &Link) -> Refusal {
    let location = link.location(rights.mount, &rights.path_name());
    let mut refusal = Refusal::redirect(&location);
    if let Some(etag) = &link.etag {
        refusal.add(HeaderName::from_static("x-symlink-target-etag"), etag);
    }
    refusal
}
