//! Keys, who a request comes from, and what that may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use archipelago_model::{ContainerName, ObjectName};
use archipelago_pool::{Container, Identity, Object, Role};
use axum::http::Uri;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};

use super::acl::{self, Permission};
use super::door::Door;
use super::fault::{Missing, denied, fault};
use super::policy::{self, Verdict};
use crate::App;

/// A signed URL holds for a week at most, in seconds: what S3 has. The library takes any length.
const URL_SECONDS_MAX: u64 = 7 * 24 * 3600;

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
        let found =
            self.app.calls.call(&self.app.service, move |service| service.key_secret(&key)).await;
        match found {
            Ok((secret, _)) => Ok(SecretKey::from(secret.expose())),
            Err(failure) if failure.kind() == archipelago_api::ErrorKind::Unauthenticated => {
                Err(s3_error!(InvalidAccessKeyId, "The AWS access key Id does not exist"))
            }
            Err(failure) => Err(fault(&failure, Missing::Key)),
        }
    }
}

/// Lets everybody in whose signature is right, and those who gave none: each operation asks
/// for the right that it needs.
pub(super) struct Anybody;

#[async_trait::async_trait]
impl S3Access for Anybody {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        if holds_too_long(cx.uri()) {
            return Err(s3_error!(
                AuthorizationQueryParametersError,
                "X-Amz-Expires is a week at most, in seconds: {URL_SECONDS_MAX}"
            ));
        }
        let asked = Asked {
            operation: cx.s3_op().name().to_owned(),
            key: cx.s3_path().get_object_key().map(str::to_owned),
            context: policy::context(cx.headers(), cx.uri()),
        };
        cx.extensions_mut().insert(asked);
        Ok(())
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

/// Who a request comes from, and what it asks for.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    /// `None` is anybody.
    pub(super) identity: Option<Arc<Identity>>,
    /// Whom it takes for the owner of the bucket.
    expected_owner: Option<String>,
    pub(super) asked: Asked,
}

impl Actor {
    #[cfg(test)]
    pub(super) const fn anybody(asked: Asked) -> Self {
        Self { identity: None, expected_owner: None, asked }
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

    fn writes(&self) -> bool {
        self.identity.as_ref().is_some_and(|who| who.is_admin() || who.role != Role::Reader)
    }

    /// Whether it may do this with a bucket.
    pub(super) fn may(&self, container: &Container, wanted: Permission) -> bool {
        self.may_with_key(container, wanted, self.asked.key.as_deref())
    }

    /// Whether it may do this with a key of a bucket.
    pub(super) fn may_with_key(
        &self,
        container: &Container,
        wanted: Permission,
        key: Option<&str>,
    ) -> bool {
        match policy::of_bucket(container).judge(self, container, key) {
            Verdict::Denied => return false,
            Verdict::Allowed => return true,
            Verdict::Silent => {}
        }
        let changes = matches!(wanted, Permission::Write | Permission::WriteAcp);
        if self.owns(container) {
            return !changes || self.writes();
        }
        let granted = acl::of_bucket(container).grants(self.identity.as_deref(), wanted);
        granted && (!changes || self.identity.is_none() || self.writes())
    }

    /// Whether it may do this with an object.
    pub(super) fn may_with(
        &self,
        container: &Container,
        object: &Object,
        wanted: Permission,
    ) -> bool {
        match policy::of_bucket(container).judge_object(self, container, object) {
            Verdict::Denied => false,
            Verdict::Allowed => true,
            Verdict::Silent if self.owns(container) => {
                !matches!(wanted, Permission::Write | Permission::WriteAcp) || self.writes()
            }
            Verdict::Silent => {
                acl::of_object(container, object).grants(self.identity.as_deref(), wanted)
            }
        }
    }
}

impl Door {
    /// Who signed a request, and what it asks for.
    pub(super) async fn actor<T>(&self, request: &S3Request<T>) -> S3Result<Actor> {
        let expected = request.headers.get("x-amz-expected-bucket-owner");
        let expected_owner = expected.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let asked = request.extensions.get::<Asked>().cloned().unwrap_or_default();
        let mut actor = Actor { identity: None, expected_owner, asked };
        if let Some(credentials) = &request.credentials {
            let key = credentials.access_key.clone();
            let found = self.app.calls.call(&self.app.service, move |s| s.key_secret(&key)).await;
            let (_, identity) = found.map_err(|failure| fault(&failure, Missing::Key))?;
            // A key of S3 acts for an account, in which a guest may do nothing.
            if identity.role == Role::Guest && !identity.is_admin() {
                return Err(denied());
            }
            actor.identity = Some(Arc::new(identity));
        }
        Ok(actor)
    }

    /// A bucket, for one who may do this with it.
    pub(super) async fn bucket(
        &self,
        actor: &Actor,
        name: &str,
        wanted: Permission,
    ) -> S3Result<Container> {
        let container = self.find_bucket(actor, name).await?;
        if actor.may(&container, wanted) { Ok(container) } else { Err(denied()) }
    }

    /// A bucket, for its owner.
    pub(super) async fn own_bucket(&self, actor: &Actor, name: &str) -> S3Result<Container> {
        let container = self.find_bucket(actor, name).await?;
        // The owner can always mend a policy that denies too much.
        let of_policy = actor.asked.operation.ends_with("BucketPolicy");
        let verdict = policy::of_bucket(&container).judge(actor, &container, None);
        let denies = verdict == Verdict::Denied && !of_policy;
        if actor.owns(&container) && actor.writes() && !denies {
            Ok(container)
        } else {
            Err(denied())
        }
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
