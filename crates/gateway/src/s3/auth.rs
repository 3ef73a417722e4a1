//! Keys, who a request comes from, and what that may do.

use std::sync::Arc;

use archipelago_model::{ContainerName, ObjectName};
use archipelago_pool::{Container, Identity, Role};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{Credentials, S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::acl::{self, Permission};
use super::door::Door;
use super::fault::{Missing, denied, fault};
use crate::App;

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
    async fn check(&self, _: &mut S3AccessContext<'_>) -> S3Result<()> {
        Ok(())
    }
}

/// Who a request comes from; `None` is anybody.
#[derive(Clone, Debug)]
pub(super) struct Actor(pub(super) Option<Arc<Identity>>);

impl Actor {
    /// The account that it acts for.
    pub(super) fn identity(&self) -> S3Result<&Identity> {
        self.0.as_deref().ok_or_else(denied)
    }

    /// Whether it belongs to the account, or may do everything.
    pub(super) fn owns(&self, container: &Container) -> bool {
        self.0.as_ref().is_some_and(|who| who.is_admin() || who.account.id == container.account)
    }

    fn writes(&self) -> bool {
        self.0.as_ref().is_some_and(|who| who.is_admin() || who.role != Role::Reader)
    }

    /// Whether it may do this with a bucket.
    pub(super) fn may(&self, container: &Container, wanted: Permission) -> bool {
        let changes = matches!(wanted, Permission::Write | Permission::WriteAcp);
        if self.owns(container) {
            return !changes || self.writes();
        }
        let granted = acl::of_bucket(container).grants(self.0.as_deref(), wanted);
        granted && (!changes || self.0.is_none() || self.writes())
    }
}

impl Door {
    /// Who signed a request.
    pub(super) async fn actor(&self, credentials: Option<&Credentials>) -> S3Result<Actor> {
        let Some(credentials) = credentials else { return Ok(Actor(None)) };
        let key = credentials.access_key.clone();
        let found = self.app.calls.call(&self.app.service, move |s| s.key_secret(&key)).await;
        let (_, identity) = found.map_err(|failure| fault(&failure, Missing::Key))?;
        Ok(Actor(Some(Arc::new(identity))))
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
        if actor.owns(&container) && actor.writes() { Ok(container) } else { Err(denied()) }
    }

    /// A bucket, whoever may do what with it.
    pub(super) async fn find_bucket(&self, actor: &Actor, name: &str) -> S3Result<Container> {
        let name = bucket_name(name)?;
        let account = actor.0.as_ref().map(|who| who.account.id);
        self.app
            .calls
            .call(&self.app.service, move |service| service.bucket(account, &name))
            .await
            .map_err(|failure| fault(&failure, Missing::Bucket))
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
