//! Resources and grantees in the words that people use.

use archipelago_model::{AccountId, ContainerName, Source};

use super::super::Service;
use super::owned;
use crate::catalog::identity::{account, group, user};
use crate::catalog::{Tx, container};
use crate::core::OPERATOR;
use crate::error::Error;
use crate::grant::{Grantee, Shared};
use crate::identity::Named;

/// The container in which snapshots are files.
const SNAPSHOTS: &str = "snapshots/";

impl Service {
    /// What a text means: a SOURCE, `container:NAME`, `CONTAINER/OBJECT`, `CONTAINER/FOLDER/` or
    /// `snapshots/VOL@SNAP`. Containers are those of the account `home`; of the first one also
    /// snapshots are files.
    ///
    /// # Errors
    /// `Invalid`; `NotFound` (what is named, of a file its container).
    pub fn shared(&self, home: &Named, text: &str) -> Result<Shared, Error> {
        self.core.catalog.read(|tx| {
            let owner = account::find(tx, home)?
                .ok_or_else(|| Error::not_found("the account of what is shared", "account ls"))?;
            shared(tx, owner.id, text)
        })
    }

    /// Whom a text means: `everyone`, `signed-in`, a user, `ACCOUNT/USER`, `ACCOUNT/*`,
    /// `@ACCOUNT/GROUP`, or `@GROUP` of the account `home`.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn grantee(&self, home: &Named, text: &str) -> Result<Grantee, Error> {
        self.core.catalog.read(|tx| grantee(tx, home, text))
    }
}

fn shared(tx: &Tx<'_>, home: AccountId, text: &str) -> Result<Shared, Error> {
    if let Some(name) = text.strip_prefix("container:") {
        let name: ContainerName = parsed(name)?;
        return Ok(Shared::Container(container_id(tx, home, &name)?));
    }
    let text = match text.strip_prefix(SNAPSHOTS) {
        Some(path) if home == OPERATOR && path.contains('@') && !path.contains('/') => {
            format!("snapshot:{path}")
        }
        _ if text.contains(':') => text.to_owned(),
        _ => format!("file:{text}"),
    };
    let source: Source = text.parse().map_err(|_| {
        Error::invalid(format!(
            "'{}' cannot be shared: write CONTAINER/OBJECT, container:NAME, image:NAME, \
             volume:NAME or snapshot:VOL@SNAP",
            text.escape_debug()
        ))
    })?;
    match &source {
        Source::Image(_) | Source::Volume(_) | Source::Snapshot(_) => {
            let listing = match &source {
                Source::Image(_) => "image ls",
                Source::Snapshot(_) => "snapshot ls",
                _ => "volume ls",
            };
            owned::found(tx, &source)?.ok_or_else(|| Error::not_found(source.to_string(), listing))
        }
        Source::File(container, object) => {
            Ok(Shared::Path(container_id(tx, home, container)?, object.to_string()))
        }
        Source::FileOf(owner, container, object) => {
            let owner = account::find(tx, &Named::name(owner))?
                .ok_or_else(|| Error::not_found(format_args!("account '{owner}'"), "account ls"))?;
            Ok(Shared::Path(container_id(tx, owner.id, container)?, object.to_string()))
        }
    }
}

fn container_id(tx: &Tx<'_>, home: AccountId, name: &ContainerName) -> Result<u64, Error> {
    let found = container::find(tx, home, name)?;
    found
        .map(|container| container.id)
        .ok_or_else(|| Error::not_found(format_args!("container '{name}'"), "container ls"))
}

fn grantee(tx: &Tx<'_>, home: &Named, text: &str) -> Result<Grantee, Error> {
    let shown = || text.chars().take(64).flat_map(char::escape_default).collect::<String>();
    let missing =
        |what: &str, listing| Error::not_found(format_args!("{what} '{}'", shown()), listing);
    let account = |named: &Named| -> Result<_, Error> {
        Ok(account::find(tx, named)?.ok_or_else(|| missing("the account of", "account ls"))?.id)
    };
    let user = |name: &str| -> Result<_, Error> {
        Ok(user::find(tx, &Named::name(name))?.ok_or_else(|| missing("user", "user ls"))?.id)
    };
    if let Some(rest) = text.strip_prefix('@') {
        let (home, name) = match rest.split_once('/') {
            Some((account, name)) => (Named::name(account), name),
            None => (home.clone(), rest),
        };
        let account = account(&home)?;
        let missing = || Error::no_group(format_args!("'{}'", shown()));
        let name = name.parse().map_err(|_| missing())?;
        let id = group::find(tx, account, &name)?.ok_or_else(missing)?;
        return Ok(Grantee::Group(id));
    }
    match (text, text.split_once('/')) {
        ("everyone", _) => Ok(Grantee::Everyone),
        ("signed-in", _) => Ok(Grantee::SignedIn),
        (_, Some((name, "*"))) => Ok(Grantee::Account(account(&Named::name(name))?)),
        (_, Some((name, person))) => {
            Ok(Grantee::UserIn(user(person)?, account(&Named::name(name))?))
        }
        (name, None) => Ok(Grantee::User(user(name)?)),
    }
}

/// Whom a grant names, by ids.
pub(super) fn grantee_ids(tx: &Tx<'_>, grantee: Grantee) -> Result<String, Error> {
    let gone = || Error::not_found("whom it is shared with", "user ls");
    let user = |id| -> Result<String, Error> {
        Ok(hex::encode(user::get(tx, id)?.ok_or_else(gone)?.uuid))
    };
    let account = |id| -> Result<String, Error> {
        Ok(hex::encode(account::get(tx, id)?.ok_or_else(gone)?.uuid))
    };
    match grantee {
        Grantee::Everyone | Grantee::SignedIn => Ok("*".to_owned()),
        Grantee::User(id) => user(id),
        Grantee::Account(id) => account(id),
        Grantee::UserIn(id, of) => Ok(format!("{}/{}", account(of)?, user(id)?)),
        Grantee::Group(id) => {
            let (of, name) = group::name(tx, id)?.ok_or_else(gone)?;
            let of = account::find(tx, &Named::name(&of))?.ok_or_else(gone)?;
            Ok(format!("{}:{name}", hex::encode(of.uuid)))
        }
    }
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, Error>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Error::invalid(error.to_string()))
}
