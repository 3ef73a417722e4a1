//! Keys, who a request comes from, and what that may do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use archipelago_model::{ContainerName, ObjectName};
use archipelago_pool::{
    Action, Container, Decision, Error, Identity, Object, Role, Service, Shared, Subject, decide,
};
use axum::http::{HeaderMap, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{Credentials, S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};

use super::acl::Permission;
use super::documents::Desk;
use super::door::Door;
use super::fault::{Missing, denied, fault};
use super::policy::{self, Verdict};
use super::{settings, signed_headers, unmeasured};
use crate::upload::{Again, ended};
use crate::{App, access};

/// A signed URL holds for a week at most, in seconds: what S3 has. The library takes any length.
const URL_SECONDS_MAX: u64 = 7 * 24 * 3600;

tokio::task_local! {
    /// Whose key the library asked for in the request under way, by its public part: the
    /// request is theirs once the library has found the signature right.
    static SIGNER: RefCell<Option<(String, Arc<Subject>, Arc<Identity>)>>;
}

/// Runs the library with a place for who signed the request.
pub(super) async fn signed<F: Future>(answering: F) -> F::Output {
    SIGNER.scope(RefCell::default(), answering).await
}

/// Where the library gets secrets from, to check signatures with.
pub(super) struct Keys {
    app: App,
}

impl Keys {
    pub(super) const fn new(app: App) -> Self {
        Self { app }
    }
}

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let key = access_key.to_owned();
        let asked = key.clone();
        let found = self.app.calls.call(&self.app.service, move |service| {
            let (secret, identity) = service.key_secret(&asked)?;
            Ok((secret, service.subject(Some(&identity))?, identity))
        });
        match found.await {
            Ok((secret, subject, identity)) => {
                let signer = Some((key, Arc::new(subject), Arc::new(identity)));
                // Outside of a request nobody asks who it was.
                let _ = SIGNER.try_with(|cell| cell.replace(signer));
                Ok(SecretKey::from(secret.expose()))
            }
            Err(failure) if failure.kind() == archipelago_api::ErrorKind::Unauthenticated => {
                Err(s3_error!(InvalidAccessKeyId, "The AWS access key Id does not exist"))
            }
            Err(failure) => Err(fault(&failure, Missing::Key)),
        }
    }
}

/// Lets everybody in whose signature is right, and those who gave none: each operation asks
/// for the right that it needs.
pub(super) struct Anybody {
    app: App,
    desk: Desk,
}

/// A request that looked signed, so that nobody asked whether a page of another site sends it.
#[derive(Clone)]
pub(super) struct Unguarded;

impl Anybody {
    pub(super) fn new(app: &App) -> Self {
        Self { app: app.clone(), desk: Desk::new(app) }
    }
}

#[async_trait::async_trait]
impl S3Access for Anybody {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let looked_signed = cx.extensions_mut().get::<Unguarded>().is_some();
        if looked_signed
            && cx.credentials().is_none()
            && self.app.guard.check(cx.method(), cx.headers()).is_err()
        {
            return Err(denied());
        }
        if cx.credentials().is_some() {
            let form = cx.s3_op().name() == "PostObject";
            signed_headers::check(form, cx.uri(), cx.headers())?;
        }
        if holds_too_long(cx.uri()) {
            return Err(s3_error!(
                AuthorizationQueryParametersError,
                "X-Amz-Expires is a week at most, in seconds: {URL_SECONDS_MAX}"
            ));
        }
        let operation = cx.s3_op().name().to_owned();
        unmeasured::check(cx.extensions_mut(), &operation)?;
        let asked = Asked {
            operation,
            key: cx.s3_path().get_object_key().map(str::to_owned),
            context: policy::context(cx.headers(), cx.uri()),
        };
        cx.extensions_mut().insert(asked);
        self.desk.check(cx).await
    }
}

/// Whether a URL was signed for a longer time than one may be.
pub(super) fn holds_too_long(uri: &Uri) -> bool {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    pairs
        .iter()
        .filter(|(name, _)| name == "X-Amz-Expires")
        .any(|(_, seconds)| seconds.parse::<u64>().is_ok_and(|seconds| seconds > URL_SECONDS_MAX))
}

/// What a request asks for, in the words of policies.
#[derive(Clone, Default, Debug)]
pub(super) struct Asked {
    /// `GetObject`.
    pub(super) operation: String,
    /// The key in the path.
    pub(super) key: Option<String>,
    /// What conditions of policies look at, by the names that it has there, in lower case.
    pub(super) context: BTreeMap<String, String>,
}

impl Asked {
    /// The version in the query.
    pub(super) fn version(&self) -> Option<&str> {
        self.context.get("s3:versionid").map(String::as_str)
    }
}

/// Who a request comes from, and what it asks for.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    /// `None` is anybody.
    pub(super) identity: Option<Arc<Identity>>,
    /// The same, with its groups.
    pub(super) subject: Arc<Subject>,
    /// The public part of the key that signed it.
    access_key: Option<String>,
    /// Whom it takes for the owner of the bucket.
    expected_owner: Option<String>,
    pub(super) asked: Asked,
}

impl Actor {
    /// Who signed a request with such credentials, which the library has checked.
    pub(super) fn new(
        headers: &HeaderMap,
        asked: Asked,
        credentials: Option<&Credentials>,
    ) -> S3Result<Self> {
        let expected = headers.get("x-amz-expected-bucket-owner");
        let expected_owner = expected.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let subject = Arc::new(Subject::anybody());
        let mut actor = Self { identity: None, subject, access_key: None, expected_owner, asked };
        if let Some(credentials) = credentials {
            let known = SIGNER.try_with(|cell| cell.borrow().clone()).ok().flatten();
            let key = &credentials.access_key;
            let Some((_, subject, identity)) = known.filter(|(of, ..)| of == key) else {
                return Err(denied());
            };
            if !acts(&identity) {
                return Err(denied());
            }
            (actor.identity, actor.subject) = (Some(identity), subject);
            actor.access_key = Some(key.clone());
        }
        Ok(actor)
    }

    #[cfg(test)]
    pub(super) fn anybody(asked: Asked) -> Self {
        let subject = Arc::new(Subject::anybody());
        Self { identity: None, subject, access_key: None, expected_owner: None, asked }
    }

    /// Finds out whether it may still do this with a bucket while a body of it comes: its key, its
    /// user and its right may end meanwhile.
    pub(super) fn still(&self, bucket: &Container, wanted: Permission) -> Again {
        let (mut asking, bucket) = (self.clone(), bucket.id);
        Box::new(move |service| {
            if let Some(key) = &asking.access_key {
                let (_, identity) = service.key_secret(key).map_err(|_| ended())?;
                if !acts(&identity) {
                    return Err(ended());
                }
                asking.subject = Arc::new(service.subject(Some(&identity))?);
                asking.identity = Some(Arc::new(identity));
            }
            let home = service.container_by_id(bucket)?;
            match asking.may(service, &home, &Need::of(&asking, wanted))? {
                true => Ok(()),
                false => Err(ended()),
            }
        })
    }

    /// The account that it acts for.
    pub(super) fn identity(&self) -> S3Result<&Identity> {
        self.identity.as_deref().ok_or_else(denied)
    }

    /// Whether it belongs to the account, or may do everything.
    pub(super) fn owns(&self, container: &Container) -> bool {
        let account = container.account;
        self.identity.as_ref().is_some_and(|who| who.is_admin() || who.account.id == account)
    }

    pub(super) fn writes(&self) -> bool {
        self.identity.as_ref().is_some_and(|who| who.is_admin() || who.role != Role::Reader)
    }

    /// Whether it may say who else may do what with what it owns.
    pub(super) fn governs(&self) -> bool {
        self.identity.as_ref().is_some_and(|who| who.is_admin() || who.role == Role::Admin)
    }

    /// What the policy of a bucket says of another operation, that a request asks for besides.
    pub(super) fn besides(&self, container: &Container, operation: &str) -> Verdict {
        let mut asking = self.clone();
        asking.asked.operation = operation.to_owned();
        policy::of_bucket(container).judge(&asking, container, asking.asked.key.as_deref())
    }

    /// Whether it may do something. Policies come first: they may deny, and their owner, too.
    pub(super) fn decide(
        &self,
        service: &Service,
        container: &Container,
        wanted: &Need<'_>,
    ) -> Result<Answer, Error> {
        let policy = policy::of_bucket(container);
        let verdict = match wanted.object {
            Some(object) => policy.judge_object(self, container, object),
            None => policy.judge(self, container, wanted.key),
        };
        match verdict {
            Verdict::Denied => {
                return Ok(Answer::No("a policy of the bucket denies it".to_owned()));
            }
            Verdict::Allowed | Verdict::Silent => {}
        }
        let action = wanted.action();
        // The bucket's owner lets nobody read what belongs to somebody else.
        let is_writers = wanted.object.is_some_and(|one| container.writer_of(one).is_some());
        let counts = !(is_writers && action.is_of_content());
        let role = access::of_role(service, &self.subject, action, container, wanted.object);
        match (verdict, role) {
            // What a role may not change, no policy lets it.
            (Verdict::Allowed, Some(known)) if !known.allowed => return Ok(Answer::of(&known)),
            (Verdict::Allowed, _) if counts => return Ok(Answer::Yes),
            (_, Some(known)) => return Ok(Answer::of(&known)),
            (_, None) => {}
        }
        let name = match wanted.object {
            Some(object) => Some(object.name.clone()),
            None if wanted.is_of_name() => wanted.key.and_then(|key| key.parse().ok()),
            None => None,
        };
        let mut rules = match &name {
            Some(name) => {
                access::object_rules(service, &self.subject, container, name, wanted.object)?
            }
            None => access::container_rules(service, &self.subject, container),
        };
        // A name that cannot be is in the container all the same.
        rules.of_container = !wanted.is_of_name();
        rules.ignores_public = settings::ignores_public(container);
        Ok(Answer::of(&decide(&self.subject, action, &rules)))
    }

    /// The same, and a refusal is recorded.
    pub(super) fn may(
        &self,
        service: &Service,
        container: &Container,
        wanted: &Need<'_>,
    ) -> Result<bool, Error> {
        match self.decide(service, container, wanted)? {
            Answer::Yes => Ok(true),
            Answer::No(why) => {
                let shared = match (wanted.object, wanted.key) {
                    (Some(object), _) => Shared::Path(container.id, object.name.to_string()),
                    (None, Some(key)) => Shared::Path(container.id, key.to_owned()),
                    (None, None) => Shared::Container(container.id),
                };
                let subject = &self.subject;
                access::record_refusal(service, subject, wanted.action(), &shared, &why);
                Ok(false)
            }
        }
    }
}

/// A key of S3 acts for an account, in which a guest may do nothing.
fn acts(identity: &Identity) -> bool {
    identity.role != Role::Guest || identity.is_admin()
}

/// Whether something may be done, and if not, why.
pub(super) enum Answer {
    Yes,
    No(String),
}

impl Answer {
    fn of(decision: &Decision) -> Self {
        match decision.allowed {
            true => Self::Yes,
            false => Self::No(decision.reason.to_string()),
        }
    }

    pub(super) const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// What somebody wants to do, and with what.
pub(super) struct Need<'a> {
    permission: Permission,
    /// In the path of the request, or in its list.
    key: Option<&'a str>,
    /// Where it is there, and is to be read, or its list.
    object: Option<&'a Object>,
    removes: bool,
}

impl<'a> Need<'a> {
    /// With the bucket of a request, or with its key where that is written or removed.
    pub(super) fn of(actor: &'a Actor, permission: Permission) -> Self {
        Self::with_key(actor, permission, actor.asked.key.as_deref())
    }

    /// The same with another key.
    pub(super) fn with_key(actor: &Actor, permission: Permission, key: Option<&'a str>) -> Self {
        let removes = matches!(actor.asked.operation.as_str(), "DeleteObject" | "DeleteObjects");
        Self { permission, key, object: None, removes }
    }

    /// To do what only a writer of the bucket may: something with older versions.
    pub(super) fn with_version(self, version: Option<&str>) -> Self {
        Self { removes: self.removes || version.is_some(), ..self }
    }

    /// With an object that is there.
    pub(super) const fn of_object(permission: Permission, object: &'a Object) -> Self {
        Self { permission, key: None, object: Some(object), removes: false }
    }

    /// Whether a name counts, and not just what is said of the bucket.
    const fn is_of_name(&self) -> bool {
        let writes = matches!(self.permission, Permission::Write | Permission::FullControl);
        self.object.is_some() || (writes && self.key.is_some())
    }

    fn action(&self) -> Action {
        match (self.permission, self.object) {
            (Permission::Read, None) => Action::List,
            (Permission::Read, Some(object)) if object.latest => Action::Read,
            (Permission::Read, Some(_)) => Action::ReadVersion,
            (Permission::ReadAcp, _) => Action::ReadAcl,
            (Permission::WriteAcp, _) => Action::WriteAcl,
            (Permission::Write | Permission::FullControl, _) if self.removes => Action::Remove,
            (Permission::Write | Permission::FullControl, _) => Action::Write,
        }
    }
}

/// What says who may do what, and so is for administrators of the account.
const GOVERNING: [&str; 6] = [
    "PutBucketPolicy",
    "DeleteBucketPolicy",
    "PutPublicAccessBlock",
    "DeletePublicAccessBlock",
    "PutBucketOwnershipControls",
    "DeleteBucketOwnershipControls",
];

impl Door {
    /// Who signed a request, and what it asks for.
    pub(super) async fn actor<T>(&self, request: &S3Request<T>) -> S3Result<Actor> {
        let asked = request.extensions.get::<Asked>().cloned().unwrap_or_default();
        Actor::new(&request.headers, asked, request.credentials.as_ref())
    }

    /// A bucket, for one who may do this with it.
    pub(super) async fn bucket(
        &self,
        actor: &Actor,
        name: &str,
        wanted: Permission,
    ) -> S3Result<Container> {
        let container = self.find_bucket(actor, name).await?;
        let (asking, home) = (actor.clone(), container.clone());
        self.call(Missing::Bucket, move |service, refusal| {
            let may = asking.may(service, &home, &Need::of(&asking, wanted))?;
            if may { Ok(()) } else { Err(refusal.refuse(denied())) }
        })
        .await?;
        Ok(container)
    }

    /// A bucket, for one who may write this version of a key: an older one is no name's concern.
    pub(super) async fn bucket_of_version(
        &self,
        actor: &Actor,
        name: &str,
        version: Option<&str>,
    ) -> S3Result<Container> {
        let container = self.find_bucket(actor, name).await?;
        let (asking, home) = (actor.clone(), container.clone());
        let version = version.map(str::to_owned);
        self.call(Missing::Bucket, move |service, refusal| {
            let wanted = Need::of(&asking, Permission::Write).with_version(version.as_deref());
            let may = asking.may(service, &home, &wanted)?;
            if may { Ok(()) } else { Err(refusal.refuse(denied())) }
        })
        .await?;
        Ok(container)
    }

    /// A bucket, for its owner.
    pub(super) async fn own_bucket(&self, actor: &Actor, name: &str) -> S3Result<Container> {
        let container = self.find_bucket(actor, name).await?;
        // The owner can always mend a policy that denies too much.
        let of_policy = actor.asked.operation.ends_with("BucketPolicy");
        let key = actor.asked.key.as_deref();
        let verdict = policy::of_bucket(&container).judge(actor, &container, key);
        let denies = verdict == Verdict::Denied && !of_policy;
        let governs = GOVERNING.contains(&actor.asked.operation.as_str());
        let may = if governs { actor.governs() } else { actor.writes() };
        if actor.owns(&container) && may && !denies { Ok(container) } else { Err(denied()) }
    }

    /// A bucket, whoever may do what with it.
    pub(super) async fn find_bucket(&self, actor: &Actor, name: &str) -> S3Result<Container> {
        let name = bucket_name(name)?;
        let account = actor.identity.as_ref().map(|who| who.account.id);
        let found = self.app.calls.call(&self.app.service, move |s| s.bucket(account, &name));
        let container = found.await.map_err(|failure| fault(&failure, Missing::Bucket))?;
        if let Some(expected) = &actor.expected_owner
            && *expected != hex::encode(self.account_of(&container).await?.uuid)
        {
            return Err(denied());
        }
        Ok(container)
    }
}

pub(super) fn bucket_name(name: &str) -> S3Result<ContainerName> {
    name.parse().map_err(|_| S3Error::new(S3ErrorCode::InvalidBucketName))
}

pub(super) fn key(name: &str) -> S3Result<ObjectName> {
    name.parse().map_err(|_| match name.len() > 1024 {
        true => S3Error::new(S3ErrorCode::KeyTooLongError),
        false => s3_error!(InvalidArgument, "a key has 1 to 1024 bytes, none of them zero"),
    })
}
