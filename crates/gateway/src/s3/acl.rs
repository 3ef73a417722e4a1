//! Access control lists: who but the owner may do what. The owner may do everything, whatever
//! a list says.

use std::collections::BTreeMap;

use archipelago_pool::{Account, Container, Grant, Grantee, Object, Right, Subject};
use s3s::dto::{
    AccessControlPolicy, BucketCannedACL, Grant as WireGrant, Grantee as WireGrantee,
    ObjectCannedACL, Owner, Permission as Wire, Type,
};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::{ownership, settings};

/// Under this name a list is kept with a bucket or an object, as JSON.
const SETTING: &str = "s3.acl";
/// Grants of a list at most: what S3 has.
const GRANTS_MAX: usize = 100;
const EVERYBODY: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";

/// What can be granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Permission {
    Read,
    Write,
    ReadAcp,
    WriteAcp,
    FullControl,
}

/// Whom it can be granted to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Who {
    Everybody,
    Authenticated,
    /// By uuid, with its name when it was granted.
    Account(String, String),
}

/// A list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Acl {
    grants: Vec<(Who, Permission)>,
    /// It was said without a word of the owner, and is shown so.
    hides_owner: bool,
}

/// Grants that came in headers, and the canned list, if there was one.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) canned: Option<&'a str>,
    pub(super) full_control: Option<&'a str>,
    pub(super) read: Option<&'a str>,
    pub(super) write: Option<&'a str>,
    pub(super) read_acp: Option<&'a str>,
    pub(super) write_acp: Option<&'a str>,
    pub(super) policy: Option<&'a AccessControlPolicy>,
}

/// Of an input that puts an object.
macro_rules! said_of {
    ($input:expr) => {
        $crate::s3::acl::Said {
            canned: $input.acl.as_ref().map(s3s::dto::ObjectCannedACL::as_str),
            full_control: $input.grant_full_control.as_deref(),
            read: $input.grant_read.as_deref(),
            read_acp: $input.grant_read_acp.as_deref(),
            write_acp: $input.grant_write_acp.as_deref(),
            ..$crate::s3::acl::Said::default()
        }
    };
}
pub(super) use said_of;

impl Said<'_> {
    /// Whether there is a list at all.
    pub(super) fn says_something(&self) -> bool {
        self.canned.is_some() || self.policy.is_some() || self.grants_something()
    }

    fn grants_something(&self) -> bool {
        [self.full_control, self.read, self.write, self.read_acp, self.write_acp]
            .iter()
            .any(Option::is_some)
    }

    /// Whether it may be a way to say that the bucket's owner may everything, and nothing else.
    pub(super) fn may_give_all(&self) -> bool {
        match self.canned {
            Some(canned) => canned == ObjectCannedACL::BUCKET_OWNER_FULL_CONTROL,
            None => self.says_something(),
        }
    }
}

impl Acl {
    /// Whether nobody but that account is on it.
    pub(super) fn is_only_for(&self, uuid: &str) -> bool {
        self.grants.iter().all(|(who, _)| matches!(who, Who::Account(id, _) if id == uuid))
    }

    /// What it grants somebody, each permission as `rights` has it.
    fn grants(&self, subject: &Subject, rights: fn(Permission) -> &'static [Right]) -> Vec<Grant> {
        let account = subject.identity.as_ref().map(|who| &who.account);
        let mut out = Vec::new();
        for (to, permission) in &self.grants {
            let grantee = match to {
                Who::Everybody => Some(Grantee::Everyone),
                Who::Authenticated => Some(Grantee::SignedIn),
                Who::Account(uuid, _) => account
                    .filter(|account| hex::encode(account.uuid) == *uuid)
                    .map(|account| Grantee::Account(account.id)),
            };
            let Some(grantee) = grantee else { continue };
            out.extend(rights(*permission).iter().map(|right| Grant::new(grantee, *right)));
        }
        out
    }

    /// Without what it grants to everybody and to everybody with a key.
    pub(super) fn without_public(self) -> Self {
        let named = |(who, _): &(Who, Permission)| matches!(who, Who::Account(..));
        Self { grants: self.grants.into_iter().filter(named).collect(), ..self }
    }

    /// Whether nobody but the owner is on it.
    pub(super) fn is_private(&self) -> bool {
        self.grants.is_empty()
    }

    /// Whether it grants something to everybody, or to everybody with a key.
    pub(super) fn is_public(&self) -> bool {
        self.grants.iter().any(|(who, _)| !matches!(who, Who::Account(..)))
    }

    /// As it is kept.
    pub(super) fn keep(&self, settings: &mut BTreeMap<String, String>) -> S3Result<()> {
        if *self == Self::default() {
            settings.remove(SETTING);
            return Ok(());
        }
        let text = serde_json::to_string(self).map_err(s3s::S3Error::internal_error)?;
        settings.insert(SETTING.to_owned(), text);
        Ok(())
    }

    /// A list that is canned, of something that belongs to the first, in a bucket of the second.
    fn canned(name: &str, (owner, of_bucket): (&Account, &Account)) -> S3Result<Self> {
        let to_bucket = |permission| {
            let who = Who::Account(hex::encode(of_bucket.uuid), of_bucket.name.to_string());
            if owner.id == of_bucket.id { vec![] } else { vec![(who, permission)] }
        };
        let list = match name {
            ObjectCannedACL::PRIVATE | ObjectCannedACL::AWS_EXEC_READ => vec![],
            ObjectCannedACL::BUCKET_OWNER_READ => to_bucket(Permission::Read),
            ObjectCannedACL::BUCKET_OWNER_FULL_CONTROL => to_bucket(Permission::FullControl),
            BucketCannedACL::PUBLIC_READ => vec![(Who::Everybody, Permission::Read)],
            BucketCannedACL::PUBLIC_READ_WRITE => {
                vec![(Who::Everybody, Permission::Read), (Who::Everybody, Permission::Write)]
            }
            BucketCannedACL::AUTHENTICATED_READ => vec![(Who::Authenticated, Permission::Read)],
            other => return Err(s3_error!(InvalidArgument, "'{other}' is no canned ACL")),
        };
        Ok(Self { grants: list, hides_owner: false })
    }

    /// The list as S3 shows it, with the owner's own grant last.
    pub(super) fn shown(&self, owner: &Owner) -> Vec<WireGrant> {
        let own = WireGrant {
            grantee: Some(WireGrantee {
                display_name: owner.display_name.clone(),
                email_address: None,
                id: owner.id.clone(),
                type_: Type::from_static(Type::CANONICAL_USER),
                uri: None,
            }),
            permission: Some(Wire::from_static(Wire::FULL_CONTROL)),
        };
        let others = self.grants.iter().map(|(who, right)| WireGrant {
            grantee: Some(grantee(who)),
            permission: Some(Wire::from_static(wire(*right))),
        });
        let own = (!self.hides_owner).then_some(own);
        others.chain(own).collect()
    }
}

/// What the list of a bucket says of somebody, as grants. To read a bucket is to see its names.
pub(crate) fn grants_of_bucket(container: &Container, subject: &Subject) -> Vec<Grant> {
    of_bucket(container).grants(subject, |permission| match permission {
        Permission::Read => &[Right::List],
        Permission::Write => &[Right::Write],
        Permission::ReadAcp => &[Right::ReadAcl],
        Permission::WriteAcp => &[Right::WriteAcl],
        Permission::FullControl => &[Right::List, Right::Write, Right::ReadAcl, Right::WriteAcl],
    })
}

/// What the list of an object says of somebody, as grants on that version. None lets anybody
/// write it.
pub(crate) fn grants_of_object(
    container: &Container,
    object: &Object,
    subject: &Subject,
) -> Vec<Grant> {
    of_object(container, object).grants(subject, |permission| match permission {
        Permission::Read => &[Right::Read],
        Permission::Write => &[],
        Permission::ReadAcp => &[Right::ReadAcl],
        Permission::WriteAcp => &[Right::WriteAcl],
        Permission::FullControl => &[Right::Read, Right::ReadAcl, Right::WriteAcl],
    })
}

/// The list of a bucket.
pub(super) fn of_bucket(container: &Container) -> Acl {
    in_force(container, read(&container.settings))
}

/// The list of an object in a bucket.
pub(super) fn of_object(container: &Container, object: &Object) -> Acl {
    in_force(container, read(&object.meta.settings))
}

fn in_force(container: &Container, list: Acl) -> Acl {
    if ownership::ignores_lists(container) {
        return Acl::default();
    }
    if settings::ignores_public(container) { list.without_public() } else { list }
}

/// One that cannot be read grants nothing.
fn read(settings: &BTreeMap<String, String>) -> Acl {
    settings.get(SETTING).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// What a request says of grants; `None` when it says nothing. Whose the object is and whose
/// its bucket is, if that is another; `find` looks accounts up by uuid.
pub(super) fn said(
    said: &Said<'_>,
    (owner, of_bucket): (&Account, &Account),
    find: &dyn Fn(&str) -> Option<Account>,
) -> S3Result<Option<Acl>> {
    if let Some(policy) = said.policy {
        return of_policy(policy, owner, find).map(Some);
    }
    let headers = [
        (said.full_control, Permission::FullControl),
        (said.read, Permission::Read),
        (said.write, Permission::Write),
        (said.read_acp, Permission::ReadAcp),
        (said.write_acp, Permission::WriteAcp),
    ];
    let granted = said.grants_something();
    match said.canned {
        Some(_) if granted => {
            Err(s3_error!(InvalidRequest, "give a canned ACL or grants, not both"))
        }
        Some(name) => Acl::canned(name, (owner, of_bucket)).map(Some),
        None if granted => {
            let mut list = Vec::new();
            for (text, right) in headers {
                for one in text.unwrap_or_default().split(',').filter(|one| !one.trim().is_empty())
                {
                    let (kind, value) = one.trim().split_once('=').unwrap_or((one, ""));
                    let value = value.trim_matches('"');
                    let who = match kind {
                        "uri" => group(value)?,
                        "id" => account(value, find)?,
                        _ => return Err(s3_error!(UnresolvableGrantByEmailAddress)),
                    };
                    push(&mut list, who, right, owner)?;
                }
            }
            Ok(Some(Acl { grants: list, hides_owner: false }))
        }
        None => Ok(None),
    }
}

fn of_policy(
    policy: &AccessControlPolicy,
    owner: &Account,
    find: &dyn Fn(&str) -> Option<Account>,
) -> S3Result<Acl> {
    let uuid = hex::encode(owner.uuid);
    if let Some(id) = policy.owner.as_ref().and_then(|owner| owner.id.as_ref())
        && *id != uuid
    {
        return Err(s3_error!(AccessDenied, "the owner of a list cannot be changed"));
    }
    let mut list = Vec::new();
    for grant in policy.grants.iter().flatten() {
        let (Some(grantee), Some(permission)) = (&grant.grantee, &grant.permission) else {
            return Err(s3_error!(MalformedACLError));
        };
        let right = match permission.as_str() {
            Wire::READ => Permission::Read,
            Wire::WRITE => Permission::Write,
            Wire::READ_ACP => Permission::ReadAcp,
            Wire::WRITE_ACP => Permission::WriteAcp,
            Wire::FULL_CONTROL => Permission::FullControl,
            _ => return Err(s3_error!(MalformedACLError)),
        };
        let who = match (&grantee.uri, &grantee.id) {
            (Some(uri), _) => group(uri)?,
            (None, Some(id)) => account(id, find)?,
            _ => return Err(s3_error!(UnresolvableGrantByEmailAddress)),
        };
        push(&mut list, who, right, owner)?;
    }
    let hides_owner = !policy.grants.iter().flatten().any(|grant| {
        grant.grantee.as_ref().is_some_and(|grantee| grantee.id.as_ref() == Some(&uuid))
    });
    Ok(Acl { grants: list, hides_owner })
}

/// The owner has all rights anyway.
fn push(
    list: &mut Vec<(Who, Permission)>,
    who: Who,
    right: Permission,
    owner: &Account,
) -> S3Result<()> {
    if list.len() >= GRANTS_MAX {
        return Err(s3_error!(MalformedACLError, "a list has {GRANTS_MAX} grants at most"));
    }
    if !matches!(&who, Who::Account(uuid, _) if *uuid == hex::encode(owner.uuid)) {
        list.push((who, right));
    }
    Ok(())
}

fn group(uri: &str) -> S3Result<Who> {
    match uri {
        EVERYBODY => Ok(Who::Everybody),
        AUTHENTICATED => Ok(Who::Authenticated),
        _ => Err(s3_error!(InvalidArgument, "there is no such group")),
    }
}

fn account(uuid: &str, find: &dyn Fn(&str) -> Option<Account>) -> S3Result<Who> {
    let found = find(uuid).ok_or_else(|| s3_error!(InvalidArgument, "Invalid id"))?;
    Ok(Who::Account(hex::encode(found.uuid), found.name.to_string()))
}

fn grantee(who: &Who) -> WireGrantee {
    let (id, name, uri, kind) = match who {
        Who::Everybody => (None, None, Some(EVERYBODY.to_owned()), Type::GROUP),
        Who::Authenticated => (None, None, Some(AUTHENTICATED.to_owned()), Type::GROUP),
        Who::Account(id, name) => {
            (Some(id.clone()), Some(name.clone()), None, Type::CANONICAL_USER)
        }
    };
    let type_ = Type::from_static(kind);
    WireGrantee { display_name: name, email_address: None, id, type_, uri }
}

const fn wire(right: Permission) -> &'static str {
    match right {
        Permission::Read => Wire::READ,
        Permission::Write => Wire::WRITE,
        Permission::ReadAcp => Wire::READ_ACP,
        Permission::WriteAcp => Wire::WRITE_ACP,
        Permission::FullControl => Wire::FULL_CONTROL,
    }
}
