//! `X-Object-Sharing` and `X-Object-Public`: with whom an object is shared, in the words of
//! Pithos: `read=USER,ACCOUNT:GROUP,*; write=USER`, by uuids.

use std::collections::BTreeMap;

use archipelago_model::ObjectName;
use archipelago_pool::{
    Action, Container, Error, ErrorKind, Grant, Grantee, Meta, Named, Object, PAGE_BYTES_MAX,
    Publish, Right, Service, Share, Subject,
};
use axum::http::HeaderMap;
use serde_json::{Map, Value};

use super::ask::Ask;
use super::caller::Caller;
use super::meta::quoted;
use crate::access;
use crate::swift;
use crate::swift::answer::{Refusal, set};
use crate::swift::ask::is_true;

const SHARING: &str = "x-object-sharing";
const PUBLIC: &str = "x-object-public";

/// What a request says of who else may.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub share: Option<Share>,
    pub public: Option<bool>,
}

impl Said {
    /// Of a request by somebody who may say so.
    pub(super) fn of(service: &Service, caller: &Caller, ask: &Ask) -> Result<Self, Refusal> {
        let (sharing, public) = (ask.header(SHARING), ask.header(PUBLIC));
        if sharing.is_none() && public.is_none() {
            return Ok(Self::default());
        }
        caller.check_governs()?;
        let share = sharing.map(|text| read(service, caller, &text)).transpose()?;
        let public = match public.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None => None,
            Some("false") => Some(false),
            Some(text) if is_true(text) => Some(true),
            Some(_) => return Err(Refusal::invalid("X-Object-Public is true or false")),
        };
        let stands_for_others =
            ask.header("x-object-manifest").is_some_and(|text| !text.is_empty());
        if public == Some(true) && stands_for_others {
            return Err(Refusal::invalid("a manifest cannot be published"));
        }
        Ok(Self { share, public })
    }

    /// The same, for one name.
    pub(super) fn of_name(
        &self,
        service: &Service,
        caller: &Caller,
        (home, name): (u64, &ObjectName),
    ) -> Result<SaidOf, Error> {
        let publish = |public| service.publish(&caller.name(), home, name, public);
        let publish = self.public.map(publish).transpose()?;
        Ok(SaidOf { share: self.share.clone(), publish, public: self.public })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.share.is_none() && self.public.is_none()
    }
}

/// What a request says of who else may, of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct SaidOf {
    share: Option<Share>,
    publish: Option<Publish>,
    public: Option<bool>,
}

impl SaidOf {
    /// What is known of a version that is to be put, with whom its name is shared from then on, and
    /// whether it has a public link: all in the transaction that puts it.
    pub(super) fn shared(&self, meta: Meta) -> Result<Meta, Refusal> {
        self.check(&meta)?;
        let share = self.share.clone().map(Box::new);
        let publish = self.publish.clone().map(Box::new);
        Ok(Meta { share, publish, ..meta })
    }

    /// Refuses a link to what is put together of others.
    pub(super) fn check(&self, meta: &Meta) -> Result<(), Refusal> {
        match self.public == Some(true) && swift::is_manifest(meta) {
            true => Err(Refusal::invalid("a manifest cannot be published")),
            false => Ok(()),
        }
    }

    /// What is to be done without a version.
    pub(super) const fn parts(&self) -> (Option<&Share>, Option<&Publish>) {
        (self.share.as_ref(), self.publish.as_ref())
    }
}

/// Refuses words about sharing where they would be another transaction than the rest.
pub(super) fn refuse(ask: &Ask, what: &str) -> Result<(), Refusal> {
    match ask.headers.contains_key(SHARING) || ask.headers.contains_key(PUBLIC) {
        true => Err(Refusal::invalid(format_args!(
            "{what} says nothing of sharing; share by a POST of its own"
        ))),
        false => Ok(()),
    }
}

fn read(service: &Service, caller: &Caller, text: &str) -> Result<Share, Refusal> {
    let wrong = || Refusal::invalid("X-Object-Sharing is read=USER,...; write=USER,... or empty");
    let mut share = Share { by: caller.name(), ..Share::default() };
    let text = text.replace([' ', '~'], "");
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (list, names) = match part.split_once('=') {
            Some(("read", names)) => (&mut share.readers, names),
            Some(("write", names)) => (&mut share.writers, names),
            _ => return Err(wrong()),
        };
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let grantee = grantee(service, caller, name)?.ok_or_else(|| {
                Refusal::invalid(format_args!(
                    "'{}' is nobody to share with: give uuids of users, ACCOUNT:GROUP of your \
                     account, or *",
                    name.escape_debug()
                ))
            })?;
            if !list.contains(&grantee) {
                list.push(grantee);
            }
        }
        if list.is_empty() {
            return Err(wrong());
        }
    }
    Ok(share)
}

/// Whom a text means. Groups are those of the account itself: those of others are not its
/// concern, and their members not its choice.
fn grantee(service: &Service, caller: &Caller, text: &str) -> Result<Option<Grantee>, Refusal> {
    let found = |result: Result<Grantee, Error>| match result {
        Ok(grantee) => Ok(Some(grantee)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Refusal::from(error)),
    };
    let uuid = |text: &str| Named::Uuid(text.replace('-', "").to_lowercase());
    let user = |named: &Named| service.user(named).map(|user| user.id);
    let account = |named: &Named| service.account(named).map(|account| account.id);
    if text == "*" {
        return Ok(Some(Grantee::SignedIn));
    }
    if let Some((of, group)) = text.split_once(':') {
        // As in the path, a user stands for the account that it acts for.
        let is_own =
            caller.elsewhere(service, of).is_ok_and(|of| of.account.id == caller.account.id)
                || of == caller.account.name.as_str();
        return match is_own {
            true => found(service.grantee(&Named::uuid(caller.account.uuid), &format!("@{group}"))),
            false => Ok(None),
        };
    }
    if let Some((of, who)) = text.split_once('/') {
        let both = account(&uuid(of)).and_then(|of| Ok(Grantee::UserIn(user(&uuid(who))?, of)));
        return found(both);
    }
    if let Some(grantee) = found(user(&uuid(text)).map(Grantee::User))? {
        return Ok(Some(grantee));
    }
    if let Some(grantee) = found(account(&uuid(text)).map(Grantee::Account))? {
        return Ok(Some(grantee));
    }
    found(user(&Named::name(text)).map(Grantee::User))
}

/// Grants in words, of which each grantee is looked up once.
pub(super) struct Words<'a> {
    service: &'a Service,
    known: BTreeMap<Grantee, Option<String>>,
}

impl<'a> Words<'a> {
    pub(super) const fn new(service: &'a Service) -> Self {
        Self { service, known: BTreeMap::new() }
    }

    /// What grants say; `only` has who asks, if that is to see but what is about itself.
    pub(super) fn of(
        &mut self,
        grants: &[Grant],
        only: Option<&Subject>,
    ) -> Result<Option<String>, Error> {
        let (mut read, mut write) = (Vec::new(), Vec::new());
        let writes = |to: Grantee| {
            grants.iter().any(|grant| grant.grantee == to && grant.right == Right::Write)
        };
        for grant in grants {
            if only.is_some_and(|who| !who.is(grant.grantee)) {
                continue;
            }
            let list = if writes(grant.grantee) { &mut write } else { &mut read };
            let Some(name) = self.name(grant.grantee)? else { continue };
            if !list.contains(&name) {
                list.push(name);
            }
        }
        let lists = [("read", read), ("write", write)];
        let lists = lists.iter().filter(|(_, names)| !names.is_empty());
        let text: Vec<String> =
            lists.map(|(right, names)| format!("{right}={}", names.join(","))).collect();
        Ok((!text.is_empty()).then(|| text.join("; ")))
    }

    fn name(&mut self, grantee: Grantee) -> Result<Option<String>, Error> {
        if let Some(known) = self.known.get(&grantee) {
            return Ok(known.clone());
        }
        let name = match self.service.grantee_ids(grantee) {
            Ok(name) => Some(name),
            // It has gone just now.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        self.known.insert(grantee, name.clone());
        Ok(name)
    }
}

/// Everything said of an object about sharing, as headers. Who does not own it sees what is
/// about itself.
pub(super) fn headers(
    service: &Service,
    caller: &Caller,
    home: &Container,
    object: &Object,
    out: &mut HeaderMap,
) -> Result<(), Error> {
    let is_owner = caller.owns();
    if !is_owner {
        set(out, "x-object-allowed-to", allowed_to(service, caller, home, object)?);
    }
    if !object.latest {
        return Ok(());
    }
    if let Some(found) = service.path_grants(home.id, &object.name)? {
        let only = (!is_owner).then_some(&caller.subject);
        if let Some(text) = Words::new(service).of(&found.grants, only)? {
            set(out, SHARING, &text);
            if *found.path != *object.name.as_str() {
                let account = hex::encode(caller.account.uuid);
                let path = format!("{account}/{}/{}", home.name, found.path);
                set(out, "x-object-shared-by", &quoted(&path));
            }
        }
    }
    if is_owner && let Some(path) = public_path(service, home.id, &object.name)? {
        set(out, PUBLIC, &path);
    }
    Ok(())
}

/// The same of each object of a page, as fields of a listing; of the first ones only where these
/// are enough for a page. Each name may have a thousand grants.
pub(super) fn of_page(
    service: &Service,
    caller: &Caller,
    home: &Container,
    objects: &[&Object],
) -> Result<Vec<Map<String, Value>>, Refusal> {
    let is_owner = caller.owns();
    let names: Vec<&ObjectName> = objects.iter().map(|object| &object.name).collect();
    let found = service.grants_of_names(home.id, &names)?;
    let links = match is_owner {
        true => service.links_of_names(home.id, &names)?,
        false => Vec::new(),
    };
    let writable = match is_owner {
        true => Vec::new(),
        false => access::of_page(service, &caller.subject, Action::Write, home, objects)?,
    };
    let only = (!is_owner).then_some(&caller.subject);
    let mut words = Words::new(service);
    let (mut out, mut bytes) = (Vec::with_capacity(objects.len()), 0);
    for (at, (object, found)) in objects.iter().zip(found).enumerate() {
        let mut fields = Map::new();
        let mut put = |name: &str, value: &str| fields.insert(name.to_owned(), value.into());
        if let Some(found) = found.filter(|_| object.latest)
            && let Some(text) = words.of(&found.grants, only)?
        {
            bytes += text.len();
            put("x_object_sharing", &text);
        }
        if let Some(writes) = writable.get(at) {
            put("x_object_allowed_to", if *writes { "write" } else { "read" });
        }
        if let Some(Some(link)) = links.get(at) {
            put("x_object_public", &swift::public_path(link.id.expose(), &object.name));
        }
        out.push(fields);
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    Ok(out)
}

/// What somebody else may do with an object that it may read.
pub(super) fn allowed_to(
    service: &Service,
    caller: &Caller,
    home: &Container,
    object: &Object,
) -> Result<&'static str, Error> {
    let writes = object.latest && caller.may(service, Action::Write, home, object)?;
    Ok(if writes { "write" } else { "read" })
}

/// Where the public link of an object is.
fn public_path(service: &Service, home: u64, name: &ObjectName) -> Result<Option<String>, Error> {
    let link = service.links_of_names(home, &[name])?.into_iter().next().flatten();
    Ok(link.map(|link| swift::public_path(link.id.expose(), name)))
}
