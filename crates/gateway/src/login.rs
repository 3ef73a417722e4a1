//! Who a request of the native API comes from, and what it may use.
//!
//! A token says who. Without one it is the operator, where [`Login`] lets whoever comes from there
//! be that, and nobody anywhere else.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use archipelago_api::ErrorKind;
use archipelago_model::{AccountId, AccountName, ImageName, SnapshotPath, Source, VolumeName};
use archipelago_pool::{
    Action, Error, ErrorKind as Kind, Named, Role, Secret, Service, Shared, Subject, Which,
};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::failure::Failure;
use crate::{App, access};

/// Who has to log in to the native API.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Login {
    /// Whoever does not connect from the machine itself, or comes through a proxy that says so.
    #[default]
    Remote,
    /// Everybody.
    Always,
    /// Nobody: whoever reaches the listener is the operator.
    Never,
}

/// What proxies add to what they hand on: from whom it comes, and that it was handed on.
const HANDED_ON: [&str; 3] = ["forwarded", "via", "x-real-ip"];
const HANDED_ON_PREFIX: &str = "x-forwarded-";

impl Login {
    /// Whether a request without a token is the operator's.
    fn trusts(self, door: Door<'_>) -> bool {
        match self {
            Self::Never => true,
            Self::Always => false,
            // A proxy on this machine hands on what comes from elsewhere.
            Self::Remote => {
                !door.is_of_proxy()
                    && door.peer.is_some_and(|Peer(peer)| peer.to_canonical().is_loopback())
            }
        }
    }
}

/// How a request came.
#[derive(Clone, Copy)]
pub(crate) struct Door<'a> {
    pub(crate) peer: Option<Peer>,
    pub(crate) version: Version,
    pub(crate) headers: &'a HeaderMap,
}

impl<'a> Door<'a> {
    fn of(request: &'a Request) -> Self {
        let peer = request.extensions().get::<Peer>().copied();
        Self { peer, version: request.version(), headers: request.headers() }
    }

    /// Whether anything tells that a proxy sent it. Those that tell nothing cannot be known:
    /// with them `login` has to be `always`.
    fn is_of_proxy(self) -> bool {
        let tells = |name: &str| HANDED_ON.contains(&name) || name.starts_with(HANDED_ON_PREFIX);
        // What `Connection` names a proxy in between has taken out.
        let taken_out = self.headers.get_all(CONNECTION).iter().any(|value| {
            // Text that is none tells nothing good either.
            value.to_str().map_or(true, |names| {
                names.split(',').any(|name| tells(&name.trim().to_ascii_lowercase()))
            })
        });
        // Programs say 1.1 for twenty years; proxies say 1.0 to those behind them.
        self.version < Version::HTTP_11
            || taken_out
            || self.headers.keys().any(|name| tells(name.as_str()))
    }
}

/// From where a connection comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(IpAddr);

impl Peer {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(address.ip())
    }
}

/// Whom a route is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum For {
    /// Everybody, without a word of who it is.
    Anybody,
    /// Everybody who has logged in: what it may do with what, its handler asks.
    Users,
    /// The operator, and administrators of the store.
    Operator,
    /// The same; but what changes who logs in is not for programs with a credential of their own,
    /// which would outlive it.
    Directory,
}

/// Who asks.
#[derive(Clone)]
pub(crate) enum Caller {
    /// Whoever may do everything, without a login.
    Operator,
    /// Somebody with a token, acting for an account.
    User(Arc<Known>),
}

/// Somebody who has logged in.
pub(crate) struct Known {
    token: Secret,
    /// The application credential that the token was got with.
    credential: Option<[u8; 16]>,
    subject: Subject,
    name: String,
    /// The account that it acts for, as names say it: the first one they do not.
    home: Option<AccountName>,
    account: AccountName,
    role: Role,
    is_admin: bool,
}

/// The name of the first account, once there is one: it never changes.
pub(crate) type First = Arc<OnceLock<AccountName>>;

/// Finds out who asks, and keeps those out whom a route is not for.
pub(crate) async fn layer(
    State((app, whom)): State<(App, For)>,
    mut request: Request,
    next: Next,
) -> Response {
    if whom == For::Anybody {
        return next.run(request).await;
    }
    let is_read = request.method().is_safe();
    match caller(&app, Door::of(&request)).await {
        Ok(caller) if whom != For::Users && !caller.is_operator() => {
            forbidden("this is for the operator and administrators of the store").into_response()
        }
        Ok(caller) if whom == For::Directory && caller.credential().is_some() && !is_read => {
            forbidden(
                "a token of an application credential may not change who logs in; log in with the \
                 password",
            )
            .into_response()
        }
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

/// Whether the operator, or an administrator of the store, sends a request of a route that is for
/// anybody.
pub(crate) async fn is_operators(app: &App, door: Door<'_>) -> bool {
    caller(app, door).await.is_ok_and(|caller| caller.is_operator())
}

async fn caller(app: &App, door: Door<'_>) -> Result<Caller, Failure> {
    let Some(token) = token(door.headers)? else {
        return match app.login.trusts(door) {
            true => Ok(Caller::Operator),
            false => Err(unauthenticated(
                "say who you are: X-Auth-Token or Authorization: Bearer with a token, as \
                 `archipelago token issue USER` prints it",
            )),
        };
    };
    let asked = token.clone();
    let (session, subject, first) = app
        .calls
        .ask(&app.service, move |service| {
            let session = service.session(&asked)?;
            let subject = service.subject(Some(&session.identity))?;
            Ok((session, subject, service.first_account()?))
        })
        .await?;
    let who = session.identity;
    let is_first = first.is_some_and(|first| first.id == who.account.id);
    Ok(Caller::User(Arc::new(Known {
        token,
        credential: session.credential,
        subject,
        name: who.user.name.to_string(),
        home: (!is_first).then(|| who.account.name.clone()),
        role: who.role,
        is_admin: who.is_admin(),
        account: who.account.name,
    })))
}

/// The token of a request. A header that is there and says nothing is none, and nobody's: whose
/// variable was empty does not want to be the operator.
fn token(headers: &HeaderMap) -> Result<Option<Secret>, Failure> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let token = match (text("x-auth-token"), text(AUTHORIZATION.as_str())) {
        (Some(token), _) => token,
        (None, Some(words)) => words
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| unauthenticated("these routes know `Authorization: Bearer TOKEN`"))?,
        (None, None) => return Ok(None),
    };
    match token {
        "" => Err(Error::unauthenticated().into()),
        token => Ok(Some(Secret::new(token))),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // The layer puts it there; a route that has none lets nobody in.
        parts.extensions.get::<Self>().cloned().ok_or_else(Failure::defect)
    }
}

/// A name that says which account owns what it names.
pub(crate) trait Owned: Clone {
    fn owner(&self) -> Option<&str>;
    fn with(&self, account: Option<&AccountName>) -> Self;
}

impl Owned for VolumeName {
    fn owner(&self) -> Option<&str> {
        Self::owner(self)
    }

    fn with(&self, account: Option<&AccountName>) -> Self {
        self.of(account)
    }
}

impl Owned for ImageName {
    fn owner(&self) -> Option<&str> {
        Self::owner(self)
    }

    fn with(&self, account: Option<&AccountName>) -> Self {
        self.of(account)
    }
}

/// How names are said to somebody and by it: those of its own account without that, those of
/// others with it.
pub(crate) struct Names {
    home: Option<AccountName>,
    first: Option<AccountName>,
}

impl Names {
    /// A name as the catalog has it.
    pub(crate) fn full<N: Owned>(&self, name: N) -> N {
        match name.owner() {
            None => name.with(self.home.as_ref()),
            Some(owner) if self.is_first(owner) => name.with(None),
            Some(_) => name,
        }
    }

    /// A snapshot as the catalog has it.
    pub(crate) fn full_path(&self, path: SnapshotPath) -> SnapshotPath {
        SnapshotPath { volume: self.full(path.volume), snapshot: path.snapshot }
    }

    /// A SOURCE as the catalog has it.
    pub(crate) fn full_source(&self, source: Source) -> Source {
        match source {
            Source::Image(name) => Source::Image(self.full(name)),
            Source::Volume(name) => Source::Volume(self.full(name)),
            Source::Snapshot(path) => Source::Snapshot(self.full_path(path)),
            Source::File(container, object) => match &self.home {
                Some(home) => Source::FileOf(home.clone(), container, object),
                None => Source::File(container, object),
            },
            Source::FileOf(owner, container, object) if self.is_first(owner.as_str()) => {
                Source::File(container, object)
            }
            Source::FileOf(..) => source,
        }
    }

    /// What is to be shared as the pool reads it: SOURCEs in full, all else as it is.
    pub(crate) fn full_text(&self, text: &str) -> String {
        match text.parse() {
            Ok(source @ (Source::Image(_) | Source::Volume(_) | Source::Snapshot(_))) => {
                self.full_source(source).to_string()
            }
            // A container is one of the account that is meant.
            _ => text.to_owned(),
        }
    }

    /// A name of the catalog as it is said here.
    pub(crate) fn shown<N: Owned>(&self, name: &N) -> N {
        let home = self.home.as_ref().map(AccountName::as_str);
        match name.owner() {
            owner if owner == home => name.with(None),
            None => name.with(self.first.as_ref()),
            Some(_) => name.clone(),
        }
    }

    /// The text of a SOURCE of the catalog as it is said here.
    pub(crate) fn shown_source(&self, text: &str) -> String {
        match text.parse() {
            Ok(Source::Image(name)) => Source::Image(self.shown(&name)).to_string(),
            Ok(Source::Volume(name)) => Source::Volume(self.shown(&name)).to_string(),
            Ok(Source::Snapshot(path)) => {
                let volume = self.shown(&path.volume);
                Source::Snapshot(SnapshotPath { volume, snapshot: path.snapshot }).to_string()
            }
            Ok(Source::FileOf(owner, container, object)) if Some(&owner) == self.home.as_ref() => {
                Source::File(container, object).to_string()
            }
            Ok(Source::File(container, object)) if self.home.is_some() => match &self.first {
                Some(first) => Source::FileOf(first.clone(), container, object).to_string(),
                None => text.to_owned(),
            },
            _ => text.to_owned(),
        }
    }

    fn is_first(&self, owner: &str) -> bool {
        self.first.as_ref().is_some_and(|first| first.as_str() == owner)
    }
}

impl Known {
    /// Refuses what was begun by somebody who has no token any more, or may do something else.
    pub(crate) fn check_still(&self, service: &Service) -> Result<(), Error> {
        let session = service.session(&self.token)?;
        let now = service.subject(Some(&session.identity))?;
        let what = |subject: &Subject| {
            let who = subject.identity.as_ref();
            let who = who.map(|who| (who.user.id, who.account.id, who.role, who.is_admin()));
            (who, subject.groups.clone())
        };
        if what(&now) == what(&self.subject) {
            return Ok(());
        }
        Err(Error::new(Kind::Unavailable, "what you may do changed meanwhile; send it again"))
    }
}

impl Caller {
    /// Whether it may do everything.
    pub(crate) fn is_operator(&self) -> bool {
        match self {
            Self::Operator => true,
            Self::User(known) => known.is_admin,
        }
    }

    /// Who asks the rule; `None` for the operator, whom it does not know.
    pub(crate) fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Operator => None,
            Self::User(known) => Some(&known.subject),
        }
    }

    /// What the record calls it.
    pub(crate) fn actor(&self) -> &str {
        match self {
            Self::Operator => "operator",
            Self::User(known) => &known.name,
        }
    }

    /// The application credential that it came with.
    pub(crate) fn credential(&self) -> Option<[u8; 16]> {
        match self {
            Self::Operator => None,
            Self::User(known) => known.credential,
        }
    }

    /// Asks once more who it is, when what it sent has come, which may be long after.
    pub(crate) async fn check_still(&self, app: &App) -> Result<(), Failure> {
        let Self::User(known) = self else { return Ok(()) };
        let known = Arc::clone(known);
        app.calls.ask(&app.service, move |service| known.check_still(service)).await
    }

    /// The account that it acts for; `None` for the operator.
    pub(crate) fn account(&self) -> Option<&AccountName> {
        match self {
            Self::Operator => None,
            Self::User(known) => Some(&known.account),
        }
    }

    /// The account `home`, if it acts for that.
    pub(crate) fn member_of(
        &self,
        service: &Service,
        home: &Named,
    ) -> Result<Option<AccountId>, Error> {
        let owner = service.account(home)?.id;
        Ok(self.subject().is_none_or(|subject| subject.owns(owner)).then_some(owner))
    }

    /// How names are said by it and to it.
    pub(crate) async fn names(&self, app: &App) -> Result<Names, Failure> {
        let home = match self {
            Self::Operator => None,
            Self::User(known) => known.home.clone(),
        };
        let first = match app.first.get() {
            Some(first) => Some(first.clone()),
            None => {
                let first = app.calls.call(&app.service, Service::first_account).await?;
                first.map(|account| app.first.get_or_init(|| account.name).clone())
            }
        };
        Ok(Names { home, first })
    }

    /// Whether it acts for the account that owns what has a name, or may do everything.
    pub(crate) fn owns<N: Owned>(&self, name: &N) -> bool {
        match self {
            Self::Operator => true,
            Self::User(known) => {
                let home = known.home.as_ref().map(AccountName::as_str);
                known.is_admin || (known.role != Role::Guest && name.owner() == home)
            }
        }
    }

    /// Refuses to make something under a name that is another account's to give.
    pub(crate) fn check_new<N: Owned>(&self, name: &N) -> Result<(), Failure> {
        let Self::User(known) = self else { return Ok(()) };
        if known.is_admin {
            return Ok(());
        }
        if name.owner() != known.home.as_ref().map(AccountName::as_str) {
            return Err(forbidden(
                "what you make belongs to your own account: leave the account out of the name",
            ));
        }
        match known.role {
            Role::Admin | Role::Member => Ok(()),
            role @ (Role::Reader | Role::Guest) => Err(forbidden(&format!(
                "the role '{role}' in account '{}' makes and changes nothing",
                known.account
            ))),
        }
    }

    /// Asks the rule whether it may do something with what a SOURCE names. A refusal is recorded.
    pub(crate) async fn allow(
        &self,
        app: &App,
        action: Action,
        source: &Source,
    ) -> Result<(), Failure> {
        let Self::User(known) = self else { return Ok(()) };
        let (known, source) = (Arc::clone(known), source.clone());
        app.calls
            .call(&app.service, move |service| match source.is_file() {
                false => service.allow(&known.subject, action, &source),
                // Who may read a file may copy it, so that clone says nothing more of one.
                true => allow_file(service, &known.subject, Action::Read, &source),
            })
            .await
    }
}

/// Asks the rule about a file, with the lists of its doors.
fn allow_file(
    service: &Service,
    subject: &Subject,
    action: Action,
    source: &Source,
) -> Result<(), Error> {
    let none = || {
        let message = format!("'{source}' does not exist, or is not shared with you");
        Error::new(Kind::NotFound, message)
    };
    let hide = |error: Error| if error.kind() == Kind::NotFound { none() } else { error };
    let (home, name) = match source {
        Source::File(container, name) => {
            (service.container_of_operator(container).map_err(hide)?, name)
        }
        Source::FileOf(owner, container, name) => {
            let owner = Named::name(owner);
            let owner = service.account(&owner).map_err(hide)?.id;
            (service.container(owner, container).map_err(hide)?, name)
        }
        Source::Image(_) | Source::Volume(_) | Source::Snapshot(_) => return Err(none()),
    };
    let object = service.object_or_marker(home.id, name, Which::Latest)?;
    let object = object.filter(|object| !object.marker);
    let decision = access::of_object(service, subject, action, (&home, name), object.as_ref())?;
    if decision.allowed {
        return object.map(drop).ok_or_else(none);
    }
    if object.is_some() {
        let (shared, why) = (Shared::Path(home.id, name.to_string()), decision.reason.to_string());
        access::record_refusal(service, subject, action, &shared, &why);
    }
    Err(none())
}

fn forbidden(message: &str) -> Failure {
    Failure::new(ErrorKind::Forbidden, message)
}

fn unauthenticated(message: &str) -> Failure {
    Failure::new(ErrorKind::Unauthenticated, message)
}
