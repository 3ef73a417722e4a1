//! Symbolic links: `X-Symlink-Target: container/object`. A link is an empty object whose settings
//! say where to go on; other doors see the empty object.
//!
//! Whoever follows one needs the right to read at each step, as if it had named the place itself.

use archipelago_model::{ContainerName, ObjectName};
use archipelago_pool::{Container, Content, ErrorKind, Meta, Object, Service, Which};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_LOCATION};

use super::access::{Need, Rights};
use super::answer::{Refusal, set};
use super::ask::{Ask, container_name, decode, encode, object_name};
use super::conditions::bare;
use super::{meta, object};

pub(super) const HEADER: &str = "x-symlink-target";
const ACCOUNT_HEADER: &str = "x-symlink-target-account";
const ETAG_HEADER: &str = "x-symlink-target-etag";

/// Settings of a link: `container/object`, percent-encoded; the account, if it is another one;
/// of a static link, the ETag that the target must have, its size and the ETag of what a
/// manifest there stands for.
const TARGET: &str = "swift.link";
const ACCOUNT: &str = "swift.link-account";
const ETAG: &str = "swift.link-etag";
const BYTES: &str = "swift.link-bytes";
const SLO_ETAG: &str = "swift.link-slo-etag";

/// What a link is made of, and how a request for the link itself shows it.
pub(super) const SHOWN: [(&str, &str); 4] = [
    (HEADER, TARGET),
    (ACCOUNT_HEADER, ACCOUNT),
    (ETAG_HEADER, ETAG),
    ("x-symlink-target-bytes", BYTES),
];

/// All settings of links.
pub(super) const SETTINGS: [&str; 5] = [TARGET, ACCOUNT, ETAG, BYTES, SLO_ETAG];

/// Links that are followed one behind the other, as Swift has it.
pub(super) const LINKS_MAX: usize = 2;

/// Where a link leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// `container/object`, percent-encoded.
    pub path: String,
    /// As it stands in a path; the link's own if nothing is said.
    pub account: Option<String>,
    /// What the target's ETag must be.
    pub etag: Option<String>,
    /// How large the target was when the link was made.
    pub bytes: Option<u64>,
    /// The ETag of what the target stood for.
    pub slo_etag: Option<String>,
}

impl Link {
    /// The link that an object is. One that another door wrote into is none any more.
    pub(super) fn of(object: &Object) -> Option<Self> {
        if object.size == 0 { Self::made(&object.meta) } else { None }
    }

    fn made(meta: &Meta) -> Option<Self> {
        let text = |name: &str| meta.settings.get(name).cloned();
        Some(Self {
            path: text(TARGET)?,
            account: text(ACCOUNT),
            etag: text(ETAG),
            bytes: text(BYTES).and_then(|bytes| bytes.parse().ok()),
            slo_etag: text(SLO_ETAG),
        })
    }

    /// Where it leads, as a path of this door. `own`: the account of the link.
    pub(super) fn location(&self, mount: &str, own: &str) -> String {
        format!("{mount}/{}/{}", self.account.as_deref().unwrap_or(own), self.path)
    }

    fn place(&self) -> Result<(ContainerName, ObjectName), Refusal> {
        let path = decode(&self.path, false).unwrap_or_default();
        let (container, object) = path.split_once('/').ok_or_else(Refusal::not_found)?;
        Ok((container_name(container)?, object_name(object)?))
    }
}

/// Whether a request wants a link itself, not what it leads to.
pub(super) fn itself(ask: &Ask) -> bool {
    ask.param("symlink") == Some("get")
}

/// Whether a request makes a link.
pub(super) fn is_meant(ask: &Ask) -> bool {
    ask.headers.contains_key(HEADER)
}

fn wrong_target() -> Refusal {
    let text = "X-Symlink-Target header must be of the form <container name>/<object name>";
    Refusal::precondition(text).plain()
}

/// The account that a request names for the target of a link.
pub(super) fn said_account(ask: &Ask) -> Result<Option<String>, Refusal> {
    let Some(text) = ask.header(ACCOUNT_HEADER) else { return Ok(None) };
    match decode(text, false).filter(|name| !name.is_empty() && !name.contains('/')) {
        Some(name) => Ok(Some(encode(&name))),
        None => Err(Refusal::precondition("Account name cannot contain slashes")),
    }
}

/// Lets the copy of a link lead into the account that a request names.
pub(super) fn redirect(ask: &Ask, copy: &mut Meta) -> Result<(), Refusal> {
    if copy.settings.contains_key(TARGET)
        && let Some(account) = said_account(ask)?
    {
        copy.settings.insert(ACCOUNT.to_owned(), account);
    }
    Ok(())
}

/// Makes a link of what is about to be stored, if a request wants that.
pub(super) fn make(
    service: &Service,
    ask: &Ask,
    rights: &Rights,
    meta: &mut Meta,
) -> Result<bool, Refusal> {
    if !is_meant(ask) {
        return Ok(false);
    }
    if ask.header(CONTENT_LENGTH.as_str()).is_some_and(|len| len.trim() != "0") {
        return Err(Refusal::invalid("Symlink requests require a zero byte body").plain());
    }
    let said = ask.header(HEADER).and_then(|text| decode(text, false)).ok_or_else(wrong_target)?;
    let (container, name) = said.split_once('/').ok_or_else(wrong_target)?;
    if container.is_empty() || name.is_empty() {
        return Err(wrong_target());
    }
    let (container, name) = (container_name(container)?, object_name(name)?);
    let account = said_account(ask)?;
    let own = account.as_ref().is_none_or(|account| *account == rights.path_name());
    if own && (&container, &name) == (&ask.container()?, &ask.object()?) {
        return Err(Refusal::invalid("Symlink cannot target itself").plain());
    }
    let settings = &mut meta.settings;
    settings.insert(TARGET.to_owned(), encode(&format!("{container}/{name}")));
    if let Some(account) = &account {
        settings.insert(ACCOUNT.to_owned(), account.clone());
    }
    let etag = ask.header(ETAG_HEADER).map(bare).filter(|etag| !etag.is_empty());
    let says_type = ask.header(meta::CONTENT_TYPE).is_some_and(|kind| !kind.is_empty());
    match etag {
        Some(etag) => pin(service, rights, meta, etag, says_type)?,
        None if !says_type => meta::set_type(meta, "application/symlink"),
        None => {}
    }
    Ok(true)
}

/// Makes a link static: the target must be there, and be what the ETag says.
fn pin(
    service: &Service,
    rights: &Rights,
    meta: &mut Meta,
    etag: &str,
    says_type: bool,
) -> Result<(), Refusal> {
    if etag.contains([';', '"', '\\']) {
        return Err(Refusal::invalid("Bad X-Symlink-Target-Etag format").plain());
    }
    meta.settings.insert(ETAG.to_owned(), etag.to_owned());
    let Some(link) = Link::made(meta) else { return Ok(()) };
    let mut trip = Trip::new(rights.clone(), false);
    let content = match trip.step(service, &link) {
        Ok(content) => trip.go_on(service, content),
        Err(refusal) => Err(refusal),
    };
    let content = content.map_err(|refusal| match refusal.is_not_found() {
        true => trip.say(Refusal::conflict("X-Symlink-Target does not exist").plain()),
        false => refusal,
    })?;
    let target = content.object();
    meta.settings.insert(BYTES.to_owned(), meta::shown_size(target).to_string());
    if let Some(slo) = target.meta.settings.get(meta::SLO_ETAG) {
        meta.settings.insert(SLO_ETAG.to_owned(), slo.clone());
    }
    if !says_type {
        meta::set_type(meta, meta::content_type(&target.meta));
    }
    Ok(())
}

/// An object that was found, perhaps elsewhere.
pub(super) struct Found {
    /// Of whoever asked, in the account where it is.
    pub rights: Rights,
    pub home: Container,
    pub content: Content,
    /// Where it is, when links led there.
    pub location: Option<String>,
}

impl Found {
    /// Notes in headers where it is.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(location) = &self.location {
            set(headers, CONTENT_LOCATION, location);
        }
    }
}

/// Opens an object, or what it leads to unless `itself` is wanted.
pub(super) fn open(
    service: &Service,
    rights: &Rights,
    (container, name): (&ContainerName, &ObjectName),
    which: Which,
    itself: bool,
) -> Result<Found, Refusal> {
    let mut trip = Trip::new(rights.clone(), true);
    let content = trip.open(service, container, name, which)?;
    let content = if itself { content } else { trip.go_on(service, content)? };
    trip.end(content)
}

/// What an open object leads to: itself, if it is no link.
pub(super) fn follow(
    service: &Service,
    rights: &Rights,
    content: Content,
) -> Result<Content, Refusal> {
    Trip::new(rights.clone(), true).go_on(service, content)
}

/// What a listed object leads to, and in which container that is; `None` if it is no link.
pub(super) fn target(
    service: &Service,
    rights: &Rights,
    object: &Object,
) -> Result<Option<(u64, Object)>, Refusal> {
    let Some(link) = Link::of(object) else { return Ok(None) };
    let mut trip = Trip::new(rights.clone(), true);
    let content = trip.step(service, &link)?;
    let content = trip.go_on(service, content)?;
    let found = trip.end(content)?;
    Ok(Some((found.home.id, found.content.object().clone())))
}

/// On the way along links.
struct Trip {
    rights: Rights,
    home: Option<Container>,
    /// Whether links that name no ETag are followed, too.
    soft: bool,
    links: usize,
    location: Option<String>,
    /// What the ETag at the next place must be.
    etag: Option<String>,
}

impl Trip {
    const fn new(rights: Rights, soft: bool) -> Self {
        Self { rights, home: None, soft, links: 0, location: None, etag: None }
    }

    /// A refusal, with where it happened.
    fn say(&self, refusal: Refusal) -> Refusal {
        let mut headers = HeaderMap::new();
        match &self.location {
            Some(location) => {
                set(&mut headers, CONTENT_LOCATION, location);
                refusal.with(headers)
            }
            None => refusal,
        }
    }

    fn open(
        &mut self,
        service: &Service,
        container: &ContainerName,
        name: &ObjectName,
        which: Which,
    ) -> Result<Content, Refusal> {
        let home = self.rights.home_to_read(service, container);
        let home = home.map_err(|refusal| self.say(refusal))?;
        let opened = service.object_open(home.id, name, which);
        let object = opened.as_ref().ok().map(Content::object);
        let checked = self.rights.check(service, &home, name, Need::Read, object);
        checked.map_err(|refusal| self.say(refusal))?;
        if which != Which::Latest {
            self.rights.check_versions(false).map_err(|refusal| self.say(refusal))?;
        }
        let content = match opened {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(self.say(object::missing(service, &home, name, which)));
            }
            Err(error) => return Err(error.into()),
        };
        // What ends is the object; its versions stay until they are removed.
        let ends = which == Which::Latest;
        if ends && meta::is_expired(content.object(), self.rights.now_ms) {
            return Err(self.say(Refusal::not_found()));
        }
        self.home = Some(home);
        Ok(content)
    }

    /// Goes where a link leads.
    fn step(&mut self, service: &Service, link: &Link) -> Result<Content, Refusal> {
        let own = self.rights.path_name();
        self.location = Some(link.location(self.rights.mount, &own));
        self.etag.clone_from(&link.etag);
        if let Some(account) = &link.account {
            let account = decode(account, false).unwrap_or_default();
            let there = self.rights.elsewhere(service, &account);
            self.rights = there.map_err(|refusal| self.say(refusal))?;
        }
        let (container, name) = link.place()?;
        self.open(service, &container, &name, Which::Latest)
    }

    fn go_on(&mut self, service: &Service, mut content: Content) -> Result<Content, Refusal> {
        loop {
            let object = content.object();
            let etag = object.entity_tag();
            let Some(link) = Link::of(object).filter(|link| self.soft || link.etag.is_some())
            else {
                return match self.etag.take().filter(|wanted| *wanted != etag) {
                    Some(wanted) => Err(self.say(
                        Refusal::conflict(&format!(
                            "Object Etag '{etag}' does not match X-Symlink-Target-Etag header \
                             '{wanted}'"
                        ))
                        .plain(),
                    )),
                    None => Ok(content),
                };
            };
            let found = link.etag.as_ref().unwrap_or(&etag);
            if self.etag.as_ref().is_some_and(|wanted| wanted != found) {
                let text = "X-Symlink-Target-Etag headers do not match";
                return Err(self.say(Refusal::conflict(text).plain()));
            }
            if self.links >= LINKS_MAX {
                return Err(Refusal::conflict(&format!(
                    "Too many levels of symbolic links, maximum allowed is {LINKS_MAX}"
                ))
                .plain());
            }
            self.links += 1;
            content = self.step(service, &link)?;
        }
    }

    fn end(self, content: Content) -> Result<Found, Refusal> {
        let home = self.home.ok_or_else(Refusal::not_found)?;
        Ok(Found { rights: self.rights, home, content, location: self.location })
    }
}
