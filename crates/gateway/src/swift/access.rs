//! Who asks, and what they may.

use std::sync::Arc;

use archipelago_model::{ContainerName, ObjectName};
use archipelago_pool::{
    Account, Action, Container, Decision, ErrorKind, Identity, Named, Object, Reason, Role, Rules,
    Secret, Service, Shared, Subject, decide,
};

use super::answer::Refusal;
use super::ask::Ask;
use super::tempurl::{self, Scope};
use super::{account_acl, acl, link, meta};
use crate::access;

/// Settings of a container: who may read, who may write.
pub(super) const READ: &str = "swift.read";
pub(super) const WRITE: &str = "swift.write";

/// What somebody wants to do in a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    /// Read objects.
    Read,
    /// See their names.
    List,
    /// Make and change objects.
    Write,
    /// Remove them.
    Remove,
    /// Change or remove the container: nothing that a list can allow.
    Change,
}

impl Need {
    const fn action(self) -> Action {
        match self {
            Self::Read => Action::Read,
            Self::List => Action::List,
            Self::Write => Action::Write,
            Self::Remove => Action::Remove,
            Self::Change => Action::Govern,
        }
    }

    const fn changes(self) -> bool {
        matches!(self, Self::Write | Self::Remove | Self::Change)
    }
}

/// Who asks.
enum Who {
    Nobody,
    /// Whoever has a signed URL.
    Link(Scope),
    Known(Box<Identity>),
}

/// What somebody may in an account.
#[derive(Clone)]
pub(crate) struct Rights {
    pub account: Account,
    /// By membership, or by a list of the account.
    role: Option<Role>,
    who: Arc<Who>,
    subject: Arc<Subject>,
    referer: Option<String>,
    /// When the request came, in ms since 1970.
    pub now_ms: u64,
    /// What stands before the account in the path of the request.
    pub mount: &'static str,
}

impl Rights {
    /// Of whoever asks, in the account of the request.
    pub(super) fn new(service: &Service, ask: &Ask) -> Result<Self, Refusal> {
        let who = Arc::new(who(service, ask)?);
        let subject = match &*who {
            Who::Known(identity) => service.subject(Some(identity))?,
            Who::Nobody | Who::Link(_) => Subject::anybody(),
        };
        let subject = Arc::new(subject);
        let referer = ask.header("referer").map(str::to_owned);
        let account = account(service, &who, &ask.account)?;
        let role = role(service, &who, &account)?;
        Ok(Self { account, role, who, subject, referer, now_ms: ask.now_ms, mount: ask.mount() })
    }

    /// Of the same, in another account.
    pub(super) fn elsewhere(&self, service: &Service, account: &str) -> Result<Self, Refusal> {
        let account = self::account(service, &self.who, account)?;
        let role = role(service, &self.who, &account)?;
        Ok(Self { account, role, ..self.clone() })
    }

    /// Whether it may say who else may do what, and see who may.
    pub(super) fn governs(&self) -> bool {
        self.role == Some(Role::Admin)
    }

    /// To say how much an account may hold.
    pub(super) fn check_rule(&self) -> Result<(), Refusal> {
        match &*self.who {
            Who::Known(identity) if identity.is_admin() => Ok(()),
            _ => Err(Refusal::forbidden("Quotas of accounts are set by administrators only.")),
        }
    }

    fn writes(&self) -> bool {
        matches!(self.role, Some(Role::Admin | Role::Member))
    }

    /// What the account is called in a path.
    pub(super) fn path_name(&self) -> String {
        format!("AUTH_{}", hex::encode(self.account.uuid))
    }

    pub(super) fn denied(&self) -> Refusal {
        denied(&self.who, &self.path_name())
    }

    /// To see the account and its containers.
    pub(super) fn check_read(&self) -> Result<(), Refusal> {
        self.role.map(|_| ()).ok_or_else(|| self.denied())
    }

    /// To make containers and keep metadata.
    pub(super) fn check_write(&self) -> Result<(), Refusal> {
        if self.writes() { Ok(()) } else { Err(self.denied()) }
    }

    /// To keep metadata of the account itself, which a list that lets somebody write in it does
    /// not allow.
    pub(super) fn check_account_write(&self) -> Result<(), Refusal> {
        let own = match &*self.who {
            Who::Known(identity) => member(identity, &self.account).is_some(),
            Who::Nobody | Who::Link(_) => false,
        };
        if self.governs() || (own && self.writes()) { Ok(()) } else { Err(self.denied()) }
    }

    /// To read versions by their ids, or to make and remove them so: lists let nobody do that,
    /// since what they allow is what there is now.
    pub(super) fn check_versions(&self, writes: bool) -> Result<(), Refusal> {
        if writes { self.check_write() } else { self.check_read() }
    }

    /// To say who else may do what.
    pub(super) fn check_govern(&self) -> Result<(), Refusal> {
        if self.governs() {
            return Ok(());
        }
        Err(Refusal::forbidden(
            "Who may read and write, and keys of signed URLs, are set by administrators of the \
             account.",
        ))
    }

    fn by_role(&self, need: Need) -> bool {
        if need.changes() { self.writes() } else { self.role.is_some() }
    }

    /// A container, whatever may be done in it. Who has no role in the account learns nothing of
    /// whether it exists.
    fn find(
        &self,
        service: &Service,
        name: &ContainerName,
        need: Need,
    ) -> Result<Container, Refusal> {
        match service.container(self.account.id, name) {
            Ok(container) => Ok(container),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(if self.by_role(need) { Refusal::not_found() } else { self.denied() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A container, if this may be done in it, whatever the name. Who may not learns nothing of
    /// whether it exists.
    pub(super) fn container(
        &self,
        service: &Service,
        name: &ContainerName,
        need: Need,
    ) -> Result<Container, Refusal> {
        let found = self.find(service, name, need)?;
        if self.by_role(need) || self.by_door(&found, need) {
            return Ok(found);
        }
        let action = need.action();
        let mut rules = access::container_rules(service, &self.subject, &found);
        rules.of_container = matches!(need, Need::List | Need::Change);
        let decision = self.decide(action, &rules);
        if decision.allowed {
            return Ok(found);
        }
        let (shared, why) = (Shared::Container(found.id), decision.reason.to_string());
        access::record_refusal(service, &self.subject, action, &shared, &why);
        Err(self.denied())
    }

    /// The container of an object, if this may be done with what has its name now.
    pub(super) fn home(
        &self,
        service: &Service,
        container: &ContainerName,
        name: &ObjectName,
        need: Need,
    ) -> Result<Container, Refusal> {
        let found = self.find(service, container, need)?;
        self.check(service, &found, name, need, None)?;
        Ok(found)
    }

    /// The container of an object that is to be put or changed. Who says when it ends says that
    /// it is removed then.
    pub(super) fn home_to_write(
        &self,
        service: &Service,
        (container, name): (&ContainerName, &ObjectName),
        ask: &Ask,
    ) -> Result<Container, Refusal> {
        let ends = meta::says_end(ask);
        self.home(service, container, name, if ends { Need::Remove } else { Need::Write })
    }

    /// A container in which an object is to be read; [`Self::check`] says whether it may be.
    pub(super) fn home_to_read(
        &self,
        service: &Service,
        container: &ContainerName,
    ) -> Result<Container, Refusal> {
        self.find(service, container, Need::Read)
    }

    /// To do something with an object, or with its name where there is none.
    pub(super) fn check(
        &self,
        service: &Service,
        home: &Container,
        name: &ObjectName,
        need: Need,
        object: Option<&Object>,
    ) -> Result<(), Refusal> {
        // What belongs to the account that wrote it is not this account's to show.
        let is_writers =
            need == Need::Read && object.is_some_and(|object| home.writer_of(object).is_some());
        if !is_writers && (self.by_role(need) || self.by_door(home, need)) {
            return Ok(());
        }
        let action = match (need, object) {
            (Need::Read, Some(object)) if !object.latest => Action::ReadVersion,
            _ => need.action(),
        };
        let rules = access::object_rules(service, &self.subject, home, name, object)?;
        let decision = self.decide(action, &rules);
        if decision.allowed {
            return Ok(());
        }
        let shared = Shared::Path(home.id, name.to_string());
        let why = decision.reason.to_string();
        access::record_refusal(service, &self.subject, action, &shared, &why);
        Err(self.denied())
    }

    /// To read one of many objects of a container, to all of which there is a right, unless it
    /// belongs to the account that wrote it: that has to be asked of each.
    pub(super) fn check_writers(
        &self,
        service: &Service,
        container: u64,
        object: &Object,
    ) -> Result<(), Refusal> {
        if object.owner.is_none() {
            return Ok(());
        }
        let home = service.container_by_id(container)?;
        match home.writer_of(object) {
            None => Ok(()),
            Some(_) => self.check(service, &home, &object.name, Need::Read, Some(object)),
        }
    }

    /// What no role of the account allows. A signed URL is for what it says, and no login.
    fn decide(&self, action: Action, rules: &Rules) -> Decision {
        match self.by_link() {
            true => Decision { allowed: false, reason: Reason::NotGranted },
            false => decide(&self.subject, action, rules),
        }
    }

    /// Whether what only this door knows allows it: a signed URL, or where somebody comes from.
    fn by_door(&self, container: &Container, need: Need) -> bool {
        if let Who::Link(scope) = &*self.who {
            return scope.allows(&self.path_name(), container, need);
        }
        let list = match need {
            Need::Read | Need::List => container.settings.get(READ),
            Need::Write | Need::Remove | Need::Change => None,
        };
        list.is_some_and(|list| {
            acl::allows_referrer(list, self.referer.as_deref(), need == Need::List)
        })
    }

    /// A signed URL is for one object: what would let its holder read others is refused.
    pub(super) fn check_headers(&self, ask: &Ask) -> Result<(), Refusal> {
        let wide = ["X-Object-Manifest", link::HEADER]
            .into_iter()
            .find(|name| self.by_link() && ask.headers.contains_key(*name));
        match wide {
            Some(name) => Err(Refusal::invalid(format_args!(
                "The header '{name}' is not allowed in this tempurl"
            ))),
            None => Ok(()),
        }
    }

    /// What names begin with that a signed URL is for.
    pub(super) fn link_prefix(&self) -> Option<&str> {
        match &*self.who {
            Who::Link(scope) => scope.prefix(),
            Who::Nobody | Who::Known(_) => None,
        }
    }

    /// Whether it was let in by a signed URL.
    pub(super) fn by_link(&self) -> bool {
        matches!(&*self.who, Who::Link(_))
    }
}

/// An account by its name in a path; who may not know of it learns nothing.
fn account(service: &Service, who: &Who, name: &str) -> Result<Account, Refusal> {
    let found = match name.strip_prefix("AUTH_") {
        Some(uuid) => match service.account(&Named::Uuid(uuid.to_owned())) {
            Ok(account) => Some(account),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let is_admin = matches!(who, Who::Known(identity) if identity.is_admin());
    match found.filter(|account| account.enabled || is_admin) {
        Some(account) => Ok(account),
        None if is_admin => Err(Refusal::not_found()),
        // As if it were there and of no concern to whoever asks.
        None => Err(denied(who, name)),
    }
}

/// What somebody is in an account that it belongs to.
fn member(who: &Identity, account: &Account) -> Option<Role> {
    (who.account.id == account.id && who.role != Role::Guest).then_some(who.role)
}

fn role(service: &Service, who: &Who, account: &Account) -> Result<Option<Role>, Refusal> {
    let Who::Known(identity) = who else { return Ok(None) };
    if identity.is_admin() {
        return Ok(Some(Role::Admin));
    }
    if let Some(role) = member(identity, account) {
        return Ok(Some(role));
    }
    let settings = service.account_settings(account.id)?;
    let list = settings.get(account_acl::SETTING);
    let given = list.and_then(|list| account_acl::role(list, identity));
    // Who changes nothing at home changes nothing elsewhere.
    Ok(given.map(|role| if identity.role == Role::Reader { Role::Reader } else { role }))
}

fn denied(who: &Who, account: &str) -> Refusal {
    match who {
        Who::Known(_) => Refusal::forbidden("Access was denied to this resource."),
        Who::Nobody | Who::Link(_) => Refusal::unauthorized(account),
    }
}

fn who(service: &Service, ask: &Ask) -> Result<Who, Refusal> {
    if let Some(scope) = tempurl::check(service, ask)? {
        return Ok(Who::Link(scope));
    }
    let token = ["x-auth-token", "x-storage-token"].into_iter().find_map(|name| ask.header(name));
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(Who::Nobody) };
    match service.session(&Secret::new(token)) {
        Ok(session) => Ok(Who::Known(Box::new(session.identity))),
        Err(error) if error.kind() == ErrorKind::Unauthenticated => {
            Err(Refusal::unauthorized(&ask.account))
        }
        Err(error) => Err(error.into()),
    }
}
