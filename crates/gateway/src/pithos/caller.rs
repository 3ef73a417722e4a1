//! Who asks, and what they may.

use std::sync::Arc;

use archipelago_model::{ContainerName, ObjectName};
use archipelago_pool::{
    Account, Action, Container, Error, ErrorKind, Identity, Named, Object, Role, Secret, Service,
    Shared, Subject,
};

use super::ask::Ask;
use crate::access;
use crate::swift::answer::Refusal;
use crate::upload::{Again, ended};

/// Finds out whether whoever sends a body may still write to the object of the request, which is
/// in `container`.
pub(super) fn writes_still(ask: &Arc<Ask>, container: u64) -> Again {
    let ask = Arc::clone(ask);
    Box::new(move |service| {
        let home = || -> Result<Container, Refusal> {
            let caller = Caller::new(service, &ask)?;
            caller.home(service, &ask.container()?, &ask.object()?, Action::Write)
        };
        match home() {
            Ok(home) if home.id == container => Ok(()),
            Ok(_) | Err(_) => Err(ended()),
        }
    })
}

/// Who asks, and of which account.
#[derive(Clone)]
pub(super) struct Caller {
    pub subject: Subject,
    pub identity: Identity,
    /// Of the path.
    pub account: Account,
}

impl Caller {
    pub(super) fn new(service: &Service, ask: &Ask) -> Result<Self, Refusal> {
        let identity = identity(service, ask)?;
        let subject = service.subject(Some(&identity))?;
        Self::of(service, subject, identity, ask.account())
    }

    /// The same, in another account.
    pub(super) fn elsewhere(&self, service: &Service, account: &str) -> Result<Self, Refusal> {
        Self::of(service, self.subject.clone(), self.identity.clone(), account)
    }

    fn of(
        service: &Service,
        subject: Subject,
        identity: Identity,
        name: &str,
    ) -> Result<Self, Refusal> {
        let uuid = name.strip_prefix("AUTH_").unwrap_or(name).replace('-', "");
        // Clients of Pithos know themselves only: a user stands for the account it logged into.
        if uuid == hex::encode(identity.user.uuid) {
            let account = identity.account.clone();
            return Ok(Self { subject, identity, account });
        }
        match service.account(&Named::Uuid(uuid)) {
            Ok(account) if account.enabled || identity.is_admin() => {
                Ok(Self { subject, identity, account })
            }
            Ok(_) => Err(denied()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(denied()),
            Err(error) => Err(error.into()),
        }
    }

    /// Who says what is said, in the record.
    pub(super) fn name(&self) -> String {
        access::actor(&self.subject)
    }

    /// Whether it acts for the account of the path, in whichever role.
    pub(super) fn owns(&self) -> bool {
        self.subject.owns(self.account.id)
    }

    fn role(&self) -> Option<Role> {
        let who = &self.identity;
        match self.owns() {
            true if who.is_admin() => Some(Role::Admin),
            true => Some(who.role),
            false => None,
        }
    }

    /// To make containers, and to keep metadata of the account.
    pub(super) fn check_writes(&self) -> Result<(), Refusal> {
        match self.role() {
            Some(Role::Admin | Role::Member) => Ok(()),
            Some(Role::Reader | Role::Guest) | None => Err(denied()),
        }
    }

    /// To say who may do what, and who is in groups.
    pub(super) fn check_governs(&self) -> Result<(), Refusal> {
        match self.role() {
            Some(Role::Admin) => Ok(()),
            Some(_) => {
                Err(Refusal::forbidden("Who may do what is said by administrators of the account."))
            }
            None => Err(denied()),
        }
    }

    /// Whether it may change what is of the account that it acts for: there its blocks wait.
    pub(super) fn writes_at_home(&self) -> bool {
        let who = &self.identity;
        who.is_admin() || matches!(who.role, Role::Admin | Role::Member)
    }

    /// A container, whatever may be done with it. Who does not own it learns nothing of whether
    /// it exists.
    pub(super) fn find(
        &self,
        service: &Service,
        name: &ContainerName,
    ) -> Result<Container, Refusal> {
        match service.container(self.account.id, name) {
            Ok(container) => Ok(container),
            Err(error) if error.kind() == ErrorKind::NotFound && !self.owns() => Err(denied()),
            Err(error) => Err(error.into()),
        }
    }

    /// A container, if this may be done with it.
    pub(super) fn container(
        &self,
        service: &Service,
        name: &ContainerName,
        action: Action,
    ) -> Result<Container, Refusal> {
        let found = self.find(service, name)?;
        let decision = access::of_container(service, &self.subject, action, &found);
        if decision.allowed {
            return Ok(found);
        }
        Err(self.refuse_container(service, &found, action))
    }

    /// A refusal, which is recorded.
    pub(super) fn refuse_container(
        &self,
        service: &Service,
        container: &Container,
        action: Action,
    ) -> Refusal {
        let why = access::of_container(service, &self.subject, action, container).reason;
        let shared = Shared::Container(container.id);
        access::record_refusal(service, &self.subject, action, &shared, &why.to_string());
        denied()
    }

    /// The container of an object, if this may be done with what has its name now.
    pub(super) fn home(
        &self,
        service: &Service,
        container: &ContainerName,
        name: &ObjectName,
        action: Action,
    ) -> Result<Container, Refusal> {
        let home = self.find(service, container)?;
        self.check(service, action, &home, name, None)?;
        Ok(home)
    }

    /// To do something with an object, or with its name where there is none.
    pub(super) fn check(
        &self,
        service: &Service,
        action: Action,
        home: &Container,
        name: &ObjectName,
        object: Option<&Object>,
    ) -> Result<(), Refusal> {
        let place = (home, name);
        let decision = access::of_object(service, &self.subject, action, place, object)?;
        if decision.allowed {
            return Ok(());
        }
        let shared = Shared::Path(home.id, name.to_string());
        let why = decision.reason.to_string();
        access::record_refusal(service, &self.subject, action, &shared, &why);
        Err(denied())
    }

    /// Whether something may be done with an object, without a word in the record.
    pub(super) fn may(
        &self,
        service: &Service,
        action: Action,
        home: &Container,
        object: &Object,
    ) -> Result<bool, Error> {
        let place = (home, &object.name);
        let decision = access::of_object(service, &self.subject, action, place, Some(object))?;
        Ok(decision.allowed)
    }
}

pub(super) fn denied() -> Refusal {
    Refusal::forbidden("Access was denied to this resource.")
}

/// Whoever has the token.
pub(super) fn identity(service: &Service, ask: &Ask) -> Result<Identity, Refusal> {
    let token = ask.header("x-auth-token").filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| Refusal::unauthorized(ask.account()))?;
    match service.session(&Secret::new(token)) {
        Ok(session) => Ok(session.identity),
        Err(error) if error.kind() == ErrorKind::Unauthenticated => {
            Err(Refusal::unauthorized(ask.account()))
        }
        Err(error) => Err(error.into()),
    }
}
