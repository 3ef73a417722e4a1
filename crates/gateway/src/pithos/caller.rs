//! Who asks, and what they may.

use archipelago_model::ContainerName;
use archipelago_pool::{Account, Container, ErrorKind, Identity, Named, Role, Secret, Service};

use super::ask::Ask;
use crate::swift::answer::Refusal;

/// What somebody wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    Read,
    Write,
    /// What only the owner may: remove, move away, see the past of others.
    Own,
    /// What only who looks after an account may: say who belongs to whom.
    Admin,
}

/// Who asks, and of which account.
#[derive(Clone)]
pub(super) struct Caller {
    pub identity: Identity,
    /// Of the path.
    pub account: Account,
}

impl Caller {
    pub(super) fn new(service: &Service, ask: &Ask) -> Result<Self, Refusal> {
        let identity = identity(service, ask)?;
        Self::of(service, identity, ask.account())
    }

    /// The same, in another account.
    pub(super) fn elsewhere(&self, service: &Service, account: &str) -> Result<Self, Refusal> {
        Self::of(service, self.identity.clone(), account)
    }

    fn of(service: &Service, identity: Identity, name: &str) -> Result<Self, Refusal> {
        let uuid = name.strip_prefix("AUTH_").unwrap_or(name).replace('-', "");
        // Clients of Pithos know themselves only: a user stands for the account it logged into.
        if uuid == hex::encode(identity.user.uuid) {
            let account = identity.account.clone();
            return Ok(Self { identity, account });
        }
        match service.account(&Named::Uuid(uuid)) {
            Ok(account) if account.enabled || identity.is_admin() => Ok(Self { identity, account }),
            Ok(_) => Err(denied()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(denied()),
            Err(error) => Err(error.into()),
        }
    }

    fn role(&self) -> Option<Role> {
        match self.identity.account.id == self.account.id {
            _ if self.identity.is_admin() => Some(Role::Admin),
            true => Some(self.identity.role),
            false => None,
        }
    }

    pub(super) fn may(&self, need: Need) -> bool {
        match need {
            Need::Read => matches!(self.role(), Some(Role::Admin | Role::Member | Role::Reader)),
            Need::Admin => self.role() == Some(Role::Admin),
            Need::Write | Need::Own => matches!(self.role(), Some(Role::Admin | Role::Member)),
        }
    }

    pub(super) fn check(&self, need: Need) -> Result<(), Refusal> {
        if self.may(need) { Ok(()) } else { Err(denied()) }
    }

    /// A container, if this may be done in it. Who may not learns nothing of whether it exists.
    pub(super) fn container(
        &self,
        service: &Service,
        name: &ContainerName,
        need: Need,
    ) -> Result<Container, Refusal> {
        self.check(need)?;
        Ok(service.container(self.account.id, name)?)
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
