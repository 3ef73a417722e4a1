//! Containers: make, find, change, list, remove.

use archipelago_model::{AccountId, ContainerName};

use super::super::{Service, grants};
use crate::catalog::{Tx, container, file, lifecycle, snapshot_file, state, upload};
use crate::error::{Error, ErrorKind};
use crate::grant::Shared;
use crate::lock::DEFAULT_LOCK;
use crate::object::{ARCHIVE_HISTORY, ARCHIVE_STACK, Container, Versioning};
use crate::seal::DEFAULT_SEAL;

/// Containers on a page of a listing at most.
const PAGE_MAX: usize = 10_000;

impl Service {
    /// Makes a container. It is a bucket as well, unless another account has one of its name.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub fn container_create(
        &self,
        account: AccountId,
        name: &ContainerName,
    ) -> Result<Container, Error> {
        self.container_create_with(account, name, &mut |_| Ok(()))
    }

    /// The same, with what is said of it; without that there is none.
    ///
    /// # Errors
    /// Also those of [`Self::container_change`].
    pub fn container_create_with(
        &self,
        account: AccountId,
        name: &ContainerName,
        change: &mut dyn FnMut(&mut Container) -> Result<(), Error>,
    ) -> Result<Container, Error> {
        self.create(account, name, &|_| Ok(false), change)
    }

    /// The same, for S3, where a name is that of one bucket in all accounts.
    ///
    /// # Errors
    /// `AlreadyExists`, whoever has it.
    pub fn bucket_create(
        &self,
        account: AccountId,
        name: &ContainerName,
    ) -> Result<Container, Error> {
        self.bucket_create_with(account, name, &mut |_| Ok(()))
    }

    /// The same, with what is said of it; without that there is none.
    ///
    /// # Errors
    /// Also those of [`Self::container_change`].
    pub fn bucket_create_with(
        &self,
        account: AccountId,
        name: &ContainerName,
        change: &mut dyn FnMut(&mut Container) -> Result<(), Error>,
    ) -> Result<Container, Error> {
        self.create(account, name, &|tx| Ok(container::find_bucket(tx, name)?.is_some()), change)
    }

    fn create(
        &self,
        account: AccountId,
        name: &ContainerName,
        is_taken: &dyn Fn(&Tx<'_>) -> Result<bool, Error>,
        change: &mut dyn FnMut(&mut Container) -> Result<(), Error>,
    ) -> Result<Container, Error> {
        let now_ms = self.core.now_ms();
        self.core.catalog.write(|tx| {
            if is_taken(tx)? || container::find(tx, account, name)?.is_some() {
                return Err(exists(name));
            }
            let made = make(tx, account, name, now_ms)?;
            change_of(tx, "operator", now_ms, made.id, change)
        })
    }

    /// A container of an account.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn container(&self, account: AccountId, name: &ContainerName) -> Result<Container, Error> {
        self.core
            .catalog
            .read(|tx| container::find(tx, account, name))?
            .ok_or_else(|| unknown(name))
    }

    /// What S3 calls a bucket: the account's own container of this name, or else whoever's
    /// bucket it is.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn bucket(
        &self,
        account: Option<AccountId>,
        name: &ContainerName,
    ) -> Result<Container, Error> {
        let found = self.core.catalog.read(|tx| {
            if let Some(account) = account
                && let Some(own) = container::find(tx, account, name)?
            {
                return Ok::<_, Error>(Some(own));
            }
            Ok(container::find_bucket(tx, name)?)
        })?;
        found.ok_or_else(|| unknown(name))
    }

    /// The containers of an account behind `after`, by name; a page at most, without settings and
    /// grants.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn containers(
        &self,
        account: AccountId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Container>, Error> {
        let limit = limit.min(PAGE_MAX);
        Ok(self.core.catalog.read(|tx| container::list(tx, account, after, limit))?)
    }

    /// Changes what can be changed of a container: whether it keeps versions, and settings.
    ///
    /// # Errors
    /// `NotFound`; those of `change`, and nothing is changed then.
    pub fn container_change(
        &self,
        id: u64,
        change: &mut dyn FnMut(&mut Container) -> Result<(), Error>,
    ) -> Result<Container, Error> {
        self.container_change_as("operator", id, change)
    }

    /// The same, and who may do what with it, for which `by` is who says so.
    ///
    /// # Errors
    /// As [`Self::container_change`]; those of [`Self::grants_change`]; `InUse` when it would keep
    /// versions and have an archive, which gets nothing then.
    pub fn container_change_as(
        &self,
        by: &str,
        id: u64,
        change: &mut dyn FnMut(&mut Container) -> Result<(), Error>,
    ) -> Result<Container, Error> {
        let now_ms = self.core.now_ms();
        self.core.catalog.write(|tx| change_of(tx, by, now_ms, id, change))
    }

    /// Removes a container without objects. Uploads in parts that nobody ended go with it.
    ///
    /// # Errors
    /// `NotFound`; `InUse` while it has any version of anything.
    pub fn container_remove(&self, id: u64) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let found = super::container_of(tx, id)?;
            if file::any(tx, id)? {
                let remedy = match snapshot_file::is_home(tx, id)? {
                    true => "what is in it goes by `archipelago snapshot rm`",
                    false if found.objects == 0 => {
                        "old versions of what was in it are left; remove them by S3 (`aws s3api \
                         list-object-versions`, `delete-object --version-id`), unless they are \
                         locked"
                    }
                    false => "remove its objects first",
                };
                let message = format!("container '{}' is not empty; {remedy}", found.name);
                return Err(Error::new(ErrorKind::InUse, message));
            }
            remove_empty(tx, &found)
        })
    }
}

/// Whether it has an archive that gets nothing: an object without a version id that is replaced
/// would be lost.
fn is_torn(container: &Container) -> bool {
    let archives = |name: &str| container.settings.contains_key(name);
    container.versioning != Versioning::Off
        && (archives(ARCHIVE_STACK) || archives(ARCHIVE_HISTORY))
}

/// Removes a container in which there is nothing.
pub(super) fn remove_empty(tx: &Tx<'_>, found: &Container) -> Result<(), Error> {
    while let Some(row) = upload::list(tx, found.id, "", 0, 1)?.first() {
        upload::remove(tx, row)?;
    }
    lifecycle::remove(tx, found.id)?;
    Ok(container::remove(tx, found.id)?)
}

pub(in crate::service) fn make(
    tx: &Tx<'_>,
    account: AccountId,
    name: &ContainerName,
    now_ms: u64,
) -> Result<Container, Error> {
    snapshot_file::refuse_name(account, name)?;
    let id = state::take_id(tx)?;
    container::insert(tx, id, account, name, now_ms)?;
    super::container_of(tx, id)
}

/// Changes a container, and says in whose name.
fn change_of(
    tx: &Tx<'_>,
    by: &str,
    now_ms: u64,
    id: u64,
    change: &mut dyn FnMut(&mut Container) -> Result<(), Error>,
) -> Result<Container, Error> {
    let mut container = super::container_of(tx, id)?;
    let before = container.clone();
    let (old, was_torn) = (container.grants.clone(), is_torn(&container));
    change(&mut container)?;
    if snapshot_file::is_home(tx, id)? {
        refuse_for_snapshots(&before, &container)?;
    }
    if is_torn(&container) && !was_torn {
        return Err(Error::in_use(format!(
            "container '{}' keeps what is replaced in another one, and cannot keep versions as \
             well; end the one before the other",
            container.name
        )));
    }
    container::update(tx, &container)?;
    if container.grants != old {
        let (shared, new) = (Shared::Container(id), container.grants);
        container.grants = grants::replace(tx, by, now_ms, &shared, &old, new)?;
    }
    Ok(container)
}

/// Settings about what is put, which nobody does into the container of the files of snapshots.
const OF_PUTS: [&str; 4] = [ARCHIVE_STACK, ARCHIVE_HISTORY, DEFAULT_LOCK, DEFAULT_SEAL];

/// Refuses what would mean nothing of the files of snapshots.
fn refuse_for_snapshots(old: &Container, new: &Container) -> Result<(), Error> {
    let quotas = |one: &Container| (one.quota_bytes, one.quota_objects);
    let set = |name: &&str| {
        let text = new.settings.get(*name);
        text.is_some() && text != old.settings.get(*name)
    };
    let what = match () {
        () if quotas(old) != quotas(new) => "quotas",
        () if old.versioning != new.versioning => "versions",
        () if OF_PUTS.iter().any(set) => "archives, locks and encryption",
        () => return Ok(()),
    };
    Err(for_snapshots(new, what))
}

/// Something means nothing of the container of the files of snapshots.
pub(in crate::service) fn for_snapshots(container: &Container, what: &str) -> Error {
    let message = format!(
        "container '{}' is the store's own and has nothing but snapshots: {what} mean nothing \
         there; say who may read it, or copy what you need into a container of your own",
        container.name
    );
    Error::new(ErrorKind::ReadOnly, message)
}

fn exists(name: &ContainerName) -> Error {
    let message = format!("container '{name}' exists already; use it or choose another name");
    Error::new(ErrorKind::AlreadyExists, message)
}

pub(super) fn unknown(name: &ContainerName) -> Error {
    Error::not_found(format_args!("container '{name}'"), "container ls")
}
